package proxy_test

import (
	"strings"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

func TestEveryReasonHasASeriesFromTheBeginning(t *testing.T) {
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{proxytest.NewBackend(t)}})
	now := string(p.Scrape(t))
	for _, reason := range []string{
		"closed", "idle-timeout", "client-reset", "no-memory", proxy.ReasonName(proxy.EndProtocolError), "bad-request", "answer-timeout",
	} {
		for _, metric := range []string{"culvert_tunnels_ended_total", "culvert_exchanges_ended_total"} {
			if series := metric + `{loop="0",reason="` + reason + `"} 0`; !strings.Contains(now, series+"\n") {
				t.Errorf("there is no series %s", series)
			}
		}
	}
	for _, reason := range []string{"none", "unknown", ""} {
		if strings.Contains(now, `reason="`+reason+`"`) {
			t.Errorf("there is a series for the reason %q", reason)
		}
	}
}

func TestTurnsAreAHistogram(t *testing.T) {
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{proxytest.NewBackend(t)}})
	_, _ = p.Tunnel(t)
	now := p.Scrape(t)
	turns := now.Sum("culvert_loop_turn_seconds_count")
	if turns == 0 || turns != now.Sum("culvert_loop_turns_total") || turns != now.Sum("culvert_loop_turn_seconds_bucket", "le=+Inf") {
		t.Errorf("the histogram's count is %v, which is not that of all turns", turns)
	}
	if busy := now.Sum("culvert_loop_busy_seconds_total"); busy == 0 || busy != now.Sum("culvert_loop_turn_seconds_sum") {
		t.Errorf("the histogram's sum is %v, the loops were busy for %v s", now.Sum("culvert_loop_turn_seconds_sum"), busy)
	}
}
