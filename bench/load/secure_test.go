package load

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"culvert/bench/echo"
)

// shown is the certificate of all servers of the tests.
var shown = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"bench.test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// secured starts a server that takes TLS off what comes for another one. The change is made to its configuration.
func secured(t *testing.T, plain Target, change func(*tls.Config)) Target {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{shown()}}
	if change != nil {
		change(config)
	}
	target := rawServer(t, func(raw net.Conn) {
		conn := tls.Server(raw, config)
		if conn.Handshake() != nil {
			return
		}
		behind, err := net.Dial("tcp", plain.Addresses[0].String())
		if err != nil {
			return
		}
		defer behind.Close()
		var back sync.WaitGroup
		back.Go(func() {
			_, _ = io.Copy(conn, behind)
			_ = conn.CloseWrite()
			_ = raw.(*net.TCPConn).CloseWrite()
		})
		_, _ = io.Copy(behind, conn)
		_ = behind.(*net.TCPConn).CloseWrite()
		back.Wait()
	})
	target.TLS = &TLS{ServerName: "bench.test"}
	return target
}

// TestEveryEchoIsCountedByTLS sends a known number of messages of sizes around every limit, those of records included.
func TestEveryEchoIsCountedByTLS(t *testing.T) {
	for _, version := range []TLSVersion{TLS12, TLS13} {
		target := secured(t, backend(t, echo.Options{}), nil)
		target.TLS.Version = version
		fleet := open(t, target, FleetOptions{Tunnels: 5, Loops: 2})
		for _, p := range []EchoPlan{
			{Size: 1, Messages: 101}, {Size: 125, Messages: 1000, InFlight: 32}, {Size: 16<<10 - 8, Messages: 50}, {Size: 16 << 10, Messages: 50, InFlight: 3},
			{Size: 65536, Messages: 50}, {Size: 1 << 20, Messages: 10, InFlight: 2}, {Size: 125, Messages: 200, Rate: 10_000, Subset: 3},
		} {
			p.Duration = patience
			r, err := fleet.Echo(t.Context(), p)
			if err != nil || r.Messages != uint64(p.Messages) || r.Latency.Histogram.TotalCount() != int64(p.Messages) {
				t.Fatalf("%d bytes: %d messages of %d, %v", p.Size, r.Messages, p.Messages, err)
			}
			if !strings.HasPrefix(r.Agreed, version.String()+", TLS_") || r.Handshakes != 0 {
				t.Errorf("agreed upon %q, %d handshakes while tunnels were open", r.Agreed, r.Handshakes)
			}
		}
		if err := fleet.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestHandshakesAreCounted, and which of them took an earlier session up.
func TestHandshakesAreCounted(t *testing.T) {
	target := secured(t, backend(t, echo.Options{}), nil)
	for _, c := range []struct {
		options TLS
		only    bool
		agreed  string
	}{
		{TLS{KeyExchange: X25519}, false, "TLS 1.3, TLS_AES_128_GCM_SHA256, X25519"},
		{TLS{KeyExchange: X25519MLKEM768}, false, "TLS 1.3, TLS_AES_128_GCM_SHA256, X25519MLKEM768"},
		{TLS{Version: TLS12}, false, "TLS 1.2, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, X25519"},
		{TLS{Resume: true}, false, "TLS 1.3, "},
		{TLS{Resume: true, Version: TLS12}, false, "TLS 1.2, "},
		{TLS{}, true, "TLS 1.3, "},
	} {
		c.options.ServerName, target.TLS = "bench.test", &c.options
		const count, atOnce = 60, 3
		r, err := Connects(t.Context(), target, ConnectPlan{
			Size: 125, Count: count, Concurrency: atOnce, Loops: 2, WarmUp: 100 * time.Millisecond, Duration: patience, HandshakesOnly: c.only,
		})
		if err != nil || r.Messages != count {
			t.Errorf("%+v: %d cycles of %d, %v", c.options, r.Messages, count, err)
		}
		// A handshake may begin before the measured part and end in it.
		if r.Handshakes < count-atOnce || r.Handshakes > count+atOnce || r.Latency.Min <= 0 {
			t.Errorf("%+v: %d handshakes in %d cycles of %d ns and more", c.options, r.Handshakes, count, r.Latency.Min)
		}
		if want := map[bool]uint64{true: r.Handshakes}[c.options.Resume]; r.Resumed != want {
			t.Errorf("%+v: %d of %d sessions were resumed, want %d", c.options, r.Resumed, r.Handshakes, want)
		}
		if !strings.HasPrefix(r.Agreed, c.agreed) || (r.Bytes == 0) != c.only {
			t.Errorf("%+v: %q, want %q; %d bytes", c.options, r.Agreed, c.agreed, r.Bytes)
		}
	}
	if _, err := Connects(t.Context(), backend(t, echo.Options{}), ConnectPlan{HandshakesOnly: true, Count: 1}); !errors.Is(err, errPlain) {
		t.Errorf("handshakes without TLS: %v", err)
	}
}

// TestAServerWithoutTicketsResumesNothing: the share is what was so, not what was asked for.
func TestAServerWithoutTicketsResumesNothing(t *testing.T) {
	target := secured(t, backend(t, echo.Options{}), func(c *tls.Config) { c.SessionTicketsDisabled = true })
	target.TLS.Resume = true
	r, err := Connects(t.Context(), target, ConnectPlan{Size: 125, Count: 20, Concurrency: 2})
	if err != nil || r.Handshakes != 20 || r.Resumed != 0 {
		t.Errorf("%d of %d sessions were resumed, %v", r.Resumed, r.Handshakes, err)
	}
}

// TestAPreparedClientRemembersSessions from one measurement to the next.
func TestAPreparedClientRemembersSessions(t *testing.T) {
	target := secured(t, backend(t, echo.Options{}), nil)
	target.TLS.Resume = true
	var err error
	if target.TLS, err = target.TLS.Prepared(); err != nil {
		t.Fatal(err)
	}
	for _, resumed := range []uint64{4, 5} {
		r, err := Connects(t.Context(), target, ConnectPlan{Size: 125, Count: 5})
		if err != nil || r.Handshakes != 5 || r.Resumed != resumed {
			t.Errorf("%d of %d sessions were resumed, want %d (%v)", r.Resumed, r.Handshakes, resumed, err)
		}
	}
}

// TestDocumentsAreFetchedByTLS, over connections that are kept.
func TestDocumentsAreFetchedByTLS(t *testing.T) {
	target := secured(t, backend(t, echo.Options{}), nil)
	for _, p := range []GetPlan{{Size: 1, Count: 100}, {Size: 16 << 10, Count: 50, Connections: 4, Loops: 2}, {Size: 1 << 20, Count: 10, Connections: 2}} {
		p.Duration = patience
		r, err := Gets(t.Context(), target, p)
		if err != nil || r.Messages != uint64(p.Count) || r.Handshakes != uint64(max(p.Connections, 1)) || r.Connections != r.Handshakes {
			t.Errorf("%d bytes: %d answers of %d, %d handshakes, %d connections, %v", p.Size, r.Messages, p.Count, r.Handshakes, r.Connections, err)
		}
	}
}

// TestADelayIsReportedByTLS: TLS adds little to the 10 ms that a server takes.
func TestADelayIsReportedByTLS(t *testing.T) {
	const delay = 10 * time.Millisecond
	fleet := open(t, secured(t, backend(t, echo.Options{Delay: delay}), nil), FleetOptions{Tunnels: 10})
	soon(t, func() string {
		r, err := fleet.Echo(t.Context(), EchoPlan{Size: 125, Duration: 500 * time.Millisecond, Rate: 200})
		if low := time.Duration(r.Latency.Min); err != nil || low < delay {
			t.Errorf("a latency of %s, %v", low, err)
		}
		if median := time.Duration(r.Latency.P50); median > delay+delay/2 {
			return fmt.Sprintf("p50 is %s, and in truth %s", median, delay)
		}
		return ""
	})
}

// TestAStallIsReportedByTLS: see TestAStallIsReported.
func TestAStallIsReportedByTLS(t *testing.T) {
	const period, stall, tolerance = time.Second, 100 * time.Millisecond, 10 * time.Millisecond
	fleet := open(t, secured(t, backend(t, echo.Options{StallEvery: period, StallFor: stall}), nil), FleetOptions{Tunnels: 20})
	soon(t, func() string {
		r, err := fleet.Echo(t.Context(), EchoPlan{Size: 125, Rate: 400, Duration: period})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ quantile, share float64 }{{95, 0.5}, {99, 0.9}} {
			got, want := time.Duration(r.Latency.Histogram.ValueAtQuantile(c.quantile)), time.Duration(c.share*float64(stall))
			if got < want-tolerance || got > want+tolerance {
				return fmt.Sprintf("p%g is %s, and in truth %s; %s", c.quantile, got, want, r.LimitedWhy)
			}
		}
		return ""
	})
}

// TestTooManyHandshakesLimitTheGenerator: it says so when they take all CPU time that it may have.
func TestTooManyHandshakesLimitTheGenerator(t *testing.T) {
	r := Result{Seconds: 2, GeneratorCPU: 1.9, processors: 1}
	if r.judge(); !r.Limited || !strings.Contains(r.LimitedWhy, "95 %") {
		t.Errorf("it says %q", r.LimitedWhy)
	}
	r = Result{Seconds: 2, GeneratorCPU: 1.9, processors: 2}
	if r.judge(); r.Limited {
		t.Errorf("it says %q", r.LimitedWhy)
	}
}

// TestWhatIsNoTLSIsSaid in one error, and nothing is left open.
func TestWhatIsNoTLSIsSaid(t *testing.T) {
	mute := rawServer(t, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) })
	mute.TLS = &TLS{}
	plain := backend(t, echo.Options{})
	plain.TLS = &TLS{}
	other := secured(t, plain, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} })
	other.TLS.KeyExchange = X25519MLKEM768
	older := secured(t, plain, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
	older.TLS.Version = TLS13
	for _, c := range []struct {
		target Target
		want   string
	}{
		{mute, "TLS handshake with " + mute.Addresses[0].String()}, {plain, "TLS handshake with " + plain.Addresses[0].String()}, {other, "handshake failure"}, {older, "protocol version"},
	} {
		_, err := Open(t.Context(), c.target, FleetOptions{Tunnels: 2, Timeout: 2 * time.Second})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v; it should say %q", err, c.want)
		}
		if r, err := Gets(t.Context(), c.target, GetPlan{Size: 1, Count: 1, Timeout: 2 * time.Second}); err == nil || !strings.Contains(r.FirstError, "TLS handshake with") {
			t.Errorf("a request: %v", err)
		}
	}
}

// TestASecuredMessageCostsLittle: crypto/tls allocates nothing for a record, and neither do we.
func TestASecuredMessageCostsLittle(t *testing.T) {
	fleet := open(t, secured(t, backend(t, echo.Options{}), nil), FleetOptions{Tunnels: 4})
	var before, after runtime.MemStats
	r, err := fleet.Echo(t.Context(), EchoPlan{
		Size: 100, WarmUp: 50 * time.Millisecond, Duration: 300 * time.Millisecond,
		Begin: func() { runtime.ReadMemStats(&before) }, End: func() { runtime.ReadMemStats(&after) },
	})
	if err != nil {
		t.Fatal(err)
	}
	// The servers of the test are in the same process; what they allocate for a message is theirs.
	if n := after.Mallocs - before.Mallocs; r.Messages < 300 || n > 8*r.Messages {
		t.Errorf("%d allocations for %d messages", n, r.Messages)
	}
}
