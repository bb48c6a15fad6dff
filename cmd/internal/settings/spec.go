package settings

import "culvert/proxy/limit"

// applySpec sets the limits of the size that was asked for, those that were not given themselves.
func (i *Invocation) applySpec() {
	if i.Settings == nil {
		return
	}
	limits := &i.Settings.Limits
	s, ok := limit.Lookup(limits.Spec)
	if !ok {
		return
	}
	for _, one := range []struct {
		flag  string
		limit *int
		value int
	}{
		{"max-connections", &limits.MaxConnections, s.MaxConnections},
		{"max-new-connections", &limits.MaxNewConnections, s.NewConnectionsPerSecond},
		{"max-requests", &limits.MaxRequests, s.RequestsPerSecond},
	} {
		if !i.Given(one.flag) {
			*one.limit = one.value
		}
	}
}
