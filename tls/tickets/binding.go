//go:build linux

package tickets

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"sync/atomic"
	"time"
)

// A Context is everything that a full handshake checks and a resumed one does not. Two contexts that differ anywhere have
// different keys.
type Context struct {
	Listener     string            // its name or address; the same on all machines that share sessions
	Certificates [sha256.Size]byte // certs.Set.ID
	ClientCA     [sha256.Size]byte // authorities.Bundle.ID; zero without one
	Policy       string            // policy.Policy.Name
}

// info spells the context such that no two are spelled alike.
func (c *Context) info() string {
	b := []byte("culvert session tickets 1\x00")
	for _, part := range [][]byte{[]byte(c.Listener), c.Certificates[:], c.ClientCA[:], []byte(c.Policy)} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return string(b)
}

// derive returns the keys of a generation under a context.
func (g *generation) derive(info string) [][32]byte {
	keys := make([][32]byte, 0, len(g.keys))
	for _, k := range g.keys {
		derived, err := hkdf.Key(sha256.New, k.secret[:], nil, info, 32)
		if err != nil {
			panic(err) // 32 bytes are never too many
		}
		keys = append(keys, [32]byte(derived))
	}
	return keys
}

// Keys returns the present keys of a context, as tls.Config.SetSessionTicketKeys takes them: the first makes new tickets.
func (r *Ring) Keys(c Context) [][32]byte { return r.present.Load().derive(c.info()) }

// A Binding gives a configuration the keys of a context. Refresh is safe for concurrent use.
type Binding struct {
	ring   *Ring
	config *tls.Config
	info   string
	taken  atomic.Pointer[generation]
}

// Bind gives a configuration the keys of a context, and hooks that bind tickets to the name asked for and to their age. The
// configuration is the one under which the handshake runs: where GetConfigForClient chooses, bind what it returns, and
// set SessionTicketsDisabled in the one that has the hook. Its Time should be the ring's clock.
func (r *Ring) Bind(config *tls.Config, c Context) *Binding {
	b := &Binding{ring: r, config: config, info: c.info()}
	config.WrapSession = b.wrap
	config.UnwrapSession = b.unwrap
	b.Refresh()
	return b
}

// Refresh takes the ring's present keys. Where they have not changed it does next to nothing.
func (b *Binding) Refresh() {
	g := b.ring.present.Load()
	if b.taken.Load() == g {
		return
	}
	b.config.SetSessionTicketKeys(g.derive(b.info))
	b.taken.Store(g)
}

// nameMark begins the entry of a session's Extra that holds a hash of the name that the client asked for.
var nameMark = []byte("culvert-name-1:")

func nameEntry(name string) []byte {
	hash := sha256.Sum256([]byte(name))
	return append(bytes.Clone(nameMark), hash[:]...)
}

// wrap makes a ticket.
func (b *Binding) wrap(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
	session.Extra = append(session.Extra, nameEntry(state.ServerName))
	return b.config.EncryptTicket(state, session)
}

// unwrap opens a ticket. No session and no error means a full handshake.
func (b *Binding) unwrap(ticket []byte, state tls.ConnectionState) (*tls.SessionState, error) {
	session, err := b.config.DecryptTicket(ticket, state)
	if session == nil || err != nil {
		return nil, nil
	}
	if !askedFor(session, state.ServerName) || !b.ring.fresh(session) {
		return nil, nil
	}
	return session, nil
}

// askedFor reports whether the session's client asked for the name (RFC 6066, section 3).
func askedFor(session *tls.SessionState, name string) bool {
	want, found := nameEntry(name), false
	for _, extra := range session.Extra {
		if bytes.HasPrefix(extra, nameMark) {
			if found || !bytes.Equal(extra, want) {
				return false
			}
			found = true
		}
	}
	return found
}

// fresh reports whether the session is young enough. crypto/tls keeps the time of the full handshake when it wraps a
// session of TLS 1.2 again, but shows it only in the encoding: 2 bytes of version, 1 of type, 2 of suite, then 8 of
// seconds. Should that ever change, the tests fail, and sessions are not resumed rather than for ever.
func (r *Ring) fresh(session *tls.SessionState) bool {
	encoded, err := session.Bytes()
	if err != nil || len(encoded) < 13 {
		return false
	}
	created := time.Unix(int64(binary.BigEndian.Uint64(encoded[5:13])), 0)
	age := r.options.Clock().Sub(created)
	return age >= -clockSkew && age <= r.options.Lifetime
}
