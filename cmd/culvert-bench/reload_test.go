//go:build linux && !race

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// reloads is how often the configuration is replaced, once a second.
	reloads = 60
	// askers is how many clients send ordinary requests meanwhile.
	askers = 4
)

// reloadSite is what a configuration of one version says: the version is in what the backend is sent, in what the client
// is answered, and in the path.
type reloadSite struct {
	listen, extra, admin string
	echoes               []string // backends of the tunnels
	http                 string   // the backend of the requests
}

func (s *reloadSite) version(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "timeouts: {idle-timeout: %ds}\nlimits: {loops: 1, max-requests: %d, max-connections-per-client: %d}\n", 60+n, 1_000_000+n, 100_000+n)
	fmt.Fprintf(&b, "logs: {access-log: \"off\", log-level: warn}\nadmin: {admin: \"%s\"}\n", s.admin)
	fmt.Fprintf(&b, "listeners:\n  - name: web\n    address: %s\n    deny: [192.0.2.%d]\n    group: echo\n    rules:\n", s.listen, n%256)
	for i := range n % 7 { // rules come and go
		fmt.Fprintf(&b, "      - {path: /unused/%d, answer: {status: 200, body: \"%d\"}}\n", i, n)
	}
	fmt.Fprintf(&b, "      - path: /v\n        upgrade: false\n        group: http\n        rewrite-path: /%d\n", n)
	fmt.Fprintf(&b, "        request-headers: {set: {X-Version: \"%d\"}}\n        answer-headers: {set: {X-Version: \"%d\"}}\n", n, n)
	if n%2 == 1 { // a listener comes and goes
		fmt.Fprintf(&b, "  - {name: extra, address: \"%s\", group: echo}\n", s.extra)
	}
	fmt.Fprintf(&b, "groups:\n  http: {servers: [\"%s\"]}\n  echo:\n    servers:\n", s.http)
	for i, address := range s.echoes {
		fmt.Fprintf(&b, "      - {address: \"%s\", weight: %d}\n", address, (n+i)%5)
	}
	return b.String()
}

// write puts a version into the file at once.
func (s *reloadSite) write(t *testing.T, file string, n int) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(s.version(n)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// asker sends requests until ctx is done. Each is treated by one version, which is not older than the one that had been
// taken over when it was sent.
func asker(ctx context.Context, t *testing.T, url string, taken, asked *atomic.Int64) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: manyPatience}
	for ctx.Err() == nil {
		oldest := taken.Load()
		answer, err := client.Get(url)
		if err != nil {
			t.Errorf("a request: %v", err)
			return
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		version, _ := strconv.ParseInt(answer.Header.Get("X-Version"), 10, 64)
		if want := fmt.Sprintf("/%d/x %d", version, version); err != nil || answer.StatusCode != 200 || string(body) != want || version < oldest {
			t.Errorf("a request behind version %d: %s, headers of version %d, sent as %q, %v", oldest, answer.Status, version, body, err)
			return
		}
		asked.Add(1)
		<-time.After(2 * time.Millisecond)
	}
}

// startEchoes starts two backends for tunnels and returns their addresses.
func startEchoes(t *testing.T, bench string) (addresses []string) {
	t.Helper()
	for range 2 {
		backend := startChild(t, bench, "backend", "--listen", "127.0.0.1:0")
		greeting, err := backend.stdout.ReadString('\n')
		if err != nil {
			t.Fatalf("%v\n%s", err, backend.said.String())
		}
		words := strings.Fields(greeting)
		addresses = append(addresses, words[len(words)-1])
	}
	return addresses
}

// TestReloadsTouchNoTunnel: the configuration is replaced every second for a minute, under thousands of tunnels that
// carry messages and clients that send requests. No tunnel ends, no byte is wrong, no request sees parts of two versions.
func TestReloadsTouchNoTunnel(t *testing.T) {
	tunnels := howMany(t)
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", bin+"/", "culvert/cmd/culvert", "culvert/cmd/culvert-bench").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	culvert, bench := filepath.Join(bin, "culvert"), filepath.Join(bin, "culvert-bench")
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s", r.URL.Path, r.Header.Get("X-Version"))
	}))
	defer backend.Close()
	site := &reloadSite{
		listen: freeAddress(t), extra: freeAddress(t), admin: freeAddress(t), echoes: startEchoes(t, bench),
		http: strings.TrimPrefix(backend.URL, "http://"),
	}
	file := filepath.Join(bin, "culvert.yaml")
	site.write(t, file, 0)
	proxy := startChild(t, culvert, "run", "--config", file)
	until(t, "the proxy", func() bool { return metrics(t, site.admin) != nil })
	before, descriptors := metrics(t, site.admin), proxy.descriptors()

	client := startChild(t, bench, "echo", "--target", site.listen, "--tunnels", strconv.Itoa(tunnels), "--rate", "2000",
		"--duration", strconv.Itoa(reloads+10)+"s", "--json")
	active := func() float64 { return metrics(t, site.admin)["culvert_tunnels_active{}"] }
	until(t, "all tunnels to be open", func() bool { return active() == float64(tunnels) })

	var taken, asked atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	for range askers {
		asking.Go(func() { asker(ctx, t, "http://"+site.listen+"/v/x", &taken, &asked) })
	}
	pause := time.NewTicker(time.Second)
	defer pause.Stop()
	for n := 1; n <= reloads && !t.Failed(); n++ {
		<-pause.C
		site.write(t, file, n)
		if out, err := exec.Command(culvert, "reload", "--admin", site.admin).CombinedOutput(); err != nil {
			t.Fatalf("reload %d: %v\n%s", n, err, out)
		}
		taken.Store(int64(n))
		if n := active(); n != float64(tunnels) {
			t.Fatalf("%v of %d tunnels live", n, tunnels)
		}
	}
	// The collector takes what nothing leads to: if a tunnel, a request or a pool held a configuration, more would be left.
	until(t, "two configurations at most to be in memory", func() bool { return metrics(t, site.admin)["culvert_configurations_held"] <= 2 })
	if n := active(); n != float64(tunnels) {
		t.Errorf("%v of %d tunnels live behind the last reload", n, tunnels)
	}
	stop()
	asking.Wait()
	report, _ := io.ReadAll(client.stdout)
	if err := client.command.Wait(); err != nil {
		t.Errorf("the tunnels: %v\n%s\n%s", err, report, client.said.String())
	}
	until(t, "all descriptors to be closed", func() bool { return proxy.descriptors() <= descriptors })
	until(t, "as many goroutines as before", func() bool { return metrics(t, site.admin)["go_goroutines"] <= before["go_goroutines"] })
	after := metrics(t, site.admin)
	wantNothingHeld(t, before, after)
	if n := after["culvert_reloads_total"]; n != reloads {
		t.Errorf("%v configurations were taken over, want %d", n, reloads)
	}
	t.Logf("figure: %d tunnels and %d requests during %d reloads: no tunnel ended, no byte was wrong, no request saw two versions",
		tunnels, asked.Load(), reloads)
}
