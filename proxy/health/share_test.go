package health

import (
	"slices"
	"testing"
)

func TestASlowStart(t *testing.T) {
	s := DefaultSlowStart()
	must(t, s.Validate())
	var shares []int
	for now := start; ; {
		share, next := s.Share(start, now)
		shares = append(shares, share)
		if before, _ := s.Share(start, max(next, now+1)-1); next != Never && before != share {
			t.Errorf("%d %% already becomes %d %% before it should", share, before)
		}
		if next == Never {
			if now < start+s.Duration-9 || now > start+s.Duration {
				t.Errorf("the whole share after %d ns", now-start)
			}
			break
		}
		now = next
	}
	if want := []int{10, 20, 30, 40, 50, 60, 70, 80, 90, 100}; !slices.Equal(shares, want) {
		t.Errorf("shares %v, want %v", shares, want)
	}
}

func TestSlowStartsOfOddLengths(t *testing.T) {
	for _, s := range []SlowStart{{0, 10}, {1, 1}, {7, 50}, {3600 * second, 100}, {second + 1, 99}} {
		must(t, s.Validate())
		last, steps := 0, 0
		for now := start; ; steps++ {
			share, next := s.Share(start, now)
			if share < s.Least || share < last || share > FullShare || steps > slowStartSteps {
				t.Fatalf("%+v: %d %% after %d, in step %d", s, share, last, steps)
			}
			last = share
			if next == Never {
				break
			}
			now = max(next, now+1)
		}
		if share, next := s.Share(start, start+s.Duration); last != FullShare || share != FullShare || next != Never {
			t.Errorf("%+v: %d %% at the end", s, share)
		}
	}
	for _, s := range []SlowStart{{-1, 10}, {3601 * second, 10}, {second, 0}, {second, 101}} {
		if s.Validate() == nil {
			t.Errorf("%+v is accepted", s)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		m       Member
		want    Status
		token   string
		healthy bool
	}{
		{Member{Weight: 1}, Serving, "serving", true},
		{Member{Weight: 1, Checks: Up}, Serving, "serving", true},
		{Member{Weight: 0}, Resting, "weight-0", true},
		{Member{Weight: 1, Checks: Down}, Failing, "down", false},
		{Member{Weight: 1, Ejected: true}, Ejected, "ejected", false},
		{Member{Weight: 1, Draining: true}, Draining, "draining", true},
		{Member{Weight: 1, Checks: Down, Ejected: true}, Failing, "down", false},
		{Member{Weight: 1, Checks: Down, Ejected: true, Draining: true}, Draining, "draining", true},
	} {
		if got := c.m.Status(); got != c.want || got.String() != c.token || got.Healthy() != c.healthy {
			t.Errorf("%+v: %s, healthy %v", c.m, got, got.Healthy())
		}
	}
}

func TestAPaceIsKept(t *testing.T) {
	for _, perSecond := range []int{1, 3, 10, 1000, MaxPace} {
		for _, turn := range []int64{millisecond, 50 * millisecond, 700 * millisecond} {
			p, err := NewPace(perSecond, start)
			must(t, err)
			const seconds = 20
			left := seconds * perSecond * 2
			ended := 0
			for now := start; now < start+seconds*second; now += turn {
				n := p.Take(left, now)
				if burst := int64(perSecond)*min(turn, longestArrears)/second + 2; int64(n) > burst {
					t.Fatalf("%d/s: %d at once", perSecond, n)
				}
				ended += n
				left -= n
			}
			most := seconds*perSecond + 1
			least := int64(most) * min(turn, longestArrears) / turn * 8 / 10
			if perSecond == 1 {
				least = seconds * 6 / 10
			}
			if ended > most || int64(ended) < least {
				t.Errorf("%d/s, looked at every %d ms: %d ended in %d s, want %d to %d", perSecond, turn/millisecond, ended, seconds, least, most)
			}
		}
	}
}

func TestAPaceBeginsAndEnds(t *testing.T) {
	p, err := NewPace(10, start)
	must(t, err)
	if p.Take(100, start-1) != 0 || p.Next() != start || p.Take(0, start) != 0 {
		t.Fatal("it begins early")
	}
	if n := p.Take(100, start); n != 1 || p.Next() != start+second/10 {
		t.Fatalf("%d at the begin", n)
	}
	if n := p.Take(2, start+60*second); n != 2 {
		t.Errorf("%d of the 2 that are left", n)
	}
	if n := p.Take(1000, start+120*second); n != 3 { // those of a quarter of a second
		t.Errorf("%d at once after a minute", n)
	}
	var all Pace
	if all.Take(77, start) != 77 {
		t.Error("the zero Pace does not end all")
	}
	later, err := NewPace(0, start)
	must(t, err)
	if later.Take(77, start-1) != 0 || later.Take(77, start) != 77 {
		t.Error("all at once, but not at the begin")
	}
	for _, wrong := range []int{-1, MaxPace + 1} {
		if _, err := NewPace(wrong, start); err == nil {
			t.Errorf("a pace of %d is accepted", wrong)
		}
	}
}
