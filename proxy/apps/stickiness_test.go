package apps

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// crowdAtOnce is how many sessions there are at once.
const crowdAtOnce = 20

// crowdOrder is what a crowd of Socket.IO clients is to do; see socketio-crowd.js.
type crowdOrder struct {
	Count     int      `json:"count"`
	AtOnce    int      `json:"atOnce"`
	Header    []string `json:"header,omitempty"` // name and value
	Residents int      `json:"residents,omitempty"`
}

// crowdResult is what it tells.
type crowdResult struct{ Sessions, Residents []crowdSession }

type crowdSession struct {
	Name   string // sent as User-Agent
	Server string // that the session was on, by what the server itself says
	Late   bool   // begun when the third server had joined
	Lost   string // why
}

// crowdTally is what a server tells.
type crowdTally struct {
	Sessions       int
	Refused, Ended map[string]int // by why
}

// crowd is a group of Socket.IO servers, each of which knows its own sessions only, with the program before it.
type crowd struct {
	*culvert
	file    string            // the configuration
	group   string            // what it says of the group, but for the servers
	servers map[string]string // addresses by names
}

// startCrowd runs servers, with cookies of their own, if they have a name, before which the program has what is said of
// the group.
func startCrowd(t *testing.T, group, more, cookie string, servers ...string) *crowd {
	t.Helper()
	c := &crowd{file: filepath.Join(t.TempDir(), "culvert.yaml"), group: group, servers: map[string]string{}}
	for _, name := range servers {
		_, c.servers[name] = runServer(t, "socketio-crowd-server.js", name, cookie)
	}
	c.configure(t, servers)
	c.culvert = startCulvert(t, nil, append(strings.Fields(more), "--config", c.file)...)
	return c
}

// configure writes the configuration with some of the servers.
func (c *crowd) configure(t *testing.T, servers []string) {
	t.Helper()
	var addresses []string
	for _, name := range servers {
		addresses = append(addresses, c.servers[name])
	}
	text := fmt.Sprintf("listeners:\n  - {address: \"127.0.0.1:0\", rules: [{group: app}]}\ngroups:\n  app: {%s, servers: [%s]}\n",
		c.group, strings.Join(addresses, ", "))
	if err := os.WriteFile(c.file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(c.file+".new", c.file); err != nil {
		t.Fatal(err)
	}
}

// join has one more server join the others, by a reload.
func (c *crowd) join(t *testing.T, name string, others ...string) {
	t.Helper()
	_, c.servers[name] = runServer(t, "socketio-crowd-server.js", name)
	c.configure(t, append(others, name))
	if out, err := exec.Command(program, "reload", "--admin", c.admin).CombinedOutput(); err != nil {
		t.Fatalf("reload: %v\n%s", err, out)
	}
}

// send starts the clients.
func (c *crowd) send(t *testing.T, order crowdOrder) *script {
	t.Helper()
	order.AtOnce = crowdAtOnce
	text, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	return runScript(t, "socketio-crowd.js", c.url("/"), string(text))
}

// run runs the clients to their end.
func (c *crowd) run(t *testing.T, order crowdOrder) (result crowdResult) {
	t.Helper()
	clients := c.send(t, order)
	clients.read(&result)
	clients.end()
	if len(result.Sessions) != order.Count {
		t.Fatalf("%d sessions were played, not %d", len(result.Sessions), order.Count)
	}
	return result
}

// tally asks a server what has become of its sessions.
func (c *crowd) tally(t *testing.T, name string) (tally crowdTally) {
	t.Helper()
	answer, err := http.Get("http://" + c.servers[name] + "/tally")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if err := json.NewDecoder(answer.Body).Decode(&tally); err != nil {
		t.Fatal(err)
	}
	return tally
}

// wantNoneLost checks that no session was lost: by what the clients say, by what the servers say, and by the access log,
// in which all requests of a session are on the server that the session was on.
func (c *crowd) wantNoneLost(t *testing.T, sessions []crowdSession) {
	t.Helper()
	on, addresses := map[string]int{}, map[string]string{}
	for _, s := range sessions {
		if s.Lost != "" {
			t.Errorf("%s on server %q was lost: %s", s.Name, s.Server, s.Lost)
		}
		on[s.Server]++
		addresses[s.Name] = c.servers[s.Server]
	}
	if t.Failed() {
		t.FailNow()
	}
	if len(addresses) != len(sessions) {
		t.Errorf("%d sessions have %d names", len(sessions), len(addresses))
	}
	c.wantMetric(float64(len(sessions)), "culvert_tunnels_ended_total")
	requests, tunnels := c.checkLog(t, addresses)
	for name := range c.servers {
		tally := c.tally(t, name)
		if tally.Sessions != on[name] || len(tally.Refused) > 0 || tally.Ended["client namespace disconnect"] != on[name] || len(tally.Ended) > 1 {
			t.Errorf("server %s says %+v, and by the clients it had %d sessions", name, tally, on[name])
		}
	}
	t.Logf("%d sessions by %d requests, %d of them upgrades, on servers: %v", len(sessions), requests, tunnels, on)
}

// checkLog checks the access log of the sessions whose servers' addresses are given.
func (c *crowd) checkLog(t *testing.T, addresses map[string]string) (requests, tunnels int) {
	t.Helper()
	c.lines(len(addresses), func(l logLine) bool { return l["event"] == "tunnel-end" })
	polls, upgrades := map[string]int{}, map[string]int{}
	for _, line := range c.lines(0, func(l logLine) bool { return l["event"] != "tunnel-end" }) {
		name := fmt.Sprint(line["user_agent"])
		switch {
		case line["event"] == "tunnel-open":
			upgrades[name]++
		case line["status"] != 200.0 || line["reason"] != "complete":
			t.Errorf("a request ended so: %v", line)
		default:
			polls[name]++
		}
		if want := addresses[name]; line["backend_address"] != want {
			t.Errorf("a request of a session that is on %s: %v", want, line)
		}
	}
	for name := range addresses {
		if polls[name] < 3 || upgrades[name] != 1 {
			t.Errorf("%s polled %d times and was upgraded %d times", name, polls[name], upgrades[name])
		}
		requests += polls[name] + 1
		tunnels += upgrades[name]
	}
	return requests, tunnels
}

// share returns which part of the sessions a server has.
func share(name string, sessions []crowdSession) float64 {
	on := 0
	for _, s := range sessions {
		if s.Server == name {
			on++
		}
	}
	return float64(on) / float64(len(sessions))
}

func TestNoSocketIOSessionIsLostWhenAThirdServerJoins(t *testing.T) {
	const residents = 20
	for _, one := range []struct {
		algorithm   string
		sessions    int
		slack       float64 // between the parts of the two servers; wlc balances what is there at the same time, not the sum
		least, most float64 // of what comes later, the part of the third server
	}{
		{"wrr", crowdSessions, 0.1, 0.28, 0.38},
		// Those that stay are connections of the other two: the third gets more, until it has as many.
		{"wlc", crowdSessions / 2, 0.3, 0.42, 1},
	} {
		t.Run(one.algorithm, func(t *testing.T) {
			c := startCrowd(t, "schedule: "+one.algorithm+", sticky: insert", "", "", "a", "b")
			clients := c.send(t, crowdOrder{Count: one.sessions, Residents: residents})
			var half struct{ Half int }
			clients.read(&half)
			c.join(t, "c", "a", "b")
			if _, err := clients.stdin.Write([]byte("c has joined\n")); err != nil {
				t.Fatal(err)
			}
			var result crowdResult
			clients.read(&result)
			clients.end()
			early, late := result.split(half.Half)
			if len(early) < one.sessions/2-crowdAtOnce || len(late) < one.sessions/2 || len(result.Residents) != residents {
				t.Fatalf("%d sessions before a server joined, and %d later, beside %d that stayed", len(early), len(late), len(result.Residents))
			}
			c.wantNoneLost(t, append(result.Sessions, result.Residents...))
			if a, b := share("a", early), share("b", early); math.Abs(a-b) > one.slack {
				t.Errorf("two servers have %.2f and %.2f of the sessions", a, b)
			}
			a, b, third := share("a", late), share("b", late), share("c", late)
			if third < one.least || third > one.most || math.Abs(a-b) > one.slack {
				t.Errorf("of later sessions the two that were there have %.2f and %.2f, and the third one %.2f", a, b, third)
			}
			t.Logf("of %d later sessions the two that were there have %.2f and %.2f, and the third one %.2f", len(late), a, b, third)
		})
	}
}

// split returns the sessions that were over before a server joined, and those that began when it had; in between are
// others.
func (r *crowdResult) split(half int) (early, late []crowdSession) {
	for i, s := range r.Sessions {
		switch {
		case s.Late:
			late = append(late, s)
		case i < half-crowdAtOnce:
			early = append(early, s)
		}
	}
	return early, late
}

func TestSocketIOSessionsAreLostWithoutStickiness(t *testing.T) {
	c := startCrowd(t, "schedule: wrr", "", "", "a", "b")
	lost := 0
	for _, s := range c.run(t, crowdOrder{Count: 50}).Sessions {
		if s.Lost != "" {
			lost++
		}
	}
	unknown := c.tally(t, "a").Refused["Session ID unknown"] + c.tally(t, "b").Refused["Session ID unknown"]
	if lost == 0 || unknown == 0 {
		t.Errorf("%d sessions were lost, and the servers did not know the session of %d requests: this would not have shown", lost, unknown)
	}
	t.Logf("%d of 50 sessions were lost, by %d requests to the wrong server", lost, unknown)
}

// TestNoSocketIOSessionIsLostByOtherMeans: what else brings a session's requests to one server.
func TestNoSocketIOSessionIsLostByOtherMeans(t *testing.T) {
	for _, one := range []struct {
		name, group, settings, cookie string
		header                        []string
	}{
		{name: "the server's own cookie", group: `schedule: wlc, sticky: "rewrite:io"`, cookie: "io"},
		{name: "the client's address", group: "schedule: {algorithm: hash}", settings: "--trusted-proxies 127.0.0.1", header: []string{"X-Forwarded-For", "10.0.#.1"}},
		{name: "a cookie", group: `schedule: {algorithm: hash, hash-by: "cookie:user"}`, header: []string{"cookie", "user=number-#"}},
	} {
		t.Run(one.name, func(t *testing.T) {
			c := startCrowd(t, one.group, one.settings, one.cookie, "a", "b")
			result := c.run(t, crowdOrder{Count: 100, Header: one.header})
			c.wantNoneLost(t, result.Sessions)
		})
	}
}
