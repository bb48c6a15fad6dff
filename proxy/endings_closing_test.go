package proxy_test

import (
	"testing"

	"culvert/engine"
	"culvert/proxy/proxytest"

	gobwas "github.com/gobwas/ws"
)

// TestWhoeverClosesFirstIsNamed: the backend's FIN comes first, as RFC 6455 7.1.1 has it, but it was the client that said
// goodbye; and the other way round.
func TestWhoeverClosesFirstIsNamed(t *testing.T) { overWays(t, whoeverClosesFirstIsNamed) }

func whoeverClosesFirstIsNamed(t *proxytest.T) {
	for side, name := range sideNames {
		t.Run(name, func(t *proxytest.T) {
			p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{proxytest.NewBackend(t)}})
			client, backend := p.Tunnel(t)
			toBackend := proxytest.ClientFrame(gobwas.OpClose, "\x03\xe8")
			toClient := proxytest.ServerFrame(gobwas.OpClose, "\x03\xe8")
			if side == int(engine.SideClient) {
				client.Send(toBackend)
				backend.Want(toBackend)
				backend.Send(toClient)
				client.Want(toClient)
			} else {
				backend.Send(toClient)
				client.Want(toClient)
				client.Send(toBackend)
				backend.Want(toBackend)
			}
			last, first := client, backend
			if side == int(engine.SideBackend) {
				last, first = backend, client
			}
			first.CloseWrite()
			last.WantEOF()
			last.CloseWrite()
			first.WantEOF()
			wantLog(t, p, "tunnel-open 101", "tunnel-end 101 closed "+name+" from_client close 1000 from_backend close 1000")
		})
	}
}
