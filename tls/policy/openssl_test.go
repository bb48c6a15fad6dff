package policy

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/tls/internal/tlstest"
)

const requireOpenSSL = "CULVERT_REQUIRE_OPENSSL"

// patience is how long a handshake may take on a busy machine.
const patience = 20 * time.Second

// offer is what openssl offers for one version.
type offer struct {
	t       *testing.T
	program string
	version uint16
}

// flag is the option of openssl for the version: -tls1_2.
func (o offer) flag() string {
	return map[uint16]string{tls.VersionTLS10: "-tls1", tls.VersionTLS11: "-tls1_1", tls.VersionTLS12: "-tls1_2", tls.VersionTLS13: "-tls1_3"}[o.version]
}

// suites returns all that this openssl knows.
func (o offer) suites() []string {
	o.t.Helper()
	out, err := exec.Command(o.program, "ciphers", "-s", o.flag(), "ALL:eNULL:@SECLEVEL=0").Output()
	if err != nil {
		o.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), ":")
}

// meet has openssl offer suites, and returns what the server has agreed to.
func (o offer) meet(server *tls.Config, suites ...string) (tls.ConnectionState, error) {
	o.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		o.t.Fatal(err)
	}
	defer listener.Close()
	_ = listener.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	limited, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	arguments := []string{"s_client", "-connect", listener.Addr().String(), "-servername", "a.example", o.flag()}
	if o.version == tls.VersionTLS13 {
		arguments = append(arguments, "-ciphersuites", strings.Join(suites, ":"))
	} else {
		arguments = append(arguments, "-cipher", strings.Join(suites, ":")+":@SECLEVEL=0")
	}
	client := exec.CommandContext(limited, o.program, arguments...)
	if err := client.Start(); err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = client.Wait() }()
	socket, err := listener.Accept()
	if err != nil {
		o.t.Fatal(err)
	}
	defer socket.Close()
	_ = socket.SetDeadline(time.Now().Add(patience))
	conn := tls.Server(socket, server)
	err = conn.Handshake()
	return conn.ConnectionState(), err
}

// TestEveryPolicyAgainstOpenSSL: each suite that a policy accepts is agreed upon when openssl offers it alone, the suites
// of TLS 1.3 among them; all others together are refused.
func TestEveryPolicyAgainstOpenSSL(t *testing.T) {
	program, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv(requireOpenSSL) != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	authority := tlstest.NewAuthority("Test CA")
	certificates := []tls.Certificate{
		authority.Issue(tlstest.Leaf{Names: []string{"a.example"}, Key: tlstest.ECDSA256}).TLS,
		authority.Issue(tlstest.Leaf{Names: []string{"a.example"}, Key: tlstest.RSA2048}).TLS,
	}
	met := map[string]bool{} // what openssl could offer and some policy accepts
	for version, spelled := range versions {
		o := offer{t, program, version}
		known := o.suites()
		for _, row := range product {
			p, err := Lookup(row.name)
			if err != nil {
				t.Fatal(err)
			}
			server := &tls.Config{Certificates: certificates, Time: tlstest.Clock}
			p.Apply(server)
			var refused []string
			for _, suite := range known {
				accepted := slices.Contains(strings.Fields(row.versions), spelled) && !slices.Contains(p.Missing, suite) &&
					(version == tls.VersionTLS13 || slices.Contains(strings.Fields(row.suites), suite))
				if !accepted {
					refused = append(refused, suite)
					continue
				}
				met[spelled+" "+suite] = true
				state, err := o.meet(server, suite)
				if err != nil || state.Version != version || nameOf(state.CipherSuite) != suite {
					t.Errorf("%s, TLS %s with %s: %s, %v", row.name, spelled, suite, nameOf(state.CipherSuite), err)
				}
			}
			if len(refused) == 0 {
				continue
			}
			if state, err := o.meet(server, refused...); err == nil {
				t.Errorf("%s, TLS %s: accepted %s", row.name, spelled, nameOf(state.CipherSuite))
			}
		}
	}
	t.Logf("%d pairs of version and suite were agreed upon", len(met))
	if met["1.3 TLS_CHACHA20_POLY1305_SHA256"] != true || met["1.2 ECDHE-RSA-AES128-GCM-SHA256"] != true {
		t.Error(fmt.Sprint("openssl has offered next to nothing: ", met))
	}
}

// nameOf returns OpenSSL's name of a suite of any version.
func nameOf(suite uint16) string {
	if name := tls.CipherSuiteName(suite); suite>>8 == 0x13 {
		return name
	}
	return openSSL(suite)
}
