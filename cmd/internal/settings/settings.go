// Package settings is what culvert can be told: every setting is one field with its name, default, unit, range and
// help, from which the flags, the environment variables, the checks, the help text and docs/flags.md are made.
//
//	invocation, err := settings.Parse(os.Args[1:], os.Environ())
//	if err != nil {
//		fmt.Fprintf(os.Stderr, "culvert: %v\n", err) // one line that names the setting, why, and what is allowed
//		os.Exit(2)
//	}
//
// It looks at nothing but the two lists it is given, and starts nothing.
package settings

import (
	"net/netip"
	"time"
)

// A Settings holds what the commands that start a proxy have in common. The tags are read by kong and by this package:
// placeholder names the unit; min and max bound the value; zero says what 0 means, where it is allowed beside the
// range; words lists the only values; allowed puts in words what no range can say. A default in ${} differs between
// the commands.
type Settings struct {
	Listeners Listeners `embed:"" group:"Listeners"`
	Timeouts  Timeouts  `embed:"" group:"Timeouts"`
	Limits    Limits    `embed:"" group:"Limits"`
	HTTP      HTTP      `embed:"" group:"HTTP"`
	TLS       TLS       `embed:"" group:"TLS"`
	Logs      Logs      `embed:"" group:"Logs"`
	Trust     Trust     `embed:"" group:"Trust"`
	Admin     Admin     `embed:"" group:"Admin"`
	Shutdown  Shutdown  `embed:"" group:"Shutdown"`
}

// Config is where the configuration file is.
type Config struct {
	Config      ConfigFile `default:"off" placeholder:"FILE" allowed:"a file, or off" help:"Read listeners, groups, rules and settings from this YAML file; a flag or a variable overrides its setting there."`
	WatchConfig bool       `default:"false" placeholder:"BOOL" help:"Reload when the configuration file changes. The files of body-file are read at a reload, and not watched."`
}

// ConfigFile names the configuration file; "": none.
type ConfigFile string

// Listeners are the settings of the listening sockets.
type Listeners struct {
	Listen  []netip.AddrPort `default:"${listen}" placeholder:"ADDRESS" allowed:":8080, 192.0.2.1:80, [2001:db8::1]:80 or [::]:80; port 0 takes a free one" help:"Accept clients here; repeatable. :8080 and [::]:8080 take IPv6 and IPv4."`
	Backlog int              `default:"4096" placeholder:"CONNECTIONS" min:"1" max:"65535" help:"Length of each listening socket's accept queue; net.core.somaxconn bounds it too."`
}

// Timeouts are the deadlines of every phase of an exchange.
type Timeouts struct {
	Idle         time.Duration `name:"idle-timeout" default:"60s" placeholder:"DURATION" min:"1s" max:"24h" zero:"none" help:"End a tunnel none of whose bytes touched the backend's socket for so long."`
	Stalled      time.Duration `name:"stalled-timeout" default:"60s" placeholder:"DURATION" min:"1s" max:"1h" zero:"none" help:"End a tunnel whose slow side took no byte for so long while bytes were waiting for it."`
	HalfClosed   time.Duration `name:"half-closed-timeout" default:"60s" placeholder:"DURATION" min:"1s" max:"1h" help:"End a tunnel of which one side has finished and the other is silent for so long."`
	TLSHandshake time.Duration `name:"tls-handshake-timeout" default:"10s" placeholder:"DURATION" min:"1s" max:"60s" help:"From accepting an HTTPS client to the end of its handshake."`
	ClientHead   time.Duration `name:"client-head-timeout" default:"15s" placeholder:"DURATION" min:"1s" max:"180s" help:"From accepting a client, by HTTPS from the end of its handshake, to the end of its request's head."`
	Connect      time.Duration `name:"connect-timeout" default:"5s" placeholder:"DURATION" min:"100ms" max:"60s" help:"One attempt to reach a backend; then the next backend is tried."`
	ConnectTotal time.Duration `name:"connect-total-timeout" default:"10s" placeholder:"DURATION" min:"100ms" max:"60s" help:"All attempts of one request to reach a backend together; at most 3 backends are tried."`
	Answer       time.Duration `name:"answer-timeout" default:"60s" placeholder:"DURATION" min:"1s" max:"180s" help:"How long a backend may take until the head of its answer is whole."`
	ClientWrite  time.Duration `name:"client-write-timeout" default:"60s" placeholder:"DURATION" min:"1s" max:"1h" help:"End an HTTP answer of which the client takes no byte for so long."`
	Linger       time.Duration `name:"linger-timeout" default:"5s" placeholder:"DURATION" min:"1s" max:"60s" help:"How long to read and discard after the last byte sent, so that it is not lost."`
}

// Limits bound what the proxy takes of the machine.
type Limits struct {
	Spec                       string `default:"none" placeholder:"NAME" words:"none slb.s1.small slb.s2.small slb.s2.medium slb.s3.small slb.s3.medium slb.s3.large slb.s3.xlarge slb.s3.xxlarge" help:"Size of the instance: sets --max-connections, --max-new-connections and --max-requests where they are not given; docs/flags.md has their numbers."`
	Loops                      int    `default:"0" placeholder:"LOOPS" min:"1" max:"256" zero:"one per CPU" help:"Event loops; a container's CPU limit counts as its number of CPUs."`
	ReadBuffer                 int    `type:"size" default:"64KiB" placeholder:"SIZE" min:"4KiB" max:"1MiB" help:"Each loop's one read buffer, and the most that is held per direction of a tunnel."`
	BufferMemory               int    `type:"size" default:"0" placeholder:"SIZE" min:"1MiB" max:"1024GiB" zero:"a quarter of the machine's or container's memory" help:"What all loops together hold for slow receivers; then requests get 503 and the longest-stalled tunnels end."`
	MaxConnections             int    `default:"0" placeholder:"CONNECTIONS" min:"1" max:"10000000" zero:"as many as descriptors allow" help:"Client connections at the same time; one more is closed when it is accepted."`
	MaxConnectionsPerClient    int    `default:"0" placeholder:"CONNECTIONS" min:"1" max:"10000000" zero:"no bound" help:"Connections of one client address, trusted proxies seen through."`
	MaxNewConnections          int    `default:"0" placeholder:"CONNECTIONS" min:"1" max:"10000000" zero:"no bound" help:"Client connections accepted per second; one more is closed when it is accepted."`
	MaxNewConnectionsPerClient int    `default:"0" placeholder:"CONNECTIONS" min:"1" max:"10000000" zero:"no bound" help:"Those of one client address per second, trusted proxies seen through."`
	MaxRequests                int    `default:"0" placeholder:"REQUESTS" min:"1" max:"10000000" zero:"no bound" help:"Requests per second, upgrades included; one more gets 503."`
	MaxRequestsPerClient       int    `default:"0" placeholder:"REQUESTS" min:"1" max:"10000000" zero:"no bound" help:"Those of one client address per second, trusted proxies seen through; one more gets 503."`
	MaxBandwidth               int    `type:"size" default:"0" placeholder:"SIZE" min:"1KiB" max:"1024GiB" zero:"no bound" help:"Bytes per second, both directions together; while it is exceeded, new connections are closed and new requests get 503."`
	ClientPrefixIPv6           int    `name:"client-prefix-ipv6" default:"64" placeholder:"BITS" min:"1" max:"128" help:"Length of the network that an IPv6 client counts as, in the limits per client."`
	SpliceThreshold            int    `type:"size" default:"64KiB" placeholder:"SIZE" min:"4KiB" max:"1GiB" zero:"never" help:"From this size on, the rest of a payload goes through a pipe and not through the process."`
	SplicePipes                int    `default:"64" placeholder:"PIPES" min:"1" max:"4096" zero:"none" help:"Pipes that each loop may have open, of two descriptors each; without a free one, payloads are copied."`
	NotsentLowat               int    `type:"size" default:"0" placeholder:"SIZE" min:"4KiB" max:"16MiB" zero:"the kernel's own bound" help:"What the kernel takes of a socket beyond what it has sent (TCP_NOTSENT_LOWAT)."`
}

// HTTP are the settings of ordinary requests, and of the heads of all.
type HTTP struct {
	KeepAliveTimeout       time.Duration `default:"15s" placeholder:"DURATION" min:"1s" max:"60s" help:"Close a client connection on which no further request begins for so long."`
	KeepAliveRequests      int           `default:"100" placeholder:"REQUESTS" min:"1" max:"1000000" help:"Requests that one client connection may carry."`
	BackendIdleTimeout     time.Duration `default:"30s" placeholder:"DURATION" min:"1s" max:"1h" help:"How long a connection to a backend is kept for the next request."`
	BackendIdleConnections int           `default:"256" placeholder:"CONNECTIONS" min:"1" max:"65536" zero:"none" help:"Connections to backends that each loop keeps so; fewer where descriptors are scarce."`
	MaxHead                int           `type:"size" default:"32KiB" placeholder:"SIZE" min:"1KiB" max:"1MiB" help:"Largest head of a request or an answer."`
	MaxRequestLine         int           `type:"size" default:"8KiB" placeholder:"SIZE" min:"1KiB" max:"1MiB" help:"Longest first line of one; not more than --max-head."`
	MaxHeaders             int           `default:"128" placeholder:"HEADERS" min:"1" max:"4096" help:"Most header lines of one, and most trailer lines."`
	MaxBody                int           `type:"size" default:"0" placeholder:"SIZE" min:"1KiB" max:"1024GiB" zero:"no bound" help:"Largest body of a request; a larger one gets 413."`
	MinBodyRate            int           `type:"size" default:"0" placeholder:"SIZE" min:"1B" max:"1GiB" zero:"none" help:"Least bytes per second of a request's body, over 10 s; a slower client gets 408."`
	AbortOnClientFin       bool          `default:"false" placeholder:"BOOL" help:"Take a client's half-close before its answer as leaving (499); by default it gets its answer."`
	Forwarded              bool          `default:"false" placeholder:"BOOL" help:"Tell backends of the client by Forwarded (RFC 7239) too."`
	RequestID              bool          `default:"false" placeholder:"BOOL" help:"Give each request an X-Request-Id, the id of the access log; a trusted proxy's own stands."`
	Via                    bool          `default:"false" placeholder:"BOOL" help:"Name ourselves in Via (RFC 9110 7.6.3), in requests and answers."`
	SLBID                  string        `name:"slb-id" default:"off" placeholder:"NAME" allowed:"a name of letters, digits and -, or off" help:"Tell backends our name, and the address that the client asked for, by SLB-ID and SLB-IP."`
}

// Logs say what is logged where.
type Logs struct {
	LogLevel       string    `default:"info" placeholder:"LEVEL" words:"debug info warn error" help:"Least severe lines of the log on standard error."`
	LogFormat      string    `default:"auto" placeholder:"FORMAT" words:"auto json console" help:"Format of the log on standard error; auto is console on a terminal, else json."`
	AccessLog      AccessLog `default:"${access_log}" placeholder:"FILE" allowed:"a file, - (standard output) or off" help:"Where one JSON line per request, and per tunnel's begin and end, goes."`
	AccessLogQuery bool      `default:"false" placeholder:"BOOL" help:"Log the query of a URI too: browsers put WebSocket tokens there."`
}

// AccessLog is where the access log goes.
type AccessLog struct {
	// Off is true where there is none.
	Off bool
	// Path is the file that lines are appended to; "-" is standard output.
	Path string
}

// Trust says who is believed.
type Trust struct {
	TrustedProxies []netip.Prefix `placeholder:"CIDR" allowed:"networks such as 10.0.0.0/8 or 2001:db8::/32, or single addresses" help:"Peers whose X-Forwarded-* headers are believed; repeatable, or with commas between several."`
}

// Admin are the settings of the port for metrics, probes, and what operators ask for.
type Admin struct {
	Admin          AdminAddress `default:"127.0.0.1:9900" placeholder:"ADDRESS" allowed:"an address such as 127.0.0.1:9900, [::1]:9900 or :9900, unix:/path, or off" help:"Serve /metrics, /livez, /readyz and /backends here, to anyone who can reach it; a Unix socket is for this user alone."`
	AdminTokenFile FileName     `default:"off" placeholder:"FILE" allowed:"a file that others cannot read: one line of 16 to 512 characters; or off" help:"Token that whoever changes something at the admin port must know, wherever it comes from; off: this machine may."`
}

// AdminAddress is where the admin port is.
type AdminAddress struct {
	// Off is true where there is none.
	Off bool
	// Address is where it listens, unless Path is given.
	Address netip.AddrPort
	// Path is that of a Unix socket; "": it is none.
	Path string
}

// String writes it as its flag reads it.
func (a AdminAddress) String() string {
	switch {
	case a.Off:
		return "off"
	case a.Path != "":
		return unixPrefix + a.Path
	}
	return AddressText(a.Address)
}

// Shutdown are the settings of the end.
type Shutdown struct {
	ShutdownDelay time.Duration `default:"${shutdown_delay}" placeholder:"DURATION" min:"10ms" max:"10m" zero:"none" help:"After SIGTERM, how long clients are still accepted while /readyz says 503."`
	ShutdownGrace time.Duration `default:"${shutdown_grace}" placeholder:"DURATION" min:"10ms" max:"24h" zero:"none" help:"Then, the time over which the open tunnels are ended one by one."`
}

// Backend is one server that requests are balanced over, as the operator named it.
type Backend struct {
	// Name is the host and port, as written, behind "https://" where TLS.
	Name string
	// Host is a name or an address; Port is 1 to 65535. Path, if not empty, is a Unix socket's, and there is no host.
	Host string
	Port uint16
	Path string
	// TLS has it spoken to by HTTPS.
	TLS bool
	// Weight is its share of new requests, 0 to 100.
	Weight int
}
