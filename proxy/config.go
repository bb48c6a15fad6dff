package proxy

import (
	"net/netip"
	"time"
)

// Config is everything a Server works by. The loops read it without locks: it must not be changed once given away.
//
// The fields up to Version are fixed when the server is made; the rest, from Policy on, is what Reload replaces.
type Config struct {
	// Loops is the number of event loops, 1 to 256. 0: GOMAXPROCS.
	Loops int
	// ReadBuffer is the size in bytes of each loop's one read buffer, 4 KiB to 1 MiB. 0: 64 KiB.
	// It bounds what is held per direction of a tunnel, and the bytes taken from a client before its 101.
	ReadBuffer int
	// BufferMemory bounds, in bytes, what all loops together hold for their connections. 0: a quarter of the memory
	// of the machine or its cgroup.
	BufferMemory int64
	// SplicePipes is how many pipes each loop may have open. 0: 64. Negative: none.
	SplicePipes int
	// NotSentLowat bounds, in bytes, what the kernel holds unsent per socket. 0: its own bound.
	NotSentLowat int
	// Sources are the addresses that backends are dialed from, in turn. Empty: the kernel chooses.
	Sources []netip.Addr
	// TLSWorkers is the number of threads that TLS handshakes run on. 0: half as many as loops, at least one.
	TLSWorkers int
	// HandshakesMax is how many handshakes may be in flight; while as many are, HTTPS listeners do not accept. 0: 1,000.
	HandshakesMax int
	// TicketKeys is a file of keys for session tickets, shared between machines. Empty: keys of our own.
	TicketKeys string
	// Version names the build in metrics and in a panic's last words.
	Version string

	// Policy holds where neither a listener nor a rule has one of its own.
	Policy
	// Listeners are the addresses that clients connect to, at least one.
	Listeners []ListenerConfig
	// Groups are the servers that requests are balanced over. None where every request is answered here.
	Groups []GroupConfig
	// Limits bound what the instance takes on.
	Limits InstanceLimits
	// Backlog is the length of each listening socket's accept queue. 0: 4096. A listener keeps the one it began with.
	Backlog int
	// SpliceThreshold is the size in bytes from which the rest of a payload goes from socket to socket through a pipe.
	// 0: 64 KiB. Negative: never.
	SpliceThreshold int
	// MaxHead bounds a head, MaxStartLine its first line, in bytes; MaxHeaders the number of header lines. 0: 32 KiB,
	// 8 KiB, 128.
	MaxHead, MaxStartLine, MaxHeaders int
	// BackendIdle is how many connections to backends each loop keeps between exchanges. 0: 256, or fewer where there
	// are few descriptors. Negative: none.
	BackendIdle int
	// TrustedProxies are the peers whose forwarded headers are believed and appended to. Empty: nobody.
	TrustedProxies []netip.Prefix
	// AccessLogQuery logs the query of a URI. Off by default: browsers put WebSocket tokens there.
	AccessLogQuery bool
	// ShutdownDelay is how long accepting goes on after a shutdown was asked for, while /readyz already fails.
	ShutdownDelay time.Duration
	// ShutdownGrace is how long tunnels may live on after the listeners are closed.
	ShutdownGrace time.Duration
}

// Policy is how an exchange is treated: what a listener, or a rule of one, may have different from all others.
type Policy struct {
	// Timeouts are the deadlines of every phase. Until a request's head is whole the listener's hold, then the rule's.
	Timeouts Timeouts
	// MaxBody bounds the body of a request, in bytes. 0: no bound.
	MaxBody int64
	// MinBodyRate ends an exchange whose client sends the request's body slower than this, in bytes per second, measured
	// over Timeouts.BodyRate. 0: none.
	MinBodyRate int64
	// KeepAliveRequests is how many requests one client connection may carry. 0: 100.
	KeepAliveRequests int
	// AbortOnClientFIN takes a client's half-close before its answer as leaving.
	AbortOnClientFIN bool
	// Announce says what backends are told besides the forwarded headers.
	Announce Announcements
}

// InstanceLimits bound what all loops together take on. What reaches one is dropped and counted; what lives is not
// touched. 0, in each: no bound.
type InstanceLimits struct {
	// Connections are the client connections at once; 0, or more than the descriptors of the process allow: as many as
	// those allow, see MaxTunnels. One more is closed when it is accepted.
	Connections int
	// NewConnections are those accepted per second; one more is closed when it is accepted.
	NewConnections int
	// Requests are those per second, upgrades included; one more gets 503.
	Requests int
	// Bandwidth is in bytes per second, both directions together. While it is exceeded new connections are closed when
	// they are accepted, and new requests get 503.
	Bandwidth int64
	// ClientConnections are the connections of one client address at once, by trust. Here and below, an IPv6 address
	// counts as its network of ClientPrefix6 bits (0: 64).
	ClientConnections int
	// ClientNewConnections and ClientRequests are those of one client address per second.
	ClientNewConnections, ClientRequests, ClientPrefix6 int
}

// Announcements are headers that are written only where asked for.
type Announcements struct {
	// Forwarded: the client by Forwarded (RFC 7239).
	Forwarded bool
	// RequestID: X-Request-Id, unless a trusted peer sent one.
	RequestID bool
	// Via: ourselves, in requests and answers (RFC 9110 7.6.3).
	Via bool
	// SLBID is the instance's name, a token, for SLB-ID; SLB-IP, the address that the client asked for, goes with it.
	// Empty: neither.
	SLBID string
}

// Timeouts are the deadlines of an exchange. Zero means "none" only where said; the ranges are in the field comments.
type Timeouts struct {
	// Idle ends a tunnel none of whose bytes touched the backend's socket for this long. 0 (none), 1 s to 24 h.
	Idle time.Duration
	// Stalled ends a tunnel whose slow side took no byte for this long while bytes were pending. 0 (none), 1 s to 1 h.
	Stalled time.Duration
	// HalfClosed ends a tunnel of which one side has finished and the other was silent for this long. 1 s to 1 h.
	HalfClosed time.Duration
	// TLSHandshake bounds a client's handshake, from accept on. 1 to 60 s.
	TLSHandshake time.Duration
	// ClientHead is absolute, from accept, or the end of the handshake, to the end of the request's head. 1 to 180 s.
	ClientHead time.Duration
	// KeepAlive ends a client connection on which no further request begins for this long. 1 to 60 s.
	KeepAlive time.Duration
	// BodyRate is the time over which the rate of a request's body is measured, for MinBodyRate. 10 s.
	BodyRate time.Duration
	// BackendIdle is how long a connection to a backend is kept between exchanges. 1 s to 1 h.
	BackendIdle time.Duration
	// Connect bounds one attempt to reach a backend. 0.1 to 60 s.
	Connect time.Duration
	// ConnectTotal bounds all attempts of one exchange together. 0.1 to 60 s.
	ConnectTotal time.Duration
	// Answer is how long a backend may take until the head of its answer is whole. 1 to 180 s.
	Answer time.Duration
	// ClientWrite ends an HTTP answer of which the client took no byte for this long. 1 s to 1 h.
	ClientWrite time.Duration
	// Linger bounds the lingering close: reading and discarding after our last byte. 1 to 60 s.
	Linger time.Duration
}

const (
	// DefaultKeepAliveRequests is how many requests one client connection may carry.
	DefaultKeepAliveRequests = 100
	// DefaultBackendIdle is how many connections to backends each loop keeps between exchanges.
	DefaultBackendIdle = 256
)

// ConnectTries is how many backends are tried for one exchange while nothing was sent.
const ConnectTries = 3

// DefaultTimeouts returns the documented defaults.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		Idle:         60 * time.Second,
		Stalled:      60 * time.Second,
		HalfClosed:   60 * time.Second,
		TLSHandshake: 10 * time.Second,
		ClientHead:   15 * time.Second,
		KeepAlive:    15 * time.Second,
		BodyRate:     10 * time.Second,
		BackendIdle:  30 * time.Second,
		Connect:      5 * time.Second,
		ConnectTotal: 10 * time.Second,
		Answer:       60 * time.Second,
		ClientWrite:  60 * time.Second,
		Linger:       5 * time.Second,
	}
}
