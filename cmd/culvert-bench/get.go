//go:build linux

package main

import (
	"time"

	"culvert/bench/load"
)

// getCommand measures ordinary requests.
type getCommand struct {
	addressFlags
	Connections int           `default:"16" placeholder:"CONNECTIONS" min:"1" max:"65536" help:"Kept connections, with one request under way on each."`
	Loops       int           `default:"1" placeholder:"LOOPS" min:"1" max:"64" help:"Event loops of the generator, which share the connections."`
	Size        int           `type:"size" default:"125B" placeholder:"SIZE" min:"1B" max:"64MiB" help:"Body of an answer: the backend sends /bytes/SIZE."`
	Rate        int           `default:"0" placeholder:"REQUESTS/S" min:"1" max:"10000000" zero:"each answer is followed by the next request" help:"Requests per second on all connections together, at evenly spread times from which latencies count."`
	Duration    time.Duration `default:"10s" placeholder:"DURATION" min:"10ms" max:"24h" help:"Longest measured part."`
	Count       int           `default:"0" placeholder:"REQUESTS" min:"1" max:"1000000000" zero:"as many as the duration allows" help:"End the measured part after so many."`
	WarmUp      time.Duration `default:"1s" placeholder:"DURATION" min:"1ms" max:"1h" zero:"none" help:"Send for so long before measuring."`
	Timeout     time.Duration `default:"10s" placeholder:"DURATION" min:"100ms" max:"10m" help:"Longest time from a request to the end of its answer, with the connection where it needs one."`
	outputFlags
}

// Run measures.
func (c *getCommand) Run(p *program) error {
	if err := checkDescriptors(c.Connections); err != nil {
		return err
	}
	prepare(c.Loops, c.secure())
	line := p.startLine()
	result, err := load.Gets(p.ctx, c.target(), load.GetPlan{
		Size: c.Size, Connections: c.Connections, Loops: c.Loops, Rate: float64(c.Rate), Count: c.Count,
		Duration: c.Duration, WarmUp: c.WarmUp, Timeout: c.Timeout, Progress: line.measuring,
	})
	line.clear()
	p.print(c.JSON, report{
		Command: "get", Targets: c.Target, Connections: c.Connections, SizeBytes: c.Size,
		RatePerSecond: c.Rate, Result: &result,
	})
	return err
}
