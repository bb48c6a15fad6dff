package proxytest

import (
	"net/textproto"
	"strings"

	"culvert/proxy/ws"

	gobwas "github.com/gobwas/ws"
)

// Key is the Sec-WebSocket-Key of UpgradeRequest: that of RFC 6455 section 1.3.
const Key = "dGhlIHNhbXBsZSBub25jZQ=="

// ClientMask is the mask of every frame that a client of these tests sends.
var ClientMask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// Head joins the lines of a head: the start line, then fields, then the empty line.
func Head(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

// UpgradeRequest is the head of a valid request for a WebSocket at /chat, with further lines such as "Origin: a".
func UpgradeRequest(fields ...string) string {
	return Head(append([]string{
		"GET /chat HTTP/1.1", "Host: example.com", "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + Key,
	}, fields...)...)
}

// SwitchingProtocols is the head of a valid 101 to the request with that head, with further lines.
func SwitchingProtocols(request string, fields ...string) string {
	return Head(append([]string{
		"HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Accept: " + Accept(Field(request, "Sec-WebSocket-Key")),
	}, fields...)...)
}

// Accept returns the Sec-WebSocket-Accept that answers a key, or "" for one that is not 24 characters long.
func Accept(key string) string {
	if len(key) != ws.KeyLen {
		return ""
	}
	accept := ws.AcceptKey([ws.KeyLen]byte([]byte(key)))
	return string(accept[:])
}

// Field returns the value of the first field with this name in a head, or "".
func Field(head, name string) string {
	for _, line := range strings.Split(head, "\r\n") {
		field, value, ok := strings.Cut(line, ":")
		if ok && textproto.CanonicalMIMEHeaderKey(field) == textproto.CanonicalMIMEHeaderKey(name) {
			return textproto.TrimString(value)
		}
	}
	return ""
}

// ClientFrame is a whole masked frame.
func ClientFrame(op gobwas.OpCode, payload string) string {
	return frame(gobwas.MaskFrameWith(gobwas.NewFrame(op, true, []byte(payload)), ClientMask))
}

// ServerFrame is a whole frame without a mask.
func ServerFrame(op gobwas.OpCode, payload string) string {
	return frame(gobwas.NewFrame(op, true, []byte(payload)))
}

func frame(f gobwas.Frame) string { return string(gobwas.MustCompileFrame(f)) }

// ClientText is a text message of a client, ServerText one of a server.
func ClientText(text string) string { return ClientFrame(gobwas.OpText, text) }

// ServerText is a text message of a server.
func ServerText(text string) string { return ServerFrame(gobwas.OpText, text) }

// ClientClose is a close frame of a client, ServerClose one of a server.
func ClientClose(code gobwas.StatusCode) string {
	return ClientFrame(gobwas.OpClose, string(gobwas.NewCloseFrameBody(code, "")))
}

// ServerClose is a close frame of a server.
func ServerClose(code gobwas.StatusCode) string {
	return ServerFrame(gobwas.OpClose, string(gobwas.NewCloseFrameBody(code, "")))
}

// ClientHeader is the header of a client's binary message whose payload, of length bytes, is to follow. Any bytes will
// do for it: nobody here unmasks data.
func ClientHeader(length int64) string {
	return header(gobwas.Header{Fin: true, OpCode: gobwas.OpBinary, Length: length, Masked: true, Mask: ClientMask})
}

// ServerHeader is the same of a server.
func ServerHeader(length int64) string {
	return header(gobwas.Header{Fin: true, OpCode: gobwas.OpBinary, Length: length})
}

func header(h gobwas.Header) string {
	var text strings.Builder
	if err := gobwas.WriteHeader(&text, h); err != nil {
		panic("proxytest: " + err.Error())
	}
	return text.String()
}
