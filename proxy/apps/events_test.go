package apps

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// eventsInAll is how many events a stream has.
const eventsInAll = 200

// eventSource is a backend that sends events one at a time: each part of one only when the client says, by another
// request, that it has the part before.
type eventSource struct {
	have    chan string // what the client says that it has
	chunked bool
}

// ServeHTTP implements http.Handler.
func (e *eventSource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		e.have <- r.URL.Query().Get("have")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	send := func(text string) bool {
		_, err := fmt.Fprint(w, text)
		return err == nil && http.NewResponseController(w).Flush() == nil
	}
	if e.chunked {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
	} else {
		c, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		send = func(text string) bool {
			_, err := buffered.WriteString(text)
			return err == nil && buffered.Flush() == nil
		}
		send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
	}
	for i := range eventsInAll {
		for _, part := range []string{fmt.Sprintf("id: %d\n", i), "data: an event\n\n"} {
			if !send(part) {
				return
			}
			if want := fmt.Sprintf("%d %s", i, strings.TrimSpace(part)); <-e.have != want {
				panic("the client has something else than " + want)
			}
		}
	}
}

// startEventSource runs an event source, and the program in front of it.
func startEventSource(t *testing.T, chunked bool) *culvert {
	t.Helper()
	server := httptest.NewServer(&eventSource{have: make(chan string), chunked: chunked})
	t.Cleanup(server.Close)
	return startCulvert(t, []string{server.Listener.Addr().String()})
}

// follow reads a stream of events to its end, and tells its source of every part. It fails if anything is held back: the
// source waits for the client then, and the client for the source.
func follow(t *testing.T, c *culvert, lines *bufio.Scanner) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	events, have := 0, func(part string) {
		request, err := http.NewRequest(http.MethodPost, c.url("/"), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.URL.RawQuery = "have=" + strings.NewReplacer(" ", "+").Replace(part)
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
	}
	for lines.Scan() {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "id: "):
			have(fmt.Sprintf("%d %s", events, line))
		case line == "": // the event is whole
			have(fmt.Sprintf("%d data: an event", events))
			events++
		}
	}
	if err := lines.Err(); err != nil || events != eventsInAll {
		t.Errorf("%d events came, then %v", events, err)
	}
}

func TestEachServerSentEventArrivesBeforeTheNextIsSent(t *testing.T) {
	for name, chunked := range map[string]bool{"in chunks": true, "until the close": false} {
		t.Run(name, func(t *testing.T) {
			c := startEventSource(t, chunked)
			client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
			defer client.CloseIdleConnections()
			answer, err := client.Get(c.url("/"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = answer.Body.Close() }()
			follow(t, c, bufio.NewScanner(answer.Body))
		})
	}
}

func TestEventsReachAClientOfHTTP10OneByOne(t *testing.T) {
	c := startEventSource(t, true)
	client := dialRaw(t, c.address)
	_ = client.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprint(client, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(client)
	for lines.Scan() && lines.Text() != "" {
		if strings.HasPrefix(strings.ToLower(lines.Text()), "transfer-encoding") {
			t.Errorf("an HTTP/1.0 client got %q", lines.Text())
		}
	}
	follow(t, c, lines)
}
