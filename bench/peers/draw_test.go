package peers

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func sampleCurves() *Results {
	r := sampleResults()
	r.Rows = []Row{
		{Name: "loops/a", Title: "a < b", Unit: microsecondsPerMessage, Contenders: []Series{series("1", 10, 12, 11), series("2", 14)}},
		{Name: "loops/b", Title: "b", Unit: microsecondsPerMessage, Contenders: []Series{series("1", 3), series("2")}},
		{Name: "read-buffer/a", Title: "a", Unit: microsecondsPerMessage, Contenders: []Series{series("4KiB", 12, 900)}},
		{Name: "echo", Title: "no curve", Unit: microsecondsPerMessage, Contenders: []Series{series("culvert", 1)}},
	}
	return r
}

func TestCurvesAreWellFormedAndLabelled(t *testing.T) {
	drawings := Draw(sampleCurves())
	if len(drawings) != 2 {
		t.Fatalf("%d drawings, want 2", len(drawings))
	}
	for name, text := range drawings {
		for d := xml.NewDecoder(strings.NewReader(text)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Errorf("%s has a point that is nowhere", name)
		}
	}
	for _, want := range []string{"--loops", microsecondsPerMessage, "a &lt; b", "A CPU", "2026-01-31", ">1<", ">2<"} {
		if !strings.Contains(drawings["loops.svg"], want) {
			t.Errorf("no %q in the drawing", want)
		}
	}
}

func TestScalesHoldAllValues(t *testing.T) {
	for _, logarithmic := range []bool{false, true} {
		s := newScale(sampleCurves().Rows[:3], logarithmic)
		for _, v := range []float64{3, 12, 900} {
			if y := s.y(v); y < plotTop || y > plotBottom {
				t.Errorf("%v is at %v, outside of the plot (%+v)", v, y, s)
			}
		}
		ticks := s.ticks()
		if !slices.IsSorted(ticks) || len(ticks) < 3 || math.Abs(s.y(ticks[0])-plotBottom) > 0.01 {
			t.Errorf("ticks %v", ticks)
		}
	}
	for v, want := range map[float64]float64{0.7: 0.8, 1: 1, 11: 15, 81: 100, 999: 1000, 2500: 3000} {
		if got := roundUp(v); math.Abs(got-want) > want/1e9 {
			t.Errorf("%v is rounded up to %v, want %v", v, got, want)
		}
	}
}

// The drawings of the documents are those of the newest measurement.
func TestTheDocumentsCurvesAreThoseOfTheNewestResults(t *testing.T) {
	root := filepath.Join("..", "..")
	folder := filepath.Join(root, "docs", "curves")
	name, err := NewestFile(filepath.Join(root, "bench", "results"), CurvesPrefix)
	if errors.Is(err, ErrNoResults) {
		if drawn, _ := filepath.Glob(filepath.Join(folder, "*.svg")); len(drawn) > 0 {
			t.Errorf("%v was drawn from nothing that is kept", drawn)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	results, err := ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range Draw(results) {
		if got, err := os.ReadFile(filepath.Join(folder, file)); err != nil || string(got) != want {
			t.Errorf("%s is not what %s gives (%v): run culvert-bench curves --from %s", file, name, err, name)
		}
	}
}
