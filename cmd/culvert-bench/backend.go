//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"culvert/bench/echo"
	"culvert/cmd/internal/settings"
)

// backendCommand is the backend: it echoes, and answers requests for documents.
type backendCommand struct {
	Listen     netip.AddrPort `default:"127.0.0.1:9001" placeholder:"ADDRESS" allowed:"an address and a port, such as 127.0.0.1:9001 or [::1]:0; port 0 takes a free one" help:"Listen here."`
	Pollers    int            `default:"1" placeholder:"POLLERS" min:"1" max:"64" help:"Pollers of netpoll."`
	Delay      time.Duration  `default:"0" placeholder:"DURATION" min:"1ms" max:"1m" zero:"none" help:"Hold every echo back for so long."`
	StallEvery time.Duration  `default:"10s" placeholder:"DURATION" min:"10ms" max:"10m" help:"The period of the stalls of --stall-for."`
	StallFor   time.Duration  `default:"0" placeholder:"DURATION" min:"1ms" max:"1m" zero:"never" help:"Stand still for so long at the end of every period."`
	Duration   time.Duration  `default:"0" placeholder:"DURATION" min:"10ms" max:"24h" zero:"until a signal" help:"End after so long."`
}

// AfterApply is called by kong once the flags are set.
func (c *backendCommand) AfterApply() error {
	if c.StallFor >= c.StallEvery {
		return &settings.Error{Flag: "stall-for", Text: c.StallFor.String(), Reason: "not shorter than --stall-every " + c.StallEvery.String()}
	}
	return nil
}

// Run serves until the end. Whoever sends SIGUSR1 is told how many connections are open.
func (c *backendCommand) Run(p *program) error {
	server, err := echo.Start(echo.Options{
		Listen: c.Listen, Pollers: c.Pollers, Delay: c.Delay, StallEvery: c.StallEvery, StallFor: c.StallFor,
	})
	if err != nil {
		return err
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGUSR1)
	defer signal.Stop(asked)
	fmt.Fprintf(p.stdout, "echo backend on %s\n", server.Addr())
	ctx := p.ctx
	if c.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration)
		defer cancel()
	}
	for {
		select {
		case <-asked:
			fmt.Fprintf(p.stdout, "connections %d\n", server.Len())
		case <-ctx.Done(): // a signal is how it is meant to end
			return server.Close()
		case <-server.Ended():
			return server.Close()
		}
	}
}
