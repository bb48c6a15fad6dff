package ws

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// Key and hash of RFC 6455 section 1.3.
const (
	sampleKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// eachField calls observe with every field of a head in which ¶ stands for CRLF, from a buffer that is poisoned after
// each call. The first line is skipped.
func eachField(head string, observe func(name, value []byte)) {
	for _, line := range strings.Split(head, "¶")[1:] {
		if name, value, found := strings.Cut(line, ":"); found {
			field := []byte(name + value)
			observe(field[:len(name)], field[len(name):])
			for i := range field {
				field[i] = 0xA5
			}
		}
	}
}

// ask judges a request head.
func ask(head string) (Decision, Offer) {
	method, rest, _ := strings.Cut(head, " ")
	var check RequestCheck
	line := []byte(method)
	check.Begin(line, strings.HasPrefix(rest[strings.Index(rest, " ")+1:], "HTTP/1.1"))
	clear(line)
	eachField(head, check.Observe)
	return check.Decide(), check.Offer()
}

// answer judges the head of an answer to the offer.
func answer(offer Offer, head string) (Agreement, Reason) {
	status := 0
	if _, err := fmt.Sscanf(head, "HTTP/1.1 %d", &status); err != nil {
		panic(err)
	}
	var check ResponseCheck
	check.Begin(&offer, status)
	eachField(head, check.Observe)
	return check.Decide()
}

const (
	requestLine  = "GET /chat HTTP/1.1¶Host: a¶"
	upgradeLines = "Connection: Upgrade¶Upgrade: websocket¶"
	versionLine  = "Sec-WebSocket-Version: 13¶"
	keyLine      = "Sec-WebSocket-Key: " + sampleKey + "¶"
	goodRequest  = requestLine + upgradeLines + versionLine + keyLine
	acceptLine   = "Sec-WebSocket-Accept: " + sampleAccept + "¶"
	goodAnswer   = "HTTP/1.1 101 Switching Protocols¶" + upgradeLines + acceptLine
)

// TestHostileRequest holds the requests that broke proxies, by their ids, and their kin.
func TestHostileRequest(t *testing.T) {
	refuse := func(reason Reason) Decision { return Decision{Action: Refuse, Status: reason.Status(), Reason: reason} }
	ordinary, upgrade := Decision{Action: Ordinary}, Decision{Action: Upgrade}
	withoutKey, withoutVersion := requestLine+upgradeLines+versionLine, requestLine+upgradeLines+keyLine
	for _, test := range []struct {
		id, head string
		want     Decision
	}{
		{"U01", requestLine + "Connection: Upgrade¶Upgrade: foo¶¶", ordinary},
		{"U10", withoutVersion + "Sec-WebSocket-Version: 1337¶", refuse(VersionUnsupported)},
		{"U10", withoutVersion, refuse(VersionUnsupported)},
		{"U10", withoutVersion + "Sec-WebSocket-Version: 13, 8¶", refuse(VersionUnsupported)},
		{"U10", withoutVersion + "Sec-WebSocket-Version: 8, 13¶", refuse(VersionUnsupported)},
		{"U10", withoutVersion + "Sec-WebSocket-Version: 8¶Sec-WebSocket-Version: 13¶", refuse(VersionUnsupported)},
		{"U10", withoutVersion + versionLine + versionLine, refuse(VersionUnsupported)},
		{"U10", withoutVersion + "Sec-WebSocket-Version: 013¶", refuse(VersionUnsupported)},
		{"U10", withoutVersion + "Sec-WebSocket-Version:¶", refuse(VersionUnsupported)},
		{"U11", withoutKey + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA¶", refuse(KeyMalformed)},
		{"U11", withoutKey + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA¶", refuse(KeyMalformed)},
		{"U11", withoutKey + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=¶", refuse(KeyMalformed)},
		{"U11", withoutKey + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAA===¶", refuse(KeyMalformed)},
		{"U11", withoutKey + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==¶", refuse(KeyMalformed)},
		{"U11", withoutKey + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=¶", refuse(KeyMalformed)},
		{"U11", withoutKey + "Sec-WebSocket-Key: dGhlIHNhbXBs ZSBub25jZQ=¶", refuse(KeyMalformed)},
		{"U11", withoutKey + keyLine + keyLine, refuse(KeyRepeated)},
		{"U11", withoutKey + keyLine + "Sec-WebSocket-Key:¶", refuse(KeyRepeated)},
		{"U11", withoutKey + "Sec-WebSocket-Key: " + sampleKey + ", " + sampleKey + "¶", refuse(KeyMalformed)},
		{"U11", withoutKey + "Sec-WebSocket-Key:¶", refuse(KeyMalformed)},
		{"U11", withoutKey, refuse(KeyMissing)},
		{"U11", withoutKey + "Sec-WebSocket-\u212aey: " + sampleKey + "¶", refuse(KeyMissing)},
		{"U12", requestLine + "Upgrade: websocket¶" + versionLine + keyLine, ordinary},
		{"U12", requestLine + "Connection: keep-alive¶Upgrade: websocket¶" + versionLine + keyLine, ordinary},
		{"U12", requestLine + "Connection: Upgraded, xUpgrade¶Upgrade: websocket¶" + versionLine + keyLine, ordinary},
		{"U13", strings.Replace(goodRequest, "HTTP/1.1", "HTTP/1.0", 1), ordinary},
		{"U14", strings.Replace(goodRequest, "GET", "POST", 1), refuse(MethodNotGet)},
		{"U14", strings.Replace(goodRequest, "GET", "HEAD", 1), refuse(MethodNotGet)},
		{"U14", strings.Replace(goodRequest, "GET", "get", 1), refuse(MethodNotGet)},
		{"U15", goodRequest + "Content-Length: 5¶", refuse(BodyPresent)},
		{"U15", goodRequest + "Content-Length: 0¶Content-Length: 5¶", refuse(BodyPresent)},
		{"U15", goodRequest + "Content-Length:¶", refuse(BodyPresent)},
		{"U15", goodRequest + "Content-Length: -0¶", refuse(BodyPresent)},
		{"U15", goodRequest + "content-length: 0¶", upgrade},
		{"U16", goodRequest + "Transfer-Encoding: chunked¶", refuse(BodyPresent)},
		{"U16", goodRequest + "transfer-encoding: identity¶", refuse(BodyPresent)},
		{"U16", goodRequest + "Transfer-Encoding:¶", refuse(BodyPresent)},
		{"U17", requestLine + "Connection: Upgrade, HTTP2-Settings¶Upgrade: h2c¶HTTP2-Settings: AAMAAABkAAQAAP__¶", ordinary},
		{"U18", requestLine + "Connection: Upgrade¶Upgrade: foo, h2c¶Upgrade: bar¶", ordinary},
		{"U18", requestLine + "Connection: Upgrade¶Upgrade: websocket/13, websockets¶Upgrade: web socket¶" + versionLine + keyLine, ordinary},
		{"U19", requestLine + "Connection: Upgrade¶Upgrade: websocket, h2c¶" + versionLine + keyLine, upgrade},
		{"U19", requestLine + "Connection: Upgrade¶Upgrade: h2c ,\tWebSocket¶" + versionLine + keyLine, upgrade},
		{"U19", requestLine + "Connection: Upgrade¶Upgrade: h2c¶Upgrade: websocket¶" + versionLine + keyLine, upgrade},
		{"U20", requestLine + keyLine + "UPGRADE: WebSocket¶connection: keep-alive, UPGRADE¶sEC-wEBsOCKET-vERSION: \t13 ¶", upgrade},
		{"U20", requestLine + "Connection: close¶Connection: ,, upgrade ,¶Upgrade: ,websocket¶" + versionLine + keyLine, upgrade},
		{"U20", goodRequest, upgrade},
	} {
		t.Run(test.id, func(t *testing.T) {
			got, offer := ask(test.head)
			if got != test.want {
				t.Errorf("%q: %v %d %v, want %v %d %v", test.head, got.Action, got.Status, got.Reason, test.want.Action, test.want.Status, test.want.Reason)
			}
			if asked := got.Action == Upgrade; offer.asked != asked || (offer.Key() != [KeyLen]byte{}) != asked {
				t.Errorf("%q: asked %v with key %q", test.head, offer.asked, offer.Key())
			}
		})
	}
}

// TestHostileAnswer holds the answers that broke proxies, by their ids, and their kin.
func TestHostileAnswer(t *testing.T) {
	const offers = "Sec-WebSocket-Protocol: chat, superchat¶Sec-WebSocket-Protocol: v2.chat¶" +
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-mux; quota=\"1, 2\"; other=\"a\\\",b\"¶"
	status := "HTTP/1.1 101 Switching Protocols¶"
	for _, test := range []struct {
		id, request, head string
		want              Agreement
		reason            Reason
	}{
		{"U02", "", "HTTP/1.1 400 Bad Request¶" + upgradeLines + acceptLine, Agreement{}, StatusNotSwitching},
		{"U04", "", "HTTP/1.1 200 OK¶Connection: upgrade¶Upgrade: websocket¶" + acceptLine, Agreement{}, StatusNotSwitching},
		{"U05", "", status + upgradeLines + "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=¶", Agreement{}, AcceptWrong},
		{"U05", "", status + upgradeLines + "Sec-WebSocket-Accept: " + strings.ToUpper(sampleAccept) + "¶", Agreement{}, AcceptWrong},
		{"U05", "", status + upgradeLines + "Sec-WebSocket-Accept: " + sampleAccept[:27] + "¶", Agreement{}, AcceptWrong},
		{"U05", "", status + upgradeLines + "Sec-WebSocket-Accept: " + sampleAccept + "x¶", Agreement{}, AcceptWrong},
		{"U05", "", status + upgradeLines + "Sec-WebSocket-Accept:¶", Agreement{}, AcceptWrong},
		{"U05", "", goodAnswer + acceptLine, Agreement{}, AcceptRepeated},
		{"U06", "", status + upgradeLines, Agreement{}, AcceptMissing},
		{"U07", "", status + "Connection: upgrade¶Upgrade: h2c¶" + acceptLine, Agreement{}, UpgradeNotWebSocket},
		{"U07", "", status + "Connection: upgrade¶Upgrade: websocket, h2c¶" + acceptLine, Agreement{}, UpgradeNotWebSocket},
		{"U07", "", goodAnswer + "Upgrade: websocket¶", Agreement{}, UpgradeNotWebSocket},
		{"U07", "", status + "Connection: upgrade¶" + acceptLine, Agreement{}, UpgradeNotWebSocket},
		{"U07", "", status + "Connection: keep-alive¶Upgrade: websocket¶" + acceptLine, Agreement{}, ConnectionNotUpgrade},
		{"U07", "", status + "Upgrade: websocket¶" + acceptLine, Agreement{}, ConnectionNotUpgrade},
		{"U09", "", goodAnswer + "Sec-WebSocket-Protocol: chat¶", Agreement{}, SubprotocolNotOffered},
		{"U09", offers, goodAnswer + "Sec-WebSocket-Protocol: other¶", Agreement{}, SubprotocolNotOffered},
		{"U09", offers, goodAnswer + "Sec-WebSocket-Protocol: Chat¶", Agreement{}, SubprotocolNotOffered},
		{"U09", offers, goodAnswer + "Sec-WebSocket-Protocol:¶", Agreement{}, SubprotocolNotOffered},
		{"U09", offers, goodAnswer + "Sec-WebSocket-Protocol: permessage-deflate¶", Agreement{}, SubprotocolNotOffered},
		{"U09", offers, goodAnswer + "Sec-WebSocket-Protocol: chat, superchat¶", Agreement{}, SubprotocolRepeated},
		{"U09", offers, goodAnswer + "Sec-WebSocket-Protocol: chat¶Sec-WebSocket-Protocol: chat¶", Agreement{}, SubprotocolRepeated},
		{"U09", "", goodAnswer + "Sec-WebSocket-Extensions: permessage-deflate¶", Agreement{}, ExtensionNotOffered},
		{"U09", offers, goodAnswer + "Sec-WebSocket-Extensions: permessage-deflate, x-other¶", Agreement{}, ExtensionNotOffered},
		{"U09", offers, goodAnswer + "Sec-WebSocket-Extensions: client_max_window_bits¶", Agreement{}, ExtensionNotOffered},
		{"U20", "", goodAnswer, Agreement{}, NoReason},
		{"U20", offers, goodAnswer, Agreement{}, NoReason},
		{"U20", "", status + "CONNECTION: x, uPGRADE¶UPGRADE: WebSocket¶sec-websocket-ACCEPT:\t" + sampleAccept + " ¶", Agreement{}, NoReason},
		{"U20", offers, goodAnswer + "Sec-WebSocket-Protocol: v2.chat¶", Agreement{Subprotocol: true}, NoReason},
		{"U20", offers, goodAnswer + "Sec-WebSocket-Extensions:¶", Agreement{}, NoReason},
		{"U20", offers, goodAnswer + "Sec-WebSocket-Extensions: PERMESSAGE-deflate; server_no_context_takeover¶", Agreement{Extension: Deflate}, NoReason},
		{"U20", offers, goodAnswer + "Sec-WebSocket-Extensions: x-mux¶Sec-WebSocket-Extensions: permessage-deflate¶", Agreement{Extension: OtherExtension}, NoReason},
		{"U20", offers, goodAnswer + "Sec-WebSocket-Extensions: permessage-deflate; a=\"b, c\", x-mux¶", Agreement{Extension: OtherExtension}, NoReason},
	} {
		t.Run(test.id, func(t *testing.T) {
			decision, offer := ask(goodRequest + test.request)
			if decision.Action != Upgrade {
				t.Fatalf("the request itself is judged %v", decision)
			}
			if got, reason := answer(offer, test.head); got != test.want || reason != test.reason {
				t.Errorf("%q: %+v %v, want %+v %v", test.head, got, reason, test.want, test.reason)
			}
		})
	}
	t.Run("U08", func(t *testing.T) {
		for _, head := range []string{"GET / HTTP/1.1¶Host: a¶", strings.Replace(goodRequest, "GET", "POST", 1)} {
			_, offer := ask(head)
			accept := AcceptKey(offer.Key())
			unasked := status + upgradeLines + "Sec-WebSocket-Accept: " + string(accept[:]) + "¶"
			if got, reason := answer(offer, unasked); got != (Agreement{}) || reason != UpgradeNotRequested || reason.Status() != 502 {
				t.Errorf("a 101 to %q: %+v %v", head, got, reason)
			}
		}
	})
}

// More subprotocols than are remembered make the check less sharp, never wrong.
func TestManySubprotocols(t *testing.T) {
	for n := range 20 {
		lines := ""
		for i := range n {
			lines += fmt.Sprintf("Sec-WebSocket-Protocol: p%d, p%d¶", i, i/2)
		}
		_, offer := ask(goodRequest + lines)
		for i := range n {
			if agreement, reason := answer(offer, goodAnswer+fmt.Sprintf("Sec-WebSocket-Protocol: p%d¶", i)); !agreement.Subprotocol {
				t.Errorf("%d offered, the answer p%d: %v", n, i, reason)
			}
		}
		_, reason := answer(offer, goodAnswer+"Sec-WebSocket-Protocol: other¶")
		if (reason == SubprotocolNotOffered) != (n <= 16) {
			t.Errorf("%d offered, another one answered: %v", n, reason)
		}
	}
}

func TestAcceptKey(t *testing.T) {
	if got := AcceptKey([KeyLen]byte([]byte(sampleKey))); string(got[:]) != sampleAccept {
		t.Errorf("%s, want %s as in RFC 6455 section 1.3", got, sampleAccept)
	}
	if got := NewKey([16]byte([]byte("the sample nonce"))); string(got[:]) != sampleKey {
		t.Errorf("%s, want %s as in RFC 6455 section 1.3", got, sampleKey)
	}
}

// A check may be used again: nothing of the last head is left.
func TestChecksStartOver(t *testing.T) {
	var request RequestCheck
	request.Begin([]byte("POST"), true)
	eachField(goodRequest+keyLine+"Content-Length: 1¶Sec-WebSocket-Protocol: old¶", request.Observe)
	request.Begin([]byte("GET"), true)
	eachField(goodRequest, request.Observe)
	if decision := request.Decide(); decision.Action != Upgrade {
		t.Fatalf("%+v", decision)
	}
	offer := request.Offer()
	var response ResponseCheck
	response.Begin(&offer, 101)
	eachField(goodAnswer+acceptLine+"Sec-WebSocket-Protocol: old¶", response.Observe)
	response.Begin(&offer, 101)
	eachField(goodAnswer, response.Observe)
	if _, reason := response.Decide(); reason != NoReason {
		t.Fatal(reason)
	}
}

func TestListsAreReadInPlace(t *testing.T) {
	for _, test := range []struct{ list, want string }{
		{"", "[]"},
		{" a , b\t,,c ", "[a][b][][c]"},
		{`a="x,y", b`, `[a="x,y"][b]`},
		{`a="x\",y", b`, `[a="x\",y"][b]`},
		{`a="never closed, b`, `[a="never closed, b]`},
		{`a="ends in a backslash\`, `[a="ends in a backslash\]`},
	} {
		var got bytes.Buffer
		list := []byte(test.list)
		for more := true; more; {
			var element []byte
			element, list, more = cut(list, ',')
			fmt.Fprintf(&got, "[%s]", element)
		}
		if got.String() != test.want {
			t.Errorf("%q: %s, want %s", test.list, &got, test.want)
		}
	}
}
