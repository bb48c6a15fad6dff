package echo

import (
	"context"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"
)

// TestMain fails the package if a goroutine outlives the tests, but for netpoll's pollers, which all servers share.
func TestMain(m *testing.M) {
	code := m.Run()
	for deadline := time.Now().Add(10 * time.Second); code == 0; {
		buffer := make([]byte, 1<<20)
		stacks := string(buffer[:runtime.Stack(buffer, true)])
		if !strings.Contains(stacks, "culvert/bench/echo.(*") {
			break
		}
		if time.Now().After(deadline) {
			os.Stderr.WriteString(stacks)
			code = 1
		}
		<-time.After(10 * time.Millisecond)
	}
	os.Exit(code)
}

// start starts a server that ends with the test.
func start(t *testing.T, o Options) *Server {
	t.Helper()
	o.Listen = netip.MustParseAddrPort("127.0.0.1:0")
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// dial upgrades a connection to the server.
func dial(t *testing.T, s *Server) *client {
	t.Helper()
	conn, early, _, err := gobwas.Dial(context.Background(), "ws://"+s.Addr().String()+"/chat?x=1")
	if err != nil || early != nil {
		t.Fatal(early, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return &client{t, conn}
}
