package configfile

import (
	"fmt"
	"strings"
	"sync"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
	"culvert/proxy/access"
	"culvert/proxy/origin"
	"culvert/proxy/route"
)

// ruleFields are the keys of a rule: which requests, what becomes of them, and what is different for them.
var ruleFields = sync.OnceValue(func() []field[Rule] {
	fields := append(matchFields(), actionFields()...)
	fields = append(fields, accessFields(func(l *Rule) *access.Lists { return &l.Access })...)
	fields = append(fields, treatmentFields()...)
	fields = append(fields, choiceFields()...)
	return append(fields, policyFields(rulePolicy, func(l *Rule) *[]Setting { return &l.Policy })...)
})

// matchFields say which requests a rule is for.
func matchFields() []field[Rule] {
	return []field[Rule]{
		{
			key: "name", shape: nameShape, allowed: nameAllowed, help: "The name in logs; the listener's and a number, if none is given.",
			read: func(r *reader, n *node, to *Rule) {
				to.namePlace = n.place
				to.Name, _ = r.nameOf(n)
			},
		},
		{
			key: "host", shape: textShape, allowed: "a name such as app.example.com, a wildcard such as *.example.com, or an address", help: "The host that the client asks for, whatever its port.",
			read: func(r *reader, n *node, to *Rule) {
				if text, ok := r.text(n); ok && r.matches(n, text, route.Match{Host: text}) {
					to.Match.Host = text
				}
			},
		},
		{
			key: "path", shape: textShape, allowed: "a path such as /chat", help: "The beginning of the path, by whole segments.",
			read: func(r *reader, n *node, to *Rule) {
				if text, ok := r.text(n); ok && r.matches(n, text, route.Match{Path: text}) {
					to.Match.Path = text
				}
			},
		},
		{
			key: "method", shape: oneOrMore(textShape), allowed: "methods such as GET, with case", help: "The method is one of these.",
			read: func(r *reader, n *node, to *Rule) {
				to.Match.Methods = r.words(n, func(text string) route.Match { return route.Match{Methods: []string{text}} })
			},
		},
		{
			key: "headers", shape: conditionsShape, allowed: "conditions, see below", help: "The request has these headers.",
			read: func(r *reader, n *node, to *Rule) {
				to.Match.Headers = r.conditions(n, func(c []route.Condition) route.Match { return route.Match{Headers: c} })
			},
		},
		{
			key: "cookies", shape: conditionsShape, allowed: "conditions, see below", help: "The request has these cookies.",
			read: func(r *reader, n *node, to *Rule) {
				to.Match.Cookies = r.conditions(n, func(c []route.Condition) route.Match { return route.Match{Cookies: c} })
			},
		},
		{
			key: "query", shape: conditionsShape, allowed: "conditions, see below", help: "The query has these parameters.",
			read: func(r *reader, n *node, to *Rule) {
				to.Match.Query = r.conditions(n, func(c []route.Condition) route.Match { return route.Match{Query: c} })
			},
		},
		{
			key: "upgrade", shape: booleanShape, allowed: "true, false", help: "Only upgrades to WebSocket, or only other requests; both, if it is not given.",
			read: func(r *reader, n *node, to *Rule) {
				if only, ok := r.boolean(n); ok && only {
					to.Match.Upgrade = route.OnlyUpgrades
				} else if ok {
					to.Match.Upgrade = route.NoUpgrades
				}
			},
		},
		{
			key: "subprotocol", shape: oneOrMore(textShape), allowed: "tokens such as graphql-ws", help: "The upgrade offers one of these subprotocols.",
			read: func(r *reader, n *node, to *Rule) {
				to.Match.Subprotocols = r.words(n, func(text string) route.Match { return route.Match{Subprotocols: []string{text}} })
			},
		},
	}
}

// matches reports whether a part of a rule's conditions is well formed.
func (r *reader) matches(n *node, text string, part route.Match) bool {
	if text == "" {
		r.wrong(n, text, "", "")
		return false
	}
	if err := part.Validate(); err != nil {
		r.fail(n.place, "%v", err)
		return false
	}
	return true
}

// words reads a list of which one is asked for.
func (r *reader) words(n *node, part func(text string) route.Match) []string {
	var words []string
	if n.kind == list && len(n.items) == 0 {
		r.fail(n.place, "%s: an empty list matches nothing; leave it out", n.key)
	}
	if !r.bounded(n, len(n.items), MaxConditions, "entries") {
		return nil
	}
	r.texts(n, func(item *node, text string) {
		if r.matches(item, text, part(text)) {
			words = append(words, text)
		}
	})
	return words
}

// conditionKeys are what a condition that is no plain value may say.
var conditionKeys = []string{"equal", "present", "absent", "prefix"}

// conditions reads a mapping of names to conditions.
func (r *reader) conditions(n *node, part func([]route.Condition) route.Match) []route.Condition {
	if n.kind != mapping {
		r.wrongKind(n, "a mapping of names to values")
		return nil
	}
	if !r.bounded(n, len(n.entries), MaxConditions, "conditions") {
		return nil
	}
	var all []route.Condition
	for _, e := range n.entries {
		c, ok := r.condition(e)
		if !ok {
			continue
		}
		if err := part([]route.Condition{c}).Validate(); err != nil {
			r.fail(e.place, "%v", err)
			continue
		}
		all = append(all, c)
	}
	return all
}

// condition reads "name: value", or "name: {present: true}" and the like.
func (r *reader) condition(e entry) (route.Condition, bool) {
	c := route.Condition{Name: e.key}
	if e.value.kind == scalar {
		c.Value = e.value.text
		return c, true
	}
	if e.value.kind != mapping {
		r.wrongKind(e.value, "a value, or one of {equal: ...}, {prefix: ...}, {present: true}, {absent: true}")
		return c, false
	}
	if len(e.value.entries) != 1 {
		r.fail(e.value.place, "%s: a condition says one thing: equal, prefix, present or absent", shownKey(e.key))
		return c, false
	}
	say := e.value.entries[0]
	word, ok := r.word(&node{place: say.place, key: e.value.key, text: say.key}, conditionKeys...)
	if !ok {
		return c, false
	}
	switch word {
	case "equal", "prefix":
		c.Op = route.Equal
		if word == "prefix" {
			c.Op = route.Prefix
		}
		c.Value, ok = r.text(say.value)
		return c, ok
	case "present":
		c.Op = route.Present
	case "absent":
		c.Op = route.Absent
	}
	yes, ok := r.boolean(say.value)
	if ok && !yes {
		other := map[string]string{"present": "absent", "absent": "present"}[word]
		r.fail(say.value.place, "%s: write {%s: true}, which says it", word, other)
		return c, false
	}
	return c, ok
}

// treatmentFields say what is different for a rule's requests.
func treatmentFields() []field[Rule] {
	return []field[Rule]{
		{
			key: "allowed-origins", shape: oneOrMore(textShape), allowed: originAllowed, help: "The pages that may open a WebSocket, by their Origin; others get 403.",
			read: readOrigins,
		},
		{
			key: "requests-per-second", shape: flagShape(flagNamed("max-requests")), allowed: flagNamed("max-requests").Allowed, help: "Requests of this rule per second, upgrades included; one more gets 503.",
			read: func(r *reader, n *node, to *Rule) { to.Requests, _ = decoded[int](r, n, "max-requests") },
		},
		{
			key: "request-headers", shape: ref("header-edits"), allowed: "edits, see below", help: "Changes to the request's headers on their way to the server.",
			read: func(r *reader, n *node, to *Rule) { to.RequestHeaders = r.edits(n) },
		},
		{
			key: "answer-headers", shape: ref("header-edits"), allowed: "edits, see below", help: "Changes to the answer's headers on their way to the client.",
			read: func(r *reader, n *node, to *Rule) { to.AnswerHeaders = r.edits(n) },
		},
		{
			key: "rewrite-host", shape: textShape, allowed: "a template, see below", help: "Sent to the server in place of the client's Host.",
			read: func(r *reader, n *node, to *Rule) {
				text, ok := r.template(n)
				if reason := wrongHost(text); ok && reason != "" {
					r.wrong(n, text, reason, "a host such as app.internal:8080 or {host-name}.internal")
					return
				}
				to.Host = text
			},
		},
		{
			key: "rewrite-path", shape: textShape, allowed: "a path, or \"\"", help: "Takes the place of the matched path; \"\" strips it.",
			read: func(r *reader, n *node, to *Rule) {
				text, ok := r.text(n)
				if !ok {
					return
				}
				if reason := wrongRewrite(text); reason != "" {
					r.wrong(n, text, reason, "a path that begins with /, or \"\" to strip")
					return
				}
				to.Rewrite = &text
			},
		},
		{
			key: "error-bodies", shape: mapOf("^[45][0-9][0-9]$", ref("body")), allowed: "a mapping of statuses, 400 to 599, to bodies, see below", help: "The bodies of Culvert's own errors.",
			read: readErrorBodies,
		},
	}
}

// choiceFields say how a server of the rule's group is chosen.
func choiceFields() []field[Rule] {
	return []field[Rule]{
		{
			key: "schedule", shape: scheduleShape(), allowed: scheduleAllowed(), help: "How a server of the group is chosen, as for a group; the group's, if it is not given.",
			read: func(r *reader, n *node, to *Rule) {
				if s, ok := r.schedule(n); ok {
					to.Schedule = &s
				}
			},
		},
		{
			key: "sticky", shape: stickyShape(), allowed: stickyAllowed(), help: "Brings clients back by a cookie, as for a group; the group's, if it is not given.",
			read: func(r *reader, n *node, to *Rule) {
				to.Sticky = r.sticky(n)
				if n.kind == scalar && n.text == off {
					to.Sticky = &Sticky{place: n.place, Stickiness: proxy.Stickiness{Off: true}}
				}
			},
		},
	}
}

// wrongRewrite says why a text cannot take the place of a path in what is sent; "": it can.
func wrongRewrite(text string) string {
	if text != "" && text[0] != '/' {
		return "no path"
	}
	for _, c := range text {
		switch {
		case c == '?' || c == '#':
			return "a path ends before " + string(c)
		case c <= ' ' || c >= 0x7f:
			return fmt.Sprintf("%+q is sent percent-encoded: write it so", c)
		}
	}
	return ""
}

func readOrigins(r *reader, n *node, to *Rule) {
	to.originsPlace = n.place
	if n.kind == list && len(n.items) == 0 {
		r.fail(n.place, "allowed-origins: an empty list; write any to allow every origin, or none for requests without one")
	}
	if !r.bounded(n, len(n.items), origin.MaxPatterns, "origins") {
		return
	}
	any := place{}
	r.texts(n, func(item *node, text string) {
		if text == "any" {
			any, to.AnyOrigin = item.place, true
			return
		}
		if err := checkOrigin(text); err != nil {
			r.wrong(item, text, err.Error(), originAllowed)
			return
		}
		to.AllowedOrigins = append(to.AllowedOrigins, text)
	})
	if to.AnyOrigin && len(to.AllowedOrigins) > 0 {
		r.fail(any, "allowed-origins: any stands alone")
	}
}

// checkRule looks at a rule as a whole.
func (r *reader) checkRule(rule *Rule, values map[string]*node, sound bool) {
	var actions []string
	for _, key := range []string{"group", "redirect", "answer"} {
		if values[key] != nil {
			actions = append(actions, key)
		}
	}
	switch len(actions) {
	case 0:
		r.fail(rule.place, "rules: a rule without an action; it has one of group, redirect, answer")
	case 1:
	default:
		r.fail(values[actions[1]].place, "rules: a rule has one action, and this one %s; choose one of group, redirect, answer", strings.Join(actions, " and "))
	}
	if rule.Match.Upgrade == route.NoUpgrades && values["allowed-origins"] != nil {
		r.fail(rule.originsPlace, "allowed-origins: the rule is for no upgrades (upgrade: false), and origins are asked for by upgrades only")
	}
	if sound {
		if err := rule.Match.Validate(); err != nil {
			r.fail(rule.place, "%v", err)
		}
	}
	if len(actions) == 1 && actions[0] != "group" {
		for _, key := range []string{"request-headers", "rewrite-host", "rewrite-path", "schedule", "sticky"} {
			if values[key] != nil {
				r.warn(values[key].place, "%s: it has no effect, since this rule asks no server", key)
			}
		}
	}
	if rule.Answer != nil && rule.Answer.Status != 0 {
		r.checkAnswer(rule.Answer, values["answer"].place)
	}
}

func (r *reader) checkAnswer(answer *Answer, at place) {
	if (answer.Status == 204 || answer.Status == 304) && len(answer.Body.Bytes) > 0 {
		r.fail(at, "answer: with status %d there is no body", answer.Status)
	}
}

func readErrorBodies(r *reader, n *node, to *Rule) {
	if n.kind != mapping {
		r.wrongKind(n, "a mapping of statuses to bodies")
		return
	}
	to.ErrorBodies = map[int]Body{}
	for _, e := range n.entries {
		status, ok := r.status(&node{place: e.place, key: "error-bodies", text: e.key}, 400, 599)
		body := Body{}
		values, isMapping := readMapping(r, e.value, bodyFields(func(b *Body) *Body { return b }), &body)
		if !isMapping || !ok {
			continue
		}
		r.checkBody(e.place, "error-bodies "+e.key, values)
		if values["body"] == nil && values["body-file"] == nil {
			r.fail(e.place, "error-bodies %s: neither body nor body-file", shownKey(e.key))
		}
		to.ErrorBodies[status] = body
	}
}

// status reads a status within bounds.
func (r *reader) status(n *node, low, high int) (int, bool) {
	text, ok := r.text(n)
	if !ok {
		return 0, false
	}
	status, ok := statusOf(text)
	if !ok || status < low || status > high {
		r.wrong(n, text, "not such a status", statusAllowed(low, high))
		return 0, false
	}
	return status, true
}

// edits reads header edits, in the order in which they stand.
func (r *reader) edits(n *node) []proxy.HeaderEdit {
	var edits []proxy.HeaderEdit
	if _, ok := readMapping(r, n, editFields(), &edits); ok && len(edits) > MaxEdits {
		r.bounded(n, len(edits), MaxEdits, "edits")
	}
	return edits
}

// template reads a text with variables in braces.
func (r *reader) template(n *node) (string, bool) {
	text, ok := r.text(n)
	if !ok {
		return "", false
	}
	if text == "" {
		r.wrong(n, text, "", "")
		return "", false
	}
	if err := checkTemplate(text); err != nil {
		r.fail(n.place, "%s %s: %v", n.key, settings.Shown(text), err)
		return "", false
	}
	return text, true
}
