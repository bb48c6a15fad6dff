package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"culvert/proxy/http1"
)

// template is a text with variables in braces, as headers and locations are written in the configuration:
// "https://{host-name}{uri}". "{{" and "}}" stand for braces. Immutable.
type template []segment

// segment is a literal, or, where that is empty, a variable.
type segment struct {
	literal  string
	variable variable
}

// variable is something that is known of every request.
type variable uint8

const (
	varClient     variable = iota // the client's address, by trust
	varClientPort                 // the port of whoever is connected
	varHost                       // the host as the client named it
	varHostName                   // ... without a port
	varPort                       // the listener's port
	varScheme
	varURI // path and query, as they came
	varPath
	varQuery // without the question mark
	varMethod
	varID // of the exchange, as in the access log
	variables
)

var variableNames = [variables]string{
	"client", "client-port", "host", "host-name", "port", "scheme", "uri", "path", "query", "method", "id",
}

// TemplateVariables returns the names that may stand in braces in a Template.
func TemplateVariables() []string { return variableNames[:] }

// CheckTemplate reports what is wrong with a Template: an unknown variable, a brace without a partner, a byte that
// cannot stand in a header.
func CheckTemplate(text string) error {
	_, err := parseTemplate(text)
	return err
}

func parseTemplate(text string) (template, error) {
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }); i >= 0 {
		return nil, fmt.Errorf("the control character %q cannot stand in a header", text[i])
	}
	var t template
	literal := ""
	for text != "" {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			literal += text
			break
		}
		literal, text = literal+text[:i], text[i:]
		if strings.HasPrefix(text, "{{") || strings.HasPrefix(text, "}}") {
			literal, text = literal+text[:1], text[2:]
			continue
		}
		end := strings.IndexByte(text, '}')
		if text[0] == '}' || end < 0 {
			return nil, errors.New("a brace without its partner; a brace itself is written twice")
		}
		v, err := variableOf(text[1:end])
		if err != nil {
			return nil, err
		}
		if literal != "" {
			t = append(t, segment{literal: literal})
		}
		t = append(t, segment{variable: v})
		literal, text = "", text[end+1:]
	}
	if literal != "" {
		t = append(t, segment{literal: literal})
	}
	return t, nil
}

// has reports whether a variable stands in the text.
func (t template) has(v variable) bool {
	return slices.Contains(t, segment{variable: v})
}

func variableOf(name string) (variable, error) {
	for v, known := range variableNames {
		if known == name {
			return variable(v), nil
		}
	}
	return 0, fmt.Errorf("unknown variable {%s}; allowed: {%s}", name, strings.Join(variableNames[:], "}, {"))
}

// requestFacts are what the variables stand for, of one request.
type requestFacts struct {
	head       *http1.RequestHead
	client     netip.Addr
	clientPort uint16
	port       uint16
	id         uint64
	secure     bool // the client has come over TLS, to us or to a trusted proxy in front of us
}

// append appends the text with its variables filled in.
func (t template) append(dst []byte, f *requestFacts) []byte {
	for i := range t {
		if s := &t[i]; s.literal != "" {
			dst = append(dst, s.literal...)
		} else {
			dst = s.variable.append(dst, f)
		}
	}
	return dst
}

func (v variable) append(dst []byte, f *requestFacts) []byte {
	switch v {
	case varClient:
		return f.client.AppendTo(dst)
	case varClientPort:
		return strconv.AppendUint(dst, uint64(f.clientPort), 10)
	case varHost:
		return append(dst, f.head.Host()...)
	case varHostName:
		return append(dst, f.head.HostName()...)
	case varPort:
		return strconv.AppendUint(dst, uint64(f.port), 10)
	case varScheme:
		if f.secure {
			return append(dst, "https"...)
		}
		return append(dst, "http"...)
	case varURI:
		if f.head.Form() == http1.AsteriskForm {
			return append(dst, '/') // an asterisk is a target, and no part of a URI
		}
		return f.head.AppendTarget(dst)
	case varPath:
		return append(dst, f.head.Path()...)
	case varQuery:
		query, _ := f.head.Query()
		return append(dst, query...)
	case varMethod:
		return append(dst, f.head.Method()...)
	}
	return appendID(dst, f.id)
}
