package proxy

import (
	"io"
	"net/netip"

	"culvert/engine"
	"culvert/proxy/ws"

	"github.com/rs/zerolog"
)

// accessLog writes one JSON line per event to a writer that must never block. One per loop, owned by it: the scratch
// buffer is its own.
type accessLog struct {
	logger  zerolog.Logger
	scratch []byte
	off     bool
}

func newAccessLog(w io.Writer) accessLog {
	if w == nil {
		return accessLog{off: true}
	}
	return accessLog{logger: zerolog.New(w), scratch: make([]byte, 0, 64)}
}

// begin starts a line: time, event, id.
func (a *accessLog) begin(event string, id uint64, now int64) *zerolog.Event {
	e := a.logger.Log()
	a.scratch = appendLogTime(a.scratch[:0], now)
	e.Bytes("time", a.scratch)
	e.Str("event", event)
	a.scratch = appendID(a.scratch[:0], id)
	return e.Bytes("id", a.scratch)
}

func (a *accessLog) address(e *zerolog.Event, key string, address netip.AddrPort) {
	a.scratch = address.AppendTo(a.scratch[:0])
	e.Bytes(key, a.scratch)
}

func (a *accessLog) client(e *zerolog.Event, client netip.Addr) {
	a.scratch = client.AppendTo(a.scratch[:0])
	e.Bytes("client", a.scratch)
}

// backend writes which backend it was: its group, what it is called there, and where it is.
func (a *accessLog) backend(e *zerolog.Event, b *backend) {
	e.Str("group", b.group).Str("backend", b.name())
	if b.path != "" {
		e.Str("backend_address", b.path)
		return
	}
	a.address(e, "backend_address", b.address)
}

// schemes are how a client has come, by whether it was over TLS.
var schemes = map[bool]string{false: "http", true: "https"}

// request writes what is known of a request.
func (a *accessLog) request(e *zerolog.Event, r *record) {
	a.client(e, r.client)
	a.address(e, "peer", r.peer)
	a.address(e, "listener", r.listener)
	if r.name != "" {
		e.Str("listener_name", r.name)
	}
	if len(r.text) > 0 {
		e.Str("protocol", r.version.String()).Str("scheme", schemes[r.secure])
		for i, key := range [recordTexts]string{"method", "host", "uri", "user_agent", "referer", "x_forwarded_for"} {
			if value := r.textAt(i); len(value) > 0 {
				e.Bytes(key, value)
			}
		}
	}
	if t := r.transport; t != nil && t.version != 0 {
		e.Str("tls_version", t.version.String()).Str("tls_cipher", t.suite.String()).Bool("tls_resumed", t.resumed)
		if t.name != "" {
			e.Str("tls_name", t.name)
		}
	}
	e.Int("request_bytes", r.received).Int("status", r.status)
	if r.rule != "" {
		e.Str("rule", r.rule)
	}
	if r.backend != nil {
		a.backend(e, r.backend)
		e.Int("tries", r.tries)
	}
	if r.upstream != 0 {
		e.Int("backend_status", r.upstream)
	}
	if r.headDone != 0 {
		e.Float64("request_ms", millis(r.accepted, r.headDone))
	}
	if r.waited != 0 {
		e.Float64("queue_ms", millis(r.headDone, r.headDone+r.waited))
	}
	if r.dialed != 0 {
		e.Float64("connect_ms", millis(r.headDone+r.waited, r.dialed))
	}
	if r.answered != 0 {
		e.Float64("answer_ms", millis(r.dialed, r.answered))
	}
}

func (a *accessLog) outcome(e *zerolog.Event, o engine.Outcome, detail string) {
	e.Str("reason", ReasonName(o.Reason)).Str("by", o.By.String())
	if detail != "" {
		e.Str("detail", detail)
	}
}

// exchange logs an exchange that did not become a tunnel, when it is over. group is whose servers it was for.
func (a *accessLog) exchange(r *record, group string, o engine.Outcome, now int64) {
	if a.off {
		return
	}
	e := a.begin("request", r.id, now)
	a.request(e, r)
	if r.backend == nil && group != "" { // else it stands beside the backend
		e.Str("group", group)
	}
	a.outcome(e, o, r.detail)
	e.Uint64("body_bytes", r.sent).Float64("duration_ms", millis(r.accepted, now)).Send()
}

// tunnelOpen logs a tunnel that begins.
func (a *accessLog) tunnelOpen(r *record, now int64) {
	if a.off {
		return
	}
	e := a.begin("tunnel-open", r.id, now)
	a.request(e, r)
	e.Send()
}

// tunnelEnd logs a tunnel that has ended.
func (a *accessLog) tunnelEnd(t *tunnel, o engine.Outcome, now int64) {
	if a.off {
		return
	}
	e := a.begin("tunnel-end", t.record.id, now)
	a.client(e, t.record.client)
	e.Str("host", t.record.host()).Str("uri", t.record.uri()).Int("status", 101)
	a.backend(e, t.record.backend)
	a.outcome(e, o, t.detail(o.Reason))
	e.Float64("duration_ms", millis(t.record.opened, now))
	for side, key := range [...]string{engine.SideClient: "from_client", engine.SideBackend: "from_backend"} {
		scanner := &t.stages[side].scanner
		d := directionEntry(zerolog.Dict(), t.relay.Bytes(engine.Side(side)), scanner)
		if transportOf(t.relay.Ends()[side]).truncated() {
			d.Bool("tls_truncated", true)
		}
		e.Dict(key, d)
	}
	e.Send()
}

func directionEntry(d *zerolog.Event, bytes uint64, scanner *ws.Scanner) *zerolog.Event {
	n := scanner.Counts()
	d.Uint64("bytes", bytes).Uint64("text", n.Text).Uint64("binary", n.Binary)
	d.Uint32("ping", n.Ping).Uint32("pong", n.Pong)
	if code, ok := closeCode(scanner); ok {
		d.Uint16("close_code", code)
	}
	if scanner.CloseInvalid() {
		d.Bool("close_invalid", true)
	}
	return d
}
