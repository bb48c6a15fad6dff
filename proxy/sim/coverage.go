package sim

import (
	"fmt"
	"slices"

	"culvert/engine"
)

// Coverage counts the situations that a run met, by name. A simulation that never gets somewhere proves nothing about
// it.
type Coverage map[string]int

// Missing returns the situations that were never met, of those that every large number of seeds must meet.
func (c Coverage) Missing() (names []string) {
	for _, name := range expected() {
		if c[name] == 0 {
			names = append(names, name)
		}
	}
	return names
}

// Add adds up.
func (c Coverage) Add(other Coverage) {
	for name, n := range other {
		c[name] += n
	}
}

// calls are those of a socket that move bytes.
var calls = [...]string{"read", "write", "splice in", "splice out"}

// situation is what is noteworthy of a tunnel at some moment.
type situation uint8

const (
	movedPending situation = iota
	movedHeld
	movedInPayload
	movedInserts
	movedHalfClosed
	movedBehindClose
	movedBroken
	insertRefused
	lingerReset
	situations
)

var situationNames = [situations]string{
	movedPending:     "moved with bytes pending",
	movedHeld:        "moved with a partial header",
	movedInPayload:   "moved within a payload",
	movedInserts:     "moved with insertions waiting",
	movedHalfClosed:  "moved half-closed",
	movedBehindClose: "moved behind a close frame",
	movedBroken:      "moved with a broken end",
	insertRefused:    "an insertion was refused",
	lingerReset:      "a lingering close ended in a reset",
}

// seen counts cheaply while a run goes on.
type seen struct {
	calls      [len(calls)][2][len(statusNames)]int // by call, whether bytes moved, and status
	situations [situations]int
}

// call counts a call of a socket.
func (s *seen) call(what string, n int, status engine.Status) {
	if i := slices.Index(calls[:], what); i >= 0 {
		s.calls[i][min(n, 1)][status]++
	}
}

// expected returns all situations that must be met.
func expected() (names []string) {
	for _, name := range situationNames {
		names = append(names, name)
	}
	for i := range calls {
		for moved := range 2 {
			for status := range statusNames {
				if possible(i, moved, engine.Status(status)) {
					names = append(names, callName(i, moved, status))
				}
			}
		}
	}
	return names
}

// possible tells whether a call may say so. Writes know no EOF, and splices say less together with bytes.
func possible(call, moved int, status engine.Status) bool {
	switch calls[call] {
	case "write":
		return status != engine.StatusEOF && (moved == 0 || status != engine.StatusFailed)
	case "splice in", "splice out":
		return status != engine.StatusEOF && (moved == 0 || status == engine.StatusReady)
	}
	return true
}

func callName(call, moved, status int) string {
	bytes := [2]string{"nothing", "bytes"}[moved]
	return fmt.Sprintf("%s: %s, %s", calls[call], bytes, statusNames[status])
}

// coverage gives the counts their names.
func (s *seen) coverage() Coverage {
	c := Coverage{}
	for i := range calls {
		for moved := range 2 {
			for status := range statusNames {
				if n := s.calls[i][moved][status]; n > 0 {
					c[callName(i, moved, status)] += n
				}
			}
		}
	}
	for i, n := range s.situations {
		if n > 0 {
			c[situationNames[i]] += n
		}
	}
	return c
}

// noteMove counts what the tunnel takes with it on its way.
func (t *tunnel) noteMove() {
	saw := &t.world.seen.situations
	for side, s := range t.sockets {
		closed := s.stream.closed && s.read >= s.stream.limit
		for situation, met := range map[situation]bool{
			movedPending:     t.oracle.pending[side] > 0,
			movedHeld:        t.forwarded(s.side) < s.read && !closed,
			movedInPayload:   t.forwarded(s.side) == s.read && !closed && !s.stream.boundary(s.read),
			movedInserts:     len(t.deliveries[side].inserts) > 0,
			movedHalfClosed:  s.finished,
			movedBehindClose: closed,
			movedBroken:      s.noticed,
		} {
			if met {
				saw[situation]++
			}
		}
	}
}
