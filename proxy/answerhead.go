package proxy

import (
	"culvert/engine"
	"culvert/proxy/http1"
)

// The heads that go to the client.

// appendAnswerHead appends a backend's final answer for the client. chunked says that the body stays chunked.
func (x *exchange) appendAnswerHead(dst []byte, chunked bool) []byte {
	head := x.responseHead
	dst = http1.AppendStatusLine(dst, head.Status(), head.Phrase())
	dst = x.appendAnswerLines(dst, http1.ClassHopByHop|http1.ClassNamed|http1.ClassWebSocket)
	if chunked {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	if x.policy.Announce.Via {
		dst = http1.AppendHeader(dst, "Via", viaName)
	}
	switch {
	case !x.keepClient:
		dst = append(dst, "Connection: close\r\n"...)
	case x.http10: // which closes unless it is told otherwise
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	return http1.AppendEnd(dst)
}

// appendAnswerLines appends the headers of a backend's answer but those of the classes in drop, as the rule wants them.
func (x *exchange) appendAnswerLines(dst []byte, drop http1.Class) []byte {
	edits, rewrites := x.rule.answer, x.rewritesCookies()
	if edits == nil && !rewrites {
		return x.appendSticky(x.responseHead.AppendHeaders(dst, drop, nil))
	}
	dst = x.responseHead.AppendHeaders(dst, drop, func(f http1.Field) bool {
		return (edits == nil || !edits.drops(f)) && (!rewrites || !isSetCookie(f))
	})
	return append(x.appendSticky(dst), x.answerLines.Bytes()...)
}

// appendInterimHead appends a 1xx answer other than 101.
func appendInterimHead(dst []byte, head *http1.ResponseHead) []byte {
	dst = http1.AppendStatusLine(dst, head.Status(), head.Phrase())
	dst = head.AppendHeaders(dst, http1.ClassHopByHop|http1.ClassNamed, nil)
	return http1.AppendEnd(dst)
}

// appendSwitchingHead appends a validated 101.
func (x *exchange) appendSwitchingHead(dst []byte) []byte {
	dst = http1.AppendStatusLine(dst, x.responseHead.Status(), x.responseHead.Phrase())
	dst = x.appendAnswerLines(dst, http1.ClassHopByHop|http1.ClassNamed)
	dst = append(dst, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	return http1.AppendEnd(dst)
}

// refusal is an answer of our own: its phrase, and a line for the person who reads it, with nothing about versions,
// paths or backends.
type refusal struct {
	phrase, text, headers string
}

const closes = "Connection: close\r\n"

var refusals = map[int]refusal{
	200: {phrase: "OK", headers: "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" + closes},
	400: {phrase: "Bad Request", text: "The request is malformed.\n", headers: closes},
	403: {phrase: "Forbidden", text: "This is not allowed from here.\n", headers: closes},
	404: {phrase: "Not Found", text: "There is nothing at this address.\n", headers: closes},
	405: {phrase: "Method Not Allowed", text: "This method is not allowed here.\n", headers: "Allow: GET, HEAD, OPTIONS\r\n" + closes},
	408: {phrase: "Request Timeout", text: "The request did not arrive in time.\n", headers: closes},
	413: {phrase: "Content Too Large", text: "The request's body is too large.\n", headers: closes},
	414: {phrase: "URI Too Long", text: "The request line is too long.\n", headers: closes},
	417: {phrase: "Expectation Failed", text: "This expectation cannot be met.\n", headers: closes},
	421: {phrase: "Misdirected Request", text: "This connection is not for that host.\n", headers: closes},
	426: {
		phrase: "Upgrade Required", text: "WebSocket version 13 is required.\n",
		headers: "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n",
	},
	431: {phrase: "Request Header Fields Too Large", text: "The request's header is too large.\n", headers: closes},
	501: {phrase: "Not Implemented", text: "This kind of request is not supported.\n", headers: closes},
	502: {phrase: "Bad Gateway", text: "The server behind this address gave no valid answer.\n", headers: closes},
	503: {phrase: "Service Unavailable", text: "No server is available for this request.\n", headers: closes},
	504: {phrase: "Gateway Timeout", text: "The server behind this address did not answer in time.\n", headers: closes},
	505: {phrase: "HTTP Version Not Supported", text: "This version of HTTP is not supported.\n", headers: closes},
}

// appendRefusal appends a whole answer of our own, with further header lines. bodiless leaves the body out, as for HEAD.
func appendRefusal(dst []byte, status int, further string, bodiless bool) []byte {
	r := refusals[status]
	dst = http1.AppendStatusLine(dst, status, r.phrase)
	dst = append(append(dst, refusalHeaders(status)...), further...)
	dst = http1.AppendHeader(dst, "Content-Type", "text/plain; charset=utf-8")
	dst = http1.AppendContentLength(dst, int64(len(r.text)))
	dst = http1.AppendEnd(dst)
	if bodiless {
		return dst
	}
	return append(dst, r.text...)
}

// refusalHeaders are the headers that every refusal of this status has, whatever its body.
func refusalHeaders(status int) string { return refusals[status].headers }

// statusOf returns the status that an exchange which ended for this reason is answered or logged with.
func statusOf(r engine.EndReason) int { return outerStatus[r] }
