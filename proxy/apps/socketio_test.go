package apps

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
)

// socketMessages is how many messages go each way in every phase.
const socketMessages = 200

// socketResult is what a Socket.IO client tells.
type socketResult struct {
	Phases    []map[string]int // how many messages were echoed by which transport, before the upgrade and after it
	Transport string           // in use at the end
}

func TestSocketIOBeginsByLongPollingAndUpgradesToWebSocket(t *testing.T) {
	c, result := runSocketIO(t, "close", "polling", "websocket")
	want := []map[string]int{{"polling": socketMessages}, {"websocket": socketMessages}}
	if !slices.EqualFunc(result.Phases, want, maps.Equal) || result.Transport != "websocket" {
		t.Errorf("the client says %+v, want the phases %v", result, want)
	}
	c.wantMetric(1, "culvert_tunnels_ended_total", `reason="closed"`)
	if n := c.metric("culvert_tunnels_opened_total"); n != 1 {
		t.Errorf("%v tunnels were opened", n)
	}
	if n := c.metric("culvert_tunnel_messages_total", `from="backend"`); n < 2*socketMessages {
		t.Errorf("%v messages came from the backend by WebSocket, at least %d were to", n, 2*socketMessages)
	}
	checkPolling(t, c, math.MaxInt)
}

func TestSocketIOWorksByLongPollingAlone(t *testing.T) {
	c, result := runSocketIO(t, "keep-alive", "polling")
	want := []map[string]int{{"polling": socketMessages}}
	if !slices.EqualFunc(result.Phases, want, maps.Equal) || result.Transport != "polling" {
		t.Errorf("the client says %+v, want the phases %v", result, want)
	}
	if n := c.metric("culvert_tunnels_opened_total"); n != 0 {
		t.Errorf("%v tunnels were opened", n)
	}
	checkPolling(t, c, 4) // one to receive and one to send, and as long as a backlog lasts one more
}

func TestSocketIOWorksByWebSocketAlone(t *testing.T) {
	c, result := runSocketIO(t, "keep-alive", "websocket")
	want := []map[string]int{{"websocket": socketMessages}}
	if !slices.EqualFunc(result.Phases, want, maps.Equal) || result.Transport != "websocket" {
		t.Errorf("the client says %+v, want the phases %v", result, want)
	}
	c.wantMetric(1, "culvert_tunnels_ended_total", `reason="closed"`)
	if n := c.metric("culvert_responses_total", `class="2xx"`); n != 0 {
		t.Errorf("%v ordinary requests were answered", n)
	}
}

// runSocketIO runs server and client, with the program between them, and the client by these transports in turn.
func runSocketIO(t *testing.T, agent string, transports ...string) (*culvert, socketResult) {
	t.Helper()
	_, address := runServer(t, "socketio-server.js")
	c := startCulvert(t, []string{address})
	client := runScript(t, "socketio-client.js", append([]string{c.url("/"), fmt.Sprint(socketMessages), agent}, transports...)...)
	var result socketResult
	client.read(&result)
	client.end()
	return c, result
}

// checkPolling checks what the program says of the requests of long polling: all of them were answered well, over at
// most so many connections of clients, and over connections to the backend that lived on.
func checkPolling(t *testing.T, c *culvert, most int) {
	t.Helper()
	gets := c.lines(1, func(l logLine) bool { return l["event"] == "request" && l["method"] == "GET" })
	posts := c.lines(1, func(l logLine) bool { return l["event"] == "request" && l["method"] == "POST" })
	for _, line := range slices.Concat(gets, posts) {
		if line["reason"] != "complete" || line["status"] != 200.0 {
			t.Errorf("a request ended so: %v", line)
		}
	}
	connections, reused := c.metric("culvert_client_connections_total"), c.metric("culvert_backend_connections_reused_total")
	if int(connections) > most || reused < float64(len(gets)+len(posts))/2 {
		t.Error("connections did not live on")
	}
	t.Logf("%d requests to receive and %d to send went over %v connections of clients, %v of them over a connection to the backend that had served others",
		len(gets), len(posts), connections, reused)
}
