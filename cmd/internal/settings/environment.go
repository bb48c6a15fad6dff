package settings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// variablePrefix is what the names of our environment variables begin with.
const variablePrefix = "CULVERT_"

// VariableOf returns the environment variable of a flag, which is named without dashes.
func VariableOf(flag string) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// variables are those of the environment that could be settings, by name.
type variables map[string]string

// variableValue is a value that knows where it came from.
type variableValue struct{ name, text string }

func variablesOf(environ []string) variables {
	found := variables{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, variablePrefix) {
			found[name] = value
		}
	}
	return found
}

// Validate implements kong.Resolver.
func (v variables) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver: it is asked for flags that the command line does not have. An empty variable is
// as good as none: that is how compose files and unit files leave one out.
func (v variables) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	name := VariableOf(flag.Name)
	if text := v[name]; text != "" && flag.Group != nil {
		return variableValue{name, text}, nil
	}
	return nil, nil
}

// misspelt returns a line for each variable that looks like a mistyped setting. Others are nobody's business: the
// same prefix is used by whatever starts us, such as Kubernetes for a service of our name.
func (v variables) misspelt() []string {
	var lines []string
	known := flagNames(Run)
	for variable := range v {
		name := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(variable, variablePrefix), "_", "-"))
		if near := Nearest(name, known); near != "" && near != name {
			lines = append(lines, fmt.Sprintf("%s is not a setting, did you mean %s?", Shown(variable), VariableOf(near)))
		}
	}
	slices.Sort(lines)
	return lines
}

// nearDistance is how many letters may be wrong in a name that is still recognised.
const nearDistance = 2

// Nearest returns the name that a word was probably meant to be, or "".
func Nearest(word string, names []string) string {
	best, found := nearDistance+1, ""
	for _, name := range names {
		if len(word) > 2 && strings.HasPrefix(name, word) && found == "" {
			found = name // the beginning of a name, unless another one is nearer
		}
		// A short word is near to everything: no more than half of it may be wrong.
		if d := distance(word, name); d < best && 2*d <= len(name) {
			best, found = d, name
		}
	}
	return found
}

// maxWord bounds the words that are compared.
const maxWord = 64

// distance is the number of letters to insert, remove or replace between two words.
func distance(a, b string) int {
	if len(a) > maxWord || len(b) > maxWord {
		return maxWord
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
