package health

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

func nobody(string) bool { return false }

// named returns n members.
func named(n int) (members []string) {
	for i := range n {
		members = append(members, fmt.Sprintf("m%d", i))
	}
	return members
}

func outliers(n int) (*Outliers[string], *OutlierSettings) {
	s := DefaultOutlierSettings()
	o := NewOutliers[string](&s)
	o.Change(&s, named(n), nobody)
	return o, &s
}

func TestATallyTellsOneCaller(t *testing.T) {
	const loops, each, limit = 4, 10_000, 5
	var tally Tally
	var told [loops]int
	var done sync.WaitGroup
	for i := range loops {
		done.Go(func() {
			for range each {
				if tally.Failure(limit) {
					told[i]++
				}
			}
		})
	}
	done.Wait()
	if total := told[0] + told[1] + told[2] + told[3]; total != loops*each/limit || tally.Failures() != loops*each {
		t.Errorf("told %d times of %d failures, with a limit of %d", total, tally.Failures(), limit)
	}
}

func TestASuccessForgetsFailures(t *testing.T) {
	var tally Tally
	for range 3 {
		for range 4 {
			if tally.Failure(5) {
				t.Fatal("told after four failures")
			}
		}
		tally.Success()
	}
	for i := range 5 {
		if tally.Failure(5) != (i == 4) {
			t.Errorf("failure %d in a row", i+1)
		}
	}
	if tally.Failure(0) || tally.Failures() != 5 {
		t.Error("counted though nobody is to be ejected")
	}
}

func TestATallyOfSuccessesWritesNothing(t *testing.T) {
	var tally Tally
	if n := testing.AllocsPerRun(100, func() { tally.Success() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestEjectionsGrowAndAreForgotten(t *testing.T) {
	o, _ := outliers(2)
	now := start
	for i := range 40 {
		if !o.Report("m0", now) || !o.Ejected("m0") || o.Report("m0", now) {
			t.Fatal("not ejected, or twice")
		}
		want := min(int64(i+1)*10, 300) * second
		if o.Next() != now+want {
			t.Fatalf("ejection %d lasts %d s, want %d", i+1, (o.Next()-now)/second, want/second)
		}
		if back := o.Advance(now + want - 1); back != nil {
			t.Fatalf("%v is back early", back)
		}
		now += want
		if back := o.Advance(now); !slices.Equal(back, []string{"m0"}) || o.Ejected("m0") || o.Next() != Never {
			t.Fatalf("%v is back", back)
		}
	}
	// The last three lasted 300 s each; what lasted less goes first no earlier than what lasted more.
	for _, c := range []struct{ good, next int64 }{{299, 300}, {300, 300}, {600, 300}, {1000, 280}} {
		now += c.good * second
		o.Report("m0", now)
		if got := (o.Next() - now) / second; got != c.next {
			t.Fatalf("after %d s without a fault an ejection lasts %d s, want %d", c.good, got, c.next)
		}
		now = o.Next()
		o.Advance(now)
	}
	now += 3600 * 24 * second
	o.Report("m0", now)
	if got := o.Next() - now; got != 10*second {
		t.Errorf("after a good day an ejection lasts %d s", got/second)
	}
}

func TestNeverMoreThanAPartIsEjected(t *testing.T) {
	for n := range 12 {
		for _, percent := range []int{0, 1, 33, 50, 99, 100} {
			o, s := outliers(n)
			s.MostEjected = percent
			must(t, s.Validate())
			ejected := 0
			for _, m := range named(n) {
				if o.Report(m, start) {
					ejected++
				}
			}
			if want := n * percent / 100; ejected != want {
				t.Errorf("%d of %d ejected at %d %%, want %d", ejected, n, percent, want)
			}
		}
	}
}

// TestThoseWhoAreDownDoNotCount: half of ten may be ejected, but not the five that are left.
func TestThoseWhoAreDownDoNotCount(t *testing.T) {
	o, s := outliers(10)
	first := func(n int) func(string) bool {
		return func(m string) bool { return slices.Index(named(10), m) < n }
	}
	o.Change(s, named(10), first(5))
	ejected := 0
	for _, m := range named(10) {
		if o.Report(m, start) {
			ejected++
		}
	}
	if ejected != 2 || o.Ejected("m0") {
		t.Fatalf("%d of 5 ejected", ejected)
	}
	if back := o.Change(s, named(10), first(9)); len(back) != 0 {
		t.Errorf("%v is let in, though it is down", back)
	}
	if back := o.Change(s, named(10), first(0)); len(back) != 0 {
		t.Errorf("%v is let in", back)
	}
}

func TestChangedMembers(t *testing.T) {
	o, s := outliers(8)
	for i, m := range []string{"m3", "m1", "m2", "m0"} {
		if !o.Report(m, start+int64(i)) {
			t.Fatal(m)
		}
	}
	if o.Report("stranger", start) {
		t.Fatal("a stranger is ejected")
	}
	if back := o.Change(s, []string{"m0", "m1", "m2", "m3"}, nobody); !slices.Equal(back, []string{"m3", "m1"}) {
		t.Errorf("%v are let in, want those that come back first", back)
	}
	off := *s
	off.Failures = 0
	if back := o.Change(&off, []string{"m0", "m1", "m2", "m3"}, nobody); !slices.Equal(back, []string{"m2", "m0"}) {
		t.Errorf("switched off, %v are let in", back)
	}
	if o.Report("m0", start) {
		t.Error("ejected though switched off")
	}
	o.Change(s, []string{"m0", "m1"}, nobody)
	o.Report("m0", start)
	if o.Next() != start+20*second {
		t.Errorf("a member that stays is ejected for %d s, for the second time", (o.Next()-start)/second)
	}
}

func TestOutlierSettingsAreValidated(t *testing.T) {
	for name, spoil := range map[string]func(*OutlierSettings){
		"failures":        func(s *OutlierSettings) { s.Failures = 101 },
		"fewer than none": func(s *OutlierSettings) { s.Failures = -1 },
		"base":            func(s *OutlierSettings) { s.Base = 0 },
		"longest":         func(s *OutlierSettings) { s.Longest = s.Base - 1 },
		"endless":         func(s *OutlierSettings) { s.Longest = Never },
		"percent":         func(s *OutlierSettings) { s.MostEjected = 101 },
	} {
		s := DefaultOutlierSettings()
		must(t, s.Validate())
		spoil(&s)
		if s.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
