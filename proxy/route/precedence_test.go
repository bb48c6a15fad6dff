package route

import "testing"

// precedenceCase is a request and the rule that it follows.
type precedenceCase struct {
	name         string
	rules        []Match
	host, target string
	want         int
}

func checkPrecedence(t *testing.T, cases []precedenceCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := found(newTable(t, c.rules...), request(t, c.host, c.target, ""), false); got != c.want {
				t.Fatalf("%s%s followed %d, want %d, of %+v", c.host, c.target, got, c.want, c.rules)
			}
		})
	}
}

// only is a condition that no request of these tests meets; always is one that all do.
var (
	only   = []Condition{{Name: "X-Only", Op: Present}}
	always = []Condition{{Name: "X-Only", Op: Absent}}
)

func TestPrecedenceOfDomains(t *testing.T) {
	domains := []Match{{}, {Host: "*.com"}, {Host: "*.example.com"}, {Host: "*.eu.example.com"}, {Host: "app.example.com"}}
	checkPrecedence(t, []precedenceCase{
		{"an exact domain comes first", domains, "app.example.com", "/", 4},
		{"then the narrowest wildcard", domains, "a.eu.example.com", "/", 3},
		{"then a wider one", domains, "other.example.com", "/", 2},
		{"then the widest", domains, "example.com", "/", 1},
		{"no domain: rules without one", domains, "example.org", "/", 0},
		{"a wildcard takes several labels", domains, "a.b.c.eu.example.com", "/", 3},
		{"a wildcard does not take its own suffix", domains, "eu.example.com", "/", 2},
		{"a wildcard ends at a dot", []Match{{Host: "*.example.com"}}, "badexample.com", "/", defaultAnswer},
		{"a wildcard does not take what comes behind", []Match{{Host: "*.example.com"}}, "a.example.com.org", "/", defaultAnswer},
		{"an exact domain takes no other below", []Match{{Host: "example.com"}}, "a.example.com", "/", defaultAnswer},
		{"an exact domain takes no other above", []Match{{Host: "a.example.com"}}, "example.com", "/", defaultAnswer},
		{"an exact domain beside its wildcard", []Match{{Host: "*.a.com"}, {Host: "a.com"}}, "a.com", "/", 1},
		{"case of the request does not count", domains, "APP.Example.COM", "/", 4},
		{"case of the rule does not count", []Match{{Host: "APP.Example.com"}}, "app.example.com", "/", 0},
		{"case of a wildcard does not count", []Match{{Host: "*.EXAMPLE.com"}}, "a.example.COM", "/", 0},
		{"the port does not count", domains, "app.example.com:8080", "/", 4},
		{"a trailing dot equals none", domains, "app.example.com.", "/", 4},
		{"a trailing dot and a port", domains, "app.example.com.:80", "/", 4},
		{"a trailing dot and a wildcard", domains, "a.eu.example.com.", "/", 3},
		{"a trailing dot in the rule", []Match{{Host: "example.com."}}, "example.com", "/", 0},
		{"a trailing dot in a wildcard", []Match{{Host: "*.example.com."}}, "a.example.com", "/", 0},
		{"two spellings are one domain", []Match{{Host: "a.com.", Path: "/x"}, {Host: "A.com"}}, "a.com", "/y", 1},
		{"one label", []Match{{Host: "localhost"}}, "localhost:3000", "/", 0},
		{"a wildcard of the top level", []Match{{Host: "*.com"}}, "a.b.com", "/", 0},
		{"an IPv4 address", []Match{{Host: "192.0.2.1"}}, "192.0.2.1:80", "/", 0},
		{"another IPv4 address", []Match{{Host: "192.0.2.1"}}, "192.0.2.10", "/", defaultAnswer},
		{"an IPv6 address", []Match{{Host: "[2001:db8::1]"}}, "[2001:db8::1]:80", "/", 0},
		{"an IPv6 address in upper case", []Match{{Host: "[2001:DB8::1]"}}, "[2001:Db8::1]", "/", 0},
		{"underscore and digits", []Match{{Host: "*.my_host-1.example"}}, "a.my_host-1.example", "/", 0},
		{"the authority of an absolute target replaces Host", domains, "example.org", "http://app.example.com/", 4},
		{"no rules at all", nil, "example.com", "/", defaultAnswer},
		{"a domain far longer than all wildcards", domains, "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.example.com", "/", 2},
	})
}

func TestOnlyTheBestDomainCounts(t *testing.T) {
	wide := []Match{{Path: "/x"}, {Host: "*.com", Path: "/x"}, {Host: "*.example.com", Path: "/y"}, {Host: "a.example.com", Path: "/z"}}
	checkPrecedence(t, []precedenceCase{
		{"a domain without a rule for the path is a 404", wide, "a.example.com", "/x", noMatch},
		{"also where a wildcard would match", wide, "a.example.com", "/y", noMatch},
		{"a narrow wildcard does not fall back to a wide one", wide, "b.example.com", "/x", noMatch},
		{"nor a wide one to rules without domain", wide, "b.com", "/y", noMatch},
		{"rules without domain are for other domains", wide, "b.org", "/x", 0},
		{"where none of those matches: the default", wide, "b.org", "/y", defaultAnswer},
		{"the root rule of a domain takes the rest", append(wide[:4:4], Match{Host: "a.example.com"}), "a.example.com", "/x", 4},
		{"also when it is written with a slash", append(wide[:4:4], Match{Host: "a.example.com", Path: "/"}), "a.example.com", "/x", 4},
		{"a root rule whose conditions fail is a 404", []Match{{Host: "a.com", Headers: only}, {}}, "a.com", "/", noMatch},
		{"a rule without domain whose conditions fail", []Match{{Headers: only}}, "a.com", "/", defaultAnswer},
		{"the root rule of a wildcard takes the rest", []Match{{Host: "*.com", Path: "/x"}, {Host: "*.com"}}, "a.com", "/y", 1},
	})
}

func TestPrecedenceOfPaths(t *testing.T) {
	paths := []Match{{Path: "/"}, {Path: "/api"}, {Path: "/api/v1"}, {Path: "/api/v1/users"}, {Path: "/chat/"}}
	checkPrecedence(t, []precedenceCase{
		{"the root", paths, "h", "/", 0},
		{"the path itself", paths, "h", "/api", 1},
		{"with a slash", paths, "h", "/api/", 1},
		{"what is below", paths, "h", "/api/x", 1},
		{"a longer prefix wins", paths, "h", "/api/v1", 2},
		{"the longest wins", paths, "h", "/api/v1/users/7", 3},
		{"a segment counts whole", paths, "h", "/apix", 0},
		{"also further down", paths, "h", "/api/v1/users7", 2},
		{"half a segment is none", paths, "h", "/ap", 0},
		{"a rule with a slash matches below", paths, "h", "/chat/room", 4},
		{"also with nothing behind the slash", paths, "h", "/chat/", 4},
		{"but not the path without it", paths, "h", "/chat", 0},
		{"case counts", paths, "h", "/API", 0},
		{"the query does not count", paths, "h", "/api?x=/api/v1", 1},
		{"an absolute target", paths, "h", "http://h/api/v1", 2},
		{"an absolute target without path", paths, "h", "http://h?x", 0},
		{"order does not count where paths differ", []Match{{Path: "/a/b"}, {Path: "/a"}, {Path: "/a/b/c"}}, "h", "/a/b/c", 2},
		{"with a slash is longer than without", []Match{{Path: "/a"}, {Path: "/a/"}}, "h", "/a/x", 1},
		{"and without takes the path itself", []Match{{Path: "/a"}, {Path: "/a/"}}, "h", "/a", 0},
		{"no rule for the root", []Match{{Path: "/a"}}, "h", "/", defaultAnswer},
		{"empty and slash are one path", []Match{{Path: "/", Headers: only}, {Path: ""}}, "h", "/x", 1},
		{"in order", []Match{{Path: ""}, {Path: "/"}}, "h", "/x", 0},
		{"a rule's path is normalised too", []Match{{Path: "/x/..//%61pi"}}, "h", "/api/1", 0},
		{"a rule's path in UTF-8", []Match{{Path: "/käse"}}, "h", "/k%c3%A4se", 0},
		{"a rule's path with a space", []Match{{Path: "/a b"}}, "h", "/a%20b", 0},
		{"a rule's kept escape in lower case", []Match{{Path: "/a%2fb"}}, "h", "/a%2Fb/c", 0},
		{"an encoded slash is no slash", []Match{{Path: "/a"}}, "h", "/a%2Fb", defaultAnswer},
		{"an escaped star is a name", []Match{{Path: "/%2A"}}, "h", "/*/x", 0},
		{"a rule of slashes is the root", []Match{{Path: "///"}}, "h", "/x", 0},
	})
}

func TestASpellingDoesNotPassAGuardedPath(t *testing.T) {
	rules := []Match{{}, {Path: "/api"}, {Path: "/api/admin/"}}
	for target, want := range map[string]int{
		"/%61pi": 1, "//api": 1, "/x/../api": 1, "/./api": 1, "/%2e/api": 1, "/x/%2e%2E/api": 1, "/..//api": 1,
		"/api/../api": 1, "/api/%61dmin/x": 2, "/api//admin//": 2, "/api/x/../admin/": 2, "/api/admin/..": 1,
		"/api/admin/../../": 0, "/api/.": 1, "/x/..%2fapi": 0, "/%2561pi": 0, "/api/%2e./x": 0, `/x\..\api`: 0,
	} {
		if got := found(newTable(t, rules...), request(t, "h", target, ""), false); got != want {
			t.Errorf("%s followed rule %d, want %d", target, got, want)
		}
	}
}

func TestPathsWhoseConditionsFail(t *testing.T) {
	checkPrecedence(t, []precedenceCase{
		{"the next shorter path is tried", []Match{{Path: "/a"}, {Path: "/a/b", Headers: only}}, "h", "/a/b", 0},
		{"down to the root", []Match{{}, {Path: "/a", Headers: only}, {Path: "/a/b", Headers: only}}, "h", "/a/b/c", 0},
		{"with a slash, then without", []Match{{Path: "/a"}, {Path: "/a/", Headers: only}}, "h", "/a/x", 0},
		{"a path with a slash on the way down", []Match{{Path: "/a/"}, {Path: "/a/b/c", Headers: only}}, "h", "/a/b/c", 0},
		{"of one path the first that holds", []Match{{Path: "/a", Headers: only}, {Path: "/a", Headers: always}, {Path: "/a"}}, "h", "/a", 1},
		{"conditions do not beat order", []Match{{Path: "/a"}, {Path: "/a", Headers: always}}, "h", "/a", 0},
		{"a longer path beats more conditions", []Match{{Path: "/a", Headers: always}, {Path: "/a/b"}}, "h", "/a/b", 1},
		{"none holds in a domain", []Match{{Host: "h", Path: "/a", Headers: only}, {Path: "/a"}}, "h", "/a", noMatch},
	})
}

func TestRequestsWithoutHostFollowRulesWithoutDomain(t *testing.T) {
	rules := []Match{{Host: "*.com"}, {Host: "a.com"}, {Path: "/x"}}
	if got := found(newTable(t, rules...), parseHead(t, "GET /x HTTP/1.0¶¶"), false); got != 2 {
		t.Errorf("followed %d, want 2", got)
	}
	if got := found(newTable(t, rules...), parseHead(t, "GET /y HTTP/1.0¶¶"), false); got != defaultAnswer {
		t.Errorf("followed %d, want the default", got)
	}
	if got := found(newTable(t, rules...), parseHead(t, "GET /y HTTP/1.0¶Host: a.com¶¶"), false); got != 1 {
		t.Errorf("with a Host: followed %d, want 1", got)
	}
}

func TestTheAsteriskFollowsRulesWithoutPath(t *testing.T) {
	head := parseHead(t, "OPTIONS * HTTP/1.1¶Host: a.com¶¶")
	for _, c := range []struct {
		rules []Match
		want  int
	}{
		{[]Match{{Path: "/x"}, {}}, 1},
		{[]Match{{Path: "/%2A"}}, defaultAnswer},
		{[]Match{{Host: "a.com", Path: "/x"}, {}}, noMatch},
		{[]Match{{Host: "a.com"}, {}}, 0},
	} {
		if got := found(newTable(t, c.rules...), head, false); got != c.want {
			t.Errorf("followed %d, want %d, of %+v", got, c.want, c.rules)
		}
	}
}
