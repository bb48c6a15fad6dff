package configfile

import (
	"net/netip"
	"sync"

	"culvert/proxy/access"
)

// listenerFields are the keys of a listener.
var listenerFields = sync.OnceValue(func() []field[Listener] {
	fields := []field[Listener]{
		{
			key: "address", shape: textShape, allowed: flagNamed("listen").Allowed, help: "Accept clients here. Required.",
			read: func(r *reader, n *node, to *Listener) {
				to.addressPlace = n.place
				if list, ok := decoded[[]netip.AddrPort](r, n, "listen"); ok {
					to.Address = list[0]
				}
			},
		},
		{
			key: "name", shape: nameShape, allowed: nameAllowed, help: "The name in the access log (`listener_name`) and in messages, and of its rules that have none; the address, if none is given.",
			read: func(r *reader, n *node, to *Listener) {
				to.namePlace = n.place
				to.Name, _ = r.nameOf(n)
			},
		},
		{
			key: "group", shape: nameShape, allowed: "the name of a group", help: "Serves the requests that no rule is for; without it they get 404.",
			read: func(r *reader, n *node, to *Listener) {
				to.groupPlace = n.place
				if name, ok := r.nameOf(n); ok {
					to.Group = name
				}
			},
		},
	}
	fields = append(fields, accessFields(func(l *Listener) *access.Lists { return &l.Access })...)
	fields = append(fields, httpsFields()...)
	fields = append(fields, []field[Listener]{
		{
			key: "proxy-protocol", shape: wordsShape("required", "forbidden"), allowed: "required, forbidden (the default)",
			help: "Whether each connection begins with a PROXY header, version 1 or 2, which says who the client is.",
			read: func(r *reader, n *node, to *Listener) {
				word, _ := r.word(n, "required", "forbidden")
				to.ProxyProtocol = word == "required"
			},
		},
		{
			key: "proxy-protocol-from", shape: oneOrMore(textShape), allowed: networksAllowed(),
			help: "Who may send PROXY headers; needed where they are required. A connection from elsewhere is closed.",
			read: func(r *reader, n *node, to *Listener) { to.ProxyProtocolFrom = r.prefixes(n) },
		},
		{
			key: "rules", shape: listOf(ref("rule")), allowed: "a list of rules, see below", help: "What becomes of requests that deserve a treatment of their own.",
			read: readRules,
		},
	}...)
	return append(fields, policyFields(listenerPolicy, func(l *Listener) *[]Setting { return &l.Policy })...)
})

func networksAllowed() string { return flagNamed("trusted-proxies").Allowed }

// accessFields are the white list and the black list of a listener or a rule.
func accessFields[T any](lists func(*T) *access.Lists) []field[T] {
	return []field[T]{
		{
			key: "allow", shape: oneOrMore(textShape), allowed: networksAllowed(), help: "Serve these clients only; others get 403. An empty list serves nobody.",
			read: func(r *reader, n *node, to *T) {
				lists(to).White, lists(to).HasWhite = r.prefixes(n), true
				if n.kind == list && len(n.items) == 0 {
					r.warn(n.place, "allow: an empty list refuses every client; leave it out to serve all")
				}
			},
		},
		{
			key: "deny", shape: oneOrMore(textShape), allowed: networksAllowed(), help: "Refuse these clients by 403, also where allow lists them.",
			read: func(r *reader, n *node, to *T) { lists(to).Black = r.prefixes(n) },
		},
	}
}

func readRules(r *reader, n *node, to *Listener) {
	if n.kind != list || len(n.items) > 0 {
		to.rulesPlace = n.place
	}
	if n.kind != list {
		r.wrongKind(n, "a list: \"- host: ...\" for each rule")
		return
	}
	r.rules += len(n.items)
	if !r.bounded(n, r.rules, MaxRules, "rules in this file so far") {
		return
	}
	for _, item := range n.items {
		rule := Rule{place: item.place}
		before := len(r.problems.Errors())
		values, ok := readMapping(r, item, ruleFields(), &rule)
		if !ok {
			continue
		}
		r.checkRule(&rule, values, len(r.problems.Errors()) == before)
		to.Rules = append(to.Rules, rule)
	}
}
