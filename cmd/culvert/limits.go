package main

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	// reservedDescriptors are kept for what is not a tunnel: listeners, the loops' own, logs, and the admin port's
	// connections.
	reservedDescriptors = 64
	// descriptorsPerTunnel: the client's socket and the backend's.
	descriptorsPerTunnel = 2
	// maxLoops is the largest number of event loops.
	maxLoops = 256
)

// raiseDescriptorLimit lifts the soft limit of descriptors to the hard one and returns what it then is.
func raiseDescriptorLimit() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("getrlimit: %w", err)
	}
	if limit.Cur >= limit.Max {
		return limit.Cur, nil
	}
	raised := unix.Rlimit{Cur: limit.Max, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err != nil {
		return limit.Cur, fmt.Errorf("setrlimit: %w", err)
	}
	return raised.Cur, nil
}

// tunnelsWithin returns how many tunnels a number of descriptors is enough for.
func tunnelsWithin(descriptors uint64) uint64 {
	if descriptors < reservedDescriptors {
		return 0
	}
	return (descriptors - reservedDescriptors) / descriptorsPerTunnel
}

// loopsAndProcessors returns how many event loops to run if so many are wanted (0: one per CPU), and what GOMAXPROCS
// must be for it. A loop keeps its processor (a P of the runtime) while it waits on its own set in a raw system call,
// so that waking up costs nothing. With no more processors than loops, everything else (the admin port, the writer of
// the access log, the collector's workers) would wait for a loop to park, and a loop for them, for milliseconds.
func loopsAndProcessors(wanted int) (loops, processors int) {
	loops = wanted
	if loops == 0 {
		// Until somebody sets it, GOMAXPROCS is the number of CPUs, a container's limit respected.
		loops = min(runtime.GOMAXPROCS(0), maxLoops)
	}
	return loops, loops + 1
}
