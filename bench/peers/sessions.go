package peers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"culvert/bench/load"
)

const (
	openPatience    = 20 * time.Second // for the tunnels of a row
	connectsAtOnce  = 16               // tunnels that are made at the same time
	bulkTunnels     = 8
	mixedRate       = 2000  // messages/s of the small ones
	manyRate        = 10000 // messages/s over the tunnels that are used
	handshakePace   = 64    // handshakes in flight while tunnels are opened
	closingPatience = 10 * time.Second
)

// target is where a proxy is connected to: by TLS, if there is something to say of that.
func (p *proxy) target(by *load.TLS) load.Target {
	if by == nil {
		return load.Target{Addresses: []netip.AddrPort{p.address}}
	}
	return load.Target{Addresses: []netip.AddrPort{p.secure}, TLS: by}
}

func openFleet(ctx context.Context, target load.Target, tunnels int) (*load.Fleet, error) {
	return load.Open(ctx, target, load.FleetOptions{Tunnels: tunnels, Loops: 1, Pace: handshakePace, Timeout: openPatience})
}

func closeFleet(ctx context.Context, f *load.Fleet) error {
	ctx, cancel := context.WithTimeout(ctx, closingPatience)
	defer cancel()
	return f.Close(ctx)
}

// meter reads a proxy's CPU time when the measured part of a load begins and ends.
type meter struct {
	proxy      *proxy
	begun, end time.Duration
	err        error
}

func (m *meter) atBegin() { m.read(&m.begun) }
func (m *meter) atEnd()   { m.read(&m.end) }

func (m *meter) read(into *time.Duration) {
	used, err := m.proxy.cpu()
	*into, m.err = used, errors.Join(m.err, err)
}

// perMessage turns a result into a sample whose value is the CPU time per message, in microseconds.
func (m *meter) perMessage(r load.Result, err error) (Sample, error) {
	if err = errors.Join(err, m.err); err != nil {
		return Sample{}, err
	}
	if r.Errors > 0 {
		return Sample{}, fmt.Errorf("%d of %d messages failed", r.Errors, r.Messages+r.Errors)
	}
	if r.Messages == 0 {
		return Sample{}, errNoMessage
	}
	used := m.end - m.begun
	return Sample{
		Value:    float64(used.Nanoseconds()) / 1000 / float64(r.Messages),
		Messages: r.Messages, Seconds: r.Seconds, ProxyCPU: used.Seconds(),
		LatencyP50: r.Latency.P50, LatencyP99: r.Latency.P99, LatencyP999: r.Latency.P999, GeneratorLimited: limit(r),
		Handshakes: r.Handshakes, Resumed: r.Resumed, TLS: r.Agreed,
	}, nil
}

// errNoMessage is the error of a measurement in which no message was sent and came back.
var errNoMessage = errors.New("no message came back in the time that was measured: the machine is too busy")

func limit(r load.Result) string {
	if !r.Limited {
		return ""
	}
	return r.LimitedWhy
}

// echoSession is a fleet of tunnels that all echo.
type echoSession struct {
	proxy *proxy
	fleet *load.Fleet
	plan  load.EchoPlan
}

func (b *Bench) openEcho(ctx context.Context, p *proxy, l echoLoad) (*echoSession, error) {
	fleet, err := openFleet(ctx, p.target(l.tls), l.tunnels)
	if err != nil {
		return nil, err
	}
	return &echoSession{p, fleet, load.EchoPlan{
		Size: l.size, InFlight: max(l.inFlight, 1), Rate: l.rate, WarmUp: warmUp, Duration: b.measured(measured),
	}}, nil
}

// measured is the length of a measured part: the row's own, unless another was asked for.
func (b *Bench) measured(usual time.Duration) time.Duration {
	if b.options.Measured > 0 {
		return b.options.Measured
	}
	return usual
}

func (s *echoSession) run(ctx context.Context) (Sample, error) {
	m := &meter{proxy: s.proxy}
	plan := s.plan
	plan.Begin, plan.End = m.atBegin, m.atEnd
	return m.perMessage(s.fleet.Echo(ctx, plan))
}

func (s *echoSession) measure(ctx context.Context) ([]Sample, error) {
	sample, err := s.run(ctx)
	return []Sample{sample}, err
}

func (s *echoSession) release(ctx context.Context) error { return closeFleet(ctx, s.fleet) }

// connectSession makes tunnels and ends them.
type connectSession struct {
	proxy    *proxy
	tls      *load.TLS // nil: in the clear
	measured time.Duration
}

func (s *connectSession) measure(ctx context.Context) ([]Sample, error) {
	m := &meter{proxy: s.proxy}
	sample, err := m.perMessage(load.Connects(ctx, s.proxy.target(s.tls), load.ConnectPlan{
		Size: sizeSmall, Concurrency: connectsAtOnce, WarmUp: warmUp, Duration: s.measured, Begin: m.atBegin, End: m.atEnd,
	}))
	if err == nil && s.tls != nil {
		err = checkResumed(s.tls, &sample)
	}
	return []Sample{sample}, err
}

func (s *connectSession) release(context.Context) error { return nil }

// getSession sends requests over kept connections, which are made anew for each measurement.
type getSession struct {
	proxy    *proxy
	load     getLoad
	measured time.Duration
}

func (s *getSession) measure(ctx context.Context) ([]Sample, error) {
	m := &meter{proxy: s.proxy}
	sample, err := m.perMessage(load.Gets(ctx, s.proxy.target(nil), load.GetPlan{
		Size: s.load.size, Connections: s.load.connections, WarmUp: warmUp, Duration: s.measured, Begin: m.atBegin, End: m.atEnd,
	}))
	return []Sample{sample}, err
}

func (s *getSession) release(context.Context) error { return nil }

// idleSession measures the memory of a fresh process each time.
type idleSession struct {
	bench     *Bench
	contender Contender
	key       keyKind
	tls       *load.TLS // nil: in the clear
}

func (s *idleSession) measure(ctx context.Context) (samples []Sample, err error) {
	p, err := s.bench.freshProxy(ctx, s.contender, s.key)
	if err != nil {
		return nil, err
	}
	var fleet *load.Fleet
	defer func() {
		// Without the proxy there is nobody to close thousands of tunnels with, which would take most of the time.
		s.bench.stop(p.process)
		if fleet != nil {
			_ = closeFleet(ctx, fleet)
		}
	}()
	without, err := p.memory()
	if err != nil {
		return nil, err
	}
	if fleet, err = openFleet(ctx, p.target(s.tls), idleTunnels); err != nil {
		return nil, err
	}
	sample := func() error {
		with, err := p.memory()
		samples = append(samples, Sample{Value: float64(with-without) / idleTunnels})
		return err
	}
	if err := sample(); err != nil {
		return nil, err
	}
	if err := fleet.Once(ctx, size16K); err != nil {
		return nil, err
	}
	return samples, sample()
}

func (s *idleSession) release(context.Context) error { return nil }

// mixedSession measures small messages at a rate while another process moves large ones.
type mixedSession struct {
	*echoSession
	bench *Bench
}

func openMixed(ctx context.Context, b *Bench, s station) (session, error) {
	small, err := b.openEcho(ctx, s.proxy, echoLoad{tunnels: fewTunnels, size: sizeSmall, rate: mixedRate})
	if err != nil {
		return nil, err
	}
	// The large ones run for a while before the measured part begins.
	small.plan.WarmUp, small.plan.Duration = 2*warmUp, b.measured(latencyMeasured)
	return &mixedSession{small, b}, nil
}

func (s *mixedSession) measure(ctx context.Context) ([]Sample, error) {
	bulk, err := s.bench.hold(ctx, s.proxy, bulkTunnels, size1M)
	if err != nil {
		return nil, err
	}
	defer s.bench.stop(bulk)
	sample, err := s.run(ctx)
	sample.Value = float64(sample.LatencyP99) / 1000
	return []Sample{sample}, errors.Join(err, bulk.running())
}

// manySession measures some tunnels while another process holds thousands: the generator alone could not have those
// of all contenders.
type manySession struct {
	*echoSession
	bench  *Bench
	holder *process
}

func openMany(ctx context.Context, b *Bench, s station) (session, error) {
	holder, err := b.hold(ctx, s.proxy, manyTunnels-fewTunnels, 0)
	if err != nil {
		return nil, err
	}
	used, err := b.openEcho(ctx, s.proxy, echoLoad{tunnels: fewTunnels, size: sizeSmall, rate: manyRate})
	if err != nil {
		b.stop(holder)
		return nil, err
	}
	used.plan.Duration = b.measured(latencyMeasured)
	return &manySession{used, b, holder}, nil
}

func (s *manySession) measure(ctx context.Context) ([]Sample, error) {
	if err := s.holder.running(); err != nil {
		return nil, err
	}
	sample, err := s.run(ctx)
	sample.Value = float64(sample.LatencyP999) / 1000
	return []Sample{sample}, err
}

func (s *manySession) release(ctx context.Context) error {
	s.bench.stop(s.holder)
	return errors.Join(s.echoSession.release(ctx), s.proxy.settle(ctx))
}
