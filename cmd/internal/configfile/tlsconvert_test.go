package configfile

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
	"culvert/tls/certs"
)

// TestHTTPSOfAFileIsTranslated: files are found from the folder of the configuration.
func TestHTTPSOfAFileIsTranslated(t *testing.T) {
	f := read(t, everything)
	f.Name = "conf/c.yaml"
	s := defaultSettings(t, "--tls-handshake-timeout=7s").Settings
	configs := f.ListenerConfigs(&s)
	want := &proxy.ListenerTLS{
		Certificates: certs.Source{Pairs: []certs.Pair{{CertFile: "conf/a.crt", KeyFile: "/etc/a.key"}, {CertFile: "conf/b.pem", KeyFile: "conf/b.pem"}}, Folders: []string{"conf/certs", "conf/more certs"}, Strict: true},
		Policy:       "modern", ClientCA: "conf/clients.pem", ClientOptional: true, HSTS: 17520 * time.Hour, HSTSSubdomains: true,
	}
	if got := configs[2]; !reflect.DeepEqual(got.TLS, want) || got.HTTPSRedirect != nil || got.Policy.Timeouts.TLSHandshake != 5*time.Second {
		t.Errorf("got %+v\nwant %+v", got.TLS, want)
	}
	want = &proxy.ListenerTLS{Certificates: certs.Source{Pairs: []certs.Pair{{CertFile: "conf/a.crt", KeyFile: "conf/a.key"}}}}
	if got := configs[3].TLS; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if got := configs[4]; got.TLS != nil || *got.HTTPSRedirect != (proxy.HTTPSRedirect{Status: 308, Port: 444}) {
		t.Errorf("got %+v", got)
	}
	if got := configs[5]; got.HTTPSRedirect != nil || configs[0].TLS != nil {
		t.Errorf("got %+v", got)
	}
	if PolicyOf(&s).Timeouts.TLSHandshake != 7*time.Second {
		t.Error("the time for handshakes is forgotten")
	}
}

// flagsOf reads a command line, and returns what is served by it.
func flagsOf(t *testing.T, f *File, args string) (*settings.Invocation, *File) {
	t.Helper()
	i, err := settings.Parse(strings.Fields(args), nil)
	if err == nil && f != nil {
		i, err = i.With(f.Layer())
	}
	if err != nil {
		t.Fatal(err)
	}
	return i, Served(f, i)
}

// oneEach resolves every server to one address.
func oneEach(servers []settings.Backend) ([][]proxy.BackendConfig, error) {
	var all [][]proxy.BackendConfig
	for _, s := range servers {
		all = append(all, []proxy.BackendConfig{{Name: s.Name, Weight: s.Weight}})
	}
	return all, nil
}

// TestHTTPSOfFlagsIsTranslated: also beside a file of settings, from whose folder nothing is found that flags name.
func TestHTTPSOfFlagsIsTranslated(t *testing.T) {
	f := read(t, "limits: {loops: 2}")
	f.Name = "conf/c.yaml"
	i, served := flagsOf(t, f, "--config conf/c.yaml --listen :80 --tls-listen :443 --tls-listen :444 --tls-cert a.crt --tls-key a.key --tls-dir certs --tls-strict-sni --tls-policy modern "+
		"--tls-client-ca clients.pem --tls-client-auth optional --hsts 1h --hsts-subdomains --https-redirect 307 "+
		"--backend https://a.example.:443,weight=2 --backend b:80 --backend-ca ca.pem --backend-server-name b.example")
	tls := &proxy.ListenerTLS{
		Certificates: certs.Source{Pairs: []certs.Pair{{CertFile: "a.crt", KeyFile: "a.key"}}, Folders: []string{"certs"}, Strict: true},
		Policy:       "modern", ClientCA: "clients.pem", ClientOptional: true, HSTS: time.Hour, HSTSSubdomains: true,
	}
	want := []proxy.ListenerConfig{
		{Address: netip.MustParseAddrPort("[::]:80"), HTTPSRedirect: &proxy.HTTPSRedirect{Status: 307, Port: 443}},
		{Address: netip.MustParseAddrPort("[::]:443"), Group: proxy.DefaultGroup, TLS: tls},
		{Address: netip.MustParseAddrPort("[::]:444"), Group: proxy.DefaultGroup, TLS: tls},
	}
	if got := served.ListenerConfigs(i.Settings); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	groups, err := served.GroupConfigs(oneEach)
	wantBackends := []proxy.BackendConfig{
		{Name: "https://a.example.:443", Weight: 2, TLS: &proxy.BackendTLS{ServerName: "b.example", CA: "ca.pem"}}, {Name: "b:80", Weight: 1},
	}
	if err != nil || !reflect.DeepEqual(groups[0].Backends, wantBackends) {
		t.Errorf("%v, got %+v\nwant %+v", err, groups[0].Backends, wantBackends)
	}
	again := read(t, Effective(f, i)) // what is printed says the same
	again.Name = ""
	if got := again.ListenerConfigs(i.Settings); !reflect.DeepEqual(got, want) {
		t.Errorf("printed\n%s\nit says  %+v\nwant %+v", Effective(f, i), got, want)
	}
	if groups, err = again.GroupConfigs(oneEach); err != nil || !reflect.DeepEqual(groups[0].Backends, wantBackends) {
		t.Errorf("%v, printed, it says %+v\nwant %+v", err, groups[0].Backends, wantBackends)
	}
}

// TestLessHTTPS: what a command line leaves out.
func TestLessHTTPS(t *testing.T) {
	_, served := flagsOf(t, nil, "--listen :80 --https-redirect 301 --backend https://[::1]:443 --backend-tls-verify=false")
	if l := served.Listeners; len(l) != 1 || l[0].HTTPSRedirect != 301 || l[0].HTTPSPort != 0 {
		t.Errorf("%+v", l)
	}
	groups, err := served.GroupConfigs(oneEach)
	if err != nil || *groups[0].Backends[0].TLS != (proxy.BackendTLS{ServerName: "::1", Insecure: true}) {
		t.Errorf("%v, %+v", err, groups)
	}
	_, served = flagsOf(t, nil, "--tls-listen :443 --tls-dir certs --backend https://a:443")
	if l := served.Listeners; len(l) != 1 || l[0].TLS == nil || l[0].TLS.Policy != "intermediate" || l[0].TLS.ClientCA != "" || served.Groups[0].OverTLS != nil {
		t.Errorf("%+v %+v", l, served.Groups)
	}
	i, served := flagsOf(t, nil, "demo --tls")
	if c := served.ListenerConfigs(i.Settings); len(c) != 2 || c[0].TLS != nil || !c[1].TLS.SelfSigned || c[1].Address.Port() != 8443 {
		t.Errorf("%+v", c)
	}
}

// TestPathsArePrintedAsTheyAreFound: with what a file names in its own folder.
func TestPathsArePrintedAsTheyAreFound(t *testing.T) {
	f := read(t, "tls: {tls-ticket-keys: keys}\nlisteners: [{address: \":443\", group: a, tls: {certificates: {cert: a.crt, key: a.key}, folders: d, client-ca: c.pem}}]\n"+
		"groups: {a: {tls: {ca: b.pem, server-name: host}, servers: [\"https://a:1\", {address: \"https://b:1\", tls: {verify: false, ca: system}}]}}")
	f.Name = "conf/c.yaml"
	i, _ := flagsOf(t, f, "--config conf/c.yaml")
	text := Effective(f, i)
	for _, want := range []string{
		"  tls-ticket-keys: conf/keys  # conf/c.yaml:1:24\n", "        - {cert: conf/a.crt, key: conf/a.key}\n", "      folders: [conf/d]\n", "      client-ca: conf/c.pem\n",
		"    tls: {server-name: host, ca: conf/b.pem}\n", "      - {address: \"https://b:1\", weight: 1, tls: {ca: system, verify: false}}\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}
