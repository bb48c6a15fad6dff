package route

import (
	"fmt"
	"strings"
	"testing"

	"culvert/proxy/http1"
)

// thousandRules are exact hosts, wildcards, deep paths and conditions, 250 of each.
func thousandRules() (matches []Match) {
	for i := range 250 {
		matches = append(matches,
			Match{Host: fmt.Sprintf("app%d.example.com", i)},
			Match{Host: fmt.Sprintf("*.tenant%d.example.net", i), Path: "/api"},
			Match{Host: "deep.example.com", Path: fmt.Sprintf("/v1/regions/%d/users/settings/", i)},
			Match{Host: "deep.example.com", Path: fmt.Sprintf("/v1/regions/%d", i), Methods: []string{"GET"},
				Cookies: []Condition{{Name: "beta", Value: "1"}}, Query: []Condition{{Name: "room", Value: "blue sky"}}})
	}
	return matches
}

const browserLines = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0¶Accept: */*¶" +
	"Accept-Language: en¶Origin: https://app.example.com¶Cookie: session=0123456789abcdef; theme=dark; beta=1¶" +
	"Connection: keep-alive, Upgrade¶Upgrade: websocket¶Sec-WebSocket-Version: 13¶Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==¶"

// benchRequests are named by what they cost; want is the index of the rule.
var benchRequests = []struct {
	name, host, target string
	want               int
}{
	{"exact", "app200.example.com", "/chat", 4 * 200},
	{"wildcard", "eu.west.tenant77.example.net", "/api/v1/rooms", 4*77 + 1},
	{"deep", "deep.example.com", "/v1/regions/123/users/settings/theme", 4*123 + 2},
	{"conditions", "deep.example.com", "/v1/regions/42?room=blue+sky", 4*42 + 3},
	{"respelled", "App7.Example.com", "/x/%2e%2e//%63hat", 4 * 7},
	{"unknown", "www.example.org", "/", defaultAnswer},
	{"hostile", "deep.example.com", "/v1/regions/1" + strings.Repeat("/%2e", 4000), noMatch},
	{"hostile-up", "deep.example.com", strings.Repeat("/a", 4000) + strings.Repeat("/..", 4000), noMatch},
	{"hostile-host", strings.Repeat("a.", 123) + "org", "/", defaultAnswer},
}

func TestFindDoesNotAllocate(t *testing.T) {
	table := newTable(t, thousandRules()...)
	var scratch Scratch
	for _, c := range benchRequests {
		head := request(t, c.host, c.target, browserLines)
		if got := found(table, head, true); got != c.want {
			t.Errorf("%s followed %d, want %d", c.name, got, c.want)
		}
		if n := testing.AllocsPerRun(100, func() { table.Find(head, true, &scratch) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
	all := newTable(t, Match{Subprotocols: []string{"x"}, Headers: []Condition{{Name: "Origin", Value: "https", Op: Prefix}, {Name: "X", Op: Absent}}})
	head := request(t, "[2001:DB8::1]:80", "/", browserLines+"Sec-WebSocket-Protocol: a, b¶sec-websocket-protocol: c, x¶")
	if got := found(all, head, true); got != 0 {
		t.Errorf("followed %d", got)
	}
	if n := testing.AllocsPerRun(100, func() { all.Find(head, true, &scratch) }); n != 0 {
		t.Errorf("subprotocols: %v allocations", n)
	}
}

// BenchmarkFind: the hostile requests have paths of 16 and 20 KB, twice what the default limits let through.
func BenchmarkFind(b *testing.B) {
	table := newTable(b, thousandRules()...)
	var scratch Scratch
	var ordinary []*http1.RequestHead
	for _, c := range benchRequests {
		head := request(b, c.host, c.target, browserLines)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Find(head, true, &scratch)
			}
		})
		if !strings.HasPrefix(c.name, "hostile") {
			ordinary = append(ordinary, head)
		}
	}
	b.Run("mixture", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			table.Find(ordinary[i%len(ordinary)], true, &scratch)
		}
	})
}

// BenchmarkNormalize shows by ns/B that the cost is linear.
func BenchmarkNormalize(b *testing.B) {
	for _, c := range []struct{ name, part string }{{"plain", "/abcdefg"}, {"dots", "/%2e"}, {"up", "/a/.."}, {"slashes", "////"}} {
		for _, size := range []int{1 << 10, 8 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", c.name, size>>10), func(b *testing.B) {
				path := []byte(strings.Repeat(c.part, size/len(c.part)))
				dst := make([]byte, 0, size)
				b.SetBytes(int64(len(path)))
				for b.Loop() {
					Normalize(dst, path)
				}
			})
		}
	}
}
