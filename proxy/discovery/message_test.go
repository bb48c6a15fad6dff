package discovery

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// records builds an answer of records in this order: "owner CNAME target" and "owner A address".
func records(t testing.TB, q dnsmessage.Question, list ...string) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{Response: true, RecursionAvailable: true})
	must(t, b.StartQuestions())
	must(t, b.Question(q))
	must(t, b.StartAnswers())
	for i, line := range list {
		words := strings.Fields(line)
		h := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(words[0]), Class: dnsmessage.ClassINET, TTL: uint32(100 - i)}
		if words[1] == "CNAME" {
			must(t, b.CNAMEResource(h, dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(words[2])}))
		} else {
			must(t, b.AResource(h, dnsmessage.AResource{A: netip.MustParseAddr(words[2]).As4()}))
		}
	}
	message, err := b.Finish()
	must(t, err)
	return message
}

func TestAnswersAreWhatTheNameLeadsTo(t *testing.T) {
	q := question("a.test.", dnsmessage.TypeA)
	chain := func(n int) (list []string) {
		owner := "a.test."
		for i := range n {
			next := string(rune('b'+i)) + ".test."
			list = append(list, owner+" CNAME "+next)
			owner = next
		}
		return append(list, owner+" A 10.0.0.1")
	}
	for name, c := range map[string]struct {
		list []string
		want string
		ttl  int64
	}{
		"one":                         {[]string{"a.test. A 10.0.0.1"}, "10.0.0.1", 100},
		"in any case":                 {[]string{"A.Test. A 10.0.0.1"}, "10.0.0.1", 100},
		"the smallest TTL":            {[]string{"a.test. A 10.0.0.3", "a.test. A 10.0.0.2"}, "10.0.0.2 10.0.0.3", 99},
		"of another":                  {[]string{"evil.test. A 6.6.6.6"}, "", 0},
		"of another too":              {[]string{"a.test. A 10.0.0.1", "evil.test. A 6.6.6.6"}, "10.0.0.1", 100},
		"an alias":                    {[]string{"a.test. CNAME b.test.", "b.test. A 10.0.0.1"}, "10.0.0.1", 99},
		"an alias behind its target":  {[]string{"b.test. A 10.0.0.1", "a.test. CNAME B.test."}, "10.0.0.1", 99},
		"an alias, and its own":       {[]string{"a.test. CNAME b.test.", "a.test. A 6.6.6.6", "b.test. A 10.0.0.1"}, "10.0.0.1", 98},
		"an alias that leads nowhere": {[]string{"a.test. CNAME b.test."}, "", 0},
		"many aliases":                {chain(maxAliases), "10.0.0.1", 100 - maxAliases},
		"too many":                    {chain(maxAliases + 1), "", 0},
		"a circle":                    {[]string{"a.test. CNAME b.test.", "b.test. CNAME a.test."}, "", 0},
	} {
		a, truncated, err := readAnswer(q, records(t, q, c.list...))
		if truncated || err != nil {
			t.Fatal(name, truncated, err)
		}
		var got []string
		for _, address := range a.addresses {
			got = append(got, address.String())
		}
		if strings.Join(got, " ") != c.want || a.ttl != c.ttl*second || (a.outcome == found) != (c.want != "") {
			t.Errorf("%s: %v for %d s, want %s for %d s", name, got, a.ttl/second, c.want, c.ttl)
		}
	}
}

func TestResolvConf(t *testing.T) {
	c := parseResolvConf("; x\n# nameserver 1.1.1.1\nnameserver 10.0.0.1\nnameserver\nnameserver nobody\nnameserver fe80::1%lo\n" +
		"nameserver ::ffff:10.0.0.3\nnameserver 10.0.0.4\ndomain old.test\nsearch a.test b_.test. bad..name\noptions timeout:99 attempts:0 ndots:5 rotate\n")
	if got := c.servers; len(got) != 3 || got[1].String() != "[fe80::1%lo]:53" || got[2].String() != "10.0.0.3:53" {
		t.Errorf("servers %v", got)
	}
	if !slices.Equal(c.search, []string{"a.test.", "b_.test."}) || c.timeout != 5*second || c.attempts != 1 {
		t.Errorf("%+v", c)
	}
	c = parseResolvConf("options timeout:0 attempts:77\nsearch a b c d e f g h\ndomain last.test other.test\n")
	if c.servers[0].String() != "127.0.0.1:53" || !slices.Equal(c.search, []string{"last.test."}) || c.timeout != second || c.attempts != maxAttempts {
		t.Errorf("%+v", c)
	}
	if c = parseResolvConf("search a b c d e f g h\n"); len(c.search) != maxSearch || c.timeout != 5*second || c.attempts != 2 {
		t.Errorf("%+v", c)
	}
}

// FuzzReadAnswer: whatever a server says, it is within bounds, and belongs to the question.
func FuzzReadAnswer(f *testing.F) {
	q := question("a.test.", dnsmessage.TypeA)
	f.Add(uint8(0), records(f, q, "a.test. CNAME b.test.", "b.test. A 10.0.0.1"))
	f.Add(uint8(1), addresses(60, "::1").message(1, question("a.test.", dnsmessage.TypeAAAA)))
	f.Add(uint8(2), reply{ttl: 1 << 31, services: []service{{"b.test.", 1, 2, 3}, {".", 0, 0, 0}}}.message(1, question("a.test.", dnsmessage.TypeSRV)))
	f.Add(uint8(0), reply{code: dnsmessage.RCodeNameError, negative: 7}.message(1, q))
	kinds := []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeSRV}
	f.Fuzz(func(t *testing.T, kind uint8, message []byte) {
		q := question("a.test.", kinds[int(kind)%len(kinds)])
		query, err := appendQuery(nil, 1, q, kind&4 == 0)
		must(t, err)
		answers(query, message)
		a, truncated, err := readAnswer(q, message)
		if err != nil || truncated {
			return
		}
		if a.outcome == failed || (a.outcome == found) != (a.err == nil) || a.outcome == found && len(a.addresses)+len(a.services) == 0 {
			t.Fatalf("%+v", a)
		}
		if a.ttl < 0 || a.ttl > (1<<31-1)*second || len(a.addresses) > MaxEndpoints || q.Type != dnsmessage.TypeSRV && len(a.services) > 0 || q.Type == dnsmessage.TypeSRV && len(a.addresses) > 0 {
			t.Fatalf("%+v", a)
		}
	})
}
