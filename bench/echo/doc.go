// Package echo is the backend of the benchmarks: a WebSocket server that sends every data frame back as it came, and
// answers a GET with a document of package page. It is built on netpoll's EventLoop and Connection, the API at what it
// is made for: a server of its own bytes.
//
//	server, err := echo.Start(echo.Options{Listen: netip.MustParseAddrPort("127.0.0.1:0")})
//	...
//	server.Addr() // where it listens
//	server.Close()
//
// Frames are unmasked and echoed as they stream in: a large one is never held whole, and fragments stay fragments.
// Pings are answered, and a close is answered by a close. Connections are kept from one GET to the next, and a document
// goes out with its head in one system call, as far as the socket takes it. With Delay or StallFor it is a server that is slow by a known
// amount, to check by whoever measures.
package echo
