package configfile

import (
	"slices"
	"strings"
	"sync"
	"time"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
)

// groupFields are the keys of a group.
var groupFields = sync.OnceValue(func() []field[Group] {
	fields := []field[Group]{
		{
			key: "servers", shape: listOf(ref("server")), allowed: "a list of servers, see below", help: "The servers, at least one, unless there is `discovery`.",
			read: readServers,
		},
		{
			key: "discovery", shape: ref("discovery"), allowed: "a mapping, see [balancing.md](balancing.md#discovery)", help: "Where further servers are found, while the proxy runs.",
			read: func(r *reader, n *node, to *Group) { to.Discovery = r.discovery(n) },
		},
		{
			key: "send-proxy", shape: wordsShape("none", "v1", "v2"), allowed: "none (the default), v1, v2",
			help: "The PROXY header that each connection to a server begins with; such a connection serves one request.",
			read: func(r *reader, n *node, to *Group) {
				word, _ := r.word(n, "none", "v1", "v2")
				to.SendProxy = map[string]int{"v1": 1, "v2": 2}[word]
			},
		},
		{
			key: "tls", shape: ref("backend-tls"), allowed: "a mapping, see below", help: "How those of its servers are spoken to that are by HTTPS.",
			read: func(r *reader, n *node, to *Group) { to.OverTLS = readBackendTLS(r, n) },
		},
	}
	return append(append(fields, balancingFields()...), endingFields()...)
})

// balancingFields are those keys of a group that say which server is chosen.
func balancingFields() []field[Group] {
	return []field[Group]{
		{
			key: "schedule", shape: scheduleShape(), allowed: scheduleAllowed(), help: scheduleHelp,
			read: func(r *reader, n *node, to *Group) {
				if s, ok := r.schedule(n); ok {
					to.Schedule = s
				}
			},
		},
		{
			key: "sticky", shape: stickyShape(), allowed: stickyAllowed(), help: stickyHelp + " `off`, if not given.",
			read: func(r *reader, n *node, to *Group) { to.Sticky = r.sticky(n) },
		},
		{
			key: "check", shape: checkShape(), allowed: flagNamed("check").Allowed + orBalancing,
			help: "Health checks: a server that fails them gets no new requests. `off`, if not given.",
			read: func(r *reader, n *node, to *Group) { to.Check = r.healthCheck(n) },
		},
		{
			key: "outliers", shape: outliersShape(), allowed: outliersAllowed + ", see [balancing.md](balancing.md#outliers)",
			help: "When a server is ejected for a while because requests to it failed. It is, if nothing is said, after 5 in a row.",
			read: func(r *reader, n *node, to *Group) { to.Outliers = r.outliers(n) },
		},
		flagField("slow-start", "slow-start", "How long a server that is new, or back, takes to get its whole share of new requests; 0, if not given.",
			func(to *Group, d time.Duration) { to.SlowStart = d }),
		flagField("queue", "queue", "Requests that may wait for a server with less than its `max-connections`; one more gets 503. 0, if not given.", func(to *Group, n int) { to.Queue = n }),
		flagField("queue-timeout", "queue-timeout", "How long a request waits so; then it gets 503. 5s, if not given.", func(to *Group, d time.Duration) { to.QueueTimeout = d }),
		percentField("retry-share", settings.Range{Min: "0", Max: "100"}, "How many dials of another server, behind one that failed, there may be for 100 requests; some few are free. 20, if not given.",
			func(to *Group, n int) { to.RetryShare = n }),
	}
}

// endingFields are those that say how tunnels of a server end.
func endingFields() []field[Group] {
	return []field[Group]{
		countField("end-rate", settings.Range{Min: "1", Max: "1000000", Zero: "all at once"}, "How many tunnels per second are ended where those of a server are: behind a drain, or where it is down. 100, if not given.",
			func(to *Group, n int) { to.EndRate = n }),
		booleanField("end-when-down", "End the tunnels of a server that its checks find down; by default they live on.", func(to *Group, yes bool) { to.EndWhenDown = yes }),
	}
}

// serverFields are the keys of a server.
var serverFields = sync.OnceValue(func() []field[Server] {
	return []field[Server]{
		{
			key: "address", shape: textShape, allowed: serverAllowed, help: "Where it is. Required. A name is resolved once, and every address of it becomes a server of that weight.",
			read: readServerAddress,
		},
		{
			key: "weight", shape: countShape(0, settings.MaxWeight), allowed: "0 to 100", help: "Its share of new requests; 1, if none is given, and none with 0.",
			read: func(r *reader, n *node, to *Server) {
				text, ok := r.text(n)
				if !ok {
					return
				}
				list, err := settings.Decode[[]settings.Backend]("backend", "unix:/,weight="+text)
				if err != nil {
					reason, _ := settings.Reasons(err)
					r.wrong(n, text, reason, "0 to 100")
					return
				}
				to.Weight = list[0].Weight
			},
		},
		{
			key: "secondary", shape: booleanShape, allowed: "true, false", help: "Ask it only where no primary server takes requests, or those that do are full, or have failed the request.",
			read: func(r *reader, n *node, to *Server) { to.Secondary, _ = r.boolean(n) },
		},
		flagField("max-connections", "max-connections-per-backend", "Connections to it, tunnels included; 0, if not given.", func(to *Server, n int) { to.MaxConnections = n }),
		booleanField("drain", "Take it out of use: it gets no new requests, and its tunnels live on.", func(to *Server, yes bool) { to.Drain = yes }),
		durationField("drain-for", settings.Range{Min: "1s", Max: "24h"}, "Take it out of use, and end its tunnels after so long, one by one.",
			func(to *Server, d time.Duration) { to.DrainFor = d }),
		{
			key: "tls", shape: ref("backend-tls"), allowed: "a mapping, see below", help: "How it is spoken to by HTTPS; each key goes before that of its group.",
			read: func(r *reader, n *node, to *Server) { to.OverTLS = readBackendTLS(r, n) },
		},
	}
})

const serverAllowed = "host:port, http://host:port, https://host:port or unix:/path"

func readServers(r *reader, n *node, to *Group) {
	if n.kind != list {
		r.wrongKind(n, "a list")
		return
	}
	r.servers += len(n.items)
	if !r.bounded(n, r.servers, MaxServers, "servers in this file so far") {
		return
	}
	for _, item := range n.items {
		server := Server{place: item.place}
		if item.kind == scalar {
			if slip := slipOfServer(item.text); slip != "" {
				r.wrong(item, item.text, slip, "")
				continue
			}
			list, ok := decoded[[]settings.Backend](r, item, "backend")
			if ok {
				server.Backend = list[0]
				to.Servers = append(to.Servers, server)
			}
			continue
		}
		server.Weight = 1
		values, ok := readMapping(r, item, serverFields(), &server)
		if !ok {
			continue
		}
		if values["address"] == nil {
			r.fail(item.place, "servers: a server without address")
		}
		if drain := values["drain"]; drain != nil && !server.Drain && server.DrainFor > 0 {
			r.fail(drain.place, "drain: false, and yet there is drain-for")
		}
		server.Drain = server.Drain || server.DrainFor > 0
		to.Servers = append(to.Servers, server)
	}
}

// slipOfServer helps with a server's text that says more than its weight, and with one that a list in brackets has parted at
// its comma.
func slipOfServer(text string) string {
	_, option, more := strings.Cut(text, ",")
	switch {
	case strings.HasPrefix(text, "weight="):
		return "in brackets, a text with a comma needs quotes"
	case more && !strings.HasPrefix(option, "weight=") || strings.Contains(option, ","):
		return `a text says the weight alone; more is said by a mapping, such as {address: "10.0.0.1:80", weight: 2, max-connections: 100}`
	}
	return ""
}

func readServerAddress(r *reader, n *node, to *Server) {
	text, ok := r.text(n)
	if !ok {
		return
	}
	if strings.Contains(text, ",") {
		r.wrong(n, text, "the weight has a key of its own here", serverAllowed)
		return
	}
	list, err := settings.Decode[[]settings.Backend]("backend", text)
	if err != nil {
		reason, _ := settings.Reasons(err)
		r.wrong(n, text, reason, serverAllowed)
		return
	}
	weight := to.Weight
	to.Backend = list[0]
	to.Weight = weight
}

// newGroup returns a group of which nothing is said.
func newGroup(name string) Group {
	return Group{
		Name: name, Schedule: proxy.Schedule{Algorithm: flagNamed("schedule").Default}, Outliers: defaultOutliers(), EndRate: defaultEndRate,
		QueueTimeout: proxy.DefaultQueueTimeout, RetryShare: proxy.DefaultRetryShare,
	}
}

// defaultEndRate is how many tunnels per second are ended where nothing else is said: a stampede of so many is none.
const defaultEndRate = 100

// checkGroup looks whether what is said of a group goes together.
func (r *reader) checkGroup(g *Group, at place, values map[string]*node) {
	servers := values["servers"]
	switch {
	case values["discovery"] != nil:
	case servers == nil:
		r.fail(at, "group %s: it has no servers", shownKey(g.Name))
	case servers.kind == list && len(servers.items) == 0:
		r.fail(servers.place, "servers: an empty list; a group has at least one server")
	}
	bounded := slices.ContainsFunc(g.Servers, func(s Server) bool { return s.MaxConnections > 0 }) || g.Discovery != nil && g.Discovery.MaxConnections > 0
	if queue := values["queue"]; queue != nil && g.Queue > 0 && !bounded {
		r.fail(queue.place, "queue: no request waits, since no server has max-connections")
	}
	if timeout := values["queue-timeout"]; timeout != nil && g.Queue == 0 && values["queue"] == nil {
		r.fail(timeout.place, "queue-timeout: no request waits without queue")
	}
	if g.EndWhenDown && g.Check == nil && values["check"] == nil {
		r.fail(values["end-when-down"].place, "end-when-down: nothing is checked without check")
	}
	if g.SlowStart > 0 && g.Schedule.Algorithm == "rr" {
		r.warn(values["slow-start"].place, "slow-start: it has no effect with schedule: rr, to which all servers are equal")
	}
}
