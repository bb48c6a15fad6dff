package configfile

import (
	"sync"
	"time"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
	"culvert/tls/certs"
)

// ListenerTLS is what an HTTPS listener shows its clients, and asks of them. Files are as the configuration names them.
type ListenerTLS struct {
	place
	proxy.ListenerTLS

	pairs, folders []place // of each
	caPlace        place
}

// BackendTLS is what is said of how servers are spoken to by HTTPS; nil, in each: nothing.
type BackendTLS struct {
	place
	// ServerName is asked for, and is in the certificate; "": the server's host.
	ServerName *string
	// CA is a file of those who may have issued the certificate; "": those that the system trusts.
	CA *string
	// Verify is false where any certificate will do.
	Verify *bool

	caPlace place
}

// pair is one of certificates, while it is read.
type pair struct {
	certs.Pair
}

const portAllowed = "1 to 65535"

// httpsFields are the keys of a listener that have to do with HTTPS.
func httpsFields() []field[Listener] {
	redirects := flagNamed("https-redirect")
	return []field[Listener]{
		{
			key: "tls", shape: ref("listener-tls"), allowed: "a mapping, see below", help: "Makes it an HTTPS listener, which carries WebSocket Secure.",
			read: readListenerTLS,
		},
		{
			key: "https-redirect", shape: shape{"enum": []any{"off", 301, 302, 307, 308}}, allowed: redirects.Allowed,
			help: "Answer every request of this plain listener by a redirect to the same address by HTTPS, whatever its rules say; `off` if not given.",
			read: func(r *reader, n *node, to *Listener) {
				to.redirectPlace = n.place
				if word, ok := r.word(n, redirects.Words...); ok {
					to.HTTPSRedirect, _ = statusOf(word) // off: 0
				}
			},
		},
		{
			key: "https-port", shape: countShape(1, 65535), allowed: portAllowed, help: "The port of the HTTPS listener that it leads to; 443, if none is given.",
			read: func(r *reader, n *node, to *Listener) {
				text, ok := r.text(n)
				if !ok {
					return
				}
				port, err := readPort(text)
				if err != nil {
					r.wrong(n, text, err.Error(), portAllowed)
					return
				}
				to.HTTPSPort, to.portPlace = port, n.place
			},
		},
	}
}

// listenerTLSFields are the keys of a listener's tls.
var listenerTLSFields = sync.OnceValue(func() []field[ListenerTLS] {
	return append([]field[ListenerTLS]{
		{
			key: "certificates", shape: oneOrMore(ref("certificate")), allowed: "a list of certificates, see below",
			help: "The certificates, each with its key. Clients that ask for no name, or for one that none holds, get the first.", read: readCertificates,
		},
		{
			key: "folders", shape: oneOrMore(textShape), allowed: flagNamed("tls-dir").Allowed, help: "Folders whose certificates are all taken, behind those above.",
			read: func(r *reader, n *node, to *ListenerTLS) {
				if n.kind == list && len(n.items) == 0 {
					r.fail(n.place, "folders: an empty list; leave it out")
				}
				if !r.bounded(n, len(n.items), MaxCertificates, "folders") {
					return
				}
				r.texts(n, func(item *node, text string) {
					if folders, ok := decoded[[]settings.FolderName](r, item, "tls-dir"); ok {
						to.Certificates.Folders, to.folders = append(to.Certificates.Folders, string(folders[0])), append(to.folders, item.place)
					}
				})
			},
		},
		{
			key: "strict-sni", shape: flagShape(flagNamed("tls-strict-sni")), allowed: "true, false", help: "Refuse clients that ask for a name which no certificate holds.",
			read: func(r *reader, n *node, to *ListenerTLS) { to.Certificates.Strict, _ = r.boolean(n) },
		},
		{
			key: "policy", shape: flagShape(flagNamed("tls-policy")), allowed: flagNamed("tls-policy").Allowed, help: "Protocol versions and cipher suites, by the names of [tls.md](tls.md#policies); `intermediate` if not given.",
			read: func(r *reader, n *node, to *ListenerTLS) { to.Policy, _ = decoded[string](r, n, "tls-policy") },
		},
	}, clientFields()...)
})

// clientFields are the keys of a listener's tls that say what is asked of clients, and told them.
func clientFields() []field[ListenerTLS] {
	return []field[ListenerTLS]{
		{
			key: "client-ca", shape: flagShape(flagNamed("tls-client-ca")), allowed: flagNamed("tls-client-ca").Allowed, help: "Ask clients for a certificate that one of these has issued.",
			read: func(r *reader, n *node, to *ListenerTLS) {
				name, _ := decoded[settings.FileName](r, n, "tls-client-ca")
				to.ClientCA, to.caPlace = string(name), n.place
			},
		},
		{
			key: "client-auth", shape: flagShape(flagNamed("tls-client-auth")), allowed: flagNamed("tls-client-auth").Allowed, help: "Whether clients without a certificate are refused (`require`, the default) or not.",
			read: func(r *reader, n *node, to *ListenerTLS) {
				word, _ := decoded[string](r, n, "tls-client-auth")
				to.ClientOptional = word == "optional"
			},
		},
		{
			key: "hsts", shape: flagShape(flagNamed("hsts")), allowed: flagNamed("hsts").Allowed, help: "Tell clients to come by HTTPS only for so long (Strict-Transport-Security).",
			read: func(r *reader, n *node, to *ListenerTLS) { to.HSTS, _ = decoded[time.Duration](r, n, "hsts") },
		},
		{
			key: "hsts-subdomains", shape: flagShape(flagNamed("hsts-subdomains")), allowed: "true, false", help: "Say the same of all domains below the host's (includeSubDomains).",
			read: func(r *reader, n *node, to *ListenerTLS) { to.HSTSSubdomains, _ = r.boolean(n) },
		},
	}
}

// certificateFields are the keys of a certificate.
var certificateFields = sync.OnceValue(func() []field[pair] {
	return []field[pair]{
		{
			key: "cert", shape: textShape, allowed: flagNamed("tls-cert").Allowed, help: "The certificate. Required.",
			read: func(r *reader, n *node, to *pair) { to.CertFile = r.fileName(n, "tls-cert") },
		},
		{
			key: "key", shape: textShape, allowed: flagNamed("tls-key").Allowed, help: "Its private key. Required.",
			read: func(r *reader, n *node, to *pair) { to.KeyFile = r.fileName(n, "tls-key") },
		},
	}
})

// fileName reads the name of a file as a flag with a list of them does; "": it is wrong.
func (r *reader) fileName(n *node, flag string) string {
	names, ok := decoded[[]settings.FileName](r, n, flag)
	if !ok {
		return ""
	}
	return string(names[0])
}

func readListenerTLS(r *reader, n *node, to *Listener) {
	t := &ListenerTLS{place: n.place}
	to.TLS = t
	before := len(r.problems.Errors())
	values, ok := readMapping(r, n, listenerTLSFields(), t)
	if !ok {
		return
	}
	if len(t.Certificates.Pairs)+len(t.Certificates.Folders) == 0 && len(r.problems.Errors()) == before {
		r.fail(n.place, "tls: there is no certificate; name it by certificates or folders")
	}
	if auth := values["client-auth"]; auth != nil && t.ClientCA == "" && values["client-ca"] == nil {
		r.fail(auth.place, "client-auth: nobody is asked for a certificate without client-ca")
	}
	if t.HSTSSubdomains && values["hsts"] == nil {
		r.fail(values["hsts-subdomains"].place, "hsts-subdomains: it has no effect without hsts")
	}
}

func readCertificates(r *reader, n *node, to *ListenerTLS) {
	items, ok := r.list(n)
	if !ok || !r.bounded(n, len(items), MaxCertificates, "certificates") {
		return
	}
	if len(items) == 0 {
		r.fail(n.place, "certificates: an empty list; leave it out")
	}
	for _, item := range items {
		one := pair{}
		values, isMapping := readMapping(r, item, certificateFields(), &one)
		if !isMapping {
			continue
		}
		for _, f := range certificateFields() {
			if values[f.key] == nil {
				r.fail(item.place, "certificates: a certificate without %s", f.key)
			}
		}
		if one.CertFile != "" && one.KeyFile != "" {
			to.Certificates.Pairs = append(to.Certificates.Pairs, one.Pair)
			to.pairs = append(to.pairs, values["cert"].place, values["key"].place)
		}
	}
}

// backendTLSFields are the keys of the tls of a group or a server.
var backendTLSFields = sync.OnceValue(func() []field[BackendTLS] {
	return []field[BackendTLS]{
		{
			key: "server-name", shape: textShape, allowed: flagNamed("backend-server-name").Allowed, help: "The name that is asked for and that the certificate must hold; `host`, if not given: the server's own.",
			read: func(r *reader, n *node, to *BackendTLS) {
				if name, ok := decoded[settings.ServerName](r, n, "backend-server-name"); ok {
					to.ServerName = new(string(name))
				}
			},
		},
		{
			key: "ca", shape: textShape, allowed: flagNamed("backend-ca").Allowed, help: "Who may have issued the certificate; `system`, if not given: those that this machine trusts.",
			read: func(r *reader, n *node, to *BackendTLS) {
				to.caPlace = n.place
				if name, ok := decoded[settings.FileName](r, n, "backend-ca"); ok {
					to.CA = new(string(name))
				}
			},
		},
		{
			key: "verify", shape: booleanShape, allowed: "true (the default), false", help: "Whether the certificate is verified; if not, whoever is in between can read and change everything.",
			read: func(r *reader, n *node, to *BackendTLS) {
				if verify, ok := r.boolean(n); ok {
					to.Verify = new(verify)
				}
			},
		},
	}
})

func readBackendTLS(r *reader, n *node) *BackendTLS {
	t := &BackendTLS{place: n.place}
	if _, ok := readMapping(r, n, backendTLSFields(), t); !ok {
		return t
	}
	if t.Verify != nil && !*t.Verify && t.CA != nil && *t.CA != "" {
		r.fail(t.caPlace, "ca: with verify: false no certificate is verified")
	}
	return t
}

// checkHTTPS looks whether a listener's keys of HTTPS go together.
func (r *reader) checkHTTPS(l *Listener) {
	switch {
	case l.TLS != nil && l.HTTPSRedirect != 0:
		r.fail(l.redirectPlace, "https-redirect: this listener is HTTPS itself; it is for a plain one")
	case l.HTTPSRedirect != 0 && l.groupPlace != (place{}):
		r.warn(l.groupPlace, "group: it has no effect, since https-redirect answers every request")
	case l.HTTPSRedirect != 0 && l.rulesPlace != (place{}):
		r.warn(l.rulesPlace, "rules: they have no effect, since https-redirect answers every request")
	}
	if l.HTTPSRedirect == 0 && l.portPlace != (place{}) {
		r.warn(l.portPlace, "https-port: it has no effect without https-redirect")
	}
	for _, s := range l.Policy {
		if s.Flag == "tls-handshake-timeout" && l.TLS == nil {
			r.warn(s.place, "%s: it has no effect without tls", s.Flag)
		}
	}
}

// checkBackendTLS looks whether what is said of HTTPS is said of servers that are spoken to so.
func (r *reader) checkBackendTLS(g *Group) {
	any := g.Discovery != nil && g.Discovery.HTTPS
	for i := range g.Servers {
		s := &g.Servers[i]
		any = any || s.TLS
		if s.OverTLS != nil && !s.TLS && s.Name != "" {
			r.fail(s.OverTLS.place, "tls: the server is spoken to in plain HTTP; only an address such as https://host:port is not")
		}
	}
	if g.OverTLS != nil && !any && len(g.Servers) > 0 {
		r.fail(g.OverTLS.place, "tls: no server of group %s is spoken to by HTTPS; write an address as https://host:port", shownKey(g.Name))
	} else if g.OverTLS != nil && !any && g.Discovery != nil {
		r.fail(g.OverTLS.place, "tls: no server of group %s is spoken to by HTTPS; say https: true in its discovery", shownKey(g.Name))
	}
	if d := g.Discovery; d != nil && d.HTTPS && d.name() == "" && !g.OverTLS.tellsWhom() {
		r.fail(d.httpsPlace, "https: nobody knows what is in the certificates; say it by tls: {server-name: ...}, of the group")
	}
}

// tellsWhom reports whether it tells what the certificate of a server holds that was found, or whether that matters.
func (t *BackendTLS) tellsWhom() bool {
	return t != nil && (t.ServerName != nil && *t.ServerName != "" || t.Verify != nil && !*t.Verify)
}
