package sticky

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	now     = int64(1_800_000_000)
	backend = uint64(0xfeedfacecafebeef)
)

func secret(t testing.TB, digit string) Secret {
	t.Helper()
	list, err := ParseSecrets(strings.Repeat(digit, 64/len(digit)))
	if err != nil {
		t.Fatal(err)
	}
	return list[0]
}

func keys(t testing.TB, digits ...string) *Keys {
	t.Helper()
	var secrets []Secret
	for _, d := range digits {
		secrets = append(secrets, secret(t, d))
	}
	return NewKeys(secrets, "web")
}

func inserter(t testing.TB, c InsertConfig, k *Keys) *Inserter {
	t.Helper()
	n, err := NewInserter(c, k)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func rewriter(t testing.TB, name string, k *Keys) *Rewriter {
	t.Helper()
	w, err := NewRewriter(name, k)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// cookie returns the name and the value of the cookie that a line sets.
func cookie(setCookie []byte) string {
	text, _, _ := strings.Cut(strings.TrimPrefix(string(setCookie), "Set-Cookie: "), ";")
	return text
}

func token(t testing.TB, k *Keys, id uint64, at int64) string {
	t.Helper()
	_, value, _ := strings.Cut(cookie(inserter(t, InsertConfig{}, k).AppendSetCookie(nil, id, at)), "=")
	return value
}

// readLine returns what a line says of where its client belongs.
func readLine(r Reader, line []byte, at int64) (Hit, bool) {
	_, hit, found := r.AppendRequest(nil, line, at)
	return hit, found && !hit.Expired
}

// read shows a request's Cookie lines to a new reader.
func read(t testing.TB, c InsertConfig, k *Keys, at int64, lines ...string) (Hit, bool) {
	t.Helper()
	n := inserter(t, c, k)
	n.Begin()
	for _, line := range lines {
		if hit, ok := readLine(n, []byte(line), at); ok {
			return hit, true
		}
	}
	return Hit{}, false
}

func TestTheLineThatSetsTheCookie(t *testing.T) {
	k := keys(t, "1")
	token := token(t, k, backend, now)
	cases := []struct {
		config InsertConfig
		want   string
	}{
		{InsertConfig{}, "Set-Cookie: SERVERID=%s; Path=/\r\n"},
		{InsertConfig{Name: "lb", Lifetime: 86400, HTTPOnly: true}, "Set-Cookie: lb=%s; Max-Age=86400; Path=/; HttpOnly\r\n"},
		{InsertConfig{Lifetime: 1, Secure: true, SameSite: SameSiteNone, Path: "/chat", Domain: "example.com"},
			"Set-Cookie: SERVERID=%s; Max-Age=1; Path=/chat; Domain=example.com; Secure; SameSite=None\r\n"},
		{InsertConfig{Name: "__Host-lb", Secure: true, SameSite: SameSiteStrict}, "Set-Cookie: __Host-lb=%s; Path=/; Secure; SameSite=Strict\r\n"},
		{InsertConfig{SameSite: SameSiteLax}, "Set-Cookie: SERVERID=%s; Path=/; SameSite=Lax\r\n"},
	}
	for _, c := range cases {
		got := string(inserter(t, c.config, k).AppendSetCookie([]byte("before"), backend, now))
		if want := "before" + fmt.Sprintf(c.want, token); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestRefusedCookies(t *testing.T) {
	long := strings.Repeat("n", MaxNameLength)
	cases := []struct {
		config InsertConfig
		want   string
	}{
		{InsertConfig{Name: long + "n"}, "1 to 200 characters, this one has 201"},
		{InsertConfig{Name: "a b"}, `not ' '`},
		{InsertConfig{Name: "a=b"}, `not '='`},
		{InsertConfig{Name: "a;b"}, `not ';'`},
		{InsertConfig{Name: "a\r\nb"}, `not '\r'`},
		{InsertConfig{Name: "\u00e4"}, "not '\u00c3'"},
		{InsertConfig{Lifetime: -1}, "lifetime -1"},
		{InsertConfig{Lifetime: MaxLifetime + 1}, "lifetime 86401"},
		{InsertConfig{SameSite: sameSiteCount}, "no SameSite 4"},
		{InsertConfig{SameSite: SameSiteNone}, "needs Secure"},
		{InsertConfig{Name: "__Secure-a"}, "needs Secure"},
		{InsertConfig{Name: "__Host-a"}, "needs Secure"},
		{InsertConfig{Name: "__Host-a", Secure: true, Path: "/a"}, "the path / and no domain"},
		{InsertConfig{Name: "__Host-a", Secure: true, Domain: "example.com"}, "the path / and no domain"},
		{InsertConfig{Path: "a"}, "begins with /"},
		{InsertConfig{Path: "/a;b"}, "cannot stand"},
		{InsertConfig{Path: "/a\r\nb"}, "cannot stand"},
		{InsertConfig{Domain: "a;b"}, "such as example.com"},
		{InsertConfig{Domain: "example..com"}, "such as example.com"},
		{InsertConfig{Domain: "example.com:80"}, "such as example.com"},
	}
	k := keys(t, "1")
	for _, c := range cases {
		if _, err := NewInserter(c.config, k); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.config, err, c.want)
		}
	}
	if _, err := NewInserter(InsertConfig{}, NewKeys(nil, "web")); err != errNoKey {
		t.Error(err)
	}
	if _, err := NewRewriter("sid", NewKeys(nil, "web")); err != errNoKey {
		t.Error(err)
	}
	for _, name := range []string{"", long + "n", "a b"} {
		if _, err := NewRewriter(name, k); err == nil {
			t.Errorf("a cookie may be called %q", name)
		}
	}
	for _, name := range []string{"n", long, "!#$%&'*+-.^_`|~09azAZ"} {
		if _, err := NewRewriter(name, k); err != nil {
			t.Error(err)
		}
	}
}

func TestNamesOfSameSite(t *testing.T) {
	for s := range sameSiteCount {
		if got, err := ParseSameSite(sameSiteNames[s]); err != nil || got != s {
			t.Errorf("%v, %v", got, err)
		}
	}
	if _, err := ParseSameSite("Lax"); err == nil {
		t.Error("Lax is accepted")
	}
}

func TestWhereTheCookieIsFound(t *testing.T) {
	k := keys(t, "1")
	mine, other := token(t, k, backend, now), token(t, k, 7, now)
	cases := []struct {
		name  string
		lines []string
		want  uint64 // 0: nowhere
	}{
		{"alone", []string{"SERVERID=" + mine}, backend},
		{"among others", []string{"a=b; SERVERID=" + mine + "; c=d"}, backend},
		{"in another line", []string{"a=b", "c=d; SERVERID=" + mine}, backend},
		{"without spaces", []string{"a=b;SERVERID=" + mine + ";c=d"}, backend},
		{"with odd spaces", []string{" \ta = b ;\t SERVERID \t=  " + mine + "\t ;c"}, backend},
		{"in quotation marks", []string{`a="b"; SERVERID="` + mine + `"`}, backend},
		{"with one quotation mark", []string{`SERVERID="` + mine}, 0},
		{"the first of two", []string{"SERVERID=" + mine + "; SERVERID=" + other}, backend},
		{"the first of two lines", []string{"SERVERID=" + mine, "SERVERID=" + other}, backend},
		{"behind junk", []string{";;; ;=;==; SERVERID; SERVERID=; SERVERID=x; SERVERID=" + mine}, backend},
		{"behind junk of the right length", []string{"SERVERID=" + strings.Repeat("A", TokenLength) + "; SERVERID=" + other}, 7},
		{"in another case", []string{"serverid=" + mine}, 0},
		{"under a longer name", []string{"XSERVERID=" + mine + "; SERVERIDX=" + mine}, 0},
		{"as a name", []string{mine + "=SERVERID; =SERVERID=" + mine}, 0},
		{"in another's value", []string{"a=SERVERID=" + mine}, 0},
		{"with something behind", []string{"SERVERID=" + mine + "x", "SERVERID=" + mine + "=", "SERVERID=" + mine + ".x"}, 0},
		{"with commas between", []string{"a=b, SERVERID=" + mine}, 0},
		{"nowhere", []string{"", ";", "a=b", "SERVERID"}, 0},
		{"too short", []string{"SERVERID=" + mine[1:], "SERVERID=" + mine[:TokenLength-1]}, 0},
		{"with a line break in it", []string{"SERVERID=" + mine[:10] + "\n" + mine[10:], "SERVERID=" + mine[:10] + "\n" + mine[11:]}, 0},
	}
	for _, c := range cases {
		hit, ok := read(t, InsertConfig{Lifetime: 60}, k, now, c.lines...)
		if hit.ID != c.want || ok != (c.want != 0) || ok && hit.Issued != now {
			t.Errorf("%s: %+v, %v, want %#x", c.name, hit, ok, c.want)
		}
	}
}

// TestNoChangeOfATokenIsAccepted tries every other character at every place.
func TestNoChangeOfATokenIsAccepted(t *testing.T) {
	k := keys(t, "1")
	mine := token(t, k, backend, now)
	n := inserter(t, InsertConfig{}, k)
	for i := range mine {
		for c := range 256 {
			changed := []byte("SERVERID=" + mine)
			if at := &changed[len("SERVERID=")+i]; *at != byte(c) {
				*at = byte(c)
				n.Begin()
				if hit, ok := readLine(n, changed, now); ok {
					t.Fatalf("%q is accepted for %q: %+v", changed, mine, hit)
				}
			}
		}
	}
}

func TestWhichKeysAndContextsATokenIsOf(t *testing.T) {
	old := token(t, keys(t, "1"), backend, now)
	cases := []struct {
		name string
		keys *Keys
		want bool
	}{
		{"the same", keys(t, "1"), true},
		{"behind a new one", keys(t, "2", "1"), true},
		{"before a new one", keys(t, "1", "2"), true},
		{"gone", keys(t, "2"), false},
		{"another group's", NewKeys([]Secret{secret(t, "1")}, "chat"), false},
	}
	for _, c := range cases {
		if _, ok := read(t, InsertConfig{}, c.keys, now, "SERVERID="+old); ok != c.want {
			t.Errorf("%s: %v, want %v", c.name, ok, c.want)
		}
	}
	if first, new := token(t, keys(t, "2", "1"), backend, now), token(t, keys(t, "2"), backend, now); first != new {
		t.Error("not the first key makes tokens")
	}
	w := rewriter(t, "SERVERID", keys(t, "1"))
	w.Begin()
	if _, _, found := w.AppendRequest(nil, []byte("SERVERID="+old+"~x"), now); found {
		t.Error("the token of an inserted cookie is a tag")
	}
}

// TestATokenTellsNothing: neither which backend nor whether it is the same.
func TestATokenTellsNothing(t *testing.T) {
	k := keys(t, "1")
	one, later, other := token(t, k, backend, now), token(t, k, backend, now+1), token(t, k, backend+1, now)
	same := func(a, b string) (n int) {
		for i := range a {
			if a[i] == b[i] {
				n++
			}
		}
		return n
	}
	// 2 characters hold the key's number.
	if same(one, later) > 8 || same(one, other) > 8 {
		t.Errorf("%s, a second later %s, another backend %s", one, later, other)
	}
	if one != token(t, keys(t, "1"), backend, now) {
		t.Error("another machine makes another token")
	}
}

func TestHowLongATokenIsHonoured(t *testing.T) {
	k := keys(t, "1")
	line := "SERVERID=" + token(t, k, backend, now)
	cases := []struct {
		lifetime  int
		age       int64
		ok, renew bool
	}{
		{100, 0, true, false}, {100, 50, true, false}, {100, 51, true, true}, {100, 100, true, true}, {100, 101, false, false},
		{1, 1, true, true}, {1, 2, false, false},
		{100, -clockSkew, true, false}, {100, -clockSkew - 1, false, false},
		{0, MaxLifetime * 15, true, false}, {0, MaxLifetime*15 + 1, true, true}, {0, MaxLifetime * 30, true, true}, {0, MaxLifetime*30 + 1, false, false},
	}
	for _, c := range cases {
		hit, ok := read(t, InsertConfig{Lifetime: c.lifetime}, k, now+c.age, line)
		if ok != c.ok || hit.Renew != c.renew {
			t.Errorf("lifetime %d, age %d: %v, renew %v, want %v, %v", c.lifetime, c.age, ok, hit.Renew, c.ok, c.renew)
		}
	}
	for _, at := range []int64{-5, 1 << 40} { // clocks that are wrong
		k := keys(t, "1")
		if hit, ok := read(t, InsertConfig{}, k, 0, "SERVERID="+token(t, k, backend, at)); ok && hit.Issued != 0 {
			t.Errorf("made at %d: %+v", at, hit)
		}
	}
}

// TestARequestCostsABoundedNumberOfVerifications: what comes behind them is not looked at, until the next request.
func TestARequestCostsABoundedNumberOfVerifications(t *testing.T) {
	k := keys(t, "1", "2")
	mine := token(t, k, backend, now)
	forged := mine[:20] + strings.Repeat("A", TokenLength-20)
	n := inserter(t, InsertConfig{}, k)
	for junk := range candidates + 3 {
		n.Begin()
		line := strings.Repeat("SERVERID="+forged+"; ", junk) + "SERVERID=" + mine
		for _, line := range []string{"SERVERID=another", line} {
			if _, ok := readLine(n, []byte(line), now); line != "SERVERID=another" && ok != (junk < candidates) {
				t.Errorf("behind %d forged ones: %v", junk, ok)
			}
		}
	}
}

// TestABackendDoesNotSeeOurCookie: what is left of a line in which @ is a token of ours, ? an expired one and ! one of
// another key.
func TestABackendDoesNotSeeOurCookie(t *testing.T) {
	k := keys(t, "1")
	n := inserter(t, InsertConfig{Lifetime: 60}, k)
	tokens := strings.NewReplacer("@", token(t, k, backend, now), "?", token(t, k, backend, now-61), "!", token(t, keys(t, "2"), backend, now))
	for line, want := range map[string]string{
		"SERVERID=@": "", "SERVERID=@; a=b": "a=b", "a=b; SERVERID=@": "a=b", "a=b; SERVERID=@; c=d": "a=b; c=d", "SERVERID=?": "",
		"SERVERID=@; a; SERVERID=?": "a", "SERVERID=!; SERVERID=@": "SERVERID=!", "a=b;SERVERID=@;": "a=b", ` SERVERID="@" `: "", "serverid=@;SERVERID=@": "serverid=@",
	} {
		n.Begin()
		got, hit, found := n.AppendRequest([]byte("Cookie: "), []byte(tokens.Replace(line)), now)
		if want := "Cookie: " + tokens.Replace(want); string(got) != want || !found || hit.Expired != !strings.Contains(line, "@") {
			t.Errorf("%q: %q, want %q, %+v, found: %v", line, got, want, hit, found)
		}
	}
	for _, line := range []string{"", "a=b", "SERVERID", "SERVERID=!", "SERVERID=x; a=b"} {
		n.Begin()
		if got, hit, found := n.AppendRequest([]byte("Cookie: "), []byte(tokens.Replace(line)), now); string(got) != "Cookie: " || found {
			t.Errorf("%q: %q, %+v", line, got, hit)
		}
	}
}

func TestValueOfACookie(t *testing.T) {
	cases := []struct {
		line, want string
		ok         bool
	}{
		{"a=b; id=x; id=y", "x", true}, {`id="x"`, "x", true}, {"id=", "", true}, {"id", "", false}, {"", "", false}, {"ID=x", "", false},
		{" id\t=\tx y\t", "x y", true}, {"id=a=b", "a=b", true}, {`id="`, `"`, true}, {`id=""`, "", true},
	}
	for _, c := range cases {
		if got, ok := Value([]byte(c.line), "id"); string(got) != c.want || ok != c.ok {
			t.Errorf("%q: %q, %v, want %q, %v", c.line, got, ok, c.want, c.ok)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	k := keys(t, "1", "2", "3")
	n, w := inserter(t, InsertConfig{}, k), rewriter(t, "sid", k)
	line := []byte("a=b; SERVERID=" + token(t, k, backend, now))
	set := []byte("sid=abc; Path=/")
	tagged, _ := w.AppendAnswer(nil, set, backend, now)
	buffer := make([]byte, 0, 1024)
	for name, f := range map[string]func(){
		"reading":          func() { n.Begin(); n.AppendRequest(buffer, line, now) },
		"setting":          func() { n.AppendSetCookie(buffer, backend, now) },
		"an answer":        func() { w.AppendAnswer(buffer, set, backend, now) },
		"a request":        func() { w.Begin(); w.AppendRequest(buffer, tagged, now) },
		"a cookie's value": func() { Value(line, "SERVERID") },
	} {
		if got := testing.AllocsPerRun(100, f); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

func TestSecretsOfAFile(t *testing.T) {
	one, two := strings.Repeat("1a", 32), strings.Repeat("2B", 32)
	list, err := ParseSecrets("# made on Monday\r\n\n  " + one + "\t\r\n#" + one + "\n" + two)
	if err != nil || !slices.Equal(list, []Secret{secret(t, "1a"), secret(t, "2b")}) {
		t.Fatalf("%v, %v", list, err)
	}
	var many strings.Builder
	for i := range MaxSecrets + 1 {
		fmt.Fprintf(&many, "%064x\n", i+1)
	}
	cases := []struct{ text, want string }{
		{"", "holds no key"},
		{"# nothing\n\n", "holds no key"},
		{"\n" + one + "0", "line 2: a key is 64 hexadecimal digits"},
		{one[1:], "line 1: a key is"},
		{one[2:], "line 1: a key is"},
		{one[:63] + "g", "line 1: a key is"},
		{one + " " + two, "line 1: a key is"},
		{"0x" + one[2:], "line 1: a key is"},
		{strings.Repeat("0", 64), "line 1: a key of zeros"},
		{one + "\n" + two + "\n" + strings.ToUpper(one), "line 3: the key stands in the file twice"},
		{many.String(), "line 17: more than 16 keys"},
	}
	for _, c := range cases {
		_, err := ParseSecrets(c.text)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		} else if strings.Contains(err.Error(), "1a1a") || strings.Contains(err.Error(), "2B") || strings.Contains(err.Error(), "'g'") {
			t.Errorf("%v shows a key", err)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, text := range []string{fmt.Sprintf(verb, list), fmt.Sprintf(verb, NewKeys(list, "web"))} {
			if strings.Contains(text, "1a1a") || strings.Contains(text, "26") || strings.Contains(text, "0x") {
				t.Errorf("%s shows a secret: %s", verb, text)
			}
		}
	}
}

func BenchmarkRead(b *testing.B) {
	k := keys(b, "1", "2", "3", "4")
	for _, c := range []struct{ name, value string }{
		{"valid", token(b, k, backend, now)}, {"of the last key", token(b, keys(b, "4"), backend, now)}, {"forged", token(b, k, backend, now)[:30] + "AAAAAAAAA"},
	} {
		b.Run(c.name, func(b *testing.B) {
			n := inserter(b, InsertConfig{}, k)
			line := []byte("theme=dark; session=0123456789abcdef; SERVERID=" + c.value)
			buffer := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				n.Begin()
				buffer, _, _ = n.AppendRequest(buffer[:0], line, now)
			}
		})
	}
}
