package discovery

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func TestTTLsAreHonouredWithinBounds(t *testing.T) {
	for _, c := range []struct {
		ttl            uint32
		floor, ceiling time.Duration
		period         int
	}{
		{20, 0, 0, 20}, {0, 0, 0, 5}, {4, 0, 0, 5}, {1, time.Second, 0, 1}, {86400, 0, 0, 300}, {1 << 31, 0, 0, 5}, {300, 0, time.Minute, 60},
	} {
		play(t, name80("app.test"), func(o *Options, _ string) { o.Floor, o.Ceiling = c.floor, c.ceiling }, func(s *scene) {
			s.zone.set("app.test. A", addresses(c.ttl, "10.0.0.1"))
			s.zone.set("app.test. AAAA", addresses(c.ttl, "2001:db8::1"))
			s.after(float64(3*c.period)+0.5).want("", "10.0.0.1:80 1/0", "[2001:db8::1]:80 1/0")
			if got, want := s.zone.when("app.test. A"), []int{0, c.period, 2 * c.period, 3 * c.period}; !slices.Equal(got, want) {
				t.Errorf("TTL %d: asked at %v s, want %v", c.ttl, got, want)
			}
			if n := s.told(); n != 1 {
				t.Errorf("told %d times of what does not change", n)
			}
		})
	}
}

func TestAddressesComeAndGo(t *testing.T) {
	play(t, name80("app.test"), nil, func(s *scene) {
		s.zone.set("app.test. A", addresses(10, "10.0.0.2", "10.0.0.1", "10.0.0.2"))
		s.after(1).want("", "10.0.0.1:80 1/0", "10.0.0.2:80 1/0")
		s.zone.set("app.test. A", addresses(10, "10.0.0.2", "10.0.0.3"))
		s.after(30).want("", "10.0.0.2:80 1/0", "10.0.0.3:80 1/0")
	})
}

// TestAFamilyThatThereIsNotIsNotAskedForMoreOften than the one that there is.
func TestAFamilyThatThereIsNotIsNotAskedForMoreOften(t *testing.T) {
	play(t, name80("app.test"), nil, func(s *scene) {
		s.zone.set("app.test. A", addresses(100, "10.0.0.1"))
		s.zone.set("app.test. AAAA", reply{negative: 6, recursive: true})
		s.after(250).want("", "10.0.0.1:80 1/0")
		if got := s.zone.when("app.test. AAAA"); !slices.Equal(got, []int{0, 100, 200}) {
			t.Errorf("asked at %v s", got)
		}
	})
}

func TestAFailureKeepsTheLastAnswer(t *testing.T) {
	for name, failure := range map[string]struct {
		reply   reply
		warning string
	}{
		"SERVFAIL":  {servFail, "app.test: SERVFAIL, says 192.0.2.53:53; what was known stays"},
		"REFUSED":   {reply{code: dnsmessage.RCodeRefused}, "app.test: REFUSED, says 192.0.2.53:53; what was known stays"},
		"a strange": {reply{code: 9}, "response code 9"},
		"mute":      {mute, "app.test: 192.0.2.53:53 does not answer; what was known stays"},
		"lame":      {reply{}, "knows nothing of the name and asks nobody, says 192.0.2.53:53"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, name80("app.test"), nil, func(s *scene) {
				s.zone.set("app.test. A", addresses(5, "10.0.0.1"))
				s.after(32).want("", "10.0.0.1:80 1/0")
				s.zone.set("app.test. A", failure.reply)
				s.zone.set("app.test. AAAA", failure.reply)
				s.after(3600).want(failure.warning, "10.0.0.1:80 1/0").wantKnown(true)
				if n := s.told(); n != 2 {
					t.Errorf("told %d times, want once more", n)
				}
				s.zone.set("app.test. A", addresses(5, "10.0.0.7"))
				s.zone.set("app.test. AAAA", noRecords)
				s.after(40).want("", "10.0.0.7:80 1/0")
			})
		})
	}
}

func TestFailuresAreRepeatedEverMoreSeldom(t *testing.T) {
	play(t, name80("app.test"), nil, func(s *scene) {
		s.zone.set("app.test. A", mute)
		s.after(600).want("does not answer").wantKnown(false)
		asked := s.zone.asked["app.test. A"]
		var gaps []time.Duration
		for i := 2; i < len(asked); i += 2 { // each time twice, a second apart
			gaps = append(gaps, asked[i]-asked[i-1]-time.Second)
		}
		for i, gap := range gaps {
			want := min(time.Second<<i, 30*time.Second)
			if gap < want*9/10 || gap > want*11/10 {
				t.Errorf("pause %d is %v, want about %v", i+1, gap, want)
			}
		}
		if len(s.zone.when("app.test. AAAA")) != 0 {
			t.Error("a server that does not answer is asked for the other family too")
		}
	})
}

func TestThatThereIsNothingIsNotBelievedAtOnce(t *testing.T) {
	for name, nothing := range map[string]reply{"NXDOMAIN": noName, "an empty answer": noRecords, "with a TTL": {code: dnsmessage.RCodeNameError, negative: 600}} {
		t.Run(name, func(t *testing.T) {
			play(t, name80("app.test"), nil, func(s *scene) {
				s.zone.set("app.test. A", addresses(5, "10.0.0.1"))
				s.after(32.5).want("", "10.0.0.1:80 1/0")
				s.zone.set("app.test. A", nothing)
				s.zone.set("app.test. AAAA", nothing)
				s.after(32).want("what was known stays", "10.0.0.1:80 1/0") // first told 2.5 s later
				s.after(4).want("").wantKnown(true)
				s.zone.set("app.test. A", addresses(5, "10.0.0.2")) // and an answer is
				s.after(400).want("", "10.0.0.2:80 1/0")
			})
		})
	}
}

// TestNothingAtAllConfirmsNothing: NXDOMAIN, SERVFAIL, NXDOMAIN, SERVFAIL, ... is a resolver in trouble.
func TestNothingAtAllConfirmsNothing(t *testing.T) {
	play(t, name80("app.test"), nil, func(s *scene) {
		s.zone.set("app.test. A", addresses(5, "10.0.0.1"))
		s.after(32)
		lookups, last := 0, time.Duration(-1)
		s.zone.answer(func(_ string, _ netip.AddrPort, q dnsmessage.Question) (reply, bool) {
			if now := time.Since(s.zone.begin); q.Type == dnsmessage.TypeA && now != last { // a failure is asked for twice at once
				lookups, last = lookups+1, now
			}
			return []reply{noName, servFail}[lookups%2], q.Type == dnsmessage.TypeA
		})
		s.after(3600).want("what was known stays", "10.0.0.1:80 1/0")
	})
}

func TestConfirmationsCanBeSet(t *testing.T) {
	play(t, name80("app.test"), func(o *Options, _ string) { o.Confirmations, o.ConfirmOver = -1, -1 }, func(s *scene) {
		s.zone.set("app.test. A", noName)
		s.after(0.5).want("").wantKnown(true)
	})
	play(t, name80("app.test"), func(o *Options, _ string) { o.Confirmations, o.ConfirmOver = 5, 100*time.Second }, func(s *scene) {
		s.zone.set("app.test. A", noName)
		s.after(99).want("the name does not exist").wantKnown(false)
		s.after(2).want("").wantKnown(true)
		if got := s.zone.when("app.test. A"); !slices.Equal(got, []int{0, 25, 50, 75, 100}) {
			t.Errorf("asked at %v s", got)
		}
	})
}

func TestServices(t *testing.T) {
	play(t, []Source{{Kind: Services, Name: "_ws._tcp.app.test"}}, nil, func(s *scene) {
		s.zone.set("_ws._tcp.app.test. SRV", reply{ttl: 60, services: []service{
			{"a.app.test.", 8080, 10, 5}, {"B.app.test.", 8081, 10, 0}, {"b.app.test.", 8082, 20, 50_000}, {"c.app.test.", 8083, 20, 200},
			{"gone.app.test.", 1, 10, 1},
		}})
		s.zone.set("a.app.test. A", addresses(10, "10.0.0.1"))
		s.zone.set("b.app.test. A", addresses(10, "10.0.0.2"))
		s.zone.set("b.app.test. AAAA", addresses(10, "2001:db8::2"))
		s.zone.set("c.app.test. A", addresses(10, "10.0.0.3"))
		s.after(1).want("gone.app.test.: the name has no such records",
			"10.0.0.1:8080 5/10", "10.0.0.2:8081 1/10", "10.0.0.2:8082 100/20", "10.0.0.3:8083 1/20",
			"[2001:db8::2]:8081 1/10", "[2001:db8::2]:8082 100/20")
		s.zone.set("a.app.test. A", addresses(10, "10.0.0.9"))
		s.after(31).want("", "10.0.0.2:8081 1/10", "10.0.0.2:8082 100/20", "10.0.0.3:8083 1/20", "10.0.0.9:8080 5/10",
			"[2001:db8::2]:8081 1/10", "[2001:db8::2]:8082 100/20")
	})
}

func TestServicesThatLeave(t *testing.T) {
	play(t, []Source{{Kind: Services, Name: "_ws._tcp.app.test"}}, nil, func(s *scene) {
		both := reply{ttl: 5, services: []service{{"a.test.", 1, 0, 1}, {"b.test.", 2, 0, 1}}}
		s.zone.set("_ws._tcp.app.test. SRV", both)
		s.zone.set("a.test. A", addresses(300, "10.0.0.1"))
		s.zone.set("b.test. A", addresses(300, "10.0.0.2"))
		s.after(40).want("", "10.0.0.1:1 1/0", "10.0.0.2:2 1/0")
		s.zone.set("_ws._tcp.app.test. SRV", servFail)
		s.after(60).want("_ws._tcp.app.test: SERVFAIL", "10.0.0.1:1 1/0", "10.0.0.2:2 1/0")
		s.zone.set("_ws._tcp.app.test. SRV", reply{ttl: 5, services: both.services[1:]})
		s.after(40).want("", "10.0.0.2:2 1/0")
		asked := len(s.zone.when("a.test. A"))
		s.zone.set("_ws._tcp.app.test. SRV", reply{ttl: 5, services: []service{{".", 0, 0, 0}}}) // RFC 2782: decidedly not
		s.after(20).want("what was known stays", "10.0.0.2:2 1/0")
		s.after(400).want("").wantKnown(true)
		if n := len(s.zone.when("a.test. A")); n != asked {
			t.Errorf("a target that is gone was asked for %d times more", n-asked)
		}
	})
}

func TestADeadResolverIsAskedForOneTargetOnly(t *testing.T) {
	play(t, []Source{{Kind: Services, Name: "_ws._tcp.app.test"}}, nil, func(s *scene) {
		var all []service
		for i := range 100 {
			target := fmt.Sprintf("t%d.test.", i)
			all = append(all, service{target, 1, 0, 1})
			s.zone.set(target+" A", addresses(5, fmt.Sprintf("10.0.0.%d", i)))
		}
		s.zone.set("_ws._tcp.app.test. SRV", reply{ttl: 300, services: all})
		s.after(31)
		before := len(s.zone.log)
		s.zone.answer(func(string, netip.AddrPort, dnsmessage.Question) (reply, bool) { return mute, true })
		s.after(60)
		if u := s.updates[len(s.updates)-1]; len(u.Set) != 100 || !strings.Contains(u.Warning, "does not answer") {
			t.Errorf("%d endpoints, %q", len(u.Set), u.Warning)
		}
		if n := len(s.zone.log) - before; n > 200 {
			t.Errorf("a dead server was asked %d questions in a minute", n)
		}
	})
}

func TestNamesAndTheSearchList(t *testing.T) {
	for _, c := range []struct {
		name string
		has  string
		log  []string
	}{
		{"app", "app.corp.test.", []string{"app.corp.test. A", "app.corp.test. AAAA"}},
		{"App", "app.test.", []string{"app.corp.test. A", "app.corp.test. AAAA", "app.test. A", "app.test. AAAA"}},
		{"app", "app.", []string{"app.corp.test. A", "app.corp.test. AAAA", "app.test. A", "app.test. AAAA", "app. A", "app. AAAA"}},
		{"app.svc", "app.svc.", []string{"app.svc. A", "app.svc. AAAA"}},
		{"app.svc", "app.svc.corp.test.", []string{"app.svc. A", "app.svc. AAAA", "app.svc.corp.test. A", "app.svc.corp.test. AAAA"}},
		{"app.", "app.", []string{"app. A", "app. AAAA"}},
	} {
		play(t, name80(c.name), func(_ *Options, dir string) {
			write(t, filepath.Join(dir, "resolv.conf"), "search corp.test test.\nnameserver ::1\n")
		}, func(s *scene) {
			s.zone.set(c.has+" A", addresses(60, "10.0.0.1"))
			s.after(1).want("", "10.0.0.1:80 1/0")
			for i := range s.zone.log {
				s.zone.log[i] = strings.TrimPrefix(s.zone.log[i], "udp ::1 ")
			}
			if !slices.Equal(s.zone.log, c.log) {
				t.Errorf("%s: asked %v, want %v", c.name, s.zone.log, c.log)
			}
		})
	}
}

// TestANameIsNotLookedForElsewhereAfterAFailure: the same name in another domain is another host.
func TestANameIsNotLookedForElsewhereAfterAFailure(t *testing.T) {
	play(t, name80("app"), func(_ *Options, dir string) {
		write(t, filepath.Join(dir, "resolv.conf"), "search corp.test test\nnameserver 192.0.2.53\n")
	}, func(s *scene) {
		s.zone.set("app.corp.test. A", servFail)
		s.zone.set("app.test. A", addresses(60, "6.6.6.6"))
		s.after(10).want("app: SERVFAIL").wantKnown(false)
	})
}

func TestHostsAndLiteralsNeedNoServer(t *testing.T) {
	sources := []Source{
		{Addresses, "10.1.2.3", 80, 7}, {Addresses, "::ffff:10.1.2.4", 81, 1}, {Addresses, "Local", 82, 1}, {Addresses, "local.", 83, 1},
	}
	play(t, sources, func(_ *Options, dir string) {
		write(t, filepath.Join(dir, "hosts"), "# what\n127.0.0.1 localhost\n10.9.0.1\tlocal alias # and\n::9 LOCAL\nnonsense local\n10.9.0.1 local\n")
	}, func(s *scene) {
		s.after(1)
		want := map[string][]string{
			"10.1.2.3": {"10.1.2.3:80 7/0"}, "::ffff:10.1.2.4": {"10.1.2.4:81 1/0"},
			"Local": {"10.9.0.1:82 1/0", "[::9]:82 1/0"}, "local.": {"10.9.0.1:83 1/0", "[::9]:83 1/0"},
		}
		if len(s.updates) != len(want) {
			t.Fatalf("told %d times", len(s.updates))
		}
		for _, u := range s.updates {
			if !slices.Equal(spell(u.Set), want[u.Source.Name]) || !u.Known || u.Warning != "" {
				t.Errorf("%s: %v", u.Source.Name, u)
			}
		}
		must(t, os.Remove(filepath.Join(s.dir, "hosts")))
		s.zone.set("local. A", servFail)
		write(t, filepath.Join(s.dir, "hosts"), "10.9.0.22 local\n")
		s.after(10)
		if u := s.updates[len(s.updates)-1]; !strings.HasPrefix(spell(u.Set)[0], "10.9.0.22:8") || len(u.Set) != 1 {
			t.Errorf("%v", u)
		}
		if len(s.zone.log) != 0 {
			t.Errorf("asked %v", s.zone.log)
		}
	})
}

func TestServersAreThoseOfResolvConfAsItIsNow(t *testing.T) {
	play(t, name80("app.test"), nil, func(s *scene) {
		s.zone.answer(func(_ string, server netip.AddrPort, q dnsmessage.Question) (reply, bool) {
			if q.Type != dnsmessage.TypeA {
				return reply{}, false
			}
			return addresses(5, server.Addr().String()), true
		})
		s.after(1).want("", "192.0.2.53:80 1/0")
		write(t, filepath.Join(s.dir, "resolv.conf"), "nameserver 192.0.2.99\n")
		s.after(5).want("", "192.0.2.99:80 1/0")
	})
	play(t, name80("app.test"), func(o *Options, _ string) { o.Servers = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:5353")} }, func(s *scene) {
		s.zone.set("app.test. A", servFail)
		s.after(1).want("SERVFAIL, says 192.0.2.1:5353")
	})
}

func TestTheNextServerIsAskedWhereOneIsOfNoHelp(t *testing.T) {
	for name, first := range map[string]reply{"mute": mute, "SERVFAIL": servFail, "lame": {}, "truncated by TCP too": {truncated: true}} {
		play(t, name80("app.test"), func(_ *Options, dir string) {
			write(t, filepath.Join(dir, "resolv.conf"), "nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions timeout:1\n")
		}, func(s *scene) {
			s.zone.answer(func(_ string, server netip.AddrPort, _ dnsmessage.Question) (reply, bool) {
				return first, server.Addr().String() == "192.0.2.1"
			})
			s.zone.set("app.test. A", addresses(60, "10.0.0.1"))
			s.after(3).want("", "10.0.0.1:80 1/0")
			if t.Failed() {
				t.Log(name)
			}
		})
	}
}

func TestTruncatedAnswersAreAskedForByTCP(t *testing.T) {
	play(t, name80("app.test"), nil, func(s *scene) {
		s.zone.answer(func(network string, _ netip.AddrPort, q dnsmessage.Question) (reply, bool) {
			return reply{truncated: true}, network == "udp" && q.Type == dnsmessage.TypeA
		})
		s.zone.set("app.test. A", addresses(60, "10.0.0.1"))
		s.after(1).want("", "10.0.0.1:80 1/0")
		if want := []string{"udp 192.0.2.53 app.test. A", "tcp 192.0.2.53 app.test. A", "udp 192.0.2.53 app.test. AAAA"}; !slices.Equal(s.zone.log, want) {
			t.Errorf("%v", s.zone.log)
		}
	})
}

func TestAServerThatDoesNotKnowEDNSIsAskedWithoutIt(t *testing.T) {
	play(t, name80("app.test"), nil, func(s *scene) {
		n := 0
		s.zone.answer(func(_ string, _ netip.AddrPort, q dnsmessage.Question) (reply, bool) {
			n++
			return reply{code: dnsmessage.RCodeFormatError}, n%2 == 1
		})
		s.zone.set("app.test. A", addresses(60, "10.0.0.1"))
		s.after(1).want("", "10.0.0.1:80 1/0")
	})
}

func TestAliases(t *testing.T) {
	play(t, name80("www.test"), nil, func(s *scene) {
		s.zone.set("www.test. A", reply{ttl: 30, alias: "real.test.", addresses: []string{"10.0.0.1"}})
		s.after(61).want("", "10.0.0.1:80 1/0")
		if got := s.zone.when("www.test. A"); !slices.Equal(got, []int{0, 30, 60}) {
			t.Errorf("asked at %v s", got)
		}
	})
}

func TestTenThousandNamesNeedFewGoroutines(t *testing.T) {
	var sources []Source
	for i := range 10_000 {
		sources = append(sources, name80(fmt.Sprintf("n%d.test", i))...)
	}
	before := runtime.NumGoroutine()
	play(t, sources, func(o *Options, _ string) { o.Workers = 4 }, func(s *scene) {
		s.zone.slow = time.Millisecond
		s.zone.answer(func(_ string, _ netip.AddrPort, q dnsmessage.Question) (reply, bool) {
			return addresses(60, "10.0.0.1"), q.Type == dnsmessage.TypeA
		})
		s.after(1)
		if n := runtime.NumGoroutine() - before; n > 8 {
			t.Errorf("%d goroutines more than before", n)
		}
		s.after(9)
		if len(s.updates) != len(sources) || s.zone.most != 4 {
			t.Errorf("%d of %d were told, %d asked at a time", len(s.updates), len(sources), s.zone.most)
		}
	})
}

func TestStopGivesUpWhatIsBeingAsked(t *testing.T) {
	play(t, name80("app.test"), func(_ *Options, dir string) {
		write(t, filepath.Join(dir, "resolv.conf"), "nameserver 192.0.2.1\n")
	}, func(s *scene) {
		s.zone.set("app.test. A", mute)
		s.after(1)
		s.watcher.Stop()
		if took := time.Since(s.zone.begin); took > 1100*time.Millisecond || len(s.updates) != 0 {
			t.Errorf("it took until %v, and %v was told", took, s.updates)
		}
		must(t, s.watcher.Replace(nil)) // waits for nobody
	})
}

func TestReplace(t *testing.T) {
	both := append(name80("a.test"), name80("b.test")...)
	play(t, both, nil, func(s *scene) {
		for _, n := range []string{"a", "b", "c"} {
			s.zone.set(n+".test. A", addresses(300, "10.0.0.1"))
		}
		s.after(40)
		if s.told() != 2 {
			t.Error("not both were told")
		}
		must(t, s.watcher.Replace(append(append(name80("b.test"), name80("c.test")...), name80("c.test")...)))
		s.after(400)
		if u := s.updates; len(u) != 2 || u[1].Source.Name != "c.test" {
			t.Errorf("%v", u)
		}
		if a, b := s.zone.when("a.test. A"), s.zone.when("b.test. A"); !slices.Equal(a, []int{0}) || !slices.Equal(b, []int{0, 300}) {
			t.Errorf("asked for what is gone at %v, and for what stays at %v", a, b)
		}
		if s.watcher.Replace([]Source{{Kind: Addresses, Name: "a b", Port: 1}}) == nil {
			t.Error("a name with a blank is accepted")
		}
	})
}

func TestWhatCannotBeWatchedIsRefused(t *testing.T) {
	clock, notify := func() int64 { return 0 }, func(Update) {}
	for name, c := range map[string]struct {
		o Options
		s Source
	}{
		"no clock":           {Options{Notify: notify}, name80("a")[0]},
		"floor":              {Options{Clock: clock, Notify: notify, Floor: time.Millisecond}, name80("a")[0]},
		"ceiling":            {Options{Clock: clock, Notify: notify, Floor: time.Minute, Ceiling: time.Second}, name80("a")[0]},
		"confirmations":      {Options{Clock: clock, Notify: notify, Confirmations: 101}, name80("a")[0]},
		"confirmed for long": {Options{Clock: clock, Notify: notify, ConfirmOver: 2 * time.Hour}, name80("a")[0]},
		"workers":            {Options{Clock: clock, Notify: notify, Workers: 65}, name80("a")[0]},
		"kind":               {Options{Clock: clock, Notify: notify}, Source{Kind: 3}},
		"no file":            {Options{Clock: clock, Notify: notify}, Source{Kind: File}},
		"no port":            {Options{Clock: clock, Notify: notify}, Source{Name: "a"}},
		"weight":             {Options{Clock: clock, Notify: notify}, Source{Name: "a", Port: 1, Weight: 101}},
		"no name":            {Options{Clock: clock, Notify: notify}, Source{Port: 1}},
		"long name":          {Options{Clock: clock, Notify: notify}, Source{Name: strings.Repeat("a.", 130), Port: 1}},
		"long label":         {Options{Clock: clock, Notify: notify}, Source{Name: strings.Repeat("a", 64), Port: 1}},
		"services":           {Options{Clock: clock, Notify: notify}, Source{Kind: Services, Name: "10.0.0.1"}},
	} {
		if w, err := Start(c.o, []Source{c.s}); err == nil {
			t.Errorf("%s: accepted", name)
			w.Stop()
		}
	}
}
