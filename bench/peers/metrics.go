package peers

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"culvert/engine"
)

// scrapePatience bounds a look at the metrics.
const scrapePatience = 5 * time.Second

// metrics are values by name, summed over their labels, and by name with labels.
type metrics map[string]float64

// What rows count: messages from clients, of which the messages of a row about tunnels make one each, or requests.
const (
	clientMessages = "culvert_tunnel_messages_total from client"
	requestsRead   = "culvert_requests_total"
)

// scrapedAt is the name under which metrics have the time of their reading, in seconds.
const scrapedAt = ""

// scrape reads Culvert's metrics; the other programs have none.
func (p *proxy) scrape(ctx context.Context) (metrics, error) {
	if !p.admin.IsValid() {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, scrapePatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin.String()+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	m, err := readMetrics(answer.Body)
	if err == nil {
		m[scrapedAt] = time.Duration(engine.Monotonic()).Seconds()
	}
	return m, err
}

// readMetrics reads the text format of Prometheus.
func readMetrics(text io.Reader) (metrics, error) {
	m := metrics{}
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		line := lines.Text()
		space := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || space < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("the metrics have a line %q", line)
		}
		name, labels, _ := strings.Cut(line[:space], "{")
		m[name] += value
		m[line[:space]] = value
		if strings.Contains(labels, `from="client"`) {
			m[name+" from client"] += value
		}
	}
	return m, lines.Err()
}
