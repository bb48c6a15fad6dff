package peers

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// leastProcessors is GOMAXPROCS while a bench is open: two fleets may be busy at once, whose loops keep a processor
// each, and other goroutines need some too. The loops of idle fleets are parked.
const leastProcessors = 4

// Options are what a bench is opened with.
type Options struct {
	Self       string            // this program: it has the subcommands backend and hold
	Paths      map[string]string // of programs, by name; else they are searched for
	Rounds     int
	Rows       *regexp.Regexp // only rows whose name matches; nil: all
	Contenders *regexp.Regexp // only those whose name matches; nil: all
	Curves     bool           // measure the rows of the curves, of Culvert alone
	Measured   time.Duration  // the length of each measured part; 0: each row has its own
	Unpinned   bool           // let the kernel place all processes on its own
	Date       string         // for the results
	Progress   io.Writer      // nil: none
	Terminal   bool           // Progress is one: its line is overwritten
}

// A Bench runs contenders and what they need. It is used by one goroutine; Close ends all that it has started.
type Bench struct {
	options    Options
	spawner    *spawner
	ports      ports
	folder     string
	paths      map[string]string
	contenders []Contender
	cpus       []int // those of this process before anything was placed
	backends   map[string]*backend
	proxies    map[proxyKey]*proxy
	children   []*process // all that run
	processors int        // GOMAXPROCS before

	certificates map[keyKind]*certificate
}

// proxyKey names a running proxy: there is one for each kind of certificate.
type proxyKey struct {
	contender string
	key       keyKind
}

// backend is an echo server in a process of its own.
type backend struct {
	*process
	address netip.AddrPort
}

// Open checks that all programs are there and places this process on its CPU.
func Open(o Options) (*Bench, error) {
	b := &Bench{
		options: o, paths: map[string]string{}, backends: map[string]*backend{}, proxies: map[proxyKey]*proxy{},
		certificates: map[keyKind]*certificate{},
	}
	for _, c := range Contenders() {
		if o.Contenders != nil && !o.Contenders.MatchString(c.Name) {
			continue
		}
		b.contenders = append(b.contenders, c)
		path, err := findProgram(c.Program, o.Paths[c.Program])
		if err != nil {
			return nil, err
		}
		b.paths[c.Program] = path
	}
	if len(b.contenders) == 0 {
		return nil, fmt.Errorf("no contender's name matches %s", o.Contenders)
	}
	if len(b.works()) == 0 {
		return nil, fmt.Errorf("no row's name matches %s", o.Rows)
	}
	if err := b.checkDescriptors(); err != nil {
		return nil, err
	}
	var err error
	if b.cpus, err = allowedCPUs(); err != nil {
		return nil, err
	}
	if b.folder, err = os.MkdirTemp("", "culvert-bench-"); err != nil {
		return nil, err
	}
	// nginx's worker gives up root's rights, and must still reach its files.
	if err := os.Chmod(b.folder, 0o755); err != nil {
		return nil, err
	}
	b.processors = runtime.GOMAXPROCS(max(leastProcessors, runtime.GOMAXPROCS(0)))
	b.spawner = newSpawner()
	if err := setAffinity(os.Getpid(), b.loadCPUs()); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// checkDescriptors: a proxy has two descriptors per tunnel, and every process its own limit.
func (b *Bench) checkDescriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	for _, w := range b.works() {
		if need := uint64(2*w.tunnels + spareDescriptors); need > limit.Max {
			return fmt.Errorf("row %s needs %d descriptors per process and %d are allowed: raise the hard limit (ulimit -Hn) or leave it out with --rows",
				w.rows[0].Name, need, limit.Max)
		}
	}
	return nil
}

// Close ends every process that was started and removes their files.
func (b *Bench) Close() {
	for _, p := range slices.Backward(b.children) {
		p.stop()
	}
	b.children = nil
	if b.spawner != nil {
		b.spawner.close()
	}
	_ = setAffinity(os.Getpid(), b.cpus)
	runtime.GOMAXPROCS(b.processors)
	_ = os.RemoveAll(b.folder)
}

func (b *Bench) track(p *process) { b.children = append(b.children, p) }

func (b *Bench) stop(p *process) {
	b.children = slices.DeleteFunc(b.children, func(other *process) bool { return other == p })
	p.stop()
}

// proxyCPUs are where contenders run; nil: anywhere.
func (b *Bench) proxyCPUs() []int {
	if b.options.Unpinned || len(b.cpus) < 2 {
		return nil
	}
	return b.cpus[:1]
}

// loadCPUs are where the generator and the backends run.
func (b *Bench) loadCPUs() []int {
	if b.options.Unpinned || len(b.cpus) < 2 {
		return b.cpus
	}
	return b.cpus[1:2]
}

// backend returns the echo server of a contender, started when it is asked for first. Each contender has its own, so
// that the ports of its tunnels' connections are not those of another's.
func (b *Bench) backend(ctx context.Context, contender string) (*backend, error) {
	if running := b.backends[contender]; running != nil {
		return running, running.running()
	}
	address, err := b.ports.take()
	if err != nil {
		return nil, err
	}
	p, err := b.spawner.start("the echo backend", []string{b.options.Self, "backend", "--listen", address.String()}, b.loadCPUs(), false)
	if err != nil {
		return nil, err
	}
	b.track(p)
	if err := p.await(ctx, func() bool { return accepts(address) }); err != nil {
		return nil, err
	}
	b.backends[contender] = &backend{p, address}
	return b.backends[contender], nil
}

// proxy returns the running process of a contender, started when it is asked for first: with an HTTPS listener beside
// the plain one where there is a kind of certificate.
func (b *Bench) proxy(ctx context.Context, c Contender, key keyKind) (*proxy, error) {
	if running := b.proxies[proxyKey{c.Name, key}]; running != nil {
		return running, running.running()
	}
	p, err := b.freshProxy(ctx, c, key)
	if err == nil {
		b.proxies[proxyKey{c.Name, key}] = p
	}
	return p, err
}

// freshProxy starts one more process of a contender.
func (b *Bench) freshProxy(ctx context.Context, c Contender, key keyKind) (*proxy, error) {
	server, err := b.backend(ctx, c.Name)
	if err != nil {
		return nil, err
	}
	l := launch{backend: server.address, cpus: b.proxyCPUs()}
	if key != noKey {
		if l.certificate, err = b.certificate(key); err != nil {
			return nil, err
		}
	}
	return b.startProxy(ctx, c, l)
}

// programs returns the versions of all that is compared.
func (b *Bench) programs(ctx context.Context) ([]Program, error) {
	var list []Program
	for _, c := range b.contenders {
		known := func(p Program) bool { return p.Name == c.Program }
		if slices.ContainsFunc(list, known) {
			continue
		}
		version, err := versionOf(ctx, c.Program, b.paths[c.Program])
		if err != nil {
			return nil, err
		}
		if version != "" {
			list = append(list, Program{c.Program, version})
		}
	}
	return list, nil
}
