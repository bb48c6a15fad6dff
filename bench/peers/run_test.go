package peers

import (
	"context"
	"errors"
	"testing"
)

// scripted is a session whose measurements fail as they are told to.
type scripted struct{ errs []error }

func (s *scripted) measure(context.Context) ([]Sample, error) {
	err := s.errs[0]
	s.errs = s.errs[1:]
	return []Sample{{Value: 1}}, err
}

func (s *scripted) release(context.Context) error { return nil }

func TestWhatABusyMachineSpoiltIsMeasuredAgain(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		errs []error
		want error
		left int
	}{
		{[]error{nil, broken}, nil, 1},
		{[]error{errNoMessage, errNoMessage, nil}, nil, 0},
		{[]error{broken, nil}, broken, 1},
		{[]error{errNoMessage, errNoMessage, errNoMessage, errNoMessage, errNoMessage, nil}, errNoMessage, 1},
	} {
		s := &scripted{c.errs}
		if _, err := measureAgain(t.Context(), s); !errors.Is(err, c.want) || len(s.errs) != c.left {
			t.Errorf("%v: %v with %d left, want %v with %d", c.errs, err, len(s.errs), c.want, c.left)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := measureAgain(ctx, &scripted{[]error{nil}}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

func TestEachContenderHasEachPlaceOfARoundOnce(t *testing.T) {
	const contenders = 6
	seen := map[[2]int]bool{}
	for round := range contenders {
		for turn := range contenders {
			seen[[2]int{turn, inTurn(turn, round, contenders)}] = true
		}
	}
	if len(seen) != contenders*contenders {
		t.Errorf("%d of %d places were given", len(seen), contenders*contenders)
	}
}

func TestEveryRowHasItsNameAndATarget(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range allWorks() {
		for _, row := range w.rows {
			if seen[row.Name] || row.Name == "" || row.Title == "" || row.Unit == "" || row.Subject == "" || len(row.Targets) == 0 {
				t.Errorf("%+v", row)
			}
			seen[row.Name] = true
		}
		if w.tunnels == 0 || w.nominal == 0 || w.prepare == nil || (w.stations != nil) != (w.variants > 0) {
			t.Errorf("%s: %+v", w.rows[0].Name, w)
		}
	}
}

// The default run is to take about nine minutes.
func TestTheRowsTakeNoLongerThanTheyMay(t *testing.T) {
	const rounds, most = 7, 520.0
	seconds := 0.0
	for _, w := range allWorks() {
		stations := w.variants
		for _, c := range Contenders() {
			if w.variants == 0 && w.takesPart(c) {
				stations++
			}
		}
		seconds += rounds * float64(stations) * w.nominal
	}
	if seconds > most {
		t.Errorf("%.0f s, want at most %.0f", seconds, most)
	}
}
