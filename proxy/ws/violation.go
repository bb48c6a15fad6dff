package ws

// Violation is a broken rule of RFC 6455 that a frame header shows. Each ends a strict tunnel with 1002 before any
// byte of that header is passed on. The tokens are stable: they reach the log, the metrics and the tests. The numbers
// are part of the format of Scanner.AppendState: never renumber.
type Violation uint8

const (
	// NoViolation: all is well so far.
	NoViolation Violation = iota
	// UnmaskedClientFrame: a client's frame without a masking key (section 5.1).
	UnmaskedClientFrame
	// MaskedServerFrame: a server's frame with a masking key (section 5.1).
	MaskedServerFrame
	// ReservedBit: RSV1 to RSV3 set where no agreed extension gives it a meaning (section 5.2, RFC 7692 section 6).
	ReservedBit
	// ReservedOpcode: opcodes 3 to 7 and 11 to 15 (section 5.2).
	ReservedOpcode
	// FragmentedControl: a control frame without FIN (section 5.5).
	FragmentedControl
	// LongControl: a control frame with more than 125 bytes of payload (section 5.5).
	LongControl
	// StrayContinuation: a continuation frame while no message is open (section 5.4).
	StrayContinuation
	// InterruptedMessage: a new data message inside a fragmented one (section 5.4).
	InterruptedMessage
	// NonMinimalLength: a payload length that is not in its shortest form (section 5.2).
	NonMinimalLength
	// LengthOverflow: a 64-bit payload length with its top bit set (section 5.2). The only one that ends a
	// lenient tunnel too, for nobody can say where such a frame ends.
	LengthOverflow

	violations
)

var violationTokens = [violations]string{
	NoViolation:         "none",
	UnmaskedClientFrame: "unmasked-client-frame",
	MaskedServerFrame:   "masked-server-frame",
	ReservedBit:         "reserved-bit",
	ReservedOpcode:      "reserved-opcode",
	FragmentedControl:   "fragmented-control",
	LongControl:         "long-control",
	StrayContinuation:   "stray-continuation",
	InterruptedMessage:  "interrupted-message",
	NonMinimalLength:    "non-minimal-length",
	LengthOverflow:      "length-overflow",
}

// String returns the stable token, "none" for NoViolation.
func (v Violation) String() string {
	if v < violations {
		return violationTokens[v]
	}
	return "unknown"
}
