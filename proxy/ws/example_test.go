package ws_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"culvert/proxy/ws"
)

// Example relays the frames of a client whose upgrade was judged, in reads of 9 bytes, and stops before the frame that
// breaks the rules.
func Example() {
	var request ws.RequestCheck
	request.Begin([]byte("GET"), true)
	for _, field := range []ws.Field{
		{Name: "Connection", Value: "keep-alive, Upgrade"}, {Name: "Upgrade", Value: "websocket"},
		{Name: "Sec-WebSocket-Version", Value: "13"}, {Name: "Sec-WebSocket-Key", Value: "dGhlIHNhbXBsZSBub25jZQ=="},
	} {
		request.Observe([]byte(field.Name), []byte(field.Value))
	}
	decision := request.Decide()
	fmt.Println("request:", decision.Action)

	offer := request.Offer()
	var response ws.ResponseCheck
	response.Begin(&offer, 101)
	for _, field := range []ws.Field{
		{Name: "Connection", Value: "upgrade"}, {Name: "Upgrade", Value: "websocket"},
		{Name: "Sec-WebSocket-Accept", Value: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
	} {
		response.Observe([]byte(field.Name), []byte(field.Value))
	}
	agreement, reason := response.Decide()
	fmt.Println("answer:", reason)

	mask := [4]byte{1, 2, 3, 4}
	var client io.Reader = strings.NewReader("\x81\x85\x01\x02\x03\x04ignmn" + string(ws.AppendPing(nil, ws.Client, mask, nil)) + "\x81\x05naked")
	var backend bytes.Buffer
	var scanner ws.Scanner
	scanner.Init(ws.Options{Sender: ws.Client, Extension: agreement.Extension, Strict: true})
	buffer := make([]byte, ws.MaxHold+9)
	for held := 0; ; {
		n, err := client.Read(buffer[held : held+9])
		if err != nil {
			break
		}
		verdict := scanner.Scan(buffer[:held+n])
		backend.Write(buffer[:verdict.Forward])
		if verdict.Violation != ws.NoViolation {
			fmt.Println("ended:", verdict.Violation)
			break
		}
		held = copy(buffer, buffer[held+n-verdict.Hold:held+n])
	}
	counts := scanner.Counts()
	fmt.Println("passed on:", backend.Len(), "bytes,", counts.Text, "text,", counts.Ping, "ping")
	// Output:
	// request: upgrade
	// answer: none
	// ended: unmasked-client-frame
	// passed on: 17 bytes, 1 text, 1 ping
}
