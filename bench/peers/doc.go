// Package peers compares Culvert with nginx, HAProxy and the floor side by side, on one machine and in one run.
//
// Each of them, a contender, runs as a child process with one loop or worker, in front of an echo backend of its own,
// and does the work of a row: so many messages of such a size. The kernel's accounting tells what CPU time and memory
// its processes took. Rounds are interleaved (A B C, B C A), so that whatever else happens on the machine happens to
// all of them; a row's figures are medians of the rounds, and its ratios medians of the rounds' ratios.
//
//	bench, err := peers.Open(peers.Options{Culvert: "bin/culvert", Floor: "bin/floor", Rounds: 7, Self: self})
//	...
//	defer bench.Close()
//	results, err := bench.Run(ctx)
//	fmt.Print(peers.Markdown(results))
//
// Rows by TLS run proxies of their own, with an HTTPS listener beside the plain one; their certificates are made for the
// run. What client and proxy agree upon, and whether sessions are resumed, is found out by the client, and must be the
// same for all. The floor, which knows no TLS, takes no part in them.
//
// The configurations of the peers are nginx.conf.tmpl and haproxy.cfg.tmpl in this folder; both exist with the peer's
// defaults and tuned, and claims compare with the better one.
package peers
