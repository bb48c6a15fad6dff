package ws

// Reason says why an opening handshake was not accepted. The tokens are stable: they reach the log, the metrics and
// the tests.
type Reason uint8

const (
	// NoReason: nothing is wrong.
	NoReason Reason = iota

	// MethodNotGet: an upgrade was asked for with another method (400).
	MethodNotGet
	// BodyPresent: an upgrade request with a body (400): its bytes could pass for frames.
	BodyPresent
	// VersionUnsupported: Sec-WebSocket-Version is not exactly one 13 (426).
	VersionUnsupported
	// KeyMissing: no Sec-WebSocket-Key (400).
	KeyMissing
	// KeyRepeated: several Sec-WebSocket-Key (400).
	KeyRepeated
	// KeyMalformed: a Sec-WebSocket-Key that is not 16 bytes in base64 (400).
	KeyMalformed

	// UpgradeNotRequested: a 101 that nobody asked for (502, as all that follow).
	UpgradeNotRequested
	// StatusNotSwitching: the status is not 101, so there is no tunnel, whatever the fields say.
	StatusNotSwitching
	// UpgradeNotWebSocket: the answer's Upgrade is not exactly websocket.
	UpgradeNotWebSocket
	// ConnectionNotUpgrade: the answer's Connection lacks the upgrade token.
	ConnectionNotUpgrade
	// AcceptMissing: the answer has no Sec-WebSocket-Accept.
	AcceptMissing
	// AcceptRepeated: the answer has several Sec-WebSocket-Accept.
	AcceptRepeated
	// AcceptWrong: Sec-WebSocket-Accept is not the hash of the key that was sent.
	AcceptWrong
	// SubprotocolRepeated: the answer names more than one subprotocol.
	SubprotocolRepeated
	// SubprotocolNotOffered: the answer names a subprotocol that was not offered, or none at all in a field of its own.
	SubprotocolNotOffered
	// ExtensionNotOffered: the answer names an extension that was not offered.
	ExtensionNotOffered

	reasons
)

var reasonTokens = [reasons]string{
	NoReason:              "none",
	MethodNotGet:          "method-not-get",
	BodyPresent:           "body-present",
	VersionUnsupported:    "version-unsupported",
	KeyMissing:            "key-missing",
	KeyRepeated:           "key-repeated",
	KeyMalformed:          "key-malformed",
	UpgradeNotRequested:   "upgrade-not-requested",
	StatusNotSwitching:    "status-not-switching",
	UpgradeNotWebSocket:   "upgrade-not-websocket",
	ConnectionNotUpgrade:  "connection-not-upgrade",
	AcceptMissing:         "accept-missing",
	AcceptRepeated:        "accept-repeated",
	AcceptWrong:           "accept-wrong",
	SubprotocolRepeated:   "subprotocol-repeated",
	SubprotocolNotOffered: "subprotocol-not-offered",
	ExtensionNotOffered:   "extension-not-offered",
}

// String returns the stable token, "none" for NoReason.
func (r Reason) String() string {
	if r < reasons {
		return reasonTokens[r]
	}
	return "unknown"
}

// Status returns the status that answers the client: 400 or 426 for a request, 502 for a backend's answer, 0 for
// NoReason. A 426 carries `Sec-WebSocket-Version: 13`, `Upgrade: websocket` and `Connection: upgrade`.
func (r Reason) Status() int {
	switch {
	case r == NoReason:
		return 0
	case r == VersionUnsupported:
		return 426
	case r < UpgradeNotRequested:
		return 400
	}
	return 502
}
