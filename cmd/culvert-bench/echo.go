//go:build linux

package main

import (
	"context"
	"time"

	"culvert/bench/load"
)

// echoCommand measures echoes.
type echoCommand struct {
	targetFlags
	fleetFlags
	Size     int           `type:"size" default:"125B" placeholder:"SIZE" min:"1B" max:"64MiB" help:"Payload of a message."`
	InFlight int           `default:"1" placeholder:"MESSAGES" min:"1" max:"4096" help:"Messages under way on each tunnel. Without meaning beside --rate."`
	Rate     int           `default:"0" placeholder:"MESSAGES/S" min:"1" max:"10000000" zero:"each echo is followed by the next message" help:"Messages per second on all tunnels together, at evenly spread times from which latencies count."`
	Duration time.Duration `default:"10s" placeholder:"DURATION" min:"10ms" max:"24h" help:"Longest measured part."`
	Messages int           `default:"0" placeholder:"MESSAGES" min:"1" max:"1000000000" zero:"as many as the duration allows" help:"End the measured part after so many."`
	WarmUp   time.Duration `default:"1s" placeholder:"DURATION" min:"1ms" max:"1h" zero:"none" help:"Send for so long before measuring."`
	outputFlags
}

// Run opens the tunnels, measures and closes them.
func (c *echoCommand) Run(p *program) error {
	if err := checkDescriptors(c.Tunnels); err != nil {
		return err
	}
	prepare(c.Loops, c.secure())
	line := p.startLine()
	fleet, err := load.Open(p.ctx, c.target(), c.options(line.opening))
	if err != nil {
		line.clear()
		return err
	}
	result, err := fleet.Echo(p.ctx, load.EchoPlan{
		Size: c.Size, InFlight: c.InFlight, Rate: float64(c.Rate), Messages: c.Messages,
		Duration: c.Duration, WarmUp: c.WarmUp, Progress: line.measuring,
	})
	line.clear()
	p.print(c.JSON, report{
		Command: "echo", Targets: c.Target, Tunnels: c.Tunnels, SizeBytes: c.Size,
		InFlight: c.InFlight, RatePerSecond: c.Rate, Result: &result,
	})
	closeFleet(fleet)
	return err
}

// closePatience bounds the end of a program.
const closePatience = 30 * time.Second

// closeFleet closes what is open. That a peer does not answer a close is no result any more.
func closeFleet(fleet *load.Fleet) {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	_ = fleet.Close(ctx)
}
