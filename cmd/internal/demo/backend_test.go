package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/gobwas/ws"
)

// get returns the answer to one request and its body.
func get(t *testing.T, method, url string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// dial opens a tunnel with a client that others wrote.
func dial(t *testing.T, url string, header http.Header) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	c, response, err := websocket.Dial(t.Context(), url+"ws", &websocket.DialOptions{HTTPHeader: header})
	if err == nil {
		c.SetReadLimit(1 << 20)
		t.Cleanup(func() { _ = c.CloseNow() })
	}
	return c, response, err
}

// join opens a tunnel and reads the welcome.
func join(t *testing.T, url string) (*websocket.Conn, reply) {
	t.Helper()
	c, _, err := dial(t, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, next(t, c, typeWelcome)
}

// next reads messages until one of that type comes.
func next(t *testing.T, c *websocket.Conn, kind string) reply {
	t.Helper()
	for {
		var r reply
		if err := wsjson.Read(t.Context(), c, &r); err != nil {
			t.Fatalf("wait for %q: %v", kind, err)
		}
		if r.Type == kind {
			return r
		}
	}
}

func TestChatOverTwoBackends(t *testing.T) {
	d := startDemo(t, Options{Push: 10 * time.Millisecond})
	one, first := join(t, pageURL(d, 0))
	two, second := join(t, pageURL(d, 1))
	if first.Backend != "demo-1" || second.Backend != "demo-2" || first.Room != second.Room || second.People != 2 {
		t.Errorf("welcomes: %+v and %+v", first, second)
	}
	if err := wsjson.Write(t.Context(), one, request{Type: typeChat, Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*websocket.Conn{one, two} {
		if m := next(t, c, typeChat); m.Text != "hello" || m.From != first.Name || m.Backend != "demo-1" {
			t.Errorf("message %+v", m)
		}
	}
	if p := next(t, two, typePush); p.Backend != "demo-2" {
		t.Errorf("push from %s on a tunnel to demo-2", p.Backend)
	}
	if err := wsjson.Write(t.Context(), two, request{Type: typePing, Sent: 42.25}); err != nil {
		t.Fatal(err)
	}
	if p := next(t, two, typePong); p.Sent != 42.25 {
		t.Errorf("pong carries %v", p.Sent)
	}
	ended := make(chan error, 1)
	go func() { ended <- one.Close(websocket.StatusNormalClosure, "") }()
	if err := <-ended; err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestMessageThatCameWithTheUpgradeRequest(t *testing.T) {
	d := startDemo(t, Options{})
	conn, err := net.Dial("tcp", d.Addresses()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := "GET /ws HTTP/1.1\r\nHost: demo\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
		"X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n"
	if _, err := conn.Write(append([]byte(request), frame(true, ws.OpText, "early")...)); err != nil {
		t.Fatal(err)
	}
	input := bufio.NewReader(conn)
	response, err := http.ReadResponse(input, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answer %v, %v", response, err)
	}
	g := &guest{t: t, conn: conn, input: input}
	if w := g.want(typeWelcome); w.ForwardedFor != "203.0.113.7, 192.0.2.9" {
		t.Errorf("X-Forwarded-For shown as %q", w.ForwardedFor)
	}
	g.wantChat("guest-1", "early")
}

func TestUpgradesThatAreRefused(t *testing.T) {
	d := startDemo(t, Options{MaxPeople: 1})
	url := pageURL(d, 0)
	foreign := http.Header{"Origin": {"http://example.net"}}
	if _, r, err := dial(t, url, foreign); err == nil || r.StatusCode != http.StatusForbidden {
		t.Errorf("foreign origin: %v, %v; want 403", r, err)
	}
	if r, _ := get(t, http.MethodGet, url+"ws", nil); r.StatusCode != http.StatusBadRequest {
		t.Errorf("no upgrade: %s, want 400", r.Status)
	}
	own := http.Header{"Origin": {strings.TrimSuffix(url, "/")}}
	c, _, err := dial(t, url, own)
	if err != nil {
		t.Fatalf("own origin: %v", err)
	}
	next(t, c, typeWelcome)
	if _, r, err := dial(t, pageURL(d, 1), nil); err == nil || r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("full room: %v, %v; want 503 with Retry-After", r, err)
	}
	_ = c.CloseNow()
	d.Close() // an upgrade is counted as refused only after the answer is on its way
	if s := d.Stats(); s.Refused != 3 || s.Joined != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestPage(t *testing.T) {
	d := startDemo(t, Options{})
	r, body := get(t, http.MethodGet, pageURL(d, 0), nil)
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("page: %s, %s", r.Status, r.Header.Get("Content-Type"))
	}
	policy := r.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	for _, id := range []string{"state", "backend", "rtt", "messages", "input", "send", "reconnect"} {
		if n := strings.Count(body, fmt.Sprintf("id=%q", id)); n != 1 {
			t.Errorf("the page has %d elements with the id %s, want one", n, id)
		}
	}
	for _, outside := range []string{"src=", "@import", "url(", "https:"} {
		rest := strings.ReplaceAll(body, `location.protocol === "https:"`, "")
		if strings.Contains(rest, outside) {
			t.Errorf("the page contains %q: want no external resource", outside)
		}
	}
	if r, body := get(t, http.MethodHead, pageURL(d, 1), nil); r.StatusCode != http.StatusOK || body != "" {
		t.Errorf("HEAD, as health checks send it: %s with %q", r.Status, body)
	}
}

func TestWhoami(t *testing.T) {
	d := startDemo(t, Options{})
	r, body := get(t, http.MethodGet, pageURL(d, 1)+"whoami?q=1", http.Header{
		"X-Forwarded-For": {"203.0.113.7"}, "Cookie": {"session=secret"}, "Authorization": {"Bearer secret"},
	})
	var w whoami
	if err := json.Unmarshal([]byte(body), &w); err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s %q: %v", r.Status, body, err)
	}
	if w.Backend != "demo-2" || w.Target != "/whoami?q=1" || w.Headers["X-Forwarded-For"][0] != "203.0.113.7" {
		t.Errorf("whoami %+v", w)
	}
	if w.Address != d.Addresses()[1].String() || w.Host != w.Address || !strings.HasPrefix(w.Peer, "127.0.0.1:") {
		t.Errorf("whoami %+v", w)
	}
	if strings.Contains(body, "secret") {
		t.Errorf("whoami shows a secret: %s", body)
	}
}

func TestOtherPaths(t *testing.T) {
	d := startDemo(t, Options{Backends: 1})
	url := pageURL(d, 0)
	if r, body := get(t, http.MethodGet, url+"healthz", nil); r.StatusCode != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz: %s %q", r.Status, body)
	}
	for path, want := range map[string]int{"nothing": http.StatusNotFound, "ws/more": http.StatusNotFound} {
		if r, _ := get(t, http.MethodGet, url+path, nil); r.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, r.Status, want)
		}
	}
	if r, _ := get(t, http.MethodPost, url+"whoami", nil); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s, want 405", r.Status)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	d := startDemo(t, Options{Backends: 3})
	var clients []*websocket.Conn
	for i := range 12 {
		c, _ := join(t, pageURL(d, i%3))
		clients = append(clients, c)
	}
	idle, err := net.Dial("tcp", d.Addresses()[0].String()) // never sends a request
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(d.Close)
	}
	for i, c := range clients {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		var err error
		for err == nil {
			_, _, err = c.Read(ctx)
		}
		cancel()
		if websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("client %d: %v, want close code 1001", i, err)
		}
	}
	closers.Wait()
	if s := d.Stats(); s.People != 0 || s.Joined != 12 {
		t.Errorf("stats %+v", s)
	}
	for _, address := range d.Addresses() {
		if c, err := net.Dial("tcp", address.String()); err == nil {
			c.Close()
			t.Errorf("%s still accepts", address)
		}
	}
}

func TestCloseWhileClientsCome(t *testing.T) {
	d := startDemo(t, Options{})
	started := make(chan struct{}, 8)
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for {
				c, _, err := websocket.Dial(t.Context(), pageURL(d, i%2)+"ws", nil)
				if err != nil {
					return // refused, once the demo has ended
				}
				select {
				case started <- struct{}{}:
				default:
				}
				_, _, _ = c.Read(t.Context())
				_ = c.CloseNow()
			}
		})
	}
	<-started
	d.Close()
	clients.Wait()
	if s := d.Stats(); s.People != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestOptionsOutOfRange(t *testing.T) {
	for _, o := range []Options{
		{Backends: -1}, {Backends: 17}, {Push: time.Millisecond}, {Push: -1}, {Push: 2 * time.Hour}, {MaxPeople: -1}, {MaxPeople: 100_001},
	} {
		if d, err := Start(o); err == nil {
			d.Close()
			t.Errorf("%+v was accepted", o)
		}
	}
}

func ExampleGuide() {
	backends := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:40001"), netip.MustParseAddrPort("127.0.0.1:40002")}
	fmt.Print(Guide(Running{Program: "bin/culvert", Page: "http://localhost:8080", Metrics: "http://localhost:9090/metrics", Backends: backends}))
	// Output:
	// Culvert demo
	//
	//   page      http://localhost:8080
	//   backends  demo-1 on 127.0.0.1:40001, demo-2 on 127.0.0.1:40002
	//   metrics   http://localhost:9090/metrics
	//
	// Try next
	//
	//   Open the page in two tabs and write in one: the other shows it,
	//   whichever backend each tab is on. "Reconnect" may change backends.
	//
	//   See what a backend sees:
	//     curl -s http://localhost:8080/whoami
	//
	//   Watch the proxy count:
	//     curl -s http://localhost:9090/metrics
	//
	//   Put Culvert before servers of your own:
	//     bin/culvert --listen :8081 --admin 127.0.0.1:9091 --backend 127.0.0.1:9001 --backend 127.0.0.1:9002
	//
	// Ctrl-C ends the demo.
}

func ExampleGuide_secure() {
	backends := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:40001")}
	fmt.Print(Guide(Running{Program: "bin/culvert", Page: "http://127.0.0.1:8080", Secure: "https://127.0.0.1:8443", SelfSigned: true, Backends: backends}))
	// Output:
	// Culvert demo
	//
	//   page      http://127.0.0.1:8080
	//   secure    https://127.0.0.1:8443
	//   backends  demo-1 on 127.0.0.1:40001
	//
	// Try next
	//
	//   Open the page in two tabs and write in one: the other shows it,
	//   whichever backend each tab is on. "Reconnect" may change backends.
	//
	//   See what a backend sees:
	//     curl -s http://127.0.0.1:8080/whoami
	//
	//   The same by HTTPS, its WebSocket by wss://127.0.0.1:8443/ws.
	//   The certificate was made for this run and nobody vouches for it: browsers
	//   warn before they go on, and curl asks for -k:
	//     curl -sk https://127.0.0.1:8443/whoami
	//
	//   Put Culvert before servers of your own:
	//     bin/culvert --listen :8081 --backend 127.0.0.1:9001 --backend 127.0.0.1:9002
	//
	// Ctrl-C ends the demo.
}
