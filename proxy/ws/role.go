package ws

// Role is the side of the opening handshake that sent some bytes: who masks, and who must not (RFC 6455 section 5.1).
type Role uint8

const (
	// Client sent the opening request; each of its frames is masked.
	Client Role = iota
	// Server answered 101; none of its frames is masked.
	Server
)

// String names the role as the log does: "client" or "server".
func (r Role) String() string {
	if r == Client {
		return "client"
	}
	return "server"
}

// Extension says what the handshake agreed about the reserved bits and opcodes (RFC 6455 section 9).
type Extension uint8

const (
	// NoExtension: reserved bits and opcodes are violations.
	NoExtension Extension = iota
	// Deflate: permessage-deflate and nothing else. RSV1 may be set on the first frame of a data message
	// (RFC 7692 section 6); everything else as with NoExtension.
	Deflate
	// OtherExtension: something this package does not know was agreed, which may give every reserved bit and
	// opcode a meaning, so that these are not judged. All other rules hold.
	OtherExtension
)
