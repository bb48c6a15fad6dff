package settings

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// A Range is what a number may be, in the texts of its unit. The configuration file has some for what is no flag.
type Range struct {
	// Min and Max are the least and the most.
	Min, Max string
	// Zero says what 0 means, where it is allowed beside the range; "": nothing.
	Zero string
}

func rangeOf(tag *kong.Tag) Range { return Range{tag.Get("min"), tag.Get("max"), tag.Get("zero")} }

// Duration reads a duration within the range.
func (r Range) Duration(text string) (time.Duration, error) {
	value, err := readDuration(text)
	if err != nil {
		return 0, err
	}
	return inRange(value, r, readDuration)
}

// Count reads a whole number within the range.
func (r Range) Count(text string) (int, error) {
	value, err := readCount(text)
	if err != nil {
		return 0, err
	}
	return inRange(value, r, readCount)
}

// Percent reads a whole number of hundredths within the range, with or without its sign.
func (r Range) Percent(text string) (int, error) { return r.Count(strings.TrimSuffix(text, "%")) }

// Allowed says what the number may be.
func (r Range) Allowed() string {
	if r.Zero != "" {
		return fmt.Sprintf("0 (%s), or %s to %s", r.Zero, r.Min, r.Max)
	}
	return r.Min + " to " + r.Max
}

// inRange checks a value against bounds, which are read as the value was.
func inRange[T cmp.Ordered](value T, r Range, read func(string) (T, error)) (T, error) {
	var zero T
	low, err := read(r.Min)
	if err != nil {
		return zero, err
	}
	high, err := read(r.Max)
	if err != nil {
		return zero, err
	}
	switch {
	case value == zero && r.Zero != "":
		return value, nil
	case value < low:
		return zero, errors.New("below the minimum")
	case value > high:
		return zero, errors.New("above the maximum")
	}
	return value, nil
}
