package route

import (
	"testing"

	"culvert/proxy/http1"
)

// conditionCase is a rule for every host and path, and a request that it is for or not.
type conditionCase struct {
	name    string
	match   Match
	target  string
	lines   string
	upgrade bool
	want    bool
}

func checkConditions(t *testing.T, cases []conditionCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			target := c.target
			if target == "" {
				target = "/"
			}
			got := found(newTable(t, c.match), request(t, "h", target, c.lines), c.upgrade) == 0
			if got != c.want {
				t.Fatalf("%s with %q and upgrade %v: matched is %v", target, c.lines, c.upgrade, got)
			}
		})
	}
}

func headers(list ...Condition) Match { return Match{Headers: list} }
func cookies(list ...Condition) Match { return Match{Cookies: list} }
func query(list ...Condition) Match   { return Match{Query: list} }

func TestHeaderConditions(t *testing.T) {
	equal, present := Condition{Name: "X-Env", Value: "test"}, Condition{Name: "X-Env", Op: Present}
	absent, prefix := Condition{Name: "X-Env", Op: Absent}, Condition{Name: "X-Env", Value: "te", Op: Prefix}
	checkConditions(t, []conditionCase{
		{"equal", headers(equal), "", "X-Env: test¶", false, true},
		{"equal is not prefix", headers(equal), "", "X-Env: test2¶", false, false},
		{"equal, missing", headers(equal), "", "", false, false},
		{"names without case", headers(equal), "", "x-ENV: test¶", false, true},
		{"values with case", headers(equal), "", "X-Env: Test¶", false, false},
		{"white space around the value", headers(equal), "", "X-Env:\t test \t¶", false, true},
		{"a longer name is another", headers(equal), "", "X-Env2: test¶", false, false},
		{"an underscore is another name", headers(equal), "", "X_Env: test¶", false, false},
		{"the second of several lines", headers(equal), "", "X-Env: a¶X-Env: test¶", false, true},
		{"none of several lines", headers(equal), "", "X-Env: a¶X-Env: b¶", false, false},
		{"a list is compared whole", headers(equal), "", "X-Env: test, b¶", false, false},
		{"equal to nothing", headers(Condition{Name: "X-Env"}), "", "X-Env:¶", false, true},
		{"equal to nothing, missing", headers(Condition{Name: "X-Env"}), "", "", false, false},
		{"present", headers(present), "", "X-Env: x¶", false, true},
		{"present though empty", headers(present), "", "X-Env:¶", false, true},
		{"present, missing", headers(present), "", "X-Other: x¶", false, false},
		{"absent", headers(absent), "", "X-Other: x¶", false, true},
		{"absent, there", headers(absent), "", "X-Env: x¶", false, false},
		{"absent, there but empty", headers(absent), "", "X-Env:¶", false, false},
		{"prefix", headers(prefix), "", "X-Env: test¶", false, true},
		{"prefix, all of it", headers(prefix), "", "X-Env: te¶", false, true},
		{"prefix, too short", headers(prefix), "", "X-Env: t¶", false, false},
		{"prefix in the middle", headers(prefix), "", "X-Env: a te¶", false, false},
		{"all must hold", headers(equal, Condition{Name: "X-B", Op: Present}), "", "X-Env: test¶", false, false},
		{"all hold", headers(equal, Condition{Name: "X-B", Op: Present}), "", "X-B: 1¶X-Env: test¶", false, true},
		{"two values of one name, two lines", headers(equal, Condition{Name: "X-Env", Value: "b"}), "", "X-Env: b¶X-Env: test¶", false, true},
		{"a header that the parser knows", headers(Condition{Name: "origin", Value: "https://a"}), "", "Origin: https://a¶", false, true},
		{"known, missing", headers(Condition{Name: "origin", Value: "https://a"}), "", "X-Origin: https://a¶", false, false},
		{"known, absent", headers(Condition{Name: "Origin", Op: Absent}), "", "", false, true},
		{"known, absent, there", headers(Condition{Name: "Origin", Op: Absent}), "", "ORIGIN: null¶", false, false},
		{"prefix with a space at its end", headers(Condition{Name: "Authorization", Value: "Bearer ", Op: Prefix}), "", "Authorization: Bearer abc¶", false, true},
		{"the cookie line as a header", headers(Condition{Name: "Cookie", Value: "a=", Op: Prefix}), "", "Cookie: a=1; b=2¶", false, true},
	})
}

func TestCookieConditions(t *testing.T) {
	equal, absent := Condition{Name: "beta", Value: "1"}, Condition{Name: "beta", Op: Absent}
	checkConditions(t, []conditionCase{
		{"the only one", cookies(equal), "", "Cookie: beta=1¶", false, true},
		{"the first", cookies(equal), "", "Cookie: beta=1; a=b¶", false, true},
		{"the last", cookies(equal), "", "Cookie: a=b; beta=1¶", false, true},
		{"without the space", cookies(equal), "", "Cookie: a=b;beta=1¶", false, true},
		{"on a second line", cookies(equal), "", "Cookie: a=b¶Cookie: beta=1¶", false, true},
		{"another value first", cookies(equal), "", "Cookie: beta=0; beta=1¶", false, true},
		{"names with case", cookies(equal), "", "Cookie: Beta=1¶", false, false},
		{"a name that ends alike", cookies(equal), "", "Cookie: xbeta=1¶", false, false},
		{"the name inside a value", cookies(equal), "", "Cookie: a=beta=1¶", false, false},
		{"a longer value", cookies(equal), "", "Cookie: beta=11¶", false, false},
		{"a value with '='", cookies(Condition{Name: "a", Value: "b=c"}), "", "Cookie: a=b=c¶", false, true},
		{"quotes are part of the value", cookies(equal), "", `Cookie: beta="1"¶`, false, false},
		{"no cookie line", cookies(equal), "", "X-Cookie: beta=1¶", false, false},
		{"no value is an empty one", cookies(Condition{Name: "beta"}), "", "Cookie: beta¶", false, true},
		{"present", cookies(Condition{Name: "beta", Op: Present}), "", "Cookie: a=b; beta=¶", false, true},
		{"prefix", cookies(Condition{Name: "beta", Value: "v2-", Op: Prefix}), "", "Cookie: beta=v2-x¶", false, true},
		{"absent", cookies(absent), "", "Cookie: a=b¶", false, true},
		{"absent without a line", cookies(absent), "", "", false, true},
		{"absent, there", cookies(absent), "", "Cookie: a=b¶Cookie: beta=2¶", false, false},
		{"nothing but separators", cookies(equal), "", "Cookie: ;;; ;¶", false, false},
	})
}

func TestQueryConditions(t *testing.T) {
	equal, absent := Condition{Name: "room", Value: "blue sky"}, Condition{Name: "room", Op: Absent}
	checkConditions(t, []conditionCase{
		{"percent-encoded", query(equal), "/?room=blue%20sky", "", false, true},
		{"plus is a space", query(equal), "/?room=blue+sky", "", false, true},
		{"an encoded plus is none", query(equal), "/?room=blue%2Bsky", "", false, false},
		{"an encoded name", query(equal), "/?r%6fom=blue+sky", "", false, true},
		{"hex digits in either case", query(Condition{Name: "a", Value: "jj"}), "/?a=%6a%6A", "", false, true},
		{"not the first", query(equal), "/?a=b&room=blue+sky&c", "", false, true},
		{"another value first", query(equal), "/?room=x&room=blue+sky", "", false, true},
		{"names with case", query(equal), "/?Room=blue+sky", "", false, false},
		{"values with case", query(equal), "/?room=Blue+sky", "", false, false},
		{"too long", query(equal), "/?room=blue+sky!", "", false, false},
		{"too short", query(equal), "/?room=blue+sk", "", false, false},
		{"a name that begins alike", query(equal), "/?rooms=blue+sky", "", false, false},
		{"a name that is shorter", query(equal), "/?roo=blue+sky", "", false, false},
		{"an encoded '&' separates nothing", query(Condition{Name: "b", Op: Present}), "/?a=1%26b=2", "", false, false},
		{"an encoded '=' is part of the name", query(Condition{Name: "a=b", Value: "c"}), "/?a%3Db=c", "", false, true},
		{"a second '=' is part of the value", query(Condition{Name: "a", Value: "b=c"}), "/?a=b=c", "", false, true},
		{"a semicolon separates nothing", query(Condition{Name: "b", Op: Present}), "/?a=1;b=2", "", false, false},
		{"a second '?' is a byte", query(Condition{Name: "?a", Value: "b"}), "/??a=b", "", false, true},
		{"a broken escape stands for itself", query(Condition{Name: "a", Value: "100%"}), "/?a=100%", "", false, true},
		{"a broken escape in the middle", query(Condition{Name: "a", Value: "%zz%4"}), "/?a=%zz%4", "", false, true},
		{"encoded once is decoded once", query(Condition{Name: "a", Value: "%41"}), "/?a=%2541", "", false, true},
		{"no value is an empty one", query(Condition{Name: "a"}), "/?a", "", false, true},
		{"no query", query(equal), "/room=blue+sky", "", false, false},
		{"an empty query", query(equal), "/?", "", false, false},
		{"present", query(Condition{Name: "a", Op: Present}), "/?&&a=&", "", false, true},
		{"prefix", query(Condition{Name: "a", Value: "b c", Op: Prefix}), "/?a=b%20cd", "", false, true},
		{"prefix, too short", query(Condition{Name: "a", Value: "b c", Op: Prefix}), "/?a=b%20", "", false, false},
		{"absent", query(absent), "/?a=room", "", false, true},
		{"absent without a query", query(absent), "/", "", false, true},
		{"absent, there in another spelling", query(absent), "/?%72oom", "", false, false},
		{"the query of an absolute target", query(equal), "http://h?room=blue+sky", "", false, true},
	})
}

func TestMethodAndUpgradeConditions(t *testing.T) {
	upgrades, others := Match{Upgrade: OnlyUpgrades}, Match{Upgrade: NoUpgrades}
	chat := Match{Subprotocols: []string{"chat.v2", "chat.v1"}}
	checkConditions(t, []conditionCase{
		{"the method", Match{Methods: []string{"GET"}}, "", "", false, true},
		{"one of the methods", Match{Methods: []string{"POST", "GET"}}, "", "", false, true},
		{"another method", Match{Methods: []string{"POST", "GETS"}}, "", "", false, false},
		{"only upgrades, one", upgrades, "", "", true, true},
		{"only upgrades, none", upgrades, "", "", false, false},
		{"no upgrades, none", others, "", "", false, true},
		{"no upgrades, one", others, "", "", true, false},
		{"any, one", Match{}, "", "", true, true},
		{"what counts is the verdict, not the header", upgrades, "", "Connection: upgrade¶Upgrade: websocket¶", false, false},
		{"a subprotocol", chat, "", "Sec-WebSocket-Protocol: chat.v1¶", true, true},
		{"a subprotocol in a list", chat, "", "Sec-WebSocket-Protocol: x, chat.v2 ,y¶", true, true},
		{"a subprotocol on a second line", chat, "", "Sec-WebSocket-Protocol: x¶Sec-WebSocket-Protocol: chat.v1¶", true, true},
		{"another subprotocol", chat, "", "Sec-WebSocket-Protocol: chat.v3, chat¶", true, false},
		{"subprotocols with case", chat, "", "Sec-WebSocket-Protocol: Chat.v1¶", true, false},
		{"no subprotocol offered", chat, "", "", true, false},
		{"a subprotocol without an upgrade", chat, "", "Sec-WebSocket-Protocol: chat.v1¶", false, false},
	})
	head := parseHead(t, "HEAD / HTTP/1.1¶Host: h¶¶")
	if found(newTable(t, Match{Methods: []string{"GET"}}), head, false) != defaultAnswer {
		t.Error("GET took a HEAD")
	}
	head = parseHead(t, "get / HTTP/1.1¶Host: h¶¶")
	if found(newTable(t, Match{Methods: []string{"GET"}}), head, false) != defaultAnswer {
		t.Error("GET took a get")
	}
}

func TestTheTableKeepsNothingOfItsCaller(t *testing.T) {
	matches := []Match{{Host: "h", Methods: []string{"GET"}, Subprotocols: []string{"chat"},
		Headers: []Condition{{Name: "X-A", Value: "1"}}, Cookies: []Condition{{Name: "a"}}, Query: []Condition{{Name: "a"}}}}
	table := newTable(t, matches...)
	m := &matches[0]
	m.Methods[0], m.Subprotocols[0] = "PUT", "other"
	m.Headers[0], m.Cookies[0], m.Query[0] = Condition{}, Condition{}, Condition{}
	head := request(t, "h", "/?a", "X-A: 1¶Cookie: a¶Sec-WebSocket-Protocol: chat¶")
	if got := found(table, head, true); got != 0 {
		t.Fatalf("after its caller changed the rules, the table found %d", got)
	}
}

func TestFindReadsTheHeadWhereItIsNow(t *testing.T) {
	table := newTable(t, Match{Host: "a.com", Path: "/x", Cookies: []Condition{{Name: "c", Value: "1"}}})
	old := []byte("GET /%78 HTTP/1.1\r\nHost: A.com\r\nCookie: c=1\r\n\r\n")
	var head http1.RequestHead
	if _, err := head.Parse(old, nil); err != nil {
		t.Fatal(err)
	}
	head.Rebind(append([]byte(nil), old...))
	clear(old)
	if got := found(table, &head, false); got != 0 {
		t.Fatalf("found %d", got)
	}
}
