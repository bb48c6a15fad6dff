package peers

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"culvert/bench/load"
)

const (
	// stormShare is which part of the handshakes that the slowest proxy can make are made beside the echoes, generatorShare
	// the most of what the generator can.
	stormShare, generatorShare = 0.65, 0.8
	// stormRate is how many messages per second the tunnels of each kind echo meanwhile.
	stormRate = 1500
	// stormMeasured is the length of the measured part, stormWarmUp how long the storm goes on before.
	stormMeasured = 800 * time.Millisecond
	stormWarmUp   = 200 * time.Millisecond
	// stormAtOnce bounds the handshakes that are under way: one that is due while there are as many waits.
	stormAtOnce = 4096
	// stormTolerance is by how much the rate of completed handshakes may differ from the one that was intended.
	stormTolerance = 0.05
	// stormWord is what the child that makes handshakes says when the warm-up is over.
	stormWord = "storm"
)

// A Storm is what became of the handshakes beside the echoes of a sample.
type Storm struct {
	Completed float64 `json:"completed_per_second"` // as the clients saw it
	// Of Culvert, by its metrics: handshakes completed, how long 99 % of the loop's turns took at the most, the share of
	// turns that took over a millisecond, and how many handshakes waited for a worker at the end.
	Done      float64 `json:"done_per_second,omitempty"`
	TurnP99   float64 `json:"loop_turn_p99_seconds,omitempty"`
	SlowTurns float64 `json:"loop_slow_turns_share,omitempty"`
	Queued    float64 `json:"queued,omitempty"`
}

// stormWork measures how long small messages take, in the clear and by TLS, while clients come in large numbers.
func stormWork() work {
	row := func(name, kind string) Row {
		return Row{
			Name: name, Title: "TLS storm: p99 of 125 B echo on 100 tunnels " + kind + " while clients make full handshakes", Unit: microseconds,
			Subject: ProgramCulvert, Targets: []Target{against(AnyPeer, 0.5)},
		}
	}
	rate := 0.0
	return work{
		rows:    []Row{row("tls-storm-plain-p99", "in the clear"), row("tls-storm-tls-p99", "by TLS")},
		tunnels: 2*fewTunnels + stormAtOnce,
		nominal: (stormWarmUp + warmUp + stormMeasured).Seconds() + 0.3,
		key:     keyP256,
		begin: func(ctx context.Context, b *Bench, stations []station, rows []Row) (err error) {
			var share float64
			rate, share, err = b.stormRate(ctx, stations)
			for i := range rows {
				rows[i].Rate, rows[i].RateShare = rate, share
			}
			return err
		},
		prepare: func(ctx context.Context, b *Bench, s station) (session, error) { return openStorm(ctx, b, s, rate) },
	}
}

// stormRate finds out how many handshakes per second each proxy can make with all of a CPU, and returns a part of what
// the slowest can, if the generator can do with that.
func (b *Bench) stormRate(ctx context.Context, stations []station) (rate, share float64, err error) {
	slowest, most := math.Inf(1), math.Inf(1)
	for _, s := range stations {
		m := &meter{proxy: s.proxy}
		sample, err := m.perMessage(load.Connects(ctx, s.proxy.target(&fullTLS), load.ConnectPlan{
			HandshakesOnly: true, Concurrency: connectsAtOnce, WarmUp: warmUp, Duration: b.measured(measured), Begin: m.atBegin, End: m.atEnd,
		}))
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", s.title, err)
		}
		slowest = min(slowest, 1e6/sample.Value)
		most = min(most, float64(sample.Messages)/sample.Seconds)
	}
	const step = 10
	rate = max(step, step*math.Floor(min(stormShare*slowest, generatorShare*most)/step))
	return rate, rate / slowest, nil
}

// stormSession echoes on tunnels of both kinds while a process of its own makes handshakes.
type stormSession struct {
	bench         *Bench
	proxy         *proxy
	rate          float64
	plain, secure *echoSession
}

func openStorm(ctx context.Context, b *Bench, s station, rate float64) (session, error) {
	plain, err := b.openEcho(ctx, s.proxy, echoLoad{tunnels: fewTunnels, size: sizeSmall, rate: stormRate})
	if err != nil {
		return nil, err
	}
	secure, err := b.openEcho(ctx, s.proxy, echoLoad{tunnels: fewTunnels, size: sizeSmall, rate: stormRate, tls: &fullTLS})
	if err != nil {
		return nil, errors.Join(err, plain.release(ctx))
	}
	plain.plan.Duration, secure.plan.Duration = b.measured(stormMeasured), b.measured(stormMeasured)
	return &stormSession{b, s.proxy, rate, plain, secure}, nil
}

func (s *stormSession) release(ctx context.Context) error {
	return errors.Join(s.plain.release(ctx), s.secure.release(ctx), s.proxy.settle(ctx))
}

func (s *stormSession) measure(ctx context.Context) ([]Sample, error) {
	child, err := s.bench.startStorm(ctx, s.proxy, s.rate)
	if err != nil {
		return nil, err
	}
	defer s.bench.stop(child.process)
	before, err := s.proxy.scrape(ctx)
	if err != nil {
		return nil, err
	}
	var plain Sample
	failed := make(chan error, 1)
	// goroutine: the tunnels in the clear, ends with their measurement
	go func() {
		var err error
		plain, err = s.plain.run(ctx)
		failed <- err
	}()
	secure, err := s.secure.run(ctx)
	if err = errors.Join(err, <-failed); err != nil {
		return nil, err
	}
	after, err := s.proxy.scrape(ctx)
	if err != nil {
		return nil, err
	}
	result, err := child.end(ctx)
	if err != nil {
		return nil, err
	}
	storm := &Storm{Completed: result.MessagesPerSecond}
	storm.readMetrics(before, after)
	samples := []Sample{plain, secure}
	for i := range samples {
		sample := &samples[i]
		sample.Value, sample.Storm = float64(sample.LatencyP99)/1000, storm
		sample.GeneratorLimited = cmp.Or(sample.GeneratorLimited, result.limit(s.rate))
	}
	return samples, nil
}

// readMetrics takes what Culvert tells of itself; the metrics of others are empty.
func (s *Storm) readMetrics(before, after metrics) {
	if len(after) == 0 {
		return
	}
	const done, turns, bucket = `culvert_tls_handshakes_total{result="done"}`, "culvert_loop_turn_seconds_count", `culvert_loop_turn_seconds_bucket{loop="0",le="`
	s.Done = (after[done] - before[done]) / (after[scrapedAt] - before[scrapedAt])
	s.Queued = after["culvert_tls_handshakes_queued"]
	all := after[turns] - before[turns]
	var bounds []float64
	for name := range after {
		if text, ok := strings.CutPrefix(name, bucket); ok {
			if bound, err := strconv.ParseFloat(strings.TrimSuffix(text, `"}`), 64); err == nil && !math.IsInf(bound, 0) {
				bounds = append(bounds, bound)
			}
		}
	}
	slices.Sort(bounds)
	for _, bound := range bounds {
		name := bucket + strconv.FormatFloat(bound, 'g', -1, 64) + `"}`
		share := (after[name] - before[name]) / all
		if share >= 0.99 && s.TurnP99 == 0 {
			s.TurnP99 = bound
		}
		if bound == 0.001 {
			s.SlowTurns = 1 - share
		}
	}
}

// stormResult is what a child says at its end: a part of what load.Result is written as.
type stormResult struct {
	MessagesPerSecond float64 `json:"messages_per_second"`
	Resumed           uint64  `json:"tls_resumed"`
	Errors            uint64  `json:"errors"`
	FirstError        string  `json:"first_error"`
}

// limit says what is wrong with a storm: other proxies had another one.
func (r *stormResult) limit(rate float64) string {
	switch {
	case r.Errors > 0:
		return fmt.Sprintf("%d handshakes failed: %s", r.Errors, r.FirstError)
	case math.Abs(r.MessagesPerSecond/rate-1) > stormTolerance:
		return fmt.Sprintf("%.0f handshakes/s were completed, not %.0f", r.MessagesPerSecond, rate)
	}
	return ""
}

// MakeStorm makes full TLS handshakes at a rate, says so on out once they go on and, when in ends, what came of them.
// It is what the subcommand storm does.
func MakeStorm(ctx context.Context, target netip.AddrPort, rate float64, in io.Reader, out io.Writer) error {
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	// goroutine: watcher of a storm's input, ends when that does
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, in)
	}()
	defer withoutCollector()()
	by := fullTLS
	result, err := load.Connects(working, load.Target{Addresses: []netip.AddrPort{target}, TLS: &by}, load.ConnectPlan{
		HandshakesOnly: true, Concurrency: stormAtOnce, Rate: rate, WarmUp: stormWarmUp, Duration: floodLimit,
		Begin: func() { fmt.Fprintln(out, stormWord) },
	})
	if ctx.Err() == nil && errors.Is(err, context.Canceled) {
		err = nil // to be ended is what it waits for; the result tells of handshakes that failed
	}
	return errors.Join(err, json.NewEncoder(out).Encode(result))
}

// storm is a child that makes handshakes.
type storm struct {
	*process
	lines *bufio.Scanner
}

// startStorm starts one, which gets what CPU time nobody else wants: what it costs is not to delay the echoes, by which
// the proxy is measured.
func (b *Bench) startStorm(ctx context.Context, p *proxy, rate float64) (*storm, error) {
	words := []string{b.options.Self, "storm", "--target", p.secure.String(), "--rate", strconv.Itoa(int(rate))}
	if path, err := exec.LookPath("chrt"); err == nil {
		words = append([]string{path, "--idle", "0"}, words...)
	} else {
		words = append([]string{"nice", "-n", "19"}, words...)
	}
	child, err := b.spawner.start("the storm of handshakes", words, b.loadCPUs(), true)
	if err != nil {
		return nil, err
	}
	b.track(child)
	s := &storm{child, bufio.NewScanner(child.stdout)}
	line, err := s.line(ctx)
	if err == nil && line != stormWord {
		err = fmt.Errorf("it said %q", line)
	}
	if err != nil {
		b.stop(child)
		return nil, fmt.Errorf("%s: %w %s", child.name, err, child.output.String())
	}
	return s, nil
}

// line returns the child's next line.
func (s *storm) line(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	said := make(chan string, 1)
	// goroutine: reader of a child's line, ends when that comes or the child ends
	go func() {
		s.lines.Scan()
		said <- s.lines.Text()
	}()
	select {
	case line := <-said:
		return line, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// end has the child end and returns what it found.
func (s *storm) end(ctx context.Context) (stormResult, error) {
	_ = s.stdin.Close()
	var result stormResult
	line, err := s.line(ctx)
	if err == nil {
		err = json.Unmarshal([]byte(line), &result)
	}
	switch {
	case err != nil:
		err = fmt.Errorf("%s: %w %s", s.name, err, s.output.String())
	case result.Resumed > 0:
		err = fmt.Errorf("%s: %d sessions were resumed", s.name, result.Resumed)
	}
	return result, err
}
