// Package proxyproto reads and writes the header of the PROXY protocol, versions 1 and 2, from bytes: it does no I/O and
// reads no clock. A proxy in front puts the header before the first byte of a connection, to say whose connection it
// passes on. Whoever can connect can send one, so it is read only from peers that are trusted.
//
// Version 1 is a line of text, at most 107 bytes with its CRLF:
//
//	PROXY TCP4 192.0.2.1 198.51.100.7 51234 443
//	PROXY UNKNOWN
//
// Version 2 is binary: 12 bytes that occur in no other protocol, version and command in 4 bits each, address family and
// transport in 4 bits each, and the length in 16 bits of what follows: the addresses and ports of source and
// destination, then vectors of type, length and value.
//
//	n, header, err := proxyproto.Parse(received)
//	switch {
//	case err != nil:
//		// close: *Error says why
//	case n == 0:
//		// not whole yet: Parse again when there are more bytes
//	default:
//		client := peer
//		if !header.Local {
//			client = header.Source
//		}
//		received = received[n:]
//	}
package proxyproto

import "net/netip"

// Header is what a header says.
type Header struct {
	Version int // 1 or 2
	// Local says that the connection is to be taken as the peer's own: the peer speaks for itself (a health check,
	// command LOCAL), does not know whom it speaks for (UNKNOWN, AF_UNSPEC), or speaks for what is no TCP connection
	// (AF_UNIX, datagrams). Source and Destination are not valid then.
	Local bool
	// Source and Destination are the ends of the connection that is passed on. 4-in-6 addresses are unmapped.
	Source, Destination netip.AddrPort
}

// Reason says which rule a header broke. Its String is stable: logs, metrics and tests may rely on it.
type Reason uint8

// The reasons, in the order in which a header can break the rules.
const (
	WrongSignature Reason = iota
	TooLong
	BadVersion
	BadCommand
	BadFamily
	BadLength
	BadAddress
	BadPort
	BadLineEnd
	BadTLV
	BadChecksum
	reasonCount
)

// reasons holds, per Reason, its token and a sentence for people.
var reasons = [reasonCount]struct{ token, text string }{
	WrongSignature: {"wrong-signature", "it begins neither with PROXY and a space nor with the 12 bytes of version 2"},
	TooLong:        {"too-long", "it is longer than 107 bytes (version 1) or 4096 bytes (version 2)"},
	BadVersion:     {"bad-version", "the version behind the signature is not 2"},
	BadCommand:     {"bad-command", "the command is neither LOCAL nor PROXY"},
	BadFamily:      {"bad-family", "the address family or transport does not exist"},
	BadLength:      {"bad-length", "it is too short for the addresses of its family"},
	BadAddress:     {"bad-address", "an address is not one of its family"},
	BadPort:        {"bad-port", "a port is not 0 to 65535, in decimal without leading zeros"},
	BadLineEnd:     {"bad-line-end", "the line does not end with CRLF"},
	BadTLV:         {"bad-tlv", "a type-length-value vector does not fit"},
	BadChecksum:    {"bad-checksum", "the checksum is wrong"},
}

// String returns the reason's stable token, such as "bad-address".
func (r Reason) String() string {
	if r >= reasonCount {
		return "unknown"
	}
	return reasons[r].token
}

// Error says how a header broke the rules. It is immutable and refers to no buffer.
type Error struct{ Reason Reason }

// Error returns a sentence with the reason. It holds nothing that the peer sent.
func (e *Error) Error() string {
	if e.Reason >= reasonCount {
		return "PROXY header: unknown reason"
	}
	return "PROXY header: " + reasons[e.Reason].text + " (" + e.Reason.String() + ")"
}

func refuse(r Reason) error { return &Error{Reason: r} }
