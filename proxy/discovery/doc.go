// Package discovery finds out which backends there are: it asks DNS for names, and watches files with lists. It runs
// beside the loops, on one goroutine and a few workers however many sources there are, and tells of each source what has
// become of it:
//
//	watcher, err := discovery.Start(discovery.Options{
//		Clock:  engine.Monotonic,
//		Notify: func(u discovery.Update) { ... },
//	}, []discovery.Source{
//		{Kind: discovery.Addresses, Name: "app.example", Port: 8080, Weight: 1},
//		{Kind: discovery.Services, Name: "_ws._tcp.app.example"},
//		{Kind: discovery.File, Name: "/etc/culvert/backends.yaml"},
//	})
//	...
//	watcher.Stop()
//
// What was known last holds until something better is known. A resolver that does not answer, or answers that it failed,
// changes nothing. That a name does not exist any more, or has no address, is believed once it was said again and again
// (Options.Confirmations), for that is what a resolver says too that has just lost its zone. A file that cannot be read or
// understood changes nothing; an empty list in it, which somebody has written, holds at once.
package discovery
