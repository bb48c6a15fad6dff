package policy

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"

	"culvert/tls/internal/tlstest"
)

// product is the table that the policies are checked against, written down a second time, in OpenSSL's names, as the
// product and the guideline do.
var product = []struct {
	name, versions, suites string
}{
	{"tls_cipher_policy_1_0", "1.0 1.1 1.2", wide},
	{"tls_cipher_policy_1_1", "1.1 1.2", wide},
	{"tls_cipher_policy_1_2", "1.2", wide},
	{"tls_cipher_policy_1_2_strict", "1.2", strict},
	{"tls_cipher_policy_1_2_strict_with_1_3", "1.2 1.3", strict + " TLS_AES_128_CCM_SHA256 TLS_AES_128_CCM_8_SHA256"},
	{"intermediate", "1.2 1.3", `ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384
		ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305`},
	{"modern", "1.3", ""},
}

const (
	strict = `ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES128-SHA256
		ECDHE-ECDSA-AES256-SHA384 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-RSA-AES256-GCM-SHA384 ECDHE-RSA-AES128-SHA256
		ECDHE-RSA-AES256-SHA384 ECDHE-ECDSA-AES128-SHA ECDHE-ECDSA-AES256-SHA ECDHE-RSA-AES128-SHA ECDHE-RSA-AES256-SHA`
	wide = strict + " AES128-GCM-SHA256 AES256-GCM-SHA384 AES128-SHA256 AES256-SHA256 AES128-SHA AES256-SHA DES-CBC3-SHA"
)

var versions = map[uint16]string{
	tls.VersionTLS10: "1.0", tls.VersionTLS11: "1.1", tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3",
}

// openSSL returns OpenSSL's name of a suite of TLS 1.2 and older.
func openSSL(suite uint16) string {
	name := strings.TrimPrefix(tls.CipherSuiteName(suite), "TLS_")
	name = strings.NewReplacer("RSA_WITH_3DES_EDE_CBC", "DES-CBC3", "RC4_128", "RC4", "WITH_", "", "AES_", "AES", "_CBC", "",
		"CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305").Replace(name)
	if !strings.HasPrefix(name, "ECDHE") || strings.Contains(name, "ECDHE_RSA_3DES") {
		name = strings.TrimPrefix(name, "RSA_")
	}
	return strings.ReplaceAll(name, "_", "-")
}

func TestNamesAreThoseOfTheProductAndTheGuideline(t *testing.T) {
	var want []string
	for _, row := range product {
		want = append(want, row.name)
	}
	if got := Names(); !slices.Equal(got, want) {
		t.Fatalf("names %v, want %v", got, want)
	}
	if _, err := Lookup(Default); err != nil {
		t.Fatal(err)
	}
}

func TestAnUnknownNameIsToldWhichThereAre(t *testing.T) {
	_, err := Lookup("tls_cipher_policy_1_4")
	if err == nil || !strings.Contains(err.Error(), `"tls_cipher_policy_1_4"`) || !strings.Contains(err.Error(), "modern") {
		t.Fatal(err)
	}
}

// TestMissingSuitesAreAccountedFor: a suite of the product is either set or named as missing, and none is both.
func TestMissingSuitesAreAccountedFor(t *testing.T) {
	for _, row := range product {
		p, err := Lookup(row.name)
		if err != nil {
			t.Fatal(err)
		}
		got := slices.Clone(p.Missing)
		for _, suite := range p.CipherSuites {
			got = append(got, openSSL(suite))
		}
		want := strings.Fields(row.suites)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s has\n%v, want\n%v", row.name, got, want)
		}
	}
}

// TestEveryPolicyVersionAndSuite performs a handshake for each, with the kind of certificate that the suite needs.
func TestEveryPolicyVersionAndSuite(t *testing.T) {
	authority := tlstest.NewAuthority("Test CA")
	certificates := []tls.Certificate{
		authority.Issue(tlstest.Leaf{Names: []string{"a.example"}, Key: tlstest.ECDSA256}).TLS,
		authority.Issue(tlstest.Leaf{Names: []string{"a.example"}, Key: tlstest.RSA2048}).TLS,
	}
	for _, row := range product {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p, err := Lookup(row.name)
			if err != nil {
				t.Fatal(err)
			}
			server := &tls.Config{Certificates: certificates, Time: tlstest.Clock}
			p.Apply(server)
			for _, suite := range implemented() {
				for version, spelled := range versions {
					client := &tls.Config{
						ServerName: "a.example", RootCAs: authority.Pool(), Time: tlstest.Clock,
						MinVersion: version, MaxVersion: version, CipherSuites: []uint16{suite.ID},
					}
					possible := slices.Contains(suite.SupportedVersions, version)
					allowed := slices.Contains(strings.Fields(row.versions), spelled) &&
						(version == tls.VersionTLS13 || slices.Contains(strings.Fields(row.suites), openSSL(suite.ID)))
					checkHandshake(t, p, server, client, suite, possible && allowed)
				}
			}
		})
	}
}

// checkHandshake looks whether one version and suite is accepted. Clients cannot choose the suite of TLS 1.3.
func checkHandshake(t *testing.T, p *Policy, server, client *tls.Config, suite *tls.CipherSuite, want bool) {
	version := client.MinVersion
	name := fmt.Sprintf("%s with TLS %s and %s", p.Name, versions[version], suite.Name)
	if got := p.Allows(version, suite.ID); got != want {
		t.Errorf("%s: Allows says %v", name, got)
	}
	modern := slices.Contains(suite.SupportedVersions, tls.VersionTLS13)
	if modern != (version == tls.VersionTLS13) {
		return // no handshake can be about both
	}
	got := tlstest.Handshake(server, client)
	switch {
	case got.Accepted() != want:
		t.Errorf("%s: accepted %v, want %v: %v", name, got.Accepted(), want, got.Err())
	case want && got.Server.Version != version, want && !modern && got.Server.CipherSuite != suite.ID:
		t.Errorf("%s: ended with %s, %s", name, tls.VersionName(got.Server.Version), tls.CipherSuiteName(got.Server.CipherSuite))
	}
}

// TestKeyExchangesAreThoseOfThePolicy offers one at a time.
func TestKeyExchangesAreThoseOfThePolicy(t *testing.T) {
	authority := tlstest.NewAuthority("Test CA")
	all := []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521, tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024}
	for _, p := range policies {
		server := &tls.Config{Certificates: []tls.Certificate{authority.Issue(tlstest.Leaf{Names: []string{"a.example"}, Key: tlstest.RSA2048}).TLS}, Time: tlstest.Clock}
		p.Apply(server)
		for _, curve := range all {
			client := &tls.Config{ServerName: "a.example", RootCAs: authority.Pool(), Time: tlstest.Clock, MaxVersion: p.MaxVersion,
				CipherSuites: strictSuites, CurvePreferences: []tls.CurveID{curve}}
			if p.MaxVersion < tls.VersionTLS13 && slices.Contains(all[4:], curve) {
				continue // there is no such client
			}
			got := tlstest.Handshake(server, client)
			if want := slices.Contains(p.Curves, curve); got.Accepted() != want {
				t.Errorf("%s with %v: accepted %v, want %v: %v", p.Name, curve, got.Accepted(), want, got.Err())
			} else if want && got.Server.CurveID != curve {
				t.Errorf("%s ended with %v, want %v", p.Name, got.Server.CurveID, curve)
			}
		}
	}
}

// TestEveryKindOfCertificateWorksUnderEveryPolicy: P-521 too, which is no key exchange of the guideline.
func TestEveryKindOfCertificateWorksUnderEveryPolicy(t *testing.T) {
	authority := tlstest.NewAuthority("Test CA")
	kinds := map[string]tlstest.Key{"P-256": tlstest.ECDSA256, "P-384": tlstest.ECDSA384, "P-521": tlstest.ECDSA521, "RSA": tlstest.RSA2048, "Ed25519": tlstest.Ed25519}
	for kind, key := range kinds {
		pair := authority.Issue(tlstest.Leaf{Names: []string{"a.example"}, Key: key})
		for _, p := range policies {
			server := &tls.Config{Certificates: []tls.Certificate{pair.TLS}, Time: tlstest.Clock}
			p.Apply(server)
			client := &tls.Config{ServerName: "a.example", RootCAs: authority.Pool(), Time: tlstest.Clock}
			if got := tlstest.Handshake(server, client); !got.Accepted() {
				t.Errorf("%s with a certificate of %s: %v", p.Name, kind, got.Err())
			}
		}
	}
}

func TestApplyChangesNothingElseAndSharesNothing(t *testing.T) {
	p, err := Lookup("tls_cipher_policy_1_0")
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{NextProtos: []string{"http/1.1"}}
	p.Apply(c)
	if len(c.NextProtos) != 1 || c.MinVersion != tls.VersionTLS10 || c.MaxVersion != tls.VersionTLS12 {
		t.Fatalf("%+v", c)
	}
	c.CipherSuites[0], c.CurvePreferences[0] = 0, 0
	if p.CipherSuites[0] == 0 || p.Curves[0] == 0 {
		t.Fatal("the configuration shares the policy's slices")
	}
}
