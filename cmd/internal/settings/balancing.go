package settings

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// Balancing is how requests are balanced over the backends that flags name. A configuration file says it of each of its
// groups, and more.
type Balancing struct {
	Schedule                 string        `default:"wrr" placeholder:"NAME" words:"wrr rr wlc least-time p2c hash" help:"How a backend is chosen: in turn by weight, in turn, by fewest connections, by shortest answer time, by the better of two, or by a part of the request; docs/balancing.md explains them."`
	HashBy                   HashBy        `default:"address" placeholder:"PART" allowed:"address, path, header:NAME, cookie:NAME, query:NAME" help:"The part of a request by which --schedule hash goes."`
	Sticky                   Sticky        `default:"off" placeholder:"COOKIE" allowed:"off, insert, insert:NAME, rewrite:NAME" help:"Bring clients back to the backend that they had, by a cookie of ours (SERVERID, if no name is given) or by the backend's own."`
	StickyLifetime           time.Duration `default:"0" placeholder:"DURATION" min:"1s" max:"24h" whole:"1s" zero:"as long as the browser runs" help:"How long a cookie of ours is honoured."`
	StickyKeyFile            FileName      `default:"off" placeholder:"FILE" allowed:"a file that others cannot read, or off" help:"Keys that sign such cookies, shared between machines; off: a key of this process alone."`
	Check                    string        `default:"off" placeholder:"KIND" words:"off http tcp websocket" help:"Check the backends: by a request, a connection, or a WebSocket; one that fails gets no new requests."`
	CheckPath                CheckPath     `default:"/" placeholder:"PATH" allowed:"a path such as /health" help:"What HTTP and WebSocket checks ask for."`
	CheckInterval            time.Duration `default:"2s" placeholder:"DURATION" min:"1s" max:"50s" help:"From the beginning of one check to that of the next."`
	CheckTimeout             time.Duration `default:"5s" placeholder:"DURATION" min:"1s" max:"300s" help:"How long a check may take."`
	CheckHealthy             int           `default:"3" placeholder:"CHECKS" min:"2" max:"10" help:"Good checks in a row that bring a backend back."`
	CheckUnhealthy           int           `default:"3" placeholder:"CHECKS" min:"2" max:"10" help:"Bad checks in a row that take a backend out."`
	OutlierFailures          int           `default:"5" placeholder:"FAILURES" min:"1" max:"100" zero:"never" help:"Failed requests in a row for which a backend gets none for a while, 10s and more; half of the backends at most."`
	SlowStart                time.Duration `default:"0" placeholder:"DURATION" min:"1s" max:"1h" zero:"at once" help:"How long a backend that is new, or back, takes to get its whole share of new requests."`
	MaxConnectionsPerBackend int           `default:"0" placeholder:"CONNECTIONS" min:"1" max:"1000000" zero:"no bound" help:"Connections to each backend, tunnels included."`
	Queue                    int           `default:"0" placeholder:"REQUESTS" min:"1" max:"100000" zero:"none waits" help:"Requests that may wait for a backend with less than --max-connections-per-backend; one more gets 503."`
	QueueTimeout             time.Duration `default:"5s" placeholder:"DURATION" min:"10ms" max:"60s" help:"How long a request waits so; then it gets 503."`
	Discover                 Discover      `default:"off" placeholder:"SOURCE" allowed:"dns://name:port, srv://_service._tcp.name, file:///path, or off" help:"Further backends, found while the proxy runs: addresses of a name, its SRV records, or a list in a file that is watched."`
}

// HashBy is a part of a request: "address" and "path" are their own names, "header", "cookie" and "query" have a Name.
type HashBy struct{ Part, Name string }

// String writes it as its flag reads it.
func (h HashBy) String() string { return withName(h.Part, h.Name) }

// Sticky is a cookie that brings clients back.
type Sticky struct {
	// Cookie is "insert" or "rewrite"; "": there is none.
	Cookie string
	// Name is the cookie's; "": the usual one.
	Name string
}

// String writes it as its flag reads it.
func (s Sticky) String() string {
	if s.Cookie == "" {
		return "off"
	}
	return withName(s.Cookie, s.Name)
}

func withName(word, name string) string {
	if name == "" {
		return word
	}
	return word + ":" + name
}

// CheckPath is what a health check asks for.
type CheckPath string

// Discover is where backends are found.
type Discover struct {
	// Kind is "dns", "srv" or "file"; "": nowhere.
	Kind string
	// Name is a name of DNS, or the absolute path of a file.
	Name string
	// Port is that of the addresses that DNS has.
	Port uint16
}

// String writes it as its flag reads it.
func (d Discover) String() string {
	switch d.Kind {
	case "":
		return "off"
	case "dns":
		return fmt.Sprintf("dns://%s:%d", d.Name, d.Port)
	}
	return d.Kind + "://" + d.Name
}

const (
	// MaxCookieName bounds the name of a cookie, in characters.
	MaxCookieName = 200
	// maxCheckPath bounds what a check asks for, in bytes.
	maxCheckPath = 1024
	// tokenSigns are what tokens consist of beside letters and digits (RFC 9110 5.6.2).
	tokenSigns = "!#$%&'*+-.^_`|~"
)

// wrongToken says why a text cannot be the name of a header or a cookie; nil: it can.
func wrongToken(text string) error {
	switch {
	case text == "":
		return errors.New("a name is missing")
	case len(text) > MaxCookieName:
		return fmt.Errorf("a name longer than %d characters", MaxCookieName)
	}
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && !strings.ContainsRune(tokenSigns, c) {
			return fmt.Errorf("%+q cannot stand in a name", c)
		}
	}
	return nil
}

func decodeHashBy(text string, _ *kong.Tag) (HashBy, error) {
	part, name, named := strings.Cut(text, ":")
	switch part {
	case "address", "path":
		if named {
			return HashBy{}, fmt.Errorf("%s has no name", part)
		}
		return HashBy{Part: part}, nil
	case "header", "cookie", "query":
		return HashBy{part, name}, wrongToken(name)
	}
	if part, name, ok := strings.Cut(text, " "); ok && slices.Contains([]string{"header", "cookie", "query"}, part) {
		return HashBy{}, fmt.Errorf("write %s:%s", part, strings.TrimSpace(name))
	}
	return HashBy{}, errors.New("unknown")
}

func decodeSticky(text string, _ *kong.Tag) (Sticky, error) {
	cookie, name, named := strings.Cut(text, ":")
	switch {
	case text == "off":
		return Sticky{}, nil
	case text == "insert":
		return Sticky{Cookie: text}, nil
	case text == "rewrite":
		return Sticky{}, errors.New("the name of the backend's cookie is missing")
	case named && cookie == "insert" && NeedsSecure(name):
		return Sticky{}, errors.New("browsers take a cookie of such a name with the attribute Secure only, which a configuration file can ask for")
	case named && (cookie == "insert" || cookie == "rewrite"):
		return Sticky{cookie, name}, wrongToken(name)
	}
	return Sticky{}, errors.New("unknown")
}

// NeedsSecure reports whether browsers take a cookie of this name with the attribute Secure only (RFC 6265bis 4.1.3).
func NeedsSecure(name string) bool {
	return strings.HasPrefix(name, "__Secure-") || strings.HasPrefix(name, "__Host-")
}

func decodeCheckPath(text string, _ *kong.Tag) (CheckPath, error) {
	switch {
	case !strings.HasPrefix(text, "/"):
		return "", errors.New("no path")
	case len(text) > maxCheckPath:
		return "", fmt.Errorf("longer than %d characters", maxCheckPath)
	}
	for _, c := range text {
		if c <= ' ' || c >= 0x7f {
			return "", fmt.Errorf("%+q is sent percent-encoded: write it so", c)
		}
	}
	return CheckPath(text), nil
}

func decodeDiscover(text string, tag *kong.Tag) (Discover, error) {
	kind, name, _ := strings.Cut(text, "://")
	switch {
	case text == "off":
		return Discover{}, nil
	case kind == "file" && !strings.HasPrefix(name, "/"):
		return Discover{}, errors.New("a file is named by an absolute path")
	case kind == "file":
		_, err := decodeFile[FileName](name, tag)
		return Discover{Kind: kind, Name: name}, err
	case kind != "dns" && kind != "srv":
		return Discover{}, errors.New("unknown")
	}
	d := Discover{Kind: kind, Name: strings.TrimSuffix(name, "/")}
	if kind == "dns" {
		host, port, err := splitHostPort(d.Name)
		if err != nil {
			return Discover{}, err
		}
		if d.Port, err = readPort(port); err != nil {
			return Discover{}, err
		}
		if d.Port == 0 {
			return Discover{}, errors.New("port 0 cannot be connected to")
		}
		d.Name = host
	} else if strings.Contains(d.Name, ":") {
		return Discover{}, errors.New("SRV records have ports of their own")
	}
	return d, WrongDiscoveryName(d.Name)
}

// WrongDiscoveryName says why DNS cannot be asked for a name; nil: it can.
func WrongDiscoveryName(name string) error {
	if _, err := netip.ParseAddr(name); err == nil {
		return fmt.Errorf("%s is an address, and no name to be looked up", Shown(name))
	}
	if !HostName(name) {
		return fmt.Errorf("%s is no name", Shown(name))
	}
	return nil
}

// balancingFlags are those of Balancing, in the same order.
var balancingFlags = []string{
	"schedule", "hash-by", "sticky", "sticky-lifetime", "sticky-key-file", "check", "check-path", "check-interval", "check-timeout",
	"check-healthy", "check-unhealthy", "outlier-failures", "slow-start", "max-connections-per-backend", "queue", "queue-timeout", "discover",
}

// checkBalancing looks at what those settings say together.
func (i *Invocation) checkBalancing() error {
	if i.unread() || i.layer.hasSite() {
		return nil // the file says what is served, or may do so
	}
	b := &i.Balancing
	for _, one := range []struct {
		wrong        bool
		flag, reason string
	}{
		{b.Schedule != "hash", "hash-by", "only --schedule hash goes by it"},
		{b.Sticky.Cookie == "", "sticky-lifetime", "there is no cookie without --sticky"},
		{b.Sticky.Cookie != "insert", "sticky-lifetime", "the backend's own cookie has the lifetime that it gives it"},
		{b.Sticky.Cookie == "", "sticky-key-file", "there is no cookie to sign without --sticky"},
		{b.Check == "off", "check-path", "nothing is checked without --check"},
		{b.Check == "tcp", "check-path", "a TCP check asks for nothing"},
		{b.Check == "off", "check-interval", "nothing is checked without --check"},
		{b.Check == "off", "check-timeout", "nothing is checked without --check"},
		{b.Check == "off", "check-healthy", "nothing is checked without --check"},
		{b.Check == "off", "check-unhealthy", "nothing is checked without --check"},
		{len(i.Backends) == 0, "max-connections-per-backend", "it is for each --backend, and there is none"},
		{b.MaxConnectionsPerBackend == 0, "queue", "no request waits without --max-connections-per-backend"},
		{b.Queue == 0, "queue-timeout", "no request waits without --queue"},
	} {
		if one.wrong && i.says(one.flag) {
			return i.wrong(one.flag, i.textOf(one.flag), one.reason)
		}
	}
	return nil
}
