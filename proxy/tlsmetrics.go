package proxy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The metrics of TLS. Handshakes are those of both roles; they run on workers, which all loops share.
var (
	descHandshakes       = description("tls_handshakes_total", "TLS handshakes that are over, with clients and backends, by what came of them.", "result")
	descHandshakesNow    = description("tls_handshakes_active", "TLS handshakes in flight.")
	descHandshakesQueued = description("tls_handshakes_queued", "TLS handshakes in flight that wait for a worker.")
	descHandshakesWaited = description("tls_handshakes_waited_total", "TLS handshakes that had to wait because --tls-handshakes-max were in flight.")
	descHandshakesLine   = description("tls_handshakes_waiting", "TLS handshakes that wait so now; while there are some with clients, the loop's HTTPS listeners do not accept.", "loop")
	descHandshakesShed   = description("tls_handshakes_shed_total", "TLS handshakes that were given up because their clients were silent and others waited.", "loop")
	descResumed          = description("tls_sessions_resumed_total", "TLS sessions that were resumed, with clients and backends.", "loop")
	descAlerts           = description("tls_alerts_total", "TLS handshakes that failed with an alert, sent or received.", "alert")
	descNotAfter         = description("tls_certificate_not_after_seconds", "When a certificate ends, in seconds since 1970.", "listener", "file", "name", "key")
)

// tls tells of handshakes and certificates.
func (c *collector) tls(out chan<- prometheus.Metric, gauge func(*prometheus.Desc, float64, ...string), current *site) {
	type series struct{ listener, file, name, kind string }
	told := make(map[series]bool)
	for _, l := range current.tls {
		for _, e := range l.Expiry() {
			s := series{l.Options().Name, e.File, e.Name, e.Kind}
			if !told[s] { // one file may be named twice
				told[s] = true
				gauge(descNotAfter, float64(e.NotAfter.UnixNano())/float64(time.Second), s.listener, s.file, s.name, s.kind)
			}
		}
	}
	c.server.mu.Lock()
	workers := c.server.workers
	c.server.mu.Unlock()
	if workers == nil {
		return
	}
	stats := workers.Stats()
	gauge(descHandshakesNow, float64(stats.InFlight))
	gauge(descHandshakesQueued, float64(stats.Queued))
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	counter(descHandshakesWaited, stats.Waited)
	counter(descHandshakes, stats.Done, "done")
	counter(descHandshakes, stats.Failed, "failed")
	counter(descHandshakes, stats.Abandoned, "abandoned")
	for alert, n := range stats.Alerts {
		counter(descAlerts, n, alert.String())
	}
}
