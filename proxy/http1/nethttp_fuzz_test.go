package http1

import (
	"testing"

	"culvert/proxy/http1/http1test"
)

// messageSeeds are messages that are right, nearly right and wrong, with bytes behind them. '¶' is CRLF.
func messageSeeds() (seeds []example) {
	for i := range differences {
		seeds = append(seeds, differences[i].examples...)
	}
	for _, c := range hostileRequests {
		seeds = append(seeds, example{"", c.input + "hello"})
	}
	for _, c := range hostileResponses {
		seeds = append(seeds, example{"GET", c.input + "hello"}, example{"HEAD", c.input})
	}
	for _, c := range hostileBodies {
		seeds = append(seeds, example{"", chunked + c.input}, example{"GET", answer + "Transfer-Encoding: chunked¶¶" + c.input})
	}
	seeds = append(seeds,
		example{"", browserUpgrade + "\x81\x80mask"},
		example{"", "POST /a?b=%20 HTTP/1.1¶Host: [::1]:8080¶Content-Length: 5¶Connection: keep-alive¶¶helloGET / HTTP/1.1¶Host: a¶¶"},
		example{"", "POST http://a.b/ HTTP/1.0¶Connection: Keep-Alive, x¶Content-Length: 0¶¶"},
		example{"", chunked + "A;n=\"v\"¶0123456789¶0a¶0123456789¶0¶X-Sum: 1¶X-Sum: 2¶¶next"},
		example{"GET", switchingProtocols + "\x81\x00"},
		example{"GET", "HTTP/1.0 200 OK¶Connection: keep-alive¶¶until the end"},
		example{"GET", "HTTP/1.1 103 Early Hints¶Link: </a>¶¶HTTP/1.1 304 Not Modified¶Content-Length: 5¶¶"},
		example{"GET", "HTTP/1.1 204 No Content¶Content-Length: 5¶¶hello"},
		example{"HEAD", "HTTP/1.1 200 OK¶Transfer-Encoding: chunked¶¶5¶hello¶0¶¶"})
	return seeds
}

// addMessages adds the seeds, and some of the grammar's messages.
func addMessages(f *testing.F, add func(input []byte, answers string)) {
	const longest, fromGrammar = 2 << 10, 200
	for _, e := range messageSeeds() {
		if input := crlf(e.input); len(input) < longest {
			add(input, e.answers)
		}
	}
	g := http1test.NewGrammar()
	for n := range uint64(fromGrammar) {
		input, answers := g.Message(2, n)
		add(append([]byte(nil), input...), answers)
	}
}

func FuzzRequestLikeNetHTTP(f *testing.F) {
	addMessages(f, func(input []byte, answers string) {
		if answers == "" {
			f.Add(input)
		}
	})
	l := newLikeNetHTTP()
	f.Fuzz(func(t *testing.T, input []byte) { l.check(t, input, "") })
}

func FuzzResponseLikeNetHTTP(f *testing.F) {
	addMessages(f, func(input []byte, answers string) {
		if answers != "" {
			f.Add(input, answers == "HEAD")
		}
	})
	l := newLikeNetHTTP()
	f.Fuzz(func(t *testing.T, input []byte, toHEAD bool) {
		answers := "GET"
		if toHEAD {
			answers = "HEAD"
		}
		l.check(t, input, answers)
	})
}
