package peers

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// format is the version of the files that results are kept in.
const format = 1

// Results are what a run measured: every value of every round.
type Results struct {
	Format   int       `json:"format"`
	Date     string    `json:"date"` // of the run's begin, UTC, such as 2026-01-31
	Machine  Machine   `json:"machine"`
	Programs []Program `json:"programs"`
	Rounds   int       `json:"rounds"`
	Pinned   bool      `json:"pinned"` // the proxy on a CPU of its own, generator and backend on another
	Seconds  float64   `json:"seconds"`
	Rows     []Row     `json:"rows"`
}

// A Program is what was compared, as it names its own version.
type Program struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// A Row is one kind of work.
type Row struct {
	Name       string   `json:"name"`
	Title      string   `json:"title"`
	Unit       string   `json:"unit"`
	Subject    string   `json:"subject"` // the series that has to reach the targets
	Targets    []Target `json:"targets"`
	Contenders []Series `json:"contenders"`
	// Rate is how many TLS handshakes per second are made beside what is measured, RateShare which part of what the
	// slowest contender can make.
	Rate      float64 `json:"handshakes_per_second,omitempty"`
	RateShare float64 `json:"handshakes_share,omitempty"`
}

// A Target is reached if the subject's value is at most Factor times that of another series; or, if there is no other,
// at most AtMost, in the row's unit.
type Target struct {
	// Against names a series, or a program (then its better configuration counts), or AnyPeer.
	Against string  `json:"against,omitempty"`
	Factor  float64 `json:"factor,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
}

// AnyPeer is the best of nginx and HAProxy, in whatever configuration.
const AnyPeer = "peers"

// A Series is one contender's samples, one per round.
type Series struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Samples []Sample `json:"samples"`
	Lacks   string   `json:"lacks,omitempty"` // why it takes no part
}

// A Sample is what one measurement found.
type Sample struct {
	Value            float64 `json:"value"` // in the row's unit
	Messages         uint64  `json:"messages,omitempty"`
	Seconds          float64 `json:"seconds,omitempty"`
	ProxyCPU         float64 `json:"proxy_cpu_seconds,omitempty"`
	LatencyP50       int64   `json:"latency_p50_ns,omitempty"`
	LatencyP99       int64   `json:"latency_p99_ns,omitempty"`
	LatencyP999      int64   `json:"latency_p99_9_ns,omitempty"`
	GeneratorLimited string  `json:"generator_limited,omitempty"` // why the generator itself was the limit, if it was

	TLS        string `json:"tls,omitempty"` // what client and proxy agreed upon
	Handshakes uint64 `json:"tls_handshakes,omitempty"`
	Resumed    uint64 `json:"tls_resumed,omitempty"` // how many of them took an earlier session up, as the client saw it
	Storm      *Storm `json:"storm,omitempty"`
}

// Values returns the values of the rounds.
func (s *Series) Values() []float64 {
	values := make([]float64, len(s.Samples))
	for i, sample := range s.Samples {
		values[i] = sample.Value
	}
	return values
}

// Series returns the series of a name, or nil.
func (r *Row) Series(name string) *Series {
	i := slices.IndexFunc(r.Contenders, func(s Series) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Contenders[i]
}

// Better returns the series that a target compares with: the one of that name or, of several configurations of a
// program, the one with the least median. It is nil if there is none.
func (r *Row) Better(against string) *Series {
	var best *Series
	for i := range r.Contenders {
		s := &r.Contenders[i]
		if !belongs(s.Name, against) || len(s.Samples) == 0 {
			continue
		}
		if best == nil || Summarize(s.Values()).Median < Summarize(best.Values()).Median {
			best = s
		}
	}
	return best
}

func belongs(series, against string) bool {
	if against == AnyPeer {
		return belongs(series, ProgramNginx) || belongs(series, ProgramHAProxy)
	}
	return series == against || series == against+"-tuned"
}

// Ratio returns the subject's ratio to the better series of a name; ok is false if either was not measured.
func (r *Row) Ratio(against string) (ratio Summary, ok bool) {
	subject, other := r.Series(r.Subject), r.Better(against)
	if subject == nil || other == nil || len(subject.Samples) == 0 {
		return Summary{}, false
	}
	return Summarize(Ratios(subject.Values(), other.Values())), true
}

// Reached reports whether the subject reaches a target; known is false if something for it was not measured.
func (r *Row) Reached(t Target) (reached, known bool) {
	if t.Against == "" {
		subject := r.Series(r.Subject)
		if subject == nil || len(subject.Samples) == 0 {
			return false, false
		}
		return Summarize(subject.Values()).Median <= t.AtMost, true
	}
	ratio, known := r.Ratio(t.Against)
	return known && ratio.Median <= t.Factor, known
}

// WriteFile stores results as JSON.
func (r *Results) WriteFile(name string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}

// ReadFile reads what WriteFile has stored.
func ReadFile(name string) (*Results, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	r := &Results{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if r.Format != format {
		return nil, fmt.Errorf("%s has format %d, not %d", name, r.Format, format)
	}
	return r, nil
}

// What the names of committed results begin with; a date follows.
const (
	QuickPrefix  = "quick-"
	CurvesPrefix = "curves-"
)

// ErrNoResults is the error of a folder without results.
var ErrNoResults = errors.New("there are no results")

// NewestFile returns the newest result file of a folder whose name begins with a prefix, after which comes the date.
func NewestFile(folder, prefix string) (string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	newest := ""
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), ".json") {
			newest = max(newest, e.Name())
		}
	}
	if newest == "" {
		return "", fmt.Errorf("%w in %s", ErrNoResults, folder)
	}
	return filepath.Join(folder, newest), nil
}
