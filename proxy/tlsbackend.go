package proxy

import (
	"fmt"

	"culvert/engine"
	"culvert/tls"
	"culvert/tls/authorities"
)

// backendSessions is how many TLS sessions are remembered for each backend, of all loops.
const backendSessions = 64

// backendTLS is how a backend is spoken to over TLS: one value as long as nothing of that changes, so that sessions are
// resumed. Immutable but for the sessions.
type backendTLS struct {
	options BackendTLS
	ca      [32]byte // of the authorities; zero: those of the system
	config  *tls.Config
}

// newBackendTLS compiles options.
func newBackendTLS(options BackendTLS) (*backendTLS, error) {
	s := &backendTLS{options: options}
	o := tls.ClientOptions{
		ServerName: options.ServerName, AnyCertificate: options.Insecure, Protocols: []string{"http/1.1"}, Sessions: backendSessions,
	}
	if options.CA != "" {
		bundle, err := authorities.Load(options.CA)
		if err != nil {
			return nil, err
		}
		o.Authorities, s.ca = bundle.Pool(), bundle.ID
	}
	var err error
	s.config, err = tls.NewClientConfig(o)
	return s, err
}

// same tells whether both secure a connection in the same way.
func (s *backendTLS) same(other *backendTLS) bool {
	return other != nil && s.options == other.options && s.ca == other.ca
}

// secureMember compiles how a member of a group is spoken to over TLS.
func (b *siteBuilder) secureMember(server *backend, m *BackendConfig) error {
	if m.TLS == nil {
		return nil
	}
	compiled := b.secured[*m.TLS]
	if compiled == nil {
		var err error
		if compiled, err = newBackendTLS(*m.TLS); err != nil {
			return fmt.Errorf("backend %s: %w", m.Name, err)
		}
		b.secured[*m.TLS] = compiled
	}
	if old := server.security.Load(); old != nil && compiled.same(old) {
		compiled = old
	}
	b.site.security[server] = compiled
	return nil
}

// secureBackend begins the TLS handshake on a connection to a backend that stands. A PROXY header goes in front of it.
func (x *exchange) secureBackend(raw *engine.Conn) {
	h := x.shard
	w := &h.loop.Workspace
	b := x.record.backend
	if x.rule.group.config.SendProxy > 0 {
		preface := w.Acquire(256)
		*preface.Buffer() = x.appendPreface(*preface.Buffer(), x.askedAddress())
		n, _ := raw.Write(preface.Bytes()) // a new connection takes so little at once
		whole := n == preface.Len()
		w.Release(preface)
		if !whole {
			x.record.detail = "reset"
			x.dialFailed()
			return
		}
	}
	x.state = exchangeSecuring
	x.secured = b.security.Load()
	t := h.layer(raw, x.secured.config, x, engine.SideBackend)
	x.backend = t.end
	t.end.Begin(nil)
}

// handshakeDetail says why the handshake with a backend failed: the operator must know what is wrong with its certificate.
func (t *tlsTransport) handshakeDetail() string {
	if e := t.Err(); e != nil {
		return e.Error()
	}
	return "tls-handshake"
}

// securedReady is called when the handshake with the backend is over, well or not.
func (x *exchange) securedReady(r engine.Readiness) {
	t := transportOf(x.backend)
	if r&engine.Broken != 0 {
		x.record.detail = t.handshakeDetail()
		x.dialFailed()
		return
	}
	t.established()
	x.connected(engine.Readable | engine.Writable) // more may have come already, and is not told of again
}
