package http1

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// differences are all that are known. The first that recognises a finding explains it.
var differences = slices.Concat(lineDifferences, hostDifferences, targetDifferences, lengthDifferences, statusDifferences,
	limitDifferences, chunkDifferences, ourDifferences, readDifferences)

const (
	answer      = "HTTP/1.1 200 OK¶"
	chunked     = get + "Transfer-Encoding: chunked¶¶"
	lastChunk   = "0¶¶"
	requestLine = "GET / HTTP/1.1¶"
)

var lineDifferences = []difference{
	{
		id: "bare-lf", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBareLF},
		what: "a line of a head ends with LF alone",
		why:  "peers disagree about where such a line ends; RFC 9112 2.2 allows to take it and does not ask for it",
		holds: func(c *comparison, _ finding, at int) bool {
			return c.input[at] == '\n' && (at == 0 || c.input[at-1] != '\r')
		},
		examples: []example{{"", "GET / HTTP/1.1\nHost: a\n\n"}, {"", get + "\n"}, {"", get + "X: y\n¶"}, {"GET", answer + "X: y\n¶"}},
	}, {
		id: "folded-line", who: onlyNetHTTP, aspect: accepting,
		reasons: []Reason{ReasonObsFold, ReasonBadHost, ReasonBadLength, ReasonConflictingLength, ReasonBadCoding, ReasonUnknownCoding},
		what:    "a header goes on in a line that begins with white space",
		why:     "RFC 9112 5.2: a recipient refuses it or unfolds it; peers read it differently, so it is refused",
		holds: func(c *comparison, _ finding, at int) bool {
			if c.refusal.Reason == ReasonObsFold {
				return isBlank(c.input[at]) && c.input[at-1] == '\n'
			}
			_, next, _ := bytes.Cut(c.input[at:], []byte("\n")) // what the line says was judged before the next had come
			return len(next) > 0 && isBlank(next[0])
		},
		examples: []example{{"", get + "X: a¶ b¶¶"}, {"", get + "X: a¶\tb¶¶"}, {"", get + "Transfer-Encoding:¶ chunked¶¶" + lastChunk},
			{"", "POST / HTTP/1.1¶Host: a¶Content-Length:¶ 5¶¶hello"}, {"GET", answer + "X: a¶ b¶¶"}},
	}, {
		id: "space-in-name", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonSpaceBeforeColon},
		what:     "a space stands in a header's name or before its colon",
		why:      "RFC 9112 5.1: a server must answer 400, and no proxy may pass it on; net/http keeps such a header under a name with the space",
		holds:    func(c *comparison, _ finding, at int) bool { return c.input[at] == ' ' && isName(c.input[at-1]) },
		examples: []example{{"", get + "X : a¶¶"}, {"", get + "X Y: a¶¶"}, {"", get + "Content-Length : 5¶¶"}, {"GET", answer + "X : a¶¶"}},
	}, {
		id: "version", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonUnsupportedVersion},
		what:     "the version is neither HTTP/1.0 nor HTTP/1.1",
		why:      "RFC 9110 15.6.6: 505; 2.5 would rather have 1.2 read as 1.1, but nothing speaks it",
		holds:    func(c *comparison, _ finding, _ int) bool { return strangeVersion.MatchString(c.startLine()) },
		examples: []example{{"", "GET / HTTP/1.2¶Host: a¶¶"}, {"", "PRI * HTTP/2.0¶¶"}, {"GET", "HTTP/0.9 200 OK¶¶"}},
	}, {
		id: "trace-and-connect", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonMethodNotAllowed},
		what: "the method is TRACE or CONNECT",
		why:  "RFC 9110 9.3.6, 9.3.8: one asks for a tunnel to a place of the client's choice, one shows what proxies add; both are optional (9.1): 405",
		holds: func(c *comparison, _ finding, at int) bool {
			return at == 0 && (bytes.HasPrefix(c.input, []byte("TRACE ")) || bytes.HasPrefix(c.input, []byte("CONNECT ")))
		},
		examples: []example{{"", "TRACE / HTTP/1.1¶Host: a¶¶"}, {"", "CONNECT a:443 HTTP/1.1¶Host: a:443¶¶"}},
	},
}

var hostDifferences = []difference{
	{
		id: "host-missing", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonMissingHost},
		what: "a request of HTTP/1.1 has no Host",
		why:  "RFC 9112 3.2: a server must answer 400 (that of net/http does, behind ReadRequest)",
		holds: func(c *comparison, _ finding, _ int) bool {
			return len(c.lines("host")) == 0 && strings.HasSuffix(c.startLine(), " HTTP/1.1")
		},
		examples: []example{{"", requestLine + "¶"}, {"", "GET http://a/ HTTP/1.1¶¶"}},
	}, {
		id: "host-empty", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadHost},
		what:     "Host is empty",
		why:      "it routes nowhere, and no http URI lacks a host (RFC 9110 4.2.1)",
		holds:    func(c *comparison, _ finding, _ int) bool { return slices.Equal(c.lines("host"), []string{""}) },
		examples: []example{{"", "GET / HTTP/1.1¶Host:¶¶"}, {"", "GET http://a/ HTTP/1.1¶Host: ¶¶"}},
	}, {
		id: "host-name", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadHost},
		what: "Host is no address in brackets, IPv4 address or name of letters, digits, - _ and .",
		why:  "RFC 3986 3.2.2 allows more in a name, but no DNS name has it, and what has two readings routes two ways; RFC 9112 3.2: 400 to a Host that is wrong",
		holds: func(c *comparison, _ finding, _ int) bool {
			v := c.lines("host")
			return len(v) == 1 && v[0] != "" && !hostNamed(v[0])
		},
		examples: []example{{"", "GET / HTTP/1.1¶Host: a b¶¶"}, {"", "GET / HTTP/1.1¶Host: u@a¶¶"}, {"", "GET / HTTP/1.1¶Host: a/b¶¶"},
			{"", "GET / HTTP/1.1¶Host: a,b¶¶"}, {"", "GET / HTTP/1.1¶Host: a=1¶¶"}, {"", "GET / HTTP/1.1¶Host: a..b¶¶"}, {"", "GET / HTTP/1.1¶Host: :80¶¶"},
			{"", "GET / HTTP/1.1¶Host: ::1¶¶"}, {"", "GET / HTTP/1.1¶Host: [fe80::1%25eth0]¶¶"}, {"", "GET http://a/ HTTP/1.1¶Host: x@y¶¶"},
			{"", "GET / HTTP/1.1¶Host: " + strings.Repeat("a", 261) + "¶¶"}},
	}, {
		id: "host-port", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadHost},
		what: "the port in Host is not 1 to 65535, written with at most five digits",
		why:  "RFC 9112 3.2: 400 to a Host that is wrong; RFC 3986 3.2.3 allows an empty port and zeros, which clients leave out (6.2.3)",
		holds: func(c *comparison, _ finding, _ int) bool {
			v := c.lines("host")
			return len(v) == 1 && hostNamed(v[0]) && !hostPorted(v[0])
		},
		examples: []example{{"", "GET / HTTP/1.1¶Host: a:¶¶"}, {"", "GET / HTTP/1.1¶Host: a:0¶¶"}, {"", "GET / HTTP/1.1¶Host: a:65536¶¶"},
			{"", "GET / HTTP/1.1¶Host: a:http¶¶"}, {"", "GET / HTTP/1.1¶Host: a:80:80¶¶"}, {"", "GET / HTTP/1.1¶Host: [::1]:000080¶¶"}},
	},
}

var targetDifferences = []difference{
	{
		id: "target-missing", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadRequestLine},
		what: "the method is CONNECT, and between the two spaces behind it there is no target",
		why:  "RFC 9112 3: there is always one, of CONNECT the authority form (3.2.3)",
		holds: func(c *comparison, _ finding, at int) bool {
			return strings.HasPrefix(c.startLine(), "CONNECT  ") && at == len("CONNECT ")
		},
		examples: []example{{"", "CONNECT  HTTP/1.1¶Host: a¶¶"}},
	}, {
		id: "target-asterisk", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadTarget},
		what: "the target is * and the method is not OPTIONS",
		why:  "RFC 9112 3.2.4: this form is for OPTIONS only",
		holds: func(c *comparison, _ finding, _ int) bool {
			return c.target() == "*" && !strings.HasPrefix(c.startLine(), "OPTIONS ")
		},
		examples: []example{{"", "GET * HTTP/1.1¶Host: a¶¶"}},
	}, {
		id: "target-scheme", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadTarget},
		what: "the target is a URI that begins with neither http:// nor https://",
		why:  "a gateway has no way to another scheme (RFC 9110 4.2, 7.4), and an http URI has an authority (4.2.1)",
		holds: func(c *comparison, _ finding, _ int) bool {
			return schemed.MatchString(c.target()) && !httpSchemed.MatchString(c.target())
		},
		examples: []example{{"", "GET ftp://a/ HTTP/1.1¶Host: a¶¶"}, {"", "GET mailto:a HTTP/1.1¶Host: a¶¶"}, {"", "GET http:/a HTTP/1.1¶Host: a¶¶"}},
	}, {
		id: "target-user", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadTarget},
		what:     "the target's authority has user information",
		why:      "RFC 9110 4.2.4: to a recipient this is an error",
		holds:    func(c *comparison, _ finding, _ int) bool { return strings.Contains(c.authority(), "@") },
		examples: []example{{"", "GET http://u:p@a/ HTTP/1.1¶Host: a¶¶"}},
	}, {
		id: "target-host", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadTarget},
		what: "the target's authority has no host, or one that would be wrong in Host, or such a port",
		why:  "RFC 9110 4.2.1: a recipient must refuse an empty host; the rest as for Host",
		holds: func(c *comparison, _ finding, _ int) bool {
			a := c.authority()
			return httpSchemed.MatchString(c.target()) && !strings.Contains(a, "@") && !(hostNamed(a) && hostPorted(a))
		},
		examples: []example{{"", "GET http:///p HTTP/1.1¶Host: a¶¶"}, {"", "GET http:// HTTP/1.1¶Host: a¶¶"}, {"", "GET http://a:/ HTTP/1.1¶Host: a¶¶"},
			{"", "GET http://a=b/ HTTP/1.1¶Host: a¶¶"}, {"", "GET https://a:99999?q HTTP/1.1¶Host: a¶¶"}},
	}, {
		id: "target-fragment", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadTarget},
		what:     "the target has a #",
		why:      "no form of RFC 9112 3.2 has a fragment, and backends disagree about whether the path ends there",
		holds:    func(c *comparison, _ finding, at int) bool { return c.input[at] == '#' && at < len(c.startLine()) },
		examples: []example{{"", "GET /a#b HTTP/1.1¶Host: a¶¶"}},
	}, {
		id: "target-not-ascii", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadTarget},
		what:     "the target has a byte over 0x7f",
		why:      "no form of RFC 9112 3.2 has one; percent-encoding is for them (RFC 3986 2.1)",
		holds:    func(c *comparison, _ finding, at int) bool { return c.input[at] >= 0x80 && at < len(c.startLine()) },
		examples: []example{{"", "GET /\xe9 HTTP/1.1¶Host: a¶¶"}},
	},
}

var lengthDifferences = []difference{
	{
		id: "length-of-20-digits", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadLength},
		what: "Content-Length has over 19 digits, the first of them zeros",
		why:  "RFC 9110 8.6 does not bound them, but no sender writes any, and parsers of a fixed width read such a number in other ways",
		holds: func(c *comparison, _ finding, at int) bool {
			line, _, _ := strings.Cut(string(c.input[at:]), "\r")
			digits := strings.Trim(line, " \t")
			_, err := strconv.ParseInt(digits, 10, 64)
			return err == nil && len(digits) > 19 && digits[0] == '0' && slices.Contains(c.lines("content-length"), digits)
		},
		examples: []example{{"", get + "Content-Length: 00000000000000000005¶¶hello"}, {"GET", answer + "Content-Length: 00000000000000000005¶¶hello"}},
	}, {
		id: "length-with-coding", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonLengthWithCoding},
		what: "Content-Length and Transfer-Encoding are both given",
		why:  "RFC 9112 6.1, 6.3: it may be an attempt to smuggle or split, and ought to be handled as an error; net/http takes the chunks",
		holds: func(c *comparison, _ finding, _ int) bool {
			return len(c.lines("content-length")) > 0 && len(c.lines("transfer-encoding")) == 1
		},
		examples: []example{{"", get + "Content-Length: 5¶Transfer-Encoding: chunked¶¶" + lastChunk}, {"", get + "Transfer-Encoding: chunked¶Content-Length: 5¶¶" + lastChunk},
			{"GET", answer + "Content-Length: 5¶Transfer-Encoding: chunked¶¶" + lastChunk}, {"HEAD", answer + "Content-Length: 5¶Transfer-Encoding: chunked¶¶"}},
	}, {
		id: "coding-on-http10", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonCodingOnHTTP10},
		what: "a message of HTTP/1.0 has Transfer-Encoding",
		why:  "RFC 9112 6.1: its framing must be treated as faulty; net/http looks at the length alone",
		holds: func(c *comparison, _ finding, _ int) bool {
			return len(c.lines("transfer-encoding")) > 0 && strings.Contains(c.startLine(), "HTTP/1.0")
		},
		examples: []example{{"", "POST / HTTP/1.0¶Host: a¶Transfer-Encoding: chunked¶¶" + lastChunk}, {"GET", "HTTP/1.0 200 OK¶Transfer-Encoding: gzip¶¶x"}},
	},
}

var statusDifferences = []difference{
	{
		id: "status-without-space", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadStatusLine},
		what: "no space stands behind the status code",
		why:  "RFC 9112 4: a server must send it, also where no phrase follows",
		holds: func(c *comparison, _ finding, _ int) bool {
			return c.answers != "" && bareStatus.MatchString(c.startLine())
		},
		examples: []example{{"GET", "HTTP/1.1 200¶Content-Length: 0¶¶"}},
	}, {
		id: "status-after-spaces", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadStatusLine},
		what: "several spaces stand before the status code",
		why:  "RFC 9112 4: it is one; a recipient may be lenient and need not",
		holds: func(c *comparison, _ finding, _ int) bool {
			return c.answers != "" && spacedStatus.MatchString(c.startLine())
		},
		examples: []example{{"GET", "HTTP/1.1  200 OK¶Content-Length: 0¶¶"}},
	}, {
		id: "status-signed", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadStatusLine},
		what: "the status code has a sign",
		why:  "RFC 9112 4: it is three digits",
		holds: func(c *comparison, _ finding, _ int) bool {
			return c.answers != "" && signedStatus.MatchString(c.startLine())
		},
		examples: []example{{"GET", "HTTP/1.1 +20 OK¶Content-Length: 0¶¶"}, {"GET", "HTTP/1.1 -00 OK¶Content-Length: 0¶¶"}},
	}, {
		id: "status-range", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadStatus},
		what: "the status code is not 100 to 599",
		why:  "RFC 9110 15: values outside are invalid",
		holds: func(c *comparison, _ finding, _ int) bool {
			return c.answers != "" && strangeStatus.MatchString(c.startLine())
		},
		examples: []example{{"GET", "HTTP/1.1 099 x¶¶"}, {"GET", "HTTP/1.1 600 x¶Content-Length: 0¶¶"}, {"HEAD", "HTTP/1.0 999 x¶¶"}},
	}, {
		id: "phrase-control", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonBadHeaderValue, ReasonBareCR},
		what: "the reason phrase has a control byte, or a CR that ends no line",
		why:  "RFC 9112 4: it is text without them; to some clients a CR is the end of the line (2.2)",
		holds: func(c *comparison, _ finding, at int) bool {
			return c.answers != "" && at < len(c.startLine()) && (c.input[at] < ' ' || c.input[at] == 0x7f) && c.input[at] != '\t'
		},
		examples: []example{{"GET", "HTTP/1.1 200 O\x00K¶¶"}, {"GET", "HTTP/1.1 200 O\rK¶¶"}, {"GET", "HTTP/1.1 200 OK\r¶¶"}, {"GET", "HTTP/1.1 200 \x7f¶¶"}},
	},
}

var (
	strangeVersion = regexp.MustCompile(`^(HTTP/(0\.\d|1\.[2-9]|[2-9]\.\d) .*|.* HTTP/(0\.\d|1\.[2-9]|[2-9]\.\d))$`)
	schemed        = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)
	httpSchemed    = regexp.MustCompile(`^(?i:https?)://`)
	bareStatus     = regexp.MustCompile(`^HTTP/1\.[01] [-+\d]\d\d$`)
	spacedStatus   = regexp.MustCompile(`^HTTP/1\.[01]  +[-+\d]\d\d($| )`)
	signedStatus   = regexp.MustCompile(`^HTTP/1\.[01] [-+]\d\d `)
	strangeStatus  = regexp.MustCompile(`^HTTP/1\.[01] (0|[6-9])\d\d `)
)
