package discovery

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Bounds of resolv.conf, as resolv.conf(5) has them but for the time: nobody is waited for longer than five seconds.
const (
	maxServers      = 3
	maxSearch       = 6
	maxAttempts     = 5
	defaultAttempts = 2
	defaultTimeout  = 5 * second
	dnsPort         = 53
)

// resolverConfig is what /etc/resolv.conf says, or the options in its place. Immutable.
type resolverConfig struct {
	servers  []netip.AddrPort
	search   []string // absolute
	timeout  int64    // of one exchange, in nanoseconds: 1 to 5 s
	attempts int      // with each server, 1 to maxAttempts
}

// parseResolvConf reads a resolv.conf. What it does not know it passes over, as every resolver does.
func parseResolvConf(text string) *resolverConfig {
	c := &resolverConfig{timeout: defaultTimeout, attempts: defaultAttempts}
	for line := range strings.Lines(text) {
		if line[0] == '#' || line[0] == ';' {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(words[1]); err == nil && len(c.servers) < maxServers {
				c.servers = append(c.servers, netip.AddrPortFrom(a.Unmap(), dnsPort))
			}
		case "domain":
			c.setSearch(words[1:2])
		case "search":
			c.setSearch(words[1:])
		case "options":
			c.setOptions(words[1:])
		}
	}
	if len(c.servers) == 0 {
		c.servers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}
	}
	return c
}

// setSearch replaces the search list: the last line counts.
func (c *resolverConfig) setSearch(domains []string) {
	c.search = nil
	for _, d := range domains {
		if d = strings.TrimSuffix(d, ".") + "."; validName(d) && len(c.search) < maxSearch {
			c.search = append(c.search, d)
		}
	}
}

func (c *resolverConfig) setOptions(options []string) {
	for _, o := range options {
		name, value, _ := strings.Cut(o, ":")
		n, err := strconv.Atoi(value)
		switch {
		case err != nil:
		case name == "timeout":
			c.timeout = min(max(int64(n), 1)*second, defaultTimeout)
		case name == "attempts":
			c.attempts = min(max(n, 1), maxAttempts)
		}
	}
}

// names returns the absolute names that a name may stand for, in the order in which they are tried: one with a dot in it
// is absolute first, one that ends in a dot is nothing else.
func (c *resolverConfig) names(name string) []string {
	name = strings.ToLower(name)
	if strings.HasSuffix(name, ".") {
		return []string{name}
	}
	var names []string
	for _, domain := range c.search {
		if full := name + "." + domain; validName(full) {
			names = append(names, full)
		}
	}
	if strings.Contains(name, ".") {
		return slices.Insert(names, 0, name+".")
	}
	return append(names, name+".")
}

// validName reports whether a name can be asked for: up to 253 bytes and a dot, labels of 1 to 63 letters, digits, '-' and
// '_'. Names in other scripts are given in their ASCII form.
func validName(name string) bool {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i] | 0x20
			if !(c >= 'a' && c <= 'z' || label[i] >= '0' && label[i] <= '9' || label[i] == '-' || label[i] == '_') {
				return false
			}
		}
	}
	return true
}

// parseHosts reads an /etc/hosts: addresses by name, in lower case.
func parseHosts(text string) map[string][]netip.Addr {
	hosts := map[string][]netip.Addr{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		a, err := netip.ParseAddr(words[0])
		if err != nil {
			continue
		}
		for _, name := range words[1:] {
			name = strings.ToLower(strings.TrimSuffix(name, "."))
			if a = a.Unmap(); !slices.Contains(hosts[name], a) {
				hosts[name] = append(hosts[name], a)
			}
		}
	}
	return hosts
}

// systemPeriod is how often the system's files are looked at, in nanoseconds.
const systemPeriod = second

// system is what the machine's own files say; each is read again when it has changed. Workers share it.
type system struct {
	resolvConf, hostsFile string
	given                 []netip.AddrPort // servers in place of those of resolv.conf
	clock                 func() int64

	mu         sync.Mutex
	next       int64 // look
	looked     bool
	confState  fileState
	hostsState fileState
	config     *resolverConfig
	hosts      map[string][]netip.Addr
}

// look returns what they say now. A file that cannot be read says nothing.
func (s *system) look() (*resolverConfig, map[string][]netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.clock(); !s.looked || now >= s.next {
		s.next = now + systemPeriod
		conf, hosts := stateOf(s.resolvConf), stateOf(s.hostsFile)
		if !s.looked || conf != s.confState {
			text, _ := readBounded(s.resolvConf)
			s.config = parseResolvConf(string(text))
			if len(s.given) > 0 {
				s.config.servers = s.given
			}
		}
		if !s.looked || hosts != s.hostsState {
			text, _ := readBounded(s.hostsFile)
			s.hosts = parseHosts(string(text))
		}
		s.confState, s.hostsState, s.looked = conf, hosts, true
	}
	return s.config, s.hosts
}
