package configfile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"culvert/cmd/internal/settings"
)

// reader reads one file and notes everything that is wrong with it.
type reader struct {
	name     string
	readFile func(name string) ([]byte, error) // a body's, by its path as written
	known    *knownKeys
	problems Problems
	rules    int
	servers  int
	compared int // with words that are wrong, to find what was meant
}

// maxCompared bounds the comparisons that guess at what was meant: with each unknown group every known one is compared.
const maxCompared = 100_000

// nearest returns which of the words was probably meant, or "": not known, or too much is wrong to ask.
func (r *reader) nearest(word string, words []string) string {
	if r.compared += len(words); r.compared > maxCompared {
		return ""
	}
	return settings.Nearest(word, words)
}

// field is a key of a mapping that becomes a T.
type field[T any] struct {
	key string
	// read reads its value into the T.
	read func(r *reader, n *node, to *T)
	// shape is its value's, for the schema.
	shape shape
	// allowed and help are for the reference; help is one sentence.
	allowed, help string
	// nullable is true where nothing behind the key is as good as leaving it out.
	nullable bool
}

// readMapping reads a mapping by the table of its fields. It returns the values by key, and whether it was a mapping.
func readMapping[T any](r *reader, n *node, fields []field[T], to *T) (map[string]*node, bool) {
	if n.kind != mapping {
		r.wrongText(n, "a mapping", keysOf(fields))
		return nil, false
	}
	values := map[string]*node{}
	for _, e := range n.entries {
		i := slices.IndexFunc(fields, func(f field[T]) bool { return f.key == e.key })
		if i < 0 {
			r.unknownKey(e, keysOf(fields), containerOf(to, keysOf(fields)))
			continue
		}
		if e.value.kind == null && fields[i].nullable {
			continue
		}
		values[e.key] = e.value
		fields[i].read(r, e.value, to)
	}
	return values, true
}

func keysOf[T any](fields []field[T]) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return keys
}

// shownKey quotes a key as values are quoted, but for the blanks and colons that only a value would need quotes for.
func shownKey(key string) string { return settings.Shown(key) }

// wrongKind complains of a value of another kind, unless something was complained of already.
func (r *reader) wrongKind(n *node, want string) {
	switch {
	case n.kind == refused:
	case n.kind == null:
		r.fail(n.place, "%s: a value is missing", n.key)
	case n.kind == scalar && strings.HasPrefix(want, "a list") && dashWithoutBlank(n.text):
		r.fail(n.place, "%s: %s stands here, and must be %s; %s", n.key, n.kind, want, missingBlank)
	default:
		r.fail(n.place, "%s: %s stands here, and must be %s", n.key, n.kind, want)
	}
}

// wrongText is wrongKind for where a text may be entries that lack a sign.
func (r *reader) wrongText(n *node, want string, keys []string) {
	if n.kind == scalar {
		if missing := slipIn(n.text, keys); missing != "" {
			want += "; " + missing
		}
	}
	r.wrongKind(n, want)
}

// text returns a scalar's text.
func (r *reader) text(n *node) (string, bool) {
	if n.kind != scalar {
		r.wrongKind(n, "a single value")
		return "", false
	}
	return n.text, true
}

// list returns the items of a list. A value that stands alone is a list of one.
func (r *reader) list(n *node) ([]*node, bool) {
	switch n.kind {
	case list:
		return n.items, true
	case scalar, mapping:
		return []*node{n}, true
	}
	r.wrongKind(n, "a list")
	return nil, false
}

// texts returns a list's texts, with their nodes.
func (r *reader) texts(n *node, each func(item *node, text string)) {
	items, _ := r.list(n)
	for _, item := range items {
		if text, ok := r.text(item); ok {
			each(item, text)
		}
	}
}

// boolean reads true or false.
func (r *reader) boolean(n *node) (value, ok bool) {
	text, ok := r.text(n)
	if ok && text != "true" && text != "false" {
		r.wrong(n, text, "neither true nor false", "true, false")
		return false, false
	}
	return text == "true", ok
}

// word reads one of a few words.
func (r *reader) word(n *node, words ...string) (string, bool) {
	text, ok := r.text(n)
	if !ok || slices.Contains(words, text) {
		return text, ok
	}
	reason := "unknown"
	if near := r.nearest(text, words); near != "" && len(text) > 3 { // shorter ones are numbers and the like
		reason = "did you mean " + near + "?"
	}
	r.wrong(n, text, reason, strings.Join(words, ", "))
	return "", false
}

// decoded reads a value as the flag does.
func decoded[T any](r *reader, n *node, flag string) (value T, ok bool) {
	text, ok := r.text(n)
	if !ok {
		return value, false
	}
	value, err := settings.Decode[T](flag, text)
	if err != nil {
		r.wrongValue(n, text, err)
		return value, false
	}
	return value, true
}

// setting reads the value of a flag, of which the decoder's texts are kept.
func (r *reader) setting(n *node, flag settings.Flag) (Setting, bool) {
	s := Setting{Flag: flag.Name, place: n.place}
	if !flag.List {
		text, ok := r.text(n)
		if !ok {
			return s, false
		}
		if err := settings.CheckValue(flag.Name, text); err != nil {
			r.wrongValue(n, text, err)
			return s, false
		}
		s.Items = []string{text}
		return s, true
	}
	whole := true
	items, ok := r.list(n)
	if !r.bounded(n, len(items), MaxListEntries, "entries") {
		return s, false
	}
	for _, item := range items {
		text, isText := r.text(item)
		if !isText {
			whole = false
			continue
		}
		if err := settings.CheckValue(flag.Name, text); err != nil {
			r.wrongValue(item, text, err)
			whole = false
		}
		s.Items = append(s.Items, text)
	}
	return s, ok && whole
}

// bounded complains where there is more of something than can be meant.
func (r *reader) bounded(n *node, count, most int, what string) bool {
	if count > most {
		r.fail(n.place, "%s: %d %s, at most %d are allowed", n.key, count, what, most)
	}
	return count <= most
}

// prefixes reads a list of networks.
func (r *reader) prefixes(n *node) []netip.Prefix {
	prefixes := []netip.Prefix{}
	if !r.bounded(n, len(n.items), MaxListEntries, "entries") {
		return prefixes
	}
	r.texts(n, func(item *node, text string) {
		prefix, err := settings.Decode[[]netip.Prefix]("trusted-proxies", text)
		if err != nil {
			r.wrongValue(item, text, err)
			return
		}
		prefixes = append(prefixes, prefix...)
	})
	return prefixes
}

// nameLetters are what names consist of: they appear in logs and metrics.
const (
	nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	nameAllowed = "letters, digits, -, _ and ."
	maxName     = 64
)

// nameOf reads a name.
func (r *reader) nameOf(n *node) (string, bool) {
	text, ok := r.text(n)
	if !ok {
		return "", false
	}
	return text, r.isName(n.place, n.key, text)
}

func (r *reader) isName(at place, what, text string) bool {
	reason := ""
	switch {
	case text == "":
		reason = "an empty name"
	case len(text) > maxName:
		reason = fmt.Sprintf("longer than %d characters", maxName)
	case strings.Trim(text, nameLetters) != "" || strings.ContainsFunc(text, func(c rune) bool { return !strings.ContainsRune(nameLetters, c) }):
		reason = "not a name"
	default:
		return true
	}
	r.fail(at, "%s %s: %s; allowed: %s", what, settings.Shown(text), reason, nameAllowed)
	return false
}
