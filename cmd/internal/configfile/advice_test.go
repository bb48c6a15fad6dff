package configfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestAdvice: origins are asked for where an upgrade could come from any page.
func TestAdvice(t *testing.T) {
	const (
		advice   = "warning: a page of any origin may open a WebSocket with its visitor's cookies, by "
		rule     = "this rule; list the origins that may in allowed-origins, or say any"
		listener = "this listener's own group; add a rule with allowed-origins, or say any"
	)
	for _, c := range []struct{ listener, where, who string }{
		{"group: a", "1:13", listener},
		{"rules: [{group: a}]", "1:38", rule},
		{"group: a, rules: [{group: a, path: /x}, {group: a, path: /y}]", "1:13",
			"3 rules or listeners: here, 1:48, 1:70; list the origins that may in allowed-origins, or say any; for a listener's own group, add a rule with allowed-origins, or say any"},
		{"rules: [{group: a, path: /x}, {group: a, path: /y}]", "1:38",
			"2 rules or listeners: here, 1:60; list the origins that may in allowed-origins, or say any"},
		{"group: a}, {address: \":81\", group: a", "1:13", "2 rules or listeners: here, 1:41; add a rule with allowed-origins, or say any"},
		{"group: a, rules: [{group: a, allowed-origins: any}]", "", ""},
		{"group: a, rules: [{group: a, allowed-origins: [same-host]}]", "", ""},
		{"group: a, rules: [{path: /x, group: a, allowed-origins: [same-host]}]", "1:13", listener},
		{"group: a, rules: [{upgrade: true, answer: {status: 403}}]", "", ""},
		{"group: a, rules: [{upgrade: false, group: a}]", "1:13", listener},
		{"https-redirect: 302}, {address: \":81\", group: a, rules: [{group: a, allowed-origins: any}]", "", ""},
		{"rules: [{upgrade: false, group: a}, {method: POST, group: a}, {redirect: https}]", "", ""},
	} {
		f := read(t, "listeners: [{address: \":80\", "+c.listener+"}]\ngroups: {a: {servers: [a:1]}}")
		want := ""
		if c.where != "" {
			want = "c:" + c.where + ": " + advice + c.who
		}
		if got := f.Advice().Error(); got != want {
			t.Errorf("%s: it says\n%s\nand should say\n%s", c.listener, got, want)
		}
	}
}

// TestAdviceNamesPlaces: some to people, all to programs.
func TestAdviceNamesPlaces(t *testing.T) {
	t.Chdir(t.TempDir())
	text := "groups: {a: {servers: [a:1]}}\nlisteners:\n  - address: \":80\"\n    rules:\n"
	for n := range 7 {
		text += fmt.Sprintf("      - {group: a, path: /%d}\n", n)
	}
	if err := os.WriteFile("c", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if !Check("c", false, &stdout, &stderr) || !strings.HasPrefix(stderr.String(), "c:5:9: warning: ") ||
		!strings.Contains(stderr.String(), "by 7 rules or listeners: here, 6:9, 7:9, 8:9, 9:9 and 2 more, all of which --json names;") {
		t.Errorf("it says\n%s", stderr.String())
	}
	stdout.Reset()
	var got report
	if !Check("c", true, &stdout, &stderr) || json.Unmarshal(stdout.Bytes(), &got) != nil || len(got.Problems) != 7 {
		t.Fatalf("it says\n%s", stdout.String())
	}
	for n, p := range got.Problems {
		if p.Line != 5+n || p.Severity != "warning" || !strings.Contains(p.Message, "by this rule; list the origins") {
			t.Errorf("%+v", p)
		}
	}
}
