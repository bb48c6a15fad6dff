package proxy_test

import (
	"flag"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// endingsPage is the truth table that TestEndings runs.
const endingsPage = "../docs/endings.md"

// endingRow is one row of the table.
type endingRow struct {
	id, what string
	logged   string // as the row says it
	reason   string // "": no line is wanted, or a line of another row's
	status   int
	by       []string // whoever of these
}

var (
	endingID     = regexp.MustCompile(`^[A-Z][0-9]{2}$`)
	endingLogged = regexp.MustCompile("^`([a-z-]+)`, ([0-9]{1,3}), (client|backend|proxy)( or (client|backend|proxy))?$")
	endingSilent = regexp.MustCompile("^nothing(, counted as (`[a-z-]+`|refused connection)| more)$")
)

// readEndings parses the table: the rows whose first cell is an id, eight cells each.
func readEndings(t *testing.T) []endingRow {
	t.Helper()
	page, err := os.ReadFile(endingsPage)
	if err != nil {
		t.Fatal(err)
	}
	var rows []endingRow
	seen := map[string]bool{}
	for number, line := range strings.Split(string(page), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if !strings.HasPrefix(line, "|") || !endingID.MatchString(cells[0]) {
			continue
		}
		if len(cells) != 8 {
			t.Fatalf("%s:%d: %d cells, want 8", endingsPage, number+1, len(cells))
		}
		row := endingRow{id: cells[0], what: cells[1], logged: cells[6]}
		if m := endingLogged.FindStringSubmatch(row.logged); m != nil {
			row.reason, row.by = m[1], []string{m[3], m[5]}
			row.status, _ = strconv.Atoi(m[2])
		} else if !endingSilent.MatchString(row.logged) {
			t.Fatalf("%s:%d: %q says neither a reason nor nothing", endingsPage, number+1, row.logged)
		}
		if seen[row.id] {
			t.Fatalf("%s:%d: %s is there twice", endingsPage, number+1, row.id)
		}
		seen[row.id] = true
		rows = append(rows, row)
	}
	return rows
}

// way returns the way that the row goes where others go a way; nil: none. Rows about TLS itself have no plain one.
func (r endingRow) way(way proxytest.Way) *proxytest.Way {
	switch {
	case r.id[0] != 'S':
	case way == proxytest.Way{}:
		return &proxytest.Way{Client: proxytest.TLS13, Backend: proxytest.TLS13}
	case way.Backend != proxytest.TLS12:
		return nil
	}
	return &way
}

// endings holds the test of each row.
func endings() map[string]func(*ending) {
	all := map[string]func(*ending){}
	for _, phase := range []map[string]func(*ending){
		headEndings, dialEndings, awaitEndings, bodyEndings, answerEndings, keepAliveEndings, tunnelEndings, lingerEndings, handshakeEndings,
		balancingEndings,
	} {
		maps.Copy(all, phase)
	}
	return all
}

// TestEndings runs the table of docs/endings.md, one subtest per row.
func TestEndings(t *testing.T) {
	tests := endings()
	var mu sync.Mutex
	executed := map[string]bool{}
	rows := readEndings(t)
	for _, way := range proxytest.Ways() {
		for _, row := range rows {
			run := tests[row.id]
			if run == nil {
				t.Errorf("row %s has no test", row.id)
				continue
			}
			own := row.way(way)
			if !goes("TestEndings/"+row.id, way) || own == nil {
				continue
			}
			t.Run(onWay(way, row.id), func(t *testing.T) {
				t.Parallel()
				e := &ending{t: proxytest.Over(t, *own), row: row}
				run(e)
				e.finish()
				mu.Lock()
				executed[row.id] = true
				mu.Unlock()
			})
		}
	}
	for id := range tests {
		if !slices.ContainsFunc(rows, func(row endingRow) bool { return row.id == id }) {
			t.Errorf("test %s has no row in %s", id, endingsPage)
		}
	}
	t.Cleanup(func() {
		if strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
			return // some were asked for
		}
		for _, row := range rows {
			if !executed[row.id] {
				t.Errorf("row %s was not executed to its end", row.id)
			}
		}
	})
}

// ending is one row under test: a proxy, and up to one connection at each of its far ends.
type ending struct {
	t              *proxytest.T
	row            endingRow
	p              *proxytest.Proxy
	backend        *proxytest.Backend
	client, server *proxytest.Conn // server is the backend's side
	narrow         bool            // kernels hold little: a few KiB make the proxy hold bytes
	narrowClient   bool            // those on the client's side only
	judged         bool            // the log's line was compared
}

// Timeouts of the rows that are about one; all others have the documented ones. They are long enough to set a row up.
const (
	shortTimeout = 150 * time.Millisecond
	stallTimeout = time.Second
	longTimeout  = time.Minute // does not run out in a test
)

// start runs the row's proxy with one backend in front of what change adds.
func (e *ending) start(change func(*proxy.Config)) {
	e.t.Helper()
	o := proxytest.BackendOptions{}
	if e.narrow {
		o.ReceiveBuffer = endingBuffer
	}
	e.backend = proxytest.NewBackendWith(e.t, o)
	e.p = proxytest.Start(e.t, proxytest.Options{Backends: []*proxytest.Backend{e.backend}, Config: func(c *proxy.Config) {
		if e.narrow || e.narrowClient {
			c.NotSentLowat = endingBuffer
		}
		if change != nil {
			change(c)
		}
	}})
}

// endingBuffer is what a kernel holds where a row needs the proxy to hold bytes, in bytes.
const endingBuffer = 4 << 10

// dial connects the row's client and waits until the proxy has accepted it.
func (e *ending) dial() {
	e.t.Helper()
	o := proxytest.ConnOptions{}
	if e.narrow || e.narrowClient {
		o.ReceiveBuffer = endingBuffer
	}
	e.client = e.p.DialWith(e.t, o)
	e.p.Watch(e.t, e.client)
	e.p.WaitGreeted(e.t)
}

// ask sends a request and leaves it with the backend, its head read.
func (e *ending) ask(request string) {
	e.t.Helper()
	e.dial()
	e.client.Send(request)
	e.accept()
}

func (e *ending) accept() {
	e.t.Helper()
	e.server = e.backend.Accept()
	e.server.ReadHead()
	e.p.Watch(e.t, e.server)
}

// tunnel opens the row's tunnel.
func (e *ending) tunnel() {
	e.t.Helper()
	e.dial()
	e.server = e.p.Upgrade(e.t, e.client)
	e.p.Watch(e.t, e.server)
}

// logged compares the line of the ending with the row, as finish does where the test has not. After it the descriptors
// that are released at once are.
func (e *ending) logged() {
	e.t.Helper()
	e.judged = true
	if e.row.reason == "" {
		e.nothingLogged()
		return
	}
	line := e.p.WaitEnd(e.t)
	by := e.row.by[0]
	if line.Text("by") == e.row.by[1] {
		by = e.row.by[1]
	}
	line.Want(e.t, e.row.reason, e.row.status, by)
}

func (e *ending) nothingLogged() {
	e.t.Helper()
	if m := endingSilent.FindStringSubmatch(e.row.logged); m[2] == "refused connection" {
		e.p.WaitMetric(e.t, 1, "culvert_dropped_total", "limit=max-connections")
	} else if m[2] != "" {
		e.p.WaitMetric(e.t, 1, "culvert_exchanges_ended_total", "reason="+strings.Trim(m[2], "`"))
	} else {
		return // a row about what comes after the line
	}
	if lines := e.p.Log(); len(lines) > 0 {
		e.t.Errorf("the log says %v, want nothing", lines)
	}
}

func (e *ending) finish() {
	e.t.Helper()
	if !e.judged {
		e.logged()
	}
}

// released: the descriptors were released in the same turn as the ending was logged.
func (e *ending) released(connections ...*proxytest.Conn) {
	e.t.Helper()
	e.logged()
	for _, c := range connections {
		if e.p.Holds(c) {
			e.t.Errorf("the proxy still has its descriptor to %s", c)
		}
	}
}

// lingers: the descriptors outlive the line, until the far end finishes.
func (e *ending) lingers(connections ...*proxytest.Conn) {
	e.t.Helper()
	if !e.judged {
		e.logged()
	}
	for _, c := range connections {
		if !e.p.Holds(c) {
			e.t.Errorf("the proxy does not linger on %s", c)
		}
		c.CloseWrite()
		e.p.WaitReleased(e.t, c)
	}
}

// refused wants a whole answer of the proxy's own, then its FIN.
func (e *ending) refused(status int) {
	e.t.Helper()
	answer := e.client.ReadUntilEOF()
	head, body, _ := strings.Cut(answer, "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.1 "+strconv.Itoa(status)+" ") {
		e.t.Errorf("the client got %q, want status %d", answer, status)
	}
	if length := proxytest.Field(head+"\r\n", "Content-Length"); length != strconv.Itoa(len(body)) {
		e.t.Errorf("the client got %d bytes of body, want %s", len(body), length)
	}
}

// shutDown ends the proxy gracefully beside the test.
func (e *ending) shutDown() (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.p.Shutdown(e.t)
	}()
	return func() { <-done }
}

// prefix wants got to be the beginning of sent, and less than all of it unless that is allowed.
func (e *ending) prefix(got, sent string, allowed bool) {
	e.t.Helper()
	if !strings.HasPrefix(sent, got) {
		e.t.Errorf("what arrived is no beginning of what was sent: %s", proxytest.Difference(got, sent))
	} else if got == sent && !allowed {
		e.t.Error("all arrived: nothing was pending")
	}
}
