package configfile

import (
	"cmp"
	"fmt"
	"slices"

	"culvert/proxy/route"
)

const (
	adviceDanger   = "a page of any origin may open a WebSocket with its visitor's cookies, by "
	adviceRule     = "list the origins that may in allowed-origins, or say any"
	adviceListener = "add a rule with allowed-origins, or say any"
	// maxPlacesNamed is how many places one message names.
	maxPlacesNamed = 5
)

// open is a rule, or a listener because of its own group, that takes upgrades and says nothing of origins.
type open struct {
	place
	listener bool
}

// advice returns the end of the message.
func (o open) advice() (who, what string) {
	if o.listener {
		return "this listener's own group", adviceListener
	}
	return "this rule", adviceRule
}

// Advice returns what a check recommends beyond the problems: at most one warning.
func (f *File) Advice() Problems {
	all := f.opens()
	if len(all) < 2 {
		return f.AdviceApart()
	}
	who, what := counted(len(all), "rule or listener", "rules or listeners")+": here", adviceRule
	for _, o := range all[1:min(len(all), maxPlacesNamed)] {
		who += fmt.Sprintf(", %d:%d", o.line, o.column)
	}
	if more := len(all) - maxPlacesNamed; more > 0 {
		who += fmt.Sprintf(" and %d more, all of which --json names", more)
	}
	groups := slices.IndexFunc(all, func(o open) bool { return o.listener })
	rules := slices.IndexFunc(all, func(o open) bool { return !o.listener })
	switch {
	case rules < 0:
		what = adviceListener
	case groups >= 0:
		what += "; for a listener's own group, " + adviceListener
	}
	return Problems{f.doubt(all[0].place, adviceDanger+who+"; "+what)}
}

// AdviceApart returns the same, with a warning for each place.
func (f *File) AdviceApart() Problems {
	var problems Problems
	for _, o := range f.opens() {
		who, what := o.advice()
		problems = append(problems, f.doubt(o.place, adviceDanger+who+"; "+what))
	}
	return problems
}

func (f *File) doubt(at place, message string) Problem {
	return Problem{File: f.Name, Line: at.line, Column: at.column, Warning: true, Message: message}
}

// opens returns who takes upgrades from pages of any origin without a word on it, in the order of the file.
func (f *File) opens() []open {
	var all []open
	for i := range f.Listeners {
		l := &f.Listeners[i]
		if l.HTTPSRedirect != 0 {
			continue
		}
		covered := false
		for j := range l.Rules {
			rule := &l.Rules[j]
			covered = covered || rule.takesAllUpgrades()
			if rule.Group != "" && rule.takesUpgrades() && len(rule.AllowedOrigins) == 0 && !rule.AnyOrigin {
				all = append(all, open{place: rule.place})
			}
		}
		if l.Group != "" && !covered {
			all = append(all, open{place: l.place, listener: true})
		}
	}
	slices.SortStableFunc(all, func(a, b open) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	return all
}

// takesUpgrades reports whether an upgrade, which is a GET (RFC 6455 4.1), can follow the rule.
func (rule *Rule) takesUpgrades() bool {
	m := &rule.Match
	return m.Upgrade != route.NoUpgrades && (len(m.Methods) == 0 || slices.Contains(m.Methods, "GET"))
}

// takesAllUpgrades reports whether no upgrade is left for the listener's own group.
func (rule *Rule) takesAllUpgrades() bool {
	m := &rule.Match
	return m.Host == "" && (m.Path == "" || m.Path == "/") && m.Upgrade != route.NoUpgrades &&
		len(m.Methods)+len(m.Headers)+len(m.Cookies)+len(m.Query)+len(m.Subprotocols) == 0
}
