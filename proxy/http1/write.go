package http1

import "strconv"

// AppendRequestLine appends an HTTP/1.1 request line. The method must be a token and
// the target free of spaces and control bytes.
func AppendRequestLine[M, T ~string | ~[]byte](dst []byte, method M, target T) []byte {
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, target...)
	return append(dst, " HTTP/1.1\r\n"...)
}

// AppendStatusLine appends an HTTP/1.1 status line. The status is 100 to 999; the
// reason phrase may be empty and must pass IsFieldValue.
func AppendStatusLine[P ~string | ~[]byte](dst []byte, status int, phrase P) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, phrase...)
	return append(dst, "\r\n"...)
}

// AppendHeader appends one header line. The name must be a token and the value pass
// IsFieldValue: what comes from outside, a setting too, is to be checked beforehand.
func AppendHeader[N, V ~string | ~[]byte](dst []byte, name N, value V) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// AppendContentLength appends a Content-Length header. The length is 0 or more.
func AppendContentLength(dst []byte, length int64) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, length, 10)
	return append(dst, "\r\n"...)
}

// AppendEnd appends the empty line that ends a head.
func AppendEnd(dst []byte) []byte { return append(dst, "\r\n"...) }

// AppendTarget appends the request target as an origin server wants it: path and query,
// or "*" (RFC 9112 3.2.1, 3.2.4).
func (h *RequestHead) AppendTarget(dst []byte) []byte {
	dst = append(dst, h.Path()...)
	if query, ok := h.Query(); ok {
		dst = append(dst, '?')
		dst = append(dst, query...)
	}
	return dst
}

// AppendHeaders appends the header lines that have no class in drop and that keep, when
// it is not nil, answers true for; in their order and as they were spelled, with two
// exceptions. Content-Length is written once, as one number. Host is written as Host()
// tells: at its place, or first when only the target names it; an HTTP/1.0 request
// without any host is left without. Nothing is allocated beyond dst, provided that keep
// does not let its argument escape.
func (h *RequestHead) AppendHeaders(dst []byte, drop Class, keep func(Field) bool) []byte {
	if h.hostLineMissing && h.authority.end > 0 {
		dst = AppendHeader(dst, "Host", h.Host())
	}
	var host []byte
	if h.hostFromTarget {
		host = h.Host()
	}
	return h.appendFields(dst, drop, keep, host, false)
}

// AppendHeaders appends header lines in the same way as RequestHead.AppendHeaders. A
// Content-Length is left out where the status forbids one (1xx, 204).
func (h *ResponseHead) AppendHeaders(dst []byte, drop Class, keep func(Field) bool) []byte {
	return h.appendFields(dst, drop, keep, nil, h.forbidsLength())
}

// appendFields copies runs of lines that stay as they are with one append each.
func (f *Fields) appendFields(dst []byte, drop Class, keep func(Field) bool, host []byte, noLength bool) []byte {
	var run span
	for i := range f.fields {
		entry := &f.fields[i]
		kept := entry.class&drop == 0 && (keep == nil || keep(f.At(i)))
		rewrite := false
		switch entry.id {
		case FieldContentLength:
			first := int(f.first[FieldContentLength]) == i+1
			kept = kept && first && !noLength
			rewrite = !f.lengthAsIs
		case FieldHost:
			rewrite = host != nil
		}
		if kept && !rewrite && run.end == entry.start {
			run.end = entry.end
			continue
		}
		dst = append(dst, f.bytes(run)...)
		run = span{entry.end, entry.end}
		switch {
		case kept && !rewrite:
			run.start = entry.start
		case kept && entry.id == FieldHost:
			dst = AppendHeader(dst, f.name(i), host)
		case kept:
			dst = append(dst, f.name(i)...)
			dst = append(dst, ": "...)
			dst = strconv.AppendInt(dst, f.length, 10)
			dst = append(dst, "\r\n"...)
		}
	}
	return append(dst, f.bytes(run)...)
}
