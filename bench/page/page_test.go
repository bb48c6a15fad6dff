package page

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// whole returns a document in one piece.
func whole(number Number, size int) []byte {
	var b []byte
	for len(b) < size {
		b = append(b, Run(&number, size, len(b))...)
	}
	return b
}

// TestADocumentIsItsOwn: it is as long as it says, begins with its number, and no byte of it can be changed unnoticed,
// however it is cut.
func TestADocumentIsItsOwn(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{1, 15, 16, 17, 125, 4096, patternBytes, patternBytes + 1, 3*patternBytes + 5} {
		number := NewNumber(random.Uint64())
		document := whole(number, size)
		if len(document) != size || !bytes.HasPrefix(document, number[:min(size, NumberLen)]) {
			t.Fatalf("%d bytes of %d, which begin with %q", len(document), size, document[:min(size, NumberLen)])
		}
		cut, at := random.IntN(size+1), random.IntN(size)
		if !Matches(&number, size, 0, document[:cut]) || !Matches(&number, size, cut, document[cut:]) {
			t.Errorf("%d bytes, cut at %d, are not themselves", size, cut)
		}
		document[at] ^= 1 << random.IntN(8)
		if Matches(&number, size, 0, document) {
			t.Errorf("a change of byte %d of %d goes unnoticed", at, size)
		}
		if Matches(&number, size, 0, append(whole(number, size), 0)) {
			t.Errorf("one byte more than %d goes unnoticed", size)
		}
		if other := NewNumber(random.Uint64()); size >= NumberLen && Matches(&other, size, 0, whole(number, size)) {
			t.Errorf("a document of %d bytes passes for another one", size)
		}
	}
}

// TestTargetsAreRead as they were written, and nothing else is.
func TestTargetsAreRead(t *testing.T) {
	for _, n := range []uint64{0, 255, 1<<64 - 1} {
		target := string(AppendTarget([]byte("x"), 125, NewNumber(n))[1:])
		path, query, _ := strings.Cut(target, "?")
		if size, number, ok := Parse([]byte(path), []byte(query)); !ok || size != 125 || number != NewNumber(n) {
			t.Errorf("%s is %d bytes of number %s, %v", target, size, number[:], ok)
		}
	}
	const number = "00000000000000ff"
	if got := string(AppendTarget(nil, 1<<20, NewNumber(255))); got != "/bytes/1048576?"+number {
		t.Error(got)
	}
	for _, target := range []string{
		"/?" + number, "/bytes/?" + number, "/bytes/x?" + number, "/bytes/0?" + number, "/bytes/-1?" + number,
		"/bytes/67108865?" + number, "/bytes/99999999999999999999?" + number, "/byte/1?" + number, "/bytes/1?" + number + "0", "/bytes/1?",
	} {
		path, query, _ := strings.Cut(target, "?")
		if _, _, ok := Parse([]byte(path), []byte(query)); ok {
			t.Errorf("%s was read", target)
		}
	}
}
