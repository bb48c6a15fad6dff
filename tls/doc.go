// Package tls is an encrypted pipe: ciphertext on one side, plaintext on the other, in memory. It does no I/O, knows no
// engine and no HTTP, and is the only importer of crypto/tls, which does the cryptography (RFC 8446, RFC 5246).
//
// A Conn belongs to one goroutine, its owner's, which moves the ciphertext between a socket and the Conn. No connection
// has a goroutine of its own: a handshake runs as a coroutine on a thread of Workers, and what comes of each of its
// steps is posted back to the owner. After it everything happens in the owner's calls.
//
//	workers := tls.NewWorkers(tls.WorkersOptions{})
//	conn := tls.New(tls.Options{Config: config, Workers: workers, Buffers: &tls.Pool{}, Post: loop.Post, Observer: owner})
//
//	// The socket is readable. Fed bytes are borrowed, and decrypted where they are.
//	conn.Feed(ciphertext)
//	for {
//		n, status := conn.Plain(buffer)
//		use(buffer[:n])
//		if status != tls.StatusReady {
//			break
//		}
//	}
//
//	// There is something to say.
//	err := conn.Seal(answer)
//
//	// After each of these calls, and when Observer.Stepped is called:
//	n := send(socket, conn.Pending())
//	conn.Advance(n)
//
// The half after the handshake is the interface Pipe, and what encrypts is hidden behind recordLayer, so that crypto/tls
// can be replaced there.
package tls
