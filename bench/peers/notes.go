package peers

import (
	"fmt"
	"slices"
	"strings"
)

// notes say below the table what it has no columns for: one line for each.
func (r *Results) notes() []string {
	var list []string
	list = append(list, r.agreements()...)
	for i := range r.Rows {
		row := &r.Rows[i]
		list = append(list, row.lacks()...)
		if note := row.resumed(); note != "" {
			list = append(list, note)
		}
	}
	return append(list, r.storms()...)
}

// agreements say what clients and proxies agreed upon: first what most rows have.
func (r *Results) agreements() []string {
	var all []string
	titles := map[string][]string{}
	for _, row := range r.Rows {
		if agreed := row.agreed(); agreed != "" {
			if titles[agreed] == nil {
				all = append(all, agreed)
			}
			titles[agreed] = append(titles[agreed], row.Title)
		}
	}
	slices.SortStableFunc(all, func(a, b string) int { return len(titles[b]) - len(titles[a]) })
	for i, agreed := range all {
		if i == 0 {
			all[i] = "By TLS each contender and its clients agree upon " + agreed
			continue
		}
		all[i] = "In " + quoted(titles[agreed]) + " they agree upon " + agreed
	}
	return all
}

// quoted lists titles.
func quoted(titles []string) string { return "\"" + strings.Join(titles, "\", \"") + "\"" }

// agreed is what the contenders of a row agreed upon with their client, which is the same; "" if nothing is known.
func (r *Row) agreed() string {
	for _, s := range r.Contenders {
		for _, sample := range s.Samples {
			if sample.TLS != "" {
				return sample.TLS
			}
		}
	}
	return ""
}

// lacks say which programs take no part in a row, and why.
func (r *Row) lacks() []string {
	var whats, list []string
	who := map[string][]string{}
	for _, s := range r.Contenders {
		if s.Lacks == "" {
			continue
		}
		if who[s.Lacks] == nil {
			whats = append(whats, s.Lacks)
		}
		for _, c := range columns {
			if belongs(s.Name, c.name) && !slices.Contains(who[s.Lacks], c.title) {
				who[s.Lacks] = append(who[s.Lacks], c.title)
			}
		}
	}
	for _, what := range whats {
		list = append(list, fmt.Sprintf("%q is without %s: no %s there", r.Title, strings.Join(who[what], ", "), what))
	}
	return list
}

// resumed says which share of a row's sessions were resumed, as the client saw it; "" where none were.
func (r *Row) resumed() string {
	least, any := 1.0, false
	for _, s := range r.Contenders {
		for _, sample := range s.Samples {
			if sample.Handshakes > 0 {
				any = any || sample.Resumed > 0
				least = min(least, float64(sample.Resumed)/float64(sample.Handshakes))
			}
		}
	}
	if !any {
		return ""
	}
	return fmt.Sprintf("%q: of each contender at least %.1f %% of the sessions were resumed, as the client saw it", r.Title, 100*least)
}

// storms say what the rows with handshakes beside them were like: medians of the rounds.
func (r *Results) storms() []string {
	var rows []*Row
	for i := range r.Rows {
		if r.Rows[i].Rate > 0 {
			rows = append(rows, &r.Rows[i])
		}
	}
	if len(rows) == 0 {
		return nil
	}
	list := []string{fmt.Sprintf("The storm: %s handshakes/s, %.0f %% of what the slowest contender can make on one CPU; below, latencies in the order of its rows",
		number(rows[0].Rate), 100*rows[0].RateShare)}
	for _, c := range columns {
		best := rows[0].Better(c.name)
		if best == nil {
			continue
		}
		var p50, p99 []string
		for _, row := range rows {
			if s := row.Series(best.Name); s != nil && len(s.Samples) > 0 {
				p50 = append(p50, number(s.median(func(sample *Sample) float64 { return float64(sample.LatencyP50) / 1000 })))
				p99 = append(p99, number(s.median(func(sample *Sample) float64 { return float64(sample.LatencyP99) / 1000 })))
			}
		}
		list = append(list, fmt.Sprintf("%s: p50 %s µs, p99 %s µs; %s", best.Title, strings.Join(p50, " and "), strings.Join(p99, " and "), best.storm()))
	}
	return list
}

// storm says what became of the handshakes beside a series.
func (s *Series) storm() string {
	of := func(value func(*Storm) float64) func(*Sample) float64 {
		return func(sample *Sample) float64 {
			if sample.Storm == nil {
				return 0
			}
			return value(sample.Storm)
		}
	}
	text := number(s.median(of(func(m *Storm) float64 { return m.Completed }))) + " handshakes/s completed"
	if done := s.median(of(func(m *Storm) float64 { return m.Done })); done > 0 {
		most := 0.0
		for i := range s.Samples {
			most = max(most, of(func(m *Storm) float64 { return m.Queued })(&s.Samples[i]))
		}
		text += fmt.Sprintf(" (by its metrics %s/s), at most %.0f waiting for a worker at the end of a round; of the loop's turns 99 %% took less than %g ms, %.2f %% more than 1 ms",
			number(done), most, 1000*s.median(of(func(m *Storm) float64 { return m.TurnP99 })), 100*s.median(of(func(m *Storm) float64 { return m.SlowTurns })))
	}
	return text
}

// median returns that of a value of all samples.
func (s *Series) median(value func(*Sample) float64) float64 {
	var values []float64
	for i := range s.Samples {
		values = append(values, value(&s.Samples[i]))
	}
	return Summarize(values).Median
}
