//go:build linux

package main

import (
	"runtime"

	"culvert/proxy"
)

// loopsAndProcessors returns how many event loops to run if so many are wanted (0: one per CPU), and what GOMAXPROCS
// must be for it. A loop keeps its processor (a P of the runtime) while it waits on its own set in a raw system call,
// so that waking up costs nothing. With no more processors than loops, everything else (the admin port, the writer of
// the access log, the collector's workers) would wait for a loop to park, and a loop for them, for milliseconds.
func loopsAndProcessors(wanted int) (loops, processors int) {
	loops = wanted
	if loops == 0 {
		// Until somebody sets it, GOMAXPROCS is the number of CPUs, a container's limit respected.
		loops = min(runtime.GOMAXPROCS(0), proxy.MaxLoops)
	}
	return loops, loops + 1
}

// allowForHandshakes raises GOMAXPROCS by the number of threads that TLS handshakes run on, where the configuration has
// any: a handshake under way keeps its processor, too. It is never lowered.
func allowForHandshakes(c *proxy.Config) {
	_, processors := loopsAndProcessors(c.Loops)
	if n := processors + c.HandshakeThreads(); n > runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(n)
	}
}
