package settings

import (
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// Mappers returns how values are written on the command line of every program of the house: durations with their unit,
// sizes (type:"size") in bytes or KiB, counts, words and switches, each with the bounds of its tags.
func Mappers() []kong.Option {
	return []kong.Option{
		kong.NoDefaultHelp(),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), single(decodeDuration)),
		kong.TypeMapper(reflect.TypeFor[int](), single(decodeCount)),
		kong.NamedMapper("size", single(decodeSize)),
		kong.TypeMapper(reflect.TypeFor[bool](), boolean{}),
		kong.TypeMapper(reflect.TypeFor[string](), single(decodeWord)),
	}
}

// One maps a setting with one value by what reads its text: the error says what is wrong, not what is allowed.
func One[T any](read func(text string) (T, error)) kong.Mapper {
	return single(func(text string, _ *kong.Tag) (T, error) { return read(text) })
}

// Many maps a repeatable setting in the same way.
func Many[T any](read func(text string) (T, error)) kong.Mapper {
	return list(func(text string, _ *kong.Tag) (T, error) { return read(text) }, false)
}

// HelpOf returns the help text of flags, in their order, without variables.
func HelpOf(flags []*kong.Flag) string {
	var b strings.Builder
	for _, flag := range flags {
		f := describe(flag)
		b.WriteString("  --" + f.Synopsis() + "\n")
		writeHelp(&b, f)
	}
	return b.String()
}
