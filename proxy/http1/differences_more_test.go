package http1

import (
	"bytes"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var limitDifferences = []difference{
	{
		id: "limit-start-line", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonStartLineTooLong},
		what:     "the start line is over 8 KiB",
		why:      "RFC 9112 3: the limit is the recipient's choice, from 8000 bytes on",
		holds:    func(c *comparison, _ finding, at int) bool { return len(c.startLine()) > 8<<10-len("\r\n") },
		examples: []example{{"", "GET /" + strings.Repeat("p", 8<<10) + " HTTP/1.1¶Host: a¶¶"}, {"GET", "HTTP/1.1 200 " + strings.Repeat("p", 8<<10) + "¶¶"}},
	}, {
		id: "limit-head", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonHeadTooLarge},
		what:     "the head is over 32 KiB",
		why:      "RFC 9110 5.4: a server refuses what is larger than it wishes to process; ReadRequest of net/http leaves limits to its caller",
		holds:    func(c *comparison, _ finding, at int) bool { return c.theirs.head > 32<<10 },
		examples: []example{{"", headOf(32<<10 + 1)}, {"GET", answer + strings.Repeat("X: "+strings.Repeat("v", 8<<10)+"¶", 4) + "¶"}},
	}, {
		id: "limit-headers", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonTooManyHeaders},
		what: "there are over 128 header lines",
		why:  "RFC 9110 5.4, as for the head",
		holds: func(c *comparison, _ finding, at int) bool {
			return bytes.Count(c.input[:c.theirs.head], []byte("\n"))-2 > 128
		},
		examples: []example{{"", get + repeatHeaders(128) + "¶"}, {"GET", answer + repeatHeaders(129) + "¶"}},
	}, {
		id: "limit-name", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonHeaderNameTooLong},
		what: "a header's name is over 256 bytes",
		why:  "RFC 9110 5.4, as for the head",
		holds: func(c *comparison, _ finding, at int) bool {
			return bytes.LastIndexByte(c.input[:at], '\n')+1 == at-256 && bytes.IndexByte(c.input[at-256:at+1], ':') < 0
		},
		examples: []example{{"", get + strings.Repeat("n", 257) + ": v¶¶"}, {"GET", answer + strings.Repeat("n", 257) + ": v¶¶"}},
	}, {
		id: "limit-options", who: onlyNetHTTP, aspect: accepting, reasons: []Reason{ReasonTooManyOptions},
		what: "Connection lists over 64 options",
		why:  "RFC 9110 5.4, as for the head: each option is compared with each header (7.6.1)",
		holds: func(c *comparison, _ finding, at int) bool {
			lines := c.lines("connection")
			return strings.Count(strings.Join(lines, ","), ",")+1 > 64
		},
		examples: []example{{"", get + "Connection: " + strings.Repeat("a,", 64) + "a¶¶"}, {"GET", answer + strings.Repeat("Connection: a¶", 65) + "¶"}},
	}, {
		id: "limit-trailers", who: onlyNetHTTP, aspect: completing, reasons: []Reason{ReasonTooManyTrailers},
		what: "there are over 128 trailer lines",
		why:  "RFC 9110 5.4, as for the head: what costs memory has a limit",
		holds: func(c *comparison, _ finding, at int) bool {
			return bytes.Count(c.input[c.trailersAt():at], []byte("\n")) == 128
		},
		examples: []example{{"", chunked + "0¶" + strings.Repeat("X: y¶", 129) + "¶"}},
	}, {
		id: "limit-trailer-bytes", who: onlyNetHTTP, aspect: completing, reasons: []Reason{ReasonTrailersTooLarge},
		what: "the trailers are over 8 KiB, line ends not counted",
		why:  "RFC 9110 5.4, as for the head: what costs memory has a limit",
		holds: func(c *comparison, _ finding, at int) bool {
			section := c.input[c.trailersAt():at]
			return len(section)-len("\r\n")*bytes.Count(section, []byte("\r\n")) == 8<<10
		},
		examples: []example{{"", chunked + "0¶X: " + strings.Repeat("v", 8<<10) + "¶¶"}, {"", chunked + "0¶X: " + strings.Repeat("v", 8<<10-4) + "¶XX: y¶¶"}},
	}, {
		id: "limit-trailer-name", who: onlyNetHTTP, aspect: completing, reasons: []Reason{ReasonHeaderNameTooLong},
		what: "a trailer's name is over 127 bytes",
		why:  "RFC 9110 5.4, as for the head: a line is held back until its name has come, for some trailers may not be merged into a head (6.5.1)",
		holds: func(c *comparison, _ finding, at int) bool {
			return bytes.LastIndexByte(c.input[:at], '\n')+1 == at-127 && at-127 >= c.trailersAt() && bytes.IndexByte(c.input[at-127:at+1], ':') < 0
		},
		examples: []example{{"", chunked + "0¶" + strings.Repeat("n", 128) + ": y¶¶"}},
	},
}

var chunkDifferences = []difference{
	{
		id: "extension-control", who: onlyNetHTTP, aspect: completing, reasons: []Reason{ReasonBadChunkExtension},
		what: "a chunk extension has a control byte",
		why:  "RFC 9112 7.1.1: it is made of tokens and quoted strings, which have none",
		holds: func(c *comparison, _ finding, at int) bool {
			line := c.input[bytes.LastIndexByte(c.input[:at], '\n')+1 : at]
			return isControl(c.input[at]) && bytes.IndexByte(line, ';') > 0 && at < c.trailersAt()
		},
		examples: []example{{"", chunked + "5;a\x00¶hello¶" + lastChunk}, {"", chunked + "0;\x7f¶¶"}},
	}, {
		id: "trailer-bare-lf", who: onlyNetHTTP, aspect: completing, reasons: []Reason{ReasonBareLF},
		what: "a line of the trailers ends with LF alone",
		why:  "RFC 9112 7.1 has CRLF there; as in a head (2.2), peers disagree about where such a line ends",
		holds: func(c *comparison, _ finding, at int) bool {
			return c.input[at] == '\n' && c.input[at-1] != '\r' && at >= c.trailersAt()
		},
		examples: []example{{"", chunked + "0¶X: y\n¶¶"}, {"", chunked + "0¶X: y¶\nGET / HTTP/1.1¶Host: a¶¶"}},
	}, {
		id: "trailer-folded-line", who: onlyNetHTTP, aspect: completing, reasons: []Reason{ReasonObsFold},
		what: "a trailer goes on in a line that begins with white space",
		why:  "RFC 9112 5.2, 7.1.2: as in a head",
		holds: func(c *comparison, _ finding, at int) bool {
			return isBlank(c.input[at]) && c.input[at-1] == '\n' && at > c.trailersAt()
		},
		examples: []example{{"", chunked + "0¶X: y¶ z¶¶"}},
	}, {
		id: "trailer-space-in-name", who: onlyNetHTTP, aspect: completing, reasons: []Reason{ReasonSpaceBeforeColon},
		what: "a space stands in a trailer's name or before its colon",
		why:  "RFC 9112 5.1, 7.1.2: as in a head",
		holds: func(c *comparison, _ finding, at int) bool {
			return c.input[at] == ' ' && isName(c.input[at-1]) && at > c.trailersAt()
		},
		examples: []example{{"", chunked + "0¶X : y¶¶"}},
	},
}

var ourDifferences = []difference{
	{
		id: "empty-line-first", who: onlyUs, aspect: accepting,
		what: "one empty line stands before the request line",
		why:  "RFC 9112 2.2: a server should ignore it (that of net/http does behind a POST alone)",
		holds: func(c *comparison, _ finding, _ int) bool {
			return c.answers == "" && bytes.HasPrefix(c.input, []byte("\r\n"))
		},
		examples: []example{{"", "¶" + get + "¶"}},
	}, {
		id: "length-list", who: onlyUs, aspect: accepting,
		what: "Content-Length is a list of equal numbers, or is given twice with one number in two spellings",
		why:  "RFC 9110 8.6: equal values in a list may be taken for one; one number is passed on",
		holds: func(c *comparison, _ finding, _ int) bool {
			values := strings.Split(strings.Join(c.lines("content-length"), ","), ",")
			numbers := map[int64]bool{}
			for _, v := range values {
				n, err := strconv.ParseUint(strings.Trim(v, " \t"), 10, 63)
				if err != nil {
					return false
				}
				numbers[int64(n)] = true
			}
			return len(values) > 1 && len(numbers) == 1
		},
		examples: []example{{"", get + "Content-Length: 5,5¶¶hello"}, {"", get + "Content-Length: 5¶content-length: 05¶¶hello"}, {"GET", answer + "Content-Length: 5, 5¶¶hello"},
			{"HEAD", answer + "Content-Length: 5, 5¶¶"}},
	}, {
		id: "trailer-announces-framing", who: onlyUs, aspect: accepting, passed: true,
		what: "Trailer announces Content-Length, Transfer-Encoding or Trailer in a chunked message",
		why:  "RFC 9110 6.6.2: Trailer is a hint and frames nothing; such a trailer is never passed on (6.5.1)",
		holds: func(c *comparison, _ finding, _ int) bool {
			return len(c.lines("transfer-encoding")) == 1 && slices.ContainsFunc(strings.Split(strings.Join(c.lines("trailer"), ","), ","), func(v string) bool {
				return slices.Contains([]string{"content-length", "transfer-encoding", "trailer"}, strings.ToLower(strings.Trim(v, " \t")))
			})
		},
		examples: []example{{"", get + "Trailer: Content-Length¶Transfer-Encoding: chunked¶¶" + lastChunk}, {"GET", answer + "Transfer-Encoding: chunked¶Trailer: x, trailer¶¶" + lastChunk}},
	}, {
		id: "chunk-space-before-extension", who: onlyUs, aspect: completing,
		what: "white space stands between a chunk's size and its extension",
		why:  "RFC 9112 7.1.1, RFC 9110 5.6.3: a recipient must parse it and remove it; it is not passed on",
		holds: func(c *comparison, _ finding, _ int) bool {
			return c.anyChunkLine(func(line []byte) bool { return spacedExtension.Match(line) })
		},
		examples: []example{{"", chunked + "5 ;a¶hello¶" + lastChunk}, {"", chunked + "0\t ;¶¶"}},
	}, {
		id: "chunk-line-of-4096", who: onlyUs, aspect: completing,
		what: "a chunk's line has 4096 bytes or a few more",
		why:  "RFC 9112 7.1.1: the limit is the recipient's choice; here it is 4096 bytes of extension, in net/http 4095 bytes of line; no extension is passed on",
		holds: func(c *comparison, _ finding, _ int) bool {
			return c.anyChunkLine(func(line []byte) bool { return len(line) >= 4096 })
		},
		examples: []example{{"", chunked + "5;" + strings.Repeat("e", 4095) + "¶hello¶" + lastChunk}},
	},
}

var readDifferences = []difference{
	{
		id: "trailer-dropped", who: bothOfThem, aspect: trailing,
		what: "a trailer has a name that frames, routes, identifies or controls a message",
		why:  "RFC 9110 6.5.1: it must not be merged into a head, and some backends merge all; it is not passed on, and net/http reads it as a trailer",
		holds: func(c *comparison, f finding, _ int) bool {
			return f.ours == `"[]"` && (slices.Contains(neverTrailers, f.name) || claimsOrigin.MatchString(f.name))
		},
		examples: []example{{"", chunked + "0¶Host: b¶Content-Length: 7¶X: y¶¶"}, {"", chunked + "0¶X_Forwarded_For: 1.2.3.4¶¶"}, {"GET", answer + "Transfer-Encoding: chunked¶¶0¶Set-Cookie: a=b¶¶"}},
	}, {
		id: "pragma", who: bothOfThem, aspect: fielding, passed: true,
		what: "Pragma is no-cache and there is no Cache-Control: net/http adds one",
		why:  "RFC 9111 5.4: that is for caches; what came is passed on",
		holds: func(c *comparison, f finding, _ int) bool {
			pragma := c.lines("pragma")
			return f.name == "Cache-Control" && f.theirs == `"[no-cache]"` && len(c.lines("cache-control")) == 0 && len(pragma) > 0 && pragma[0] == "no-cache"
		},
		examples: []example{{"", get + "Pragma: no-cache¶¶"}, {"GET", answer + "Content-Length: 0¶Pragma: no-cache¶¶"}},
	}, {
		id: "lengths-folded", who: bothOfThem, aspect: fielding,
		what: "Content-Length is given twice, the same: net/http shows it once",
		why:  "RFC 9110 8.6: equal values may be taken for one; one is passed on",
		holds: func(c *comparison, f finding, _ int) bool {
			values := c.lines("content-length")
			return f.name == "Content-Length" && len(values) > 1 && len(slices.Compact(slices.Clone(values))) == 1 && slices.Equal(c.header[f.name], values[:1])
		},
		examples: []example{{"", get + "Content-Length: 5¶Content-Length: 5¶¶hello"}},
	}, {
		id: "connection-taken", who: bothOfThem, aspect: fielding, passed: true,
		what: "an answer of HTTP/1.1 has the option close: net/http takes Connection out",
		why:  "RFC 9112 9.6: both close; net/http tells it otherwise (Response.Close)",
		holds: func(c *comparison, f finding, _ int) bool {
			return c.answers != "" && f.name == "Connection" && c.theirs.close && c.header[f.name] == nil && strings.HasPrefix(c.startLine(), "HTTP/1.1 ")
		},
		examples: []example{{"GET", answer + "Content-Length: 0¶Connection: close¶¶"}},
	}, {
		id: "trailer-taken", who: bothOfThem, aspect: fielding, passed: true,
		what: "a chunked message has Trailer: net/http takes it out",
		why:  "RFC 9110 6.6.2: it is passed on as it came; net/http tells it otherwise (Trailer of Request and Response)",
		holds: func(c *comparison, f finding, _ int) bool {
			if f.name != "Trailer" || len(c.lines("transfer-encoding")) != 1 || c.header[f.name] != nil {
				return false
			}
			announced := c.trailer()
			for name := range strings.SplitSeq(strings.Join(c.lines("trailer"), ","), ",") {
				name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
				if _, ok := announced[name]; !ok && name != "" {
					return false
				}
			}
			return true
		},
		examples: []example{{"", get + "Trailer: X¶Transfer-Encoding: chunked¶¶" + lastChunk}, {"HEAD", answer + "Transfer-Encoding: chunked¶Trailer: X, y-z¶¶"}},
	},
}

// neverTrailers are headers, as net/http spells them, that no trailer may stand for: RFC 9110 6.5.1 names message
// framing, routing, authentication, request modifiers, response controls and content format.
var neverTrailers = []string{
	"Content-Length", "Transfer-Encoding", "Trailer", "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Upgrade", "Http2-Settings",
	"Host", "Max-Forwards", "Expect", "Origin", "Forwarded", "Client-Cert",
	"Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions", "Sec-Websocket-Accept",
	"Authorization", "Proxy-Authorization", "Proxy-Authenticate", "Www-Authenticate", "Cookie", "Set-Cookie",
	"Cache-Control", "Pragma", "Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range",
	"Age", "Expires", "Date", "Location", "Retry-After", "Vary", "Warning", "Content-Encoding", "Content-Type", "Content-Range",
}

var (
	claimsOrigin    = regexp.MustCompile(`(?i)^(x.forwarded|x.real.ip|x.client.cert|x.ssl.|ssl.client|slb.|client.cert|forwarded)`)
	spacedExtension = regexp.MustCompile(`^[0-9A-Fa-f]+[ \t]+;`)
	hostName        = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$`)
)

// startLine returns the first line as net/http reads it.
func (c *comparison) startLine() string {
	line, _, _ := strings.Cut(string(c.input), "\n")
	return strings.TrimSuffix(line, "\r")
}

// target returns what stands between the first two spaces of the request line.
func (c *comparison) target() string {
	parts := strings.SplitN(c.startLine(), " ", 3)
	if len(parts) < 3 || c.answers != "" {
		return ""
	}
	return parts[1]
}

// authority returns that of an absolute target.
func (c *comparison) authority() string {
	rest := httpSchemed.ReplaceAllString(c.target(), "")
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		rest = rest[:end]
	}
	return rest
}

// lines returns the values of a header, whose name is given in lower case, by the text of the head alone. How long that
// is, is told by whoever accepts it.
func (c *comparison) lines(name string) (values []string) {
	head := c.input[:min(len(c.input), max(c.theirs.head, c.ours.head))]
	for line := range strings.Lines(string(head)) {
		before, after, ok := strings.Cut(line, ":")
		if ok && strings.ToLower(before) == name {
			values = append(values, strings.Trim(after, " \t\r\n"))
		}
	}
	return values
}

// hostNamed tells whether a host with or without a port names one machine.
func hostNamed(host string) bool {
	if address, ok := strings.CutPrefix(host, "["); ok {
		address, _, ok = strings.Cut(address, "]")
		parsed, err := netip.ParseAddr(address)
		return ok && err == nil && parsed.Is6() && parsed.Zone() == ""
	}
	name, _, _ := strings.Cut(host, ":")
	return hostName.MatchString(name) && len(host) <= 260
}

// hostPorted tells whether what follows a host that names one is a port, or nothing.
func hostPorted(host string) bool {
	port := host[strings.Index(host, "]")+1:]
	if host[0] != '[' {
		_, after, ok := strings.Cut(host, ":")
		if !ok {
			return true
		}
		port = ":" + after
	}
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port[1:], 10, 16)
	return port[0] == ':' && err == nil && n > 0 && len(port) <= len(":65535")
}

// trailersAt returns where in the input the trailers begin.
func (c *comparison) trailersAt() int { return c.ours.head + walkChunks(c.input[c.ours.head:], nil) }

// anyChunkLine tells whether any line of a chunk is so.
func (c *comparison) anyChunkLine(so func(line []byte) bool) (found bool) {
	walkChunks(c.input[c.ours.head:], func(line []byte, _ int) { found = found || so(line) })
	return found
}

func isBlank(c byte) bool   { return c == ' ' || c == '\t' }
func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// isName tells whether a byte may stand in a header's name.
func isName(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
