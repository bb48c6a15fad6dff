package apps

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"
)

const (
	// keepAliveConnections is how many clients send requests at once, each over one connection.
	keepAliveConnections = 4
	// lateWrites is how often Go's client may dial once more on a busy machine: it gives a connection up when the answer is
	// there and its own writer has not said for 50 ms that the request is out (net/http's maxWriteWaitBeforeConnReuse).
	lateWrites = 3
	// largestBody is the largest body of a request or an answer, in bytes.
	largestBody = 256 << 10
)

// sized answers every request by the digest of its body in a header, and a body of the size that is asked for, in chunks
// if asked for, or of known length.
func sized(w http.ResponseWriter, r *http.Request) {
	var received digest
	if _, err := io.Copy(&received, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("X-Received", fmt.Sprint(received))
	body := payload(number(r, "seed"), int(number(r, "size")))
	if r.URL.Path == "/chunked" {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
	} else {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	}
	_, _ = w.Write(body)
}

// sizedRequest is one request of random size and kind.
type sizedRequest struct {
	method, path string
	seed         uint64
	asked, sent  int // bytes of the answer's body, and of the request's
	chunked      bool
}

func randomRequest(rng *rand.Rand) sizedRequest {
	r := sizedRequest{method: "GET", path: "/length", seed: rng.Uint64(), asked: logUniform(rng, largestBody)}
	if rng.IntN(2) == 0 {
		r.path = "/chunked"
	}
	if rng.IntN(5) < 2 {
		r.method, r.sent, r.chunked = "POST", logUniform(rng, largestBody), rng.IntN(2) == 0
	}
	return r
}

// send sends the request and checks what was received at both ends.
func (r sizedRequest) send(client *gosClient, base string) error {
	sent := payload(r.seed+1, r.sent)
	var body io.Reader
	if r.method == "POST" {
		body = bytes.NewReader(sent)
		if r.chunked {
			body = io.MultiReader(body)
		}
	}
	request, err := http.NewRequest(r.method, fmt.Sprintf("%s%s?seed=%d&size=%d", base, r.path, r.seed, r.asked), body)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	var got digest
	if _, err := io.Copy(&got, answer.Body); err != nil {
		return err
	}
	if want := digestOf(payload(r.seed, r.asked)); answer.StatusCode != 200 || got != want {
		return fmt.Errorf("answered %s with %+v, want %+v", answer.Status, got, want)
	}
	if got, want := answer.Header.Get("X-Received"), fmt.Sprint(digestOf(sent)); got != want {
		return fmt.Errorf("the backend received %s, want %s", got, want)
	}
	return nil
}

// sendMany sends requests over a few connections at once, and returns how many were dialed.
func sendMany(t *testing.T, c *culvert, requests int) (dials int) {
	t.Helper()
	const seed = 4
	var clients [keepAliveConnections]*gosClient
	var busy sync.WaitGroup
	for i := range clients {
		client := newGosClient(t)
		clients[i] = client
		busy.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			for n := range requests / keepAliveConnections {
				r := randomRequest(rng)
				if err := r.send(client, c.url("")); err != nil {
					t.Errorf("seed %d, client %d, request %d, %+v: %v", seed, i, n, r, err)
					return
				}
			}
		})
	}
	busy.Wait()
	for _, client := range clients {
		dials += int(client.dials.Load())
	}
	return dials
}

func TestTenThousandRequestsOfRandomSizesArriveWholeOverAFewConnections(t *testing.T) {
	servers := [2]*gosServer{newGosServer(t, http.HandlerFunc(sized)), newGosServer(t, http.HandlerFunc(sized))}
	c := startCulvert(t, []string{servers[0].address(), servers[1].address()}, "--keep-alive-requests", "1000000")
	begin := time.Now()
	dials := sendMany(t, c, keepAliveRequests)
	took := time.Since(begin)
	if most := keepAliveConnections + lateWrites; dials > most {
		t.Errorf("the clients dialed %d times, at most %d times is needed", dials, most)
	}
	// At most one connection to each backend is needed for each client.
	behind := servers[0].connections.Load() + servers[1].connections.Load()
	if most := int64(2 * dials); behind > most {
		t.Errorf("the backends were dialed %d times, at most %d times is needed", behind, most)
	}
	c.wantMetric(keepAliveRequests, "culvert_exchanges_ended_total", `reason="complete"`)
	if reused := c.metric("culvert_backend_connections_reused_total"); reused != float64(keepAliveRequests-behind) {
		t.Errorf("%v of %d requests went over a connection that had served others, %d were dialed", reused, keepAliveRequests, behind)
	}
	t.Logf("figure: %d requests in %v over %d connections of clients and %d to backends", keepAliveRequests, took.Round(time.Millisecond), dials, behind)
}

func TestAClientsConnectionEndsCleanlyBehindItsLastRequest(t *testing.T) {
	const limit, requests = 50, 1000
	server := newGosServer(t, http.HandlerFunc(sized))
	c := startCulvert(t, []string{server.address()}, "--loops", "1", "--keep-alive-requests", fmt.Sprint(limit))
	if dials := sendMany(t, c, requests); dials < requests/limit || dials > requests/limit+lateWrites {
		t.Errorf("the clients dialed %d times, want %d", dials, requests/limit)
	}
	if behind := server.connections.Load(); behind > keepAliveConnections {
		t.Errorf("the backend was dialed %d times for %d clients", behind, keepAliveConnections)
	}
	c.wantMetric(requests, "culvert_exchanges_ended_total", `reason="complete"`)
}

// pipelined is how many requests are sent without waiting for an answer.
const pipelined = keepAliveRequests / 2

func TestRequestsSentAtOnceAreAnsweredInTheirOrder(t *testing.T) {
	server := newGosServer(t, http.HandlerFunc(sized))
	c := startCulvert(t, []string{server.address()}, "--keep-alive-requests", "1000000")
	connection := dialRaw(t, c.address)
	go func() {
		all := bufio.NewWriterSize(connection, 64<<10)
		for i := range pipelined {
			path := fmt.Sprintf("/length?seed=%d&size=%d HTTP/1.1\r\nHost: example.com\r\n", i, i%1000)
			switch i % 3 {
			case 0:
				fmt.Fprintf(all, "GET %s\r\n", path)
			case 1:
				fmt.Fprintf(all, "POST %sContent-Length: 5\r\n\r\nhello", path)
			case 2:
				fmt.Fprintf(all, "POST %sTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", path)
			}
		}
		_ = all.Flush() // a failure is that of the answers
	}()
	answers := bufio.NewReader(connection)
	for i := range pipelined {
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		var got digest
		_, err = io.Copy(&got, answer.Body)
		if want := digestOf(payload(uint64(i), i%1000)); err != nil || answer.StatusCode != 200 || got != want {
			t.Fatalf("answer %d is %s with %+v, want %+v: %v", i, answer.Status, got, want, err)
		}
	}
	if n := server.connections.Load(); n != 1 {
		t.Errorf("the backend was dialed %d times", n)
	}
}

// The end of a large answer is often read before the event that tells of it comes: that must not end the connection,
// which is in the pool by then.
func TestLargeAnswersKeepTheirConnectionsToTheBackend(t *testing.T) {
	const requests = 1000
	server := newGosServer(t, http.HandlerFunc(sized))
	c := startCulvert(t, []string{server.address()}, "--keep-alive-requests", "1000000", "--loops", "1")
	var busy sync.WaitGroup
	for range keepAliveConnections {
		client := newGosClient(t)
		busy.Go(func() {
			for n := range requests / keepAliveConnections {
				r := sizedRequest{method: "GET", path: "/chunked", seed: uint64(n), asked: largestBody}
				if err := r.send(client, c.url("")); err != nil {
					t.Errorf("request %d: %v", n, err)
					return
				}
			}
		})
	}
	busy.Wait()
	if n := server.connections.Load(); n > keepAliveConnections {
		t.Errorf("the backend was dialed %d times, at most %d times is needed", n, keepAliveConnections)
	}
}
