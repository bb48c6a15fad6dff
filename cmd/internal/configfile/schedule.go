package configfile

import (
	"strconv"
	"strings"
	"sync"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
)

const (
	maxLoadFactor     = 100
	loadFactorAllowed = "0 (no bound), or 1 to 100"
	hashAlgorithm     = "hash"
)

const (
	scheduleHelp = "How a server is chosen; `wrr`, if not given."
	orBalancing  = "; or a mapping, see [balancing.md](balancing.md)"
)

// scheduleFields are the keys of a schedule.
var scheduleFields = sync.OnceValue(func() []field[proxy.Schedule] {
	return []field[proxy.Schedule]{
		flagField("algorithm", "schedule", "The algorithm. Required.", func(to *proxy.Schedule, word string) { to.Algorithm = word }),
		flagField("hash-by", "hash-by", "The part of a request by which `hash` goes; `address`, if not given: that of the client, trusted proxies seen through. Requests without it are spread by load.",
			func(to *proxy.Schedule, part settings.HashBy) { to.HashBy = hashKeyOf(part) }),
		rangeField("load-factor", loadFactorAllowed, shape{"type": "number", "minimum": 0, "maximum": maxLoadFactor},
			"How many times its share of the connections a server may have under `hash` before others take what is beyond; 0, if not given.",
			readLoadFactor, func(to *proxy.Schedule, factor float64) { to.LoadFactor = factor }),
	}
})

func readLoadFactor(text string) (float64, error) {
	factor, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || strings.Trim(text, "0123456789.") != "": // no NaN, no exponent, no sign
		return 0, errNoNumber
	case factor != 0 && factor < 1:
		return 0, errBelow
	case factor > maxLoadFactor:
		return 0, errAbove
	}
	return factor, nil
}

// hashKeyOf translates what hash goes by.
func hashKeyOf(by settings.HashBy) proxy.HashKey {
	kind := map[string]proxy.HashKind{
		"address": proxy.HashAddress, "header": proxy.HashHeader, "cookie": proxy.HashCookie, "query": proxy.HashQuery, "path": proxy.HashPath,
	}[by.Part]
	return proxy.HashKey{Kind: kind, Name: by.Name}
}

// hashText writes it as a file says it.
func hashText(key proxy.HashKey) string {
	word := [...]string{proxy.HashAddress: "address", proxy.HashHeader: "header", proxy.HashCookie: "cookie", proxy.HashQuery: "query", proxy.HashPath: "path"}[key.Kind]
	if key.Name == "" {
		return word
	}
	return word + ":" + key.Name
}

func scheduleShape() shape { return anyOf(flagShape(flagNamed("schedule")), ref("schedule")) }

func scheduleAllowed() string { return flagNamed("schedule").Allowed + orBalancing }

// schedule reads an algorithm, or a mapping.
func (r *reader) schedule(n *node) (proxy.Schedule, bool) {
	if !r.wordOrMapping(n) {
		return proxy.Schedule{}, false
	}
	if n.kind == scalar {
		word, ok := decoded[string](r, n, "schedule")
		return proxy.Schedule{Algorithm: word}, ok
	}
	s := proxy.Schedule{}
	before := len(r.problems.Errors())
	values, ok := readMapping(r, n, scheduleFields(), &s)
	if !ok || len(r.problems.Errors()) > before {
		return s, false
	}
	if s.Algorithm == "" {
		r.fail(n.place, "schedule: there is no algorithm")
		return s, false
	}
	for _, key := range []string{"hash-by", "load-factor"} {
		if values[key] != nil && s.Algorithm != hashAlgorithm {
			r.fail(values[key].place, "%s: it has no effect without algorithm: hash", key)
		}
	}
	return s, true
}

// scheduleText writes it as a file says it.
func scheduleText(s proxy.Schedule) string {
	if s.Algorithm != hashAlgorithm {
		return s.Algorithm
	}
	return "{algorithm: hash, hash-by: " + quote(hashText(s.HashBy)) + ", load-factor: " + strconv.FormatFloat(s.LoadFactor, 'f', -1, 64) + "}"
}
