package tls

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"reflect"
	"testing"
)

// TestTheFieldsOfCryptoTLSAreAsExpected fails when crypto/tls renames what we reach into, or changes its type. Then
// read readRecordOrCCS and Read in crypto/tls/conn.go anew: what is done in standard.go relies on rawInput being drained
// by a record that is whole in it, on input pointing into it, and on hand being copied from.
func TestTheFieldsOfCryptoTLSAreAsExpected(t *testing.T) {
	if !cryptoTLS.found {
		t.Fatal("crypto/tls.Conn has no rawInput bytes.Buffer, input bytes.Reader, hand bytes.Buffer and out.err error any more")
	}
	conn := tls.Client(&memory{}, &tls.Config{})
	fieldOf := func(name string) uintptr { return reflect.ValueOf(conn).Elem().FieldByName(name).UnsafeAddr() }
	if reflect.ValueOf(cryptoTLS.rawInputOf(conn)).Pointer() != fieldOf("rawInput") ||
		reflect.ValueOf(cryptoTLS.inputOf(conn)).Pointer() != fieldOf("input") ||
		reflect.ValueOf(cryptoTLS.handOf(conn)).Pointer() != fieldOf("hand") {
		t.Error("an offset is wrong")
	}
	if a := cryptoTLS.alertSent(conn); a != 0 {
		t.Errorf("a fresh connection has sent %v", a)
	}
}

func TestOtherFieldsAreNotUsed(t *testing.T) {
	type half struct{ err error }
	_ = half{}.err // it is looked at by reflection only
	for name, conn := range map[string]any{
		"nothing": struct{}{},
		"another type": struct {
			rawInput, hand []byte
			input          bytes.Reader
			out            half
		}{},
		"no out": struct {
			rawInput, hand bytes.Buffer
			input          bytes.Reader
		}{},
		"no err": struct {
			rawInput, hand bytes.Buffer
			input          bytes.Reader
			out            struct{}
		}{},
		"out is no struct": struct {
			rawInput, hand bytes.Buffer
			input          bytes.Reader
			out            *half
		}{},
	} {
		if f := findFields(reflect.TypeOf(conn)); f != (fields{}) {
			t.Errorf("%s: %+v", name, f)
		}
	}
	f := findFields(reflect.TypeFor[struct {
		rawInput, hand bytes.Buffer
		input          bytes.Reader
		out            half
	}]())
	if !f.found {
		t.Error("the right fields were not found")
	}
	if (&fields{}).alertSent(nil) != 0 {
		t.Error("without fields no alert is known")
	}
}

// TestCryptoTLSComesAgain: the error of an empty memory connection must not be for good.
func TestCryptoTLSComesAgain(t *testing.T) {
	if !errNoCiphertext.Timeout() || !errNoCiphertext.(interface{ Temporary() bool }).Temporary() {
		t.Error("crypto/tls keeps every error that is not both a timeout and temporary")
	}
	m := &memory{}
	if n, err := m.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errNoCiphertext) {
		t.Errorf("%d, %v", n, err)
	}
	m.in = append(record(typeHandshake, []byte("abc")), record(typeAlert, []byte("de"))...)
	for _, want := range []string{"\x16\x03\x03", "\x00\x03a", "bc", "\x15\x03\x03", "\x00\x02d", "e"} {
		p := make([]byte, 3)
		if n, err := m.Read(p); err != nil || string(p[:n]) != want {
			t.Errorf("%q, %v; want %q, for a read ends with the record", p[:n], err, want)
		}
	}
	var _ net.Conn = m
	if m.LocalAddr().String() != "memory" || m.RemoteAddr().Network() != "memory" || m.Close() != nil ||
		errors.Join(m.SetDeadline(patienceEnds), m.SetReadDeadline(patienceEnds), m.SetWriteDeadline(patienceEnds)) != nil {
		t.Error("memory has no addresses and no deadlines")
	}
}
