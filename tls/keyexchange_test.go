package tls

import "testing"

// TestAClientOffersTheKeyExchangesItWasTold, and no others.
func TestAClientOffersTheKeyExchangesItWasTold(t *testing.T) {
	for _, want := range []KeyExchange{X25519, X25519MLKEM768} {
		config, err := NewClientConfig(ClientOptions{
			ServerName: serverName, Authorities: ours().authorities, KeyExchanges: []KeyExchange{want},
		})
		if err != nil {
			t.Fatal(err)
		}
		l, done := connect(t, config, peerConfig(), exchange(10))
		l.echo = true
		if err := l.finish(done); err != nil {
			t.Fatal(err)
		}
		if got := l.conn.Info().KeyExchange; got != want || got.String() == "" {
			t.Errorf("%v, want %v", got, want)
		}
	}
}
