package proxy_test

import (
	"net/netip"
	"strings"
	"testing"

	"culvert/proxy/proxytest"
)

func TestABackendThatRefusesIsSeenInTheLog(t *testing.T) {
	overWays(t, aBackendThatRefusesIsSeenInTheLog)
}

func aBackendThatRefusesIsSeenInTheLog(t *proxytest.T) {
	address := proxytest.Refuses(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{proxytest.NewBackend(t)}, Addresses: []netip.AddrPort{address}})
	for range 2 { // one of them asks the backend that refuses first
		_, _ = p.Tunnel(t)
	}
	proxytest.Eventually(t, "the log tells of the backend", func() bool { return p.ErrorLog() != "" })
	for _, want := range []string{`"level":"warn"`, `"backend":"b1"`, `"address":"` + address.String() + `"`, `"failures":1`, `"detail":"refused"`} {
		if !strings.Contains(p.ErrorLog(), want) {
			t.Errorf("%s is missing in %s", want, p.ErrorLog())
		}
	}
	if lines := strings.Count(p.ErrorLog(), "\n"); lines != 1 {
		t.Errorf("%d lines about one backend", lines)
	}
}
