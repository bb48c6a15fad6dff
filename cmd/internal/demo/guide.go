package demo

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Guide returns the text to print once the proxy in front of the demo is
// ready: where to look and what to try next, several lines that end in a
// newline. program is the path that it was started by; page is the address of
// the proxy's listener as a browser would take it ("http://localhost:8080");
// metrics is the full address of the metrics, or empty where there are none;
// backends are [Demo.Addresses].
func Guide(program, page, metrics string, backends []netip.AddrPort) string {
	page = strings.TrimSuffix(page, "/")
	names := make([]string, len(backends))
	for i, address := range backends {
		names[i] = fmt.Sprintf("%s on %s", backendName(i), address)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Culvert demo\n\n")
	fmt.Fprintf(&b, "  page      %s\n", page)
	fmt.Fprintf(&b, "  backends  %s\n", strings.Join(names, ", "))
	if metrics != "" {
		fmt.Fprintf(&b, "  metrics   %s\n", metrics)
	}
	fmt.Fprintf(&b, "\nTry next\n\n")
	fmt.Fprintf(&b, "  Open the page in two tabs and write in one: the other shows it,\n")
	fmt.Fprintf(&b, "  whichever backend each tab is on. \"Reconnect\" may change backends.\n\n")
	fmt.Fprintf(&b, "  See what a backend sees:\n    curl -s %s/whoami\n\n", page)
	if metrics != "" {
		fmt.Fprintf(&b, "  Watch the proxy count:\n    curl -s %s\n\n", metrics)
	}
	fmt.Fprintf(&b, "  Put Culvert before servers of your own:\n")
	fmt.Fprintf(&b, "    %s --listen :%d", program, portBeside(page))
	if metrics != "" {
		fmt.Fprintf(&b, " --admin 127.0.0.1:%d", portBeside(metrics))
	}
	fmt.Fprintf(&b, " --backend 127.0.0.1:9001 --backend 127.0.0.1:9002\n\n")
	fmt.Fprintf(&b, "Ctrl-C ends the demo.\n")
	return b.String()
}

// portBeside returns a port that the demo itself does not hold at this address
// of its own, so that the command of the guide works while the demo runs.
func portBeside(address string) int {
	host, _, _ := strings.Cut(strings.TrimPrefix(address, "http://"), "/")
	_, text, _ := net.SplitHostPort(host)
	port, _ := strconv.Atoi(text)
	if port >= 65535 {
		return port - 1
	}
	return port + 1
}
