package exhaustion

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"culvert/proxy"

	"github.com/rs/zerolog"
)

// childVariable names the scenario that this process is to run as a child of the test.
const childVariable = "CULVERT_EXHAUSTION_CHILD"

// scenarios run in child processes; what they return is the child's failure.
var scenarios = map[string]func() error{
	"ports":       portsScenario,
	"descriptors": descriptorsScenario,
}

func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		if err := scenarios[name](); err != nil {
			fmt.Println("FAILED:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runScenario runs a scenario in a child process with the given attributes and limit of descriptors (0: as it is).
func runScenario(t *testing.T, name string, attributes *syscall.SysProcAttr, descriptors int) {
	t.Helper()
	command := exec.Command(os.Args[0], "-test.run=^$")
	if descriptors > 0 {
		command = exec.Command("/bin/sh", "-c", fmt.Sprintf("ulimit -n %d && exec %s -test.run=^$", descriptors, os.Args[0]))
	}
	command.Env = append(os.Environ(), childVariable+"="+name)
	command.SysProcAttr = attributes
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("scenario %s: %v\n%s", name, err, output)
	}
	t.Logf("%s", output)
}

// stand is a running proxy with a backend behind it that accepts upgrades and echoes bytes.
type stand struct {
	server  *proxy.Server
	address string
	backend net.Listener

	mu       sync.Mutex
	accepted []net.Conn // the backend's side of every tunnel
}

func newStand(change func(*proxy.Config)) (*stand, error) {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	listeners, groups := proxy.OneGroup([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, []proxy.BackendConfig{{
		Name: "echo", Weight: 1, Address: netip.MustParseAddrPort(backend.Addr().String()),
	}})
	config := proxy.Config{Listeners: listeners, Groups: groups, Policy: proxy.Policy{Timeouts: proxy.DefaultTimeouts()}, Loops: 1}
	change(&config)
	server, err := proxy.New(config, proxy.Logs{Error: zerolog.New(os.Stdout)})
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, err
	}
	s := &stand{server: server, address: server.Addresses()[0].String(), backend: backend}
	go s.serveBackend()
	return s, nil
}

func (s *stand) close() error {
	err := s.server.Close()
	s.hangUp()
	_ = s.backend.Close()
	return err
}

const (
	upgradeRequest = "GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	upgradeAnswer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)

// serveBackend accepts every upgrade and answers each small masked frame by the same payload, unmasked.
func (s *stand) serveBackend() {
	for {
		c, err := s.backend.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.accepted = append(s.accepted, c)
		s.mu.Unlock()
		go serveTunnel(c)
	}
}

// hangUp resets every connection of the backend at once, as a backend that is killed does.
func (s *stand) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.accepted {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

func serveTunnel(c net.Conn) {
	defer func() { _ = c.Close() }()
	reader := bufio.NewReaderSize(c, 512)
	request, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	_, _ = io.WriteString(c, upgradeAnswer)
	if request.URL.Path == "/flood" {
		flood(c)
		return
	}
	frame := make([]byte, len(smallMasked))
	for {
		if _, err := io.ReadFull(reader, frame); err != nil {
			return
		}
		if _, err := io.WriteString(c, smallAnswer); err != nil {
			return
		}
	}
}

// A small frame with an all-zero mask, and its echo.
const (
	smallMasked = "\x82\x84\x00\x00\x00\x00ping"
	smallAnswer = "\x82\x04ping"
)

const patience = 10 * time.Second

// dialer is how clients connect; a scenario that needs ports of its own replaces it.
var dialer net.Dialer

// open opens a tunnel; the status is that of the answer.
func (s *stand) open() (c net.Conn, status int, err error) {
	c, err = dialer.Dial("tcp", s.address)
	if err != nil {
		return nil, 0, err
	}
	return upgrade(c, upgradeRequest)
}

// upgrade asks for a tunnel on a connection, which it closes if there will be none.
func upgrade(c net.Conn, request string) (_ net.Conn, status int, err error) {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		_ = c.Close()
		return nil, 0, err
	}
	line, err := bufio.NewReaderSize(oneByOne{c}, 16).ReadString('\n')
	if err != nil {
		_ = c.Close()
		return nil, 0, err
	}
	status, err = strconv.Atoi(strings.Fields(line)[1])
	if err == nil && status == 101 {
		err = skipHead(c)
	}
	if err != nil || status != 101 {
		_ = c.Close()
		return nil, status, err
	}
	return c, status, nil
}

// oneByOne reads single bytes, so that a buffered reader takes nothing that belongs to the tunnel.
type oneByOne struct{ r io.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.r.Read(p[:1]) }

// skipHead reads up to the empty line that ends a head.
func skipHead(c net.Conn) error {
	var last [4]byte
	for string(last[:]) != "\r\n\r\n" {
		copy(last[:], last[1:])
		if _, err := io.ReadFull(c, last[3:]); err != nil {
			return err
		}
	}
	return nil
}

// ping sends a small message and waits for its echo.
func ping(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, smallMasked); err != nil {
		return err
	}
	answer := make([]byte, len(smallAnswer))
	_, err := io.ReadFull(c, answer)
	return err
}

// metric reads one metric of a stand, the sum over its labels.
func (s *stand) metric(name string) float64 { return metricOf(s.scrape(), name) }

// scrape returns all metrics at one moment.
func (s *stand) scrape() string {
	recorder := httptest.NewRecorder()
	s.server.Admin().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return recorder.Body.String()
}

func metricOf(scrape, name string) float64 {
	sum := 0.0
	for line := range strings.Lines(scrape) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			value, _ := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			sum += value
		}
	}
	return sum
}

// eventually waits until ok, for as long as patience lasts.
func eventually(what string, ok func() bool) error {
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("waited %v in vain until %s", patience, what)
		}
	}
	return nil
}
