// Package load measures WebSocket servers and proxies from outside: it opens tunnels, sends messages that are known to
// the last byte, compares every echo, and tells how long each took. It fetches documents by ordinary requests, too, and
// compares them as well.
//
//	fleet, err := load.Open(ctx, load.Target{Addresses: addresses}, load.FleetOptions{Tunnels: 1000})
//	...
//	result, err := fleet.Echo(ctx, load.EchoPlan{Size: 125, Rate: 5000, Duration: 10 * time.Second})
//	fmt.Println(result.MessagesPerSecond(), result.Latency.P99)
//	fleet.Close(ctx)
//
// It runs on the loops of package engine and does as little as it can, since it shares the machine with what it
// measures: frames are built once, a message costs one send and one receive, nothing is allocated for it. A process
// that uses it should have one more processor (GOMAXPROCS) than loops.
//
// With a rate, messages have intended send times, spread evenly, and a latency counts from the intended time: what
// waits because an earlier message is stuck is not left out (coordinated omission). Without one, a tunnel sends its
// next message when an echo came, and the latency is that of the exchange alone.
//
// A Result says when the generator itself was the limit; its figures are about the generator then.
package load
