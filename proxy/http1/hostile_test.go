package http1

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// hostileCase is one hostile input: its id, the head and the verdict that is required.
type hostileCase struct{ id, input, want string }

const get = "GET / HTTP/1.1¶Host: a¶"

func repeatHeaders(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "X-%d: v¶", i)
	}
	return out.String()
}

// headOf returns a request's head of exactly n bytes.
func headOf(n int) string {
	head := get + "X: ¶¶"
	return get + "X: " + strings.Repeat("v", n-len(crlf(head))) + "¶¶"
}

var hostileRequests = []hostileCase{
	{"H01/length-first", get + "Content-Length: 5¶Transfer-Encoding: chunked¶¶", "400 length-with-coding"},
	{"H01/coding-first", get + "Transfer-Encoding: chunked¶Content-Length: 5¶¶", "400 length-with-coding"},
	{"H01/length-zero", get + "Content-Length: 0¶Transfer-Encoding: chunked¶¶", "400 length-with-coding"},
	{"H02/equal", get + "Content-Length: 5¶Content-Length: 5¶¶", "ok"},
	{"H02/different", get + "Content-Length: 5¶Content-Length: 6¶¶", "400 conflicting-length"},
	{"H02/different-in-list", get + "Content-Length: 5, 6¶¶", "400 conflicting-length"},
	{"H02/list-then-different", get + "Content-Length: 5, 5¶Content-Length: 5, 6¶¶", "400 conflicting-length"},
	{"H03/plus", get + "Content-Length: +5¶¶", "400 bad-content-length"},
	{"H03/minus", get + "Content-Length: -1¶¶", "400 bad-content-length"},
	{"H03/hexadecimal", get + "Content-Length: 0x5¶¶", "400 bad-content-length"},
	{"H03/list", get + "Content-Length: 5,5¶¶", "ok"},
	{"H03/list-with-space", get + "Content-Length: 5, 5¶¶", "ok"},
	{"H03/list-with-empty", get + "Content-Length: 5,¶¶", "400 bad-content-length"},
	{"H03/space", get + "Content-Length: 5 5¶¶", "400 bad-content-length"},
	{"H03/empty", get + "Content-Length:¶¶", "400 bad-content-length"},
	{"H03/largest", get + "Content-Length: 9223372036854775807¶¶", "ok"},
	{"H03/two-to-the-63", get + "Content-Length: 9223372036854775808¶¶", "400 bad-content-length"},
	{"H03/20-digits", get + "Content-Length: 00000000000000000005¶¶", "400 bad-content-length"},
	{"H03/overflow", get + "Content-Length: 99999999999999999999¶¶", "400 bad-content-length"},
	{"H04/identity", get + "Transfer-Encoding: identity¶¶", "501 unknown-transfer-coding"},
	{"H04/xchunked", get + "Transfer-Encoding: xchunked¶¶", "501 unknown-transfer-coding"},
	{"H04/gzip-chunked", get + "Transfer-Encoding: gzip, chunked¶¶", "501 unknown-transfer-coding"},
	{"H04/trailing-comma", get + "Transfer-Encoding: chunked,¶¶", "400 bad-transfer-encoding"},
	{"H04/leading-comma", get + "Transfer-Encoding: ,chunked¶¶", "400 bad-transfer-encoding"},
	{"H04/chunked-identity", get + "Transfer-Encoding: chunked, identity¶¶", "400 bad-transfer-encoding"},
	{"H04/empty", get + "Transfer-Encoding:¶¶", "400 bad-transfer-encoding"},
	{"H04/quoted", get + "Transfer-Encoding: \"chunked\"¶¶", "400 bad-transfer-encoding"},
	{"H04/parameter", get + "Transfer-Encoding: chunked;q=1¶¶", "400 bad-transfer-encoding"},
	{"H04/vertical-tab", get + "Transfer-Encoding: \x0bchunked¶¶", "400 bad-header-value"},
	{"H04/no-break-space", get + "Transfer-Encoding: \xa0chunked¶¶", "400 bad-transfer-encoding"},
	{"H04/twice", get + "Transfer-Encoding: chunked¶Transfer-Encoding: chunked¶¶", "400 bad-transfer-encoding"},
	{"H04/twice-in-list", get + "Transfer-Encoding: chunked, chunked¶¶", "400 bad-transfer-encoding"},
	{"H04/second-unknown", get + "Transfer-Encoding: chunked¶Transfer-Encoding: x¶¶", "400 bad-transfer-encoding"},
	{"H04/http10", "GET / HTTP/1.0¶Host: a¶Transfer-Encoding: chunked¶¶", "400 transfer-encoding-on-http10"},
	{"H08/nul-in-value", get + "X: a\x00b¶¶", "400 bad-header-value"},
	{"H08/delete-in-value", get + "X: a\x7fb¶¶", "400 bad-header-value"},
	{"H08/nul-in-name", get + "X\x00: a¶¶", "400 bad-header-name"},
	{"H08/bare-cr-in-value", get + "X: a\rb¶¶", "400 bare-cr"},
	{"H08/bare-cr-before-end", get + "X: a\r¶¶", "400 bare-cr"},
	{"H08/bare-cr-in-name", get + "X\r: a¶¶", "400 bare-cr"},
	{"H08/bare-lf", get + "X: a\nY: b¶¶", "400 bare-lf"},
	{"H08/bare-lf-at-end", get + "\n", "400 bare-lf"},
	{"H08/space-before-colon", get + "X : a¶¶", "400 space-before-colon"},
	{"H08/tab-before-colon", get + "X\t: a¶¶", "400 space-before-colon"},
	{"H08/empty-name", get + ": a¶¶", "400 bad-header-name"},
	{"H08/folding", get + "X: a¶ b¶¶", "400 obs-fold"},
	{"H08/folding-with-tab", get + "X: a¶\tb¶¶", "400 obs-fold"},
	{"H08/folding-of-nothing", get + "X: a¶ ¶¶", "400 obs-fold"},
	{"H08/no-colon", get + "X¶¶", "400 missing-colon"},
	{"H08/leading-space", "GET / HTTP/1.1¶ Host: a¶¶", "400 leading-space"},
	{"H08/leading-space-hides", "GET / HTTP/1.1¶ Transfer-Encoding: chunked¶Host: a¶¶", "400 leading-space"},
	{"H08/control-in-name", get + "X\x01Y: a¶¶", "400 bad-header-name"},
	{"H08/non-ascii-name", get + "X\xe9: a¶¶", "400 bad-header-name"},
	{"H08/separator-in-name", get + "X(Y): a¶¶", "400 bad-header-name"},
	{"H09/name-of-300", get + strings.Repeat("n", 300) + ": v¶¶", "431 header-name-too-long"},
	{"H09/name-at-limit", get + strings.Repeat("n", 256) + ": v¶¶", "ok"},
	{"H09/name-over-limit", get + strings.Repeat("n", 257) + ": v¶¶", "431 header-name-too-long"},
	{"H09/headers-at-limit", get + repeatHeaders(127) + "¶", "ok"},
	{"H09/headers-over-limit", get + repeatHeaders(128) + "¶", "431 too-many-headers"},
	{"H09/10000-headers", get + repeatHeaders(10000) + "¶", "431 too-many-headers"},
	{"H09/header-of-1-MB", get + "X: " + strings.Repeat("v", 1<<20) + "¶¶", "431 head-too-large"},
	{"H09/at-limit", headOf(32 << 10), "ok"},
	{"H09/one-byte-over", headOf(32<<10 + 1), "431 head-too-large"},
	{"H09/connection-options", get + "Connection: " + strings.Repeat("a,", 10000) + "¶¶", "431 too-many-connection-options"},
	{"H10/100-KB", "GET /" + strings.Repeat("p", 100<<10) + " HTTP/1.1¶Host: a¶¶", "414 start-line-too-long"},
	{"H10/at-limit", "GET /" + strings.Repeat("p", 8<<10-16) + " HTTP/1.1¶Host: a¶¶", "ok"},
	{"H10/one-byte-over", "GET /" + strings.Repeat("p", 8<<10-15) + " HTTP/1.1¶Host: a¶¶", "414 start-line-too-long"},
	{"H10/endless-method", strings.Repeat("G", 100<<10), "414 start-line-too-long"},
	{"H11/none", "GET / HTTP/1.1¶¶", "400 missing-host"},
	{"H11/none-with-authority", "GET http://a/ HTTP/1.1¶¶", "400 missing-host"},
	{"H11/none-http10", "GET / HTTP/1.0¶¶", "ok"},
	{"H11/two", "GET / HTTP/1.1¶Host: a¶Host: a¶¶", "400 duplicate-host"},
	{"H11/two-http10", "GET / HTTP/1.0¶Host: a¶Host: b¶¶", "400 duplicate-host"},
	{"H11/space", "GET / HTTP/1.1¶Host: a b¶¶", "400 bad-host"},
	{"H11/at", "GET / HTTP/1.1¶Host: u@a¶¶", "400 bad-host"},
	{"H11/slash", "GET / HTTP/1.1¶Host: a/b¶¶", "400 bad-host"},
	{"H11/comma", "GET / HTTP/1.1¶Host: a,b¶¶", "400 bad-host"},
	{"H11/empty", "GET / HTTP/1.1¶Host:¶¶", "400 bad-host"},
	{"H11/port-word", "GET / HTTP/1.1¶Host: a:http¶¶", "400 bad-host"},
	{"H11/port-empty", "GET / HTTP/1.1¶Host: a:¶¶", "400 bad-host"},
	{"H11/port-zero", "GET / HTTP/1.1¶Host: a:0¶¶", "400 bad-host"},
	{"H11/port-65536", "GET / HTTP/1.1¶Host: a:65536¶¶", "400 bad-host"},
	{"H11/port-sign", "GET / HTTP/1.1¶Host: a:+80¶¶", "400 bad-host"},
	{"H11/two-ports", "GET / HTTP/1.1¶Host: a:80:80¶¶", "400 bad-host"},
	{"H11/bad-behind-authority", "GET http://a/ HTTP/1.1¶Host: x@y¶¶", "400 bad-host"},
	{"H11/duplicate-behind-authority", "GET http://a/ HTTP/1.1¶Host: a¶Host: a¶¶", "400 duplicate-host"},
	{"H12/authority", "GET http://real/ HTTP/1.1¶Host: forged¶¶", "ok"},
	{"H12/user-information", "GET http://u:p@real/ HTTP/1.1¶Host: real¶¶", "400 bad-target"},
	{"H12/empty-authority", "GET http:///p HTTP/1.1¶Host: a¶¶", "400 bad-target"},
	{"H12/other-scheme", "GET ftp://real/ HTTP/1.1¶Host: real¶¶", "400 bad-target"},
	{"H12/bad-port", "GET http://real:/ HTTP/1.1¶Host: real¶¶", "400 bad-target"},
	{"H13/two-spaces", "GET  / HTTP/1.1¶Host: a¶¶", "400 bad-request-line"},
	{"H13/two-spaces-behind", "GET /  HTTP/1.1¶Host: a¶¶", "400 bad-version"},
	{"H13/tab", "GET\t/ HTTP/1.1¶Host: a¶¶", "400 bad-method"},
	{"H13/tab-behind-target", "GET /\tHTTP/1.1¶Host: a¶¶", "400 bad-target"},
	{"H13/lower-case-version", "GET / http/1.1¶Host: a¶¶", "400 bad-version"},
	{"H13/http20", "GET / HTTP/2.0¶Host: a¶¶", "505 unsupported-version"},
	{"H13/http20-preface", "PRI * HTTP/2.0¶¶SM¶¶", "505 unsupported-version"},
	{"H13/http12", "GET / HTTP/1.2¶Host: a¶¶", "505 unsupported-version"},
	{"H13/http09", "GET / HTTP/0.9¶Host: a¶¶", "505 unsupported-version"},
	{"H13/http119", "GET / HTTP/1.19¶Host: a¶¶", "400 bad-version"},
	{"H13/http2", "GET / HTTP/2¶Host: a¶¶", "400 bad-version"},
	{"H13/space-behind-version", "GET / HTTP/1.1 ¶Host: a¶¶", "400 bad-version"},
	{"H13/no-version", "GET /¶Host: a¶¶", "400 bad-request-line"},
	{"H13/no-target", "GET¶Host: a¶¶", "400 bad-request-line"},
	{"H13/control-in-target", "GET /\x01 HTTP/1.1¶Host: a¶¶", "400 bad-target"},
	{"H13/space-in-target", "GET /a b HTTP/1.1¶Host: a¶¶", "400 bad-version"},
	{"H13/nul-in-target", "GET /\x00 HTTP/1.1¶Host: a¶¶", "400 bad-target"},
	{"H13/fragment-in-target", "GET /#/admin HTTP/1.1¶Host: a¶¶", "400 bad-target"},
	{"H13/non-ascii-target", "GET /\xe9 HTTP/1.1¶Host: a¶¶", "400 bad-target"},
	{"H13/percent-in-path", "GET /%2 HTTP/1.1¶Host: a¶¶", "400 bad-target"},
	{"H13/percent-later-in-path", "GET /%20%zz?a HTTP/1.1¶Host: a¶¶", "400 bad-target"},
	{"H13/no-slash", "GET admin HTTP/1.1¶Host: a¶¶", "400 bad-target"},
	{"H13/asterisk", "GET * HTTP/1.1¶Host: a¶¶", "400 bad-target"},
	{"H13/bare-cr", "GET /\r HTTP/1.1¶Host: a¶¶", "400 bare-cr"},
	{"H13/method", "G@T / HTTP/1.1¶Host: a¶¶", "400 bad-method"},
	{"H13/empty-method", " / HTTP/1.1¶Host: a¶¶", "400 bad-method"},
	{"H13/tls-record", "\x16\x03\x01\x02\x00\x01", "400 bad-method"},
	{"H13/empty-line", "¶" + get + "¶", "ok"},
	{"H13/two-empty-lines", "¶¶" + get + "¶", "400 too-many-empty-lines"},
	{"H13/bare-lf-before", "\n" + get + "¶", "400 bare-lf"},
	{"H13/bare-cr-before", "\r" + get + "¶", "400 bare-cr"},
	{"H14/trace", "TRACE / HTTP/1.1¶Host: a¶¶", "405 method-not-allowed"},
	{"H14/connect", "CONNECT a:443 HTTP/1.1¶Host: a¶¶", "405 method-not-allowed"},
	{"H14/connect-with-data", "CONNECT a:443 HTTP/1.1¶Host: a¶¶\x16\x03\x01", "405 method-not-allowed"},
	{"H22/all", "GET / HTTP/1.1\nHost: a\n\n", "400 bare-lf"},
	{"H22/at-once", "GET / HTTP/1.1\n", "400 bare-lf"},
	{"H22/headers", "GET / HTTP/1.1¶Host: a\n\n", "400 bare-lf"},
}

var hostileResponses = []hostileCase{
	{"B01/head-of-1-MB", "HTTP/1.1 200 OK¶X: " + strings.Repeat("v", 1<<20) + "¶¶", "502 head-too-large"},
	{"B01/status-line-of-1-MB", "HTTP/1.1 200 " + strings.Repeat("v", 1<<20) + "¶¶", "502 start-line-too-long"},
	{"B01/garbage", "\x00\x01\x02", "502 bad-status-line"},
	{"B01/garbage-text", "SSH-2.0-OpenSSH_9.7¶", "502 bad-status-line"},
	{"B01/empty-line", "¶HTTP/1.1 200 OK¶¶", "502 bad-status-line"},
	{"B01/http2", "HTTP/2 200 OK¶¶", "502 bad-status-line"},
	{"B01/http20", "HTTP/2.0 200 OK¶¶", "502 unsupported-version"},
	{"B01/no-space", "HTTP/1.1 200¶¶", "502 bad-status-line"},
	{"B01/no-phrase", "HTTP/1.1 200 ¶Content-Length: 0¶¶", "ok"},
	{"B01/two-digits", "HTTP/1.1 20 OK¶¶", "502 bad-status-line"},
	{"B01/four-digits", "HTTP/1.1 2000 OK¶¶", "502 bad-status-line"},
	{"B01/status-099", "HTTP/1.1 099 x¶¶", "502 bad-status"},
	{"B01/status-600", "HTTP/1.1 600 x¶¶", "502 bad-status"},
	{"B01/status-sign", "HTTP/1.1 +20 x¶¶", "502 bad-status-line"},
	{"B01/two-spaces", "HTTP/1.1  200 OK¶¶", "502 bad-status-line"},
	{"B01/bare-cr-in-phrase", "HTTP/1.1 200 O\rK¶¶", "502 bare-cr"},
	{"B01/nul-in-phrase", "HTTP/1.1 200 O\x00K¶¶", "502 bad-header-value"},
	{"B01/bare-lf", "HTTP/1.1 200 OK\n\n", "502 bare-lf"},
	{"B01/folding", "HTTP/1.1 200 OK¶X: a¶ b¶¶", "502 obs-fold"},
	{"B01/space-before-colon", "HTTP/1.1 200 OK¶X : a¶¶", "502 space-before-colon"},
	{"B02/both-framings", "HTTP/1.1 200 OK¶Content-Length: 5¶Transfer-Encoding: chunked¶¶", "502 length-with-coding"},
	{"B02/both-framings-swapped", "HTTP/1.1 200 OK¶Transfer-Encoding: chunked¶Content-Length: 5¶¶", "502 length-with-coding"},
	{"B02/two-lengths", "HTTP/1.1 200 OK¶Content-Length: 5¶Content-Length: 6¶¶", "502 conflicting-length"},
	{"B02/equal-lengths", "HTTP/1.1 200 OK¶Content-Length: 5¶Content-Length: 5¶¶", "ok"},
	{"B02/negative", "HTTP/1.1 200 OK¶Content-Length: -5¶¶", "502 bad-content-length"},
	{"B02/unknown-coding", "HTTP/1.1 200 OK¶Transfer-Encoding: gzip¶¶", "502 unknown-transfer-coding"},
	{"B02/chunked-on-http10", "HTTP/1.0 200 OK¶Transfer-Encoding: chunked¶¶", "502 transfer-encoding-on-http10"},
}

func TestHostile(t *testing.T) {
	for _, c := range hostileRequests {
		t.Run(c.id, func(t *testing.T) {
			if _, v := feedRequest(t, c.input); v.String() != c.want {
				t.Errorf("got %v, want %s", v, c.want)
			}
		})
	}
	for _, c := range hostileResponses {
		t.Run(c.id, func(t *testing.T) {
			if _, v := feedResponse(t, c.input); v.String() != c.want {
				t.Errorf("got %v, want %s", v, c.want)
			}
		})
	}
	for _, c := range hostileBodies {
		t.Run(c.id, func(t *testing.T) { c.run(t) })
	}
}

// TestEveryProperPrefixNeedsMore: nothing is decided before the head is there.
func TestEveryProperPrefixNeedsMore(t *testing.T) {
	input := crlf("¶" + get + "Content-Length: 5¶X: y¶¶")
	var head RequestHead
	for i := range input {
		head.Reset()
		if v := judge(&head, exact(input[:i]), nil); v.String() != "need more" {
			t.Fatalf("%d of %d bytes: %v", i, len(input), v)
		}
	}
}

// TestNoByteIsSearchedTwice: a slow client's head costs as much as a fast one's.
func TestNoByteIsSearchedTwice(t *testing.T) {
	input := crlf(get + "X: " + strings.Repeat("v", 1000) + "¶Y: z¶¶")
	var head RequestHead
	for i := range input {
		head.Parse(input[:i], nil)
		if lineStart := bytes.LastIndexByte(input[:i], '\n') + 1; head.scanned != i || head.line != lineStart {
			t.Fatalf("after %d bytes: searched %d, judged %d, the line begins at %d", i, head.scanned, head.line, lineStart)
		}
	}
}
