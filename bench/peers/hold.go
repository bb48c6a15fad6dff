package peers

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"strconv"

	"culvert/bench/load"
)

// heldWord is what a holder says when its tunnels are open.
const heldWord = "held"

// Hold opens tunnels, says so on out, and keeps them idle until in ends. It is what the subcommand hold does: a
// process's descriptors bound how many tunnels it can have.
func Hold(ctx context.Context, target netip.AddrPort, tunnels int, in io.Reader, out io.Writer) error {
	fleet, err := load.Open(ctx, load.Target{Addresses: []netip.AddrPort{target}},
		load.FleetOptions{Tunnels: tunnels, Loops: 1, Pace: handshakePace, Timeout: openPatience})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, heldWord)
	_, _ = io.Copy(io.Discard, in)
	return closeFleet(context.WithoutCancel(ctx), fleet)
}

// hold starts a process that keeps so many idle tunnels through a proxy, and waits until it has them.
func (b *Bench) hold(ctx context.Context, p *proxy, tunnels int) (*process, error) {
	holder, err := b.spawner.start("the holder of idle tunnels", []string{
		b.options.Self, "hold", "--target", p.address.String(), "--tunnels", strconv.Itoa(tunnels),
	}, b.loadCPUs(), true)
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
