package proxy

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"culvert/proxy/route"
	tlslistener "culvert/tls/listener"
)

const (
	// defaultRedirect is the status of a redirect to HTTPS.
	defaultRedirect = 302
	// portHTTPS is the one that an address by HTTPS has without saying so.
	portHTTPS = 443
)

// headerHSTS tells clients to come by HTTPS only.
const headerHSTS = "Strict-Transport-Security"

// listenerTLS is the TLS side of a listener. It outlives the configurations that say the same of it; what they hold in
// files is adopted by each.
type listenerTLS struct {
	*tlslistener.Listener
	hsts string // the value of Strict-Transport-Security; empty: none
}

// adoption is what a configuration that is adopted has its listener show from then on.
type adoption struct {
	listener *tlslistener.Listener
	loaded   *tlslistener.Loaded
}

// secureListener compiles the TLS side of a listener: that which the port had before, where nothing but its files may have
// changed. What those hold now is adopted with the site.
func (b *siteBuilder) secureListener(p *port, l *listener, c *ListenerTLS) error {
	options := tlslistener.Options{
		Name: l.name, Certificates: c.Certificates, SelfSigned: c.SelfSigned, Policy: c.Policy,
		ClientCA: c.ClientCA, ClientOptional: c.ClientOptional,
	}
	secured := &listenerTLS{hsts: hstsOf(c)}
	if before := b.before(p); before != nil && before.tls != nil && before.tls.Options().Equal(options) {
		loaded, err := before.tls.Load(wallClock())
		if err != nil {
			return err
		}
		secured.Listener = before.tls.Listener
		b.site.adoptions = append(b.site.adoptions, adoption{secured.Listener, loaded})
	} else {
		var err error
		if secured.Listener, err = tlslistener.Open(options, b.ring, wallClock()); err != nil {
			return err
		}
	}
	l.tls = secured
	b.site.tls = append(b.site.tls, secured)
	return nil
}

// redirectToHTTPS compiles a plain listener all of whose requests are sent to an HTTPS one.
func (b *siteBuilder) redirectToHTTPS(p *port, l *listener, c *ListenerConfig) (err error) {
	to := *c.HTTPSRedirect
	if l.tls != nil {
		return fmt.Errorf("listener %s: it is an HTTPS one: its requests cannot be sent to HTTPS", l.name)
	}
	if to.Status == 0 {
		to.Status = defaultRedirect
	}
	location := "https://{host-name}{uri}"
	if to.Port != 0 && to.Port != portHTTPS {
		location = "https://{host-name}:" + strconv.Itoa(int(to.Port)) + "{uri}"
	}
	l.fallback = &rule{name: l.name, policy: l.policy}
	if l.fallback.fixed, err = newRedirect(&RedirectConfig{Status: to.Status, Location: location}); err != nil {
		return fmt.Errorf("listener %s: %w", l.name, err)
	}
	l.table, err = route.New(nil)
	b.site.listeners[p] = l
	return err
}

// before returns what the configuration before said of a port, nil for nothing.
func (b *siteBuilder) before(p *port) *listener {
	if b.old == nil {
		return nil
	}
	return b.old.listeners[p]
}

// hstsOf returns the value of Strict-Transport-Security (RFC 6797 section 6.1), empty for none.
func hstsOf(c *ListenerTLS) string {
	if c.HSTS == 0 {
		return ""
	}
	value := "max-age=" + strconv.FormatInt(int64(c.HSTS/time.Second), 10)
	if c.HSTSSubdomains {
		value += "; includeSubDomains"
	}
	return value
}

// secureAnswers adds what every answer of an HTTPS listener says to the edits of a rule, which may say otherwise.
func (l *listener) secureAnswers(edits []HeaderEdit) []HeaderEdit {
	if l.tls == nil || l.tls.hsts == "" {
		return edits
	}
	for _, e := range edits {
		if strings.EqualFold(e.Name, headerHSTS) {
			return edits
		}
	}
	return append([]HeaderEdit{{Op: HeaderSet, Name: headerHSTS, Value: l.tls.hsts}}, edits...)
}

// hsts returns the line of Strict-Transport-Security for our own answer.
func (x *exchange) hsts() string {
	l := x.shard.site.listeners[x.port]
	if transportOf(x.client) == nil || l == nil || l.tls == nil || l.tls.hsts == "" {
		return ""
	}
	return headerHSTS + ": " + l.tls.hsts + "\r\n"
}
