package configfile

import (
	"net/netip"
	"time"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
	"culvert/proxy/access"
	"culvert/proxy/health"
	"culvert/proxy/route"
)

// Bounds of what a file may hold.
const (
	// MaxListeners bounds the listeners.
	MaxListeners = 1_000
	// MaxRules bounds the rules of all listeners together.
	MaxRules = 10_000
	// MaxServers bounds the servers of all groups together.
	MaxServers = 10_000
	// MaxListEntries bounds each list of networks, and any other list.
	MaxListEntries = access.MaxEntries
	// MaxCertificates bounds the certificates that one listener names, and its folders of them.
	MaxCertificates = 10_000
	// MaxConditions bounds a rule's conditions of one kind, its methods and its subprotocols.
	MaxConditions = 64
	// MaxEdits bounds the edits of one head.
	MaxEdits = 64
)

// File is what a configuration file says.
type File struct {
	// Name is the file's, as given.
	Name string
	// Settings are those of flags, in the order of the file.
	Settings []Setting
	// Listeners and Groups say what is served; both empty: flags do.
	Listeners []Listener
	Groups    []Group

	site place // where the first of both stands; zero: there is neither
}

// Setting is a flag's setting: its value as the flag's decoder takes it.
type Setting struct {
	place
	// Flag is named without dashes.
	Flag string
	// Items is one text, or any number where the setting is a list.
	Items []string
}

// Listener is an address that clients connect to.
type Listener struct {
	place
	// Name is for logs and metrics; "": the address.
	Name    string
	Address netip.AddrPort
	// Group serves the requests that no rule is for; "": they get 404.
	Group string
	// Access are allow (the white list) and deny (the black one).
	Access access.Lists
	// ProxyProtocol asks for a PROXY header, believed from ProxyProtocolFrom.
	ProxyProtocol     bool
	ProxyProtocolFrom []netip.Prefix
	// TLS makes it an HTTPS listener; nil: a plain one.
	TLS *ListenerTLS
	// HTTPSRedirect is the status of the redirect to HTTPS that answers every request; 0: none. HTTPSPort is where that
	// is; 0: 443.
	HTTPSRedirect int
	HTTPSPort     uint16
	// Policy are the settings that it has different from the file's.
	Policy []Setting
	Rules  []Rule

	addressPlace, groupPlace, namePlace, rulesPlace, redirectPlace, portPlace place
}

// Rule is what becomes of the requests that it matches.
type Rule struct {
	place
	// Name is for logs; "": that of the listener and a number.
	Name  string
	Match route.Match
	// Group, Redirect and Answer: exactly one is given.
	Group    string
	Redirect *proxy.RedirectConfig
	Answer   *Answer
	// Access is as a listener's.
	Access access.Lists
	// AllowedOrigins may open WebSockets; none: all may. AnyOrigin says that this is meant.
	AllowedOrigins []string
	AnyOrigin      bool
	// Requests bounds the requests per second; 0: no bound.
	Requests int
	// RequestHeaders and AnswerHeaders are edits, in this order.
	RequestHeaders, AnswerHeaders []proxy.HeaderEdit
	// Host is a template; "": the client's own.
	Host string
	// Rewrite takes the place of the matched path, nil: it stays.
	Rewrite *string
	// ErrorBodies are by status.
	ErrorBodies map[int]Body
	// Schedule and Sticky are its own; nil: its group's.
	Schedule *proxy.Schedule
	Sticky   *Sticky
	// Policy are the settings that it has different from the listener's.
	Policy []Setting

	groupPlace, namePlace, originsPlace place
}

// Answer is one of fixed bytes.
type Answer struct {
	Status  int
	Body    Body
	Headers []proxy.HeaderEdit
}

// Body is a fixed body.
type Body struct {
	proxy.Body
	// File is where the bytes were read from, as the file names it; "": from the configuration itself.
	File string
}

// Group is a set of servers.
type Group struct {
	place
	Name string
	// SendProxy is the version of the PROXY header that connections begin with; 0: none.
	SendProxy int
	// OverTLS is how those servers are spoken to that are by HTTPS, unless they say it themselves; nil: nothing is said.
	OverTLS *BackendTLS
	Servers []Server
	// Discovery is where further servers are found; nil: nowhere.
	Discovery *Discovery
	// Schedule says which server a request goes to, Sticky whom clients are brought back by; nil: nobody is.
	Schedule proxy.Schedule
	Sticky   *Sticky
	// Check and Outliers say when a server gets no requests; nil, in each: never.
	Check     *health.Settings
	Outliers  *health.OutlierSettings
	SlowStart time.Duration
	// EndRate, EndWhenDown, Queue, QueueTimeout and RetryShare are as proxy.GroupConfig has them.
	EndRate      int
	EndWhenDown  bool
	Queue        int
	QueueTimeout time.Duration
	RetryShare   int
}

// Server is one of a group.
type Server struct {
	place
	settings.Backend
	Secondary bool
	// MaxConnections bounds the connections to it; 0: nothing does.
	MaxConnections int
	// Drain takes it out of use, DrainFor says for how long its tunnels live on; 0: as long as they do.
	Drain    bool
	DrainFor time.Duration
	// OverTLS goes before its group's; nil: nothing is said.
	OverTLS *BackendTLS
}

// Layer returns the settings for settings.Invocation.With.
func (f *File) Layer() *settings.Layer {
	layer := &settings.Layer{Values: map[string]settings.LayerValue{}}
	for _, s := range f.Settings {
		if len(s.Items) == 0 {
			continue
		}
		value := settings.LayerValue{Items: s.Items, Place: Where(f.Name, s.line, s.column)}
		if flag := flagNamed(s.Flag); flag.File && s.Items[0] != flag.Default {
			value.Items = []string{FilePath(f.Name, s.Items[0])}
		}
		layer.Values[s.Flag] = value
	}
	if f.site != (place{}) {
		layer.Site = Where(f.Name, f.site.line, f.site.column)
	}
	for i := range f.Listeners {
		layer.Listen = append(layer.Listen, f.Listeners[i].Address)
	}
	return layer
}

// HasSite reports whether the file says what is served; if not, flags do.
func (f *File) HasSite() bool { return f.site != place{} }
