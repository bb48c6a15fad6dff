package configfile

import (
	"strconv"
	"strings"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
	"culvert/tls/certs"
)

// path returns where a file is that the configuration names: a file of it does so from its own folder, flags from where
// the process stands.
func (f *File) path(name string) string {
	if name == "" || !f.HasSite() {
		return name
	}
	return FilePath(f.Name, name)
}

// httpsConfig translates what a listener says of HTTPS.
func (f *File) httpsConfig(l *Listener, c *proxy.ListenerConfig) {
	if l.HTTPSRedirect != 0 {
		c.HTTPSRedirect = &proxy.HTTPSRedirect{Status: l.HTTPSRedirect, Port: l.HTTPSPort}
	}
	if l.TLS == nil {
		return
	}
	t := l.TLS.ListenerTLS
	t.ClientCA = f.path(t.ClientCA)
	t.Certificates = f.source(&t.Certificates)
	c.TLS = &t
}

// source returns certificates by where their files are.
func (f *File) source(named *certs.Source) certs.Source {
	source := certs.Source{Strict: named.Strict}
	for _, pair := range named.Pairs {
		source.Pairs = append(source.Pairs, certs.Pair{CertFile: f.path(pair.CertFile), KeyFile: f.path(pair.KeyFile)})
	}
	for _, folder := range named.Folders {
		source.Folders = append(source.Folders, f.path(folder))
	}
	return source
}

// backendTLS translates how a server of a group is spoken to; nil: in plain HTTP.
func (f *File) backendTLS(g *Group, s *Server) *proxy.BackendTLS {
	if !s.TLS {
		return nil
	}
	return f.overTLS(s.ServerName(), g.OverTLS, s.OverTLS)
}

// overTLS translates what is said of how a server is spoken to by HTTPS, of which the last counts. name is that of its
// certificate where nobody says another.
func (f *File) overTLS(name string, all ...*BackendTLS) *proxy.BackendTLS {
	t := &proxy.BackendTLS{}
	for _, said := range all {
		if said == nil {
			continue
		}
		if said.ServerName != nil {
			t.ServerName = *said.ServerName
		}
		if said.CA != nil {
			t.CA = f.path(*said.CA)
		}
		if said.Verify != nil {
			t.Insecure = !*said.Verify
		}
	}
	if t.ServerName == "" {
		t.ServerName = name
	}
	if t.Insecure {
		t.CA = "" // a group's, of which the server wants nothing
	}
	return t
}

// httpsOf returns the HTTPS listeners that flags ask for.
func httpsOf(i *settings.Invocation) []Listener {
	s := &i.Settings.TLS
	var listeners []Listener
	for _, address := range s.TLSListen {
		t := &ListenerTLS{ListenerTLS: proxy.ListenerTLS{
			SelfSigned: i.SelfSigned, Policy: s.TLSPolicy, ClientCA: string(s.TLSClientCA), ClientOptional: s.TLSClientAuth == "optional",
			HSTS: s.HSTS, HSTSSubdomains: s.HSTSSubdomains, Certificates: certs.Source{Strict: s.TLSStrictSNI},
		}}
		for n, name := range s.TLSCert {
			t.Certificates.Pairs = append(t.Certificates.Pairs, certs.Pair{CertFile: string(name), KeyFile: string(s.TLSKey[n])})
		}
		for _, name := range s.TLSDir {
			t.Certificates.Folders = append(t.Certificates.Folders, string(name))
		}
		listeners = append(listeners, Listener{Address: address, Group: proxy.DefaultGroup, TLS: t})
	}
	return listeners
}

// redirectOf returns the redirect of the plain listeners that flags ask for.
func redirectOf(i *settings.Invocation) (status int, port uint16) {
	s := &i.Settings.TLS
	status, _ = statusOf(s.HTTPSRedirect) // off: 0
	if status != 0 && len(s.TLSListen) > 0 {
		port = s.TLSListen[0].Port()
	}
	return status, port
}

// overTLSOf returns how flags have backends spoken to by HTTPS; nil: they say nothing of it.
func overTLSOf(i *settings.Invocation) *BackendTLS {
	s, t := &i.OverTLS, &BackendTLS{}
	if s.BackendServerName != "" {
		t.ServerName = new(string(s.BackendServerName))
	}
	if s.BackendCA != "" {
		t.CA = new(string(s.BackendCA))
	}
	if i.Given("backend-tls-verify") && !s.BackendTLSVerify {
		t.Verify = new(false)
	}
	if *t == (BackendTLS{}) {
		return nil
	}
	return t
}

// text writes it as a file says it.
func (t *BackendTLS) text(path func(string) string) string {
	var parts []string
	if t.ServerName != nil {
		parts = append(parts, "server-name: "+quote(wordIfEmpty(*t.ServerName, "backend-server-name")))
	}
	if t.CA != nil {
		parts = append(parts, "ca: "+quote(wordIfEmpty(path(*t.CA), "backend-ca")))
	}
	if t.Verify != nil {
		parts = append(parts, "verify: "+strconv.FormatBool(*t.Verify))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// wordIfEmpty returns a flag's word for none in place of an empty text.
func wordIfEmpty(text, flag string) string {
	if text == "" {
		return flagNamed(flag).Default
	}
	return text
}
