// Package proxytest runs a real proxy inside a test, between raw sockets that the test holds in its hands: it sends and
// reads exact bytes on both sides, and waits for conditions instead of time.
//
//	backend := proxytest.NewBackend(t)
//	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}})
//
//	client := p.Dial(t)
//	client.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
//	server := backend.Accept()
//	server.ReadHead()
//	server.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
//	server.Close()
//	client.ReadHead()
//	client.Want("hi")
//	client.WantEOF()
//	p.WaitEnd(t).Want(t, "complete", 200, "backend")
//
// Nothing runs behind the test's back: a connection that the test has not accepted waits in the kernel. A backend that
// must answer by itself is given a script by Backend.Serve. Tunnel opens a whole tunnel at once, Stall fills a direction
// until the proxy holds bytes, Lose makes a peer's host disappear.
//
// A test that is a T goes a Way: over TLS its clients, its backends and its proxy speak as they do without, and what it
// sends and wants is the same.
//
// Every wait is bounded by Patience, and a failure says in a sentence who waited for what. When a test is over its
// proxy must have nothing left: no connection, no timer, no pending byte. Main checks the whole process.
package proxytest
