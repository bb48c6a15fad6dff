package configfile

import (
	"time"

	"culvert/cmd/internal/settings"
)

// flagField is a key whose values are those of a flag.
func flagField[T, V any](key, flag, help string, set func(*T, V)) field[T] {
	f := flagNamed(flag)
	return field[T]{key: key, shape: flagShape(f), allowed: f.Allowed, help: help, read: func(r *reader, n *node, to *T) {
		if value, ok := decoded[V](r, n, flag); ok {
			set(to, value)
		}
	}}
}

// durationField, countField and percentField are keys with numbers that no flag has.
func durationField[T any](key string, within settings.Range, help string, set func(*T, time.Duration)) field[T] {
	s := shape{"type": []string{"string", "integer"}, "pattern": durationPattern, "maximum": 0} // as for flags
	return rangeField(key, within.Allowed(), s, help, within.Duration, set)
}

func countField[T any](key string, within settings.Range, help string, set func(*T, int)) field[T] {
	low, _ := within.Count(within.Min)
	high, _ := within.Count(within.Max)
	if within.Zero != "" {
		low = 0
	}
	return rangeField(key, within.Allowed(), countShape(low, high), help, within.Count, set)
}

func percentField[T any](key string, within settings.Range, help string, set func(*T, int)) field[T] {
	s := shape{"type": []string{"string", "integer"}, "pattern": "^[0-9]{1,3}%?$", "minimum": 0, "maximum": 100}
	return rangeField(key, within.Allowed()+", in percent", s, help, within.Percent, set)
}

func rangeField[T, V any](key, allowed string, s shape, help string, read func(string) (V, error), set func(*T, V)) field[T] {
	return field[T]{key: key, shape: s, allowed: allowed, help: help, read: func(r *reader, n *node, to *T) {
		text, ok := r.text(n)
		if !ok {
			return
		}
		value, err := read(text)
		if err != nil {
			r.wrong(n, text, err.Error(), allowed)
			return
		}
		set(to, value)
	}}
}

// booleanField is a switch.
func booleanField[T any](key, help string, set func(*T, bool)) field[T] {
	return field[T]{key: key, shape: booleanShape, allowed: "true, false", help: help, read: func(r *reader, n *node, to *T) {
		if value, ok := r.boolean(n); ok {
			set(to, value)
		}
	}}
}

// wordField is one of a few words.
func wordField[T any](key, allowed, help string, set func(*T, string), words ...string) field[T] {
	return field[T]{key: key, shape: wordsShape(words...), allowed: allowed, help: help, read: func(r *reader, n *node, to *T) {
		if word, ok := r.word(n, words...); ok {
			set(to, word)
		}
	}}
}

// wordOrMapping reports whether a value is one of both, which it must be.
func (r *reader) wordOrMapping(n *node) bool {
	if n.kind == scalar || n.kind == mapping {
		return true
	}
	r.wrongKind(n, "a word or a mapping")
	return false
}
