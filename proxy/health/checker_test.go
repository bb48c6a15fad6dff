package health

import (
	"slices"
	"testing"
)

const start = int64(7e15) // some value of the monotonic clock

func always(takes int64, reason string) func(int64) (int64, string) {
	return func(int64) (int64, string) { return takes, reason }
}

func TestTheFirstResultCountsAtOnce(t *testing.T) {
	s := DefaultSettings()
	for reason, want := range map[string]State{"": Up, "refused": Down} {
		var c Checker
		c.Init(&s, 1, start)
		if c.State() != Unknown || c.Since() != start || c.Reason() != "" {
			t.Fatalf("it begins as %s since %d: %q", c.State(), c.Since(), c.Reason())
		}
		if !checkNow(&c, start+5, reason) || c.State() != want || c.Since() != start+5 || c.Reason() != reason {
			t.Errorf("after a first %q: %s since %d: %q", reason, c.State(), c.Since()-start, c.Reason())
		}
	}
}

func TestThresholds(t *testing.T) {
	for healthy := MinThreshold; healthy <= MaxThreshold; healthy++ {
		for unhealthy := MinThreshold; unhealthy <= MaxThreshold; unhealthy++ {
			s := DefaultSettings()
			s.Healthy, s.Unhealthy = healthy, unhealthy
			must(t, s.Validate())
			var c Checker
			c.Init(&s, 1, start)
			checkNow(&c, start, "")
			for _, step := range []struct {
				reason  string
				count   int
				changed bool
			}{
				{"status", unhealthy - 1, false}, {"", 1, false}, // one good result makes up for all bad ones
				{"status", unhealthy - 1, false}, {"status", 1, true}, // down
				{"", healthy - 1, false}, {"status", 1, false},
				{"", healthy - 1, false}, {"", 1, true}, // up
				{"status", unhealthy - 1, false}, {"status", 1, true}, // and down
			} {
				for range step.count {
					before := c.State()
					if changed := checkNow(&c, start, step.reason); changed != step.changed || changed == (before == c.State()) {
						t.Fatalf("thresholds %d and %d: after %q in state %s: changed %v, now %s",
							healthy, unhealthy, step.reason, before, changed, c.State())
					}
				}
			}
		}
	}
}

// TestABackendThatFailsIsDownWithinThreeIntervals shows what an operator sees, in virtual time.
func TestABackendThatFailsIsDownWithinThreeIntervals(t *testing.T) {
	s := DefaultSettings()
	broken, mended := start+60*second, start+120*second
	for seed := range uint64(200) {
		r := rehearsal{t: t, answer: func(at int64) (int64, string) {
			if at >= broken && at < mended {
				return millisecond, "refused"
			}
			return millisecond, ""
		}}
		r.checker.Init(&s, seed, start)
		changes := r.run(&s, start+180*second)
		if len(changes) != 3 {
			t.Fatalf("seed %d: %d changes", seed, len(changes))
		}
		first, down, up := changes[0]-start, changes[1]-broken, changes[2]-mended
		if first > s.Interval+millisecond {
			t.Errorf("seed %d: the first result came after %d ms", seed, first/millisecond)
		}
		for what, took := range map[string]int64{"down": down, "up": up} {
			if took < 2*s.Interval*9/10 || took > 3*s.Interval*11/10+millisecond {
				t.Errorf("seed %d: %s after %d ms", seed, what, took/millisecond)
			}
		}
	}
}

func TestAHangingBackendIsDownAfterOneTimeoutAndUpOnlyAfterThreeAnswers(t *testing.T) {
	s := DefaultSettings()
	r := rehearsal{t: t, answer: always(Never, "")}
	r.checker.Init(&s, 3, start)
	changes := r.run(&s, start+60*second)
	if len(changes) != 1 || r.checker.State() != Down || r.checker.Reason() != ReasonTimeout {
		t.Fatalf("%d changes, %s, %s", len(changes), r.checker.State(), r.checker.Reason())
	}
	for i := 1; i < len(r.begun); i++ {
		if gap := r.begun[i] - r.begun[i-1]; gap != s.Timeout {
			t.Fatalf("a check began %d ms after the one before, which took %d ms", gap/millisecond, s.Timeout/millisecond)
		}
	}
	r.answer = always(0, "")
	r.begun = nil
	if changes := r.run(&s, start+90*second); len(changes) != 1 || r.checker.State() != Up || changes[0] != r.begun[2] {
		t.Errorf("%v, %s", changes, r.checker.State())
	}
}

func TestChecksAreSpreadAndJittered(t *testing.T) {
	const backends = 4000
	s := DefaultSettings()
	tenths := make([]int, 10)
	shortest, longest := Never, int64(0)
	for seed := range uint64(backends) {
		r := rehearsal{t: t, answer: always(millisecond, "")}
		r.checker.Init(&s, seed, start)
		first := r.checker.Due() - start
		if first < 0 || first >= s.Interval {
			t.Fatalf("the first check is due after %d ms", first/millisecond)
		}
		tenths[first*10/s.Interval]++
		r.run(&s, start+30*second)
		for i := 1; i < len(r.begun); i++ {
			gap := r.begun[i] - r.begun[i-1]
			shortest, longest = min(shortest, gap), max(longest, gap)
		}
	}
	if slices.Min(tenths) < backends/10*8/10 || slices.Max(tenths) > backends/10*12/10 {
		t.Errorf("first checks by tenth of the interval: %v", tenths)
	}
	least, most := s.Interval*9/10, s.Interval*11/10
	if shortest < least || longest > most || shortest > least+s.Interval/100 || longest < most-s.Interval/100 {
		t.Errorf("from %d to %d ms, want %d to %d", shortest/millisecond, longest/millisecond, least/millisecond, most/millisecond)
	}
}

func TestASeedRepeatsItself(t *testing.T) {
	s := DefaultSettings()
	run := func(seed uint64) []int64 {
		r := rehearsal{t: t, answer: always(millisecond, "")}
		r.checker.Init(&s, seed, start)
		r.run(&s, start+20*second)
		return r.begun
	}
	if !slices.Equal(run(9), run(9)) || slices.Equal(run(9), run(10)) {
		t.Error("the times of checks do not follow from the seed")
	}
}

func TestWhatIsOurOwnFaultSaysNothing(t *testing.T) {
	s := DefaultSettings()
	var c Checker
	c.Init(&s, 1, start)
	for range 20 {
		c.Begin(start)
		c.Abandon(start)
	}
	if c.State() != Unknown || c.Due() > start+s.Interval*11/10 {
		t.Errorf("%s, due in %d ms", c.State(), (c.Due()-start)/millisecond)
	}
}

func TestChangedSettingsKeepWhatIsKnown(t *testing.T) {
	s := DefaultSettings()
	s.Interval = 50 * second
	var c Checker
	c.Init(&s, 1, start)
	checkNow(&c, start, "refused")
	checkNow(&c, start, "")
	faster := DefaultSettings()
	faster.Healthy = 2
	c.Change(&faster, start+second)
	if c.State() != Down || c.Due() < start+second || c.Due() > start+second+faster.Interval {
		t.Fatalf("%s, due after %d ms", c.State(), (c.Due()-start)/millisecond)
	}
	if checkNow(&c, c.Due(), "") || !checkNow(&c, c.Due(), "") {
		t.Error("it is not up after two good results")
	}
}

func TestTwoChecksAtOnceAreABug(t *testing.T) {
	s := DefaultSettings()
	for name, misuse := range map[string]func(*Checker){
		"two begin":            func(c *Checker) { c.Begin(start); c.Begin(start) },
		"an end without begin": func(c *Checker) { c.End(start, "") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			var c Checker
			c.Init(&s, 1, start)
			misuse(&c)
		}()
	}
}

func TestSettingsAreValidated(t *testing.T) {
	good := DefaultSettings()
	must(t, good.Validate())
	for name, spoil := range map[string]func(*Settings){
		"kind":              func(s *Settings) { s.Kind = 3 },
		"short interval":    func(s *Settings) { s.Interval = second - 1 },
		"long interval":     func(s *Settings) { s.Interval = 50*second + 1 },
		"short timeout":     func(s *Settings) { s.Timeout = second - 1 },
		"long timeout":      func(s *Settings) { s.Timeout = 300*second + 1 },
		"one good result":   func(s *Settings) { s.Healthy = 1 },
		"eleven bad":        func(s *Settings) { s.Unhealthy = 11 },
		"method":            func(s *Settings) { s.Method = "POST" },
		"no path":           func(s *Settings) { s.Path = "" },
		"relative path":     func(s *Settings) { s.Path = "health" },
		"path with newline": func(s *Settings) { s.Path = "/\r\nX: y" },
		"host with blank":   func(s *Settings) { s.Host = "a b" },
		"no classes":        func(s *Settings) { s.Good = 0 },
		"foreign classes":   func(s *Settings) { s.Good = 1 << 4 },
		"websocket path":    func(s *Settings) { s.Kind, s.Path = WebSocket, "" },
	} {
		s := DefaultSettings()
		spoil(&s)
		if s.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	tcp := Settings{Kind: TCP, Interval: second, Timeout: second, Healthy: 2, Unhealthy: 10}
	must(t, tcp.Validate())
}

func TestWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{HTTP.String(), "http"}, {TCP.String(), "tcp"}, {WebSocket.String(), "websocket"}, {Kind(9).String(), "unknown"},
		{Unknown.String(), "unknown"}, {Up.String(), "up"}, {Down.String(), "down"}, {State(9).String(), "invalid"},
		{Pending.String(), "pending"}, {Good.String(), "good"}, {Bad.String(), "bad"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}
