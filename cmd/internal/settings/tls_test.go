package settings

import (
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/tls/policy"
)

const (
	someTLS       = someBackend + " --tls-listen :443"
	someCert      = someTLS + " --tls-cert a.crt --tls-key a.key"
	fileAllowed   = "allowed: a PEM file: the certificate, then its issuers"
	hstsAllowed   = "allowed: 0 (none), or 1s to 17520h"
	policyAllowed = "allowed: tls_cipher_policy_1_0, tls_cipher_policy_1_1, tls_cipher_policy_1_2, tls_cipher_policy_1_2_strict, tls_cipher_policy_1_2_strict_with_1_3, intermediate, modern"
)

// wrongTLSLines are those of wrongLines that have to do with HTTPS.
var wrongTLSLines = []struct{ args, want string }{
	{someTLS, "--tls-listen [::]:443: there is no certificate; give --tls-cert and --tls-key, or --tls-dir"},
	{"demo --tls-listen :443", "--tls-listen [::]:443: there is no certificate; give --tls-cert and --tls-key, or --tls-dir; --tls makes one"},
	{someTLS + " --tls-cert a.crt", "--tls-cert: 1 of it and 0 of --tls-key: each certificate has its key, in the same order"},
	{someTLS + " --tls-key a.key --tls-key b.key", "--tls-key: 2 of it and 0 of --tls-cert: each certificate has its key, in the same order"},
	{someCert + " --tls-cert b.crt", "--tls-cert: 2 of it and 1 of --tls-key: each certificate has its key, in the same order"},
	{"demo --tls --tls-key a.key", "--tls-key: 1 of it and 0 of --tls-cert: each certificate has its key, in the same order"},
	{someCert + " --tls-listen [::]:443", "--tls-listen [::]:443: given twice"},
	{someCert + " --listen :443", "--tls-listen [::]:443: given twice"},
	{someCert + " --admin :443", "--admin [::]:443: a listener's address too"},
	{someTLS + " --tls-cert certs/", "--tls-cert certs/: a folder, not a file; " + fileAllowed},
	{someTLS + " --tls-dir=", "--tls-dir: an empty value; allowed: a folder of x.crt or x.pem with x.key, or of files that hold both"},
	{someCert + " --tls-policy modrn", "--tls-policy modrn: did you mean modern?; " + policyAllowed},
	{someCert + " --tls-policy old", "--tls-policy old: unknown; " + policyAllowed},
	{someCert + " --tls-client-auth none", "--tls-client-auth none: unknown; allowed: require, optional"},
	{someCert + " --tls-client-auth optional", "--tls-client-auth optional: nobody is asked for a certificate without --tls-client-ca"},
	{someCert + " --hsts 1500ms", "--hsts 1500ms: not a multiple of 1s; " + hstsAllowed},
	{someCert + " --hsts 17521h", "--hsts 17521h: above the maximum; " + hstsAllowed},
	{someCert + " --hsts-subdomains", "--hsts-subdomains: it has no effect without --hsts"},
	{someBackend + " --hsts 1h", "--hsts: there is no HTTPS listener that it could be for; give one by --tls-listen"},
	{someBackend + " --tls-cert a --tls-key b", "--tls-cert: there is no HTTPS listener that it could be for; give one by --tls-listen"},
	{someBackend + " --tls-policy modern", "--tls-policy: there is no HTTPS listener that it could be for; give one by --tls-listen"},
	{someBackend + " --tls-strict-sni", "--tls-strict-sni: there is no HTTPS listener that it could be for; give one by --tls-listen"},
	{someCert + " --https-redirect 302", "--https-redirect 302: there is no plain listener to be redirected from; give one by --listen"},
	{someBackend + " --tls-listen :0 --tls-dir d --listen :80 --https-redirect 308", "--https-redirect 308: it needs to know the port: --tls-listen [::]:0 takes any"},
	{someBackend + " --https-redirect 303", "--https-redirect 303: unknown; allowed: off, 301, 302, 307, 308"},
	{"--tls-workers 257", "--tls-workers 257: above the maximum; allowed: 0 (half as many as loops, at least one), or 1 to 256"},
	{"--tls-handshakes-max 0", "--tls-handshakes-max 0: below the minimum; allowed: 1 to 1000000"},
	{"--tls-handshake-timeout 61s", "--tls-handshake-timeout 61s: above the maximum; allowed: 1s to 60s"},
	{someBackend + " --tls", "culvert run has no flag --tls"},
	{someBackend + " --backend-ca ca.pem", "--backend-ca: no backend is spoken to by HTTPS; write --backend https://host:port"},
	{someBackend + " --backend-tls-verify=false", "--backend-tls-verify: no backend is spoken to by HTTPS; write --backend https://host:port"},
	{"--backend https://a:1 --backend-ca ca.pem --backend-tls-verify=false", "--backend-ca ca.pem: with --backend-tls-verify=false no certificate is verified"},
	{"--backend https://a:1 --backend-server-name a/b", "--backend-server-name a/b: neither an address nor a host's name; allowed: a host's name or an address, or host"},
	{"demo --backend-ca x", "culvert demo has no flag --backend-ca"},
}

// TestPoliciesAreThoseOfTLS: their names stand in a tag, and are not made from it.
func TestPoliciesAreThoseOfTLS(t *testing.T) {
	flags := Flags(Run)
	f := flags[slices.IndexFunc(flags, func(f Flag) bool { return f.Name == "tls-policy" })]
	if !slices.Equal(f.Words, policy.Names()) || f.Default != policy.Default {
		t.Errorf("allowed are %q with %s, and there are %q with %s", f.Words, f.Default, policy.Names(), policy.Default)
	}
}

// TestTLSAlone: who asks for HTTPS and says nothing of plain listeners has none; the demo has both.
func TestTLSAlone(t *testing.T) {
	for _, c := range []struct {
		args       string
		plain, tls []string
		selfSigned bool
	}{
		{someCert, nil, []string{"[::]:443"}, false},
		{someCert + " --listen :80", []string{"[::]:80"}, []string{"[::]:443"}, false},
		{someTLS + " --tls-dir d --tls-listen 127.0.0.1:444", nil, []string{"[::]:443", "127.0.0.1:444"}, false},
		{"demo --tls", []string{"127.0.0.1:8080"}, []string{"127.0.0.1:8443"}, true},
		{"demo --tls --tls-listen :0", []string{"127.0.0.1:8080"}, []string{"[::]:0"}, true},
		{"demo --tls --tls-dir d", []string{"127.0.0.1:8080"}, []string{"127.0.0.1:8443"}, false},
		{"demo --tls-listen :444 --tls-dir d", []string{"127.0.0.1:8080"}, []string{"[::]:444"}, false},
		{"demo --tls=false", []string{"127.0.0.1:8080"}, nil, false},
		{someBackend, []string{"[::]:8080"}, nil, false},
	} {
		i := parse(t, c.args)
		s := i.Settings
		if !slices.Equal(s.Listeners.Listen, addresses(c.plain...)) || !slices.Equal(s.TLS.TLSListen, addresses(c.tls...)) || i.SelfSigned != c.selfSigned {
			t.Errorf("%s: plain %v, TLS %v, self-signed %v", c.args, s.Listeners.Listen, s.TLS.TLSListen, i.SelfSigned)
		}
	}
}

func TestTLSValues(t *testing.T) {
	i := parse(t, "--backend https://a:443 --backend-ca ca.pem --backend-server-name B.example. --tls-client-ca c.pem --tls-client-auth optional --hsts 8760h --hsts-subdomains --tls-strict-sni --listen :80 --https-redirect 308 --tls-ticket-keys keys",
		"CULVERT_TLS_LISTEN=:443;:444", "CULVERT_TLS_CERT=a.crt b.crt", "CULVERT_TLS_KEY=a.key b.key")
	s := &i.Settings.TLS
	want := TLS{
		TLSListen: addresses("[::]:443", "[::]:444"), TLSCert: []FileName{"a.crt", "b.crt"}, TLSKey: []FileName{"a.key", "b.key"}, TLSStrictSNI: true,
		TLSPolicy: policy.Default, TLSClientCA: "c.pem", TLSClientAuth: "optional", HSTS: 8760 * time.Hour, HSTSSubdomains: true, HTTPSRedirect: "308",
		TLSHandshakesMax: 1000, TLSTicketKeys: "keys",
	}
	if !slices.Equal(s.TLSListen, want.TLSListen) || !slices.Equal(s.TLSCert, want.TLSCert) || !slices.Equal(s.TLSKey, want.TLSKey) {
		t.Errorf("got %+v", s)
	}
	if s.TLSPolicy != want.TLSPolicy || s.TLSClientCA != want.TLSClientCA || s.TLSClientAuth != "optional" || s.HSTS != want.HSTS || !s.HSTSSubdomains || s.HTTPSRedirect != "308" || s.TLSTicketKeys != "keys" || !s.TLSStrictSNI {
		t.Errorf("got %+v", s)
	}
	if (i.OverTLS != BackendTLS{BackendCA: "ca.pem", BackendTLSVerify: true, BackendServerName: "B.example"}) {
		t.Errorf("got %+v", i.OverTLS)
	}
	for host, want := range map[string]string{"a.example.": "a.example", "::1": "::1", "fe80::1%lo": "fe80::1", "::ffff:10.0.0.1": "10.0.0.1"} {
		if got := (&Backend{Host: host}).ServerName(); got != want {
			t.Errorf("the certificate of %s is asked for as %s, want %s", host, got, want)
		}
	}
}

// TestWhatMeansNothingIsNoMistake: a variable that says the default is how a unit file leaves one out.
func TestWhatMeansNothingIsNoMistake(t *testing.T) {
	parse(t, someBackend+" --tls-strict-sni=false --backend-tls-verify", "CULVERT_TLS_CLIENT_CA=off", "CULVERT_HSTS=0", "CULVERT_TLS_POLICY=intermediate",
		"CULVERT_BACKEND_CA=system", "CULVERT_BACKEND_SERVER_NAME=host", "CULVERT_TLS_CLIENT_AUTH=require")
	parse(t, "--config c.yaml --tls-policy modern") // the file is not read yet
}

// TestAFilesListenersHaveTheirOwn: no flag of HTTPS counts for them.
func TestAFilesListenersHaveTheirOwn(t *testing.T) {
	site := &Layer{Site: "c.yaml:1:1"}
	for _, flag := range SiteFlags {
		value := map[string]string{
			"listen": ":80", "tls-listen": ":443", "backend": "a:1", "https-redirect": "302", "tls-policy": "modern", "tls-client-auth": "optional", "hsts": "1h",
			"tls-strict-sni": "true", "hsts-subdomains": "true", "backend-tls-verify": "true",
		}[flag]
		if value == "" && slices.Contains(balancingFlags, flag) {
			value = runSchema().flags[flag].Default
		} else if value == "" {
			value = "x"
		}
		i := parse(t, "--config c.yaml --"+flag+"="+value)
		if _, err := i.With(site); err == nil || !strings.HasPrefix(err.Error(), "--"+flag+": the configuration file says what is served") {
			t.Errorf("--%s: %v", flag, err)
		}
	}
	for _, v := range parse(t, someBackend).Effective() {
		if slices.Contains(SiteFlags, v.Flag.Name) {
			t.Errorf("%s is told beside what is served", v.Flag.Name)
		}
	}
	if _, err := parse(t, "--config c.yaml --tls-workers 2").With(site); err != nil {
		t.Error(err)
	}
}
