package ws

// Agreement is what a valid 101 settled.
type Agreement struct {
	// Extension is what Options.Extension of both directions' scanners must be.
	Extension Extension
	// Subprotocol reports whether the answer chose one of the subprotocols offered.
	Subprotocol bool
}

// ResponseCheck judges the answer to an upgrade request (RFC 6455 section 4.1), whether the request was relayed or
// our own. Begin, Observe every field in any order, Decide. It copies what it needs: nothing given to it is kept.
type ResponseCheck struct {
	offer             Offer
	agreement         Agreement
	accept            [AcceptLen]byte // what it must be
	switching         bool            // the status is 101
	connectionUpgrade bool
	upgradeRight      bool
	acceptRight       bool
	subprotocolWrong  bool
	extensionWrong    bool
	upgrades          uint8 // fields seen, up to several
	accepts           uint8 // fields seen, up to several
	subprotocols      uint8 // names seen, up to several
}

// Begin starts over with an answer's status. The offer is copied.
func (c *ResponseCheck) Begin(offer *Offer, status int) {
	*c = ResponseCheck{offer: *offer, switching: status == 101}
	if c.switching && offer.asked {
		c.accept = AcceptKey(offer.key)
	}
}

// Observe takes in one field of the head. Fields that have no say are ignored.
func (c *ResponseCheck) Observe(name, value []byte) {
	value = trim(value)
	switch len(name) {
	case len("upgrade"):
		if equalFold(name, "upgrade") {
			c.upgrades = min(c.upgrades+1, several)
			c.upgradeRight = equalFold(value, "websocket")
		}
	case len("connection"):
		if equalFold(name, "connection") && hasToken(value, "upgrade") {
			c.connectionUpgrade = true
		}
	case len("sec-websocket-accept"):
		if equalFold(name, "sec-websocket-accept") {
			c.accepts = min(c.accepts+1, several)
			c.acceptRight = string(value) == string(c.accept[:])
		}
	case len("sec-websocket-protocol"):
		if equalFold(name, "sec-websocket-protocol") {
			c.observeSubprotocol(value)
		}
	case len("sec-websocket-extensions"):
		if equalFold(name, "sec-websocket-extensions") {
			c.observeExtensions(value)
		}
	}
}

// observeSubprotocol judges a field that must hold one name only.
func (c *ResponseCheck) observeSubprotocol(list []byte) {
	for more := true; more; {
		var name []byte
		name, list, more = cut(list, ',')
		c.subprotocols = min(c.subprotocols+1, several)
		c.agreement.Subprotocol = true
		if len(name) == 0 || !c.offer.subprotocols.has(fingerprint(name)) {
			c.subprotocolWrong = true
		}
	}
}

func (c *ResponseCheck) observeExtensions(list []byte) {
	for more := true; more; {
		var name []byte
		name, list, more = cutExtension(list)
		switch {
		case len(name) == 0:
			// Empty elements are allowed in a list (RFC 9110 section 5.6.1.2).
		case !c.offer.extensions.has(fingerprintFold(name)):
			c.extensionWrong = true
		case !equalFold(name, "permessage-deflate"):
			c.agreement.Extension = OtherExtension
		case c.agreement.Extension == NoExtension:
			c.agreement.Extension = Deflate
		}
	}
}

// Decide gives the verdict once every field was observed: what was agreed on, or the reason why there is no tunnel.
func (c *ResponseCheck) Decide() (Agreement, Reason) {
	reason := NoReason
	switch {
	case !c.switching:
		reason = StatusNotSwitching
	case !c.offer.asked:
		reason = UpgradeNotRequested
	case c.upgrades != 1 || !c.upgradeRight:
		reason = UpgradeNotWebSocket
	case !c.connectionUpgrade:
		reason = ConnectionNotUpgrade
	case c.accepts == 0:
		reason = AcceptMissing
	case c.accepts > 1:
		reason = AcceptRepeated
	case !c.acceptRight:
		reason = AcceptWrong
	case c.subprotocols > 1:
		reason = SubprotocolRepeated
	case c.subprotocolWrong:
		reason = SubprotocolNotOffered
	case c.extensionWrong:
		reason = ExtensionNotOffered
	default:
		return c.agreement, NoReason
	}
	return Agreement{}, reason
}
