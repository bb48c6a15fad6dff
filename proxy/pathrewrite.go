package proxy

import (
	"errors"
	"fmt"
	"strings"

	"culvert/proxy/http1"
	"culvert/proxy/route"
)

// pathRewrite puts another prefix in the place of the one that a rule is for. Immutable.
type pathRewrite struct {
	prefix      string // as route compares it
	replacement string // without '/' at its end
}

// newPathRewrite checks the replacement: empty, or an absolute path without query, as it is sent.
func newPathRewrite(prefix, replacement string) (*pathRewrite, error) {
	if replacement != "" && replacement[0] != '/' {
		return nil, fmt.Errorf("the path %q to rewrite to: allowed are one that begins with / and the empty one", replacement)
	}
	for i := range len(replacement) {
		if c := replacement[i]; c <= ' ' || c >= 0x7f || c == '?' || c == '#' {
			return nil, errors.New("the path to rewrite to has a byte that a path cannot have: write it percent-encoded")
		}
	}
	return &pathRewrite{prefix: strings.TrimSuffix(string(route.Normalize(nil, []byte(prefix))), "/"), replacement: strings.TrimSuffix(replacement, "/")}, nil
}

// append appends the rewritten target of a request that the rule is for: path and query. Behind the prefix the path is
// sent as it was compared, for where the prefix ends in another spelling nobody can say.
func (r *pathRewrite) append(dst []byte, head *http1.RequestHead, scratch *[]byte) []byte {
	if head.Form() == http1.AsteriskForm {
		return append(dst, '*')
	}
	path := head.Path()
	if cap(*scratch) < len(path) {
		*scratch = make([]byte, 0, len(path))
	}
	rest := route.Normalize((*scratch)[:0], path)[len(r.prefix):]
	dst = append(dst, r.replacement...)
	if len(rest) == 0 || rest[0] != '/' {
		dst = append(dst, '/')
	}
	dst = appendPath(dst, rest)
	if query, ok := head.Query(); ok {
		dst = append(append(dst, '?'), query...)
	}
	return dst
}

// appendPath encodes the bytes of a path that cannot be sent as they are. A '%' begins an escape already: Normalize keeps
// that of the percent sign itself.
func appendPath(dst, path []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range path {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"#<>?\^{|}`+"`", c) >= 0 {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
			continue
		}
		dst = append(dst, c)
	}
	return dst
}
