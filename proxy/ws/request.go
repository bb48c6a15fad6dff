package ws

// Action is what a request deserves as far as upgrades go.
type Action uint8

const (
	// Ordinary: forward it as any request, without its upgrade fields.
	Ordinary Action = iota
	// Upgrade: forward it with `Upgrade: websocket` alone, and await a 101 that ResponseCheck accepts.
	Upgrade
	// Refuse: answer Decision.Status and close.
	Refuse
)

// String names the action as the log does.
func (a Action) String() string {
	switch a {
	case Ordinary:
		return "ordinary"
	case Upgrade:
		return "upgrade"
	}
	return "refuse"
}

// Decision is the verdict on a request. Status (400 or 426) and Reason are set for Refuse alone.
type Decision struct {
	Action Action
	Status int
	Reason Reason
}

// RequestCheck decides whether a parsed request head is an upgrade (RFC 6455 section 4.2.1). Begin, Observe every field
// in any order, Decide. It copies what it needs: nothing given to it is kept.
type RequestCheck struct {
	offer             Offer
	http11            bool
	get               bool
	connectionUpgrade bool
	websocket         bool
	body              bool
	version13         bool
	keyValid          bool
	versions          uint8 // fields seen, up to several
	keys              uint8 // fields seen, up to several
}

// several is where counting fields stops: more than one is all that matters.
const several = 2

// Begin starts over with a request line: its method, and whether its version is HTTP/1.1 (or a later minor one).
func (c *RequestCheck) Begin(method []byte, http11 bool) {
	*c = RequestCheck{http11: http11, get: string(method) == "GET"}
}

// Observe takes in one field of the head. Fields that have no say are ignored.
func (c *RequestCheck) Observe(name, value []byte) {
	value = trim(value)
	switch len(name) {
	case len("upgrade"):
		if equalFold(name, "upgrade") && hasToken(value, "websocket") {
			c.websocket = true
		}
	case len("connection"):
		if equalFold(name, "connection") && hasToken(value, "upgrade") {
			c.connectionUpgrade = true
		}
	case len("content-length"):
		if equalFold(name, "content-length") && !isZero(value) {
			c.body = true
		}
	case len("sec-websocket-key"): // and transfer-encoding
		if equalFold(name, "transfer-encoding") {
			c.body = true
		} else if equalFold(name, "sec-websocket-key") {
			c.observeKey(value)
		}
	case len("sec-websocket-version"):
		if equalFold(name, "sec-websocket-version") {
			c.versions = min(c.versions+1, several)
			c.version13 = string(value) == "13"
		}
	case len("sec-websocket-protocol"):
		if equalFold(name, "sec-websocket-protocol") {
			c.offer.addSubprotocols(value)
		}
	case len("sec-websocket-extensions"):
		if equalFold(name, "sec-websocket-extensions") {
			c.offer.addExtensions(value)
		}
	}
}

func (c *RequestCheck) observeKey(value []byte) {
	c.keys = min(c.keys+1, several)
	c.offer.key, c.keyValid = parseKey(value)
}

// Decide gives the verdict once every field was observed. A body is judged before all else that can be wrong with an
// upgrade but the method, for its bytes could pass for frames; the version before the key, for another version may
// have another key.
func (c *RequestCheck) Decide() Decision {
	if !c.http11 || !c.connectionUpgrade || !c.websocket {
		return Decision{Action: Ordinary}
	}
	reason := NoReason
	switch {
	case !c.get:
		reason = MethodNotGet
	case c.body:
		reason = BodyPresent
	case c.versions != 1 || !c.version13:
		reason = VersionUnsupported
	case c.keys == 0:
		reason = KeyMissing
	case c.keys > 1:
		reason = KeyRepeated
	case !c.keyValid:
		reason = KeyMalformed
	default:
		return Decision{Action: Upgrade}
	}
	return Decision{Action: Refuse, Status: reason.Status(), Reason: reason}
}

// Offer returns what the request asked for, to judge the answer by. Unless Decide says Upgrade, it is the offer of
// nothing.
func (c *RequestCheck) Offer() Offer {
	if c.Decide().Action != Upgrade {
		return Offer{}
	}
	offer := c.offer
	offer.asked = true
	return offer
}

// isZero reports whether a Content-Length says 0. Whatever is no number counts as a body: to refuse is the safe side.
func isZero(value []byte) bool {
	for _, c := range value {
		if c != '0' {
			return false
		}
	}
	return len(value) > 0
}
