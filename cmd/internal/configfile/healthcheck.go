package configfile

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"culvert/cmd/internal/settings"
	"culvert/proxy/health"
)

// checkKinds are what checks do, by their words; goodClasses the answers that may be good.
var (
	checkKinds  = map[string]health.Kind{"http": health.HTTP, "tcp": health.TCP, "websocket": health.WebSocket}
	goodClasses = []struct {
		word  string
		class health.Classes
	}{{"2xx", health.Class2xx}, {"3xx", health.Class3xx}, {"4xx", health.Class4xx}, {"5xx", health.Class5xx}}
)

const (
	off         = "off"
	goodAllowed = "2xx, 3xx, 4xx, 5xx"
	hostAllowed = "a host such as app.example.com, with a port or without"
	maxHost     = 255
)

// checkFields are the keys of health checks.
var checkFields = sync.OnceValue(func() []field[health.Settings] {
	return append([]field[health.Settings]{
		wordField("kind", "http (the default), tcp, websocket", "A request and its answer, a connection, or a WebSocket with a ping and a pong.",
			func(to *health.Settings, word string) { to.Kind = checkKinds[word] }, "http", "tcp", "websocket"),
		wordField("method", "HEAD (the default), GET", "The request's method.", func(to *health.Settings, word string) { to.Method = word }, "HEAD", "GET"),
		flagField("path", "check-path", "What HTTP and WebSocket checks ask for; `/`, if not given.", func(to *health.Settings, path settings.CheckPath) { to.Path = string(path) }),
		rangeField("host", hostAllowed, textShape, "Sent as Host; what is connected to, if none is given.", readCheckHost, func(to *health.Settings, host string) { to.Host = host }),
		rangeField("port", portAllowed, countShape(1, 65535), "Connected to in place of the server's own port.", readPort, func(to *health.Settings, port uint16) { to.Port = port }),
		{
			key: "good", shape: oneOrMore(wordsShape("2xx", "3xx", "4xx", "5xx")), allowed: goodAllowed, help: "The classes of good answers; 2xx and 3xx, if none are given.",
			read: readGood,
		},
	}, paceFields()...)
})

// paceFields say when checks are made, and how many count.
func paceFields() []field[health.Settings] {
	return []field[health.Settings]{
		flagField("interval", "check-interval", "From the beginning of one check to that of the next; 2s, if not given.", func(to *health.Settings, d time.Duration) { to.Interval = int64(d) }),
		flagField("timeout", "check-timeout", "How long a check may take; 5s, if not given.", func(to *health.Settings, d time.Duration) { to.Timeout = int64(d) }),
		flagField("healthy", "check-healthy", "Good checks in a row that bring a server back; 3, if not given. The first of all counts at once.", func(to *health.Settings, n int) { to.Healthy = n }),
		flagField("unhealthy", "check-unhealthy", "Bad checks in a row that take a server out; 3, if not given. The first of all counts at once.", func(to *health.Settings, n int) { to.Unhealthy = n }),
	}
}

func readCheckHost(text string) (string, error) {
	if text == "" || len(text) > maxHost {
		return "", fmt.Errorf("not of 1 to %d characters", maxHost)
	}
	for _, c := range text {
		if !strings.ContainsRune(nameLetters+":[]", c) {
			return "", fmt.Errorf("%+q cannot stand in a host", c)
		}
	}
	return text, nil
}

func readPort(text string) (uint16, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("not a port")
	}
	return uint16(port), nil
}

func readGood(r *reader, n *node, to *health.Settings) {
	to.Good = 0
	if n.kind == list && len(n.items) == 0 {
		r.fail(n.place, "good: an empty list; then no answer would be good")
	}
	items, _ := r.list(n)
	for _, item := range items {
		word, _ := r.word(item, "2xx", "3xx", "4xx", "5xx")
		for _, good := range goodClasses {
			if good.word == word {
				to.Good |= good.class
			}
		}
	}
}

func checkShape() shape { return anyOf(flagShape(flagNamed("check")), ref("check")) }

// checkOf returns the checks of a kind of which nothing else is said; nil: off.
func checkOf(word string) *health.Settings {
	kind, ok := checkKinds[word]
	if !ok {
		return nil
	}
	s := health.DefaultSettings()
	s.Kind = kind
	return &s
}

// healthCheck reads a kind, or a mapping; nil: off, or wrong.
func (r *reader) healthCheck(n *node) *health.Settings {
	if !r.wordOrMapping(n) {
		return nil
	}
	if n.kind == scalar {
		word, _ := decoded[string](r, n, "check")
		return checkOf(word)
	}
	s := checkOf("http")
	before := len(r.problems.Errors())
	values, ok := readMapping(r, n, checkFields(), s)
	if !ok || len(r.problems.Errors()) > before {
		return nil
	}
	unused := map[health.Kind][]string{health.TCP: {"method", "path", "host", "good"}, health.WebSocket: {"method", "good"}}[s.Kind]
	for _, key := range unused {
		if values[key] != nil {
			r.fail(values[key].place, "%s: a check of kind: %s has none", key, s.Kind)
		}
	}
	return s
}

// checkText writes checks as a file says them.
func checkText(s *health.Settings) string {
	if s == nil {
		return off
	}
	parts := []string{"kind: " + s.Kind.String()}
	if s.Kind == health.HTTP {
		parts = append(parts, "method: "+s.Method)
	}
	if s.Kind != health.TCP {
		parts = append(parts, "path: "+quote(s.Path))
	}
	if s.Host != "" {
		parts = append(parts, "host: "+quote(s.Host))
	}
	if s.Port != 0 {
		parts = append(parts, fmt.Sprintf("port: %d", s.Port))
	}
	if s.Kind == health.HTTP {
		var good []string
		for _, one := range goodClasses {
			if s.Good&one.class != 0 {
				good = append(good, one.word)
			}
		}
		parts = append(parts, "good: "+quoteList(good))
	}
	parts = append(parts, fmt.Sprintf("interval: %s, timeout: %s, healthy: %d, unhealthy: %d",
		settings.DurationText(time.Duration(s.Interval)), settings.DurationText(time.Duration(s.Timeout)), s.Healthy, s.Unhealthy))
	return "{" + strings.Join(parts, ", ") + "}"
}

// outlierFields are the keys of outliers.
var outlierFields = sync.OnceValue(func() []field[health.OutlierSettings] {
	return []field[health.OutlierSettings]{
		countField("failures", settings.Range{Min: "1", Max: "100"}, "Failed requests in a row, over all clients, for which a server is ejected; 5, if not given.",
			func(to *health.OutlierSettings, n int) { to.Failures = n }),
		durationField("base", settings.Range{Min: "1s", Max: "1h"}, "How long the first ejection lasts; 10s, if not given. The second one lasts twice as long, and so on.",
			func(to *health.OutlierSettings, d time.Duration) { to.Base = int64(d) }),
		durationField("longest", settings.Range{Min: "1s", Max: "24h"}, "The longest ejection; 5m, if not given.",
			func(to *health.OutlierSettings, d time.Duration) { to.Longest = int64(d) }),
		percentField("most-ejected", settings.Range{Min: "0", Max: "100"}, "The part of the servers that may be ejected at the same time, rounded down; 50%, if not given.",
			func(to *health.OutlierSettings, n int) { to.MostEjected = n }),
	}
})

const outliersAllowed = "off, or a mapping such as {failures: 5}"

func outliersShape() shape { return anyOf(wordsShape(off), ref("outliers")) }

func defaultOutliers() *health.OutlierSettings {
	s := health.DefaultOutlierSettings()
	return &s
}

// outliers reads the word off, or a mapping; nil: off, or wrong.
func (r *reader) outliers(n *node) *health.OutlierSettings {
	if !r.wordOrMapping(n) {
		return nil
	}
	if n.kind == scalar {
		if n.text != off {
			r.wrong(n, n.text, "unknown", outliersAllowed)
		}
		return nil
	}
	s := defaultOutliers()
	before := len(r.problems.Errors())
	values, ok := readMapping(r, n, outlierFields(), s)
	if !ok || len(r.problems.Errors()) > before {
		return nil
	}
	if values["longest"] == nil {
		s.Longest = max(s.Longest, s.Base)
	} else if s.Longest < s.Base {
		r.fail(values["longest"].place, "longest: less than base, which is %s", settings.DurationText(time.Duration(s.Base)))
	}
	return s
}

// outliersText writes it as a file says it.
func outliersText(s *health.OutlierSettings) string {
	if s == nil {
		return off
	}
	return fmt.Sprintf("{failures: %d, base: %s, longest: %s, most-ejected: %d%%}", s.Failures, settings.DurationText(time.Duration(s.Base)),
		settings.DurationText(time.Duration(s.Longest)), s.MostEjected)
}
