package peers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"culvert/bench/load"
	"culvert/tls"
)

const (
	// connectMeasured is longer than with plain connections, of which there are several times as many.
	connectMeasured = 400 * time.Millisecond
	// leastResumed is which share of the sessions must have been resumed for a row about that: a ticket may be refused
	// now and then, when its key changes.
	leastResumed = 0.99
	// idleSecureBytes is what an idle tunnel over TLS may take.
	idleSecureBytes = 9000
)

// fullTLS is a full handshake, with what all contenders have.
var fullTLS = load.TLS{ServerName: serverName, Version: load.TLS13, KeyExchange: load.X25519}

// resumedTLS takes sessions up; hybridTLS has a key exchange that a quantum computer would not break.
var resumedTLS, hybridTLS = func() (resumed, hybrid load.TLS) {
	resumed, hybrid = fullTLS, fullTLS
	resumed.Resume = true
	hybrid.KeyExchange = load.X25519MLKEM768
	return resumed, hybrid
}()

// secureWorks are those by TLS.
func secureWorks() []work {
	overTLS := func(w work) work {
		w.key = keyP256
		return w
	}
	return []work{
		overTLS(echoWork("tls-echo-125B", "TLS: 125 B echo", echoLoad{tunnels: 16, size: sizeSmall, tls: &fullTLS}, against(AnyPeer, 0.9))),
		overTLS(echoWork("tls-echo-16KiB", "TLS: 16 KiB echo", echoLoad{tunnels: 16, size: size16K, tls: &fullTLS}, against(AnyPeer, 0.8))),
		secureConnectWork("tls-connect", "TLS: connect, full handshake, upgrade, 125 B echo, close", keyP256, &fullTLS, 0.75),
		secureConnectWork("tls-connect-rsa", "TLS: the same with a key of RSA-2048 for ECDSA P-256", keyRSA, &fullTLS, 1),
		secureConnectWork("tls-connect-mlkem", "TLS: the same with X25519MLKEM768 for X25519", keyP256, &hybridTLS, 1),
		secureConnectWork("tls-resume", "TLS: the same with a session that is resumed", keyP256, &resumedTLS, 1),
		secureIdleWork(),
		stormWork(),
	}
}

// secureConnectWork measures whole lives of tunnels by TLS.
func secureConnectWork(name, title string, key keyKind, by *load.TLS, factor float64) work {
	return work{
		rows: []Row{{
			Name: name, Title: title, Unit: "µs CPU per tunnel", Subject: ProgramCulvert, Targets: []Target{against(AnyPeer, factor)},
		}},
		tunnels: connectsAtOnce,
		nominal: (warmUp + connectMeasured).Seconds(),
		key:     key,
		prepare: func(ctx context.Context, b *Bench, s station) (session, error) {
			client, err := by.Prepared()
			if err != nil {
				return nil, err
			}
			if err := able(ctx, s.proxy, client); err != nil {
				return nil, err
			}
			return &connectSession{s.proxy, client, b.measured(connectMeasured)}, nil
		},
	}
}

// secureIdleWork is idleWork by TLS.
func secureIdleWork() work {
	row := func(name, title string) Row {
		return Row{Name: name, Title: title, Unit: bytesPerTunnel, Subject: ProgramCulvert, Targets: []Target{{AtMost: idleSecureBytes}}}
	}
	return work{
		rows:    []Row{row("tls-idle-fresh", "TLS: idle tunnel, fresh"), row("tls-idle-used", "TLS: idle tunnel, after one 16 KiB echo")},
		tunnels: idleTunnels,
		nominal: 3,
		key:     keyP256,
		prepare: func(_ context.Context, b *Bench, s station) (session, error) {
			return &idleSession{b, s.contender, keyP256, &fullTLS}, nil
		},
	}
}

// lack is the error of a contender that cannot do a work at all.
type lack struct{ what string }

func (l *lack) Error() string { return "it has no " + l.what }

// handshakeFailure is the alert of a server that shares no key exchange with its client (RFC 8446 section 6.2).
const handshakeFailure = 40

// able makes one tunnel, and with it the client's first session. A proxy that refuses the key exchange is not to be blamed: it is left out.
func able(ctx context.Context, p *proxy, by *load.TLS) error {
	fleet, err := openFleet(ctx, p.target(by), 1)
	var refused *tls.Error
	switch {
	case errors.As(err, &refused) && refused.Alert == handshakeFailure:
		return &lack{by.KeyExchange.String()}
	case err != nil:
		return err
	}
	return closeFleet(ctx, fleet)
}

// checkResumed finds out, from the client's side, whether handshakes were what the row says: resumed or full.
func checkResumed(by *load.TLS, s *Sample) error {
	switch {
	case by.Resume && float64(s.Resumed) < leastResumed*float64(s.Handshakes):
		return fmt.Errorf("only %d of %d sessions were resumed", s.Resumed, s.Handshakes)
	case !by.Resume && s.Resumed > 0:
		return fmt.Errorf("%d of %d sessions were resumed, and all handshakes were to be full ones", s.Resumed, s.Handshakes)
	}
	return nil
}

// sameTLS finds out whether all contenders have agreed upon the same with the client: else their work is not the same.
func sameTLS(rows []Row) error {
	for _, row := range rows {
		agreed, by := "", ""
		for _, s := range row.Contenders {
			for _, sample := range s.Samples {
				if agreed == "" {
					agreed, by = sample.TLS, s.Title
				}
				if sample.TLS != agreed {
					return fmt.Errorf("%s spoke %s with the client, and %s %s", by, agreed, s.Title, sample.TLS)
				}
			}
		}
	}
	return nil
}
