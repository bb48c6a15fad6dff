//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"culvert/bench/load"
)

// report is what a command prints: as it stands with --json, else as a table.
type report struct {
	Command       string       `json:"command"`
	Targets       []endpoint   `json:"targets"`
	Tunnels       int          `json:"tunnels,omitempty"`
	Concurrency   int          `json:"concurrency,omitempty"`
	Connections   int          `json:"connections,omitempty"`
	SizeBytes     int          `json:"size_bytes,omitempty"`
	InFlight      int          `json:"in_flight,omitempty"`
	RatePerSecond int          `json:"rate_per_second,omitempty"`
	Result        *load.Result `json:"result,omitempty"`
	Held          *heldReport  `json:"held,omitempty"`
}

// heldReport is what became of tunnels that were held.
type heldReport struct {
	Opened      int     `json:"opened"`
	OpenSeconds float64 `json:"open_seconds"`
	HeldSeconds float64 `json:"held_seconds"`
	StillOpen   int     `json:"still_open"`
}

// print writes a report on standard output.
func (p *program) print(asJSON bool, r report) {
	if asJSON {
		encoder := json.NewEncoder(p.stdout)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(r) // whoever reads us has gone: nobody is left to tell
		return
	}
	if r.Held != nil {
		writeRow(p.stdout, "opened", fmt.Sprintf("%s tunnels in %.2f s, %s/s", grouped(r.Held.Opened), r.Held.OpenSeconds,
			grouped(int(float64(r.Held.Opened)/r.Held.OpenSeconds))))
		writeRow(p.stdout, "held", fmt.Sprintf("%.1f s; %s are still open, %s ended by themselves", r.Held.HeldSeconds,
			grouped(r.Held.StillOpen), grouped(r.Held.Opened-r.Held.StillOpen)))
		return
	}
	writeResult(p.stdout, r)
}

func writeResult(w io.Writer, r report) {
	result := r.Result
	what, mode, ways, back := "messages", "the next message follows an echo", "each way", "echoes"
	switch {
	case r.Command == "connect":
		what, mode = "cycles", fmt.Sprintf("%d at a time", r.Concurrency)
	case r.Command == "get":
		what, mode, ways, back = "requests", "the next request follows an answer", "of answers", "answers"
	case r.InFlight > 1:
		mode = fmt.Sprintf("%d in flight on each", r.InFlight)
	}
	if r.RatePerSecond > 0 {
		mode = grouped(r.RatePerSecond) + "/s intended, latency from the intended time"
	}
	load := fmt.Sprintf("%s B, %s", grouped(r.SizeBytes), mode)
	if r.Tunnels > 0 {
		load = grouped(r.Tunnels) + " tunnels, " + load
	}
	if r.Connections > 0 {
		load = fmt.Sprintf("%s connections, %s; %s were made meanwhile", grouped(r.Connections), load, grouped(int(result.Connections)))
	}
	writeRow(w, "load", load)
	writeRow(w, what, fmt.Sprintf("%s in %.2f s, %s/s", grouped(int(result.Messages)), result.Seconds, grouped(int(result.MessagesPerSecond()))))
	if result.Agreed != "" {
		shaken := result.Agreed
		if result.Handshakes > 0 {
			shaken = fmt.Sprintf("%s handshakes, %s resumed; %s", grouped(int(result.Handshakes)), grouped(int(result.Resumed)), shaken)
		}
		writeRow(w, "TLS", shaken)
	}
	writeRow(w, "payload", fmt.Sprintf("%.2f MB/s %s", result.BytesPerSecond()/1e6, ways))
	l := &result.Latency
	for _, row := range []struct {
		name  string
		nanos int64
	}{{"min", l.Min}, {"p50", l.P50}, {"p90", l.P90}, {"p99", l.P99}, {"p99.9", l.P999}, {"max", l.Max}} {
		writeRow(w, "latency "+row.name, nanoseconds(row.nanos))
	}
	writeRow(w, "errors", fmt.Sprintf("%s, and %s wrong %s", grouped(int(result.Errors)), grouped(int(result.Mismatches)), back))
	perMessage := ""
	if result.Messages > 0 {
		perMessage = fmt.Sprintf(", %.2f us each", result.GeneratorCPU*1e6/float64(result.Messages))
	}
	writeRow(w, "generator", fmt.Sprintf("%.2f s of CPU%s, busiest loop %.0f %%", result.GeneratorCPU, perMessage, 100*result.LoopBusy))
	if result.Limited {
		writeRow(w, "LIMITED", "the generator itself was the limit: "+result.LimitedWhy)
	}
}

func writeRow(w io.Writer, name, value string) { fmt.Fprintf(w, "%-14s %s\n", name, value) }

// nanoseconds shows a latency with three or more digits that mean something.
func nanoseconds(n int64) string {
	switch {
	case n < 1_000_000:
		return fmt.Sprintf("%.1f us", float64(n)/1e3)
	case n < 1_000_000_000:
		return fmt.Sprintf("%.2f ms", float64(n)/1e6)
	}
	return fmt.Sprintf("%.3f s", float64(n)/1e9)
}

// grouped writes a number in groups of three digits.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// liveLine is the one line of a terminal that shows how far things are. Where there is no terminal it is silent.
type liveLine struct{ program *program }

func (p *program) startLine() liveLine { return liveLine{p} }

func (l liveLine) show(text string) {
	if l.program.live {
		fmt.Fprintf(l.program.stderr, "\r\x1b[K%s", text)
	}
}

func (l liveLine) clear() { l.show("") }

func (l liveLine) opening(open int) { l.show(grouped(open) + " tunnels are open") }

func (l liveLine) holding(open, all int) {
	l.show(fmt.Sprintf("%s of %s tunnels are open", grouped(open), grouped(all)))
}

func (l liveLine) measuring(s load.Snapshot) {
	parts := []string{s.Elapsed.Round(time.Second).String()}
	if s.Measuring {
		parts = append(parts, grouped(int(s.MessagesPerSecond))+"/s")
	} else {
		parts = append(parts, "warming up")
	}
	parts = append(parts, grouped(s.Open)+" open", grouped(int(s.Errors))+" errors")
	if s.Mismatches > 0 {
		parts = append(parts, grouped(int(s.Mismatches))+" WRONG")
	}
	l.show(strings.Join(parts, "   "))
}
