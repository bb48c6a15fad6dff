package discovery

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"culvert/engine"

	"golang.org/x/net/dns/dnsmessage"
)

// requireNSD is set where a missing nsd is a failure.
const requireNSD = "CULVERT_REQUIRE_NSD"

// findNSD skips the test, or fails it as requireNSD says, where there is no nsd.
func findNSD(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("nsd")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/nsd") // servers live in sbin, which is not on everyone's path
	}
	if err == nil {
		return path
	}
	if os.Getenv(requireNSD) != "" {
		t.Fatalf("there is no nsd, and %s is set: %v", requireNSD, err)
	}
	t.Skipf("skipped: there is no nsd: %v", err)
	return ""
}

// nameServer is NSD, authoritative for app.test and, without having its zone, for broken.test.
type nameServer struct {
	t       *testing.T
	address netip.AddrPort
	dir     string
	process *os.Process
	serial  int
}

// nsdConfig has %[1]s for the folder and %[2]s for address@port.
const nsdConfig = `server:
  ip-address: %[2]s
  username: ""
  chroot: ""
  zonesdir: "%[1]s"
  xfrdir: "%[1]s"
  database: ""
  pidfile: "%[1]s/pid"
  xfrdfile: "%[1]s/xfrd"
  zonelistfile: "%[1]s/zones"
  server-count: 1
  zonefiles-check: yes
remote-control:
  control-enable: no
zone:
  name: "app.test"
  zonefile: "app.zone"
zone:
  name: "broken.test"
  zonefile: "broken.zone"
`

// startNSD runs a server with these lines in the zone app.test. It ends with the test.
func startNSD(t *testing.T, zone ...string) *nameServer {
	t.Helper()
	program := findNSD(t)
	s := &nameServer{t: t, address: freePort(t), dir: t.TempDir()}
	config := filepath.Join(s.dir, "nsd.conf")
	write(t, config, fmt.Sprintf(nsdConfig, s.dir, strings.Replace(s.address.String(), ":", "@", 1)))
	s.write("app", zone...)
	command := exec.Command(program, "-d", "-c", config)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	must(t, command.Start())
	s.process = command.Process
	t.Cleanup(func() {
		_ = syscall.Kill(-s.process.Pid, syscall.SIGKILL) // its children too
		_ = command.Wait()
		if t.Failed() {
			t.Logf("nsd says:\n%s", output.String())
		}
	})
	return s
}

// freePort returns a port of the loopback that is free for UDP and TCP.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	for range 100 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		_ = tcp.Close()
		if err == nil {
			_ = udp.Close()
			return addressOf(tcp.Addr())
		}
	}
	t.Fatal("no port is free for both UDP and TCP")
	return netip.AddrPort{}
}

func (s *nameServer) write(zone string, lines ...string) {
	s.t.Helper()
	s.serial++
	text := fmt.Sprintf("$ORIGIN %s.test.\n@ 60 IN SOA ns hostmaster %d 3600 600 86400 1\n@ 60 IN NS ns\nns 60 IN A 127.0.0.1\n%s\n",
		zone, s.serial, strings.Join(lines, "\n"))
	file := filepath.Join(s.dir, zone+".zone")
	write(s.t, file+".new", text)
	must(s.t, os.Rename(file+".new", file))
}

// change replaces the lines of a zone.
func (s *nameServer) change(zone string, lines ...string) {
	s.t.Helper()
	s.write(zone, lines...)
	must(s.t, s.process.Signal(syscall.SIGHUP))
}

// audience is a watcher of real time, and what it told last of each source.
type audience struct {
	t  *testing.T
	mu sync.Mutex
	by map[string]Update
}

// watch asks the server, in a hurry.
func (s *nameServer) watch(exchange Exchange, sources ...Source) *audience {
	s.t.Helper()
	a := &audience{t: s.t, by: map[string]Update{}}
	none := filepath.Join(s.dir, "none")
	w, err := Start(Options{
		Clock: engine.Monotonic, Notify: a.notify, Servers: []netip.AddrPort{s.address}, ResolvConf: none, Hosts: none, Exchange: exchange,
		Floor: time.Second, Confirmations: 2, ConfirmOver: time.Second,
	}, sources)
	must(s.t, err)
	s.t.Cleanup(w.Stop)
	return a
}

func (a *audience) notify(u Update) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.by[u.Source.Name] = u
}

// wants waits until this is what was told of a source.
func (a *audience) wants(name, warning string, endpoints ...string) Update {
	a.t.Helper()
	var last Update
	eventually(a.t, fmt.Sprintf("%s is %v, with the warning %q", name, endpoints, warning), func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		last = a.by[name]
		return slices.Equal(spell(last.Set), endpoints) && strings.Contains(last.Warning, warning) && (warning == "") == (last.Warning == "") && last.Known
	})
	return last
}

func TestNSDAddressesAreAddedAndRemoved(t *testing.T) {
	t.Parallel()
	server := startNSD(t, "www 1 IN A 10.0.0.1", "www 1 IN AAAA 2001:db8::1", "slow 3600 IN A 10.0.0.1", "alias 1 IN CNAME www")
	heard := server.watch(nil, append(append(name80("www.app.test"), name80("slow.app.test")...), name80("alias.app.test")...)...)
	heard.wants("www.app.test", "", "10.0.0.1:80 1/0", "[2001:db8::1]:80 1/0")
	heard.wants("alias.app.test", "", "10.0.0.1:80 1/0", "[2001:db8::1]:80 1/0")
	heard.wants("slow.app.test", "", "10.0.0.1:80 1/0")
	server.change("app", "www 1 IN A 10.0.0.2", "www 1 IN A 10.0.0.3", "www 1 IN AAAA 2001:db8::1", "slow 3600 IN A 10.0.0.9", "alias 1 IN CNAME www")
	heard.wants("www.app.test", "", "10.0.0.2:80 1/0", "10.0.0.3:80 1/0", "[2001:db8::1]:80 1/0")
	heard.wants("alias.app.test", "", "10.0.0.2:80 1/0", "10.0.0.3:80 1/0", "[2001:db8::1]:80 1/0")
	heard.wants("slow.app.test", "", "10.0.0.1:80 1/0") // its TTL is an hour, the ceiling 5 min
	server.change("app", "www 1 IN A 10.0.0.3", "other 1 IN A 10.0.0.1")
	heard.wants("www.app.test", "", "10.0.0.3:80 1/0")
	heard.wants("alias.app.test", "")
}

func TestNSDServices(t *testing.T) {
	t.Parallel()
	server := startNSD(t, "_ws._tcp 1 IN SRV 0 30 8080 a", "_ws._tcp 1 IN SRV 0 10 8081 b", "_ws._tcp 1 IN SRV 5 0 8082 b", "a 1 IN A 10.0.0.1", "b 1 IN A 10.0.0.2")
	heard := server.watch(nil, Source{Kind: Services, Name: "_ws._tcp.app.test"})
	heard.wants("_ws._tcp.app.test", "", "10.0.0.1:8080 30/0", "10.0.0.2:8081 10/0", "10.0.0.2:8082 1/5")
	server.change("app", "_ws._tcp 1 IN SRV 0 30 8080 a", "a 1 IN A 10.0.0.3")
	heard.wants("_ws._tcp.app.test", "", "10.0.0.3:8080 30/0")
}

func TestNSDFailureKeepsAndEmptinessIsConfirmed(t *testing.T) {
	t.Parallel()
	server := startNSD(t, "www 1 IN A 10.0.0.1")
	heard := server.watch(nil, append(name80("www.app.test"), name80("www.broken.test")...)...)
	heard.wants("www.app.test", "", "10.0.0.1:80 1/0")
	eventually(t, "a zone that cannot be served is a failure", func() bool {
		heard.mu.Lock()
		defer heard.mu.Unlock()
		return strings.Contains(heard.by["www.broken.test"].Warning, "SERVFAIL") && !heard.by["www.broken.test"].Known
	})
	server.change("broken", "www 1 IN A 10.0.0.5")
	heard.wants("www.broken.test", "", "10.0.0.5:80 1/0")
	server.change("app", "www 1 IN TXT nothing") // the name is there
	heard.wants("www.app.test", "the name has no such records; what was known stays", "10.0.0.1:80 1/0")
	heard.wants("www.app.test", "")
	server.change("app", "www 1 IN A 10.0.0.1")
	heard.wants("www.app.test", "", "10.0.0.1:80 1/0")
	server.change("app", "other 1 IN A 10.0.0.1") // it is not
	heard.wants("www.app.test", "the name does not exist; what was known stays", "10.0.0.1:80 1/0")
	heard.wants("www.app.test", "")
}

// TestNSDIsGone: the port is closed.
func TestNSDIsGone(t *testing.T) {
	t.Parallel()
	server := startNSD(t, "www 1 IN A 10.0.0.1")
	heard := server.watch(nil, name80("www.app.test")...)
	heard.wants("www.app.test", "", "10.0.0.1:80 1/0")
	must(t, syscall.Kill(-server.process.Pid, syscall.SIGKILL))
	heard.wants("www.app.test", "connection refused, says "+server.address.String()+"; what was known stays", "10.0.0.1:80 1/0")
}

func TestNSDTruncatesAndIsAskedByTCP(t *testing.T) {
	t.Parallel()
	var lines, want []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf("many 1 IN A 10.1.0.%d", i))
		want = append(want, fmt.Sprintf("10.1.0.%d:80 1/0", i))
	}
	server := startNSD(t, lines...)
	var mu sync.Mutex
	used := map[string]int{}
	heard := server.watch(func(ctx context.Context, network string, to netip.AddrPort, query []byte) ([]byte, error) {
		message, err := networkExchange(ctx, network, to, query)
		var p dnsmessage.Parser
		if h, failure := p.Start(message); failure == nil && h.Truncated {
			network += ", truncated"
		}
		mu.Lock()
		defer mu.Unlock()
		used[network]++
		return message, err
	}, name80("many.app.test")...)
	heard.wants("many.app.test", "", want...)
	mu.Lock()
	defer mu.Unlock()
	if used["udp, truncated"] == 0 || used["tcp"] == 0 || used["tcp, truncated"] != 0 {
		t.Errorf("used %v", used)
	}
}
