package configfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of the text, within which the YAML library needs a few seconds at most: it takes the square of the number of
// keys in one mapping, and of the depth.
const (
	// MaxFileBytes bounds a configuration file.
	MaxFileBytes = 4 << 20
	maxTokens    = 1_000_000
	maxKeys      = 10_000 // of one mapping
	maxDepth     = 64
	maxLess      = 100 // signs in a row: for each, the library counts those that follow
)

// kind is what a node is.
type kind uint8

const (
	scalar  kind = iota // text, as it stands in the file, or between quotes
	mapping             // entries
	list                // items
	null                // nothing at all, or "null"
	refused             // something that was complained of already
)

// String names what a node is, for people.
func (k kind) String() string {
	return [...]string{"a value", "a mapping", "a list", "nothing", "?"}[k]
}

// node is a part of the file. Scalars are texts: what is a number, and how it is written, is for their readers to know.
type node struct {
	place
	kind    kind
	key     string // under which it stands; a list's items have the list's
	text    string
	entries []entry
	items   []*node
}

// entry is a key and its value.
type entry struct {
	place
	key   string
	value *node
}

// root reads the text of a file, to the mapping that it must be; nil where it is none.
func (r *reader) root(data []byte) *node {
	before := len(r.problems)
	body := r.document(data)
	switch {
	case body == nil && len(r.problems) > before:
	case body == nil || body.kind == null:
		r.fail(place{1, 1}, "the file is empty: it has sections such as listeners, groups and timeouts")
	case body.kind == mapping:
		return body
	case body.kind != refused:
		r.fail(body.place, "the file is %s, and must be a mapping: sections such as \"listeners:\", each with what belongs to it", body.kind)
	}
	return nil
}

// document reads a text to what it holds; nil: nothing, or it cannot be read.
func (r *reader) document(data []byte) *node {
	text, ok := r.clean(data)
	if !ok {
		return nil
	}
	tokens := joinColons(lexer.Tokenize(text))
	if !r.inBounds(tokens) {
		return nil
	}
	file, err := parse(tokens)
	if err != nil {
		r.syntax(err, text)
		return nil
	}
	var body *node
	for _, document := range file.Docs {
		if document.Body == nil {
			continue
		}
		at := placeOf(document.Body)
		if _, directive := document.Body.(*ast.DirectiveNode); directive {
			r.fail(at, "a directive: leave it out, YAML 1.2 is understood")
			continue
		}
		if body != nil {
			r.fail(at, "a second document begins here; a configuration is one")
			continue
		}
		body = r.convert(document.Body, "")
	}
	return body
}

// parse guards the process, which may be asked to read a file again while it carries tunnels, against a library's
// mistakes.
func parse(tokens token.Tokens) (file *ast.File, err error) {
	defer func() {
		if caught := recover(); caught != nil {
			err = fmt.Errorf("the YAML library gave up: %v", caught)
		}
	}()
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// clean judges the bytes, and returns them as text with line feeds only.
func (r *reader) clean(data []byte) (string, bool) {
	whole := place{}
	switch {
	case len(data) > MaxFileBytes:
		r.fail(whole, "the file has %d bytes, at most %d are allowed", len(data), MaxFileBytes)
		return "", false
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		r.fail(whole, "the file is in UTF-16: save it as UTF-8")
		return "", false
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	at := place{1, 0}
	for i, c := range text {
		at.column++
		switch {
		case c == '\n':
			at = place{at.line + 1, 0}
		case c == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			r.fail(at, "the byte %#02x is not UTF-8", text[i])
			return "", false
		case c < ' ' && c != '\t' || c == 0x7f || c == 0xfeff:
			r.fail(at, "the control character %U cannot stand in a file; in double quotes it is written %s", c, strings.Trim(fmt.Sprintf("%+q", string(c)), `"`))
			return "", false
		}
	}
	if i := strings.Index(text, strings.Repeat("<", maxLess+1)); i >= 0 {
		line := strings.Count(text[:i], "\n") + 1
		column := utf8.RuneCountInString(text[strings.LastIndexByte(text[:i], '\n')+1:i]) + 1
		r.fail(place{line, column}, "more than %d times < in a row", maxLess)
		return "", false
	}
	return text, true
}

// syntax notes what the YAML library could not read.
func (r *reader) syntax(err error, text string) {
	problem := (*yaml.SyntaxError)(nil)
	if !errors.As(err, &problem) || problem.Token == nil || problem.Token.Position == nil {
		r.fail(place{}, "not YAML: %v", err)
		return
	}
	at := place{problem.Token.Position.Line, problem.Token.Position.Column}
	message := problem.Message
	if where, missing := slip(text, at, message); missing != "" {
		r.fail(where, "not YAML: %s", missing)
		return
	}
	switch {
	case strings.Contains(message, "found character '\t'"), strings.Contains(message, "tab character"):
		message = "a tab: YAML is indented by blanks"
	case strings.Contains(message, "mapping value is not allowed"):
		message = "a second \": \" on this line: put the value into quotes"
	case strings.Contains(message, "end token") && strings.Contains(message, "not found"), strings.Contains(message, "could not find flow"):
		message = "a bracket is opened here and not closed"
	case strings.Contains(message, "could not find end character"):
		message = "a quote is opened here and not closed"
	case strings.Contains(message, "reserved character"):
		message += ": put the value into quotes"
	case strings.Contains(message, "block sequence entries"):
		message = "a list begins on the line of its key: begin it on the next; a dash alone is written \"-\""
	case strings.Contains(message, "not allowed in this context"):
		message += ": look at the indentation"
	}
	r.fail(at, "not YAML: %s", message)
}

// level is an open block or bracket, while its tokens are counted.
type level struct {
	column, keys int
}

// inBounds looks, before it is read further, whether the text is of a size and a depth that the library can bear: it is
// recursive. What YAML has beyond plain data is refused here too.
func (r *reader) inBounds(tokens token.Tokens) bool {
	if len(tokens) > maxTokens {
		r.fail(place{}, "the file has %d parts, at most %d are allowed", len(tokens), maxTokens)
		return false
	}
	before := len(r.problems)
	var blocks []level
	flow := 0
	for i, t := range tokens {
		at := place{t.Position.Line, t.Position.Column}
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			r.fail(at, "anchors (&), aliases (*) and merge keys (<<) are not supported: write the value out, or put it into quotes")
		case token.TagType:
			r.fail(at, "tags (!) are not supported: write the value alone, or put it into quotes")
		case token.MappingKeyType:
			r.fail(at, "keys behind a question mark are not supported: write \"key: value\"")
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingValueType:
			if flow > 0 {
				break
			}
			column := at.column
			if t.Type == token.MappingValueType && i > 0 {
				column = tokens[i-1].Position.Column
			}
			for len(blocks) > 0 && blocks[len(blocks)-1].column > column {
				blocks = blocks[:len(blocks)-1]
			}
			if len(blocks) == 0 || blocks[len(blocks)-1].column < column {
				blocks = append(blocks, level{column: column})
			}
			if t.Type == token.MappingValueType {
				blocks[len(blocks)-1].keys++
			}
			if blocks[len(blocks)-1].keys > maxKeys {
				r.fail(at, "more than %d keys in one mapping", maxKeys)
				return false
			}
		}
		if len(blocks)+flow > maxDepth {
			r.fail(at, "nested more than %d deep", maxDepth)
			return false
		}
	}
	return len(r.problems) == before
}

func placeOf(n ast.Node) place {
	t := n.GetToken()
	switch n := n.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 && !n.IsFlowStyle {
			return placeOf(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return placeOf(n.Key)
	}
	if t == nil || t.Position == nil {
		return place{1, 1}
	}
	return place{t.Position.Line, t.Position.Column}
}

// convert turns the library's tree into ours.
func (r *reader) convert(from ast.Node, key string) *node {
	n := &node{place: placeOf(from), key: key}
	switch from := from.(type) {
	case *ast.MappingNode:
		n.kind = mapping
		r.convertEntries(n, from.Values)
	case *ast.MappingValueNode:
		n.kind = mapping
		r.convertEntries(n, []*ast.MappingValueNode{from})
	case *ast.SequenceNode:
		n.kind = list
		for _, value := range from.Values {
			n.items = append(n.items, r.convert(value, key))
		}
	case *ast.StringNode:
		n.text = from.Value
	case *ast.LiteralNode:
		n.text = from.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		n.text = from.GetToken().Value
	case *ast.NullNode:
		n.kind = null
	default:
		n.kind = refused
		r.fail(n.place, "this part of YAML is not supported: write plain keys and values")
	}
	return n
}

func (r *reader) convertEntries(n *node, values []*ast.MappingValueNode) {
	seen := map[string]place{}
	for _, value := range values {
		at := placeOf(value.Key)
		key := ""
		switch k := value.Key.(type) {
		case *ast.StringNode:
			key = k.Value
		case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode:
			key = value.Key.GetToken().Value
		default:
			r.fail(at, "this cannot be a key: a key is a word")
			continue
		}
		if first, twice := seen[key]; twice {
			r.fail(at, "%s: given twice, first at line %d", shownKey(key), first.line)
			continue
		}
		seen[key] = at
		n.entries = append(n.entries, entry{at, key, r.convert(value.Value, shownKey(key))})
	}
}
