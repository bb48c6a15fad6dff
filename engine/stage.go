package engine

// Stage judges the bytes of one direction of a relay: it says what may pass. It does no I/O, starts nothing, reads
// no clock and keeps no slice of what it is given. It is owned by the relay's loop.
type Stage interface {
	// Judge is given p: the bytes on hold, then the bytes just read. It appends verdicts that cover p exactly and
	// in order (after ActionEnd the rest of p is not covered) and returns the extended list.
	Judge(p []byte, verdicts []Verdict) []Verdict
	// Finish is called once, when the source has finished cleanly. EndNone: bytes on hold are delivered and the
	// half-close is passed on. Any other reason ends the relay as ActionEnd does.
	Finish() EndReason
	// AppendState appends the stage's whole state to b in a versioned flat format.
	AppendState(b []byte) []byte
	// RestoreState sets the state from what AppendState wrote and returns what follows it.
	RestoreState(b []byte) ([]byte, error)
}

// Action is what happens to a run of bytes.
type Action uint8

const (
	// ActionForward: the next N bytes go to the other side.
	ActionForward Action = iota
	// ActionHold: the next N bytes, at most HoldMax, are the last of p; they are presented again in front of the
	// next bytes read.
	ActionHold
	// ActionDrop: the next N bytes go nowhere.
	ActionDrop
	// ActionSplice: p ends here, and N bytes that were not read yet will go to the other side unjudged. The next Judge
	// comes when they have; on a relay whose ends are surrendered it comes at once then, if need be with nothing, for
	// the message may end there.
	ActionSplice
	// ActionEnd: what was forwarded before is delivered, then both sides are finished, for Reason.
	ActionEnd
	// ActionEmit: N bytes of the stage's own, which must be an Emitter, go to the other side in this place. They cover
	// nothing of p.
	ActionEmit
	// ActionDone: the message of this direction ends here, and nothing more is read from its source. The rest of p,
	// which belongs to a next message, is kept for Relay.TakeRest, as it is behind ActionEnd. Only on a relay whose
	// ends are surrendered.
	ActionDone
)

// Emitter is a Stage that has bytes of its own to send.
type Emitter interface {
	// Emission returns the next n bytes that an ActionEmit announced. Valid until the next call of the stage.
	Emission(n int) []byte
}

// Verdict is one entry of a stage's answer.
type Verdict struct {
	Action Action
	// Boundary, with ActionForward and ActionSplice: after these bytes the stream stands between two frames, so
	// a frame of our own may be inserted. A stage whose stream never does so leaves it false.
	Boundary bool
	// Reason belongs to ActionEnd.
	Reason EndReason
	// N is a number of bytes.
	N int64
}

// HoldMax is the most bytes that a stage may hold: a whole control frame, 14 bytes of header and 125 of payload.
const HoldMax = 139

// InsertMax is how many frames may wait for a boundary per direction.
const InsertMax = 4
