package peers

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"culvert/bench/load"
	"culvert/tls"
)

func TestCertificatesAreMadeForTheRun(t *testing.T) {
	for _, key := range []keyKind{keyP256, keyRSA} {
		c, err := makeCertificate(t.TempDir(), key)
		if err != nil {
			t.Fatal(err)
		}
		var texts [3][]byte
		for i, name := range []string{c.Chain, c.Key, c.Both} {
			if texts[i], err = os.ReadFile(name); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s may be read by others: %v (%v)", name, info.Mode(), err)
			}
		}
		if _, err := tls.ParseCertificate(texts[0], texts[1]); err != nil {
			t.Error(err)
		}
		if _, err := tls.ParseCertificate(texts[2], texts[2]); err != nil {
			t.Error(err)
		}
	}
}

func TestTheClientKnowsWhetherSessionsAreResumed(t *testing.T) {
	for _, c := range []struct {
		by                  load.TLS
		handshakes, resumed uint64
		right               bool
	}{
		{fullTLS, 100, 0, true}, {fullTLS, 100, 1, false}, {resumedTLS, 100, 100, true}, {resumedTLS, 100, 99, true}, {resumedTLS, 100, 98, false},
	} {
		if err := checkResumed(&c.by, &Sample{Handshakes: c.handshakes, Resumed: c.resumed}); (err == nil) != c.right {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestContendersThatAgreeUponSomethingElseDoOtherWork(t *testing.T) {
	same := []Row{{Contenders: []Series{secured("a", "x", 0), secured("b", "x", 0), {Name: "c", Lacks: "x"}}}, {Contenders: []Series{secured("a", "y", 0)}}}
	if err := sameTLS(same); err != nil {
		t.Error(err)
	}
	if err := sameTLS([]Row{{Contenders: []Series{secured("a", "x", 0), secured("b", "y", 0)}}}); err == nil || !strings.Contains(err.Error(), "a spoke x with the client, and b y") {
		t.Errorf("error %v", err)
	}
}

func TestWhoLacksSomethingIsLeftOut(t *testing.T) {
	w := work{
		rows: []Row{{Name: "row", Unit: microseconds}}, variants: 2,
		stations: func(context.Context, *Bench) ([]station, error) { return []station{{name: "a"}, {name: "b"}}, nil },
		prepare: func(_ context.Context, _ *Bench, s station) (session, error) {
			if s.name == "a" {
				return nil, &lack{"key"}
			}
			return &scripted{make([]error, 3)}, nil
		},
	}
	b := &Bench{options: Options{Rounds: 3}}
	rows, err := b.runWork(t.Context(), w, &progress{})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := rows[0].Contenders[0], rows[0].Contenders[1]; a.Lacks != "key" || len(a.Samples) != 0 || b.Lacks != "" || len(b.Samples) != 3 {
		t.Errorf("%+v", rows[0].Contenders)
	}
}

func TestAStormIsReadFromTheMetrics(t *testing.T) {
	read := func(at float64, text string) metrics {
		m, err := readMetrics(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		m[scrapedAt] = at
		return m
	}
	before := read(10, `culvert_tls_handshakes_total{result="done"} 100
culvert_loop_turn_seconds_bucket{loop="0",le="0.0001"} 1000
culvert_loop_turn_seconds_bucket{loop="0",le="0.001"} 1000
culvert_loop_turn_seconds_bucket{loop="0",le="0.01"} 1000
culvert_loop_turn_seconds_bucket{loop="0",le="+Inf"} 1000
culvert_loop_turn_seconds_count{loop="0"} 1000
`)
	after := read(12, `culvert_tls_handshakes_total{result="done"} 2100
culvert_tls_handshakes_queued 7
culvert_loop_turn_seconds_bucket{loop="0",le="0.0001"} 1900
culvert_loop_turn_seconds_bucket{loop="0",le="0.001"} 1980
culvert_loop_turn_seconds_bucket{loop="0",le="0.01"} 1995
culvert_loop_turn_seconds_bucket{loop="0",le="+Inf"} 2000
culvert_loop_turn_seconds_count{loop="0"} 2000
`)
	s := Storm{Completed: 999}
	s.readMetrics(before, after)
	s.SlowTurns = float64(int(s.SlowTurns*1000+0.5)) / 1000
	if want := (Storm{Completed: 999, Done: 1000, TurnP99: 0.01, SlowTurns: 0.02, Queued: 7}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	other := Storm{Completed: 999}
	if other.readMetrics(nil, nil); other != (Storm{Completed: 999}) {
		t.Errorf("%+v without metrics", other)
	}
	for _, c := range []struct {
		result stormResult
		wrong  bool
	}{
		{stormResult{MessagesPerSecond: 951}, false}, {stormResult{MessagesPerSecond: 949}, true},
		{stormResult{MessagesPerSecond: 1051}, true}, {stormResult{MessagesPerSecond: 1000, Errors: 1}, true},
	} {
		if text := c.result.limit(1000); (text != "") != c.wrong {
			t.Errorf("%+v: %q", c.result, text)
		}
	}
}

// TestPeersSpeakTLS: each of them agrees upon what the rows say with a client, and completes a storm's handshakes.
func TestPeersSpeakTLS(t *testing.T) {
	needPeers(t)
	b, err := Open(Options{Self: os.Args[0], Rounds: 1, Contenders: regexp.MustCompile("nginx|haproxy"), Rows: regexp.MustCompile("tls-connect")})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, c := range b.contenders {
		for _, key := range []keyKind{keyP256, keyRSA} {
			p, err := b.proxy(t.Context(), c, key)
			if err != nil {
				t.Fatal(err)
			}
			r, err := load.Connects(t.Context(), p.target(&fullTLS), load.ConnectPlan{HandshakesOnly: true, Count: 10, Duration: startPatience})
			if want := "TLS 1.3, TLS_AES_128_GCM_SHA256, X25519"; err != nil || r.Messages != 10 || r.Resumed != 0 || r.Agreed != want {
				t.Errorf("%s, %s: %d of 10 handshakes, %d resumed, %q (%v)", c.Name, key, r.Messages, r.Resumed, r.Agreed, err)
			}
		}
		p := b.proxies[proxyKey{c.Name, keyP256}]
		in, stop := io.Pipe()
		out, said := io.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- MakeStorm(t.Context(), p.secure, 200, in, said) }()
		decoder := json.NewDecoder(skipWord(t, out))
		time.AfterFunc(200*time.Millisecond, func() { _ = stop.Close() })
		var result stormResult
		if err := errors.Join(decoder.Decode(&result), <-ended); err != nil || result.Errors > 0 || result.MessagesPerSecond == 0 || result.Resumed > 0 {
			t.Errorf("%s: %+v (%v)", c.Name, result, err)
		}
	}
}

// skipWord reads the word of a storm that has begun, and returns what comes behind it.
func skipWord(t *testing.T, out io.Reader) io.Reader {
	t.Helper()
	word := make([]byte, len(stormWord)+1)
	if _, err := io.ReadFull(out, word); err != nil || string(word) != stormWord+"\n" {
		t.Fatalf("%q (%v)", word, err)
	}
	return out
}
