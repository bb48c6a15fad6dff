package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// TestEveryRequestOfACrowdIsServed: 2,000 requests from all loops over 5 places, tunnels and others. Of those who wait some
// leave, just when it may be their turn. A place that nobody is told of would leave somebody waiting until the queue's
// timeout.
func TestEveryRequestOfACrowdIsServed(t *testing.T) {
	t.Parallel()
	const clients, each = 100, 20
	tellers := newTellers(t, "two", "three")
	p := startTellers(t, tellers, func(c *proxy.Config, g *proxy.GroupConfig) {
		c.Loops = 6
		g.Schedule.Algorithm = "wlc"
		g.Backends[0].MaxConnections, g.Backends[1].MaxConnections = 2, 3
		g.Queue, g.QueueTimeout = clients*each, proxytest.Patience
	})
	var served, left atomic.Int64
	var all sync.WaitGroup
	for number := range clients {
		all.Go(func() {
			for n := range each {
				if (number+n)%5 == 0 {
					if err := leaves(p, (number*7+n)%30); err != nil {
						t.Errorf("client %d leaves at its request %d: %v", number, n, err)
						return
					}
					left.Add(1)
					continue
				}
				if err := comesThrough(p, (number+n)%2 == 0); err != nil {
					t.Errorf("client %d, request %d: %v", number, n, err)
					return
				}
				served.Add(1)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	for _, gauge := range []string{"culvert_requests_waiting", "culvert_backend_connections_active"} {
		p.WaitMetric(t, 0, gauge)
	}
	for _, b := range p.Server().Backends() {
		if b.Connections != 0 {
			t.Errorf("%s has %d connections at the end", b.Name, b.Connections)
		}
	}
	queued := p.Metric(t, "culvert_requests_queued_total")
	if served.Load()+left.Load() != clients*each || queued < clients {
		t.Errorf("%d were served, %d have left, %v have waited", served.Load(), left.Load(), queued)
	}
	for _, l := range p.Log() {
		if l.Text("reason") == "queue-timeout" {
			t.Errorf("one has waited for too long: %v", l)
		}
	}
}

// comesThrough sends a request and wants its answer.
func comesThrough(p *proxytest.Proxy, upgrade bool) error {
	c, err := net.DialTimeout("tcp", p.Address().String(), proxytest.Patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, inquiry{upgrade: upgrade}.head()); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	if want := map[bool]int{false: 200, true: 101}[upgrade]; answer.StatusCode != want {
		return fmt.Errorf("status %d, want %d", answer.StatusCode, want)
	}
	return nil
}

// leaves sends a request for a WebSocket, and leaves by a FIN or a reset before there can be an answer, or somewhat later.
func leaves(p *proxytest.Proxy, later int) error {
	c, err := net.DialTimeout("tcp", p.Address().String(), proxytest.Patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if later%2 == 0 {
		_ = c.(*net.TCPConn).SetLinger(0)
	}
	if _, err := io.WriteString(c, inquiry{upgrade: true}.head()); err != nil {
		return err
	}
	for range later * 10 {
		_, err = io.Copy(io.Discard, strings.NewReader("")) // the others' turn
	}
	return err
}
