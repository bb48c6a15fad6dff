package discovery

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/net/dns/dnsmessage"
)

// maxTargets bounds the hosts that the services of one name may be on.
const maxTargets = 1000

// host is a name with addresses. Owned by its source.
type host struct {
	name      string
	four, six belief
}

// refresh asks for its addresses. silent: nobody answers, so there is no use in asking for others now.
func (h *host) refresh(ctx context.Context, c *client, clock func() int64, l *limits) (silent bool) {
	a := c.host(ctx, h.name)
	h.take(a, clock(), l)
	return a.four.silent && a.six.silent
}

func (h *host) take(a hostAnswer, now int64, l *limits) {
	h.four.take(a.four, now, l)
	h.six.take(a.six, now, l)
}

// due returns when its addresses are to be asked for again. A family that it does not have is asked for with the other,
// however soon it might get one: no answer is asked for again before its time for the sake of what is not there.
func (h *host) due() int64 {
	switch {
	case h.four.has() && !h.six.has():
		return h.four.due
	case h.six.has() && !h.four.has():
		return h.six.due
	}
	return min(h.four.due, h.six.due)
}

// known reports whether anything is believed of the name: addresses, or that it has none.
func (h *host) known() bool {
	return h.four.has() || h.six.has() || h.four.known && h.six.known
}

// doubt returns what should be known of its addresses, or nil. A family that the name never had is not missed.
func (h *host) doubt() error {
	switch {
	case h.four.doubt != nil && (h.four.known || !h.six.settled()):
		return h.four.doubt
	case h.six.doubt != nil && (h.six.known || !h.four.settled()):
		return h.six.doubt
	}
	return nil
}

// addresses returns what is believed.
func (h *host) addresses() []netip.Addr {
	return append(h.four.addresses[:len(h.four.addresses):len(h.four.addresses)], h.six.addresses...)
}

// hostSource is a Source of kind Addresses.
type hostSource struct {
	source Source
	host   host
}

func (s *hostSource) refresh(ctx context.Context, w *work) {
	s.host.refresh(ctx, w.client, w.clock, &w.limits)
}

func (s *hostSource) due() int64 { return s.host.due() }

func (s *hostSource) state() (set Set, known bool, doubt error) {
	var endpoints []Endpoint
	for _, a := range s.host.addresses() {
		endpoints = append(endpoints, Endpoint{Address: netip.AddrPortFrom(a, s.source.Port), Weight: s.source.Weight})
	}
	return newSet(endpoints), s.host.known(), s.host.doubt()
}

// serviceSource is a Source of kind Services: a name with SRV records, whose targets are names with addresses.
type serviceSource struct {
	name    string
	records belief
	targets []*host // in the order of the records
	excess  bool    // there are more
}

func (s *serviceSource) refresh(ctx context.Context, w *work) {
	silent := false
	if s.records.due <= w.clock() {
		config, _ := w.client.system.look()
		var a answer
		for _, full := range config.names(s.name) {
			if a = w.client.ask(ctx, full, dnsmessage.TypeSRV); a.outcome != none {
				break
			}
		}
		silent = a.silent
		s.records.take(a, w.clock(), &w.limits)
		s.retarget()
	}
	for _, h := range s.targets {
		now := w.clock()
		switch {
		case h.due() > now:
		case ctx.Err() != nil:
			return
		case silent:
			mute := answer{silent: true, err: s.records.doubt}
			h.take(hostAnswer{mute, mute}, now, &w.limits)
		default:
			silent = h.refresh(ctx, w.client, w.clock, &w.limits)
		}
	}
}

// retarget follows the records: targets that stay keep what is known of them.
func (s *serviceSource) retarget() {
	before := map[string]*host{}
	for _, h := range s.targets {
		before[h.name] = h
	}
	s.targets, s.excess = nil, false
	taken := map[string]bool{}
	for _, r := range s.records.services {
		if taken[r.target] {
			continue
		}
		if len(s.targets) == maxTargets {
			s.excess = true
			return
		}
		h := before[r.target]
		if h == nil {
			h = &host{name: r.target}
		}
		taken[r.target] = true
		s.targets = append(s.targets, h)
	}
}

func (s *serviceSource) due() int64 {
	due := s.records.due
	for _, h := range s.targets {
		due = min(due, h.due())
	}
	return due
}

// state puts records and addresses together. A target of which nothing is known yet is left out.
func (s *serviceSource) state() (set Set, known bool, doubt error) {
	doubt = s.records.doubt
	hosts := map[string]*host{}
	known = s.records.known && len(s.targets) == 0
	for _, h := range s.targets {
		hosts[h.name] = h
		known = known || h.known()
		if problem := h.doubt(); problem != nil && doubt == nil {
			doubt = fmt.Errorf("%s: %w", h.name, problem)
		}
	}
	if s.excess && doubt == nil {
		doubt = fmt.Errorf("there are more than %d targets; the rest is left out", maxTargets)
	}
	return newSet(endpointsOf(s.records.services, hosts)), known, doubt
}

// endpointsOf multiplies records by the addresses of their targets, which can be millions: it ends with the first that is
// one too many. Those that are asked first come first, of these the heavier; the order is the same however an answer has it.
func endpointsOf(records []service, hosts map[string]*host) (endpoints []Endpoint) {
	heaviest := map[uint16]uint16{} // by priority
	for _, r := range records {
		heaviest[r.priority] = max(heaviest[r.priority], r.weight)
	}
	records = slices.Clone(records)
	slices.SortFunc(records, func(a, b service) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(b.weight, a.weight), cmp.Compare(a.target, b.target), cmp.Compare(a.port, b.port))
	})
	type place struct {
		target string
		port   uint16
	}
	said, taken := map[place]bool{}, map[netip.AddrPort]bool{}
	for _, r := range records {
		h, at := hosts[r.target], place{r.target, r.port}
		if h == nil || said[at] {
			continue
		}
		said[at] = true
		for _, a := range h.addresses() {
			address := netip.AddrPortFrom(a, r.port)
			if taken[address] {
				continue
			}
			taken[address] = true
			endpoints = append(endpoints, Endpoint{address, scaled(r.weight, heaviest[r.priority]), r.priority})
			if len(endpoints) > MaxEndpoints {
				return endpoints
			}
		}
	}
	return endpoints
}

// scaled brings an SRV record's weight, 0 to 65,535, into the range of ours. Weights up to MaxWeight stay as they are.
// One of 0 stands for a very small chance (RFC 2782), and not for none.
func scaled(weight, heaviest uint16) int {
	w := int(weight)
	if heaviest > MaxWeight {
		w = (w*MaxWeight + int(heaviest)/2) / int(heaviest)
	}
	return max(w, 1)
}
