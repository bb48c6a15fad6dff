package peers

import (
	"context"
	"slices"
	"time"

	"culvert/bench/load"
)

const (
	warmUp   = 100 * time.Millisecond
	measured = 300 * time.Millisecond
	// latencyMeasured is longer: a p99.9 needs thousands of messages.
	latencyMeasured = 600 * time.Millisecond

	microsecondsPerMessage  = "µs CPU per message"
	microsecondsPerRequest  = "µs CPU per request"
	microsecondsPerDownload = "µs CPU per download"
	bytesPerTunnel          = "bytes per tunnel"
	microseconds            = "µs"

	idleTunnels = 4500
	manyTunnels = 9000
	fewTunnels  = 100 // of the many that are used

	sizeSmall = 125
	size16K   = 16 << 10
	size1M    = 1 << 20
)

func against(name string, factor float64) Target { return Target{Against: name, Factor: factor} }

// allWorks are all rows in their order. What they must reach is from the project's design.
func allWorks() []work {
	return slices.Concat(plainWorks(), secureWorks())
}

// plainWorks are those in the clear.
func plainWorks() []work {
	return []work{
		echoWork("echo-125B", "125 B echo", echoLoad{tunnels: 16, size: sizeSmall}, against(ProgramFloor, 1.05), against(ProgramNginx, 1)),
		echoWork("echo-16KiB", "16 KiB echo", echoLoad{tunnels: 16, size: size16K}, against(ProgramFloor, 1.05)),
		echoWork("echo-1MiB", "1 MiB echo", echoLoad{tunnels: 4, size: size1M}, against(ProgramHAProxy, 0.65)),
		echoWork("echo-32", "125 B echo, 32 in flight", echoLoad{tunnels: 16, size: sizeSmall, inFlight: 32}, against(ProgramFloor, 1.05)),
		echoWork("rate-5000", "5,000 messages/s over 1,000 tunnels", echoLoad{tunnels: 1000, size: sizeSmall, rate: 5000}, against(ProgramFloor, 1.05)),
		connectWork(),
		idleWork(),
		mixedWork(),
		manyWork(),
		loopsWork(),
		// Behind the rows about tunnels: what kept connections leave behind must not touch those.
		getWork("get-125B", "125 B GET, connections kept", microsecondsPerRequest, getLoad{connections: 16, size: sizeSmall}, against(AnyPeer, 0.9)),
		getWork("get-1MiB", "1 MiB download, connections kept", microsecondsPerDownload, getLoad{connections: 4, size: size1M}, against(AnyPeer, 0.65)),
	}
}

// works are those that were asked for.
func (b *Bench) works() []work {
	var list []work
	all := allWorks()
	if b.options.Curves {
		all = curveWorks()
	}
	for _, w := range all {
		for _, row := range w.rows {
			if b.options.Rows == nil || b.options.Rows.MatchString(row.Name) {
				list = append(list, w)
				break
			}
		}
	}
	return list
}

// echoLoad is a number of tunnels that echo messages all the time, or at a rate.
type echoLoad struct {
	tunnels, size, inFlight int
	rate                    float64   // messages/s over all tunnels; 0: the next follows the echo
	tls                     *load.TLS // nil: in the clear
}

// echoWork measures CPU time per message.
func echoWork(name, title string, load echoLoad, targets ...Target) work {
	return work{
		rows:    []Row{{Name: name, Title: title, Unit: microsecondsPerMessage, Subject: ProgramCulvert, Targets: targets}},
		tunnels: load.tunnels,
		nominal: (warmUp + measured).Seconds(),
		prepare: func(ctx context.Context, b *Bench, s station) (session, error) {
			opened, err := b.openEcho(ctx, s.proxy, load)
			if err != nil {
				return nil, err
			}
			return opened, nil
		},
	}
}

// connectWork measures whole lives of tunnels: connect, upgrade, one echo, close.
func connectWork() work {
	return work{
		rows: []Row{{
			Name: "connect", Title: "connect, upgrade, 125 B echo, close", Unit: "µs CPU per tunnel", Subject: ProgramCulvert,
			Targets: []Target{against(ProgramNginx, 0.9)},
		}},
		tunnels: connectsAtOnce,
		nominal: (warmUp + measured).Seconds(),
		prepare: func(_ context.Context, b *Bench, s station) (session, error) {
			return &connectSession{s.proxy, nil, b.measured(measured)}, nil
		},
	}
}

// getLoad is a number of kept connections, on each of which one request follows the answer to the last.
type getLoad struct{ connections, size int }

// getWork measures CPU time per request. The floor is one here as well, though it keeps a connection to the backend for
// each client: then a request and its answer cost it what a message and its echo do.
func getWork(name, title, unit string, load getLoad, targets ...Target) work {
	return work{
		rows:    []Row{{Name: name, Title: title, Unit: unit, Subject: ProgramCulvert, Targets: targets}},
		tunnels: load.connections,
		nominal: (warmUp + measured).Seconds(),
		counted: requestsRead,
		prepare: func(_ context.Context, b *Bench, s station) (session, error) {
			return &getSession{s.proxy, load, b.measured(measured)}, nil
		},
	}
}

// idleWork measures the memory of tunnels that do nothing, before and after each has carried one message.
func idleWork() work {
	targets := []Target{{AtMost: 1000}}
	return work{
		rows: []Row{
			{Name: "idle-fresh", Title: "idle tunnel, fresh", Unit: bytesPerTunnel, Subject: ProgramCulvert, Targets: targets},
			{Name: "idle-used", Title: "idle tunnel, after one 16 KiB echo", Unit: bytesPerTunnel, Subject: ProgramCulvert, Targets: targets},
		},
		tunnels: idleTunnels,
		nominal: 0.9,
		prepare: func(_ context.Context, b *Bench, s station) (session, error) {
			return &idleSession{bench: b, contender: s.contender}, nil
		},
	}
}

// mixedWork measures how long small messages take while others move large ones.
func mixedWork() work {
	return work{
		rows: []Row{{
			Name: "mixed-p99", Title: "p99 of 125 B echo on 100 tunnels while 8 move 1 MiB flat out", Unit: microseconds,
			Subject: ProgramCulvert, Targets: []Target{against(AnyPeer, 1)},
		}},
		tunnels: fewTunnels + bulkTunnels,
		nominal: (2*warmUp + latencyMeasured).Seconds() + 0.2,
		prepare: openMixed,
	}
}

// manyWork measures how long small messages take while thousands of tunnels are idle.
func manyWork() work {
	return work{
		rows: []Row{{
			Name: "many-p99.9", Title: "p99.9 of 125 B echo on 100 of 9,000 tunnels, the others idle", Unit: microseconds,
			Subject: ProgramCulvert, Targets: []Target{against(AnyPeer, 1)},
		}},
		tunnels: manyTunnels,
		nominal: (warmUp + latencyMeasured).Seconds() + 0.2,
		prepare: openMany,
	}
}
