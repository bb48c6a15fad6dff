// Package nsdtest runs a real DNS server, NSD, inside a test.
//
//	server := nsdtest.Start(t, "www 1 IN A 10.0.0.1")
//	...                                  // server.Address() says that www.app.test is 10.0.0.1
//	server.Change("app", "www 1 IN A 10.0.0.2")
package nsdtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Require is set where a missing nsd is a failure.
const Require = "CULVERT_REQUIRE_NSD"

// find skips the test, or fails it as Require says, where there is no nsd.
func find(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("nsd")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/nsd") // servers live in sbin, which is not on everyone's path
	}
	if err == nil {
		return path
	}
	if os.Getenv(Require) != "" {
		t.Fatalf("there is no nsd, and %s is set: %v", Require, err)
	}
	t.Skipf("skipped: there is no nsd: %v", err)
	return ""
}

// Server is NSD, authoritative for app.test and, without having its zone, for broken.test.
type Server struct {
	t       testing.TB
	program string
	address netip.AddrPort
	dir     string
	command *exec.Cmd
	ended   chan struct{} // closed when the process has
	output  bytes.Buffer
	serial  int
}

// config has %[1]s for the folder and %[2]s for address@port.
const config = `server:
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

// Start runs a server with these lines in the zone app.test, and waits until it answers. It ends with the test.
func Start(t testing.TB, zone ...string) *Server {
	t.Helper()
	s := &Server{t: t, program: find(t), address: freePort(t), dir: t.TempDir()}
	s.write(s.path("nsd.conf"), fmt.Sprintf(config, s.dir, strings.Replace(s.address.String(), ":", "@", 1)))
	s.zone("app", zone...)
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("nsd says:\n%s", s.output.String())
		}
	})
	s.run()
	return s
}

// run starts the process and waits until it takes connections.
func (s *Server) run() {
	s.t.Helper()
	s.command = exec.Command(s.program, "-d", "-c", s.path("nsd.conf"))
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	s.command.Stdout, s.command.Stderr = &s.output, &s.output
	s.ended = make(chan struct{})
	started := make(chan error)
	// goroutine: parent of the server, ends when the process does
	go func() {
		defer close(s.ended)
		runtime.LockOSThread() // the signal of Pdeathsig comes with the end of the thread that started the process
		defer runtime.UnlockOSThread()
		err := s.command.Start()
		started <- err
		if err == nil {
			_ = s.command.Wait()
		}
	}()
	s.must(<-started)
	for range 1000 {
		c, err := net.Dial("tcp", s.address.String())
		if err == nil {
			_ = c.Close()
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	s.t.Fatalf("nsd does not listen at %s", s.address)
}

// Address is where it is asked, by UDP and TCP.
func (s *Server) Address() netip.AddrPort { return s.address }

// Change replaces the lines of a zone, app or broken.
func (s *Server) Change(zone string, lines ...string) {
	s.t.Helper()
	s.zone(zone, lines...)
	s.must(s.command.Process.Signal(syscall.SIGHUP))
}

// Kill ends it: its port is closed. It may be called again.
func (s *Server) Kill() {
	if s.command == nil || s.command.Process == nil {
		return
	}
	_ = syscall.Kill(-s.command.Process.Pid, syscall.SIGKILL) // its children too
	<-s.ended
	s.command = nil
}

// Break has it answer SERVFAIL for app.test: it runs anew without the zone.
func (s *Server) Break() {
	s.t.Helper()
	s.Kill()
	s.must(os.Remove(s.path("app.zone")))
	s.run()
}

func (s *Server) zone(zone string, lines ...string) {
	s.t.Helper()
	s.serial++
	text := fmt.Sprintf("$ORIGIN %s.test.\n@ 60 IN SOA ns hostmaster %d 3600 600 86400 1\n@ 60 IN NS ns\nns 60 IN A 127.0.0.1\n%s\n",
		zone, s.serial, strings.Join(lines, "\n"))
	file := s.path(zone + ".zone")
	s.write(file+".new", text)
	s.must(os.Rename(file+".new", file))
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) write(name, text string) {
	s.t.Helper()
	s.must(os.WriteFile(name, []byte(text), 0o600))
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// freePort returns a port of the loopback that is free for UDP and TCP. The kernel gives none of these to connections: one
// of them, that of whoever waits for the server for example, would keep it from listening.
func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	for range 100 {
		address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(10_000+rand.IntN(20_000)))
		tcp, err := net.Listen("tcp", address.String())
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp", address.String())
		_ = tcp.Close()
		if err == nil {
			_ = udp.Close()
			return address
		}
	}
	t.Fatal("no port is free for both UDP and TCP")
	return netip.AddrPort{}
}
