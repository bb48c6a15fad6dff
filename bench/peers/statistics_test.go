package peers

import (
	"math"
	"slices"
	"testing"
)

func TestSummaries(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Summary
	}{
		{[]float64{5}, Summary{5, 5, 5}},
		{[]float64{9, 1, 5}, Summary{5, 1, 9}},
		{[]float64{4, 1, 3, 2}, Summary{2.5, 1, 4}},
		{[]float64{1, 1, 1, 1000, 1}, Summary{1, 1, 1000}},
	} {
		given := slices.Clone(c.values)
		if got := Summarize(given); got != c.want {
			t.Errorf("%v: %v, want %v", c.values, got, c.want)
		}
		if !slices.Equal(given, c.values) {
			t.Error("the values were changed")
		}
	}
	if got := Summarize(nil); !math.IsNaN(got.Median) || !math.IsNaN(got.Low) || !math.IsNaN(got.High) {
		t.Errorf("nothing: %v", got)
	}
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	// A machine that is twice as slow in one round changes no ratio.
	got := Ratios([]float64{10, 20, 10}, []float64{5, 10, 5, 7})
	if !slices.Equal(got, []float64{2, 2, 2}) {
		t.Error(got)
	}
}

func series(name string, values ...float64) Series {
	s := Series{Name: name, Title: name}
	for _, v := range values {
		s.Samples = append(s.Samples, Sample{Value: v})
	}
	return s
}

func TestTargetsCompareWithTheBetterConfiguration(t *testing.T) {
	row := Row{Subject: "culvert", Contenders: []Series{
		series("culvert", 10, 11, 12), series("floor", 10, 10, 10),
		series("nginx", 11, 11, 11), series("nginx-tuned", 12, 12, 12),
		series("haproxy", 30, 30, 30), series("haproxy-tuned", 9, 10, 11),
		series("empty"),
	}}
	for against, want := range map[string]string{
		"nginx": "nginx", "haproxy": "haproxy-tuned", AnyPeer: "haproxy-tuned", "floor": "floor", "nginx-tuned": "nginx-tuned",
	} {
		if got := row.Better(against); got == nil || got.Name != want {
			t.Errorf("against %s: %v, want %s", against, got, want)
		}
	}
	for _, c := range []struct {
		target         Target
		reached, known bool
	}{
		{Target{Against: "floor", Factor: 1.1}, true, true},
		{Target{Against: "floor", Factor: 1.09}, false, true},
		{Target{Against: AnyPeer, Factor: 1}, false, true},
		{Target{AtMost: 11}, true, true},
		{Target{AtMost: 10.9}, false, true},
		{Target{Against: "empty", Factor: 9}, false, false},
		{Target{Against: "missing", Factor: 9}, false, false},
	} {
		if reached, known := row.Reached(c.target); reached != c.reached || known != c.known {
			t.Errorf("%+v: %v, known %v; want %v, %v", c.target, reached, known, c.reached, c.known)
		}
	}
	row.Subject = "missing"
	if _, known := row.Reached(Target{AtMost: 1}); known {
		t.Error("a subject that was not measured reached something")
	}
}
