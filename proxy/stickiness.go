package proxy

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"time"

	"culvert/engine"
	"culvert/proxy/health"
	"culvert/proxy/http1"
	"culvert/proxy/keyfile"
	"culvert/proxy/sticky"
)

// stickiness brings clients back to the backend that they had, as one group or rule wants it. Immutable but for what its
// loops own of it.
type stickiness struct {
	insert  [2][]*sticky.Inserter // by whether the client has come over TLS, and by loop
	rewrite []*sticky.Rewriter    // by loop; nil: a cookie is inserted
}

// newSecrets returns what signs cookies where nobody has given keys: known to this process alone.
func newSecrets() []sticky.Secret {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	secrets, err := sticky.ParseSecrets(hex.EncodeToString(key[:]))
	if err != nil {
		panic("proxy: a key of our own is wrong: " + err.Error())
	}
	return secrets
}

// stickiness compiles what a group, or a rule for it, wants; nil: nothing.
func (b *siteBuilder) stickiness(c *Stickiness, group string) (*stickiness, error) {
	if c == nil || c.Off {
		return nil, nil
	}
	secrets := b.secrets
	if c.KeyFile != "" {
		var err error
		if secrets, err = keyfile.Read(c.KeyFile); err != nil {
			return nil, err
		}
	}
	keys := sticky.NewKeys(secrets, "group "+group)
	s := &stickiness{}
	for range b.site.config.Loops {
		if c.Rewrite {
			w, err := sticky.NewRewriter(c.Name, keys)
			if err != nil {
				return nil, err
			}
			s.rewrite = append(s.rewrite, w)
			continue
		}
		for secure := range s.insert {
			n, err := newInserter(c, keys, c.Secure || secure == 1)
			if err != nil {
				return nil, err
			}
			s.insert[secure] = append(s.insert[secure], n)
		}
	}
	return s, nil
}

// reader returns what reads the cookies on a loop. Attributes, which differ by how the client has come, do not matter to it.
func (s *stickiness) reader(loop int) sticky.Reader {
	if s.rewrite != nil {
		return s.rewrite[loop]
	}
	return s.insert[0][loop]
}

func newInserter(c *Stickiness, keys *sticky.Keys, secure bool) (*sticky.Inserter, error) {
	site := sticky.SameSiteDefault
	if c.SameSite != "" {
		var err error
		if site, err = sticky.ParseSameSite(strings.ToLower(c.SameSite)); err != nil {
			return nil, err
		}
	}
	return sticky.NewInserter(sticky.InsertConfig{
		Name: c.Name, Lifetime: int(c.Lifetime / time.Second), HTTPOnly: c.HTTPOnly, Secure: secure, SameSite: site,
		Path: c.Path, Domain: c.Domain,
	}, keys)
}

// stuck is what a request's cookies say.
type stuck struct {
	to    uint64 // the identity of a backend
	valid bool
	renew bool
}

// readCookies looks for the cookie that names the client's backend, and takes off what we put there: the Cookie lines that
// the backend is to get instead are in the shard's scratch then.
func (x *exchange) readCookies(head *http1.RequestHead) {
	x.stuck, x.cookies = stuck{}, nil
	s := x.rule.sticky
	if s == nil || !head.Has(http1.FieldCookie) {
		return
	}
	h := x.shard
	r := s.reader(h.index)
	r.Begin()
	out, ours := h.cookies[:0], false
	for i := range head.Len() {
		f := head.At(i)
		if f.ID != http1.FieldCookie {
			continue
		}
		begin := len(out)
		out = append(out, "Cookie: "...)
		value := len(out)
		line, hit, found := r.AppendRequest(out, f.Value, seconds())
		if !found {
			line = append(out, f.Value...)
		}
		out = append(line, "\r\n"...)
		if found && len(line) == value { // nothing else was in it
			out = out[:begin]
		}
		ours = ours || found
		if found && !hit.Expired && !x.stuck.valid {
			x.stuck = stuck{hit.ID, true, hit.Renew}
		}
	}
	h.cookies = out
	if ours {
		x.cookies = out
	}
}

// stuckTo returns the member that the client's cookie names, if it may serve.
func (x *exchange) stuckTo() (index int, ok bool) {
	if !x.stuck.valid || x.tries > 0 {
		return 0, false
	}
	g := x.rule.group
	i, ok := g.byIdentity[x.stuck.to]
	return i, ok && g.standing.Load().status[i] == health.Serving
}

// appendSticky appends what brings the client back to its backend to the head of an answer: not where it is of class 4xx,
// which may be for anybody.
func (x *exchange) appendSticky(dst []byte) []byte {
	s, h, b := x.rule.sticky, x.shard, x.record.backend
	if s == nil || x.responseHead.Status()/100 == 4 {
		return dst
	}
	if s.rewrite == nil {
		if x.stuck.valid && x.stuck.to == b.identity && !x.stuck.renew {
			return dst
		}
		secure := 0
		if x.record.secure {
			secure = 1
		}
		return s.insert[secure][h.index].AppendSetCookie(dst, b.identity, seconds())
	}
	for i := range x.responseHead.Len() {
		f := x.responseHead.At(i)
		if !isSetCookie(f) {
			continue
		}
		begin := len(dst)
		dst = append(dst, "Set-Cookie: "...)
		line, changed := s.rewrite[h.index].AppendAnswer(dst, f.Value, b.identity, seconds())
		if !changed {
			line = append(dst[:begin+len("Set-Cookie: ")], f.Value...)
		}
		dst = append(line, "\r\n"...)
	}
	return dst
}

// rewritesCookies tells whether the backend's Set-Cookie lines are written anew.
func (x *exchange) rewritesCookies() bool {
	return x.rule.sticky != nil && x.rule.sticky.rewrite != nil && x.responseHead.Status()/100 != 4
}

func isSetCookie(f http1.Field) bool {
	return len(f.Name) == len("Set-Cookie") && bytes.EqualFold(f.Name, []byte("Set-Cookie"))
}

// seconds returns the time in seconds since 1970, as other machines have it that take each other's cookies.
func seconds() int64 { return engine.Today().Unix() }
