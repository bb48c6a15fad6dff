package discovery

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// TestMain fails also where a goroutine outlives the tests. (Package proxytest, which knows more, imports this one.)
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" { // the fuzzing engine has goroutines of its own
		os.Exit(m.Run())
	}
	before := runtime.NumGoroutine()
	status := m.Run()
	for range 200 {
		if runtime.NumGoroutine() <= before {
			os.Exit(status)
		}
		<-time.After(10 * time.Millisecond)
	}
	fmt.Fprintf(os.Stderr, "%d goroutines outlive the tests\n", runtime.NumGoroutine()-before)
	os.Exit(max(status, 1))
}

// eventually waits until the condition holds. what completes the sentence "wants that ...".
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for range 10_000 {
		if condition() {
			return
		}
		<-time.After(time.Millisecond)
	}
	t.Fatalf("the test wants that %s, but after 10 s it is not so", what)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// reply is what a pretended server says to a question.
type reply struct {
	code      dnsmessage.RCode
	ttl       uint32
	addresses []string
	services  []service
	alias     string // of the name; what is else in the reply belongs to it
	negative  uint32 // the TTL of an SOA record; 0: there is none
	truncated bool
	mute      bool // nothing is said
	recursive bool
}

func addresses(ttl uint32, list ...string) reply { return reply{ttl: ttl, addresses: list} }

var (
	noName    = reply{code: dnsmessage.RCodeNameError}
	noRecords = reply{recursive: true}
	servFail  = reply{code: dnsmessage.RCodeServerFailure}
	mute      = reply{mute: true}
)

// zone is a pretended DNS: replies by "name type", such as "a.test. A", and how it was asked.
type zone struct {
	mu      sync.Mutex
	replies map[string]reply
	asked   map[string][]time.Duration // when, since the beginning
	log     []string                   // "network server name type", in order
	begin   time.Time
	flying  int // exchanges under way
	most    int
	hook    func(network string, server netip.AddrPort, q dnsmessage.Question) (reply, bool)
	slow    time.Duration // an exchange takes
	open    chan struct{} // closed once the scene is set
	once    sync.Once
}

func newZone() *zone {
	return &zone{replies: map[string]reply{}, asked: map[string][]time.Duration{}, begin: time.Now(), open: make(chan struct{})}
}

func (z *zone) set(question string, r reply) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.replies[question] = r
}

// answer has a hook say what questions get, where it says ok; it comes before what was set.
func (z *zone) answer(hook func(network string, server netip.AddrPort, q dnsmessage.Question) (r reply, ok bool)) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.hook = hook
}

// when returns when a question was asked, in whole seconds.
func (z *zone) when(question string) (seconds []int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, at := range z.asked[question] {
		seconds = append(seconds, int(at.Round(time.Second)/time.Second))
	}
	return seconds
}

func (z *zone) exchange(ctx context.Context, network string, server netip.AddrPort, query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	<-z.open
	r := z.note(network, server, q)
	if z.slow > 0 {
		wait(ctx, z.slow)
	}
	z.mu.Lock()
	z.flying--
	z.mu.Unlock()
	if r.mute {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return r.message(h.ID, q), nil
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (z *zone) note(network string, server netip.AddrPort, q dnsmessage.Question) reply {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.flying++
	z.most = max(z.most, z.flying)
	question := q.Name.String() + " " + strings.TrimPrefix(q.Type.String(), "Type")
	z.asked[question] = append(z.asked[question], time.Since(z.begin))
	z.log = append(z.log, fmt.Sprintf("%s %s %s", network, server.Addr(), question))
	if z.hook != nil {
		if r, ok := z.hook(network, server, q); ok {
			return r
		}
	}
	r, ok := z.replies[question]
	if !ok {
		return noRecords
	}
	return r
}

// message spells the reply.
func (r reply) message(id uint16, q dnsmessage.Question) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, Response: true, RCode: r.code, Truncated: r.truncated, RecursionAvailable: r.recursive})
	b.EnableCompression()
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	check(b.StartQuestions())
	check(b.Question(q))
	check(b.StartAnswers())
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: r.ttl}
	if r.alias != "" {
		alias := dnsmessage.MustNewName(r.alias)
		check(b.CNAMEResource(h, dnsmessage.CNAMEResource{CNAME: alias}))
		h.Name = alias
	}
	for _, text := range r.addresses {
		if a := netip.MustParseAddr(text); a.Is4() {
			check(b.AResource(h, dnsmessage.AResource{A: a.As4()}))
		} else {
			check(b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: a.As16()}))
		}
	}
	for _, s := range r.services {
		check(b.SRVResource(h, dnsmessage.SRVResource{Priority: s.priority, Weight: s.weight, Port: s.port, Target: dnsmessage.MustNewName(s.target)}))
	}
	check(b.StartAuthorities())
	if r.negative > 0 {
		root := dnsmessage.MustNewName(".")
		check(b.SOAResource(dnsmessage.ResourceHeader{Name: root, Class: dnsmessage.ClassINET, TTL: 3600}, dnsmessage.SOAResource{NS: root, MBox: root, MinTTL: r.negative}))
	}
	message, err := b.Finish()
	check(err)
	return message
}

// scene is a watcher in virtual time, and what it tells.
type scene struct {
	t       *testing.T
	zone    *zone
	watcher *Watcher
	dir     string

	mu      sync.Mutex
	updates []Update
	times   []time.Duration
}

// play runs a scene in virtual time. options may be nil; dir is for files.
func play(t *testing.T, sources []Source, options func(*Options, string), script func(*scene)) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "resolv.conf"), "nameserver 192.0.2.53\noptions timeout:1 attempts:2\n")
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, zone: newZone(), dir: dir}
		o := Options{
			Clock: func() int64 { return int64(1e15) + int64(time.Since(s.zone.begin)) }, Notify: s.notify, Exchange: s.zone.exchange,
			ResolvConf: filepath.Join(dir, "resolv.conf"), Hosts: filepath.Join(dir, "hosts"),
		}
		if options != nil {
			options(&o, dir)
		}
		w, err := Start(o, sources)
		must(t, err)
		defer w.Stop()
		s.watcher = w
		script(s)
	})
}

func (s *scene) notify(u Update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updates = append(s.updates, u)
	s.times = append(s.times, time.Since(s.zone.begin))
}

// after lets time pass, and then waits until nothing moves. At first it opens the zone.
func (s *scene) after(seconds float64) *scene {
	s.zone.once.Do(func() { close(s.zone.open) })
	wait(context.Background(), time.Duration(seconds*float64(time.Second)))
	synctest.Wait()
	return s
}

// want looks at what was told last: its endpoints, as "address weight/priority", and a part of its warning.
func (s *scene) want(warning string, endpoints ...string) *scene {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.updates) == 0 {
		s.t.Fatal("nothing was told")
	}
	u := s.updates[len(s.updates)-1]
	if got := spell(u.Set); !slices.Equal(got, endpoints) || !strings.Contains(u.Warning, warning) || (u.Warning == "") != (warning == "") {
		s.t.Errorf("after %v it says %v %q; want %v %q", time.Since(s.zone.begin), got, u.Warning, endpoints, warning)
	}
	if len(u.Set) > 0 && !u.Known {
		s.t.Error("there are endpoints, and it is said that nothing is known")
	}
	return s
}

// told returns how many updates there were, and forgets them but for the last.
func (s *scene) told() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.updates)
	s.updates = s.updates[max(n-1, 0):]
	return n
}

func (s *scene) wantKnown(known bool) *scene {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.updates[len(s.updates)-1]; u.Known != known {
		s.t.Errorf("after %v: known %v, %q", time.Since(s.zone.begin), u.Known, u.Warning)
	}
	return s
}

func spell(set Set) (endpoints []string) {
	for _, e := range set {
		endpoints = append(endpoints, fmt.Sprintf("%s %d/%d", e.Address, e.Weight, e.Priority))
	}
	return endpoints
}

func write(t testing.TB, name, text string) {
	t.Helper()
	must(t, os.WriteFile(name, []byte(text), 0o600))
}

// name80 is a source of addresses, port 80, weight 1.
func name80(name string) []Source {
	return []Source{{Kind: Addresses, Name: name, Port: 80, Weight: 1}}
}
