// Package apps holds the tests that put applications which nobody here wrote before and behind the program that users
// run: Socket.IO, one server of it and several, and ws from npm on Node, curl, Go's own HTTP client and server, a stream
// of server-sent events.
//
// What comes from npm is pinned by testdata/node/package-lock.json and installed into .cache when it is first needed.
package apps
