package proxy

import (
	"strconv"
	"time"

	"culvert/engine"
	"culvert/proxy/limit"

	"github.com/prometheus/client_golang/prometheus"
)

// scrapeWait is how long a scrape waits for a loop to hand out its counters. A loop that does not answer is left out.
const scrapeWait = time.Second

// collector asks every loop for a copy of its plain counters when it is scraped. It may be used from any goroutine.
type collector struct{ server *Server }

func newCollector(s *Server) *collector { return &collector{server: s} }

// snapshot is one loop's counters at one moment.
type snapshot struct {
	loop               string
	engine             engine.Counters
	proxy              counters
	exchanges, streams int
	idleBackends       int
	tunnels            int
	timers             int
	handshakesWaiting  int
	checked            int
}

// snapshots asks all loops at once.
func (c *collector) snapshots() []snapshot {
	c.server.mu.Lock()
	shards, running := c.server.shards, c.server.state == serverRunning
	c.server.mu.Unlock()
	if !running {
		return nil
	}
	answers := make(chan snapshot, len(shards))
	asked := 0
	for _, h := range shards {
		if h.loop.Post(func() { answers <- h.snapshot() }) {
			asked++
		}
	}
	timer := time.NewTimer(scrapeWait)
	defer timer.Stop()
	var list []snapshot
	for range asked {
		select {
		case one := <-answers:
			list = append(list, one)
		case <-timer.C:
			return list
		}
	}
	return list
}

func (h *shard) snapshot() snapshot {
	ended := uint64(0)
	for _, n := range h.counters.tunnelsEnded {
		ended += n
	}
	return snapshot{
		loop: h.loop.Name(), engine: h.loop.Counters, proxy: h.counters, exchanges: h.exchanges.count,
		streams: h.streams.count, idleBackends: h.pool.all.count, tunnels: int(h.counters.tunnelsOpened - ended), timers: h.loop.Wheel.Len(),
		handshakesWaiting: len(h.lines[engine.SideClient].waiting) + len(h.lines[engine.SideBackend].waiting), checked: len(h.checks),
	}
}

func description(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("culvert_"+name, help, labels, nil)
}

// The metrics that are not one engine counter each; those are in engineMetrics.
var (
	descTunnelsActive  = description("tunnels_active", "WebSocket tunnels open now.", "loop")
	descTunnelsOpened  = description("tunnels_opened_total", "WebSocket tunnels opened.", "loop")
	descTunnelsEnded   = description("tunnels_ended_total", "WebSocket tunnels ended, by reason.", "loop", "reason")
	descMessages       = description("tunnel_messages_total", "WebSocket messages (text and binary) in tunnels, by the side that sent them.", "loop", "from")
	descBytes          = description("relayed_bytes_total", "Bytes relayed in tunnels and answers, by the side that sent them.", "loop", "from")
	descConnections    = description("client_connections_total", "Client connections accepted and admitted.", "loop")
	descActive         = description("client_connections_active", "Client connections now, tunnels included.")
	descDropped        = description("dropped_total", "Client connections closed when accepted, and requests refused, because a limit of the instance was reached: the flag's name, or that of the configuration's key.", "loop", "limit")
	descMoved          = description("client_connections_moved_total", "Client connections passed on to a loop with fewer.", "loop")
	descMost           = description("client_connections_max", "Most client connections at once: --max-connections or what the descriptors allow.")
	descRequests       = description("requests_total", "Requests whose head was read.", "loop")
	descExchangesEnded = description("exchanges_ended_total", "Requests that did not become a tunnel, by the reason of their end.", "loop", "reason")
	descStatuses       = description("responses_total", "Answers to clients by class of status; 1xx are tunnels.", "loop", "class")
	descLimits         = description("http_limits_reached_total", "Messages that reached a limit of HTTP, by the limit: the flag's name where there is one.", "loop", "limit")
	descRetries        = description("dial_retries_total", "Dials of a further backend after one that failed.", "loop")
	descReused         = description("backend_connections_reused_total", "Requests sent on a connection that had served others before.", "loop")
	descResent         = description("requests_resent_total", "Requests sent once more because their reused connection was dead.", "loop")
	descBackendIdle    = description("backend_connections_idle", "Connections to backends kept between requests.", "loop")
	descPending        = description("exchanges_active", "Requests before the head of their answer.", "loop")
	descTurn           = description("loop_turn_seconds", "Lag: how long single turns of the event loop took, in seconds.", "loop")
	descTimers         = description("timers", "Deadlines in the timing wheel.", "loop")
	descBackendActive  = description("backend_connections_active", "Connections to a backend now, those being dialed included.", "group", "backend", "address")
	descBackendFailed  = description("backend_dial_failures_total", "Dials of a backend that failed.", "group", "backend", "address")
	descBackendWeight  = description("backend_weight", "Weight of a backend that counts: the configured one, or another that was ordered.", "group", "backend", "address")
	descLogDropped     = description("access_log_dropped_total", "Lines of the access log that were dropped because their writer was too slow.")
	descUtilisation    = description("limit_utilisation_ratio", "How much of a limit of the instance is used, 0 to 1; of rates, over the last second or so.", "limit")
	descUncounted      = description("client_limit_uncounted_total", "Connections or requests let through without being counted because the table of clients was full.", "limit")
	descReloads        = description("reloads_total", "Configurations taken over since the start.")
	descRefused        = description("reloads_refused_total", "Configurations that were wrong, or could not be taken over: the old one stays.")
	descSites          = description("configurations_held", "Configurations in memory: the present one, and those not collected yet.")
	descInfo           = description("build_info", "Always 1; the labels name the build.", "version")
	descShuttingDown   = description("shutting_down", "1 from the moment a shutdown was asked for.")
)

// engineMetric is one plain counter of the engine.
type engineMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	scale float64
	value func(*engine.Counters) uint64
}

var engineMetrics = func() []engineMetric {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	metric := func(name, help string, kind prometheus.ValueType, scale float64, value func(*engine.Counters) uint64) engineMetric {
		return engineMetric{desc: description(name, help, "loop"), kind: kind, scale: scale, value: value}
	}
	return []engineMetric{
		metric("loop_turns_total", "Turns of the event loop.", counter, 1, func(c *engine.Counters) uint64 { return c.Turns }),
		metric("loop_waits_total", "System calls that waited for events.", counter, 1, func(c *engine.Counters) uint64 { return c.Waits }),
		metric("loop_interrupts_total", "Waits for events that the runtime interrupted.", counter, 1, func(c *engine.Counters) uint64 { return c.Interrupts }),
		metric("loop_parks_total", "Times the event loop went to sleep.", counter, 1, func(c *engine.Counters) uint64 { return c.Parks }),
		metric("loop_events_total", "Events dispatched.", counter, 1, func(c *engine.Counters) uint64 { return c.Events }),
		metric("loop_stale_events_total", "Events whose connection was gone before they arrived.", counter, 1, func(c *engine.Counters) uint64 { return c.StaleEvents }),
		metric("loop_busy_seconds_total", "Time spent in turns, in seconds.", counter, 1e-9, func(c *engine.Counters) uint64 { return c.BusyNanos }),
		metric("loop_posts_refused_total", "Tasks refused because the loop's mailbox was full.", counter, 1, func(c *engine.Counters) uint64 { return c.PostsRefused }),
		metric("accepts_total", "Connections accepted.", counter, 1, func(c *engine.Counters) uint64 { return c.Accepted }),
		metric("accept_pauses_total", "Times a listener paused because no descriptor was left.", counter, 1, func(c *engine.Counters) uint64 { return c.AcceptPauses }),
		metric("accept_suspensions_total", "Times a listener paused because TLS handshakes had to wait.", counter, 1, func(c *engine.Counters) uint64 { return c.AcceptSuspensions }),
		metric("dials_total", "Attempts to connect to a backend.", counter, 1, func(c *engine.Counters) uint64 { return c.Dials }),
		metric("dial_failures_total", "Attempts to connect to a backend that were refused or failed at once.", counter, 1, func(c *engine.Counters) uint64 { return c.DialFailures }),
		metric("relay_pauses_total", "Times a source was paused because the other side was full.", counter, 1, func(c *engine.Counters) uint64 { return c.Pauses }),
		metric("relay_pending_bytes", "Bytes held now because the other side did not take them.", gauge, 1, func(c *engine.Counters) uint64 { return c.PendingBytes }),
		metric("relay_pending_peak_bytes", "Most bytes of memory that one direction of a relay ever held; what is in a pipe is not among them.", gauge, 1, func(c *engine.Counters) uint64 { return c.PendingPeak }),
		metric("spliced_bytes_total", "Bytes that went from socket to socket without entering user space.", counter, 1, func(c *engine.Counters) uint64 { return c.Spliced }),
		metric("splice_pipes_open", "Pipes for splicing open now.", gauge, 1, func(c *engine.Counters) uint64 { return c.PipesOpen }),
		metric("splice_pipes_refused_total", "Times no pipe was to be had and payload was copied.", counter, 1, func(c *engine.Counters) uint64 { return c.PipesRefused }),
		metric("buffer_bytes", "Capacity of all buffers in use, and what pipes hold, now.", gauge, 1, func(c *engine.Counters) uint64 { return c.HeldBytes }),
		metric("buffer_peak_bytes", "Most of buffer_bytes so far.", gauge, 1, func(c *engine.Counters) uint64 { return c.HeldPeak }),
		metric("buffer_tight_turns_total", "Turns with over half of the buffer memory used, in which reads are small.", counter, 1, func(c *engine.Counters) uint64 { return c.ReadsShrunk }),
		metric("relays_shed_total", "Relays ended because the buffer memory was used up.", counter, 1, func(c *engine.Counters) uint64 { return c.RelaysShed }),
		metric("requests_shed_total", "Requests given up before their answer because the buffer memory was used up.", counter, 1, func(c *engine.Counters) uint64 { return c.WorkShed }),
		metric("relay_inserts_refused_total", "Frames of our own that found the queue full.", counter, 1, func(c *engine.Counters) uint64 { return c.InsertsRefused }),
		metric("lingering_closes_active", "Lingering closes under way.", gauge, 1, func(c *engine.Counters) uint64 { return c.Lingering }),
		metric("lingering_closes_cut_total", "Lingering closes that reached their bound.", counter, 1, func(c *engine.Counters) uint64 { return c.LingerCut }),
	}
}()

// Describe implements prometheus.Collector: the metrics are known only when they are collected.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	for _, one := range c.snapshots() {
		one.collect(out)
	}
	s := c.server
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	current := s.site.Load()
	weights := current.weights
	for _, b := range s.registry.all() {
		gauge(descBackendActive, float64(b.active.Load()), b.group, b.name(), b.where())
		weight := weights[b]
		if o := b.orders.Load(); o != nil && o.weight >= 0 {
			weight = o.weight
		}
		gauge(descBackendWeight, float64(weight), b.group, b.name(), b.where())
		out <- prometheus.MustNewConstMetric(descBackendFailed, prometheus.CounterValue, float64(b.failures.Load()), b.group, b.name(), b.where())
	}
	c.balancing(out, gauge, current)
	c.limits(out, gauge, current)
	c.tls(out, gauge, current)
	out <- prometheus.MustNewConstMetric(descReloads, prometheus.CounterValue, float64(s.reloads.Load()))
	out <- prometheus.MustNewConstMetric(descRefused, prometheus.CounterValue, float64(s.refused.Load()))
	gauge(descSites, float64(s.sites.Load()))
	gauge(descMost, float64(current.config.Limits.Connections))
	gauge(descActive, float64(s.active.Load()))
	gauge(descInfo, 1, s.config.Version)
	down := 0.0
	if s.shuttingDown.Load() {
		down = 1
	}
	gauge(descShuttingDown, down)
	if s.logs.Dropped != nil {
		out <- prometheus.MustNewConstMetric(descLogDropped, prometheus.CounterValue, float64(s.logs.Dropped()))
	}
}

// limits tells how much is used of the limits that there are.
func (c *collector) limits(out chan<- prometheus.Metric, gauge func(*prometheus.Desc, float64, ...string), current *site) {
	s, now := c.server, engine.Monotonic()
	gauge(descUtilisation, float64(s.active.Load())/float64(current.config.Limits.Connections), dropNames[dropConnections])
	if r := s.limits.newConnections.Load(); r != nil {
		gauge(descUtilisation, r.Utilisation(now), dropNames[dropNewConnections])
	}
	if r := s.limits.requests.Load(); r != nil {
		gauge(descUtilisation, r.Utilisation(now), dropNames[dropRequests])
	}
	for reason, clients := range map[dropReason]*limit.Clients{
		dropClientNew: s.limits.clientNewConnections.Load(), dropClientRequests: s.limits.clientRequests.Load(),
	} {
		if clients != nil {
			out <- prometheus.MustNewConstMetric(descUncounted, prometheus.CounterValue, float64(clients.Overflow()), dropNames[reason])
		}
	}
	if most := s.limits.bandwidth.limit.Load(); most > 0 {
		gauge(descUtilisation, float64(s.limits.bandwidth.rate.Load())/float64(most), dropNames[dropBandwidth])
	}
}

func (one *snapshot) collect(out chan<- prometheus.Metric) {
	emit := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, append([]string{one.loop}, labels...)...)
	}
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	for i := range engineMetrics {
		m := &engineMetrics[i]
		emit(m.desc, m.kind, float64(m.value(&one.engine))*m.scale)
	}
	out <- prometheus.MustNewConstHistogram(descTurn, one.engine.Turns, float64(one.engine.BusyNanos)*1e-9, one.engine.TurnDurations(), one.loop)
	p := &one.proxy
	emit(descTunnelsActive, gauge, float64(one.tunnels))
	emit(descTunnelsOpened, counter, float64(p.tunnelsOpened))
	emit(descConnections, counter, float64(p.connections))
	for reason, n := range p.dropped {
		emit(descDropped, counter, float64(n), dropNames[reason])
	}
	emit(descMoved, counter, float64(p.movedConnections))
	emit(descRequests, counter, float64(p.requests))
	emit(descRetries, counter, float64(p.retries))
	emit(descRetriesRefused, counter, float64(p.retriesRefused))
	emit(descQueued, counter, float64(p.queued))
	emit(descChecked, gauge, float64(one.checked))
	emit(descChecks, counter, float64(p.checks[0]), "good")
	emit(descChecks, counter, float64(p.checks[1]), "bad")
	emit(descReused, counter, float64(p.reused))
	emit(descResent, counter, float64(p.resent))
	emit(descBackendIdle, gauge, float64(one.idleBackends))
	emit(descPending, gauge, float64(one.exchanges))
	emit(descTimers, gauge, float64(one.timers))
	emit(descHandshakesLine, gauge, float64(one.handshakesWaiting))
	emit(descHandshakesShed, counter, float64(p.handshakesShed))
	emit(descResumed, counter, float64(p.handshakesResumed))
	for side := range p.messages {
		from := engine.Side(side).String()
		emit(descMessages, counter, float64(p.messages[side]), from)
		emit(descBytes, counter, float64(one.engine.Relayed[side]), from)
	}
	for reason := range endReasons {
		name := ReasonName(reason)
		if name == "unknown" || reason == engine.EndNone {
			continue
		}
		// Those that have not occurred yet, too: a rate needs a series that begins at 0.
		emit(descTunnelsEnded, counter, float64(p.tunnelsEnded[reason]), name)
		emit(descExchangesEnded, counter, float64(p.exchangesEnded[reason]), name)
	}
	for limit, n := range p.limits {
		emit(descLimits, counter, float64(n), httpLimitNames[limit])
	}
	for class, n := range p.statuses {
		if class > 0 {
			emit(descStatuses, counter, float64(n), strconv.Itoa(class)+"xx")
		}
	}
}
