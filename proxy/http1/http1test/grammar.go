// Package http1test writes HTTP/1.1 messages for tests: right ones, ones that are right but for some parts, and ones that
// are broken at random places. Coverage alone leads a fuzzer to few that are nearly right.
//
//	g := http1test.NewGrammar()
//	for n := range uint64(1000) {
//		input, answers := g.Message(seed, n)
//		...
//	}
package http1test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Grammar writes messages. The same seed and number always give the same one. Owned by one goroutine.
type Grammar struct {
	source *rand.PCG
	random *rand.Rand
	out    []byte
	odd    int // how many parts of the message may still be odd ones,
	good   int // behind how many that may not
}

// NewGrammar returns a grammar, which keeps its memory between messages.
func NewGrammar() *Grammar {
	source := rand.NewPCG(0, 0)
	return &Grammar{source: source, random: rand.New(source)}
}

// part is what may stand at one place of a message: usually, and seldom.
type part struct{ usual, odd []string }

func words(usual, odd string) part { return part{strings.Fields(usual), strings.Fields(odd)} }

var (
	methodPart = words("GET GET POST PUT HEAD OPTIONS DELETE get M-SEARCH", "TRACE CONNECT PRI G@T")
	targetPart = part{strings.Fields("/ / /a/b?c=d /?a?b //x /%41%2f?%zz /{|}^`\"<>\\ http://a http://a/ HTTP://[::1]:80?q https://a.b:8443/p?q"),
		append(strings.Fields("* /a%2 /a%zz /a#b /\xe9 ? a a:1 http://u@a/ http:///p http://a:/ http://a:0/ http://a=b ftp://a/ http:a mailto:x http://a_b./%2 http://a%41/"), "")}
	versionPart = words("HTTP/1.1 HTTP/1.1 HTTP/1.1 HTTP/1.1 HTTP/1.0", "HTTP/1.2 HTTP/2.0 HTTP/0.9 http/1.1 HTTP/1.10 HTTP/1")
	hostPart    = words("a a A.b-c_d. a:1 a:65535 127.0.0.1:80 [::1] [2001:db8::1.2.3.4]:443",
		"a: a:0 a:65536 a:x a..b .a a,b a=b u@a a/b [::1 [::1]x [v1.a] [fe80::1%25e] ::1 \xc3\xa9")
	statusPart  = words("200 200 200 404 204 304 100 103 101 500 599", "600 99 099 999 20 2000 +20 -00 -01 2x0")
	phrasePart  = part{[]string{" OK", " OK", " ", "  Not  Found ", " \xe9", " a\tb"}, []string{"", " a\x00", " a\x7f", " a\rb", "\tOK"}}
	lengthPart  = words("5 5 5 5 0 05 5,5 3", "5,05 5,6 5, ,5 +5 -5 5x 0x5 00000000000000000005 9223372036854775808 5.0 \xd9\xa5")
	codingPart  = words("chunked chunked Chunked CHUNKED", "gzip identity chunked, ,chunked chunked,chunked gzip,chunked chunked;q=1 \"chunked\" xchunked")
	optionPart  = words("close Close keep-alive KEEP-ALIVE close,keep-alive ,close, upgrade x-a,X-B cookie closed keep-alive;q \"close\" close,,x", "close\x0b cl\xc3\xb6se")
	trailerPart = words("X-Sum X-Sum,Y host,x a,Trailers , x:y", "Content-Length transfer-encoding trailer")
	namePart    = words("X-A x-a X-B Cookie Pragma pragma Cache-Control Upgrade Expect TE Keep-Alive X_Forwarded_For Set-Cookie Accept 0 ~ Via",
		"X\xc3\xa4 X(Y) X\x00 {")
	valuePart = part{[]string{"", "1", "no-cache", "no-cache", "websocket", "100-continue", "a, b", "\"q,\\\"\"", "\xff\xfe", "a\tb", "a  b", "trailers"},
		[]string{"a\x00b", "\x7f", "a\rb", "a\x0bb"}}
	sectionPart   = words("X-Sum X-Sum x-sum Y Via ETag Host Content-Length cookie X_Forwarded_For TE Trailer Sec-WebSocket-Key", "(")
	spacePart     = part{[]string{" ", " ", "", "\t", "  ", " \t "}, []string{"\x0b"}}
	colonPart     = part{[]string{":"}, []string{" :", "\t:", "", " x:", "\r\n :"}}
	endPart       = part{[]string{"\r\n"}, []string{"\n", "\r\r\n", "\r\n ", "\r\n\t", "\r", "\r\n\r\n"}}
	dataEndPart   = part{[]string{"\r\n"}, []string{"\n", "\r", "", "\r\r\n", "\n\r"}}
	extensionPart = part{[]string{"", "", "", "", "", ";", ";a", ";a=\"b;c\"", " ", "\t ", " ;a", "; a = b ", ";\xff"},
		[]string{";\x00", ";a\x7f", " a", " ,a", ";a\rb", ";a\nb", "\r", "x", ";a\x0b\t"}}
	trash = []string{"\r", "\n", "\r\n", " ", "\t", ":", ";", ",", "\x00", "\x01", "\x0b", "\x7f", "\x80", "\xff", "0", "1", "5", "9", "a", "F", "Z",
		"%", "#", "?", "@", "[", "]", "+", "-", "\"", "/", "*", "\r\n ", "\r\n\r\n", " :", "\n\n", "\r\r\n", "0\r\n\r\n", "chunked", "HTTP/1.1", "close"}
)

func (g *Grammar) pick(list []string) string { return list[g.random.IntN(len(list))] }

// one tells once in n times.
func (g *Grammar) one(n int) bool { return g.random.IntN(n) == 0 }

// oddly tells once in n times, while parts may be odd.
func (g *Grammar) oddly(n int) bool {
	if g.good > 0 {
		g.good--
		return false
	}
	if g.odd == 0 || !g.one(n) {
		return false
	}
	g.odd--
	return true
}

func (g *Grammar) part(p part) string {
	if g.oddly(4) {
		return g.pick(p.odd)
	}
	return g.pick(p.usual)
}

func (g *Grammar) write(parts ...string) {
	for _, part := range parts {
		g.out = append(g.out, part...)
	}
}

// Message writes message number n of a seed, with bytes behind it half of the time: a request if answers is "", else an
// answer to a request of that method. The bytes are valid until the next call.
func (g *Grammar) Message(seed, n uint64) (input []byte, answers string) {
	g.source.Seed(seed, n)
	g.out = g.out[:0]
	g.odd, g.good = []int{0, 0, 1, 1, 1, 1, 2, 4}[g.random.IntN(8)], g.random.IntN(32)
	mutations := []int{0, 0, 0, 0, 0, 1, 1, 2}[g.random.IntN(8)]
	if g.one(2) {
		if g.one(16) {
			g.write("\r\n")
		}
		g.write(g.part(methodPart), " ", g.part(targetPart), " ", g.part(versionPart), g.part(endPart))
	} else {
		answers = [...]string{"GET", "GET", "HEAD"}[g.random.IntN(3)]
		g.write(g.part(versionPart), " ")
		if g.oddly(32) {
			g.write(" ")
		}
		g.write(g.part(statusPart), g.part(phrasePart), g.part(endPart))
	}
	g.fieldsAndBody(answers == "")
	if g.one(2) {
		g.write("HTTP/1.1 200 OK\r\n\r\n")
	}
	for range mutations {
		g.mutate()
	}
	return g.out, answers
}

// fieldsAndBody writes headers in any order, and a body that is mostly as they say.
func (g *Grammar) fieldsAndBody(request bool) {
	host, framed := g.random.IntN(4), g.random.IntN(4)
	kind := g.random.IntN(8) // 0, 1: none; 2 to 4: a length; 5 to 7: chunks
	for i := range 4 {
		if i == host && request && !g.oddly(16) {
			g.field("Host", g.part(hostPart))
		}
		if i == framed {
			g.framing(kind)
		}
		if g.one(3) {
			g.anyField()
		}
	}
	g.write(g.part(endPart))
	switch {
	case kind < 2 && !g.one(8):
	case kind < 5:
		g.write("hello")
	default:
		g.chunks()
	}
}

func (g *Grammar) framing(kind int) {
	switch {
	case kind < 2:
	case kind < 5:
		length := g.part(lengthPart)
		g.field("Content-Length", length)
		if g.one(16) {
			g.field("content-length", length)
		}
		if g.oddly(8) {
			g.field("content-length", g.part(lengthPart))
		}
	default:
		g.field("Transfer-Encoding", g.part(codingPart))
		if g.one(3) {
			g.field("Trailer", g.part(trailerPart))
		}
	}
	if g.oddly(16) {
		g.framing(2 + g.random.IntN(6))
	}
}

func (g *Grammar) anyField() {
	switch {
	case g.one(3):
		g.field("Connection", g.part(optionPart))
	case g.oddly(64):
		g.long()
	default:
		g.field(g.part(namePart), g.part(valuePart))
	}
}

func (g *Grammar) field(name, value string) {
	g.write(name, g.part(colonPart), g.part(spacePart), value, g.part(spacePart), g.part(endPart))
}

// long writes what passes some limit, or nearly does.
func (g *Grammar) long() {
	switch g.random.IntN(3) {
	case 0:
		g.field(strings.Repeat("n", 250+g.random.IntN(10)), "v")
	case 1:
		g.field("Connection", strings.Repeat("a,", 60+g.random.IntN(10)))
	case 2:
		g.write(strings.Repeat("A: v\r\n", 120+g.random.IntN(12)))
	}
}

func (g *Grammar) chunks() {
	if g.oddly(128) {
		for range 4 + g.random.IntN(2) {
			g.write("1;", strings.Repeat("e", 4000+g.random.IntN(97)), "\r\nx\r\n")
		}
	}
	for range g.random.IntN(4) {
		data := g.pick([]string{"hello", "x", "hello world", "0123456789abcdef0", "0123456789abcdef0123456789abcd", "\r\n", "0\r\n\r\n"})
		g.chunkLine(len(data))
		g.write(data, g.part(dataEndPart))
	}
	g.chunkLine(0)
	for range g.random.IntN(12) / 4 {
		name := g.part(sectionPart)
		if g.oddly(16) {
			name = strings.Repeat("n", 120+g.random.IntN(16))
		}
		if g.oddly(64) {
			g.write(strings.Repeat("T: v\r\n", 124+g.random.IntN(8)))
		}
		g.field(name, g.part(valuePart))
	}
	g.write(g.part(endPart))
}

func (g *Grammar) chunkLine(size int) {
	if g.one(8) {
		g.write(g.pick([]string{"0", "00", "00000000000000", "0000000000000000"}))
	}
	g.write(fmt.Sprintf(g.pick([]string{"%x", "%X"}), size), g.part(extensionPart))
	if g.oddly(512) {
		g.write(";", strings.Repeat("e", 4088+g.random.IntN(12)))
	}
	g.write(g.part(endPart))
}

// mutate changes the message at one random place.
func (g *Grammar) mutate() {
	at := g.random.IntN(len(g.out))
	rest := string(g.out[at:])
	g.out = g.out[:at]
	switch g.random.IntN(6) {
	case 0: // insert
		g.write(g.pick(trash), rest)
	case 1: // replace
		g.write(g.pick(trash), rest[1:])
	case 2: // delete
		g.write(rest[1:])
	case 3: // a line end that is none
		g.write(strings.Replace(rest, "\r\n", g.pick(endPart.odd), 1))
	case 4: // twice the same
		n := 1 + g.random.IntN(len(rest))
		g.write(rest[:n], rest)
	case 5: // cut the end
		g.write(rest[:len(rest)-g.random.IntN(min(8, len(rest)))])
	}
	if len(g.out) == 0 {
		g.write("G")
	}
}
