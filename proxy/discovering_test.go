package proxy

import (
	"net/netip"
	"slices"
	"testing"

	"culvert/proxy/discovery"
)

// TestPrioritiesOfRecordsAreAnOrder: of SRV records only which is lower counts; those of a file are the group's own.
func TestPrioritiesOfRecordsAreAnOrder(t *testing.T) {
	set := func(priorities ...uint16) (found discovery.Set) {
		for _, p := range priorities {
			found = append(found, discovery.Endpoint{Priority: p})
		}
		return found
	}
	many := make([]uint16, mostLevels+3)
	for i := range many {
		many[i] = uint16(i * 10)
	}
	for _, c := range []struct {
		kind        discovery.Kind
		given, want []uint16
	}{
		{discovery.Services, []uint16{20, 10, 20, 65535, 10}, []uint16{1, 0, 1, 2, 0}},
		{discovery.Services, []uint16{7}, []uint16{0}},
		{discovery.Services, many, []uint16{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15, 15, 15}},
		{discovery.File, []uint16{1, 1}, []uint16{1, 1}},
	} {
		level := levels(c.kind, set(c.given...))
		var got []uint16
		for _, p := range c.given {
			got = append(got, level(p))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v of %v become %v, want %v", c.given, c.kind, got, c.want)
		}
	}
}

// TestWhatIsKnownOfASourceIsInherited by one of the same name that is asked in another way, or whose addresses get another
// port and weight: a resolver that is silent just then empties no group.
func TestWhatIsKnownOfASourceIsInherited(t *testing.T) {
	a := netip.MustParseAddr("10.0.0.1")
	of := func(c Discovery) (watcherKey, discovery.Source) {
		key, _ := keyOf(&GroupConfig{Discovery: &c})
		return key.watcher, key.source
	}
	for name, c := range map[string]struct {
		before, after Discovery
		want          discovery.Set
	}{
		"another bound":            {Discovery{DNS: "a", Port: 80, Weight: 1}, Discovery{DNS: "a", Port: 80, Weight: 1, MinTTL: 2}, discovery.Set{{Address: netip.AddrPortFrom(a, 80), Weight: 1}}},
		"another port and weight":  {Discovery{DNS: "a", Port: 80, Weight: 1}, Discovery{DNS: "a", Port: 81, Weight: 9}, discovery.Set{{Address: netip.AddrPortFrom(a, 81), Weight: 9}}},
		"a file, in another way":   {Discovery{File: "f"}, Discovery{File: "f", MinTTL: 2}, discovery.Set{{Address: netip.AddrPortFrom(a, 80), Weight: 1}}},
		"another name":             {Discovery{DNS: "a", Port: 80, Weight: 1}, Discovery{DNS: "b", Port: 80, Weight: 1}, nil},
		"services, and no address": {Discovery{DNS: "a", Port: 80, Weight: 1}, Discovery{DNS: "a", SRV: true}, nil},
	} {
		d := newDiscoverer(nil)
		by, source := of(c.before)
		d.found[sourceKey{by, source}] = discovery.Update{Source: source, Known: true, Set: discovery.Set{{Address: netip.AddrPortFrom(a, 80), Weight: 1}}}
		by, source = of(c.after)
		d.inherit(by, []discovery.Source{source})
		if u := d.found[sourceKey{by, source}]; !u.Set.Equal(c.want) || u.Known != (c.want != nil) {
			t.Errorf("%s: %v is known (%v), want %v", name, u.Set, u.Known, c.want)
		}
	}
}
