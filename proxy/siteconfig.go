package proxy

import (
	"net/netip"
	"time"

	"culvert/proxy/access"
	"culvert/proxy/route"
	"culvert/tls/certs"
)

// ListenerConfig is an address that clients connect to, and what becomes of their requests.
type ListenerConfig struct {
	// Name is for messages, and for the names of rules that have none. Empty: the address.
	Name string
	// Address is bound once per loop with SO_REUSEPORT. Port 0 asks the kernel for a free port; Server.Addresses tells
	// which. No two listeners have the same.
	Address netip.AddrPort
	// Policy is the listener's own; nil: the Config's.
	Policy *Policy
	// Access says which clients are served, by their address by trust; others get 403.
	Access access.Lists
	// ProxyProtocol requires every connection to begin with a PROXY header, version 1 or 2, which tells who the client
	// is. It is believed from the addresses in ProxyProtocolFrom only; a connection from elsewhere is closed.
	ProxyProtocol     bool
	ProxyProtocolFrom []netip.Prefix
	// Rules are for requests that deserve a treatment of their own; package route says which one counts.
	Rules []RuleConfig
	// Group names the group for requests that no rule is for. Empty: they get 404.
	Group string
	// TLS makes it an HTTPS listener, which carries WebSocket Secure. nil: plain HTTP.
	TLS *ListenerTLS
	// HTTPSRedirect answers every request of a plain listener with the same address by HTTPS, whatever its rules say.
	// nil: none.
	HTTPSRedirect *HTTPSRedirect
}

// ListenerTLS is what an HTTPS listener shows its clients, and asks of them.
type ListenerTLS struct {
	// Certificates says where they come from, and whether a client that asks for another name is refused.
	Certificates certs.Source
	// SelfSigned takes the place of Certificates: one is made that nobody has reason to trust.
	SelfSigned bool
	// Policy is the name of what is accepted, as package policy has them. Empty: policy.Default.
	Policy string
	// ClientCA is a PEM file of those who issue clients' certificates: clients are asked for one. Empty: nobody is.
	ClientCA string
	// ClientOptional lets clients without a certificate in.
	ClientOptional bool
	// HSTS tells clients for how long they shall come by HTTPS only (RFC 6797), in whole seconds. 0: not at all.
	HSTS time.Duration
	// HSTSSubdomains extends that to the domains below the host's.
	HSTSSubdomains bool
}

// HTTPSRedirect sends clients to an HTTPS listener.
type HTTPSRedirect struct {
	// Status is 301, 302, 307 or 308. 0: 302.
	Status int
	// Port is where that listens. 0: 443.
	Port uint16
}

// RuleConfig is what becomes of the requests that it matches. It has exactly one of Group, Redirect and Answer.
type RuleConfig struct {
	// Name is for logs. Empty: "listener/number", from 1.
	Name string
	// Match says which requests.
	Match route.Match
	// Policy is the rule's own; nil: the listener's.
	Policy *Policy
	// Access says which clients are served, behind the listener's own lists; others get 403.
	Access access.Lists
	// AllowedOrigins are the origins that may open WebSockets, as package origin takes them; others get 403. Empty: all.
	AllowedOrigins []string
	// Requests bounds the requests of this rule per second, upgrades included; one more gets 503. 0: no bound.
	Requests int

	// Group names the group that serves them.
	Group string
	// Schedule and Sticky are the rule's own; nil: the group's.
	Schedule *Schedule
	Sticky   *Stickiness
	// Redirect answers with another address.
	Redirect *RedirectConfig
	// Answer answers with fixed bytes.
	Answer *AnswerConfig

	// RequestHeaders and AnswerHeaders are edits of a request's headers on their way to the backend, and of the answer's
	// on their way to the client, in this order.
	RequestHeaders, AnswerHeaders []HeaderEdit
	// Host is sent to the backend in place of the client's Host, as a Template. Empty: the client's own.
	Host string
	// Rewrite, if not nil, takes the place of Match.Path at the beginning of the target's path. It begins with '/', or is
	// empty to strip.
	Rewrite *string
	// ErrorBodies are our own answers' bodies by status, 400 to 599.
	ErrorBodies map[int]Body
}

// RedirectConfig answers with a Location.
type RedirectConfig struct {
	// Status is 301, 302, 307 or 308.
	Status int
	// Location is a Template, such as "https://{host-name}{uri}".
	Location string
}

// AnswerConfig is an answer of fixed bytes. A HEAD gets it without the body.
type AnswerConfig struct {
	// Status is 200 to 599.
	Status int
	// Body is at most MaxFixedBody bytes.
	Body Body
	// Headers are further headers.
	Headers []HeaderEdit
}

// Body is a fixed body and what it is.
type Body struct {
	// ContentType is its media type. Empty: text/plain; charset=utf-8.
	ContentType string
	Bytes       []byte
}

// MaxFixedBody bounds a fixed body, in bytes.
const MaxFixedBody = 256 << 10

// HeaderOp is what is done to a header.
type HeaderOp uint8

const (
	// HeaderSet: the header has this value, whatever it had.
	HeaderSet HeaderOp = iota
	// HeaderAdd: one more line.
	HeaderAdd
	// HeaderRemove: all lines of this name go.
	HeaderRemove
)

// HeaderEdit is one change of a head. Names that the framing, the upgrade or trust depend on cannot be edited; see
// CheckHeaderEdit.
type HeaderEdit struct {
	Op    HeaderOp
	Name  string
	Value string // a Template; not with HeaderRemove
}
