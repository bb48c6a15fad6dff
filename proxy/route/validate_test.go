package route

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestValidateAccepts(t *testing.T) {
	for _, m := range []Match{
		{},
		{Host: "localhost"}, {Host: "*.a"}, {Host: "1.example"}, {Host: "10.0.0.1"}, {Host: "[::1]"}, {Host: "a_b.c-d."},
		{Host: "[::ffff:192.0.2.1]"}, {Host: strings.Repeat("a.", 126) + "a"},
		{Path: "/"}, {Path: "/a/%2F%2a"}, {Path: "/ä ö/;=+~"},
		{Methods: []string{"GET", "PROPFIND", "x-own"}},
		{Upgrade: OnlyUpgrades, Subprotocols: []string{"v1.chat+json"}},
		{Headers: []Condition{{Name: "X-A", Value: "ä, b"}, {Name: "a", Op: Absent}, {Name: "A", Value: "b ", Op: Prefix}}},
		{Cookies: []Condition{{Name: "a[b]", Value: "c d=e"}, {Name: "x", Op: Present}}},
		{Query: []Condition{{Name: "a&b", Value: " \x00"}}},
	} {
		if err := m.Validate(); err != nil {
			t.Errorf("%+v: %v", m, err)
		}
	}
}

// refusal is a match and a part of what Validate says about it; "" where it says nothing.
type refusal struct {
	match Match
	want  string
}

func checkRefusals(t *testing.T, refusals []refusal) {
	t.Helper()
	for _, c := range refusals {
		err := c.match.Validate()
		if c.want == "" {
			if err != nil {
				t.Errorf("%+v: %v", c.match, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want something with %q", c.match, err, c.want)
		}
	}
}

func TestValidateSaysWhatIsWrongWithHostAndPath(t *testing.T) {
	checkRefusals(t, []refusal{
		{Match{Host: "*"}, "leave the host out"},
		{Match{Host: "."}, "two dots in a row, or one in front"},
		{Match{Host: "*."}, "leave the host out"},
		{Match{Host: ".a.com"}, "one in front"},
		{Match{Host: "a..com"}, "two dots in a row"},
		{Match{Host: "a.com.."}, "two dots in a row"},
		{Match{Host: "a.*.com"}, "stands alone and in front"},
		{Match{Host: "*a.com"}, "stands alone and in front"},
		{Match{Host: "*.*.com"}, "stands alone and in front"},
		{Match{Host: "a.com:80"}, "the port and the scheme are not compared"},
		{Match{Host: "http://a.com"}, "the scheme"},
		{Match{Host: "a.com/x"}, `'/' cannot be in a host`},
		{Match{Host: "a b"}, `' ' cannot be in a host`},
		{Match{Host: "münchen.example"}, "xn--mnchen-3ya.example"},
		{Match{Host: "::1"}, "in brackets: [::1]"},
		{Match{Host: "[::1]:80"}, "without zone and port"},
		{Match{Host: "[::1"}, "in brackets"},
		{Match{Host: "[fe80::1%eth0]"}, "without zone"},
		{Match{Host: "[1.2.3.4]"}, "an IPv6 address"},
		{Match{Host: "[0:0::1]"}, "(RFC 5952): [::1]"},
		{Match{Host: "1.2.3"}, "does not end in a number"},
		{Match{Host: "1.2.3.256"}, "does not end in a number"},
		{Match{Host: "*.2.3.4.5"}, "does not end in a number"},
		{Match{Host: "*.1.2.3.4"}, "does not end in a number"},
		{Match{Host: strings.Repeat("a.", 127)}, ""},
		{Match{Host: strings.Repeat("a", 254)}, "254 bytes, at most 253"},
		{Match{Path: "api"}, "begins with '/'"},
		{Match{Path: "*"}, "begins with '/'"},
		{Match{Path: "/a?b"}, "written %3F"},
		{Match{Path: "/a#b"}, "written %23"},
		{Match{Path: "/api/*"}, "no wildcard"},
		{Match{Path: "/a\n"}, "written %0A"},
		{Match{Path: "/100%"}, "written %25"},
		{Match{Path: "/%4g"}, "two hexadecimal digits"},
	})
}

func TestValidateSaysWhatIsWrongWithConditions(t *testing.T) {
	checkRefusals(t, []refusal{
		{Match{Methods: []string{"GET", ""}}, "one token"},
		{Match{Methods: []string{"GET,POST"}}, "one token"},
		{Match{Methods: []string{"get"}}, "write GET"},
		{Match{Methods: []string{"TRACE"}}, "405"},
		{Match{Methods: []string{"CONNECT"}}, "405"},
		{Match{Headers: []Condition{{}}}, "needs a name"},
		{Match{Headers: []Condition{{Name: "a:"}}}, `header "a:": a header's name is one token`},
		{Match{Headers: []Condition{{Name: "host", Value: "a"}}}, "a setting of its own"},
		{Match{Headers: []Condition{{Name: "a", Value: "b\n"}}}, "control byte"},
		{Match{Headers: []Condition{{Name: "a", Value: " b"}}}, `write "b"`},
		{Match{Headers: []Condition{{Name: "a", Value: "b\t"}}}, `write "b"`},
		{Match{Headers: []Condition{{Name: "a", Value: " b", Op: Prefix}}}, `write "b"`},
		{Match{Headers: []Condition{{Name: "a", Value: "b", Op: Present}}}, "leave the value out"},
		{Match{Cookies: []Condition{{Name: "a", Value: "b", Op: Absent}}}, "leave the value out"},
		{Match{Cookies: []Condition{{Name: "a=b"}}}, "no '='"},
		{Match{Cookies: []Condition{{Name: "a", Value: "b;c"}}}, "holds a ';'"},
		{Match{Query: []Condition{{Name: "a", Op: Prefix}}}, "ask for present"},
		{Match{Query: []Condition{{Name: "a", Op: 4}}}, "comparison 4 is unknown; it is equal, present, absent or prefix"},
		{Match{Query: []Condition{{Value: "a"}}}, "query parameter \"\": it needs a name"},
		{Match{Upgrade: 3}, "3 is unknown"},
		{Match{Upgrade: NoUpgrades, Subprotocols: []string{"a"}}, "leave them out"},
		{Match{Subprotocols: []string{"a b"}}, "one token"},
	})
}

func TestNewNamesEveryRuleThatIsWrong(t *testing.T) {
	table, err := New([]Match{{}, {Path: "x"}, {Host: "a.com"}, {Host: "*"}})
	if table != nil || err == nil {
		t.Fatalf("got %v, %v", table, err)
	}
	var first *RuleError
	if !errors.As(err, &first) || first.Index != 1 {
		t.Fatalf("%v names rule %+v first, want 1", err, first)
	}
	for _, part := range []string{`rules[1]: path "x": `, `rules[3]: host "*": `} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v has no %q", err, part)
		}
	}
}

func TestWordsForLogs(t *testing.T) {
	var got []string
	for i := range uint8(5) {
		got = append(got, Op(i).String(), UpgradeMatch(i).String(), Result(i).String())
	}
	want := []string{"equal", "any", "matched", "present", "only upgrades", "no match", "absent", "no upgrades", "default",
		"prefix", "unknown", "unknown", "unknown", "unknown", "unknown"}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
}
