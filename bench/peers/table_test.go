package peers

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/table.md anew")

// sampleResults has a row of each kind.
func sampleResults() *Results {
	late := series("haproxy", 400, 300)
	for i := range late.Samples {
		late.Samples[i].GeneratorLimited = "its own sends came late"
	}
	return &Results{
		Format: format, Date: "2026-01-31", Rounds: 3, Pinned: true, Seconds: 60,
		Machine:  Machine{CPU: "A CPU", CPUs: 2, Kernel: "Linux 6.1", Go: "go1.26"},
		Programs: []Program{{"culvert", "culvert v1"}, {"nginx", "nginx version: nginx/1"}},
		Rows: []Row{
			{
				Name: "echo", Title: "125 B echo", Unit: microsecondsPerMessage, Subject: "culvert",
				Targets: []Target{against("floor", 1.05), against("nginx", 1)},
				Contenders: []Series{
					series("culvert", 15.2, 15.4, 15.3), series("floor", 15, 15.1, 14.9),
					series("nginx", 17.1, 17, 17.2), series("nginx-tuned", 15.1, 15.2, 15),
				},
			},
			{
				Name: "idle", Title: "idle tunnel", Unit: bytesPerTunnel, Subject: "culvert", Targets: []Target{{AtMost: 1000}},
				Contenders: []Series{series("culvert", 834, 835), series("nginx", 18153, 18153), series("haproxy", 999.6, 1234567)},
			},
			{
				Name: "p99", Title: "p99", Unit: microseconds, Subject: "culvert", Targets: []Target{against(AnyPeer, 1)},
				Contenders: []Series{series("culvert", 300, 290), late},
			},
			{
				Name: "loops", Title: "two loops", Unit: microsecondsPerMessage, Subject: "two loops",
				Targets:    []Target{against("one loop", 1.1)},
				Contenders: []Series{series("one loop", 10, 10), series("two loops", 10.9, 11)},
			},
			{
				Name: "tls", Title: "by TLS", Unit: microsecondsPerMessage, Subject: "culvert", Targets: []Target{against(AnyPeer, 0.75)},
				Contenders: []Series{
					secured("culvert", "a suite", 100), secured("nginx", "a suite", 99),
					{Name: "haproxy", Title: "haproxy", Lacks: "suite"}, {Name: "haproxy-tuned", Title: "haproxy-tuned", Lacks: "suite"},
				},
			},
			{
				Name: "storm-a", Title: "storm", Unit: microseconds, Subject: "culvert", Targets: []Target{against(AnyPeer, 0.5)}, Rate: 1230, RateShare: 0.65,
				Contenders: []Series{
					stormy("culvert", 50, Storm{Completed: 1231, Done: 1229, TurnP99: 0.001, SlowTurns: 0.0012, Queued: 3}),
					stormy("nginx", 150, Storm{Completed: 1230}), stormy("nginx-tuned", 140, Storm{Completed: 1230}),
				},
			},
			{
				Name: "storm-b", Title: "storm", Unit: microseconds, Subject: "culvert", Targets: []Target{against(AnyPeer, 0.5)}, Rate: 1230, RateShare: 0.65,
				Contenders: []Series{stormy("culvert", 60, Storm{Completed: 1231}), stormy("nginx", 150, Storm{Completed: 1230}), stormy("nginx-tuned", 160, Storm{Completed: 1230})},
			},
			{Name: "none", Title: "not measured", Unit: microseconds, Subject: "culvert", Targets: []Target{against("floor", 1)}},
		},
	}
}

// secured is a series of what two sides agreed upon, of 100 handshakes each with so many sessions resumed.
func secured(name, agreed string, resumed uint64) Series {
	s := series(name, 20, 22)
	for i := range s.Samples {
		s.Samples[i].TLS, s.Samples[i].Handshakes, s.Samples[i].Resumed = agreed, 100, resumed
	}
	return s
}

// stormy is a series of latencies beside a storm.
func stormy(name string, p99 float64, storm Storm) Series {
	s := series(name, p99, p99)
	for i := range s.Samples {
		s.Samples[i].LatencyP50, s.Samples[i].LatencyP99, s.Samples[i].Storm = 20_000, int64(1000*p99), &storm
	}
	return s
}

func TestTheTableIsAsExpected(t *testing.T) {
	got := Markdown(sampleResults())
	golden := filepath.Join("testdata", "table.md")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the table changed; if that is meant, run with -update:\n%s", got)
	}
}

func TestResultsSurviveTheirFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "quick-2026-01-31.json")
	want := sampleResults()
	if err := want.WriteFile(name); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if Markdown(got) != Markdown(want) {
		t.Error("they differ")
	}
	want.Format++
	if err := want.WriteFile(name); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(name); err == nil {
		t.Error("a file of another format was read")
	}
}

func TestTheNewestFileIsTheOneOfTheLatestDate(t *testing.T) {
	folder := t.TempDir()
	if _, err := NewestFile(folder, QuickPrefix); !errors.Is(err, ErrNoResults) {
		t.Errorf("error %v", err)
	}
	for _, name := range []string{"quick-2026-02-01.json", "quick-2026-01-31.json", "curves-2026-03-01.json", "quick-notes.txt"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := NewestFile(folder, QuickPrefix); filepath.Base(got) != "quick-2026-02-01.json" || err != nil {
		t.Errorf("%s (%v)", got, err)
	}
}

func TestATableIsPutBetweenTheMarks(t *testing.T) {
	document := "before\n" + beginMark + "\nold\n" + endMark + "\nafter\n"
	got, err := Splice(document, "new\n")
	if want := "before\n" + beginMark + "\n\nnew\n\n" + endMark + "\nafter\n"; got != want || err != nil {
		t.Errorf("%q (%v)", got, err)
	}
	if again, err := Splice(got, "new\n"); again != got || err != nil {
		t.Errorf("once more: %q (%v)", again, err)
	}
	for _, broken := range []string{"", beginMark + "\n", endMark, endMark + beginMark + "\n"} {
		if _, err := Splice(broken, "new\n"); err == nil {
			t.Errorf("%q has no place for it", broken)
		}
	}
}

// The README shows what was measured, and nothing before anything was.
func TestTheReadmeShowsTheNewestResults(t *testing.T) {
	root := filepath.Join("..", "..")
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	name, err := NewestFile(filepath.Join(root, "bench", "results"), QuickPrefix)
	if errors.Is(err, ErrNoResults) {
		if !strings.Contains(string(readme), beginMark+"\n"+endMark) {
			t.Error("there are no results, and yet something stands between the README's marks")
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
	want, err := Splice(string(readme), Markdown(results))
	if err != nil {
		t.Fatal(err)
	}
	if string(readme) != want {
		t.Errorf("the README's table is not that of %s: run make bench-table", name)
	}
}
