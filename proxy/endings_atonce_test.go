package proxy_test

import (
	"strings"
	"testing"

	"culvert/proxy/proxytest"
)

// What a client says in one breath with its request may reach the proxy as one event, which is told only once. None of
// these backends answers, so an exchange that missed the client's end would wait for the answer timeout.

// oneBreath has clients say something and leave, and wants every exchange to end.
func oneBreath(t *proxytest.T, say string, leave func(*proxytest.Conn)) {
	t.Helper()
	backend := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}})
	const clients = 100
	for range clients {
		c := p.Dial(t)
		c.SendAvailable(say)
		leave(c)
	}
	p.WaitMetric(t, clients, "culvert_exchanges_ended_total")
	p.WaitMetric(t, 0, "culvert_backend_connections_active")
	for _, line := range p.Log() {
		reason := line.Text("reason")
		if reason == "tls-handshake" && t.Way().Client == proxytest.TLS13 {
			continue // the reset has overtaken the end of the handshake, which the client does not wait for
		}
		if reason != "client-left" {
			t.Fatalf("a client that leaves is logged as %v", line)
		}
	}
}

func TestARequestAndAResetInOneBreath(t *testing.T) { overWays(t, aRequestAndAResetInOneBreath) }

func aRequestAndAResetInOneBreath(t *proxytest.T) {
	t.Parallel()
	oneBreath(t, plainRequest, (*proxytest.Conn).Reset)
}

func TestAnUpgradeAndAResetInOneBreath(t *testing.T) { overWays(t, anUpgradeAndAResetInOneBreath) }

func anUpgradeAndAResetInOneBreath(t *proxytest.T) {
	t.Parallel()
	oneBreath(t, proxytest.UpgradeRequest()+proxytest.ClientText("early"), (*proxytest.Conn).Reset)
}

func TestAnUpgradeMuchEarlyDataAndAFINInOneBreath(t *testing.T) {
	overWays(t, anUpgradeMuchEarlyDataAndAFINInOneBreath)
}

func anUpgradeMuchEarlyDataAndAFINInOneBreath(t *proxytest.T) {
	t.Parallel()
	early := proxytest.ClientFrame(0x2, strings.Repeat("early", 20<<10))
	oneBreath(t, proxytest.UpgradeRequest()+early, (*proxytest.Conn).CloseWrite)
}
