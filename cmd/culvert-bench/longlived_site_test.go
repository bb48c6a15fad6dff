//go:build linux && !race

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// endsPerSecond is the rate at which a policy ends tunnels.
	endsPerSecond = 20
	// drainFor is how long the tunnels of a server that is being drained live on.
	drainFor = 2 * time.Second
)

// site is what the configuration of one version says: the version is in what a backend is sent, in what the client is
// answered, and in the path.
type site struct {
	listen, extra, admin string
	http                 string // the backend of the requests
	checkPort            int    // at which the backends of the tunnels are checked
}

// version returns the file's text. That of the tunnels' group is another one every other time only: the group is kept, or
// made anew.
func (s *site) version(n int, scene *scene, addresses map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "timeouts: {idle-timeout: %ds}\nhttp: {backend-idle-timeout: 1s}\n", 90+n)
	fmt.Fprintf(&b, "limits: {loops: 2, max-requests: %d, max-connections-per-client: %d}\n", 1_000_000+n, 100_000+n)
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
	fmt.Fprintf(&b, "groups:\n  http: {servers: [\"%s\"]}\n  echo:\n    schedule: wlc\n    slow-start: 3s\n    retry-share: %d\n", s.http, 20+n/2)
	fmt.Fprintf(&b, "    check: {kind: http, port: %d, interval: 1s, timeout: 20s, healthy: 2, unhealthy: 2}\n", s.checkPort)
	fmt.Fprintf(&b, "    end-rate: %d\n    end-when-down: %v\n    servers:\n", endsPerSecond, scene.endWhenDown)
	for _, name := range scene.servers {
		fmt.Fprintf(&b, "      - {address: \"%s\"", addresses[name])
		switch {
		case scene.drained == name:
			fmt.Fprintf(&b, ", drain-for: %s", drainFor)
		case n == 0 && name != flapping:
			fmt.Fprint(&b, ", weight: 3") // so that the one that flaps has the fewest later
		}
		fmt.Fprint(&b, "}\n")
	}
	return b.String()
}

// write puts a text into the file at once.
func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// Who may be in the group of the tunnels.
const (
	north    = "north"
	south    = "south"
	removed  = "removed"
	flapping = "flapping"
	added    = "added"
)

// scene is a part of the minute.
type scene struct {
	begins      int // with this version
	says        string
	servers     []string // in the file's order
	sick        string   // whose check fails
	ordered     string   // whom the operator takes out of use: its tunnels live on
	drained     string   // whose tunnels end when they have had their time
	endWhenDown bool     // and so do those of whoever is sick
}

func without(name string) []string {
	return slices.DeleteFunc([]string{north, south, removed, flapping}, func(s string) bool { return s == name })
}

// scenes are the minute. Each lasts long enough for checks to find out what has become of a server, and if it were not so
// its last second would wait for them.
func scenes() []scene {
	usual := without("")
	all := append(without(""), added)
	less := append(without(removed), added)
	return []scene{
		{begins: 1, says: "all weigh the same", servers: usual},
		{begins: 4, says: "one fails its checks", servers: usual, sick: flapping},
		{begins: 9, says: "and is back", servers: usual},
		{begins: 14, says: "another one is removed, and it fails again", servers: without(removed), sick: flapping},
		{begins: 19, says: "and is back", servers: without(removed)},
		{begins: 23, says: "a new one is added", servers: less},
		{begins: 26, says: "and the other one fails once more", servers: less, sick: flapping},
		{begins: 30, says: "it is back, and so is the one that was removed", servers: all},
		{begins: 36, says: "the new one is drained", servers: all, drained: added},
		{begins: 43, says: "and is used again", servers: all},
		{begins: 49, says: "it fails its checks where that ends tunnels", servers: all, sick: added, endWhenDown: true},
		{begins: 57, says: "the new one leaves again, and the operator drains another", servers: usual, ordered: flapping},
	}
}

// ends returns whose tunnels a policy ends in the scene, and by which reason: nobody's, mostly.
func (s *scene) ends() (name, reason string) {
	switch {
	case s.drained != "":
		return s.drained, "drained"
	case s.endWhenDown:
		return s.sick, "backend-down"
	}
	return "", ""
}

// status returns as what the proxy is to list a server in the end.
func (s *scene) status(name string) string {
	switch name {
	case s.sick:
		return "down"
	case s.drained, s.ordered:
		return "draining"
	}
	return "serving"
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
		<-time.After(5 * time.Millisecond)
	}
}
