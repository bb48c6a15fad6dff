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
	dst = head.AppendHeaders(dst, http1.ClassHopByHop|http1.ClassNamed|http1.ClassWebSocket, nil)
	if chunked {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	if x.shard.server.config.Announce.Via {
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

// appendInterimHead appends a 1xx answer other than 101.
func appendInterimHead(dst []byte, head *http1.ResponseHead) []byte {
	dst = http1.AppendStatusLine(dst, head.Status(), head.Phrase())
	dst = head.AppendHeaders(dst, http1.ClassHopByHop|http1.ClassNamed, nil)
	return http1.AppendEnd(dst)
}

// appendSwitchingHead appends a validated 101.
func appendSwitchingHead(dst []byte, head *http1.ResponseHead) []byte {
	dst = http1.AppendStatusLine(dst, head.Status(), head.Phrase())
	dst = head.AppendHeaders(dst, http1.ClassHopByHop|http1.ClassNamed, nil)
	dst = append(dst, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	return http1.AppendEnd(dst)
}

// refusal is an answer of our own: its phrase, and a line for the person who reads it, with nothing about versions,
// paths or backends.
type refusal struct {
	phrase, text, headers string
}

var refusals = map[int]refusal{
	200: {phrase: "OK", headers: "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"},
	400: {phrase: "Bad Request", text: "The request is malformed.\n"},
	405: {phrase: "Method Not Allowed", text: "This method is not allowed here.\n", headers: "Allow: GET, HEAD, OPTIONS\r\n"},
	408: {phrase: "Request Timeout", text: "The request did not arrive in time.\n"},
	413: {phrase: "Content Too Large", text: "The request's body is too large.\n"},
	414: {phrase: "URI Too Long", text: "The request line is too long.\n"},
	417: {phrase: "Expectation Failed", text: "This expectation cannot be met.\n"},
	426: {
		phrase: "Upgrade Required", text: "WebSocket version 13 is required.\n",
		headers: "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n",
	},
	431: {phrase: "Request Header Fields Too Large", text: "The request's header is too large.\n"},
	501: {phrase: "Not Implemented", text: "This kind of request is not supported.\n"},
	502: {phrase: "Bad Gateway", text: "The server behind this address gave no valid answer.\n"},
	503: {phrase: "Service Unavailable", text: "No server is available for this request.\n"},
	504: {phrase: "Gateway Timeout", text: "The server behind this address did not answer in time.\n"},
	505: {phrase: "HTTP Version Not Supported", text: "This version of HTTP is not supported.\n"},
}

// appendRefusal appends a whole answer of our own. bodiless leaves the body out, as for HEAD.
func appendRefusal(dst []byte, status int, bodiless bool) []byte {
	r := refusals[status]
	dst = http1.AppendStatusLine(dst, status, r.phrase)
	dst = append(dst, r.headers...)
	connection := "Connection: close\r\n"
	if status == 426 {
		connection = "Connection: upgrade, close\r\n"
	}
	dst = append(dst, connection...)
	dst = http1.AppendHeader(dst, "Content-Type", "text/plain; charset=utf-8")
	dst = http1.AppendContentLength(dst, int64(len(r.text)))
	dst = http1.AppendEnd(dst)
	if bodiless {
		return dst
	}
	return append(dst, r.text...)
}

// statusOf returns the status that an exchange which ended for this reason is answered or logged with.
func statusOf(r engine.EndReason) int { return outerStatus[r] }
