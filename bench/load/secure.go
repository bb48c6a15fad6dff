package load

import (
	"fmt"

	"culvert/engine"
	"culvert/tls"
)

// handshakesAtOnce is more than there can be on all loops together: none has to wait for another.
const handshakesAtOnce = MaxConcurrency + MaxTunnels

// What may be asked for by name.
type (
	// TLSVersion is a version of the protocol.
	TLSVersion = tls.Version
	// KeyExchange is how the secret of a connection is agreed upon.
	KeyExchange = tls.KeyExchange
)

// The versions and key exchanges that may be asked for.
const (
	TLS12          = tls.Version12
	TLS13          = tls.Version13
	X25519         = tls.X25519
	X25519MLKEM768 = tls.X25519MLKEM768
)

// TLS says how a target is spoken to by TLS. Whatever certificate it shows is accepted, but not its signature: that is
// verified, as by every client.
type TLS struct {
	// ServerName is the name that is asked for (SNI); "": none.
	ServerName string
	// Version is the only one that is offered; 0: the newest that both speak, from 1.2 on.
	Version TLSVersion
	// KeyExchange is the only one that is offered; 0: what crypto/tls would offer.
	KeyExchange KeyExchange
	// Resume takes up an earlier session whenever there is one; else every handshake is a full one.
	Resume bool

	prepared *tls.Config // nil: each measurement makes its own
}

// sessions is how many are remembered where they are to be resumed. All are under the server's one name.
const sessions = 16

// Prepared returns a copy with which all measurements are of one client: it remembers sessions from one to the next.
func (o *TLS) Prepared() (*TLS, error) {
	p := *o
	var err error
	p.prepared, err = p.config()
	return &p, err
}

func (o *TLS) config() (*tls.Config, error) {
	if o.prepared != nil {
		return o.prepared, nil
	}
	options := tls.ClientOptions{
		ServerName: o.ServerName, AnyCertificate: true, MinVersion: o.Version, MaxVersion: o.Version,
	}
	if o.KeyExchange != 0 {
		options.KeyExchanges = []tls.KeyExchange{o.KeyExchange}
	}
	if o.Resume {
		options.Sessions = sessions
	}
	return tls.NewClientConfig(options)
}

// security is what all connections of a set of loops have in common where they are secured.
type security struct {
	config  *tls.Config
	workers *tls.Workers
}

// newSecurity starts as many workers as there are loops, each with a thread of its own; nil for a plain target.
func newSecurity(target *Target, loops int) (*security, error) {
	if target.TLS == nil {
		return nil, nil
	}
	config, err := target.TLS.config()
	if err != nil {
		return nil, err
	}
	return &security{config, tls.NewWorkers(tls.WorkersOptions{Threads: loops, Handshakes: handshakesAtOnce})}, nil
}

// stop ends the workers. The loops have ended.
func (s *security) stop() {
	if s != nil {
		s.workers.Stop()
	}
}

// agreement is what a handshake has come to.
type agreement struct {
	version tls.Version
	suite   tls.Suite
	keys    tls.KeyExchange
}

// String returns it in words, "" for none.
func (a agreement) String() string {
	switch {
	case a.version == 0:
		return ""
	case a.keys == 0:
		return fmt.Sprintf("%v, %v", a.version, a.suite)
	}
	return fmt.Sprintf("%v, %v, %v", a.version, a.suite, a.keys)
}

// secure joins a client's tls.Conn to the engine. Owned by its loop.
type secure struct {
	*tls.Conn
	end *engine.Layered
}

var _ engine.Transport = (*secure)(nil)

// secure puts TLS on a connected socket and begins the handshake. The owner is told when that is over.
func (s *station) secure(raw *engine.Conn, owner engine.Owner) *engine.Layered {
	c := &secure{}
	c.end = engine.Layer(raw, c, owner, engine.SideBackend)
	c.Conn = tls.New(tls.Options{
		Config: s.security.config, Workers: s.security.workers, Buffers: s.loop.Buffers(), Post: s.loop.PostAlways, Observer: c,
	})
	return c.end
}

// secured counts a handshake that has succeeded.
func (s *station) secured(end *engine.Layered) {
	info := end.Transport().(*secure).Info()
	s.handshakes++
	if info.Resumed {
		s.resumed++
	}
	s.agreed = agreement{info.Version, info.Suite, info.KeyExchange}
}

// faultOf returns the error of a connection that failed; nil: none that it knows of.
func faultOf(c engine.Connection) error {
	if errno := c.Err(); errno != 0 {
		return errno
	}
	if end, ok := c.(*engine.Layered); ok {
		if c := end.Transport().(*secure); c.Failed() {
			return c.Err()
		}
	}
	return nil
}

// Stepped implements tls.Observer.
func (c *secure) Stepped(*tls.Conn) { c.end.Stepped() }

// Failed implements engine.Transport.
func (c *secure) Failed() bool { return !c.Established() && c.Err() != nil }

// Plain implements engine.Transport.
func (c *secure) Plain(p []byte) (int, engine.Status) {
	n, status := c.Conn.Plain(p)
	switch status {
	case tls.StatusReady:
		return n, engine.StatusReady
	case tls.StatusClosed, tls.StatusTruncated:
		return n, engine.StatusEOF
	case tls.StatusFailed:
		return n, engine.StatusFailed
	}
	return n, engine.StatusBlocked
}
