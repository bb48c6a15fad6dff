package settings

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

func decodeDuration(text string, tag *kong.Tag) (time.Duration, error) {
	value, err := rangeOf(tag).Duration(text)
	if err != nil || !tag.Has("whole") {
		return value, err
	}
	unit, err := readDuration(tag.Get("whole"))
	if err == nil && value%unit != 0 {
		err = fmt.Errorf("not a multiple of %s", tag.Get("whole"))
	}
	return value, err
}

// readDuration refuses a number without its unit: seconds to some, milliseconds to others.
func readDuration(text string) (time.Duration, error) {
	if n, err := strconv.ParseFloat(text, 64); err == nil && n != 0 {
		return 0, fmt.Errorf("a unit is missing, such as %ss", text)
	}
	value, err := time.ParseDuration(text)
	if err != nil {
		return 0, errors.New("not a duration such as 60s, 1m30s or 500ms")
	}
	return value, nil
}

func decodeCount(text string, tag *kong.Tag) (int, error) { return rangeOf(tag).Count(text) }

func readCount(text string) (int, error) {
	value, err := strconv.Atoi(text)
	if errors.Is(err, strconv.ErrRange) {
		if text[0] == '-' {
			return math.MinInt, nil
		}
		return math.MaxInt, nil
	}
	if err != nil {
		return 0, errors.New("not a whole number")
	}
	return value, nil
}

func decodeSize(text string, tag *kong.Tag) (int, error) {
	value, err := readSize(text)
	if err != nil {
		return 0, err
	}
	return inRange(value, rangeOf(tag), readSize)
}

// sizeUnits are powers of two; what could be taken for a power of ten is not accepted.
var sizeUnits = []struct {
	name  string
	shift int
}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"B", 0}, {"", 0}}

// readSize reads a number of bytes. One that no machine has comes out as the largest or smallest number.
func readSize(text string) (int, error) {
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		value, err := readCount(digits)
		if err != nil {
			break
		}
		if value > math.MaxInt>>unit.shift {
			return math.MaxInt, nil
		}
		return value << unit.shift, nil
	}
	return 0, errors.New("not a size such as 64KiB, 1MiB or 65536 (bytes)")
}

// decodeWord reads one of a few words, or any text where none are listed.
func decodeWord(text string, tag *kong.Tag) (string, error) {
	words := strings.Fields(tag.Get("words"))
	if len(words) == 0 || slices.Contains(words, text) {
		return text, nil
	}
	if near := Nearest(text, words); near != "" && !consistsOf(text, "0123456789") {
		return "", fmt.Errorf("did you mean %s?", near)
	}
	return "", errors.New("unknown")
}

func decodeAccessLog(text string, _ *kong.Tag) (AccessLog, error) {
	switch {
	case text == "":
		return AccessLog{}, errors.New("an empty name")
	case text == "off":
		return AccessLog{Off: true}, nil
	case strings.ContainsRune(text, 0):
		return AccessLog{}, errors.New("a zero byte in a file's name")
	case strings.HasSuffix(text, "/"):
		return AccessLog{}, errors.New("a folder, not a file")
	}
	return AccessLog{Path: text}, nil
}

// decodeFile reads the name of a file, or the word that is the default and means none.
func decodeFile[T ~string](text string, tag *kong.Tag) (T, error) {
	switch {
	case tag.Has("default") && text == tag.Get("default"):
		return "", nil
	case strings.ContainsRune(text, 0):
		return "", errors.New("a zero byte in a file's name")
	case text == "" || strings.HasSuffix(text, "/"):
		return "", errors.New("a folder, not a file")
	}
	return T(text), nil
}

// decodeFolder reads the name of a folder.
func decodeFolder(text string, _ *kong.Tag) (FolderName, error) {
	switch {
	case text == "":
		return "", errors.New("an empty name")
	case strings.ContainsRune(text, 0):
		return "", errors.New("a zero byte in a folder's name")
	}
	return FolderName(text), nil
}
