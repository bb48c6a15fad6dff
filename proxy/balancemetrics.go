package proxy

import (
	"strconv"
	"time"

	"culvert/engine"
	"culvert/proxy/health"

	"github.com/prometheus/client_golang/prometheus"
)

// The metrics of balancing.
var (
	descStatus         = description("backend_status", "1 for the status in which a backend is: serving, draining, weight-0, down (by its checks) or ejected; else 0.", "group", "backend", "address", "status")
	descShare          = description("backend_share_ratio", "The part of its weight that a backend has while it starts slowly, 0 to 1.", "group", "backend", "address")
	descEjections      = description("backend_ejections_total", "How often a backend was ejected for what became of its requests.", "group", "backend", "address")
	descDiscovered     = description("discovery_servers", "Servers that the source of a group has now.", "group")
	descDiscoveryDoubt = description("discovery_stale", "1 if what a group's source said last, or that it said nothing, is not believed, and what was known before holds; else 0.", "group")
	descAnswers        = description("backend_answers_total", "Answers of a backend by the class of their status, 1xx to 5xx; an opened tunnel is of 1xx.", "group", "backend", "address", "class")
	descAnswerTime     = description("backend_answer_seconds", "How long a backend takes from the request to the head of its answer: a moving average that follows peaks at once, and what least-time goes by.", "group", "backend", "address")
	descHealthy        = description("backends_healthy", "Backends of a group against which neither checks nor requests speak.", "group")
	descUnhealthy      = description("backends_unhealthy", "Backends of a group that fail their checks or are ejected.", "group")
	descWaiting        = description("requests_waiting", "Requests that wait for a backend with a free place.", "group")
	descQueued         = description("requests_queued_total", "Requests that had to wait for a backend with a free place.", "loop")
	descRetriesRefused = description("dial_retries_refused_total", "Dials of a further backend that were not made because there were too many; see retry-share.", "loop")
	descChecked        = description("backends_checked", "Backends that are checked by a loop.", "loop")
	descChecks         = description("health_checks_total", "Health checks that are over.", "loop", "result")
)

// balancing tells how the groups stand.
func (c *collector) balancing(out chan<- prometheus.Metric, gauge func(*prometheus.Desc, float64, ...string), current *site) {
	for _, g := range current.groups {
		standing, counts := g.standing.Load(), [2]float64{}
		for i := range g.members {
			b := g.members[i].backend
			for s := health.Serving; s <= health.Ejected; s++ {
				value := 0.0
				if standing.status[i] == s {
					value = 1
				}
				gauge(descStatus, value, b.group, b.name(), b.where(), s.String())
			}
			out <- prometheus.MustNewConstMetric(descEjections, prometheus.CounterValue, float64(b.ejected.Load()), b.group, b.name(), b.where())
			c.answers(out, gauge, b)
			gauge(descShare, float64(standing.share[i])/health.FullShare, b.group, b.name(), b.where())
			if standing.status[i].Healthy() {
				counts[0]++
			} else {
				counts[1]++
			}
		}
		if servers, stale, ok := c.server.discoverer.standing(&g.config); ok {
			gauge(descDiscovered, float64(servers), g.name)
			gauge(descDiscoveryDoubt, stale, g.name)
		}
		gauge(descHealthy, counts[0], g.name)
		gauge(descUnhealthy, counts[1], g.name)
		gauge(descWaiting, float64(g.queue.waiting.Load()), g.name)
	}
}

// answers tells what a backend has answered, and how fast it does.
func (c *collector) answers(out chan<- prometheus.Metric, gauge func(*prometheus.Desc, float64, ...string), b *backend) {
	for class := 1; class < len(b.answers); class++ {
		out <- prometheus.MustNewConstMetric(descAnswers, prometheus.CounterValue, float64(b.answers[class].Load()), b.group, b.name(), b.where(), strconv.Itoa(class)+"xx")
	}
	if nanoseconds, known := b.latency.Value(engine.Monotonic()); known {
		gauge(descAnswerTime, float64(nanoseconds)/float64(time.Second), b.group, b.name(), b.where())
	}
}
