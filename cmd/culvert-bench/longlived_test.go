//go:build linux && !race

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/proxy"
)

const (
	// reloads is how often the configuration is replaced, once a second.
	reloads = 60
	// askers is how many clients send ordinary requests meanwhile.
	askers = 2
	// duringReload and behindReload are how many tunnels are opened in each second: while one configuration gives way to
	// the next, and where each is to go to one that has the fewest.
	duringReload, behindReload = 3, 5
	// leaving is how many of them are closed at the beginning of each scene.
	leaving = 12
)

// play is the minute under way.
type play struct {
	t        *testing.T
	culvert  string // the program
	bench    string // the one of the clients and the servers
	file     string
	site     site
	proxy    *child
	servers  servers
	guests   guests
	standing int64 // tunnels that are open all the time
	began    time.Time

	scene  *scene
	judged map[string]int // tunnels whose choice was looked at, by who got them
	taken  atomic.Int64   // the version that was taken over last
}

// startPlay starts all processes but the clients.
func startPlay(t *testing.T) *play {
	t.Helper()
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", bin+"/", "culvert/cmd/culvert", "culvert/cmd/culvert-bench").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s", r.URL.Path, r.Header.Get("X-Version"))
	}))
	t.Cleanup(backend.Close)
	p := &play{t: t, culvert: filepath.Join(bin, "culvert"), bench: filepath.Join(bin, "culvert-bench"), file: filepath.Join(bin, "culvert.yaml"), judged: map[string]int{}}
	p.site = site{listen: freeAddress(t), extra: freeAddress(t), admin: freeAddress(t), http: strings.TrimPrefix(backend.URL, "http://")}
	p.servers, p.site.checkPort = startServers(t, p.bench, north, south, removed, flapping, added)
	p.guests = guests{t: t, address: p.site.listen}
	p.scene = &scenes()[0]
	write(t, p.file, p.site.version(0, p.scene, p.servers.addresses()))
	if out, err := exec.Command(p.culvert, "check", p.file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { // when it has been ended
		if t.Failed() {
			t.Logf("the proxy said:\n%s", p.proxy.said.String())
		}
	})
	p.proxy = startChild(t, p.culvert, "run", "--config", p.file)
	until(t, "the proxy", func() bool { return p.metrics() != nil })
	p.began = time.Now()
	return p
}

func (p *play) metrics() map[string]float64 { return metrics(p.t, p.site.admin) }

// tunnels returns how many there are to be.
func (p *play) tunnels() int64 { return p.standing + int64(len(p.guests.live)) }

// listed asks the admin port how the backends stand.
func (p *play) listed() map[string]proxy.BackendStatus {
	p.t.Helper()
	return p.servers.listed(p.t, fetch(p.t, "http://"+p.site.admin+"/backends"))
}

// reload has the next version taken over, and opens tunnels meanwhile.
func (p *play) reload(version int) {
	p.t.Helper()
	write(p.t, p.file, p.site.version(version, p.scene, p.servers.addresses()))
	most := duringReload
	if name, _ := p.scene.ends(); name != "" {
		most = 0 // it must be known who ends
	}
	come, failed := make([]*guest, most), make([]error, most)
	var opening sync.WaitGroup
	opening.Go(func() {
		for i := range come {
			come[i], failed[i] = p.guests.open()
		}
	})
	p.command("reload")
	opening.Wait()
	p.taken.Store(int64(version))
	for i := range come {
		p.guests.enter(come[i], failed[i])
	}
}

// command has the proxy do something, and returns what is said of that.
func (p *play) command(words ...string) []byte {
	p.t.Helper()
	out, err := exec.Command(p.culvert, append(words, "--admin", p.site.admin)...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("culvert %s, behind version %d: %v\n%s", words, p.taken.Load(), err, out)
	}
	return out
}

// open opens a tunnel, and looks at who gets it: somebody for whom it weighs least. Where the standing of a server
// changes at that moment nothing is said of it.
func (p *play) open() (got string) {
	p.t.Helper()
	before, listed := p.servers.truth(), p.listed()
	p.guests.enter(p.guests.open())
	after := p.servers.truth()
	for name := range after {
		if after[name] == before[name]+1 {
			got += name
		}
	}
	if !alike(listed, p.listed()) {
		return got
	}
	p.judged[got]++
	if best := cheapest(listed, before); !best[got] {
		p.t.Errorf("version %d: a tunnel went to %q, not to one of %v: it was\n%v\nand is\n%v\n%+v", p.taken.Load(), got, best, before, after, listed)
	}
	return got
}

// agree fails unless the proxy's list and its metrics say of each server what that says itself.
func (p *play) agree() {
	p.t.Helper()
	if text := p.difference(); text != "" {
		p.t.Errorf("version %d: %s", p.taken.Load(), text)
	}
}

// agreeInTheEnd waits for that where tunnels have ended: either side may be the first to notice.
func (p *play) agreeInTheEnd() {
	p.t.Helper()
	var text string
	defer func() {
		if text != "" {
			p.t.Log(text)
		}
	}()
	until(p.t, "all counts to agree", func() bool { text = p.difference(); return text == "" })
}

// difference returns what the list, the metrics, the servers and the clients do not agree on, or what a server that was
// there all the time has lost.
func (p *play) difference() string {
	p.t.Helper()
	lived := time.Since(p.began).Seconds()
	listed := p.servers.listed(p.t, p.command("backend", "list", "--json", "--group", "echo"))
	told, truth := p.metrics(), p.servers.truth()
	var got []string
	for name, b := range listed {
		if b.Status != proxy.StatusRemoved {
			got = append(got, name)
		}
	}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(p.scene.servers))) {
		return fmt.Sprintf("%v are listed, and %v are configured", got, p.scene.servers)
	}
	for name, n := range truth {
		address := p.servers[name].address
		active, known := told[fmt.Sprintf(`culvert_backend_connections_active{address="%s",backend="%s",group="echo"}`, address, address)]
		b, inList := listed[name]
		if known && active != float64(n) || inList && b.Connections != n || n > 0 && !known {
			return fmt.Sprintf("%s has %d tunnels, the list says %d (%v), the metrics say %v (%v)", name, n, b.Connections, inList, active, known)
		}
	}
	if b := listed[north]; b.Status != "serving" || b.Share != 100 || b.Since < lived {
		return fmt.Sprintf("nothing has happened to %s for %.1f s, and it stands like this: %+v", north, lived, b)
	}
	if n := told["culvert_tunnels_active{}"]; total(truth) != p.tunnels() || n != float64(p.tunnels()) {
		return fmt.Sprintf("there are %d tunnels; the servers have %v, the proxy has %v", p.tunnels(), truth, n)
	}
	return ""
}

// second is one second of a scene in which no tunnel is to end.
func (p *play) second(version int) {
	p.t.Helper()
	p.reload(version)
	for range behindReload {
		p.open()
	}
	if ended := p.guests.exchange(version); len(ended) > 0 {
		p.t.Errorf("version %d: %d tunnels are lost, one by %v", version, len(ended), ended[0])
	}
	p.agree()
}

// settle waits until the servers stand as the scene has them.
func (p *play) settle() {
	p.t.Helper()
	until(p.t, p.scene.says, func() bool {
		for name, b := range p.listed() {
			if b.Status != p.scene.status(name) && b.Status != proxy.StatusRemoved {
				return false
			}
		}
		return true
	})
}

// begin begins a scene. Some tunnels are closed by their clients.
func (p *play) begin(s *scene) {
	p.t.Helper()
	p.guests.leave(leaving)
	p.agreeInTheEnd()
	p.scene = s
	if s.ordered != "" {
		p.command("backend", "drain", p.servers[s.ordered].address)
	}
	for name, one := range p.servers {
		one.sick.Store(name == s.sick)
	}
}

// TestLongLivedTruth: for a minute servers come, go and fail their checks, and the configuration is replaced every second,
// under thousands of tunnels that carry messages, others that are opened and closed, and clients that send requests. No
// tunnel ends but those that a policy ends, no byte is wrong, no request sees parts of two versions; the proxy's counts
// are those of the servers, and each new tunnel goes to one that has the fewest. In the end nothing is left.
func TestLongLivedTruth(t *testing.T) {
	p := startPlay(t)
	p.standing = int64(howMany(t, reloads*(duringReload+behindReload)))
	before, descriptors := p.metrics(), p.proxy.descriptors()
	heap := p.leastHeap()
	began := time.Now()
	client := startChild(t, p.bench, "echo", "--target", p.site.listen, "--tunnels", strconv.Itoa(int(p.standing)), "--pace", "256", "--rate", "1500", "--duration", "1h", "--json")
	until(t, "all tunnels to be open", func() bool { return p.metrics()["culvert_tunnels_active{}"] == float64(p.standing) })
	opened := time.Since(began)
	p.agree()

	var asked atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var asking sync.WaitGroup
	for range askers {
		asking.Go(func() { asker(ctx, t, "http://"+p.site.listen+"/v/x", &p.taken, &asked) })
	}
	ended := p.minute()
	until(t, "two configurations at most to be in memory", func() bool { return p.metrics()["culvert_configurations_held"] <= 2 })
	stop()
	asking.Wait()
	largest := p.leastHeap()

	began = time.Now()
	p.wantWhole(client)
	p.guests.leave(len(p.guests.live))
	p.standing = 0
	p.agreeInTheEnd()
	closed := time.Since(began)
	p.wantNothingLeft(before, descriptors, heap, largest)
	t.Logf("figure: %d reloads in a minute, in which servers came, went and failed their checks, under tunnels %d of which stayed and %d came: "+
		"%d were ended by policy, none was lost, no byte was wrong, none of %d requests saw two versions", reloads, howMany(t, reloads*(duringReload+behindReload)), p.guests.opened, ended, asked.Load())
	t.Logf("figure: the choice of %d new tunnels was looked at, all went to a server with the fewest: %v; opened in %.1f s, closed in %.1f s",
		p.choices(), p.judged, opened.Seconds(), closed.Seconds())
}

// choices returns how many choices were looked at: nearly all, and everybody was chosen at some time.
func (p *play) choices() (n int) {
	p.t.Helper()
	for name := range p.servers {
		n += p.judged[name]
		if p.judged[name] == 0 {
			p.t.Errorf("%s never got a tunnel", name)
		}
	}
	if n < reloads*behindReload*2/3 {
		p.t.Errorf("the choice of %d new tunnels was looked at only", n)
	}
	return n
}

// minute plays all scenes, and returns how many tunnels were ended by policy.
func (p *play) minute() (ended int) {
	p.t.Helper()
	list := scenes()
	pause := time.NewTicker(time.Second)
	defer pause.Stop()
	for i := range list {
		last := reloads
		if i+1 < len(list) {
			last = list[i+1].begins - 1
		}
		p.begin(&list[i])
		var e *ending
		if name, _ := p.scene.ends(); name != "" {
			e = p.beginEnding()
		}
		for version := list[i].begins; version <= last && !p.t.Failed(); version++ {
			<-pause.C
			if e != nil {
				e.second(version)
			} else {
				p.second(version)
			}
		}
		if p.t.Failed() {
			p.t.Fatalf("in the scene %q", p.scene.says)
		}
		p.settle()
		if e != nil {
			ended += e.finish()
		}
		if name := list[i].ordered; name != "" {
			p.command("backend", "undrain", p.servers[name].address)
		}
	}
	return ended
}

// wantWhole ends the client of the tunnels that are open all the time, which must have lost nothing.
func (p *play) wantWhole(client *child) {
	p.t.Helper()
	_ = client.command.Process.Signal(unix.SIGINT)
	text, _ := io.ReadAll(client.stdout)
	_ = client.command.Wait()
	var report struct {
		Result struct {
			Messages, Errors, Mismatches *float64
			FirstError                   string `json:"first_error"`
		}
	}
	err := json.Unmarshal(text, &report)
	r := &report.Result
	if err != nil || client.command.ProcessState.ExitCode() != exitInterrupted || r.Messages == nil || *r.Messages == 0 ||
		r.Errors == nil || *r.Errors != 0 || r.Mismatches == nil || *r.Mismatches != 0 {
		p.t.Errorf("the tunnels: %v, %v, first %q\n%s", err, client.command.ProcessState, r.FirstError, client.said.String())
	}
}
