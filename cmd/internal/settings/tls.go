package settings

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"
)

// TLS are the settings of HTTPS. All but the last three are of the command line's listeners: a configuration file says
// of each of its own what they say here.
type TLS struct {
	TLSListen        []netip.AddrPort `name:"tls-listen" placeholder:"ADDRESS" allowed:":443, 192.0.2.1:443, [2001:db8::1]:443 or [::]:443; port 0 takes a free one" help:"Accept clients by HTTPS here; repeatable. Then there is no plain listener unless --listen asks for one."`
	TLSCert          []FileName       `name:"tls-cert" placeholder:"FILE" allowed:"a PEM file: the certificate, then its issuers" help:"Certificate of the HTTPS listeners; repeatable, each with its --tls-key. Clients that ask for no known name get the first."`
	TLSKey           []FileName       `name:"tls-key" placeholder:"FILE" allowed:"a PEM file, which may be that of the certificate" help:"Private key of the certificate that --tls-cert has at this place; repeatable."`
	TLSDir           []FolderName     `name:"tls-dir" placeholder:"FOLDER" allowed:"a folder of x.crt or x.pem with x.key, or of files that hold both" help:"Certificates of the HTTPS listeners, all in a folder; repeatable."`
	TLSStrictSNI     bool             `name:"tls-strict-sni" default:"false" placeholder:"BOOL" help:"Refuse clients that ask for a name which no certificate holds; else they get the first."`
	TLSPolicy        string           `name:"tls-policy" default:"intermediate" placeholder:"NAME" words:"tls_cipher_policy_1_0 tls_cipher_policy_1_1 tls_cipher_policy_1_2 tls_cipher_policy_1_2_strict tls_cipher_policy_1_2_strict_with_1_3 intermediate modern" help:"Protocol versions and cipher suites of the HTTPS listeners; docs/tls.md has them."`
	TLSClientCA      FileName         `name:"tls-client-ca" default:"off" placeholder:"FILE" allowed:"a PEM file of certificates, or off" help:"Ask clients of the HTTPS listeners for a certificate that one of these has issued."`
	TLSClientAuth    string           `name:"tls-client-auth" default:"require" placeholder:"WORD" words:"require optional" help:"Whether clients without a certificate are refused, where --tls-client-ca asks for one."`
	HSTS             time.Duration    `name:"hsts" default:"0" placeholder:"DURATION" min:"1s" max:"17520h" whole:"1s" zero:"none" help:"Tell clients of the HTTPS listeners to come by HTTPS only for so long (Strict-Transport-Security)."`
	HSTSSubdomains   bool             `name:"hsts-subdomains" default:"false" placeholder:"BOOL" help:"Say the same of all domains below the host's (includeSubDomains)."`
	HTTPSRedirect    string           `name:"https-redirect" default:"off" placeholder:"STATUS" words:"off 301 302 307 308" help:"Answer every request of the plain listeners by a redirect to HTTPS, at the port of the first --tls-listen, or 443."`
	TLSWorkers       int              `name:"tls-workers" default:"0" placeholder:"THREADS" min:"1" max:"256" zero:"half as many as loops, at least one" help:"Threads for TLS handshakes, of lower priority than the loops."`
	TLSHandshakesMax int              `name:"tls-handshakes-max" default:"1000" placeholder:"HANDSHAKES" min:"1" max:"1000000" help:"TLS handshakes at the same time; HTTPS listeners accept nobody while there are as many."`
	TLSTicketKeys    FileName         `name:"tls-ticket-keys" default:"off" placeholder:"FILE" allowed:"a file as docs/tls.md describes it, or off" help:"Keys of session tickets that machines share; off: keys of this process alone, which change every 8 hours."`
}

// BackendTLS is how backends are spoken to by HTTPS.
type BackendTLS struct {
	BackendCA         FileName   `name:"backend-ca" default:"system" placeholder:"FILE" allowed:"a PEM file of certificates, or system" help:"Who may have issued the certificates of https:// backends; system: those that this machine trusts."`
	BackendTLSVerify  bool       `name:"backend-tls-verify" default:"true" placeholder:"BOOL" help:"Verify the certificates of https:// backends; if false, whoever is in between can read and change everything."`
	BackendServerName ServerName `name:"backend-server-name" default:"host" placeholder:"NAME" allowed:"a host's name or an address, or host" help:"Name that https:// backends are asked for and that their certificates must hold; host: that of each."`
}

// FileName names a file; "": none.
type FileName string

// FolderName names a folder.
type FolderName string

// ServerName is a host's name, or an address; "": the host that is connected to.
type ServerName string

// demoTLSListen is where the demo accepts clients by HTTPS.
var demoTLSListen = netip.MustParseAddrPort("127.0.0.1:8443")

var (
	// tlsSiteFlags are those of HTTPS listeners.
	tlsSiteFlags = []string{
		"tls-cert", "tls-key", "tls-dir", "tls-strict-sni", "tls-policy", "tls-client-ca", "tls-client-auth", "hsts", "hsts-subdomains",
	}
	backendTLSFlags = []string{"backend-ca", "backend-tls-verify", "backend-server-name"}
	// SiteFlags are those that say what is served: a configuration file says it by its listeners and groups.
	SiteFlags = slices.Concat([]string{"listen", "backend", "tls-listen", "https-redirect"}, tlsSiteFlags, backendTLSFlags, balancingFlags)
)

func (i *Invocation) takeDemo(c *demoCommand) {
	i.Settings = &c.Settings
	if !c.ByTLS {
		return
	}
	t := &i.Settings.TLS
	i.SelfSigned = len(t.TLSCert)+len(t.TLSKey)+len(t.TLSDir) == 0
	if len(t.TLSListen) == 0 {
		t.TLSListen = []netip.AddrPort{demoTLSListen}
	}
}

// says reports whether a flag was given and asks for something other than its default.
func (i *Invocation) says(flag string) bool {
	if !i.Given(flag) {
		return false
	}
	described := runSchema().flags[flag]
	return described.IsSlice() || i.textOf(flag) != described.Default
}

// textOf writes the value of a flag as that would read it; of a list the first one.
func (i *Invocation) textOf(flag string) string {
	value := reflect.ValueOf(i.Settings).Elem()
	// These have their fields in the order of the flags.
	if n := slices.Index(backendTLSFlags, flag); n >= 0 {
		value = reflect.ValueOf(i.OverTLS).Field(n)
	} else if n := slices.Index(balancingFlags, flag); n >= 0 {
		value = reflect.ValueOf(i.Balancing).Field(n)
	} else {
		value = value.FieldByIndex(runSchema().fields[flag])
	}
	texts := append(textsOf(describe(runSchema().flags[flag]), value), "")
	return texts[0]
}

// checkTLS looks at what the settings of HTTPS say together.
func (i *Invocation) checkTLS() error {
	if i.unread() || i.layer.hasSite() {
		return nil // the file says what is served, or may do so
	}
	if len(i.Settings.TLS.TLSListen) == 0 {
		for _, flag := range tlsSiteFlags {
			if i.says(flag) {
				return i.wrong(flag, "", "there is no HTTPS listener that it could be for; give one by --tls-listen")
			}
		}
	} else if err := i.checkCertificates(); err != nil {
		return err
	}
	t := &i.Settings.TLS
	switch {
	case t.TLSClientCA == "" && i.says("tls-client-auth"):
		return i.wrong("tls-client-auth", t.TLSClientAuth, "nobody is asked for a certificate without --tls-client-ca")
	case t.HSTSSubdomains && t.HSTS == 0:
		return i.wrong("hsts-subdomains", "", "it has no effect without --hsts")
	case t.HTTPSRedirect != "off" && len(i.Settings.Listeners.Listen) == 0:
		return i.wrong("https-redirect", t.HTTPSRedirect, "there is no plain listener to be redirected from; give one by --listen")
	case t.HTTPSRedirect != "off" && len(t.TLSListen) > 0 && t.TLSListen[0].Port() == 0:
		return i.wrong("https-redirect", t.HTTPSRedirect, "it needs to know the port: --tls-listen "+t.TLSListen[0].String()+" takes any")
	}
	return i.checkBackendTLS()
}

// checkCertificates looks whether the HTTPS listeners have any, and each its key.
func (i *Invocation) checkCertificates() error {
	t := &i.Settings.TLS
	flag, other, here, there := "tls-cert", "--tls-key", len(t.TLSCert), len(t.TLSKey)
	if here == 0 {
		flag, other, here, there = "tls-key", "--tls-cert", there, here
	}
	if here != there {
		return i.wrong(flag, "", fmt.Sprintf("%d of it and %d of %s: each certificate has its key, in the same order", here, there, other))
	}
	if len(t.TLSCert)+len(t.TLSDir) > 0 || i.SelfSigned {
		return nil
	}
	reason := "there is no certificate; give --tls-cert and --tls-key, or --tls-dir"
	if i.Command == Demo {
		reason += "; --tls makes one"
	}
	return i.wrong("tls-listen", t.TLSListen[0].String(), reason)
}

func (i *Invocation) checkBackendTLS() error {
	if !slices.ContainsFunc(i.Backends, func(b Backend) bool { return b.TLS }) {
		for _, flag := range backendTLSFlags {
			if i.says(flag) {
				return i.wrong(flag, "", "no backend is spoken to by HTTPS; write --backend https://host:port")
			}
		}
	}
	if i.OverTLS.BackendCA != "" && !i.OverTLS.BackendTLSVerify {
		return i.wrong("backend-ca", string(i.OverTLS.BackendCA), "with --backend-tls-verify=false no certificate is verified")
	}
	return nil
}
