package route

import (
	"slices"
	"testing"
)

func TestPartialDomainsAreFound(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules []Match
		want  []int
	}{
		{"no rules", nil, nil},
		{"rules without a domain", []Match{{Path: "/a"}, {Upgrade: OnlyUpgrades}}, nil},
		{"a whole domain", []Match{{Host: "a.com"}}, nil},
		{"its root in another spelling", []Match{{Host: "a.com", Path: "//"}}, nil},
		{"a path alone", []Match{{Path: "/x"}, {Host: "a.com", Path: "/a"}}, []int{1}},
		{"the first of two", []Match{{Host: "a.com", Path: "/a"}, {Host: "a.com", Path: "/b"}}, []int{0}},
		{"a path, then the root", []Match{{Host: "a.com", Path: "/a"}, {Host: "A.COM."}}, nil},
		{"an exact domain and its wildcard", []Match{{Host: "*.com"}, {Host: "a.com", Upgrade: OnlyUpgrades}}, []int{1}},
		{"a wildcard", []Match{{Host: "*.com", Path: "/a"}}, []int{0}},
		{"upgrades alone", []Match{{Host: "a.com", Upgrade: OnlyUpgrades}}, []int{0}},
		{"all but upgrades", []Match{{Host: "a.com", Upgrade: NoUpgrades}}, []int{0}},
		{"upgrades and the rest", []Match{{Host: "a.com", Upgrade: OnlyUpgrades}, {Host: "a.com", Upgrade: NoUpgrades}}, nil},
		{"upgrades of a path and the rest", []Match{{Host: "a.com", Path: "/a", Upgrade: OnlyUpgrades}, {Host: "a.com", Upgrade: NoUpgrades}}, []int{0}},
		{"a method", []Match{{Host: "a.com", Methods: []string{"GET"}}}, []int{0}},
		{"a header", []Match{{Host: "a.com", Headers: []Condition{{Name: "X"}}}}, []int{0}},
		{"a cookie", []Match{{Host: "a.com", Cookies: []Condition{{Name: "x"}}}}, []int{0}},
		{"a parameter", []Match{{Host: "a.com", Query: []Condition{{Name: "x"}}}}, []int{0}},
		{"a subprotocol", []Match{{Host: "a.com", Subprotocols: []string{"x"}}}, []int{0}},
		{"two domains, in order", []Match{{Host: "b.com", Path: "/"}, {Host: "c.com", Path: "/a"}, {Host: "a.com", Path: "/a"}}, []int{1, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Partial(c.rules); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
