package ws

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	gobwas "github.com/gobwas/ws"
)

// fuzzOptions draws options from one byte.
func fuzzOptions(choice byte) Options {
	return Options{
		Sender: Role(choice & 1), Extension: Extension(choice >> 1 & 3 % 3), Strict: choice&8 != 0,
		SkipThreshold: [...]uint32{0, 1, 16, 65536}[choice>>4&3],
	}
}

// FuzzScanner: however a stream is cut, the same bytes are passed on, counted and judged; every answer adds up; an
// export and import between reads changes nothing; and what a strict scanner says, the simple model says.
func FuzzScanner(f *testing.F) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 2))
		options := fuzzOptions(byte(seed) | 8)
		stream := randomStream(random, options)
		f.Add(byte(seed)|8, seed, stream[:min(len(stream), 400)])
	}
	for _, picture := range []string{
		"82 ff 80 00 00 00 00 00 00 01", "81 00", "88 82 01 02 03 04 02 ea ff", "01 01 61 89 00 80 01 62", "82 fe 00 7d", "88 01 00", "c1 80 00 00 00 00",
	} {
		for choice := range byte(16) {
			f.Add(choice, uint64(choice), unhex(f, picture))
		}
	}
	f.Fuzz(func(t *testing.T, choice byte, seed uint64, stream []byte) {
		options := fuzzOptions(choice)
		want, _ := walk(t, options, stream, whole, nil)
		for _, next := range []func() int{bytewise, randomly(seed), randomly(seed + 1)} {
			if got, _ := walk(t, options, stream, next, func(scanner *Scanner) { move(t, scanner) }); got != want {
				t.Fatalf("%+v cut:\n got %+v\nwant %+v as in one piece", options, got, want)
			}
		}
		if options.Strict && options.Extension != OtherExtension {
			compareWithReference(t, options, stream, randomly(seed), nil)
		}
	})
}

// FuzzState: bytes are refused, or are a state that is written back as it was read and lives on without panic.
func FuzzState(f *testing.F) {
	var scanner Scanner
	scanner.Init(Options{Sender: Client, Extension: Deflate, Strict: true})
	f.Add(scanner.AppendState(nil), []byte("\x81\x80\x00\x00\x00\x00"))
	scanner.Scan(frame(Client, gobwas.OpClose, true, []byte{3, 0xe8})[:7])
	f.Add(scanner.AppendState(nil), []byte("\x00\x00"))
	f.Fuzz(func(t *testing.T, state, stream []byte) {
		var scanner Scanner
		rest, err := scanner.RestoreState(state)
		if err != nil {
			if !errors.Is(err, ErrState) || scanner != (Scanner{}) {
				t.Fatalf("%v, scanner %+v", err, scanner)
			}
			return
		}
		if again := append(scanner.AppendState(nil), rest...); !bytes.Equal(again, state) {
			t.Fatalf("read %x, written back %x", state, again)
		}
		for range 3 {
			checkResult(t, Options{SkipThreshold: scanner.skipThreshold}, stream, scanner.Scan(stream))
			move(t, &scanner)
		}
	})
}

// simpleDecision is the rule of an upgrade in plain words, on a head of lines "name: value".
func simpleDecision(method string, http11 bool, fields [][2]string) Decision {
	values := map[string][]string{}
	tokens := func(name string) (list []string) {
		for _, value := range values[name] {
			for _, token := range strings.Split(value, ",") {
				list = append(list, asciiLower(strings.Trim(token, " \t")))
			}
		}
		return list
	}
	for _, field := range fields {
		values[asciiLower(field[0])] = append(values[asciiLower(field[0])], strings.Trim(field[1], " \t"))
	}
	has := func(list []string, want string) bool {
		for _, token := range list {
			if token == want {
				return true
			}
		}
		return false
	}
	if !http11 || !has(tokens("connection"), "upgrade") || !has(tokens("upgrade"), "websocket") {
		return Decision{Action: Ordinary}
	}
	body := len(values["transfer-encoding"]) > 0
	for _, length := range values["content-length"] {
		body = body || length == "" || strings.Trim(length, "0") != ""
	}
	keys, versions := values["sec-websocket-key"], values["sec-websocket-version"]
	switch {
	case method != "GET":
		return Decision{Refuse, 400, MethodNotGet}
	case body:
		return Decision{Refuse, 400, BodyPresent}
	case len(versions) != 1 || versions[0] != "13":
		return Decision{Refuse, 426, VersionUnsupported}
	case len(keys) == 0:
		return Decision{Refuse, 400, KeyMissing}
	case len(keys) > 1:
		return Decision{Refuse, 400, KeyRepeated}
	case len(keys[0]) != 24 || !strings.HasSuffix(keys[0], "==") || strings.Trim(keys[0][:22], base64Letters) != "" || strings.ContainsAny(keys[0][:22], "\r\n"):
		return Decision{Refuse, 400, KeyMalformed}
	}
	return Decision{Action: Upgrade}
}

const base64Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// FuzzUpgrade: heads of any lines are judged as the plain rule judges them (where no quotes confuse its splitting),
// and the right answer to an accepted one is accepted, every other hash refused.
func FuzzUpgrade(f *testing.F) {
	for _, head := range []string{goodRequest, goodRequest + keyLine, goodRequest + "Content-Length: 0¶", requestLine + upgradeLines} {
		f.Add("GET", true, strings.ReplaceAll(head, "¶", "\n"), sampleAccept)
		f.Add("POST", true, strings.ReplaceAll(head, "¶", "\n"), "")
		f.Add("GET", false, strings.ReplaceAll(strings.ToUpper(head), "¶", "\n"), "x, y")
	}
	f.Fuzz(func(t *testing.T, method string, http11 bool, head, noise string) {
		var request RequestCheck
		request.Begin([]byte(method), http11)
		var fields [][2]string
		for line := range strings.SplitSeq(head, "\n") {
			name, value, _ := strings.Cut(line, ":")
			fields = append(fields, [2]string{name, value})
			request.Observe([]byte(name), []byte(value))
		}
		decision := request.Decide()
		if want := simpleDecision(method, http11, fields); decision != want && !strings.Contains(head, `"`) {
			t.Fatalf("%q %v %q: %+v, want %+v", method, http11, head, decision, want)
		}
		offer := request.Offer()
		accept := AcceptKey(offer.Key())
		for _, value := range []string{string(accept[:]), noise} {
			var response ResponseCheck
			response.Begin(&offer, 101)
			response.Observe([]byte("Upgrade"), []byte("websocket"))
			response.Observe([]byte("Connection"), []byte("upgrade"))
			response.Observe([]byte("Sec-WebSocket-Accept"), []byte(value))
			_, reason := response.Decide()
			right := decision.Action == Upgrade && strings.Trim(value, " \t") == string(accept[:])
			if right != (reason == NoReason) {
				t.Fatalf("accept %q for key %q: %v", value, offer.Key(), reason)
			}
			response.Observe([]byte("Sec-WebSocket-Protocol"), []byte(noise))
			response.Observe([]byte("Sec-WebSocket-Extensions"), []byte(noise))
			response.Decide()
		}
	})
}
