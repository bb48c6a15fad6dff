//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"culvert/bench/load"
)

// idleCommand holds tunnels.
type idleCommand struct {
	targetFlags
	fleetFlags
	Hold  time.Duration `default:"10s" placeholder:"DURATION" min:"10ms" max:"24h" help:"Hold them open for so long."`
	Touch int           `type:"size" default:"0" placeholder:"SIZE" min:"1B" max:"64MiB" zero:"none" help:"Send one message of this size on each, once all are open, and compare the echo."`
	outputFlags
}

var errLost = errors.New("tunnels ended by themselves")

// Run opens the tunnels, holds them and closes them.
func (c *idleCommand) Run(p *program) error {
	if err := checkDescriptors(c.Tunnels); err != nil {
		return err
	}
	prepare(c.Loops, c.secure())
	line := p.startLine()
	began := time.Now()
	fleet, err := load.Open(p.ctx, c.target(), c.options(line.opening))
	if err != nil {
		line.clear()
		return err
	}
	held := &heldReport{Opened: c.Tunnels, OpenSeconds: time.Since(began).Seconds()}
	if c.Touch > 0 {
		err = fleet.Once(p.ctx, c.Touch)
	}
	if err == nil {
		began = time.Now()
		err = hold(p.ctx, c.Hold, func() { line.holding(fleet.Len(), c.Tunnels) })
		held.HeldSeconds = time.Since(began).Seconds()
	}
	held.StillOpen = fleet.Len()
	line.clear()
	p.print(c.JSON, report{Command: "idle", Targets: c.Target, Tunnels: c.Tunnels, SizeBytes: c.Touch, Held: held})
	closeFleet(fleet)
	if lost := held.Opened - held.StillOpen; err == nil && lost > 0 {
		err = fmt.Errorf("%d of %d %w", lost, held.Opened, errLost)
	}
	return err
}

// hold waits, and calls progress once a second.
func hold(ctx context.Context, most time.Duration, progress func()) error {
	over := time.NewTimer(most)
	defer over.Stop()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		progress()
		select {
		case <-over.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
	}
}
