package route

// Partial returns, of each domain some of whose requests may match none of its rules, the first rule, in order: no rule
// is for its root without further conditions, nor one for upgrades and one for the rest. What the other conditions of
// several rules cover together is not noticed. The rules must be valid.
func Partial(matches []Match) []int {
	type domain struct {
		first            int
		upgrades, others bool // a rule takes all of them
	}
	domains := map[string]*domain{}
	var order []*domain
	for i := range matches {
		m := &matches[i]
		if m.Host == "" {
			continue // what none of these matches is the default's
		}
		name := canonicalHost(m.Host)
		d := domains[name]
		if d == nil {
			d = &domain{first: i}
			domains[name] = d
			order = append(order, d)
		}
		if m.takesAll() {
			d.upgrades = d.upgrades || m.Upgrade != NoUpgrades
			d.others = d.others || m.Upgrade != OnlyUpgrades
		}
	}
	var partial []int
	for _, d := range order {
		if !d.upgrades || !d.others {
			partial = append(partial, d.first)
		}
	}
	return partial
}

// takesAll reports whether nothing but the domain, and whether it is an upgrade, is asked of a request.
func (m *Match) takesAll() bool {
	return len(Normalize(nil, []byte(m.Path))) <= len("/") &&
		len(m.Methods)+len(m.Headers)+len(m.Cookies)+len(m.Query)+len(m.Subprotocols) == 0
}
