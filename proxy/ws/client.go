package ws

import (
	"errors"
	"fmt"
)

// ErrClientRequest is wrapped by every error of AppendClientRequest: something in the request cannot be written
// without changing its meaning.
var ErrClientRequest = errors.New("invalid upgrade request")

// Field is one line of a head.
type Field struct {
	Name, Value string
}

// ClientRequest is an upgrade of our own.
type ClientRequest struct {
	// Host is the authority: a name or address, with the port if it is not the default one.
	Host string
	// Target is the path and query; empty means "/".
	Target string
	// Key comes from NewKey, a fresh one for each request.
	Key [KeyLen]byte
	// Subprotocols are offered in order of preference.
	Subprotocols []string
	// Extensions is the value of Sec-WebSocket-Extensions, such as "permessage-deflate"; empty offers none.
	Extensions string
	// Fields are further lines, such as Origin or Authorization.
	Fields []Field
}

// AppendClientRequest appends the head of an upgrade request (RFC 6455 section 4.1). On an error, which wraps
// ErrClientRequest, dst is returned as it was.
func AppendClientRequest(dst []byte, request *ClientRequest) ([]byte, error) {
	if err := request.check(); err != nil {
		return dst, err
	}
	target := request.Target
	if target == "" {
		target = "/"
	}
	dst = append(append(append(dst, "GET "...), target...), " HTTP/1.1\r\n"...)
	dst = appendField(dst, "Host", request.Host)
	dst = append(dst, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "...)
	dst = append(append(dst, request.Key[:]...), "\r\n"...)
	for i, name := range request.Subprotocols {
		separator := ", "
		if i == 0 {
			separator = "Sec-WebSocket-Protocol: "
		}
		dst = append(append(dst, separator...), name...)
	}
	if len(request.Subprotocols) > 0 {
		dst = append(dst, "\r\n"...)
	}
	if request.Extensions != "" {
		dst = appendField(dst, "Sec-WebSocket-Extensions", request.Extensions)
	}
	for _, field := range request.Fields {
		dst = appendField(dst, field.Name, field.Value)
	}
	return append(dst, "\r\n"...), nil
}

// Offer returns what the request asks for, to judge the answer by.
func (r *ClientRequest) Offer() Offer {
	offer := Offer{key: r.Key, asked: true}
	for _, name := range r.Subprotocols {
		offer.addSubprotocols([]byte(name))
	}
	offer.addExtensions([]byte(r.Extensions))
	return offer
}

// check refuses what would end a line early or say a thing twice: request smuggling begins at home.
func (r *ClientRequest) check() error {
	if _, ok := parseKey(r.Key[:]); !ok {
		return fmt.Errorf("%w: key is not one of NewKey", ErrClientRequest)
	}
	if r.Host == "" || !isVisible(r.Host) {
		return fmt.Errorf("%w: host %q", ErrClientRequest, r.Host)
	}
	if !isVisible(r.Target) || r.Target != "" && r.Target[0] != '/' {
		return fmt.Errorf("%w: target %q", ErrClientRequest, r.Target)
	}
	for i, name := range r.Subprotocols {
		if !isToken(name) {
			return fmt.Errorf("%w: subprotocol %d %q", ErrClientRequest, i, name)
		}
	}
	if !isFieldValue(r.Extensions) {
		return fmt.Errorf("%w: extensions %q", ErrClientRequest, r.Extensions)
	}
	for _, field := range r.Fields {
		// A value may be a secret: the error names the field only.
		if !isToken(field.Name) || isHandshakeField(field.Name) || !isFieldValue(field.Value) {
			return fmt.Errorf("%w: field %q", ErrClientRequest, field.Name)
		}
	}
	return nil
}

// isHandshakeField reports whether AppendClientRequest writes the field itself, or a request without body has no use
// for it.
func isHandshakeField(name string) bool {
	for _, own := range [...]string{
		"host", "upgrade", "connection", "content-length", "transfer-encoding", "sec-websocket-version",
		"sec-websocket-key", "sec-websocket-protocol", "sec-websocket-extensions",
	} {
		if equalFold([]byte(name), own) {
			return true
		}
	}
	return false
}

// isVisible reports whether s is visible ASCII throughout: no space, no control byte.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// isFieldValue reports whether s holds no control byte but the tab (RFC 9110 section 5.5).
func isFieldValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}
