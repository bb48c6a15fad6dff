package discovery

import (
	"math/rand/v2"
	"net/netip"
)

// limits are the options that answers are judged by, in nanoseconds.
type limits struct {
	floor, ceiling int64 // of what a TTL may say
	confirmations  int   // how often it must be said that there is nothing
	confirmOver    int64 // and over how long at least
}

// How long it takes until a question that failed is asked again, in nanoseconds: twice as long each time.
const (
	firstRetry = second
	lastRetry  = 30 * second
)

// belief is what is held to be true of one question: a name's IPv4 addresses, its IPv6 addresses, its services. Owned by
// its name.
//
//	unknown -- found, or nothing confirmed --> known: holds until something else is found, or nothing is confirmed
type belief struct {
	known     bool
	addresses []netip.Addr
	services  []service

	due       int64 // it is asked again
	failures  int   // in a row
	nothing   int   // said in a row that there is nothing
	firstNone int64 // when that began
	doubt     error // why the last answer was not believed
}

// take judges an answer that came at now.
func (b *belief) take(a answer, now int64, l *limits) {
	b.doubt = a.err
	if a.outcome == failed {
		// Being told that there is nothing, and then nothing at all, confirms nothing.
		b.nothing = 0
		wait := min(firstRetry<<min(b.failures, 10), lastRetry)
		b.failures++
		b.due = now + wait*9/10 + rand.Int64N(wait/5)
		return
	}
	b.failures = 0
	b.due = now + min(max(a.ttl, l.floor), l.ceiling)
	if a.outcome == found {
		b.adopt(a)
		return
	}
	if b.known && len(b.addresses)+len(b.services) == 0 {
		b.doubt = nil // it is no news
		return
	}
	if b.nothing == 0 {
		b.firstNone = now
	}
	b.nothing++
	if b.nothing >= l.confirmations && now-b.firstNone >= l.confirmOver {
		b.adopt(answer{})
		return
	}
	// So often that it is confirmed as soon as it may be.
	b.due = now + max(l.confirmOver/int64(max(l.confirmations-1, 1)), second)
}

// adopt believes an answer.
func (b *belief) adopt(a answer) {
	b.known, b.nothing, b.doubt = true, 0, nil
	b.addresses, b.services = a.addresses, a.services
}

// has reports whether there are addresses.
func (b *belief) has() bool { return len(b.addresses) > 0 }

// settled reports whether there is nothing to be doubted: it is known, and was last confirmed.
func (b *belief) settled() bool { return b.known && b.doubt == nil }
