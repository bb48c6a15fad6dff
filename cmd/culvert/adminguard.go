//go:build linux

package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"culvert/cmd/internal/configfile"

	"github.com/rs/zerolog"
)

// adminHeader must come with what changes something, unless a token does: a page in a browser cannot send it without being
// asked first (CORS). Answers have it too, so that a command does not take another server's for one.
const adminHeader = "Culvert-Admin"

// guardAdmin refuses what a page in a browser could be made to ask for: a foreign Origin, and, where only this machine
// can reach the port, a Host that is a name, behind which a page can hide our address (DNS rebinding).
func guardAdmin(next http.Handler, loopback bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if loopback && !localHost(r.Host) {
			http.Error(w, "the Host must be localhost or an address", http.StatusForbidden)
			return
		}
		for _, origin := range r.Header.Values("Origin") {
			if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
				http.Error(w, "requests of foreign pages are refused", http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// localHost reports whether a Host header is an address or localhost, with or without a port.
func localHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || strings.EqualFold(host, "localhost")
}

// doorkeeper decides who may change something by the admin port: whoever knows the token, or, where there is none, the
// commands of this machine. Immutable.
type doorkeeper struct {
	// tokenFile has the token, which is read each time: it may have been replaced. "": there is none.
	tokenFile string
	// socket is true where the admin port is a Unix socket: whoever can connect to it is of this machine, and this user.
	socket bool
	log    zerolog.Logger
}

// refusal is why a request changes nothing.
type refusal struct {
	status int
	reason string // one line
}

// acting lets requests pass that may change something.
func (d *doorkeeper) acting(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(adminHeader, "1")
		refused := d.judge(r)
		if refused == nil {
			next(w, r)
			return
		}
		if refused.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="culvert"`)
		}
		http.Error(w, refused.reason, refused.status)
	}
}

// judge returns why a request may not change anything; nil: it may.
func (d *doorkeeper) judge(r *http.Request) *refusal {
	switch {
	case r.URL.RawQuery != "" || r.URL.ForceQuery:
		// Queries end up in logs and histories.
		return &refusal{http.StatusBadRequest, "nothing is taken from the query; a token stands in the header Authorization"}
	case d.tokenFile != "":
		return d.judgeToken(r)
	case !d.local(r) || r.Header.Get(adminHeader) == "":
		return &refusal{http.StatusForbidden, "without a token (--admin-token-file), this is asked for from this machine, by culvert reload and culvert backend"}
	}
	return nil
}

func (d *doorkeeper) judgeToken(r *http.Request) *refusal {
	token, err := configfile.ReadToken(d.tokenFile)
	if err != nil {
		d.log.Error().Str("file", d.tokenFile).Err(err).Msg("the token of the admin port cannot be read: nobody may change anything")
		return &refusal{http.StatusServiceUnavailable, "the token cannot be read; the log says why"}
	}
	given := r.Header.Values("Authorization")
	if len(given) == 0 {
		return &refusal{http.StatusUnauthorized, "a token is asked for: Authorization: Bearer TOKEN (--admin-token-file)"}
	}
	scheme, text, _ := strings.Cut(given[0], " ")
	// Sums are of one length, and so tell nothing of the token's.
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(strings.TrimSpace(text)))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 || !strings.EqualFold(scheme, "Bearer") || len(given) > 1 {
		return &refusal{http.StatusForbidden, "not the token (--admin-token-file)"}
	}
	return nil
}

// local reports whether a request comes from this machine. A Host that is a name is that of a page which hides our address
// behind it, also where all may read the port.
func (d *doorkeeper) local(r *http.Request) bool {
	if d.socket {
		return true
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback() && localHost(r.Host)
}
