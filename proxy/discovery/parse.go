package discovery

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a file's text, within which the YAML library needs a few seconds at most: it is recursive, and takes the
// square of the number of keys in one mapping.
const (
	maxTokens = 400_000
	maxDepth  = 8
	maxKeys   = 16
	maxLess   = 100 // signs in a row: for each, the library counts those that follow
)

// fault is what is wrong at a place of a file, which counts from 1; 0: with the file as a whole.
type fault struct {
	line, column int
	message      string
}

// Error tells place and message.
func (f *fault) Error() string {
	if f.line == 0 {
		return f.message
	}
	return fmt.Sprintf("%d:%d: %s", f.line, f.column, f.message)
}

// maxMessage bounds a message that repeats what a file says, in bytes.
const maxMessage = 300

func wrong(at *token.Token, format string, values ...any) *fault {
	f := &fault{message: printable(fmt.Sprintf(format, values...))}
	if len(f.message) > maxMessage {
		f.message = strings.ToValidUTF8(f.message[:maxMessage], "") + " ..."
	}
	if at != nil && at.Position != nil {
		f.line, f.column = at.Position.Line, at.Position.Column
	}
	return f
}

// ParseFile reads a list of backends, in YAML or JSON: addresses with their ports, alone or with what else is said of
// them.
//
//   - 10.0.0.2:80
//   - {address: "[2001:db8::1]:80", weight: 3, secondary: true}
//
// A weight is 0 to MaxWeight, and 1 where it is not said. name is for errors: "name:line:column: message", in one
// printable line.
func ParseFile(data []byte, name string) (Set, error) {
	set, err := parseList(data)
	if err == nil {
		return set, nil
	}
	separator := ": "
	if f := (*fault)(nil); errors.As(err, &f) && f.line > 0 {
		separator = ":"
	}
	return nil, errors.New(printable(name) + separator + printable(err.Error()))
}

func parseList(data []byte) (Set, error) {
	if len(data) > MaxFileBytes {
		return nil, wrong(nil, "the file has more than %d bytes, which is the most allowed", MaxFileBytes)
	}
	text, err := clean(data)
	if err != nil {
		return nil, err
	}
	file, err := parseYAML(text)
	if err != nil {
		return nil, err
	}
	var body ast.Node
	for _, document := range file.Docs {
		switch {
		case document.Body == nil:
		case body != nil:
			return nil, wrong(document.Body.GetToken(), "a second document begins here; a list is one")
		default:
			body = document.Body
		}
	}
	if body == nil {
		return nil, wrong(nil, "the file is empty; a list without backends is written []")
	}
	list, ok := body.(*ast.SequenceNode)
	if !ok {
		return nil, wrong(body.GetToken(), `the file is no list; each line of one begins with "- "`)
	}
	return readList(list)
}

// parseYAML guards the process, which carries tunnels, against a library's mistakes.
func parseYAML(text string) (file *ast.File, err error) {
	defer func() {
		// tidy:recover the library is given what others wrote, and has panicked on such before
		if caught := recover(); caught != nil {
			err = wrong(nil, "the YAML library gave up: %v", caught)
		}
	}()
	tokens := lexer.Tokenize(text)
	if err := bounded(tokens); err != nil {
		return nil, err
	}
	file, err = parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if problem := (*yaml.SyntaxError)(nil); errors.As(err, &problem) {
		return nil, wrong(problem.Token, "not YAML: %s", problem.Message)
	} else if err != nil {
		return nil, wrong(nil, "not YAML: %v", err)
	}
	return file, nil
}

// clean judges the bytes, and returns them as text with line feeds only.
func clean(data []byte) (string, error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	line, column := 1, 0
	for i, c := range text {
		column++
		switch {
		case c == '\n':
			line, column = line+1, 0
		case c == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			return "", &fault{line, column, "not UTF-8"}
		case c < ' ' && c != '\t' || c == 0x7f || c == 0xfeff:
			return "", &fault{line, column, fmt.Sprintf("the control character %U", c)}
		case c == '<' && strings.HasPrefix(text[i:], strings.Repeat("<", maxLess)):
			return "", &fault{line, column, fmt.Sprintf("%d times < in a row", maxLess)}
		}
	}
	return text, nil
}

// level is an open block or bracket, while its tokens are counted.
type level struct{ column, keys int }

// bounded looks, before it is read further, whether the text is of a size and a depth that the library can bear. What YAML
// has beyond plain data is refused too.
func bounded(tokens token.Tokens) error {
	if len(tokens) > maxTokens {
		return wrong(nil, "the file has %d parts, at most %d are allowed", len(tokens), maxTokens)
	}
	var blocks, brackets []level
	for i, t := range tokens {
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType, token.TagType, token.MappingKeyType, token.DirectiveType:
			return wrong(t, "%s: anchors, aliases, tags and the like are not supported; put a value into quotes", t.Value)
		case token.MappingStartType, token.SequenceStartType:
			brackets = append(brackets, level{})
		case token.MappingEndType, token.SequenceEndType:
			brackets = brackets[:max(len(brackets)-1, 0)]
		case token.SequenceEntryType, token.MappingValueType:
			key := t.Type == token.MappingValueType
			if len(brackets) > 0 {
				brackets[len(brackets)-1].count(key)
				break
			}
			column := t.Position.Column
			if key && i > 0 {
				column = tokens[i-1].Position.Column
			}
			for len(blocks) > 0 && blocks[len(blocks)-1].column > column {
				blocks = blocks[:len(blocks)-1]
			}
			if len(blocks) == 0 || blocks[len(blocks)-1].column < column {
				blocks = append(blocks, level{column: column})
			}
			blocks[len(blocks)-1].count(key)
		}
		if len(blocks)+len(brackets) > maxDepth {
			return wrong(t, "nested more than %d deep", maxDepth)
		}
		for _, open := range [...][]level{blocks, brackets} {
			if len(open) > 0 && open[len(open)-1].keys > maxKeys {
				return wrong(t, "more than %d keys in one backend", maxKeys)
			}
		}
	}
	return nil
}

func (l *level) count(key bool) {
	if key {
		l.keys++
	}
}

// readList reads the list's items.
func readList(list *ast.SequenceNode) (Set, error) {
	if len(list.Values) > MaxEndpoints {
		return nil, wrong(list.Values[MaxEndpoints].GetToken(), "%d backends, at most %d are allowed", len(list.Values), MaxEndpoints)
	}
	endpoints := make([]Endpoint, 0, len(list.Values))
	lines := make(map[netip.AddrPort]int, len(list.Values))
	for _, item := range list.Values {
		e, at, err := readItem(item)
		if err != nil {
			return nil, err
		}
		if first, twice := lines[e.Address]; twice {
			return nil, wrong(at, "%s: given twice, first in line %d", e.Address, first)
		}
		lines[e.Address] = at.Position.Line
		endpoints = append(endpoints, e)
	}
	return newSet(endpoints), nil
}

// readItem reads one backend. at is where its address stands.
func readItem(item ast.Node) (e Endpoint, at *token.Token, err error) {
	e.Weight = 1
	var values []*ast.MappingValueNode
	switch item := item.(type) {
	case *ast.MappingNode:
		values = item.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{item}
	default:
		at = item.GetToken()
		e.Address, err = readAddress(item)
		return e, at, err
	}
	seen := map[string]bool{}
	for _, v := range values {
		key := v.Key.GetToken()
		if seen[key.Value] {
			return e, nil, wrong(key, "%s: given twice", key.Value)
		}
		seen[key.Value] = true
		switch key.Value {
		case "address":
			at = v.Value.GetToken()
			e.Address, err = readAddress(v.Value)
		case "weight":
			e.Weight, err = readWeight(v.Value)
		case "secondary":
			e.Priority, err = readSecondary(v.Value)
		default:
			err = wrong(key, "%s: unknown; a backend has address, weight and secondary", key.Value)
		}
		if err != nil {
			return e, nil, err
		}
	}
	if at == nil {
		return e, nil, wrong(item.GetToken(), "a backend without address")
	}
	return e, at, nil
}

// scalar returns the text of a single value, as it is written or between its quotes.
func scalar(n ast.Node) (text string, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func readAddress(n ast.Node) (netip.AddrPort, error) {
	text, ok := scalar(n)
	if !ok {
		return netip.AddrPort{}, wrong(n.GetToken(), "an address with its port belongs here, such as 10.0.0.1:80")
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil || a.Port() == 0 {
		return a, wrong(n.GetToken(), "%.100q is no address with a port, such as 10.0.0.1:80 or \"[::1]:80\"", text)
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
}

func readWeight(n ast.Node) (int, error) {
	text, _ := scalar(n)
	weight, err := strconv.ParseUint(text, 10, 8)
	if err != nil || weight > MaxWeight || strconv.FormatUint(weight, 10) != text {
		return 0, wrong(n.GetToken(), "weight %.100q: allowed are 0 to %d", text, MaxWeight)
	}
	return int(weight), nil
}

func readSecondary(n ast.Node) (priority uint16, err error) {
	switch text, _ := scalar(n); text {
	case "false":
		return 0, nil
	case "true":
		return 1, nil
	default:
		return 0, wrong(n.GetToken(), "secondary %.100q: allowed are true and false", text)
	}
}

// printable makes one line of a message that repeats what others wrote.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, text)
}
