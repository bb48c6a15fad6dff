package configfile

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"culvert/proxy"
)

// httpsLocation is what the short form "redirect: https" means.
const (
	httpsLocation         = "https://{host-name}{uri}"
	defaultRedirectStatus = 302
	defaultAnswerStatus   = 200
)

var redirectStatuses = []string{"301", "302", "307", "308"}

// actionFields say what becomes of a rule's requests.
func actionFields() []field[Rule] {
	return []field[Rule]{
		{
			key: "group", shape: nameShape, allowed: "the name of a group", help: "This group serves them.",
			read: func(r *reader, n *node, to *Rule) {
				to.groupPlace = n.place
				if name, ok := r.nameOf(n); ok {
					to.Group = name
				}
			},
		},
		{
			key: "redirect", shape: anyOf(wordsShape("https"), ref("redirect")), allowed: "https, for the same URL over https; or a mapping, see below", help: "They are sent elsewhere.",
			read: readRedirect,
		},
		{
			key: "answer", shape: ref("answer"), allowed: "a mapping, see below", help: "They are answered with fixed bytes.",
			read: readAnswer,
		},
	}
}

// redirectFields are the keys of a redirect.
var redirectFields = sync.OnceValue(func() []field[proxy.RedirectConfig] {
	return []field[proxy.RedirectConfig]{
		{
			key: "status", shape: numbersShape(redirectStatuses...), allowed: "301, 302 (the default), 307, 308", help: "The status.",
			read: func(r *reader, n *node, to *proxy.RedirectConfig) {
				if word, ok := r.word(n, redirectStatuses...); ok {
					to.Status, _ = statusOf(word)
				}
			},
		},
		{
			key: "location", shape: textShape, allowed: "a template, see below", help: "Where to. Required.",
			read: func(r *reader, n *node, to *proxy.RedirectConfig) {
				text, ok := r.template(n)
				if !ok {
					return
				}
				if reason := wrongLocation(text); reason != "" {
					r.wrong(n, text, reason, "a URL such as https://{host-name}{uri}, or a path such as /new")
					return
				}
				to.Location = text
			},
		},
	}
})

// wrongLocation says why a text cannot be a Location; "": it can.
func wrongLocation(text string) string {
	for _, c := range text {
		if c <= ' ' || c > '~' || strings.ContainsRune("\"<>\\^`|", c) {
			return fmt.Sprintf("%q cannot stand in a URL", c)
		}
	}
	for _, beginning := range []string{"https://", "http://", "/", "{"} {
		if strings.HasPrefix(text, beginning) && text != "https://" && text != "http://" {
			return ""
		}
	}
	return "neither a URL nor a path"
}

func readRedirect(r *reader, n *node, to *Rule) {
	to.Redirect = &proxy.RedirectConfig{Status: defaultRedirectStatus}
	if n.kind == scalar {
		if _, ok := r.word(n, "https"); ok {
			to.Redirect.Location = httpsLocation
		}
		return
	}
	if values, ok := readMapping(r, n, redirectFields(), to.Redirect); ok && values["location"] == nil {
		r.fail(n.place, "redirect: a location is missing")
	}
}

// bodyFields are the keys of a body, in whatever has one.
func bodyFields[T any](body func(*T) *Body) []field[T] {
	return []field[T]{
		{
			key: "body", shape: textShape, allowed: bodyAllowed, help: "The bytes.",
			read: func(r *reader, n *node, to *T) {
				text, ok := r.text(n)
				if ok && r.bounded(n, len(text), proxy.MaxFixedBody, "bytes") {
					body(to).Bytes = []byte(text)
				}
			},
		},
		{
			key: "body-file", shape: textShape, allowed: "a file of " + bodyAllowed + ", found from the folder of the configuration file", help: "The bytes, from a file that is read along with this one.",
			read: func(r *reader, n *node, to *T) {
				text, ok := r.text(n)
				if !ok {
					return
				}
				if text == "" {
					r.wrong(n, text, "", "a file's name")
					return
				}
				data, err := r.readFile(text)
				if err != nil {
					r.wrong(n, text, err.Error(), "")
					return
				}
				body(to).Bytes, body(to).File = data, text
			},
		},
		{
			key: "content-type", shape: textShape, allowed: "a media type; text/plain; charset=utf-8 if none is given", help: "What the bytes are.",
			read: func(r *reader, n *node, to *T) {
				text, ok := r.text(n)
				if !ok {
					return
				}
				if kind, rest, found := strings.Cut(text, "/"); !found || kind == "" || rest == "" || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' || c == '{' || c == '}' }) {
					r.wrong(n, text, "not a media type", "one such as text/html; charset=utf-8")
					return
				}
				body(to).ContentType = text
			},
		},
	}
}

var bodyAllowed = fmt.Sprintf("up to %d KiB", proxy.MaxFixedBody>>10)

// answerFields are the keys of an answer.
var answerFields = sync.OnceValue(func() []field[Answer] {
	fields := []field[Answer]{{
		key: "status", shape: countShape(200, 599), allowed: "200 (the default) to 599", help: "The status.",
		read: func(r *reader, n *node, to *Answer) { to.Status, _ = r.status(n, 200, 599) },
	}}
	fields = append(fields, bodyFields(func(a *Answer) *Body { return &a.Body })...)
	return append(fields, field[Answer]{
		key: "headers", shape: mapOf("", textShape), allowed: "a mapping of names to templates, see below", help: "Further headers.",
		read: func(r *reader, n *node, to *Answer) {
			to.Headers = r.headerLines(n, proxy.HeaderSet)
			if r.bounded(n, len(to.Headers), MaxEdits, "headers") {
				for _, e := range n.entries {
					if strings.EqualFold(e.key, "content-type") {
						r.fail(e.place, "%s: it has a key of its own, content-type", e.key)
					}
				}
			}
		},
	})
})

func readAnswer(r *reader, n *node, to *Rule) {
	to.Answer = &Answer{Status: defaultAnswerStatus}
	if values, ok := readMapping(r, n, answerFields(), to.Answer); ok {
		r.checkBody(n.place, "answer", values)
	}
}

// checkBody looks at a body as a whole.
func (r *reader) checkBody(at place, what string, values map[string]*node) {
	switch {
	case values["body"] != nil && values["body-file"] != nil:
		r.fail(values["body-file"].place, "%s: body and body-file; choose one", what)
	case values["content-type"] != nil && values["body"] == nil && values["body-file"] == nil:
		r.fail(at, "%s: a content-type without body or body-file", what)
	}
}

// editFields are what can be done to headers.
var editFields = sync.OnceValue(func() []field[[]proxy.HeaderEdit] {
	return []field[[]proxy.HeaderEdit]{
		{
			key: "set", shape: mapOf("", textShape), allowed: "a mapping of names to templates, see below", help: "The header has this value, whatever it had.",
			read: func(r *reader, n *node, to *[]proxy.HeaderEdit) {
				*to = append(*to, r.headerLines(n, proxy.HeaderSet)...)
			},
		},
		{
			key: "add", shape: mapOf("", oneOrMore(textShape)), allowed: "a mapping of names to templates or lists of them, see below", help: "One more line of this name, or several.",
			read: func(r *reader, n *node, to *[]proxy.HeaderEdit) {
				*to = append(*to, r.headerLines(n, proxy.HeaderAdd)...)
			},
		},
		{
			key: "remove", shape: oneOrMore(textShape), allowed: "a list of names", help: "All lines of these names go.",
			read: func(r *reader, n *node, to *[]proxy.HeaderEdit) {
				r.texts(n, func(item *node, text string) {
					if edit := (proxy.HeaderEdit{Op: proxy.HeaderRemove, Name: text}); r.isEdit(item, edit) {
						*to = append(*to, edit)
					}
				})
			},
		},
	}
})

// headerLines reads a mapping of names to values.
func (r *reader) headerLines(n *node, op proxy.HeaderOp) []proxy.HeaderEdit {
	if n.kind != mapping {
		r.wrongKind(n, "a mapping of names to values")
		return nil
	}
	var edits []proxy.HeaderEdit
	for _, e := range n.entries {
		if op == proxy.HeaderSet && e.value.kind == list {
			r.wrongKind(e.value, "a single value")
			continue
		}
		r.texts(e.value, func(item *node, text string) {
			at := *item
			if checkHeaderEdit(proxy.HeaderEdit{Op: proxy.HeaderRemove, Name: e.key}) != nil {
				at.place = e.place // the name is what is wrong
			}
			if edit := (proxy.HeaderEdit{Op: op, Name: e.key, Value: text}); r.isEdit(&at, edit) {
				edits = append(edits, edit)
			}
		})
	}
	return edits
}

func (r *reader) isEdit(at *node, edit proxy.HeaderEdit) bool {
	err := checkHeaderEdit(edit)
	if err != nil {
		r.fail(at.place, "%v", err)
	}
	return err == nil
}

// statusOf reads three digits.
func statusOf(text string) (int, bool) {
	status, err := strconv.Atoi(text)
	return status, err == nil && len(text) == 3 && text[0] >= '1' && text[0] <= '9'
}

func statusAllowed(low, high int) string { return fmt.Sprintf("%d to %d", low, high) }
