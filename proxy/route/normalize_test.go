package route

import (
	"bytes"
	"path"
	"strconv"
	"strings"
	"testing"
)

var normalizeCases = []struct{ name, path, want string }{
	{"the root", "/", "/"},
	{"a plain path", "/api/users", "/api/users"},
	{"a trailing slash counts", "/api/", "/api/"},
	{"case counts", "/API", "/API"},
	{"no path, of OPTIONS", "*", "*"},
	{"nothing", "", ""},
	{"what does not begin with a slash is no path", "../%61", "../%61"},
	{"an encoded letter", "/%61pi", "/api"},
	{"hex digits in either case", "/%6A%6a", "/jj"},
	{"all of it encoded", "/%61%70%69", "/api"},
	{"encoded space", "/a%20b", "/a b"},
	{"plus is no space in a path", "/a+b", "/a+b"},
	{"encoded UTF-8", "/k%C3%A4se", "/käse"},
	{"encoded question mark is a byte of the path", "/a%3Fb", "/a?b"},
	{"encoded slash is kept", "/a%2Fb", "/a%2Fb"},
	{"and its digits become upper case", "/a%2fb", "/a%2Fb"},
	{"encoded NUL is kept", "/a%00b", "/a%00b"},
	{"encoded percent is kept, or it would decode twice", "/a%2561", "/a%2561"},
	{"doubly encoded dots are none", "/a/%252e%252e/b", "/a/%252e%252e/b"},
	{"encoded slashes make no segments", "/a%2F..%2Fb", "/a%2F..%2Fb"},
	{"dots beside an encoded slash are a name", "/..%2F", "/..%2F"},
	{"a lone percent", "/100%", "/100%"},
	{"a percent without digits", "/%zz/%6", "/%zz/%6"},
	{"a lone percent gains no first digit", "/%%361", "/%%361"},
	{"a lone percent gains no second digit", "/%6%31", "/%6%31"},
	{"a lone percent of another segment does not matter", "/%/%61", "/%/a"},
	{"a lone percent two bytes before does not matter", "/%z%61", "/%za"},
	{"doubled slash in front", "//api", "/api"},
	{"doubled slash inside", "/a//b", "/a/b"},
	{"many slashes at the end", "/a////", "/a/"},
	{"nothing but slashes", "/////", "/"},
	{"a dot", "/.", "/"},
	{"a dot in front", "/./api", "/api"},
	{"a dot at the end leaves the slash", "/api/.", "/api/"},
	{"dots in a row", "/a/././b", "/a/b"},
	{"two dots", "/x/../api", "/api"},
	{"two dots at the end leave the slash", "/a/b/..", "/a/"},
	{"two dots and a slash at the end", "/a/b/../", "/a/"},
	{"two dots at the root", "/..", "/"},
	{"more two dots than segments", "/a/../../../b", "/b"},
	{"two dots over several", "/a/b/c/../../d", "/a/d"},
	{"example of RFC 3986 5.2.4", "/a/b/c/./../../g", "/a/g"},
	{"encoded dot", "/a/%2e/b", "/a/b"},
	{"encoded two dots", "/x/%2E%2e/api", "/api"},
	{"half encoded two dots", "/x/.%2e/api", "/api"},
	{"half encoded two dots at the end", "/x/%2e.", "/"},
	{"three dots are a name", "/.../b", "/.../b"},
	{"a hidden file is a name", "/.well-known/x", "/.well-known/x"},
	{"two dots and a letter are a name", "/..a/b", "/..a/b"},
	{"a name that ends in dots", "/a../b", "/a../b"},
	{"an empty segment is no segment to take back", "/a//../b", "/b"},
	{"nor are many", "/a/b////../c", "/a/c"},
	{"two dots take back a kept escape", "/a%2Fb/../c", "/c"},
	{"backslash is a byte", `/a\..\b`, `/a\..\b`},
	{"encoded backslash too", "/a%5C..%5cb", `/a\..\b`},
	{"parameters of a segment are part of it", "/..;/api", "/..;/api"},
}

func TestNormalize(t *testing.T) {
	for _, c := range normalizeCases {
		t.Run(c.name, func(t *testing.T) {
			checkNormalize(t, []byte(c.path))
			if got := Normalize(nil, []byte(c.path)); string(got) != c.want {
				t.Fatalf("%q became %q, want %q", c.path, got, c.want)
			}
		})
	}
}

func TestNormalizeReturnsANormalPathItself(t *testing.T) {
	for _, s := range []string{"*", "/", "/api/users/.well-known/", "/a..b/..."} {
		normal := []byte(s)
		if got := Normalize(make([]byte, 0, 64), normal); &got[0] != &normal[0] {
			t.Errorf("%q was copied", s)
		}
	}
}

func TestNormalizeUsesTheMemoryItIsGiven(t *testing.T) {
	original := []byte("/x/../%61pi//b/")
	dst := make([]byte, 3, len(original))
	got := Normalize(dst, original)
	if &got[0] != &dst[0] || string(got) != "/api/b/" {
		t.Fatalf("became %q, in other memory", got)
	}
	if string(original) != "/x/../%61pi//b/" {
		t.Fatalf("the target became %q, it must stay as it is", original)
	}
}

// normalizeModel says the same with the standard library: path.Clean merges slashes and removes dots, all but a
// trailing slash.
func normalizeModel(p string) string {
	if !strings.HasPrefix(p, "/") {
		return p
	}
	var decoded strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] != '%' {
			decoded.WriteByte(p[i])
			continue
		}
		c, _ := strconv.ParseUint(p[i+1:i+3], 16, 8)
		if c == 0 || c == '/' || c == '%' {
			decoded.WriteString(strings.ToUpper(p[i : i+3]))
		} else {
			decoded.WriteByte(byte(c))
		}
		i += 2
	}
	last := decoded.String()[strings.LastIndexByte(decoded.String(), '/')+1:]
	cleaned := path.Clean(decoded.String())
	if cleaned != "/" && (last == "" || last == "." || last == "..") {
		cleaned += "/"
	}
	return cleaned
}

// wellFormed reports whether every '%' begins an escape, as in every path of a parsed head.
func wellFormed(p []byte) bool {
	for i := bytes.IndexByte(p, '%'); i >= 0; {
		if _, ok := unescape(p[i:]); !ok {
			return false
		}
		next := bytes.IndexByte(p[i+1:], '%')
		if next < 0 {
			return true
		}
		i += 1 + next
	}
	return true
}

// checkNormalize checks all that holds for any path.
func checkNormalize(t *testing.T, p []byte) {
	t.Helper()
	before := string(p)
	got := string(Normalize(make([]byte, 0, len(p)), p))
	if string(p) != before {
		t.Fatalf("%q was changed to %q", before, p)
	}
	if len(got) > len(p) {
		t.Fatalf("%q became longer: %q", p, got)
	}
	if again := Normalize(nil, []byte(got)); string(again) != got {
		t.Fatalf("%q became %q and then %q", p, got, again)
	}
	if inPlace := bytes.Clone(p); string(Normalize(inPlace[:0], inPlace)) != got {
		t.Fatalf("%q became %q in place, %q elsewhere", p, inPlace, got)
	}
	if wellFormed(p) && got != normalizeModel(before) {
		t.Fatalf("%q became %q, the model says %q", p, got, normalizeModel(before))
	}
	if !strings.HasPrefix(before, "/") {
		if got != before {
			t.Fatalf("%q, which is no path, became %q", before, got)
		}
		return
	}
	if got == "" || got[0] != '/' || strings.Contains(got, "//") {
		t.Fatalf("%q became %q", p, got)
	}
	for segment := range strings.SplitSeq(got, "/") {
		if segment == "." || segment == ".." {
			t.Fatalf("%q became %q, which has a dot segment", p, got)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	for _, c := range normalizeCases {
		f.Add([]byte(c.path))
	}
	f.Fuzz(checkNormalize)
}
