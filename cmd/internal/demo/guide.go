package demo

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Running is what the guide tells of a proxy in front of the demo that is
// ready.
type Running struct {
	// Program is the path that it was started by.
	Program string
	// Page is the address of its plain listener as a browser would take it
	// ("http://localhost:8080"), Secure that of its HTTPS listener; empty:
	// there is none.
	Page, Secure string
	// SelfSigned is true where nobody but itself vouches for its certificate.
	SelfSigned bool
	// Metrics is the full address of the metrics; empty: there are none.
	Metrics string
	// Backends are [Demo.Addresses].
	Backends []netip.AddrPort
}

// Guide returns the text to print once the proxy is ready: where to look and
// what to try next, several lines that end in a newline.
func Guide(r Running) string {
	page := strings.TrimSuffix(r.Page, "/")
	names := make([]string, len(r.Backends))
	for i, address := range r.Backends {
		names[i] = fmt.Sprintf("%s on %s", backendName(i), address)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Culvert demo\n\n")
	fmt.Fprintf(&b, "  page      %s\n", page)
	if r.Secure != "" {
		fmt.Fprintf(&b, "  secure    %s\n", r.Secure)
	}
	fmt.Fprintf(&b, "  backends  %s\n", strings.Join(names, ", "))
	if r.Metrics != "" {
		fmt.Fprintf(&b, "  metrics   %s\n", r.Metrics)
	}
	fmt.Fprintf(&b, "\nTry next\n\n")
	fmt.Fprintf(&b, "  Open the page in two tabs and write in one: the other shows it,\n")
	fmt.Fprintf(&b, "  whichever backend each tab is on. \"Reconnect\" may change backends.\n\n")
	fmt.Fprintf(&b, "  See what a backend sees:\n    curl -s %s/whoami\n\n", page)
	b.WriteString(r.secureGuide())
	if r.Metrics != "" {
		fmt.Fprintf(&b, "  Watch the proxy count:\n    curl -s %s\n\n", r.Metrics)
	}
	fmt.Fprintf(&b, "  Put Culvert before servers of your own:\n")
	fmt.Fprintf(&b, "    %s --listen :%d", r.Program, portBeside(page, r.Secure))
	if r.Metrics != "" {
		fmt.Fprintf(&b, " --admin 127.0.0.1:%d", portBeside(r.Metrics, ""))
	}
	fmt.Fprintf(&b, " --backend 127.0.0.1:9001 --backend 127.0.0.1:9002\n\n")
	fmt.Fprintf(&b, "Ctrl-C ends the demo.\n")
	return b.String()
}

// secureGuide says what to try by HTTPS.
func (r *Running) secureGuide() string {
	if r.Secure == "" {
		return ""
	}
	var b strings.Builder
	trust := ""
	fmt.Fprintf(&b, "  The same by HTTPS, its WebSocket by %s/ws.\n", strings.Replace(r.Secure, "https", "wss", 1))
	if r.SelfSigned {
		trust = "k"
		fmt.Fprintf(&b, "  The certificate was made for this run and nobody vouches for it: browsers\n")
		fmt.Fprintf(&b, "  warn before they go on, and curl asks for -k:\n")
	}
	fmt.Fprintf(&b, "    curl -s%s %s/whoami\n\n", trust, r.Secure)
	return b.String()
}

// portBeside returns a port that the demo itself does not hold at this address
// of its own, nor at the other, so that the command of the guide works while
// the demo runs.
func portBeside(address, other string) int {
	step := 1
	if portOf(address) >= 65534 {
		step = -1
	}
	port := portOf(address) + step
	if port == portOf(other) {
		port += step
	}
	return port
}

// portOf returns the port of a URL; 0: it has none.
func portOf(address string) int {
	_, rest, _ := strings.Cut(address, "://")
	host, _, _ := strings.Cut(rest, "/")
	_, text, _ := net.SplitHostPort(host)
	port, _ := strconv.Atoi(text)
	return port
}
