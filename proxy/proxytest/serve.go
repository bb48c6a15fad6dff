package proxytest

import "net"

// Serve accepts connections by itself until the backend closes, and runs script for each on a goroutine of its own. A
// connection is closed when its script returns. Failures inside a script fail the test, but end only the script. Accept
// must not be used besides.
func (b *Backend) Serve(script func(c *Conn)) {
	b.serving.Add(1)
	// goroutine: acceptor of a test's backend, ends when the backend is closed
	go func() {
		defer b.serving.Done()
		for {
			raw, err := b.listener.AcceptTCP()
			if err != nil {
				return
			}
			b.run(raw, script)
		}
	}()
}

func (b *Backend) run(raw *net.TCPConn, script func(c *Conn)) {
	c := b.add(raw)
	c.background, c.closing = func() bool { return true }, b.closing.Load
	if b.closing.Load() {
		c.Close() // Close did not see it
		return
	}
	b.serving.Add(1)
	// goroutine: script of a test's backend, ends when it returns; its connection is closed with the backend
	go func() {
		defer b.serving.Done()
		defer c.Close()
		if c.greet(); c.err == nil { // else there is nothing to play
			script(c)
		}
	}()
}
