package http1

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// accepter says who reads a message to its end, of this package and net/http.
type accepter string

const (
	onlyUs      accepter = "Culvert"
	onlyNetHTTP accepter = "net/http"
	bothOfThem  accepter = "both" // and read it differently
)

// difference is one way in which this package and net/http are known to differ. docs/http-differences.md has a row for
// each.
type difference struct {
	id     string
	who    accepter
	aspect aspect
	what   string
	why    string // with the section that says so

	// reasons are those for which we refuse it, where only net/http accepts.
	reasons []Reason
	// holds recognises a finding by the bytes of the message: not by what we make of them, for that is what is tested.
	// at is the offset of the byte for which we refuse the message, -1 where we do not.
	holds func(c *comparison, f finding, at int) bool
	// passed says that what we pass on differs in the same way.
	passed   bool
	examples []example
}

// example is a message that shows a difference: a request, or an answer to a request of this method.
type example struct{ answers, input string }

// explain returns the difference that a finding is an instance of.
func (c *comparison) explain(f finding) (*difference, bool) {
	for i := range differences {
		if c.explains(&differences[i], f) {
			return &differences[i], true
		}
	}
	return nil, false
}

func (c *comparison) explains(d *difference, f finding) bool {
	at := -1
	switch d.who {
	case onlyNetHTTP:
		if c.refusal == nil || !slices.Contains(d.reasons, c.refusal.Reason) {
			return false
		}
		at = int(c.refusal.Offset)
		if d.aspect == completing {
			at += c.ours.head
		}
	case onlyUs:
		if c.failure == nil {
			return false
		}
	}
	return d.aspect == f.aspect && d.holds(c, f, at)
}

// likeNetHTTP fails the test unless both read the message in the same way but for what is listed, and net/http reads
// what is passed on of it as we have read it. met counts the differences.
type likeNetHTTP struct {
	first, again *comparison
	met          map[string]int
	out          []byte
}

func newLikeNetHTTP() *likeNetHTTP {
	return &likeNetHTTP{first: newComparison(), again: newComparison(), met: map[string]int{}}
}

func (l *likeNetHTTP) check(t testing.TB, input []byte, answers string) {
	c := l.first
	c.read(input, answers)
	for _, f := range c.findings {
		d, ok := c.explain(f)
		if !ok {
			t.Fatalf("%v\n%s%.2000q", f, c.kind(), input)
		}
		l.met[d.id]++
	}
	if c.ours.accepted {
		l.checkPassedOn(t)
	}
}

// kind says what is read, for a failing test.
func (c *comparison) kind() string {
	if c.answers == "" {
		return "request "
	}
	return "answer to " + c.answers + " "
}

// passOn writes what the other side gets, as far as this package writes it; false: there is no host to write.
func (l *likeNetHTTP) passOn() bool {
	c := l.first
	if c.answers == "" {
		if c.request.Host() == nil {
			return false
		}
		l.out = AppendRequestLine(l.out[:0], c.request.Method(), c.request.AppendTarget(nil))
		l.out = c.request.AppendHeaders(l.out, 0, nil)
	} else {
		l.out = AppendStatusLine(l.out[:0], c.response.Status(), c.response.Phrase())
		l.out = c.response.AppendHeaders(l.out, 0, nil)
	}
	l.out = append(AppendEnd(l.out), c.passed...)
	return true
}

// checkPassedOn demands that what is passed on means to net/http what was read here, and ends where it ends.
func (l *likeNetHTTP) checkPassedOn(t testing.TB) {
	if !l.passOn() {
		return
	}
	c, again := l.first, l.again
	again.read(l.out, c.answers)
	if again.refusal != nil && (again.refusal.Reason == ReasonHeadTooLarge || again.refusal.Reason == ReasonStartLineTooLong) {
		return // rewriting Host, or a space, may pass a limit
	}
	for _, f := range again.findings {
		if d, ok := again.explain(f); !ok || !d.passed {
			t.Fatalf("%v\n%s%.2000q\npassed on as %.2000q", f, c.kind(), c.input, l.out)
		}
	}
	a, b := &c.ours, &again.ours
	same := b.accepted && a.whole == b.whole && a.kind == b.kind && a.length == b.length && bytes.Equal(a.payload, b.payload)
	if !same || b.whole && b.left > 0 {
		t.Fatalf("read %+v\n%s%.2000q\npassed on as %+v %.2000q", c.ours, c.kind(), c.input, again.ours, l.out)
	}
	if c.answers == "" {
		compareRequests(t, &c.request, &again.request)
	} else if compareFields(t, c.fields, again.fields); c.response.Status() != again.response.Status() ||
		!bytes.Equal(c.response.Phrase(), again.response.Phrase()) {
		t.Fatalf("%.2000q\npassed on as %.2000q", c.input, l.out)
	}
}

// TestDifferences shows that each difference exists, and that it is recognised as itself.
func TestDifferences(t *testing.T) {
	for i := range differences {
		d := &differences[i]
		t.Run(d.id, func(t *testing.T) {
			if len(d.examples) == 0 || d.what == "" || !strings.Contains(d.why, "RFC") && !strings.Contains(d.why, "net/http") {
				t.Error("a difference has an example, a description, and an argument that names a document")
			}
			for _, e := range d.examples {
				d.show(t, e)
			}
		})
	}
}

func (d *difference) show(t *testing.T, e example) {
	t.Helper()
	l := newLikeNetHTTP()
	c := l.first
	c.read(crlf(e.input), e.answers)
	shown := 0
	for _, f := range c.findings {
		var ids []string
		for i := range differences {
			if c.explains(&differences[i], f) {
				ids = append(ids, differences[i].id)
			}
		}
		if len(ids) != 1 {
			t.Errorf("%.200q: %v: explained by %q", e.input, f, ids)
		} else if ids[0] == d.id {
			shown++
		}
	}
	whole := map[accepter][2]bool{onlyUs: {true, false}, onlyNetHTTP: {false, true}, bothOfThem: {true, true}}[d.who]
	if shown == 0 || c.ours.whole != whole[0] || c.theirs.whole != whole[1] {
		t.Errorf("%.200q: not shown any more: %v; we: %v, net/http: %v", e.input, c.findings, c.ours.whole, c.theirs.whole)
	}
	l.check(t, crlf(e.input), e.answers)
}

// TestDifferencesPage keeps docs/http-differences.md what the table says.
func TestDifferencesPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/http-differences.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, d := range differences {
		want = append(want, fmt.Sprintf("| %s | %s | %s | %s |", d.id, d.who, d.what, d.why))
	}
	for line := range strings.SplitSeq(string(page), "\n") {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| id ") && !strings.HasPrefix(line, "| --- ") {
			got = append(got, line)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the rows of docs/http-differences.md are not those of the table, which are:\n%s", strings.Join(want, "\n"))
	}
	seen := map[string]bool{}
	for _, d := range differences {
		if seen[d.id] {
			t.Errorf("two differences are called %s", d.id)
		}
		seen[d.id] = true
	}
}

// TestComparisonNotices shows that the comparison is not blind: each pair is one message to us and another, which
// differs in one aspect, to net/http.
func TestComparisonNotices(t *testing.T) {
	const answer = "HTTP/1.1 200 OK¶"
	for _, p := range []struct {
		aspect               aspect
		answers, ours, other string
	}{
		{accepting, "", get + "¶", get + "X¶¶"},
		{accepting, "", get + "X¶¶", get + "¶"},
		{accepting, "", get, get + "¶"},
		{starting, "", get + "¶", "HEAD / HTTP/1.1¶Host: a¶¶"},
		{starting, "", get + "¶", "GET /x HTTP/1.1¶Host: a¶¶"},
		{starting, "", get + "Connection: close¶¶", "GET / HTTP/1.0¶Host: a¶Connection: close¶¶"},
		{starting, "GET", answer + "Content-Length: 0¶¶", "HTTP/1.1 201 OK¶Content-Length: 0¶¶"},
		{starting, "GET", answer + "Content-Length: 0¶¶", "HTTP/1.1 200 ok¶Content-Length: 0¶¶"},
		{hosting, "", get + "¶", "GET / HTTP/1.1¶Host: b¶¶"},
		{fielding, "", get + "X: 1¶X: 2¶¶", get + "X: 2¶X: 1¶¶"},
		{fielding, "", get + "X: 1¶¶", get + "X: 1¶X: 1¶¶"},
		{fielding, "", get + "X: 1¶X: 1¶¶", get + "x: 1¶¶"},
		{fielding, "", get + "X: 1¶¶", get + "Y: 1¶¶"},
		{fielding, "", get + "X:¶¶", get + "¶"},
		{fielding, "", get + "¶", get + "X:¶¶"},
		{framing, "GET", answer + "¶", answer + "Content-Length: 1¶¶"},
		{framing, "", get + "Content-Length: 2¶¶ab", get + "Content-Length: 1¶¶a"},
		{framing, "GET", answer + "Connection: close¶¶", answer + "Connection: close¶Content-Length: 0¶¶"},
		{completing, "", get + "Content-Length: 2¶¶ab", get + "Content-Length: 2¶¶a"},
		{completing, "", get + "Content-Length: 2¶¶a", get + "Content-Length: 2¶¶ab"},
		{payloading, "", get + "Content-Length: 2¶¶ab", get + "Content-Length: 2¶¶aB"},
		{payloading, "", get + "Content-Length: 3¶¶ab", get + "Content-Length: 3¶¶aB"},
		{payloading, "", get + "Transfer-Encoding: chunked¶¶1¶a¶0¶¶", get + "Transfer-Encoding: chunked¶¶1¶b¶0¶¶"},
		{leaving, "", get + "Content-Length: 2¶¶ab", get + "Content-Length: 2¶¶abc"},
		{trailing, "", get + "Transfer-Encoding: chunked¶¶0¶X: 1¶¶", get + "Transfer-Encoding: chunked¶¶0¶X: 2¶¶"},
		{trailing, "", get + "Transfer-Encoding: chunked¶¶0¶X:¶¶", get + "Transfer-Encoding: chunked¶¶0¶¶"},
		{trailing, "", get + "Transfer-Encoding: chunked¶¶0¶¶", get + "Transfer-Encoding: chunked¶¶0¶X:¶¶"},
		{closing, "", get + "Connection: close¶¶", get + "Connection: closed¶¶"},
	} {
		c := newComparison()
		c.readTwo(crlf(p.ours), crlf(p.other), p.answers)
		noticed := slices.ContainsFunc(c.findings, func(f finding) bool {
			_, known := c.explain(f)
			return f.aspect == p.aspect && !known
		})
		if !noticed {
			t.Errorf("%q and %q: found %v, want an unexplained difference in the %v", p.ours, p.other, c.findings, p.aspect)
		}
	}
}
