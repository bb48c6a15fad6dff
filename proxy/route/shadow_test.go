package route

import (
	"slices"
	"testing"
)

func TestUnreachableRulesAreReported(t *testing.T) {
	one, two := Condition{Name: "X-A", Value: "1"}, Condition{Name: "X-B", Op: Present}
	for _, c := range []struct {
		name  string
		rules []Match
		want  []Shadow
	}{
		{"none", []Match{{}, {Path: "/a"}, {Host: "a.com"}, {Host: "*.com"}}, nil},
		{"identical", []Match{{Path: "/a"}, {Path: "/b"}, {Path: "/a"}}, []Shadow{{2, 0}}},
		{"every further one, by the first", []Match{{}, {}, {}}, []Shadow{{1, 0}, {2, 0}}},
		{"the earlier has no conditions", []Match{{}, headers(one), {Upgrade: OnlyUpgrades}, {Methods: []string{"GET"}}},
			[]Shadow{{1, 0}, {2, 0}, {3, 0}}},
		{"the earlier has conditions", []Match{headers(one), {}}, nil},
		{"the same path in another spelling", []Match{{Path: "/a"}, {Path: "//%61"}}, []Shadow{{1, 0}}},
		{"empty and slash", []Match{{Path: "/"}, {}}, []Shadow{{1, 0}}},
		{"with and without a slash are two paths", []Match{{Path: "/a"}, {Path: "/a/"}}, nil},
		{"the same host in another spelling", []Match{{Host: "a.com"}, {Host: "A.COM."}}, []Shadow{{1, 0}}},
		{"a shorter path covers no longer one", []Match{{}, {Path: "/a"}}, nil},
		{"identical conditions", []Match{headers(one, two), headers(two, one)}, []Shadow{{1, 0}}},
		{"names of headers without case", []Match{headers(Condition{Name: "x-a", Value: "1"}), headers(one)}, []Shadow{{1, 0}}},
		{"names of cookies with case", []Match{cookies(Condition{Name: "x"}), cookies(Condition{Name: "X"})}, nil},
		{"fewer conditions cover more", []Match{headers(one), headers(two, one)}, []Shadow{{1, 0}}},
		{"more do not cover fewer", []Match{headers(one, two), headers(one)}, nil},
		{"other values", []Match{headers(one), headers(Condition{Name: "X-A", Value: "2"})}, nil},
		{"other kinds", []Match{cookies(two), query(two)}, nil},
		{"present covers a value", []Match{headers(Condition{Name: "X-A", Op: Present}), headers(one)}, []Shadow{{1, 0}}},
		{"present covers a prefix", []Match{query(Condition{Name: "a", Op: Present}), query(Condition{Name: "a", Value: "b", Op: Prefix})},
			[]Shadow{{1, 0}}},
		{"present does not cover absent", []Match{query(Condition{Name: "a", Op: Present}), query(Condition{Name: "a", Op: Absent})}, nil},
		{"absent covers absent", []Match{query(Condition{Name: "a", Op: Absent}), query(Condition{Name: "a", Op: Absent})}, []Shadow{{1, 0}}},
		{"a prefix covers a longer one", []Match{query(Condition{Name: "a", Value: "b", Op: Prefix}), query(Condition{Name: "a", Value: "bc", Op: Prefix})},
			[]Shadow{{1, 0}}},
		{"a prefix covers a value", []Match{query(Condition{Name: "a", Value: "b", Op: Prefix}), query(Condition{Name: "a", Value: "bc"})},
			[]Shadow{{1, 0}}},
		{"a value does not cover a prefix", []Match{query(Condition{Name: "a", Value: "b"}), query(Condition{Name: "a", Value: "b", Op: Prefix})}, nil},
		{"more methods cover fewer", []Match{{Methods: []string{"GET", "HEAD"}}, {Methods: []string{"HEAD"}}, {Methods: []string{"PUT"}}, {}},
			[]Shadow{{1, 0}}},
		{"upgrades cover subprotocols", []Match{{Upgrade: OnlyUpgrades}, {Subprotocols: []string{"a"}}}, []Shadow{{1, 0}}},
		{"more subprotocols cover fewer", []Match{{Subprotocols: []string{"a", "b"}}, {Subprotocols: []string{"b"}}, {Upgrade: OnlyUpgrades}},
			[]Shadow{{1, 0}}},
		{"other upgrades", []Match{{Upgrade: OnlyUpgrades}, {Upgrade: NoUpgrades}, {}}, nil},
		{"the earlier covers, but only one before it is the first", []Match{headers(one), {}, headers(one)}, []Shadow{{2, 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := newTable(t, c.rules...).Unreachable(); !slices.Equal(got, c.want) {
				t.Fatalf("got %v, want %v", got, c.want)
			}
		})
	}
}
