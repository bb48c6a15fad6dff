//go:build linux && !race

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"culvert/proxy"
)

// server is a backend of the tunnels: a process, and beside it what its checks are answered by.
type server struct {
	*child
	address string
	sick    atomic.Bool
	idle    int // descriptors that it has without tunnels
}

// servers are all of them by name, whether the proxy's file has them or not.
type servers map[string]*server

// startServers starts some at addresses of their own, lest their checks, which all go to one port, meet each other.
func startServers(t *testing.T, bench string, names ...string) (all servers, checkPort int) {
	t.Helper()
	doors, checkPort := checkDoors(t, len(names))
	all = servers{}
	for i, name := range names {
		s := &server{child: startChild(t, bench, "backend", "--listen", hostOf(i)+":0")}
		words := strings.Fields(s.line())
		s.address = words[len(words)-1]
		checked := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if s.sick.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		_ = checked.Listener.Close()
		checked.Listener = doors[i]
		checked.Start()
		t.Cleanup(checked.Close)
		all[name] = s
	}
	all.rest(t)
	return all, checkPort
}

// rest notes how many descriptors each server has when it has served somebody: before, it may still be starting.
func (s servers) rest(t *testing.T) {
	t.Helper()
	for _, one := range s {
		g := guests{t: t, address: one.address}
		g.enter(g.open())
		g.exchange(0)
		g.leave(1)
	}
	until(t, "the servers to be at rest", func() bool { return total(s.truth()) == 0 })
	for _, one := range s {
		one.idle = one.descriptors()
	}
}

// hostOf returns the address of a server: all of 127.0.0.0/8 is this machine.
func hostOf(i int) string { return fmt.Sprintf("127.0.0.%d", 2+i) }

// checkDoors listens at one port of the addresses of so many servers.
func checkDoors(t *testing.T, n int) (doors []net.Listener, port int) {
	t.Helper()
	for range 10 { // somebody else may have the port at another address
		doors, port = nil, 0
		for i := range n {
			listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", hostOf(i), port))
			if err != nil {
				break
			}
			doors, port = append(doors, listener), listener.Addr().(*net.TCPAddr).Port
		}
		if len(doors) == n {
			return doors, port
		}
		for _, door := range doors {
			_ = door.Close()
		}
	}
	t.Fatal("there is no port that all of the addresses have free")
	return nil, 0
}

// addresses returns where the servers listen, by name.
func (s servers) addresses() map[string]string {
	all := map[string]string{}
	for name, one := range s {
		all[name] = one.address
	}
	return all
}

// truth returns how many tunnels each server says that it has.
func (s servers) truth() map[string]int64 {
	for _, one := range s {
		_ = one.command.Process.Signal(unix.SIGUSR1)
	}
	all := map[string]int64{}
	for name, one := range s {
		var n int64
		if line := one.line(); !scanned(line, "connections %d\n", &n) {
			one.t.Fatalf("%s says %q, and %s", name, line, one.said.String())
		}
		all[name] = n
	}
	return all
}

func scanned(text, format string, values ...any) bool {
	n, err := fmt.Sscanf(text, format, values...)
	return err == nil && n == len(values)
}

func total(counts map[string]int64) (sum int64) {
	for n := range maps.Values(counts) {
		sum += n
	}
	return sum
}

// listed returns what a list of the proxy's backends, in JSON, says of those that the tunnels go to, by name.
func (s servers) listed(t *testing.T, text []byte) map[string]proxy.BackendStatus {
	t.Helper()
	var list []proxy.BackendStatus
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	names := map[string]string{}
	for name, one := range s {
		names[one.address] = name
	}
	all := map[string]proxy.BackendStatus{}
	for i := range list {
		if name := names[list[i].Address]; name != "" {
			all[name] = list[i]
		}
	}
	return all
}

// cheapest returns who may get the next tunnel where least connections are asked for: whoever has the fewest for its
// weight, the next one counted in.
func cheapest(listed map[string]proxy.BackendStatus, truth map[string]int64) map[string]bool {
	least, all := 0.0, map[string]bool{}
	for name, b := range listed {
		if b.Status != "serving" {
			continue
		}
		cost := float64(truth[name]+1) / float64(b.Weight*b.Share)
		if len(all) > 0 && cost > least {
			continue
		}
		if cost < least {
			clear(all)
		}
		least, all[name] = cost, true
	}
	return all
}

// alike tells whether nothing that a choice depends on has changed between two lists, but for the counts.
func alike(a, b map[string]proxy.BackendStatus) bool {
	return maps.EqualFunc(a, b, func(x, y proxy.BackendStatus) bool {
		return x.Status == y.Status && x.Weight == y.Weight && x.Share == y.Share
	})
}
