// Package demo holds the backends that `culvert demo` starts behind the proxy:
// a small chat that serves its own page, pushes messages by itself and says
// which backend answered. The proxy has no part in it: it relays to these
// backends as it would to any other.
//
//	d, err := demo.Start(demo.Options{Backends: 2})
//	if err != nil {
//		return err
//	}
//	defer d.Close()
//	for _, address := range d.Addresses() {
//		// register the address as a backend of the proxy
//	}
//	fmt.Print(demo.Guide("bin/culvert", "http://localhost:8080", "http://localhost:9090/metrics", d.Addresses()))
//
// All backends of one Demo share one room, so a message reaches everyone,
// whichever backend a tunnel ended on.
//
// # What a backend serves
//
//	GET /         the page: one document with no external resource
//	GET /ws       the WebSocket (RFC 6455, no extension, no subprotocol)
//	GET /whoami   JSON: the backend's name and the request it saw
//	GET /healthz  "ok"
//
// # Messages
//
// Every message is one JSON object in a text frame. From the client:
//
//	{"type":"chat","text":"hello"}    to everyone in the room
//	{"type":"ping","sent":1234.5}     comes back as a pong with the same number
//
// A text message that is not a JSON object is taken as chat, so that a command
// line client can simply type. To the client go "welcome" (once, first, with the
// last messages), "chat", "push", "pong" and "error".
//
// # What to print
//
// [Guide] returns the text that tells a person who has just started the demo
// where the page is and what to try next; see its example.
package demo
