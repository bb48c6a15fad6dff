package peers

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// A curve is how one drawing is labelled. Its lines are the rows whose names begin with its name and a slash.
type curve struct {
	name, title, x string
	logarithmic    bool // of the values: lines are orders of magnitude apart
}

var curves = []curve{
	{curveLoops, "CPU time per message, by number of loops", "--loops", false},
	{curveReadBuffer, "CPU time per message, by size of the read buffer", "--read-buffer", true},
	{curveSpliceThreshold, "CPU time per message, by size from which payload is spliced", "--splice-threshold (0: never)", true},
}

// Layout of a drawing, in pixels.
const (
	drawWidth, drawHeight              = 720, 400
	plotLeft, plotRight                = 80, 540
	plotTop, plotBottom                = 50, 330
	legendLeft, legendTop, legendPitch = 560, 66, 22
)

// lineColors are told apart by people who see few colours, too (Okabe and Ito).
var lineColors = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"}

// Draw returns the curves of results as SVG, by file name: medians as lines, the least and the greatest value of each
// point as a bar.
func Draw(r *Results) map[string]string {
	drawings := map[string]string{}
	for _, c := range curves {
		var lines []Row
		for _, row := range r.Rows {
			if strings.HasPrefix(row.Name, c.name+"/") {
				lines = append(lines, row)
			}
		}
		if len(lines) > 0 {
			drawings[c.name+".svg"] = c.draw(lines, r)
		}
	}
	return drawings
}

// scale maps values to heights.
type scale struct {
	low, high   float64
	logarithmic bool
}

func (s scale) y(v float64) float64 {
	share := (v - s.low) / (s.high - s.low)
	if s.logarithmic {
		share = math.Log(v/s.low) / math.Log(s.high/s.low)
	}
	return plotBottom - share*(plotBottom-plotTop)
}

// newScale fits all values: from zero, or from a round number where it is logarithmic.
func newScale(lines []Row, logarithmic bool) scale {
	low, high := math.Inf(1), 0.0
	for _, row := range lines {
		for i := range row.Contenders {
			sum := Summarize(row.Contenders[i].Values())
			if math.IsNaN(sum.Median) {
				continue // a point that was not measured
			}
			low, high = math.Min(low, sum.Low), math.Max(high, sum.High)
		}
	}
	if !logarithmic {
		return scale{0, roundUp(high), false}
	}
	return scale{math.Pow(10, math.Floor(math.Log10(low))), roundUp(high), true}
}

// roundUp returns the next number of the form 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten.
func roundUp(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{1, 1.5, 2, 3, 4, 5, 6, 8} {
		if v <= step*power {
			return step * power
		}
	}
	return 10 * power
}

// ticks are the values with a line across the drawing.
func (s scale) ticks() []float64 {
	var list []float64
	if !s.logarithmic {
		const parts = 5
		for i := range parts + 1 {
			list = append(list, s.high*float64(i)/parts)
		}
		return list
	}
	for power := s.low; power <= s.high; power *= 10 {
		for _, step := range []float64{1, 2, 5} {
			if v := step * power; v <= s.high*1.0001 {
				list = append(list, v)
			}
		}
	}
	return list
}

func (c curve) draw(lines []Row, r *Results) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="#222">`+"\n", drawWidth, drawHeight)
	fmt.Fprintf(&b, "<title>%s</title>\n", html.EscapeString(c.title))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", drawWidth, drawHeight)
	text(&b, plotLeft, 26, "start", 15, c.title)
	s := newScale(lines, c.logarithmic)
	for _, v := range s.ticks() {
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", plotLeft, plotRight, s.y(v), s.y(v))
		text(&b, plotLeft-8, s.y(v)+4, "end", 12, strings.TrimSuffix(strings.TrimSuffix(number(v), ".00"), ".0"))
	}
	names := lines[0].Contenders
	at := func(i int) float64 { return plotLeft + (float64(i)+0.5)*(plotRight-plotLeft)/float64(len(names)) }
	for i, n := range names {
		text(&b, at(i), plotBottom+18, "middle", 12, n.Name)
	}
	fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="#222"/>`+"\n", plotLeft, plotRight, plotBottom, plotBottom)
	text(&b, (plotLeft+plotRight)/2, plotBottom+40, "middle", 13, c.x)
	middle := (plotTop + plotBottom) / 2
	fmt.Fprintf(&b, `<text transform="translate(20 %d) rotate(-90)" text-anchor="middle" font-size="13">%s</text>`+"\n", middle, lines[0].Unit)
	for i := range lines {
		drawLine(&b, &lines[i], i, s, at)
	}
	text(&b, plotLeft, drawHeight-8, "start", 10, fmt.Sprintf("%s, %s, %d CPUs, %s; medians of %d rounds, bars from the least to the greatest",
		r.Date, r.Machine.CPU, r.Machine.CPUs, r.Machine.Kernel, r.Rounds))
	b.WriteString("</svg>\n")
	return b.String()
}

// drawLine draws one row, and its name in the legend.
func drawLine(b *strings.Builder, row *Row, index int, s scale, at func(int) float64) {
	color := lineColors[index%len(lineColors)]
	var points []string
	for i := range row.Contenders {
		sum := Summarize(row.Contenders[i].Values())
		if math.IsNaN(sum.Median) {
			continue
		}
		points = append(points, fmt.Sprintf("%.1f,%.1f", at(i), s.y(sum.Median)))
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="%s" stroke-opacity="0.4" stroke-width="5"/>`+"\n",
			at(i), at(i), s.y(sum.Low), s.y(sum.High), color)
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", at(i), s.y(sum.Median), color)
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), color)
	y := float64(legendTop + index*legendPitch)
	fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.0f" y2="%.0f" stroke="%s" stroke-width="3"/>`+"\n", legendLeft, legendLeft+18, y, y, color)
	text(b, legendLeft+24, y+4, "start", 12, row.Title)
}

func text(b *strings.Builder, x, y float64, anchor string, size int, content string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d">%s</text>`+"\n", x, y, anchor, size, html.EscapeString(content))
}
