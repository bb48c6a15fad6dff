package proxytest_test

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

func TestMain(m *testing.M) { os.Exit(proxytest.Main(m)) }

// overWays runs a test over plain TCP, and over TLS as subtests.
func overWays(t *testing.T, test func(*proxytest.T)) {
	t.Helper()
	test(proxytest.Over(t, proxytest.Way{}))
	for _, way := range proxytest.Ways()[1:] {
		t.Run(way.Name, func(t *testing.T) { test(proxytest.Over(t, way)) })
	}
}

func start(t testing.TB, change func(*proxy.Config)) (*proxytest.Proxy, *proxytest.Backend) {
	t.Helper()
	backend := proxytest.NewBackend(t)
	return proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}, Config: change}), backend
}

const request = "GET /a?token=1 HTTP/1.1\r\nHost: a\r\n\r\n"

func TestAnOrdinaryExchange(t *testing.T) { overWays(t, anOrdinaryExchange) }

func anOrdinaryExchange(t *proxytest.T) {
	p, backend := start(t, nil)
	client := p.Dial(t)
	client.SendByteByByte(request)
	server := backend.Accept()
	if head := server.ReadHead(); proxytest.Field(head, "X-Forwarded-For") != "127.0.0.1" {
		t.Errorf("the backend got %q", head)
	}
	server.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
	client.ReadHead()
	if got := client.ReadExactly(2); got != "hi" {
		t.Errorf("got %q", got)
	}
	client.WantEOF()
	line := p.WaitEnd(t)
	line.Want(t, "complete", 200, "backend")
	if line.Text("uri") != "/a" {
		t.Errorf("the log shows the URI %q", line.Text("uri"))
	}
	p.WaitMetric(t, 1, "culvert_exchanges_ended_total", "reason=complete")
	if n := p.Metric(t, "culvert_exchanges_ended_total"); n != 1 {
		t.Errorf("%v exchanges ended", n)
	}
}

func TestAScriptServes(t *testing.T) { overWays(t, aScriptServes) }

func aScriptServes(t *proxytest.T) {
	p, backend := start(t, nil)
	backend.Serve(func(c *proxytest.Conn) {
		c.ReadHead()
		c.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
		c.ReadUntilEOF()
	})
	for range 3 {
		client := p.Dial(t)
		client.Send(request)
		if answer := client.ReadUntilEOF(); !strings.HasSuffix(answer, "\r\n\r\nhi") {
			t.Errorf("got %q", answer)
		}
	}
	if n := len(backend.Connections()); n != 3 {
		t.Errorf("%d connections", n)
	}
	if got := backend.Connections()[0].Received(); !strings.HasPrefix(got, "GET /a?token=1 HTTP/1.1\r\n") {
		t.Errorf("recorded %q", got)
	}
}

func TestATunnel(t *testing.T) { overWays(t, aTunnel) }

func aTunnel(t *proxytest.T) {
	p, _ := start(t, nil)
	client, server := p.Tunnel(t)
	client.Send(proxytest.ClientText("question"))
	server.Want(proxytest.ClientText("question"))
	server.Send(proxytest.ServerText("answer"))
	client.Want(proxytest.ServerText("answer"))
	client.WantNothing()
	if !p.Holds(client) || !p.Holds(server) {
		t.Error("the proxy holds no descriptors")
	}
	client.Send(proxytest.ClientClose(1000))
	client.CloseWrite()
	if rest := server.ReadUntilEOF(); rest != proxytest.ClientClose(1000) {
		t.Errorf("the backend got %q", rest)
	}
	server.CloseWrite()
	client.WantEOF()
	p.WaitReleased(t, client)
	p.WaitReleased(t, server)
	line := p.WaitEnd(t)
	line.Want(t, "closed", 101, "client")
	if line.Inner("from_client").Number("close_code") != 1000 {
		t.Errorf("the log says %v", line)
	}
}

func TestAStalledDirection(t *testing.T) { overWays(t, aStalledDirection) }

func aStalledDirection(t *proxytest.T) {
	p, _ := start(t, nil)
	client := p.DialWith(t, proxytest.ConnOptions{ReceiveBuffer: proxytest.SmallBuffer})
	server := p.Upgrade(t, client)
	server.Send(proxytest.ServerHeader(proxytest.StallPayload))
	sent := p.Stall(t, server)
	if p.Metric(t, "culvert_relay_pending_bytes") == 0 {
		t.Error("nothing is pending")
	}
	t.Logf("%d bytes fill the direction", len(sent))
	server.CloseWrite()
	client.Want(proxytest.ServerHeader(proxytest.StallPayload) + sent)
	client.WantEOF()
}

func TestALostHost(t *testing.T) { overWays(t, aLostHost) }

func aLostHost(t *proxytest.T) {
	p, _ := start(t, nil)
	client, server := p.Tunnel(t)
	p.Lose(t, client)
	server.Send(proxytest.ServerText("lost"))
	server.WantReset()
	p.WaitEnd(t).Want(t, "client-lost", 101, "client")
}

func TestBackendsThatDoNotAccept(t *testing.T) {
	p := proxytest.Start(t, proxytest.Options{
		Addresses: []netip.AddrPort{proxytest.NeverAnswers(t), proxytest.Refuses(t)},
		Config:    func(c *proxy.Config) { c.Timeouts.Connect = 50e6 },
	})
	client := p.Dial(t)
	client.Send(request)
	if answer := client.ReadUntilEOF(); !strings.HasPrefix(answer, "HTTP/1.1 50") {
		t.Errorf("got %q", answer)
	}
}

func TestShutdown(t *testing.T) { overWays(t, shutdown) }

func shutdown(t *proxytest.T) {
	p, _ := start(t, nil)
	client, server := p.Tunnel(t)
	p.Shutdown(t)
	client.WantEOF()
	server.WantEOF()
	p.WaitEnd(t).Want(t, "shutdown", 101, "proxy")
	if p.ErrorLog() != "" {
		t.Error("there are errors")
	}
}

// failures records the sentences of failures instead of failing.
type failures struct {
	testing.TB
	said []string
}

func (f *failures) Helper() {}

func (f *failures) Fatalf(format string, arguments ...any) {
	f.said = append(f.said, fmt.Sprintf(format, arguments...))
	runtime.Goexit()
}

func TestFailuresAreSentences(t *testing.T) {
	backend := proxytest.NewBackend(t)
	for want, do := range map[string]func(client, server *proxytest.Conn){
		`the client wants a FIN at once, but 2 bytes came before it: "hi"`: func(client, server *proxytest.Conn) {
			server.Send("hi")
			server.Close()
			client.WantEOF()
		},
		`the client wants a reset, but it got a FIN after 2 bytes: "hi"`: func(client, server *proxytest.Conn) {
			server.Send("hi")
			server.Close()
			client.WantReset()
		},
		`the client wants 3 bytes ("hey"), but it got a reset after 0: ""`: func(client, server *proxytest.Conn) {
			server.Reset()
			client.Want("hey")
		},
		`the client wants a head, but it got a FIN after "HTTP"`: func(client, server *proxytest.Conn) {
			server.Send("HTTP")
			server.Close()
			client.ReadHead()
		},
		`the client wants other bytes: got 2 bytes, want 2; from byte 0 on got "hi", want "ho"`: func(client, server *proxytest.Conn) {
			server.Send("hi")
			client.Want("ho")
		},
	} {
		f := &failures{TB: t}
		client := proxytest.Dial(f, backend.Address())
		server := backend.Accept()
		done := make(chan struct{})
		go func() {
			defer close(done)
			do(client, server)
		}()
		<-done
		if len(f.said) != 1 || f.said[0] != want {
			t.Errorf("said  %q\nwants %q", f.said, want)
		}
	}
}
