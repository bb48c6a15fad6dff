package proxy

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"culvert/engine"
	"culvert/proxy/http1"
	"culvert/proxy/http1/http1test"
	"culvert/proxy/ws"
)

// What the proxy sends means to net/http what the proxy has read, and is one message: nothing that was let in may be
// something else, or the beginning of something else, to whom it is sent. That the proxy reads like net/http is tested
// in proxy/http1.

var (
	somePeer     = netip.MustParseAddrPort("192.0.2.1:4711")
	someListener = netip.MustParseAddrPort("198.51.100.1:80")
	someBackend  = netip.MustParseAddrPort("203.0.113.1:8080")
)

// sender does what an exchange does with the bytes of one message, without connections.
type sender struct {
	shard  *shard
	random *rand.Rand // cuts the stream into what is read at once
}

func newSender(seed uint64) *sender {
	limits := http1.DefaultLimits()
	site := &site{policy: &policy{heads: &limits, skipThreshold: 4}}
	site.policy.Announce = Announcements{Forwarded: true, RequestID: true, Via: true}
	return &sender{shard: &shard{server: new(Server), site: site}, random: rand.New(rand.NewPCG(seed, 3))}
}

// pass appends what a stage lets through of a body, behind which the stream ends; whole: it was complete.
func (s *sender) pass(stage *bodyStage, out, body []byte) (_ []byte, whole bool) {
	var verdicts []engine.Verdict
	passed := false // what was handed over unjudged has passed: the stage is asked again
	for start, end := 0, 0; passed || end < len(body); {
		if !passed {
			end += 1 + s.random.IntN(len(body)-end)
		}
		passed = false
		verdicts = stage.Judge(body[start:end], verdicts[:0])
		for _, v := range verdicts {
			n := int(min(v.N, int64(len(body)-start)))
			switch v.Action {
			case engine.ActionForward:
				out = append(out, body[start:start+n]...)
				start += n
			case engine.ActionSplice: // of what has not been read
				out = append(out, body[start:start+n]...)
				start += n
				end, passed = start, n == int(v.N)
			case engine.ActionDrop:
				start += n
			case engine.ActionDone:
				return out, true
			case engine.ActionEnd:
				return out, false
			}
		}
	}
	return out, stage.Finish() == EndComplete
}

// payload returns the bytes of a body without its framing, as far as it is right.
func payload(body []byte, kind http1.BodyKind, length int64) (out []byte) {
	var s http1.BodyScanner
	s.Init(kind, length, http1.FromClient, nil)
	s.Dechunk()
	for at := 0; ; {
		forward, drop, done, err := s.Scan(body[at:])
		out = append(out, body[at:at+forward]...)
		if at += forward + drop; done || err != nil || drop == 0 {
			return out
		}
	}
}

// announcesFraming tells of messages that net/http refuses: see docs/http-differences.md.
func announcesFraming(fields *http1.Fields) bool {
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Trailer"} {
		if fields.HasToken(http1.FieldTrailer, name) {
			return true
		}
	}
	return false
}

// kept returns the headers that are to arrive, without those of a request that are looked at by themselves.
func kept(fields *http1.Fields, drop http1.Class, ofRequest bool) http.Header {
	header := http.Header{}
	for i := range fields.Len() {
		f := fields.At(i)
		if f.ID == http1.FieldContentLength || ofRequest && (f.ID == http1.FieldHost || !keepButRequestID(f)) {
			continue
		}
		if f.Class&drop == 0 {
			header.Add(string(f.Name), string(f.Value))
		}
	}
	if header.Get("Pragma") == "no-cache" && header["Cache-Control"] == nil {
		header.Set("Cache-Control", "no-cache") // net/http's doing
	}
	if fields.Chunked() {
		header.Del("Trailer") // too
	}
	header.Add("Via", viaName)
	return header
}

// wantHeader compares what arrived with what was to, and demands that each of ours is there once.
func wantHeader(t testing.TB, got, want http.Header, ours ...string) {
	t.Helper()
	got = maps.Clone(got)
	for _, name := range ours {
		if len(got[name]) != 1 {
			t.Fatalf("%s arrives as %q", name, got[name])
		}
		delete(got, name)
	}
	for _, name := range []string{"Content-Length", "Connection", "Upgrade"} {
		delete(got, name)
	}
	if !maps.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Fatalf("headers arrive as %q\nwant %q", got, want)
	}
}

// wantBody reads the body of what was sent, and demands the payload, and whether it is whole.
func wantBody(t testing.TB, from *bufio.Reader, body io.Reader, want []byte, whole bool) {
	t.Helper()
	got, err := io.ReadAll(body)
	if (err == nil) != whole {
		t.Fatalf("net/http reads %q: %v; whole here: %v", got, err, whole)
	}
	if !whole && len(got) > len(want) || !bytes.Equal(got, want[:len(got)]) || whole && len(got) < len(want) {
		t.Fatalf("net/http reads %q, received was %q", got, want)
	}
	if rest, _ := io.ReadAll(from); whole && len(rest) > 0 {
		t.Fatalf("behind the message comes %q", rest)
	}
}

// checkRequest takes input for what a client sends.
func (s *sender) checkRequest(t testing.TB, input []byte) (sent bool) {
	var head http1.RequestHead
	n, err := head.Parse(input, s.shard.site.policy.heads)
	if n == 0 || err != nil || announcesFraming(&head.Fields) || head.Expect() == http1.ExpectUnknown || usedUp(&head) {
		return false
	}
	decision := s.shard.decideUpgrade(&head)
	if decision.Action == ws.Refuse {
		return false
	}
	x := &exchange{shard: s.shard, policy: s.shard.site.policy, upgrade: decision.Action == ws.Upgrade}
	x.bodyKind, x.bodyLength = head.Body()
	if !x.judgeBody(&head) {
		t.Fatalf("%q is refused for its body", input)
	}
	facts := forwardedFacts{peer: somePeer, listener: someListener, announce: &x.policy.Announce, lastOnConnection: s.random.IntN(2) == 0}
	out := appendRequestHead(nil, &head, &facts, someBackend, x.upgrade, nil)
	whole, body := true, input[n:]
	if x.bodyKind != http1.BodyNone {
		var stage requestStage
		stage.init(x.bodyKind, x.bodyLength, http1.FromClient, x)
		out, whole = s.pass(&stage.bodyStage, out, body)
	}
	defer func() {
		if t.Failed() {
			t.Logf("received %q\nsent %q", input, out)
		}
	}()

	from := bufio.NewReader(bytes.NewReader(out))
	request, failure := http.ReadRequest(from)
	if failure != nil {
		t.Fatalf("net/http: %v", failure)
	}
	host := string(head.Host())
	if host == "" {
		host = someBackend.String()
	}
	if request.Method != string(head.Method()) || request.RequestURI != string(head.AppendTarget(nil)) || request.Host != host || request.Proto != "HTTP/1.1" {
		t.Fatalf("net/http reads %s %s %s for %s", request.Method, request.RequestURI, request.Proto, request.Host)
	}
	if request.Close != (facts.lastOnConnection && !x.upgrade) || (len(request.TransferEncoding) > 0) != head.Chunked() || !head.Chunked() && request.ContentLength != x.bodyLength {
		t.Fatalf("net/http reads length %d, coding %q, close %v", request.ContentLength, request.TransferEncoding, request.Close)
	}
	drop := http1.ClassHopByHop | http1.ClassNamed | http1.ClassForwarded
	if !x.upgrade {
		drop |= http1.ClassWebSocket
	}
	want := kept(&head.Fields, drop, true)
	if x.bodyKind != http1.BodyNone && head.Expect() == http1.ExpectContinue {
		want.Set("Expect", "100-continue")
	}
	if hops, ok := maxForwards(&head); ok {
		want.Set("Max-Forwards", strconv.FormatUint(hops-1, 10))
	}
	wantHeader(t, request.Header, want,
		"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Client-Srcport", "Forwarded", "X-Request-Id")
	wantBody(t, from, request.Body, payload(body, x.bodyKind, x.bodyLength), whole)
	return true
}

// checkAnswer takes input for what a backend answers to a request of this method.
func (s *sender) checkAnswer(t testing.TB, input []byte, method string) (sent bool) {
	var head http1.ResponseHead
	n, err := head.Parse(input, s.shard.site.policy.heads)
	if n == 0 || err != nil || announcesFraming(&head.Fields) || head.Interim() || head.Status() == 101 {
		return false
	}
	x := &exchange{shard: s.shard, policy: s.shard.site.policy, rule: new(rule), responseHead: &head, headMethod: method == "HEAD", http10: s.random.IntN(4) == 0}
	kind, length, chunked := x.answerFraming()
	framed := kind == http1.BodyNone || kind == http1.BodyLength || chunked
	x.keepClient = framed && s.random.IntN(2) == 0
	out := x.appendAnswerHead(nil, chunked)
	whole, body := true, input[n:]
	if kind != http1.BodyNone {
		var stage answerStage
		stage.init(kind, length, http1.FromBackend, x)
		if kind == http1.BodyChunked && !chunked {
			stage.scanner.Dechunk()
		}
		out, whole = s.pass(&stage.bodyStage, out, body)
	}
	defer func() {
		if t.Failed() {
			t.Logf("received for %s %q\nsent %q", method, input, out)
		}
	}()

	from := bufio.NewReader(bytes.NewReader(out))
	response, failure := http.ReadResponse(from, &http.Request{Method: method})
	if failure != nil {
		t.Fatalf("net/http: %v", failure)
	}
	if _, phrase, _ := strings.Cut(response.Status, " "); response.StatusCode != head.Status() || phrase != string(head.Phrase()) || response.Close == x.keepClient {
		t.Fatalf("net/http reads %s, close %v", response.Status, response.Close)
	}
	want := kept(&head.Fields, http1.ClassHopByHop|http1.ClassNamed|http1.ClassWebSocket, false)
	if !chunked && head.Has(http1.FieldTrailer) && want["Trailer"] == nil {
		delete(response.Header, "Trailer") // of a body that is not chunked any more
	}
	wantHeader(t, response.Header, want)
	if !framed && !whole {
		whole = true // the client's connection is reset then
	}
	wantBody(t, from, response.Body, payload(body, kind, length), whole)
	return true
}

func TestSentLikeNetHTTP(t *testing.T) {
	const messages = 20_000
	for name, seed := range map[string]uint64{"known": 4, "fresh": rand.Uint64()} {
		t.Run(name, func(t *testing.T) {
			g, s := http1test.NewGrammar(), newSender(seed)
			sent := map[string]int{}
			for n := range uint64(messages) {
				input, answers := g.Message(seed, n)
				ok := false
				if answers == "" {
					ok = s.checkRequest(t, input)
				} else {
					ok = s.checkAnswer(t, input, answers)
				}
				if ok {
					sent[answers]++
				}
			}
			for _, answers := range []string{"", "GET", "HEAD"} {
				if sent[answers] < messages/40 {
					t.Errorf("of %d messages only %d were sent to %q", messages, sent[answers], answers)
				}
			}
			t.Logf("sent %v of %d", sent, messages)
		})
	}
}

func addSentSeeds(add func(input []byte, answers string, seed uint64)) {
	g := http1test.NewGrammar()
	for n := range uint64(300) {
		input, answers := g.Message(5, n)
		add(bytes.Clone(input), answers, n)
	}
	upgrade := "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x80mask"
	add([]byte(upgrade), "", 1)
}

func FuzzSentRequest(f *testing.F) {
	addSentSeeds(func(input []byte, answers string, seed uint64) {
		if answers == "" {
			f.Add(input, seed)
		}
	})
	f.Fuzz(func(t *testing.T, input []byte, seed uint64) { newSender(seed).checkRequest(t, input) })
}

func FuzzSentAnswer(f *testing.F) {
	addSentSeeds(func(input []byte, answers string, seed uint64) {
		if answers != "" {
			f.Add(input, answers == "HEAD", seed)
		}
	})
	f.Fuzz(func(t *testing.T, input []byte, toHEAD bool, seed uint64) {
		method := "GET"
		if toHEAD {
			method = "HEAD"
		}
		newSender(seed).checkAnswer(t, input, method)
	})
}
