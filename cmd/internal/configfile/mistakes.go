package configfile

import (
	"regexp"
	"slices"
	"strings"
)

// The YAML library says where it gave up, which a mistake of one sign seldom explains: "group app" is a text to it, to
// which the next line's key does not belong. What follows looks at the lines that it names.

// bareAddress is an IPv6 address with a port and without quotes: a list to YAML, and something behind it.
var bareAddress = regexp.MustCompile(`(?:^|[ \[,])(\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]:[0-9])`)

// slip returns which sign is missing near a place where the library gave up with a message, and where; "": not known.
func slip(text string, at place, message string) (place, string) {
	lines := strings.Split(text, "\n")
	if at.line < 1 || at.line > len(lines) {
		return at, ""
	}
	line := lines[at.line-1]
	inContext := strings.Contains(message, "not allowed in this context")
	if inContext || strings.Contains(message, "must be specified") || strings.Contains(message, "invalid key") {
		if found := bareAddress.FindStringSubmatchIndex(line); found != nil {
			return place{at.line, columnOf(line, found[2])}, "an address with brackets: put it into quotes"
		}
	}
	noKey := strings.Contains(message, "unexpected key name") || strings.Contains(message, "non-map value")
	if !inContext && !noKey {
		return at, ""
	}
	// A list's item that is none is noticed where its second line follows.
	for n := at.line - 1; n >= max(at.line-2, 0); n-- {
		begin := len(lines[n]) - len(strings.TrimLeft(lines[n], " "))
		if dashWithoutBlank(lines[n][begin:]) {
			return place{n + 1, begin + 1}, missingBlank
		}
	}
	if noKey {
		column, _, missing := missingInLine(line)
		return place{at.line, column}, missing
	}
	if at.line > 1 { // a comment ends a text
		before, comment, _ := strings.Cut(lines[at.line-2], " #")
		column, word, missing := missingInLine(before)
		if comment != "" && strings.HasSuffix(strings.TrimRight(before, " "), word) {
			return place{at.line - 1, column}, missing
		}
	}
	return at, ""
}

// missingInLine looks behind the dashes of a line.
func missingInLine(line string) (column int, word, missing string) {
	content := strings.TrimLeft(line, " ")
	for strings.HasPrefix(content, "- ") {
		content = strings.TrimLeft(content[2:], " ")
	}
	word, missing = missingColon(content)
	return columnOf(line, len(line)-len(content)), word, missing
}

const missingBlank = "a blank is missing behind the dash"

// dashWithoutBlank reports whether a text begins as a list's item that lacks its blank.
func dashWithoutBlank(text string) bool {
	return len(text) > 1 && text[0] == '-' && text[1] != '-' && text[1] != ' '
}

// missingColon returns the word that a text begins with where that would be a key with a colon, a blank, or both, and
// says which of them.
func missingColon(text string) (word, missing string) {
	text, _, _ = strings.Cut(text, " #")
	text = strings.TrimRight(text, " ")
	word = text[:len(text)-len(strings.TrimLeft(text, nameLetters))]
	if word == "" || word[0] < 'A' {
		return "", ""
	}
	rest := text[len(word):]
	switch {
	case rest == "":
		return word, "a colon is missing behind " + shownKey(word)
	case rest[0] == ' ' && !strings.HasPrefix(strings.TrimLeft(rest, " "), ":"):
		return word, "a colon and a blank are missing behind " + shownKey(word)
	case rest[0] == ':' && len(rest) > 1 && rest[1] != ' ' && rest[1] != '/':
		return word, "a blank is missing behind the colon of " + shownKey(word)
	}
	return "", ""
}

// slipIn returns which sign is missing in a text that stands where keys do, of which some are known; "": not known.
func slipIn(text string, keys []string) string {
	if dashWithoutBlank(text) && (text[1] < '0' || text[1] > '9') { // else it is a number
		return missingBlank
	}
	word, missing := missingColon(text)
	if word == text || !slices.Contains(keys, word) {
		return ""
	}
	return missing
}

// columnOf returns the column of a byte of a line, from 1.
func columnOf(line string, index int) int { return len([]rune(line[:index])) + 1 }
