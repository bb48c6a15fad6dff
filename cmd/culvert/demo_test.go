//go:build linux

package main

import (
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"culvert/cmd/internal/demo/demotest"
)

// page waits for the demo's guide and returns the page's address.
func page(t *testing.T, p *process) string {
	t.Helper()
	waitFor(t, "the guide", func() bool { return strings.Contains(p.output(), "Ctrl-C ends the demo.") || p.hasEnded() })
	found := regexp.MustCompile(`(?m)^  page +(http://\S+)$`).FindStringSubmatch(p.output())
	if found == nil {
		t.Fatalf("the guide names no page:\n%s", p.output())
	}
	return found[1]
}

// TestDemoInABrowser is what a person sees who has just built it.
func TestDemoInABrowser(t *testing.T) {
	p := start(t, nil, "demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	var seen demotest.Seen
	// In a test of its own, at whose end the browser is gone: its page would complain when the demo ends.
	t.Run("page", func(t *testing.T) { seen = demotest.Exercise(t, page(t, p)+"/") })
	if seen.ForwardedFor != "127.0.0.1" {
		t.Errorf("the backend saw X-Forwarded-For %q, want 127.0.0.1", seen.ForwardedFor)
	}
	if len(seen.Backends) != 3 {
		t.Errorf("tunnels ended on %v, want three", seen.Backends)
	}
	t.Logf("round trip: %s", seen.RoundTrip)
	p.signal(syscall.SIGINT)
	p.wantStatus(exitOK)
}

// TestDemoInABrowserByHTTPS: the same page, whose WebSockets are secure then.
func TestDemoInABrowserByHTTPS(t *testing.T) {
	p := start(t, nil, "demo", "--tls", "--tls-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	page(t, p)
	found := regexp.MustCompile(`(?m)^  secure +(https://\S+)$`).FindStringSubmatch(p.output())
	if found == nil {
		t.Fatalf("the guide names no HTTPS listener:\n%s", p.output())
	}
	var seen demotest.Seen
	t.Run("page", func(t *testing.T) { seen = demotest.Exercise(t, found[1]+"/") })
	if seen.ForwardedFor != "127.0.0.1" || len(seen.Backends) != 3 {
		t.Errorf("the page shows %+v", seen)
	}
	t.Logf("round trip: %s", seen.RoundTrip)
	p.signal(syscall.SIGINT)
	p.wantStatus(exitOK)
}

// TestDemoByHTTPS: the guide names the HTTPS listener and says what is odd about its certificate. Where its port is taken,
// it has another.
func TestDemoByHTTPS(t *testing.T) {
	if taken, err := net.Listen("tcp", "127.0.0.1:8443"); err == nil { // else somebody else has it, which is as good
		defer func() { _ = taken.Close() }()
	}
	p := start(t, nil, "demo", "--tls", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	page(t, p)
	found := regexp.MustCompile(`(?m)^  secure +https://(127\.0\.0\.1:\d+)$`).FindStringSubmatch(p.output())
	if found == nil || strings.HasSuffix(found[1], ":8443") {
		t.Fatalf("the guide names no HTTPS listener, or somebody else's:\n%s", p.output())
	}
	for _, want := range []string{"wss://" + found[1] + "/ws", "curl -sk https://" + found[1] + "/whoami", "nobody vouches for it"} {
		if !strings.Contains(p.output(), want) {
			t.Errorf("the guide lacks %q:\n%s", want, p.output())
		}
	}
	p.signal(syscall.SIGTERM)
	p.wantStatus(exitOK)
}

// TestDemoWhereItsPortsAreTaken: nobody has asked for these ports, so others do.
func TestDemoWhereItsPortsAreTaken(t *testing.T) {
	for _, address := range []string{"127.0.0.1:8080", "127.0.0.1:9900"} {
		if taken, err := net.Listen("tcp", address); err == nil { // else somebody else has it, which is as good
			defer func() { _ = taken.Close() }()
		}
	}
	p := start(t, nil, "demo")
	url := page(t, p)
	if status, body := get(t, url+"/whoami"); status != http.StatusOK || !strings.Contains(body, "demo-") {
		t.Errorf("the page's backend says %d %q", status, body)
	}
	metrics := regexp.MustCompile(`(?m)^  metrics +(http://\S+)$`).FindStringSubmatch(p.output())
	if metrics == nil {
		t.Fatalf("the guide names no metrics:\n%s", p.output())
	}
	if status, _ := get(t, metrics[1]); status != http.StatusOK {
		t.Errorf("the metrics say %d", status)
	}
	if !strings.Contains(p.output(), "\n    "+binary+" --listen :") {
		t.Errorf("the guide does not name the program as it was started:\n%s", p.output())
	}
	if strings.HasSuffix(url, ":8080") || strings.HasSuffix(metrics[1], ":9900/metrics") {
		t.Errorf("the guide names ports of others: %s, %s", url, metrics[1])
	}
	p.signal(syscall.SIGTERM)
	p.wantStatus(exitOK)
}
