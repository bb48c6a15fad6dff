package configfile

import (
	"net/netip"
	"strings"
	"sync"

	"culvert/cmd/internal/settings"
	"culvert/proxy/route"
)

// crossCheck looks at what no part of the file alone can tell.
func (r *reader) crossCheck(f *File) {
	if f.HasSite() && len(r.problems.Errors()) == 0 && len(f.Listeners) == 0 {
		r.fail(f.site, "groups: there are no listeners that could lead to them")
	}
	r.checkListeners(f)
	r.checkGroups(f)
	r.checkAdmin(f)
	r.checkTimeouts(f)
}

func (r *reader) checkListeners(f *File) {
	addresses := map[netip.AddrPort]place{}
	names := map[string]place{}
	for i := range f.Listeners {
		l := &f.Listeners[i]
		if first, twice := addresses[l.Address]; twice && l.Address.Port() != 0 {
			r.fail(l.addressPlace, "address %s: given twice, first at line %d", settings.AddressText(l.Address), first.line)
		}
		if l.Address.IsValid() {
			addresses[l.Address] = l.addressPlace
		}
		if first, twice := names[l.Name]; twice && l.Name != "" {
			r.fail(l.namePlace, "name %s: given twice, first at line %d", l.Name, first.line)
		}
		names[l.Name] = l.namePlace
		switch {
		case l.ProxyProtocol && len(l.ProxyProtocolFrom) == 0:
			r.fail(l.place, "listeners: proxy-protocol is required and nobody may send it; say by proxy-protocol-from who may")
		case !l.ProxyProtocol && len(l.ProxyProtocolFrom) > 0:
			r.warn(l.place, "listeners: proxy-protocol-from has no effect without proxy-protocol: required")
		}
		r.checkHTTPS(l)
		if l.groupPlace == (place{}) && l.rulesPlace == (place{}) && l.addressPlace != (place{}) && l.redirectPlace == (place{}) {
			r.warn(l.place, "listeners: neither group nor rules; every request gets 404")
		}
		r.checkRules(l)
	}
}

func (r *reader) checkRules(l *Listener) {
	names := map[string]place{}
	matches := make([]route.Match, len(l.Rules))
	for i := range l.Rules {
		rule := &l.Rules[i]
		matches[i] = rule.Match
		if first, twice := names[rule.Name]; twice && rule.Name != "" {
			r.fail(rule.namePlace, "name %s: given twice in this listener, first at line %d", rule.Name, first.line)
		}
		names[rule.Name] = rule.namePlace
	}
	if len(r.problems.Errors()) > 0 {
		return
	}
	for _, shadow := range unreachable(matches) {
		r.warn(l.Rules[shadow.Index].place, "rules: no request reaches this rule: the one at line %d takes them all", l.Rules[shadow.By].line)
	}
	if l.Group == "" {
		return // whoever leads to no group expects 404
	}
	for _, first := range route.Partial(matches) {
		rule := &l.Rules[first]
		r.warn(rule.place, "rules: requests of host %s that no rule matches get 404, not group %s; add a rule for the host without further conditions",
			rule.Match.Host, l.Group)
	}
}

// checkGroups looks who leads to which group.
func (r *reader) checkGroups(f *File) {
	used := map[string]bool{}
	names := make([]string, len(f.Groups))
	for i := range f.Groups {
		names[i] = f.Groups[i].Name
	}
	sound := len(r.problems.Errors()) == 0
	use := func(at place, group string) {
		if group == "" || used[group] {
			return
		}
		for _, name := range names {
			if name == group {
				used[group] = true
				return
			}
		}
		sound = false
		r.unknownGroup(at, group, names)
	}
	for i := range f.Listeners {
		use(f.Listeners[i].groupPlace, f.Listeners[i].Group)
		for j := range f.Listeners[i].Rules {
			use(f.Listeners[i].Rules[j].groupPlace, f.Listeners[i].Rules[j].Group)
		}
	}
	for i := range f.Groups {
		g := &f.Groups[i]
		if !used[g.Name] && sound { // else what is wrong may be what leads to it
			r.warn(g.place, "group %s: no listener and no rule leads to it", shownKey(g.Name))
		}
		r.checkServers(g)
		r.checkBackendTLS(g)
	}
}

func (r *reader) unknownGroup(at place, group string, names []string) {
	switch near := r.nearest(group, names); {
	case near != "":
		r.fail(at, "group %s: there is no such group, did you mean %s?", group, near)
	case len(names) == 0:
		r.fail(at, "group %s: there is no such group; groups are written under \"groups:\"", group)
	case len(names) > maxKeysListed:
		r.fail(at, "group %s: there is no such group", group)
	default:
		r.fail(at, "group %s: there is no such group; there are: %s", group, printable(strings.Join(names, ", ")))
	}
}

func (r *reader) checkServers(g *Group) {
	first := map[string]place{}
	weights, drained := 0, false
	for i := range g.Servers {
		s := &g.Servers[i]
		if s.Drain {
			drained = true
		} else {
			weights += s.Weight
		}
		name := strings.ToLower(s.Place())
		if s.Path != "" {
			name = s.Name
		}
		if before, twice := first[name]; twice && name != "" {
			r.fail(s.place, "server %s: given twice in group %s, first at line %d; a larger share of the requests is asked for by weight",
				settings.Shown(s.Name), shownKey(g.Name), before.line)
			continue
		}
		first[name] = s.place
	}
	switch {
	case weights > 0 || len(g.Servers) == 0 || g.Discovery != nil:
	case drained:
		r.warn(g.place, "group %s: every server is drained, or has weight 0; its requests get 503", shownKey(g.Name))
	default:
		r.warn(g.place, "group %s: every server has weight 0; its requests get 503", shownKey(g.Name))
	}
}

// checkAdmin looks whether the file gives one address to two.
func (r *reader) checkAdmin(f *File) {
	for _, s := range f.Settings {
		if s.Flag != "admin" {
			continue
		}
		admin, err := settings.Decode[settings.AdminAddress]("admin", s.Items...)
		if err != nil || admin.Address.Port() == 0 {
			continue
		}
		for i := range f.Listeners {
			if f.Listeners[i].Address == admin.Address {
				r.fail(s.place, "admin %s: a listener's address too, at line %d", s.Items[0], f.Listeners[i].addressPlace.line)
			}
		}
	}
}

// defaults are the settings that count where nothing is said.
var defaults = sync.OnceValue(func() settings.Settings {
	i, err := settings.Parse([]string{"--backend=unix:/none"}, nil)
	if err != nil {
		panic("configfile: the defaults: " + err.Error())
	}
	return *i.Settings
})

// with returns settings with others in their place. Those have been decoded before, so nothing can be wrong with them.
func with(s settings.Settings, others []Setting) settings.Settings {
	for _, other := range others {
		if other.Flag == "source" || other.Flag == "watch-config" {
			continue // not among these
		}
		if err := s.Set(other.Flag, other.Items...); err != nil {
			panic("configfile: " + err.Error())
		}
	}
	return s
}

// checkTimeouts looks whether each attempt to connect fits into all of them, wherever a listener or a rule says one of
// both. The settings of the whole are doubted by package settings, which knows what flags say.
func (r *reader) checkTimeouts(f *File) {
	check := func(s *settings.Settings, said []Setting) {
		doubt := settings.ConnectDoubt(s)
		if doubt == "" {
			return
		}
		for _, one := range said {
			if one.Flag == "connect-timeout" || one.Flag == "connect-total-timeout" {
				r.warn(one.place, "%s", doubt)
				return
			}
		}
	}
	global := with(defaults(), f.Settings)
	for i := range f.Listeners {
		l := &f.Listeners[i]
		own := global
		if len(l.Policy) > 0 {
			own = with(global, l.Policy)
			check(&own, l.Policy)
		}
		for j := range l.Rules {
			if policy := l.Rules[j].Policy; len(policy) > 0 {
				rule := with(own, policy)
				check(&rule, policy)
			}
		}
	}
}
