// Package engine moves bytes and time: event loops, non-blocking sockets, a timing wheel per loop, and a bounded
// two-way relay. It knows no HTTP, no WebSocket and no TLS: what bytes mean is told to it by a Stage, and what an
// end of a relay is made of is hidden behind End.
//
// A Loop owns everything it touches. Its methods, and those of every Conn, Listener, Relay and Timer that belongs
// to it, are called on the loop's goroutine only; Post is the one way in from elsewhere.
//
// The smallest use, a loop that answers on a port:
//
//	loop, err := engine.NewLoop(engine.LoopOptions{})
//	loop.Start()
//	loop.Post(func() {
//		listener, err := loop.Listen(addr, engine.ListenOptions{}, acceptor)
//	})
//	...
//	loop.Stop()
package engine
