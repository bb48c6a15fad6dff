package apps

import (
	"strings"
	"testing"
)

// wsResult is what ends of a WebSocket tell: the client at its end, the server of every connection's end.
type wsResult struct {
	Messages int // echoed
	Code     int
	Reason   string
}

// wsPair is the package ws as a server and as clients, with the program between them.
type wsPair struct {
	proxy  *culvert
	server *script
}

func newWSPair(t *testing.T, arguments ...string) *wsPair {
	t.Helper()
	server, address := runServer(t, "ws-server.js", arguments...)
	return &wsPair{startCulvert(t, []string{address}), server}
}

// play runs a client through one case, and returns what both ends say and the line of the access log.
func (p *wsPair) play(t *testing.T, arguments ...string) (client, server wsResult, line logLine) {
	t.Helper()
	s := runScript(t, "ws-client.js", append([]string{"ws://" + p.proxy.address + "/" + t.Name()}, arguments...)...)
	s.read(&client)
	p.server.read(&server)
	s.end()
	lines := p.proxy.lines(1, func(l logLine) bool { return l["event"] == "tunnel-end" && l["uri"] == "/"+t.Name() })
	return client, server, lines[0]
}

// side returns what a line says of the bytes from one side.
func (l logLine) side(name string) logLine {
	inner, _ := l["from_"+name].(map[string]any)
	return inner
}

func TestWSEchoesThroughTheProxy(t *testing.T) {
	p := newWSPair(t)
	for _, name := range []string{"text", "binary", "fragments", "pings"} {
		t.Run(name, func(t *testing.T) {
			client, server, line := p.play(t, name)
			want := wsResult{Code: 1000, Reason: "done"}
			if server != want {
				t.Errorf("the server says %+v, want %+v", server, want)
			}
			if want.Messages = client.Messages; client != want || client.Messages == 0 {
				t.Errorf("the client says %+v, want %+v", client, want)
			}
			for _, side := range []string{"client", "backend"} {
				seen := line.side(side)
				text, _ := seen["text"].(float64)
				binary, _ := seen["binary"].(float64)
				if seen["close_code"] != 1000.0 || text+binary < float64(client.Messages) {
					t.Errorf("from the %s the log counts %v, %d messages were echoed", side, seen, client.Messages)
				}
				if name == "pings" && (seen["ping"] != 1.0 || seen["pong"] != 1.0) {
					t.Errorf("from the %s the log counts %v, one ping and one pong were sent", side, seen)
				}
			}
			if line["reason"] != "closed" {
				t.Errorf("the log says that the tunnel ended for %v", line["reason"])
			}
		})
	}
}

func TestWSCompressesThroughTheProxy(t *testing.T) {
	client, _, line := newWSPair(t, "deflate").play(t, "deflate")
	if client.Messages == 0 || client.Code != 1000 {
		t.Errorf("the client says %+v", client)
	}
	const sent = 3 * 1_400_000 // bytes each way, at least
	for _, side := range []string{"client", "backend"} {
		if bytes, _ := line.side(side)["bytes"].(float64); bytes == 0 || bytes > sent/10 {
			t.Errorf("more than %d bytes from the %s took %.0f on the wire: they were not compressed", sent, side, bytes)
		}
	}
}

func TestWSClosesWithItsCodes(t *testing.T) {
	p := newWSPair(t)
	const none, abnormal = 1005, 1006 // RFC 6455 7.4.1: never in a frame
	for _, one := range []struct {
		name, value string
		want        wsResult // at both ends
		logged      any      // as close_code, for both sides
	}{
		{"client closes", "1000", wsResult{Code: 1000, Reason: "good bye"}, 1000.0},
		{"client closes", "1001", wsResult{Code: 1001, Reason: "good bye"}, 1001.0},
		{"client closes", "4999", wsResult{Code: 4999, Reason: "good bye"}, 4999.0},
		{"client closes", "", wsResult{Code: none}, 1005.0},
		{"server closes", "1000", wsResult{Code: 1000, Reason: "as you wish"}, 1000.0},
		{"server closes", "1011", wsResult{Code: 1011, Reason: "as you wish"}, 1011.0},
		{"server closes", "3000", wsResult{Code: 3000, Reason: "as you wish"}, 3000.0},
		{"server closes", "", wsResult{Code: none}, 1005.0},
		{"client is gone", "", wsResult{Code: abnormal}, nil},
		{"server is gone", "", wsResult{Code: abnormal}, nil},
	} {
		t.Run(strings.TrimSpace(one.name+" "+one.value), func(t *testing.T) {
			arguments := []string{one.name}
			if one.value != "" {
				arguments = append(arguments, one.value)
			}
			client, server, line := p.play(t, arguments...)
			if client != one.want || server != one.want {
				t.Errorf("the client says %+v and the server %+v, want %+v of both", client, server, one.want)
			}
			for _, side := range []string{"client", "backend"} {
				if code := line.side(side)["close_code"]; code != one.logged {
					t.Errorf("the log says that the %s closed with %v, want %v", side, code, one.logged)
				}
			}
		})
	}
}

func TestWSIsToldWhyItsServerOpensNoTunnel(t *testing.T) {
	p := newWSPair(t)
	s := runScript(t, "ws-client.js", "ws://"+p.proxy.address+"/refused", "refused")
	var got wsResult
	if s.read(&got); got != (wsResult{Code: 418, Reason: "No Tunnel Here"}) {
		t.Errorf("the client says %+v", got)
	}
	p.proxy.lines(1, func(l logLine) bool {
		return l["event"] == "request" && l["uri"] == "/refused" && l["status"] == 418.0 && l["reason"] == "complete"
	})
}
