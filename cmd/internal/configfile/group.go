package configfile

import (
	"strings"
	"sync"

	"culvert/cmd/internal/settings"
)

// groupFields are the keys of a group.
var groupFields = sync.OnceValue(func() []field[Group] {
	return []field[Group]{
		{
			key: "servers", shape: listOf(ref("server")), allowed: "a list of servers, see below", help: "The servers, at least one. Required.",
			read: readServers,
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
})

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
			key: "secondary", shape: booleanShape, allowed: "true, false", help: "Ask it only where no primary server takes requests.",
			read: func(r *reader, n *node, to *Server) { to.Secondary, _ = r.boolean(n) },
		},
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
	if len(n.items) == 0 {
		r.fail(n.place, "servers: an empty list; a group has at least one server")
	}
	r.servers += len(n.items)
	if !r.bounded(n, r.servers, MaxServers, "servers in this file so far") {
		return
	}
	for _, item := range n.items {
		server := Server{place: item.place}
		if item.kind == scalar {
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
		to.Servers = append(to.Servers, server)
	}
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
