//go:build linux

package main

import (
	"time"

	"culvert/bench/load"
)

// connectCommand measures connecting.
type connectCommand struct {
	targetFlags
	Concurrency int           `default:"16" placeholder:"CYCLES" min:"1" max:"65536" help:"Most cycles under way: connect, upgrade, echo, close."`
	Loops       int           `default:"1" placeholder:"LOOPS" min:"1" max:"64" help:"Event loops of the generator, which share the cycles."`
	Size        int           `type:"size" default:"125B" placeholder:"SIZE" min:"1B" max:"64MiB" help:"Payload of each cycle's message."`
	Rate        int           `default:"0" placeholder:"CYCLES/S" min:"1" max:"10000000" zero:"each cycle is followed by the next" help:"Cycles begun per second, at evenly spread times from which latencies count."`
	Duration    time.Duration `default:"10s" placeholder:"DURATION" min:"10ms" max:"24h" help:"Longest measured part."`
	Count       int           `default:"0" placeholder:"CYCLES" min:"1" max:"1000000000" zero:"as many as the duration allows" help:"End the measured part after so many."`
	WarmUp      time.Duration `default:"1s" placeholder:"DURATION" min:"1ms" max:"1h" zero:"none" help:"Connect for so long before measuring."`
	Timeout     time.Duration `default:"10s" placeholder:"DURATION" min:"100ms" max:"10m" help:"Longest time from connecting to the echo, and for the close."`
	outputFlags
}

// Run measures.
func (c *connectCommand) Run(p *program) error {
	if err := checkDescriptors(c.Concurrency); err != nil {
		return err
	}
	prepare(c.Loops, c.secure())
	line := p.startLine()
	result, err := load.Connects(p.ctx, c.target(), load.ConnectPlan{
		Size: c.Size, Concurrency: c.Concurrency, Loops: c.Loops, Rate: float64(c.Rate), Count: c.Count,
		Duration: c.Duration, WarmUp: c.WarmUp, Timeout: c.Timeout, Progress: line.measuring,
	})
	line.clear()
	p.print(c.JSON, report{
		Command: "connect", Targets: c.Target, Concurrency: c.Concurrency, SizeBytes: c.Size,
		RatePerSecond: c.Rate, Result: &result,
	})
	return err
}
