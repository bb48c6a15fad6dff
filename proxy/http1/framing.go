package http1

import (
	"bytes"
	"math"
)

// BodyKind says how the end of a body is found (RFC 9112 6.3).
type BodyKind uint8

// The kinds of body.
const (
	BodyNone       BodyKind = iota // no body, or one of length 0
	BodyLength                     // Content-Length bytes, at least 1
	BodyChunked                    // the chunked transfer coding
	BodyUntilClose                 // to the end of the connection; responses only
)

// String returns a word for logs.
func (k BodyKind) String() string {
	switch k {
	case BodyNone:
		return "none"
	case BodyLength:
		return "content-length"
	case BodyChunked:
		return "chunked"
	case BodyUntilClose:
		return "until-close"
	}
	return "unknown"
}

var comma = []byte{','}

// applyFraming takes over what a header says about the connection or the body. value is
// at offset at.
func (f *Fields) applyFraming(id FieldID, value []byte, at int, limits *Limits) {
	var reason Reason
	switch id {
	case FieldContentLength:
		reason = f.applyContentLength(value)
	case FieldTransferEncoding:
		reason = f.applyTransferEncoding(value)
	case FieldConnection:
		reason = f.applyConnection(value, limits.MaxConnectionOptions)
	}
	if reason != ReasonNone {
		f.fail(reason, at)
	}
}

// applyContentLength reads a Content-Length (RFC 9112 6.3, 5): equal values, also in
// one line with commas, count as one.
func (f *Fields) applyContentLength(value []byte) Reason {
	firstLine := f.Count(FieldContentLength) == 1
	if firstLine { // a number without leading zeros and commas needs no rewriting
		f.lengthAsIs = len(value) == 1 || len(value) > 1 && value[0] != '0'
	}
	known := !firstLine
	for more := true; more; known = true {
		var element []byte
		element, value, more = bytes.Cut(value, comma)
		length, ok := parseLength(trimSpace(element))
		switch {
		case !ok:
			return ReasonBadLength
		case known && length != f.length:
			return ReasonConflictingLength
		case firstLine && more:
			f.lengthAsIs = false
		}
		f.length = length
	}
	if f.chunked {
		return ReasonLengthWithCoding
	}
	return ReasonNone
}

// parseLength reads 1 to 19 decimal digits below 2^63.
func parseLength(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > len("9223372036854775807") {
		return 0, false
	}
	var value uint64 // 19 digits cannot wrap it
	for _, c := range b {
		if charClass[c]&charDigit == 0 {
			return 0, false
		}
		value = value*10 + uint64(c-'0')
	}
	return int64(value), value <= math.MaxInt64
}

// applyTransferEncoding accepts one thing: chunked, once (RFC 9112 6.1, 7). Empty list
// elements are refused as well, though lists may have them: peers disagree about them.
func (f *Fields) applyTransferEncoding(value []byte) Reason {
	if f.version == HTTP10 {
		return ReasonCodingOnHTTP10
	}
	for more := true; more; {
		var element []byte
		element, value, more = bytes.Cut(value, comma)
		coding := trimSpace(element)
		switch {
		case !IsToken(coding), f.chunked:
			return ReasonBadCoding
		case !EqualFold(coding, "chunked"):
			return ReasonUnknownCoding
		}
		f.chunked = true
	}
	if f.Has(FieldContentLength) {
		return ReasonLengthWithCoding
	}
	return ReasonNone
}

// applyConnection takes over the options that concern the connection and notes whether
// another may be the name of a header.
func (f *Fields) applyConnection(value []byte, most int) Reason {
	for list := List(value); len(list.rest) > 0; {
		if f.options++; f.options > most {
			return ReasonTooManyOptions
		}
		option := list.cut()
		switch {
		case EqualFold(option, "close"):
			f.optionClose = true
		case EqualFold(option, "keep-alive"):
			f.optionKeep = true
		case EqualFold(option, "upgrade"):
			f.optionUpgrade = true
		case len(option) > 0:
			f.optionNames = true
		}
	}
	return ReasonNone
}
