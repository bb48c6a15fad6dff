package proxy

import (
	"net/netip"
	"time"

	"culvert/proxy/health"
)

// GroupConfig is a set of servers that requests are balanced over.
type GroupConfig struct {
	// Name is unique.
	Name string
	// Backends are its servers, at least one.
	Backends []BackendConfig
	// SendProxy is the version of the PROXY header that each connection to a server begins with, 1 or 2. 0: none.
	// Such connections serve one request.
	SendProxy int
	// Schedule says which server a request goes to.
	Schedule Schedule
	// Sticky brings clients back to the server that they had; nil: nobody.
	Sticky *Stickiness
	// Check says how servers are checked; nil: they are not, and count as up.
	Check *health.Settings
	// Outliers says when a server is ejected for what became of its requests; nil: never.
	Outliers *health.OutlierSettings
	// SlowStart is how a server that is new, or back, takes its share.
	SlowStart health.SlowStart
	// EndRate is how many tunnels per second, of all loops, are ended where tunnels of a server are: 0: all at once.
	EndRate int
	// EndWhenDown ends the tunnels of a server that its checks find down, at EndRate. By default they live on.
	EndWhenDown bool
	// Queue is how many requests may wait for a server that has less than MaxConnections; one more gets 503. 0: none
	// waits. QueueTimeout bounds how long one waits, 10 ms to 60 s.
	Queue        int
	QueueTimeout time.Duration
	// RetryShare bounds the dials of further servers after one that failed, in percent of the requests, 0 to 100; some few
	// are free. See DefaultRetryShare.
	RetryShare int
	// Discovery adds servers to Backends, and takes them away again; nil: there are those that are written down.
	Discovery *Discovery
}

// Schedule says how a server is chosen.
type Schedule struct {
	// Algorithm is wrr, rr, wlc, least-time, p2c or hash. Empty: wrr.
	Algorithm string
	// HashBy says what of a request hash goes by.
	HashBy HashKey
	// LoadFactor bounds the connections of a server under hash, as a multiple of its share: 1 to 100. 0: no bound.
	LoadFactor float64
}

// HashKind is a part of a request.
type HashKind uint8

// What hash may go by.
const (
	HashAddress HashKind = iota // the client's address, by trust; IPv6 by its network of InstanceLimits.ClientPrefix6 bits
	HashHeader                  // the value of a header
	HashCookie                  // that of a cookie
	HashQuery                   // that of a query parameter
	HashPath                    // the path, without the query
)

// HashKey is the part of a request that decides: requests that do not have it are spread by load.
type HashKey struct {
	Kind HashKind
	Name string // of the header, the cookie or the parameter
}

// Stickiness brings clients back to the server that they had, by a cookie. No answer of class 4xx sets one; a 101 does.
type Stickiness struct {
	// Off has nobody brought back: in a rule, other than its group says.
	Off bool
	// Rewrite marks the server's own cookie of this name instead of adding one; its lifetime and attributes are the
	// server's. False: a cookie of our own is inserted.
	Rewrite bool
	// Name is the cookie's, 1 to 200 characters of a token. Empty, and not Rewrite: SERVERID.
	Name string
	// Lifetime is how long a cookie of ours is honoured, 1 s to 24 h. 0: as long as the browser runs.
	Lifetime time.Duration
	// Domain and Path are attributes of a cookie of ours; Path empty: "/".
	Domain, Path string
	// SameSite is "Lax", "Strict" or "None"; empty: no attribute.
	SameSite string
	// Secure and HTTPOnly are attributes of a cookie of ours. Where a client has come by TLS it is Secure in any case.
	Secure, HTTPOnly bool
	// KeyFile has the keys that sign cookies, shared between machines. Empty: a key of this process.
	KeyFile string
}

// Discovery is a source of servers.
type Discovery struct {
	// DNS is a name whose addresses are servers, or, with SRV, whose records say addresses, ports and weights. Empty:
	// none. Port is that of the addresses.
	DNS  string
	SRV  bool
	Port uint16
	// Resolvers are asked in turn; none: those of /etc/resolv.conf.
	Resolvers []netip.AddrPort
	// MinTTL and MaxTTL bound how long an answer holds. 0: 5 s and 5 min.
	MinTTL, MaxTTL time.Duration
	// File is a list of servers in JSON or YAML, which is watched. Empty: none.
	File string
	// Weight is that of a server whose source says nothing about it, 0 to 100.
	Weight int
	// MaxConnections is that of each server. 0: no bound.
	MaxConnections int
	// TLS has them spoken to by HTTPS. nil: plain HTTP.
	TLS *BackendTLS
}

// BackendConfig names one server.
type BackendConfig struct {
	// Name is what the operator wrote; it appears in logs and metrics.
	Name string
	// Address is where it is dialed, unless Path is given.
	Address netip.AddrPort
	// Path is that of a Unix socket.
	Path string
	// Weight is its share of new requests, 0 to 100. 0: no new requests.
	Weight int
	// TLS has it spoken to by HTTPS. nil: plain HTTP.
	TLS *BackendTLS
	// MaxConnections bounds the connections to it of all loops, tunnels included. 0: no bound.
	MaxConnections int
	// Drain takes it out of use: no new requests, its tunnels live on, for DrainFor at most. 0: for ever.
	Drain    bool
	DrainFor time.Duration
	// Priority says who is asked first: servers of a higher number only where no other takes requests, or all that were
	// tried failed or have as many connections as they may. A primary server has 0, a secondary one 1.
	Priority uint16
}

// BackendTLS is how a server is spoken to by HTTPS.
type BackendTLS struct {
	// ServerName is asked for (SNI), and must be in its certificate: a host name, or an address, which is not asked for.
	ServerName string
	// CA is a PEM file of those who may have signed its certificate. Empty: those that the system trusts.
	CA string
	// Insecure accepts any certificate.
	Insecure bool
}

const (
	// DefaultRetryShare is GroupConfig.RetryShare where nothing else is said.
	DefaultRetryShare = 20
	// DefaultQueueTimeout is GroupConfig.QueueTimeout where nothing else is said.
	DefaultQueueTimeout = 5 * time.Second
	// DefaultCookie is the name of the cookie that is inserted.
	DefaultCookie = "SERVERID"
)

// DefaultGroup is the name of the group where there is only one.
const DefaultGroup = "default"

// OneGroup returns listeners that all lead to one group, and the group: what a command line can say.
func OneGroup(listen []netip.AddrPort, backends []BackendConfig) ([]ListenerConfig, []GroupConfig) {
	listeners := make([]ListenerConfig, len(listen))
	for i, address := range listen {
		listeners[i] = ListenerConfig{Address: address, Group: DefaultGroup}
	}
	return listeners, []GroupConfig{{Name: DefaultGroup, Backends: backends}}
}
