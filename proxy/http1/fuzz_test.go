package http1

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"
)

// randomSteps cuts a stream into pieces that depend on seed alone.
func randomSteps(seed uint64) func(int) int {
	random := rand.New(rand.NewPCG(seed, 1))
	return func(int) int { return 1 + random.IntN(1<<random.IntN(10)) }
}

// fuzzHead checks what holds for any bytes: the same verdict however they are cut, and
// bytes behind the head that do not matter.
func fuzzHead(t *testing.T, head headParser, data []byte, seed uint64) verdict {
	v := feed(t, head, data, nil)
	head.Reset()
	if pieces, _ := feedPieces(t, head, data, nil, randomSteps(seed)); pieces != v {
		t.Fatalf("in pieces: %v %+v\nwhole: %v %+v", pieces, pieces, v, v)
	}
	head.Reset()
	judge(head, data, nil)
	return v
}

func addSeeds(f *testing.F, cases []hostileCase, more ...string) {
	for i, c := range cases {
		if input := crlf(c.input); len(input) < 16<<10 {
			f.Add(input, uint64(i))
		}
	}
	for i, input := range more {
		f.Add(crlf(input), uint64(i))
	}
}

func FuzzRequestHead(f *testing.F) {
	addSeeds(f, hostileRequests, browserUpgrade,
		"OPTIONS * HTTP/1.1¶Host: a¶¶", "GET http://[::1]:80?q HTTP/1.0¶Connection: keep-alive¶¶",
		get+"X-Hop: 1¶Connection: close, x-hop, upgrade¶Upgrade: websocket, h2c¶Expect: 100-continue¶¶",
		get+"Pragma: no-cache¶Content-Length: 7¶content-length: 7¶Trailer: A¶¶",
		get+"Content-Length: 007¶content-length: 7¶¶")
	f.Fuzz(checkRequestHead)
}

// checkRequestHead checks all that holds for any bytes taken as a request's head.
func checkRequestHead(t *testing.T, data []byte, seed uint64) {
	var head, again RequestHead
	v := fuzzHead(t, &head, data, seed)
	if v.String() != "ok" {
		return
	}
	written := AppendRequestLine(nil, head.Method(), head.AppendTarget(nil))
	if head.Host() == nil {
		return // HTTP/1.0: there is no host to write an HTTP/1.1 head with
	}
	written = AppendEnd(head.AppendHeaders(written, 0, nil))
	if n, err := again.Parse(exact(written), nil); err != nil && err.Status == 431 || err != nil && err.Status == 414 {
		return // rewriting Host may pass a limit
	} else if n != len(written) || err != nil {
		t.Fatalf("%q was written as %q: %d, %v", data[:v.n], written, n, err)
	}
	compareRequests(t, &head, &again)

	twice := AppendRequestLine(nil, again.Method(), again.AppendTarget(nil))
	twice = AppendEnd(again.AppendHeaders(twice, 0, nil))
	if !bytes.Equal(twice, written) {
		t.Fatalf("written once  %q\nwritten twice %q", written, twice)
	}
}

// compareRequests demands that b, read from what was written for a, means the same. The
// version is the one exception: a proxy speaks its own.
func compareRequests(t testing.TB, a, b *RequestHead) {
	t.Helper()
	aQuery, aHas := a.Query()
	bQuery, bHas := b.Query()
	aKind, aLength := a.Body()
	bKind, bLength := b.Body()
	if !bytes.Equal(a.Method(), b.Method()) || !bytes.Equal(a.Path(), b.Path()) ||
		!bytes.Equal(aQuery, bQuery) || aHas != bHas || aKind != bKind || aLength != bLength ||
		!bytes.Equal(a.HostName(), b.HostName()) || a.Port() != b.Port() {
		t.Fatalf("read %s\nwritten %s", dumpHead(a), dumpHead(b))
	}
	compareFields(t, &a.Fields, &b.Fields)
}

// compareFields demands the same headers but for those that writing makes plain.
func compareFields(t testing.TB, a, b *Fields) {
	t.Helper()
	plain := func(f *Fields) (list []string) {
		for i := range f.Len() {
			if field := f.At(i); field.ID != FieldHost && field.ID != FieldContentLength {
				list = append(list, string(field.Line))
			}
		}
		return list
	}
	if !slices.Equal(plain(a), plain(b)) || b.Count(FieldContentLength) > 1 {
		t.Fatalf("headers read %q\nwritten %q", plain(a), plain(b))
	}
}

func fieldValues(f *Fields, name string) (values []string) {
	for i := range f.Len() {
		if field := f.At(i); EqualFold(field.Name, name) {
			values = append(values, string(field.Value))
		}
	}
	return values
}

func FuzzResponseHead(f *testing.F) {
	addSeeds(f, hostileResponses, switchingProtocols,
		"HTTP/1.0 200 OK¶Connection: keep-alive¶Content-Length: 5,5¶X: y¶¶",
		"HTTP/1.1 304 Not Modified¶ETag: x¶Content-Length: 07¶¶")
	f.Fuzz(checkResponseHead)
}

// checkResponseHead checks all that holds for any bytes taken as a response's head.
func checkResponseHead(t *testing.T, data []byte, seed uint64) {
	var head, again ResponseHead
	v := fuzzHead(t, &head, data, seed)
	if v.String() != "ok" {
		return
	}
	written := AppendStatusLine(nil, head.Status(), head.Phrase())
	written = AppendEnd(head.AppendHeaders(written, 0, nil))
	n, err := again.Parse(exact(written), nil)
	if err != nil && err.Reason == ReasonHeadTooLarge {
		return // an added space may pass the limit
	}
	if n != len(written) || err != nil {
		t.Fatalf("%q was written as %q: %d, %v", data[:v.n], written, n, err)
	}
	kind, length := head.Body(nil)
	kindAgain, lengthAgain := again.Body(nil)
	if head.Status() != again.Status() || !bytes.Equal(head.Phrase(), again.Phrase()) ||
		kind != kindAgain || length != lengthAgain {
		t.Fatalf("read %s\nwritten %s", dumpHead(&head), dumpHead(&again))
	}
	compareFields(t, &head.Fields, &again.Fields)
}

func FuzzBodyScanner(f *testing.F) {
	for i, c := range hostileBodies {
		if input := crlf(c.input); len(input) < 16<<10 {
			f.Add(input, uint8(BodyChunked), uint16(0), uint64(i))
		}
	}
	f.Add([]byte("hello, world"), uint8(BodyLength), uint16(5), uint64(1))
	f.Add([]byte("hello, world"), uint8(BodyUntilClose), uint16(0), uint64(1))
	f.Add(crlf("a¶0123456789¶0¶X-Sum: 1¶Host: b¶Y: z¶¶next"), uint8(BodyChunked), uint16(0), uint64(3))
	f.Fuzz(checkBody)
}

// checkBody checks all that holds for any bytes taken as a body.
func checkBody(t *testing.T, data []byte, kind uint8, length uint16, seed uint64) {
	var s BodyScanner
	s.Init(BodyKind(kind%4), int64(length), FromClient, nil)
	if s.Done() {
		return
	}
	v := feedBody(t, s, data)
	if pieces := scanPieces(t, s, data, randomSteps(seed)); pieces != v {
		t.Fatalf("in pieces: %v %+v\nwhole: %v %+v", pieces, pieces, v, v)
	}
	plain := s
	plain.Dechunk()
	payload := feedBody(t, plain, data)
	if payload.String() != v.String() || int64(len(payload.forwarded)) != v.payload {
		t.Fatalf("without framing: %v %+v\nwith: %v %+v", payload, payload, v, v)
	}
	// What goes to the other side is a body by itself, with nothing to drop in it.
	again := scanPieces(t, s, []byte(v.forwarded), func(int) int { return 1 << 20 })
	if again.forwarded != v.forwarded[:len(again.forwarded)] || again.done != v.done ||
		again.consumed != len(again.forwarded) || again.err.Reason != ReasonNone {
		t.Fatalf("forwarded bytes scanned again: %v %+v\nfirst: %v %+v", again, again, v, v)
	}
	if s.Kind() == BodyChunked && v.done {
		theirs, err := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(v.forwarded)))
		if err != nil || string(theirs) != payload.forwarded {
			t.Fatalf("net/http reads %q (%v), we read %q", theirs, err, payload.forwarded)
		}
	}
}

func FuzzRestoreState(f *testing.F) {
	s := chunkedFrom(FromClient)
	for _, input := range []string{"", "5", "5;", "5¶he", "llo", "¶0¶", "Host", ":a", "¶¶"} {
		s.Scan(crlf(input))
		f.Add(s.AppendState(nil), crlf(input))
	}
	f.Fuzz(func(t *testing.T, state, data []byte) {
		var s BodyScanner
		rest, err := s.RestoreState(state)
		if err != nil {
			return
		}
		if again := s.AppendState(nil); !bytes.Equal(again, state[:len(state)-len(rest)]) {
			t.Fatalf("restored from %x, exported %x", state, again)
		}
		s.Scan(data)
		if !s.valid() {
			t.Fatalf("%x and %q led to %+v", state, data, s)
		}
	})
}
