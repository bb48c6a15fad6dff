package peers

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"time"

	"culvert/bench/load"
)

const (
	// heldWord is what a holder says when its tunnels are open.
	heldWord = "held"
	// floodLimit bounds how long a holder's tunnels send.
	floodLimit = 10 * time.Minute
)

// Hold opens tunnels, says so on out, and keeps them until in ends: idle or, with a size, each sending messages of that
// size one after the other. It is what the subcommand hold does: a process's descriptors bound how many tunnels it can
// have, and a process has a priority.
func Hold(ctx context.Context, target netip.AddrPort, tunnels, size int, in io.Reader, out io.Writer) error {
	fleet, err := load.Open(ctx, load.Target{Addresses: []netip.AddrPort{target}},
		load.FleetOptions{Tunnels: tunnels, Loops: 1, Pace: handshakePace, Timeout: openPatience})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, heldWord)
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	// goroutine: watcher of a holder's input, ends when that does
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, in)
	}()
	if size > 0 {
		_, err = fleet.Echo(working, load.EchoPlan{Size: size, InFlight: 1, Duration: floodLimit})
	}
	<-working.Done()
	if working.Err() != nil && ctx.Err() == nil {
		err = nil // to be ended is what it waits for
	}
	return err // the process ends, and the kernel closes its connections
}

const (
	// quietTime is how long a proxy is watched to find it quiet, quietShare which part of that it may work.
	quietTime  = 50 * time.Millisecond
	quietShare = 10
	// quietPatience bounds the wait for a quiet proxy.
	quietPatience = 3 * time.Second
)

// settle waits until a proxy has done what the end of many tunnels makes it do, so that the next row is not disturbed.
func (p *proxy) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, quietPatience)
	defer cancel()
	ticker := time.NewTicker(quietTime)
	defer ticker.Stop()
	last, err := p.cpu()
	for err == nil {
		select {
		case <-ctx.Done():
			return nil // it has other work
		case <-ticker.C:
		}
		var used time.Duration
		if used, err = p.cpu(); used-last < quietTime/quietShare {
			return err
		}
		last = used
	}
	return err
}

// hold starts a process that keeps so many tunnels through a proxy, and waits until it has them. With a size they send
// messages of that size, at a low priority: the load generator must not keep itself from measuring.
func (b *Bench) hold(ctx context.Context, p *proxy, tunnels, size int) (*process, error) {
	words := []string{b.options.Self, "hold", "--target", p.address.String(), "--tunnels", strconv.Itoa(tunnels)}
	if size > 0 {
		words = append(append([]string{"nice", "-n", "10"}, words...), "--size", strconv.Itoa(size))
	}
	holder, err := b.spawner.start("the holder of other tunnels", words, b.loadCPUs(), true)
	if err != nil {
		return nil, err
	}
	b.track(holder)
	held := make(chan bool, 1)
	// goroutine: reader of a holder's word, ends when that comes or the holder ends
	go func() {
		lines := bufio.NewScanner(holder.stdout)
		held <- lines.Scan() && lines.Text() == heldWord
	}()
	err = holder.await(ctx, func() bool {
		select {
		case ok := <-held:
			return ok
		default:
			return false
		}
	})
	if err != nil {
		b.stop(holder)
		return nil, err
	}
	return holder, nil
}
