package http1

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

// bodyVerdict is all that a scanner says about a stream.
type bodyVerdict struct {
	forwarded string
	consumed  int // forwarded and dropped bytes
	payload   int64
	done      bool
	err       Error
}

func (v bodyVerdict) String() string {
	switch {
	case v.err.Reason != ReasonNone:
		return fmt.Sprintf("%d %v", v.err.Status, v.err.Reason)
	case v.done:
		return "done"
	}
	return "need more"
}

// scanPieces gives input to a copy of the scanner in pieces of step bytes, holding back
// what it cannot judge, as a relay does. Between pieces the scanner is exported,
// destroyed and imported.
func scanPieces(t *testing.T, s BodyScanner, input []byte, step func(int) int) (v bodyVerdict) {
	t.Helper()
	var forwarded []byte
	for have := 0; have < len(input) && v.String() == "need more"; {
		have = min(len(input), have+step(have))
		for again := true; again; {
			p := exact(input[v.consumed:have])
			forward, drop, done, err := s.Scan(p)
			forwarded = append(forwarded, p[:forward]...)
			poison(p)
			v.consumed += forward + drop
			v.done = done
			again = drop > 0 && !done && err == nil
			if err != nil {
				v.err = *err
			}
		}
		if held := have - v.consumed; held > MaxBodyHold && v.String() == "need more" {
			t.Fatalf("%d bytes held, the bound is %d", held, MaxBodyHold)
		}
		state := s.AppendState(nil)
		s = BodyScanner{}
		if rest, err := s.RestoreState(state); err != nil || len(rest) != 0 || len(state) != BodyStateBytes {
			t.Fatalf("state %x: %v, %d bytes left", state, err, len(rest))
		}
	}
	v.forwarded, v.payload = string(forwarded), s.Payload()
	return v
}

// feedBody scans input whole, byte by byte and with trailing bytes, and demands one
// verdict.
func feedBody(t *testing.T, s BodyScanner, input []byte) bodyVerdict {
	t.Helper()
	whole := scanPieces(t, s, input, func(int) int { return len(input) })
	pieces := scanPieces(t, s, input, func(int) int { return 1 })
	if pieces != whole {
		t.Fatalf("byte by byte: %v %+v\nwhole: %v %+v", pieces, pieces, whole, whole)
	}
	if whole.String() != "need more" {
		trailing := append(exact(input), "HTTP/1.1 200 OK\r\n\r\n\x00"...)
		if v := scanPieces(t, s, trailing, func(int) int { return len(trailing) }); v != whole {
			t.Fatalf("with trailing bytes: %v %+v\nwhole: %v %+v", v, v, whole, whole)
		}
	}
	return whole
}

func chunkedFrom(side Side) (s BodyScanner) {
	s.Init(BodyChunked, 0, side, nil)
	return s
}

// hostileBody is a hostile chunked body of a request: its id, the verdict that is
// required, and the bytes that must have been forwarded by then.
type hostileBody struct{ id, input, want, forwarded string }

func (c hostileBody) run(t *testing.T) {
	v := feedBody(t, chunkedFrom(FromClient), crlf(c.input))
	if v.String() != c.want || v.forwarded != string(crlf(c.forwarded)) {
		t.Errorf("got %v, forwarded %q; want %s, %q", v, v.forwarded, c.want, crlf(c.forwarded))
	}
	w := feedBody(t, chunkedFrom(FromBackend), crlf(c.input))
	if v.err.Reason != w.err.Reason || w.err.Reason != ReasonNone && w.err.Status != 502 {
		t.Errorf("from a backend: %v", w)
	}
}

var hostileBodies = []hostileBody{
	{"H05/bare-lf", "5\nhello¶0¶¶", "400 bare-lf", ""},
	{"H05/bare-lf-after-extension", "5;a\nhello¶0¶¶", "400 bare-lf", "5"},
	{"H05/bare-lf-after-space", "5 \nhello¶0¶¶", "400 bare-lf", "5"},
	{"H05/plus", "+5¶hello¶0¶¶", "400 bad-chunk-size", ""},
	{"H05/minus", "-5¶hello¶0¶¶", "400 bad-chunk-size", ""},
	{"H05/0x", "0x5¶hello¶0¶¶", "400 bad-chunk-size", ""},
	{"H05/leading-space", " 5¶hello¶0¶¶", "400 bad-chunk-size", ""},
	{"H05/underscore", "1_0¶hello¶0¶¶", "400 bad-chunk-size", ""},
	{"H05/16-digits", "0000000000000005¶hello¶0¶¶", "done", "0000000000000005¶hello¶0¶¶"},
	{"H05/17-digits", "00000000000000005¶hello¶0¶¶", "400 chunk-too-large", ""},
	{"H05/two-to-the-63", "8000000000000000¶", "400 chunk-too-large", ""},
	{"H05/largest", "7fffffffffffffff¶x", "need more", "7fffffffffffffff¶x"},
	{"H05/empty", "¶hello¶0¶¶", "400 bad-chunk-size", ""},
	{"H05/empty-with-extension", ";a¶hello¶0¶¶", "400 bad-chunk-size", ""},
	{"H05/extension", "5;a=\"b;c\"¶hello¶0;last¶¶", "done", "5¶hello¶0¶¶"},
	{"H05/padded", "5  ¶hello¶0 \t;x¶¶", "done", "5¶hello¶0¶¶"},
	{"H05/word-after-space", "5 x¶hello¶0¶¶", "400 bad-chunk-extension", "5"},
	{"H05/extension-at-limit", "5;" + strings.Repeat("e", 4095) + "¶hello¶0¶¶", "done", "5¶hello¶0¶¶"},
	{"H05/extension-over-limit", "5;" + strings.Repeat("e", 4096) + "¶hello¶0¶¶", "400 chunk-extension-too-long", "5"},
	{"H05/extensions-without-payload", strings.Repeat("1;"+strings.Repeat("e", 3999)+"¶x¶", 5) + "0¶¶", "400 chunk-overhead-too-large",
		strings.Repeat("1¶x¶", 4) + "1"},
	{"H05/extensions-with-payload", strings.Repeat("3e8;"+strings.Repeat("e", 1999)+"¶"+strings.Repeat("x", 1000)+"¶", 20) + "0;" + strings.Repeat("e", 4095) + "¶¶", "done",
		strings.Repeat("3e8¶"+strings.Repeat("x", 1000)+"¶", 20) + "0¶¶"},
	{"H05/extensions-at-limit", strings.Repeat("1;"+strings.Repeat("e", 4095)+"¶x¶", 4) + "1;" + strings.Repeat("e", 74) + "¶x¶0¶¶", "done",
		strings.Repeat("1¶x¶", 5) + "0¶¶"},
	{"H05/extensions-over-limit", strings.Repeat("1;"+strings.Repeat("e", 4095)+"¶x¶", 4) + "1;" + strings.Repeat("e", 75) + "¶x¶0¶¶", "400 chunk-overhead-too-large",
		strings.Repeat("1¶x¶", 4) + "1"},
	{"H05/tiny-chunks", strings.Repeat("1¶x¶", 4000) + "0¶¶", "done", strings.Repeat("1¶x¶", 4000) + "0¶¶"},
	{"H05/extension-endless", "5;" + strings.Repeat("e", 1<<16), "400 chunk-extension-too-long", "5"},
	{"H05/padding-endless", "5" + strings.Repeat(" ", 1<<16), "400 chunk-extension-too-long", "5"},
	{"H05/control-in-extension", "5;a\x00¶hello¶0¶¶", "400 bad-chunk-extension", "5"},
	{"H05/quoted-line-end", "5;a=\"\n\"¶hello¶0¶¶", "400 bare-lf", "5"},
	{"H05/bare-cr", "5\rX¶hello¶0¶¶", "400 bare-cr", ""},
	{"H05/two-cr", "5\r¶hello¶0¶¶", "400 bare-cr", ""},
	{"H05/bare-cr-in-extension", "5;a\rb¶hello¶0¶¶", "400 bare-cr", "5"},
	{"H06/data-too-long", "5¶hello!¶0¶¶", "400 bad-chunk-end", "5¶hello"},
	{"H06/bare-lf-after-data", "5¶hello\n0¶¶", "400 bad-chunk-end", "5¶hello"},
	{"H06/bare-cr-after-data", "5¶hello\rX0¶¶", "400 bad-chunk-end", "5¶hello"},
	{"H06/two-cr-after-data", "5¶hello\r¶0¶¶", "400 bad-chunk-end", "5¶hello"},
	{"H07/kept", "0¶X-Sum: 1¶¶", "done", "0¶X-Sum: 1¶¶"},
	{"H07/content-length", "0¶Content-Length: 7¶¶", "done", "0¶¶"},
	{"H07/transfer-encoding", "0¶transfer-encoding: chunked¶X: y¶¶", "done", "0¶X: y¶¶"},
	{"H07/host", "0¶X: y¶HOST: evil¶Z: z¶¶", "done", "0¶X: y¶Z: z¶¶"},
	{"H07/authorization", "0¶Authorization: Basic Zm9vOmJhcg==¶¶", "done", "0¶¶"},
	{"H07/forwarded", "0¶X_Forwarded_For: 1.2.3.4¶¶", "done", "0¶¶"},
	{"H07/all", "0¶Host: a¶Cookie: b¶Upgrade: c¶Connection: d¶¶", "done", "0¶¶"},
	{"H07/bare-lf", "0¶X: y\n¶¶", "400 bare-lf", "0¶X: y"},
	{"H07/bare-lf-at-end", "0¶\n", "400 bare-lf", "0¶"},
	{"H07/bare-cr", "0¶X: y\rZ¶¶", "400 bare-cr", "0¶X: y"},
	{"H07/bare-cr-at-end", "0¶\rX", "400 bare-cr", "0¶"},
	{"H07/nul", "0¶X: \x00¶¶", "400 bad-header-value", "0¶X: "},
	{"H07/folding", "0¶X: y¶ z¶¶", "400 obs-fold", "0¶X: y¶"},
	{"H07/no-colon", "0¶X¶¶", "400 missing-colon", "0¶"},
	{"H07/empty-name", "0¶: y¶¶", "400 bad-header-name", "0¶"},
	{"H07/space-before-colon", "0¶X : y¶¶", "400 space-before-colon", "0¶"},
	{"H07/name-at-limit", "0¶" + strings.Repeat("n", 127) + ":¶¶", "done", "0¶" + strings.Repeat("n", 127) + ":¶¶"},
	{"H07/name-over-limit", "0¶" + strings.Repeat("n", 128) + ":¶¶", "431 header-name-too-long", "0¶"},
	{"H07/too-many", "0¶" + strings.Repeat("Host:¶", 129) + "¶", "431 too-many-trailers", "0¶"},
	{"H07/too-large", "0¶Host:" + strings.Repeat("v", 8<<10-4) + "¶¶", "431 trailers-too-large", "0¶"},
	{"H07/at-limit", "0¶Host:" + strings.Repeat("v", 8<<10-5) + "¶¶", "done", "0¶¶"},
	{"H07/name-passes-limit", "0¶Host:" + strings.Repeat("v", 8<<10-7) + "¶abc:¶", "431 trailers-too-large", "0¶"},
}

func TestBodyOfOtherKinds(t *testing.T) {
	for _, c := range []struct {
		name              string
		kind              BodyKind
		length            int64
		input, want, sent string
		complete          bool // after EOF
	}{
		{"none", BodyNone, 0, "next", "need more", "", true},
		{"length", BodyLength, 5, "hellonext", "done", "hello", true},
		{"B03 length cut short", BodyLength, 6, "hello", "need more", "hello", false},
		{"length zero", BodyLength, 0, "next", "need more", "", true},
		{"B03 chunked cut short", BodyChunked, 0, "5\r\nhello\r\n0\r\n", "need more", "5\r\nhello\r\n0\r\n", false},
		{"B04 bytes behind", BodyChunked, 0, "0\r\n\r\nnext", "done", "0\r\n\r\n", true},
		{"until close", BodyUntilClose, 0, "hello\x00", "need more", "hello\x00", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s BodyScanner
			s.Init(c.kind, c.length, FromBackend, nil)
			if s.Done() { // nothing of the input is the body's
				forward, drop, done, err := s.Scan([]byte(c.input))
				if forward != 0 || drop != 0 || !done || err != nil {
					t.Errorf("an empty body took %d and %d bytes, %v, %v", forward, drop, done, err)
				}
				return
			}
			if v := feedBody(t, s, []byte(c.input)); v.String() != c.want || v.forwarded != c.sent {
				t.Errorf("got %v, forwarded %q; want %s, %q", v, v.forwarded, c.want, c.sent)
			}
			s.Scan([]byte(c.input))
			if got := s.EOF(); got != c.complete {
				t.Errorf("complete at the end of the stream: %v, want %v", got, c.complete)
			}
		})
	}
}

func TestDechunkLeavesPayloadAlone(t *testing.T) {
	s := chunkedFrom(FromBackend)
	s.Dechunk()
	v := feedBody(t, s, crlf("5;x¶hello¶6¶ world¶0¶X: y¶¶"))
	if !v.done || v.forwarded != "hello world" || v.payload != 11 {
		t.Errorf("got %v, %q, %d bytes", v, v.forwarded, v.payload)
	}
}

func TestOpaqueBytesMayBeSkipped(t *testing.T) {
	var s BodyScanner
	s.Init(BodyUntilClose, 0, FromBackend, nil)
	if s.Opaque() != math.MaxInt64 {
		t.Errorf("until close: %d opaque bytes", s.Opaque())
	}
	s = chunkedFrom(FromBackend)
	if s.Opaque() != 0 {
		t.Errorf("before the first chunk: %d opaque bytes", s.Opaque())
	}
	s.Scan(crlf("100000¶x"))
	if s.Opaque() != 1<<20-1 {
		t.Fatalf("in the chunk: %d opaque bytes", s.Opaque())
	}
	s.Skip(1<<20 - 1)
	if _, _, done, err := s.Scan(crlf("¶0¶¶")); !done || err != nil || s.Payload() != 1<<20 {
		t.Errorf("after the chunk: done %v, %v, payload %d", done, err, s.Payload())
	}
	s.Init(BodyLength, 10, FromClient, nil)
	if s.Skip(10); !s.Done() {
		t.Error("a length of 10 is not done after 10 bytes")
	}
	defer func() {
		if recover() == nil {
			t.Error("skipping beyond the body did not panic")
		}
	}()
	s.Skip(1)
}

func TestRestoreStateRefusesWhatCannotBe(t *testing.T) {
	s := chunkedFrom(FromClient)
	s.Scan(crlf("5¶he"))
	good := s.AppendState([]byte("x"))[1:]
	for name, change := range map[string]func(b []byte) []byte{
		"empty":          func(b []byte) []byte { return nil },
		"short":          func(b []byte) []byte { return b[:len(b)-1] },
		"version":        func(b []byte) []byte { b[0]++; return b },
		"phase":          func(b []byte) []byte { b[1] = byte(bodyPhaseCount); return b },
		"phase of kind":  func(b []byte) []byte { b[2] = byte(BodyNone); return b },
		"kind":           func(b []byte) []byte { b[2] = 9; return b },
		"side":           func(b []byte) []byte { b[3] = 2; return b },
		"reason":         func(b []byte) []byte { b[4] = 1; return b },
		"flags":          func(b []byte) []byte { b[5] = 0x80; return b },
		"no remaining":   func(b []byte) []byte { b[6] = 0; return b },
		"negative":       func(b []byte) []byte { b[13] = 0x80; return b },
		"payload > wire": func(b []byte) []byte { b[14] = 200; return b },
	} {
		before := s
		if _, err := s.RestoreState(change(bytes.Clone(good))); err != ErrBodyState || s != before {
			t.Errorf("%s: %v", name, err)
		}
	}
	if rest, err := s.RestoreState(append(good, "more"...)); err != nil || string(rest) != "more" {
		t.Errorf("a good state: %v, rest %q", err, rest)
	}
}

// TestScannerHoldsNoPointer: so it can retain no buffer, and is small.
func TestScannerHoldsNoPointer(t *testing.T) {
	scanner := reflect.TypeFor[BodyScanner]()
	for i := range scanner.NumField() {
		if kind := scanner.Field(i).Type.Kind(); kind < reflect.Int || kind > reflect.Uint64 {
			t.Errorf("%s is a %v", scanner.Field(i).Name, kind)
		}
	}
	if scanner.Size() > 56 {
		t.Errorf("%d bytes", scanner.Size())
	}
}
