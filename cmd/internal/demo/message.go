package demo

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/gobwas/ws"
)

// The values of "type" in the messages, both ways.
const (
	typeChat    = "chat"
	typePing    = "ping"
	typePong    = "pong"
	typePush    = "push"
	typeWelcome = "welcome"
	typeError   = "error"
)

// request is what a client sends.
type request struct {
	Type string  `json:"type"`
	Text string  `json:"text"`
	Sent float64 `json:"sent"`
}

// chat is one person's message to the room. Its ID rises by one per message of
// a room and lets a page that reconnects tell what it has shown already.
type chat struct {
	Type    string `json:"type"`
	ID      uint64 `json:"id"`
	From    string `json:"from"`
	Backend string `json:"backend"`
	Text    string `json:"text"`
	Time    int64  `json:"time"` // Unix milliseconds
}

// welcome is the first message on every tunnel.
type welcome struct {
	Type         string `json:"type"`
	Room         string `json:"room"` // differs between two runs of the demo: IDs start anew
	Backend      string `json:"backend"`
	Name         string `json:"name"`
	People       int    `json:"people"`
	ForwardedFor string `json:"forwardedFor"` // X-Forwarded-For of the upgrade request
	History      []chat `json:"history"`      // oldest first
}

// push is what a backend says to its own members without being asked.
type push struct {
	Type    string `json:"type"`
	Backend string `json:"backend"`
	People  int    `json:"people"`
	Time    int64  `json:"time"` // Unix milliseconds
}

// pong answers a ping with the number that it carried.
type pong struct {
	Type string  `json:"type"`
	Sent float64 `json:"sent"`
}

// failure tells a client that one of its messages was not accepted.
type failure struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// parseRequest reads one message from a client. What is no JSON object is chat:
// people connect with command line clients and type. The second result is false
// where an object cannot be understood.
func parseRequest(payload []byte) (request, bool) {
	trimmed := bytes.TrimSpace(payload)
	if len(trimmed) == 0 || trimmed[0] != '{' || !json.Valid(trimmed) {
		return request{Type: typeChat, Text: string(trimmed)}, true
	}
	var r request
	if err := json.Unmarshal(trimmed, &r); err != nil {
		return request{}, false
	}
	r.Text = strings.TrimSpace(r.Text)
	return r, r.Type == typeChat || r.Type == typePing
}

// textFrame encodes a message as one complete, unmasked text frame (RFC 6455
// section 5.2). The result is shared between members and never written to.
func textFrame(message any) []byte {
	payload, err := json.Marshal(message)
	if err != nil {
		// The message types above hold nothing that cannot be encoded; the only
		// number that comes from outside was itself decoded from JSON.
		panic("demo: encode message: " + err.Error())
	}
	return frameBytes(ws.NewTextFrame(payload))
}

// frameBytes returns the frame as it goes onto the wire.
func frameBytes(frame ws.Frame) []byte {
	b, err := ws.CompileFrame(frame)
	if err != nil {
		panic("demo: encode frame: " + err.Error()) // writing into memory cannot fail
	}
	return b
}

func milliseconds(t time.Time) int64 { return t.UnixMilli() }
