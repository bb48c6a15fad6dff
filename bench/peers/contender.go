package peers

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sys/unix"
)

// The programs that are compared.
const (
	ProgramCulvert = "culvert"
	ProgramFloor   = "floor"
	ProgramNginx   = "nginx"
	ProgramHAProxy = "haproxy"
)

// A Contender is one program in one configuration.
type Contender struct {
	Name    string // as in results and in --contenders
	Title   string // as in tables
	Program string
	Tuned   bool
}

// Contenders are all of them, in the order in which the first round runs them.
func Contenders() []Contender {
	return []Contender{
		{"culvert", "Culvert", ProgramCulvert, false},
		{"floor", "floor", ProgramFloor, false},
		{"nginx", "nginx", ProgramNginx, false},
		{"nginx-tuned", "nginx, tuned", ProgramNginx, true},
		{"haproxy", "HAProxy", ProgramHAProxy, false},
		{"haproxy-tuned", "HAProxy, tuned", ProgramHAProxy, true},
	}
}

//go:embed nginx.conf.tmpl haproxy.cfg.tmpl
var templates embed.FS

// configuration is what the templates of the peers' configurations are filled with.
type configuration struct {
	Listen, Backend netip.AddrPort
	Secure          netip.AddrPort // listens for TLS, where there is a certificate
	Certificate     *certificate
	Tuned           bool
	Folder          string // of its own, for its files
	Descriptors     int    // most that a process may have
	Connections     int    // most tunnels that these allow
	Backlog         int
	Idle            int // kept connections to the backend, as many as Culvert's default
	Requests        int // most on one kept connection
}

// spareDescriptors are those that a proxy needs beside two per tunnel, generously.
const spareDescriptors = 400

func newConfiguration(p *proxy, l launch) (configuration, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return configuration{}, err
	}
	descriptors := int(min(limit.Max, 1<<20))
	return configuration{
		Listen: p.address, Backend: l.backend, Tuned: p.contender.Tuned, Folder: p.folder, Secure: p.secure, Certificate: l.certificate,
		Descriptors: descriptors, Connections: (descriptors - spareDescriptors) / 2, Backlog: 4096,
		Idle: 256, Requests: keptRequests,
	}, nil
}

// render fills the template of a program's configuration.
func (c configuration) render(program string) ([]byte, error) {
	name := map[string]string{ProgramNginx: "nginx.conf.tmpl", ProgramHAProxy: "haproxy.cfg.tmpl"}[program]
	parsed, err := template.ParseFS(templates, name)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = parsed.Execute(&text, c)
	return text.Bytes(), err
}

// write stores the program's configuration in the folder and returns its name.
func (c configuration) write(program string) (string, error) {
	text, err := c.render(program)
	if err != nil {
		return "", err
	}
	name := filepath.Join(c.Folder, program+".conf")
	return name, os.WriteFile(name, text, 0o600)
}

// keptRequests is how many requests one connection may carry at the most, where there is a bound at all: Culvert's
// largest. No row sends as many.
const keptRequests = 1_000_000

// longTimeouts are Culvert's, in the sense of what the peers' templates say: no row is as long.
var longTimeouts = []string{"--idle-timeout", "1h", "--stalled-timeout", "1h"}

// culvertWords is Culvert's command line. Extra words come last: the last value given counts.
func culvertWords(path string, p *proxy, l launch) []string {
	words := []string{path, "run", "--listen", p.address.String(), "--backend", l.backend.String(), "--admin", p.admin.String(),
		"--loops", strconv.Itoa(max(l.loops, 1)), "--access-log", "off", "--log-level", "warn", "--shutdown-delay", "0", "--shutdown-grace", "0"}
	if l.certificate != nil {
		words = append(words, "--tls-listen", p.secure.String(), "--tls-cert", l.certificate.Chain, "--tls-key", l.certificate.Key)
	}
	return slices.Concat(words, longTimeouts, []string{"--keep-alive-requests", strconv.Itoa(keptRequests)}, l.extra)
}

// A proxy is a contender that runs.
type proxy struct {
	*process
	contender Contender
	address   netip.AddrPort
	secure    netip.AddrPort // where it speaks TLS; not valid: nowhere
	admin     netip.AddrPort // Culvert's only
	worker    int            // the process that does the work
	folder    string
}

// launch is what a contender is started with beside its configuration.
type launch struct {
	backend     netip.AddrPort
	cpus        []int
	loops       int          // Culvert's; 0: one
	extra       []string     // Culvert's further flags
	certificate *certificate // nil: no TLS
}

// startProxy runs a contender and waits until clients can connect to it.
func (b *Bench) startProxy(ctx context.Context, c Contender, l launch) (*proxy, error) {
	p := &proxy{contender: c}
	var err error
	if p.folder, err = os.MkdirTemp(b.folder, c.Name+"-"); err != nil {
		return nil, err
	}
	if p.address, err = b.ports.take(); err != nil {
		return nil, err
	}
	if l.certificate != nil {
		if p.secure, err = b.ports.take(); err != nil {
			return nil, err
		}
	}
	words, err := b.words(p, l)
	if err != nil {
		return nil, err
	}
	if p.process, err = b.spawner.start(c.Title, words, l.cpus, false); err != nil {
		return nil, err
	}
	b.track(p.process)
	err = p.await(ctx, func() bool { return p.listens() && p.findWorker() })
	if err != nil {
		b.stop(p.process)
		return nil, err
	}
	return p, nil
}

func (b *Bench) words(p *proxy, l launch) ([]string, error) {
	path := b.paths[p.contender.Program]
	switch p.contender.Program {
	case ProgramCulvert:
		var err error
		if p.admin, err = b.ports.take(); err != nil {
			return nil, err
		}
		return culvertWords(path, p, l), nil
	case ProgramFloor:
		return []string{path, strconv.Itoa(int(p.address.Port())), strconv.Itoa(int(l.backend.Port()))}, nil
	}
	c, err := newConfiguration(p, l)
	if err != nil {
		return nil, err
	}
	file, err := c.write(p.contender.Program)
	if err != nil {
		return nil, err
	}
	if p.contender.Program == ProgramNginx {
		return []string{path, "-p", p.folder, "-c", file, "-e", "stderr"}, nil
	}
	return []string{path, "-db", "-f", file}, nil
}

// findWorker reports whether the process that does the work is there: nginx has one beside its master.
func (p *proxy) findWorker() bool {
	if p.contender.Program != ProgramNginx {
		p.worker = p.pid()
		return true
	}
	children := childrenOf(p.pid())
	if len(children) != 1 {
		return false
	}
	p.worker = children[0]
	return true
}

// cpu returns the CPU time that the proxy has used.
func (p *proxy) cpu() (time.Duration, error) { return ProcessCPU(p.worker) }

// memory returns the proxy's memory (PSS) in bytes.
func (p *proxy) memory() (int64, error) { return ProportionalSetSize(p.worker) }

// listens reports whether clients can connect.
func (p *proxy) listens() bool {
	return accepts(p.address) && (!p.secure.IsValid() || accepts(p.secure))
}

// accepts reports whether something listens at an address.
func accepts(address netip.AddrPort) bool {
	c, err := net.DialTimeout("tcp", address.String(), time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// ports hands out ports of 127.0.0.1 that nobody listens on, below those that the kernel gives to outgoing connections.
type ports struct{ next uint16 }

const (
	firstPort = 20000
	lastPort  = 30000
)

func (p *ports) take() (netip.AddrPort, error) {
	for p.next = max(p.next, firstPort); p.next < lastPort; {
		address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), p.next)
		p.next++
		if l, err := net.Listen("tcp", address.String()); err == nil {
			_ = l.Close()
			return address, nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("no port between %d and %d is free", firstPort, lastPort)
}

// findProgram returns the path of a program that was named, or else of an installed one. Servers live in sbin, which
// is not on everyone's path.
func findProgram(program, named string) (string, error) {
	if named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("--%s: %w", program, err)
		}
		return filepath.Abs(path)
	}
	for _, name := range []string{program, "/usr/sbin/" + program, "/usr/local/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	provider := "scripts/bench-peers.sh"
	if program == ProgramCulvert {
		provider = "make build"
	}
	return "", fmt.Errorf("there is no %s: run %s, or name one with --%s", program, provider, program)
}

// versionOf asks a program for its version, in one line; the floor has none.
func versionOf(ctx context.Context, program, path string) (string, error) {
	words, ok := map[string][]string{
		ProgramCulvert: {"version"}, ProgramNginx: {"-v"}, ProgramHAProxy: {"-v"},
	}[program]
	if !ok {
		return "", nil
	}
	text, err := exec.CommandContext(ctx, path, words...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s does not tell its version: %w", path, err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	if strings.TrimSpace(first) == "" {
		return "", errors.New(path + " tells no version")
	}
	return strings.TrimSpace(first), nil
}
