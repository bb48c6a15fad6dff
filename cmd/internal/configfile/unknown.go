package configfile

import (
	"slices"
	"strings"
	"sync"

	"culvert/cmd/internal/settings"
)

// maxKeysListed is how many keys are worth listing where one is unknown.
const maxKeysListed = 13

// unknownKey says what may have been meant in a mapping of that kind.
func (r *reader) unknownKey(e entry, keys []string, in container) {
	text := "unknown key " + shownKey(e.key)
	if len(r.problems) > 10*maxProblems { // nobody will be told
		r.fail(e.place, "%s", text)
		return
	}
	if missing := slipIn(e.key, keys); missing != "" {
		r.fail(e.place, "%s; %s", text, missing)
		return
	}
	if home := r.known.homeOf(e.key, in); home != "" {
		r.fail(e.place, "%s here; %s", text, home)
		return
	}
	if near := r.nearest(e.key, keys); near != "" {
		r.fail(e.place, "%s, did you mean %s?", text, near)
		return
	}
	if len(keys) > maxKeysListed {
		r.fail(e.place, "%s; docs/configuration.md lists what is known here", text)
		return
	}
	r.fail(e.place, "%s; allowed: %s", text, strings.Join(keys, ", "))
}

// container is what a mapping is, as far as it matters to a key that stands in the wrong one.
type container uint8

const (
	inOther container = iota // a section, an answer, a body...
	inRoot
	inListener
	inRule
	inGroup // or in a server of one
	inTLS   // of a listener
)

// containerOf tells it by what the mapping becomes, and by one of its keys.
func containerOf(to any, keys []string) container {
	switch to.(type) {
	case *File:
		if slices.Contains(keys, "listeners") {
			return inRoot
		}
	case *Listener:
		return inListener
	case *Rule:
		return inRule
	case *Group, *Server:
		return inGroup
	case *ListenerTLS:
		return inTLS
	}
	return inOther
}

// knownKeys are the keys of what is written in a file, apart from sections. The reader is given them: the tables that
// they are made from lead to the reader.
type knownKeys struct{ listener, listenerTLS, rule, group, server, backendTLS, redirect, answer []string }

var allKeys = sync.OnceValue(func() *knownKeys {
	return &knownKeys{
		keysOf(listenerFields()), keysOf(listenerTLSFields()), keysOf(ruleFields()), keysOf(groupFields()), keysOf(serverFields()),
		keysOf(backendTLSFields()), keysOf(redirectFields()), keysOf(answerFields()),
	}
})

// balancingHomes are where those settings are that flags have of the one group that they name.
var balancingHomes = map[string]string{
	"hash-by": "it belongs to a schedule", "sticky-lifetime": "it belongs to sticky, as lifetime", "sticky-key-file": "it belongs to sticky, as key-file",
	"check-path": "it belongs to check, as path", "check-interval": "it belongs to check, as interval", "check-timeout": "it belongs to check, as timeout",
	"check-healthy": "it belongs to check, as healthy", "check-unhealthy": "it belongs to check, as unhealthy",
	"outlier-failures": "it belongs to outliers, as failures", "max-connections-per-backend": "it belongs to a server, as max-connections",
	"discover": "it belongs to a group, as discovery", "schedule": "it belongs to a group or a rule", "sticky": "it belongs to a group or a rule",
	"check": "it belongs to a group", "slow-start": "it belongs to a group", "queue": "it belongs to a group", "queue-timeout": "it belongs to a group",
}

// homeOf says where a key belongs that is unknown in the container; "": nowhere.
func (k *knownKeys) homeOf(key string, in container) string {
	switch key {
	case "listen":
		return "it belongs to listeners, as an address"
	case "tls":
		return "it belongs to a listener, a group or a server"
	case "tls-listen":
		return "it belongs to listeners, as an address, with tls"
	case "tls-cert", "tls-key":
		return "it belongs to a listener's tls, in certificates"
	case "tls-dir":
		return "it belongs to a listener's tls, as folders"
	case "backend":
		return "it belongs to groups, as a server"
	case "backend-ca", "backend-tls-verify", "backend-server-name":
		return "it belongs to the tls of a group or a server, as " + strings.TrimPrefix(strings.TrimPrefix(key, "backend-"), "tls-")
	case "tls-strict-sni", "tls-policy", "tls-client-ca", "tls-client-auth":
		return "it belongs to a listener's tls, as " + strings.TrimPrefix(key, "tls-")
	case "listeners", "groups":
		return "it belongs to the top of the file"
	case "max-connections":
		if in == inGroup {
			return "it belongs to a server, or to discovery"
		}
	}
	if home := balancingHomes[key]; home != "" {
		return home
	}
	for _, s := range sections() {
		if s.name == key && in != inRoot {
			return in.homeOfSection(s)
		}
		if !slices.ContainsFunc(s.flags, func(f settings.Flag) bool { return f.Name == key }) {
			continue
		}
		switch {
		case slices.Contains(listenerOnly, key):
			return "it belongs to " + s.name + ", or to a listener"
		case s.name == "tls":
			return "it belongs to tls, at the top of the file"
		}
		return "it belongs to " + s.name
	}
	if in != inTLS && slices.Contains(k.listenerTLS, key) {
		return "it belongs to a listener's tls"
	}
	if in == inOther {
		return "" // its keys are few, and words that are many things
	}
	return k.homeOfPart(key, in)
}

// homeOfPart says it of a key that is no setting.
func (k *knownKeys) homeOfPart(key string, in container) string {
	isListeners, isRules := slices.Contains(k.listener, key), slices.Contains(k.rule, key)
	isRedirects, isAnswers := slices.Contains(k.redirect, key), slices.Contains(k.answer, key)
	switch {
	case isListeners && isRules && in == inGroup:
		return "it belongs to a listener or a rule"
	case isListeners:
		return "it belongs to a listener"
	case isRules:
		return "it belongs to a rule"
	case in == inGroup && slices.Contains(k.backendTLS, key):
		return "it belongs to tls"
	case slices.Contains(k.group, key):
		return "it belongs to a group"
	case slices.Contains(k.server, key):
		return "it belongs to a server"
	case isRedirects && isAnswers:
		return "it belongs to redirect or answer"
	case isRedirects:
		return "it belongs to redirect"
	case isAnswers:
		return "it belongs to answer"
	}
	return ""
}

// homeOfSection says it of a section's name. A listener and a rule have its settings themselves, if any.
func (in container) homeOfSection(s section) string {
	own := map[container][]string{inListener: listenerPolicy, inRule: rulePolicy}[in]
	if slices.ContainsFunc(s.flags, func(f settings.Flag) bool { return slices.Contains(own, f.Name) }) {
		return "its settings stand here directly"
	}
	return "it belongs to the top of the file"
}
