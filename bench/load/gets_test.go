package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"culvert/bench/echo"
	"culvert/bench/page"
)

// TestAnswersAreCounted fetches a known number of documents.
func TestAnswersAreCounted(t *testing.T) {
	target := backend(t, echo.Options{})
	target.Sources = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")}
	for _, p := range []GetPlan{
		{Size: 125, Count: 1}, {Size: 1, Count: 203, Connections: 7, Loops: 2}, {Size: 1 << 20, Count: 40, Connections: 4},
		{Size: 3<<20 + 7, Count: 5, Connections: 2}, {Size: 125, Count: 50, Connections: 4, Rate: 1000},
		{Size: 16, Count: 3, Connections: 8}, {Size: 17, Count: 30, Connections: 2, WarmUp: 20 * time.Millisecond},
	} {
		p.Duration = patience
		r, err := Gets(t.Context(), target, p)
		if err != nil || r.Messages != uint64(p.Count) || r.Bytes != uint64(p.Count*p.Size) {
			t.Errorf("%d answers of %d, %v", r.Messages, p.Count, err)
		}
		if r.Latency.Min <= 0 || r.Latency.Max < r.Latency.P50 {
			t.Errorf("latencies from %d to %d ns", r.Latency.Min, r.Latency.Max)
		}
		if most := uint64(max(p.Connections, 1)); r.Connections > most || (r.Connections > 0) != (p.WarmUp == 0) {
			t.Errorf("%d connections were made, want at most %d", r.Connections, most)
		}
	}
}

// asked is one connection to a server of documents, and the request that it has read last.
type asked struct {
	net.Conn
	reader *bufio.Reader
	n      int // how many requests it has read
	number page.Number
}

// read reads the next request.
func (a *asked) read() bool {
	request, err := http.ReadRequest(a.reader)
	if err != nil || len(request.URL.RawQuery) != page.NumberLen {
		return false
	}
	a.n++
	a.number = page.Number([]byte(request.URL.RawQuery))
	return true
}

// document returns the answer that was asked for, with further lines in its head.
func (a *asked) document(size int, lines string) []byte {
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n", lines, size)
	for offset := 0; offset < size; {
		run := page.Run(&a.number, size, offset)
		answer = append(answer, run...)
		offset += len(run)
	}
	return answer
}

// documents starts a server that answers every request by answer, and closes where that is false.
func documents(t *testing.T, answer func(a *asked) bool) Target {
	t.Helper()
	return rawServer(t, func(conn net.Conn) {
		a := &asked{Conn: conn, reader: bufio.NewReader(conn)}
		for a.read() && answer(a) {
			continue
		}
	})
}

// TestWrongAnswersAreNoticed: whatever a server or proxy does to the third answer of each connection, it is told, and
// the others count.
func TestWrongAnswersAreNoticed(t *testing.T) {
	const size = 3000
	flip := func(at int) func(*asked) []byte {
		return func(a *asked) []byte {
			b := a.document(size, "")
			b[len(b)-size+at] ^= 1
			return b
		}
	}
	answer := func(text string) func(*asked) []byte { return func(*asked) []byte { return []byte(text) } }
	for _, c := range []struct {
		name  string
		spoil func(*asked) []byte
		want  error
		says  string
	}{
		{"first byte flipped", flip(0), ErrMismatch, ""},
		{"byte in the middle flipped", flip(1500), ErrMismatch, ""},
		{"last byte flipped", flip(size - 1), ErrMismatch, ""},
		{"that of another request", func(a *asked) []byte {
			a.number = page.NewNumber(7)
			return a.document(size, "")
		}, ErrMismatch, ""},
		{"one byte missing", func(a *asked) []byte { return a.document(size-1, "") }, ErrMismatch, ""},
		{"one byte more", func(a *asked) []byte { return a.document(size+1, "") }, ErrMismatch, ""},
		{"chunked", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), ErrMismatch, ""},
		{"something behind it", func(a *asked) []byte { return append(a.document(size, ""), 'x') }, ErrBroken, "answer nothing"},
		{"503", answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), ErrBroken, "status 503"},
		{"no HTTP", answer("SSH-2.0-OpenSSH_9.2\r\n"), ErrBroken, "GET at"},
		{"cut", func(a *asked) []byte {
			_, _ = a.Write(a.document(size, "")[:2000])
			_ = a.Close()
			return nil
		}, ErrBroken, "bytes: the peer closed the connection before"},
		{"reset within the head", func(a *asked) []byte {
			_, _ = io.WriteString(a, "HTTP/1.1 200")
			_ = a.Conn.(*net.TCPConn).SetLinger(0)
			_ = a.Close()
			return nil
		}, ErrBroken, "GET at"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var spoilt atomic.Bool
			target := documents(t, func(a *asked) bool {
				b := a.document(size, "")
				if a.n == 3 && spoilt.CompareAndSwap(false, true) {
					b = c.spoil(a)
				}
				_, err := a.Write(b)
				return err == nil
			})
			r, err := Gets(t.Context(), target, GetPlan{Size: size, Count: 8, Duration: patience})
			if !errors.Is(err, c.want) || !strings.Contains(r.FirstError, c.says) {
				t.Errorf("the error is %v, want %v that says %q", err, c.want, c.says)
			}
			if r.Mismatches+r.Errors != 1 || r.Messages < 7 {
				t.Errorf("%d right, %d wrong, %d errors (%s)", r.Messages, r.Mismatches, r.Errors, r.FirstError)
			}
		})
	}
}

// TestAConnectionThatIsClosedBetweenAnswersIsReplaced: announced, by a FIN behind an answer, or by one that a request
// meets; none of it is an error.
func TestAConnectionThatIsClosedBetweenAnswersIsReplaced(t *testing.T) {
	const size, each = 200, 10
	for name, last := range map[string]func(a *asked) bool{
		"announced": func(a *asked) bool {
			_, _ = a.Write(a.document(size, "Connection: close\r\n"))
			return false
		},
		"behind an answer": func(a *asked) bool {
			_, _ = a.Write(a.document(size, ""))
			return false
		},
		"met by a request": func(a *asked) bool {
			_, _ = a.Write(a.document(size, ""))
			_ = a.read()
			return false
		},
		"reset at a request": func(a *asked) bool {
			_, _ = a.Write(a.document(size, ""))
			_ = a.read()
			_ = a.Conn.(*net.TCPConn).SetLinger(0)
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			target := documents(t, func(a *asked) bool {
				if a.n == each {
					return last(a)
				}
				_, err := a.Write(a.document(size, ""))
				return err == nil
			})
			const count = 100
			r, err := Gets(t.Context(), target, GetPlan{Size: size, Count: count, Connections: 2, Duration: patience})
			if err != nil || r.Messages != count || r.Connections < count/each {
				t.Errorf("%d right on %d connections, %v", r.Messages, r.Connections, err)
			}
		})
	}
}

// TestAnswersInPieces: any cut of the bytes changes nothing.
func TestAnswersInPieces(t *testing.T) {
	const size = 40
	target := documents(t, func(a *asked) bool {
		for _, b := range a.document(size, "") {
			if _, err := a.Write([]byte{b}); err != nil {
				return false
			}
		}
		return true
	})
	if r, err := Gets(t.Context(), target, GetPlan{Size: size, Count: 50, Connections: 3, Duration: patience}); err != nil || r.Messages != 50 {
		t.Errorf("%d answers, %v", r.Messages, err)
	}
}

// TestRequestsThatAreNotAnsweredAreErrors: nobody waits for ever, and who refuses is not hammered.
func TestRequestsThatAreNotAnsweredAreErrors(t *testing.T) {
	silent := documents(t, func(*asked) bool { return true })
	refused := Target{Addresses: []netip.AddrPort{closedPort(t)}}
	early := rawServer(t, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)) })
	for _, c := range []struct {
		target Target
		plan   GetPlan
		says   string
	}{
		{silent, GetPlan{Size: 125, Count: 4, Timeout: 100 * time.Millisecond}, "timed out"},
		{silent, GetPlan{Size: 125, Duration: 50 * time.Millisecond, Timeout: 100 * time.Millisecond}, ""},
		{silent, GetPlan{Size: 125, Rate: 100, Duration: 50 * time.Millisecond, Timeout: 200 * time.Millisecond}, ""},
		{refused, GetPlan{Size: 125, Connections: 2, Duration: 200 * time.Millisecond}, "refused"},
		{early, GetPlan{Size: 125, Connections: 2, Duration: 200 * time.Millisecond}, "before its answer"},
	} {
		r, err := Gets(t.Context(), c.target, c.plan)
		if !errors.Is(err, ErrBroken) || r.Errors == 0 || r.Errors > 100 || r.Messages != 0 || !strings.Contains(r.FirstError, c.says) {
			t.Errorf("%d right, %d errors, %v; want %q", r.Messages, r.Errors, err, c.says)
		}
	}
}

// TestGetPlansAreChecked: what no plan can mean is an error before anything is sent.
func TestGetPlansAreChecked(t *testing.T) {
	target := backend(t, echo.Options{})
	for _, p := range []GetPlan{
		{}, {Size: 1}, {Size: 0, Count: 1}, {Size: page.MaxSize + 1, Count: 1}, {Size: 1, Count: -1}, {Size: 1, Count: 1, Connections: MaxConcurrency + 1},
		{Size: 1, Count: 1, Loops: MaxLoops + 1}, {Size: 1, Count: 1, Timeout: -1}, {Size: 1, Count: 1, WarmUp: MaxDuration + 1},
		{Size: 1, Count: 1, Rate: -1},
	} {
		if _, err := Gets(t.Context(), target, p); err == nil {
			t.Errorf("%+v was accepted", p)
		}
	}
	if _, err := Gets(t.Context(), Target{}, GetPlan{Size: 1, Count: 1}); err == nil {
		t.Error("no address was accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Gets(ctx, target, GetPlan{Size: 125, Duration: time.Hour, Progress: func(s Snapshot) {
		if s.Messages > 0 && s.Measuring && s.Open == 1 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || r.Messages == 0 || r.Errors != 0 {
		t.Errorf("%d messages, %d errors, %v", r.Messages, r.Errors, err)
	}
}

// TestARequestCostsNoAllocation counts those of the whole process, with a server that allocates nothing either.
func TestARequestCostsNoAllocation(t *testing.T) {
	const size = 100
	target := rawServer(t, func(conn net.Conn) {
		request := make([]byte, 4096)
		answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		head := len(answer)
		answer = append(answer, make([]byte, size)...)
		number := new(page.Number)
		for {
			n, err := conn.Read(request)
			if err != nil || !bytes.HasSuffix(request[:n], []byte("\r\n\r\n")) {
				return
			}
			at := bytes.IndexByte(request[:n], '?') + 1
			*number = page.Number(request[at : at+page.NumberLen])
			copied := copy(answer[head:], page.Run(number, size, 0))
			copy(answer[head+copied:], page.Run(number, size, copied))
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	})
	var before, after runtime.MemStats
	r, err := Gets(t.Context(), target, GetPlan{
		Size: size, Connections: 4, WarmUp: 50 * time.Millisecond, Duration: 500 * time.Millisecond,
		Begin: func() { runtime.ReadMemStats(&before) }, End: func() { runtime.ReadMemStats(&after) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := after.Mallocs - before.Mallocs; r.Messages < 1000 || n > r.Messages/20 {
		t.Errorf("%d allocations for %d requests", n, r.Messages)
	}
}
