package proxytest

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// Line is one line of the access log, parsed. Numbers are float64.
type Line map[string]any

// Text returns a string field, or "".
func (l Line) Text(key string) string {
	text, _ := l[key].(string)
	return text
}

// Number returns a numeric field, or 0.
func (l Line) Number(key string) float64 {
	number, _ := l[key].(float64)
	return number
}

// Inner returns an object field such as "from_client"; nil if there is none.
func (l Line) Inner(key string) Line {
	inner, _ := l[key].(map[string]any)
	return inner
}

// Want compares what the line says of an ending: its reason, the status, and by whom: client, backend or proxy.
func (l Line) Want(t testing.TB, reason string, status int, by string) {
	t.Helper()
	if l.Text("reason") != reason || l.Number("status") != float64(status) || l.Text("by") != by {
		t.Errorf("the log says reason %s, status %v, by %s; want %s, %d, by %s\n%v",
			l.Text("reason"), l["status"], l.Text("by"), reason, status, by, l)
	}
}

// logBook keeps the lines written to it. Any goroutine may use it.
type logBook struct {
	mu      sync.Mutex
	lines   []Line
	texts   []string
	changed chan struct{} // closed with the next line
	ends    int           // how many lines WaitEnd has looked at
}

func newLogBook() *logBook { return &logBook{changed: make(chan struct{})} }

// Write takes one line.
func (b *logBook) Write(p []byte) (int, error) {
	line := Line{}
	err := json.Unmarshal(p, &line)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil || p[len(p)-1] != '\n' {
		line = Line{"event": "malformed", "reason": fmt.Sprintf("not a JSON line: %q", p)}
	}
	b.lines = append(b.lines, line)
	b.texts = append(b.texts, string(p))
	close(b.changed)
	b.changed = make(chan struct{})
	return len(p), nil
}

func (b *logBook) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.texts, "")
}

// wait returns the first line at or behind *from that is wanted, and sets *from behind it.
func (b *logBook) wait(from *int, want func(Line) bool) (Line, bool) {
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	for {
		b.mu.Lock()
		for ; *from < len(b.lines); *from++ {
			if line := b.lines[*from]; want(line) {
				*from++
				b.mu.Unlock()
				return line, true
			}
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-timer.C:
			return nil, false
		}
	}
}

// WaitLog waits for a line of the access log for which want holds, and returns the first, written before or after the
// call.
func (p *Proxy) WaitLog(t testing.TB, want func(Line) bool) Line {
	t.Helper()
	from := 0
	line, ok := p.access.wait(&from, want)
	if !ok {
		t.Fatalf("the test wants a line in the access log, but it is not among these:\n%s", p.access.text())
	}
	return line
}

// WaitEnd waits for the line that ends an exchange or a tunnel, and returns the next that it has not returned before.
// One goroutine may use it.
func (p *Proxy) WaitEnd(t testing.TB) Line {
	t.Helper()
	line, ok := p.access.wait(&p.access.ends, func(l Line) bool { return l.Text("event") != "tunnel-open" })
	if !ok {
		t.Fatalf("the test wants the end of an exchange in the access log, but the log is:\n%s", p.access.text())
	}
	return line
}

// Log returns the lines of the access log so far.
func (p *Proxy) Log() []Line {
	p.access.mu.Lock()
	defer p.access.mu.Unlock()
	return append([]Line(nil), p.access.lines...)
}

// ErrorLog returns the text of the error log so far.
func (p *Proxy) ErrorLog() string { return p.errors.text() }
