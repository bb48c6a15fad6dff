package http1

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// crlf writes test messages the way RFC texts show them: '¶' is CRLF.
func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "¶", "\r\n")) }

// exact returns a copy without room behind it: a read past the end panics.
func exact(b []byte) []byte { return append(make([]byte, 0, len(b)), b...)[:len(b):len(b)] }

// poison overwrites borrowed bytes that their user must not look at any more.
func poison(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}

// verdict is all that a parser says about a head.
type verdict struct {
	n    int
	err  Error // zero when the head is not refused
	dump string
}

func (v verdict) String() string {
	switch {
	case v.err.Reason != ReasonNone:
		return fmt.Sprintf("%d %v", v.err.Status, v.err.Reason)
	case v.n == 0:
		return "need more"
	}
	return "ok"
}

// headParser is what RequestHead and ResponseHead have in common.
type headParser interface {
	Reset()
	Parse(buf []byte, limits *Limits) (int, *Error)
	Rebind(buf []byte)
}

// judge asks the parser once and writes its answer down.
func judge(head headParser, buf []byte, limits *Limits) verdict {
	n, err := head.Parse(buf, limits)
	v := verdict{n: n}
	if err != nil {
		v.err = *err
	} else if n > 0 {
		v.dump = dumpHead(head)
	}
	return v
}

// dumpHead writes down everything that a complete head tells.
func dumpHead(head headParser) string {
	var out strings.Builder
	var fields *Fields
	switch h := head.(type) {
	case *RequestHead:
		query, hasQuery := h.Query()
		kind, length := h.Body()
		fmt.Fprintf(&out, "%s %s %v path=%s query=%s,%v host=%s name=%s port=%d expect=%d body=%v,%d\n",
			h.Method(), h.Target(), h.Form(), h.Path(), query, hasQuery,
			h.Host(), h.HostName(), h.Port(), h.Expect(), kind, length)
		fields = &h.Fields
	case *ResponseHead:
		kind, length := h.Body([]byte("GET"))
		headKind, _ := h.Body([]byte("HEAD"))
		fmt.Fprintf(&out, "%d %q interim=%v body=%v,%d head=%v\n",
			h.Status(), h.Phrase(), h.Interim(), kind, length, headKind)
		fields = &h.Fields
	}
	length, hasLength := fields.ContentLength()
	fmt.Fprintf(&out, "%v keep=%v upgrade=%v length=%d,%v chunked=%v\n", fields.Version(),
		fields.KeepAlive(), fields.WantsUpgrade(), length, hasLength, fields.Chunked())
	for i := range fields.Len() {
		f := fields.At(i)
		fmt.Fprintf(&out, "%q=%q line=%q id=%v class=%b\n", f.Name, f.Value, f.Line, f.ID, f.Class)
	}
	return out.String()
}

// feed gives input to the parser whole, byte by byte and with trailing bytes, and
// demands one verdict. The bytes move with each call and the old ones are poisoned.
func feed(t *testing.T, head headParser, input []byte, limits *Limits) verdict {
	t.Helper()
	head.Reset()
	whole := judge(head, exact(input), limits)
	if again := judge(head, exact(input), limits); again != whole {
		t.Fatalf("asked again: %v, was %v", again, whole)
	}

	head.Reset()
	pieces, ended := feedPieces(t, head, input, limits, func(int) int { return 1 })
	if pieces != whole {
		t.Fatalf("byte by byte: %v %+v\nwhole: %v %+v", pieces, pieces, whole, whole)
	}
	checkPromptness(t, input, whole, ended)

	if whole.String() != "need more" {
		head.Reset()
		trailing := append(exact(input), "GET /next HTTP/1.1\r\nHost: next\r\n\r\n\x00\n"...)
		if v := judge(head, exact(trailing), limits); v != whole {
			t.Fatalf("with trailing bytes: %v %+v\nwhole: %v %+v", v, v, whole, whole)
		}
	}
	return whole
}

// feedPieces lets the input grow by step(have) bytes at a time until the parser has a
// verdict, and returns how many bytes it had seen by then.
func feedPieces(t *testing.T, head headParser, input []byte, limits *Limits, step func(int) int) (verdict, int) {
	t.Helper()
	const movedUpTo = 1 << 11 // moving longer inputs for each byte would take too long
	var last []byte
	for have := 0; have < len(input); {
		have = min(len(input), have+step(have))
		buf := input[:have:have]
		if len(input) <= movedUpTo {
			buf = exact(buf)
		}
		v := judge(head, buf, limits)
		if len(input) <= movedUpTo {
			poison(last)
			last = buf
		}
		if v.String() != "need more" || have == len(input) {
			return v, have
		}
	}
	return verdict{}, len(input)
}

// checkPromptness demands that a head is refused no later than at the end of the line
// with the offending byte.
func checkPromptness(t *testing.T, input []byte, v verdict, ended int) {
	t.Helper()
	if v.err.Reason == ReasonNone {
		return
	}
	offset := int(v.err.Offset)
	if offset >= len(input) {
		t.Fatalf("%v: offset %d of %d bytes", v, offset, len(input))
	}
	lineEnd := len(input)
	if i := bytes.IndexByte(input[offset:], '\n'); i >= 0 {
		lineEnd = offset + i + 1
	}
	if ended > lineEnd {
		t.Fatalf("%v: refused after %d bytes, the line ends after %d", v, ended, lineEnd)
	}
}

// feedRequest feeds a request's head, written with '¶'.
func feedRequest(t *testing.T, input string) (*RequestHead, verdict) {
	t.Helper()
	head := new(RequestHead)
	v := feed(t, head, crlf(input), nil)
	head.Reset()
	head.Parse(crlf(input), nil)
	return head, v
}

// feedResponse feeds a response's head, written with '¶'.
func feedResponse(t *testing.T, input string) (*ResponseHead, verdict) {
	t.Helper()
	head := new(ResponseHead)
	v := feed(t, head, crlf(input), nil)
	head.Reset()
	head.Parse(crlf(input), nil)
	return head, v
}
