// Package health decides which backends may take new requests, and how many: active checks, ejection of those that fail
// their requests, slow start, and the pace at which tunnels are ended. It does no I/O, reads no clock and starts no
// goroutine: bytes and times are parameters. Times are nanoseconds of the monotonic clock, durations nanoseconds.
//
// A check, as its owner carries it out:
//
//	var checker health.Checker
//	checker.Init(&settings, seed, now)
//	// at checker.Due():
//	deadline := checker.Begin(now)
//	probe.Init(&settings, authority, entropy)
//	out, verdict := probe.Connected(nil) // once the connection stands; out is to be sent
//	for verdict == health.Pending {
//		out, verdict = probe.Receive(received, out[:0]) // probe.Ended where the stream ends
//	}
//	changed := checker.End(now, probe.Reason()) // or ReasonTimeout at the deadline, or why there is no connection
//
// What follows from all that is known of a member is its Status, and its Share of the weight that it has.
package health
