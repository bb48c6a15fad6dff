package tls

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// fields are the offsets of what is reached into in a crypto/tls connection, by name and type. Where one is not there,
// because crypto/tls has changed, none is used: records are copied into crypto/tls then, and its buffers stay with it,
// 7 to 23 KB a connection. TestTheFieldsOfCryptoTLSAreAsExpected notices.
type fields struct {
	found    bool
	rawInput uintptr // bytes.Buffer: the record that is being read, ciphertext and then plaintext
	input    uintptr // bytes.Reader: the plaintext in it that was not read yet
	hand     uintptr // bytes.Buffer: handshake messages that are not complete
	outErr   uintptr // error: why nothing can be sent any more, an alert that was sent among the reasons
}

// cryptoTLS is where the fields are; immutable.
var cryptoTLS = findFields(reflect.TypeFor[tls.Conn]())

func findFields(conn reflect.Type) fields {
	f := fields{found: true}
	find := func(in reflect.Type, name string, kind reflect.Type) uintptr {
		field, ok := in.FieldByName(name)
		f.found = f.found && ok && field.Type == kind
		return field.Offset
	}
	f.rawInput = find(conn, "rawInput", reflect.TypeFor[bytes.Buffer]())
	f.input = find(conn, "input", reflect.TypeFor[bytes.Reader]())
	f.hand = find(conn, "hand", reflect.TypeFor[bytes.Buffer]())
	out, ok := conn.FieldByName("out")
	if !ok || out.Type.Kind() != reflect.Struct {
		return fields{}
	}
	f.outErr = out.Offset + find(out.Type, "err", reflect.TypeFor[error]())
	if !f.found {
		return fields{}
	}
	return f
}

// The pointers below are valid where found is true, and are used while nobody else uses the connection.

func (f *fields) rawInputOf(c *tls.Conn) *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), f.rawInput))
}

func (f *fields) inputOf(c *tls.Conn) *bytes.Reader {
	return (*bytes.Reader)(unsafe.Add(unsafe.Pointer(c), f.input))
}

func (f *fields) handOf(c *tls.Conn) *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), f.hand))
}

// alertSent returns the fatal alert that was sent on c, 0 for none or unknown.
func (f *fields) alertSent(c *tls.Conn) Alert {
	if !f.found {
		return 0
	}
	return alertIn(*(*error)(unsafe.Add(unsafe.Pointer(c), f.outErr)), "local error")
}
