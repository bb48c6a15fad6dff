package apps

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// gosServer is Go's own server, which counts its connections.
type gosServer struct {
	*httptest.Server
	connections atomic.Int64 // ever accepted
}

func newGosServer(t *testing.T, handler http.Handler) *gosServer {
	t.Helper()
	s := &gosServer{Server: httptest.NewUnstartedServer(handler)}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func (s *gosServer) address() string { return s.Listener.Addr().String() }

// gosClient is Go's own client, which counts its connections.
type gosClient struct {
	*http.Client
	dials atomic.Int64
}

// newGosClient returns a client that has one connection at a time.
func newGosClient(t *testing.T) *gosClient {
	t.Helper()
	c := &gosClient{}
	dialer := net.Dialer{}
	transport := &http.Transport{DisableCompression: true, MaxConnsPerHost: 1, ExpectContinueTimeout: patience}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c.dials.Add(1)
		return dialer.DialContext(ctx, network, address)
	}
	c.Client = &http.Client{Transport: transport, Timeout: patience}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// do sends a request and returns the answer with its whole body.
func (c *gosClient) do(t *testing.T, request *http.Request) (*http.Response, []byte) {
	t.Helper()
	answer, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return answer, body
}

func newRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	request, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// dialRaw opens a connection on which a test speaks for itself.
func dialRaw(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

func TestTrailersReachBothGosServerAndGosClient(t *testing.T) {
	server := newGosServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Digest")
		received, err := io.ReadAll(r.Body)
		_, _ = w.Write(received)
		w.(http.Flusher).Flush()
		w.Header().Set("X-Digest", fmt.Sprint(digestOf(received)))
		w.Header().Set(http.TrailerPrefix+"X-Unannounced", fmt.Sprintf("%s, %v", r.Trailer.Get("X-Digest"), err))
	}))
	c, client := startCulvert(t, []string{server.address()}), newGosClient(t)
	for _, size := range []int{0, 1, 1000, 100_000, 2 << 20} {
		sent := payload(uint64(size), size)
		request := newRequest(t, "POST", c.url("/"), io.MultiReader(bytes.NewReader(sent))) // of a length that nobody knows
		request.Trailer = http.Header{"X-Digest": {fmt.Sprint(digestOf(sent))}}
		answer, body := client.do(t, request)
		want := fmt.Sprint(digestOf(sent))
		if !bytes.Equal(body, sent) || answer.Trailer.Get("X-Digest") != want || answer.Trailer.Get("X-Unannounced") != want+", <nil>" {
			t.Errorf("%d bytes came back as %d, with the trailers %v; want %s twice", size, len(body), answer.Trailer, want)
		}
	}
	if n := client.dials.Load(); n != 1 {
		t.Errorf("the client had %d connections", n)
	}
}

func TestInterimAnswersReachGosClientBeforeTheFinalOne(t *testing.T) {
	seen := make(chan struct{})
	server := newGosServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			w.Header().Set("Link", fmt.Sprintf("</%d.css>; rel=preload", i))
			w.WriteHeader(http.StatusEarlyHints)
			<-seen
		}
		w.WriteHeader(http.StatusProcessing)
		<-seen
		_, _ = io.Copy(w, r.Body)
	}))
	c, client := startCulvert(t, []string{server.address()}), newGosClient(t)
	for _, sent := range []string{"", "a body"} {
		var hints []string
		request := newRequest(t, "POST", c.url("/"), strings.NewReader(sent))
		request = request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(status, " ", header.Get("Link")))
				seen <- struct{}{}
				return nil
			},
		}))
		answer, body := client.do(t, request)
		want := []string{"103 </0.css>; rel=preload", "103 </1.css>; rel=preload", "103 </2.css>; rel=preload", "102 </2.css>; rel=preload"}
		if !slices.Equal(hints, want) || answer.StatusCode != 200 || string(body) != sent {
			t.Errorf("the client saw %q and then %s with %q", hints, answer.Status, body)
		}
	}
	if n := client.dials.Load(); n != 1 {
		t.Errorf("the client had %d connections", n)
	}
}

func TestAnUploadWaitsForContinueAndARefusedOneIsNotSent(t *testing.T) {
	server := newGosServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		var got digest
		_, _ = io.Copy(&got, r.Body)
		_, _ = fmt.Fprint(w, r.Header.Get("Expect"), got)
	}))
	c, client := startCulvert(t, []string{server.address()}), newGosClient(t)
	sent := payload(7, 1<<20)
	for path, status := range map[string]int{"/": 200, "/refuse": 403} {
		for _, chunked := range []bool{false, true} {
			body := bytes.NewReader(sent)
			request := newRequest(t, "PUT", c.url(path), body)
			request.Header.Set("Expect", "100-continue")
			if chunked {
				request.ContentLength = -1
			}
			answer, said := client.do(t, request)
			if answer.StatusCode != status {
				t.Errorf("%s was answered %s", path, answer.Status)
			}
			if want := fmt.Sprint("100-continue", digestOf(sent)); status == 200 && string(said) != want {
				t.Errorf("the server says %s, want %s", said, want)
			}
			if status != 200 && body.Len() != len(sent) {
				t.Errorf("%d bytes of a refused body were sent", len(sent)-body.Len())
			}
		}
	}
}

// bodiless answers in the ways that have no body, and in one that has.
func bodiless(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/204":
		w.WriteHeader(http.StatusNoContent)
	case "/304":
		w.Header().Set("Etag", `"7"`)
		w.WriteHeader(http.StatusNotModified)
	case "/length":
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(payload(1, 100_000))
	case "/chunked":
		_, _ = w.Write(payload(1, 50_000))
		w.(http.Flusher).Flush()
		_, _ = w.Write(payload(1, 100_000)[50_000:])
	}
}

func TestAnswersWithoutBodiesKeepTheirConnections(t *testing.T) {
	server := newGosServer(t, http.HandlerFunc(bodiless))
	c, client := startCulvert(t, []string{server.address()}), newGosClient(t)
	for range 5 {
		for _, one := range []struct {
			method, path string
			status       int
			length       int64 // as declared; -1: not
			bytes        int
		}{
			{"GET", "/204", 204, 0, 0},
			{"GET", "/304", 304, 0, 0},
			{"HEAD", "/length", 200, 100_000, 0},
			{"HEAD", "/chunked", 200, -1, 0},
			{"GET", "/length", 200, 100_000, 100_000},
			{"GET", "/chunked", 200, -1, 100_000},
		} {
			answer, body := client.do(t, newRequest(t, one.method, c.url(one.path), nil))
			if answer.StatusCode != one.status || answer.ContentLength != one.length || !bytes.Equal(body, payload(1, one.bytes)) {
				t.Errorf("%s %s: %s with %d of %d bytes", one.method, one.path, answer.Status, len(body), answer.ContentLength)
			}
		}
	}
	// Behind a HEAD whose answer declares a body the backend's connection is given up: some send the body after all.
	const declared = 5
	if n, behind := client.dials.Load(), server.connections.Load(); n != 1 || behind > 1+declared {
		t.Errorf("30 requests had %d connections to the proxy and %d from it, want 1 and at most %d", n, behind, 1+declared)
	}
}

func TestConnectionCloseEndsTheClientsConnectionAlone(t *testing.T) {
	server := newGosServer(t, http.HandlerFunc(bodiless))
	c, client := startCulvert(t, []string{server.address()}, "--loops", "1"), newGosClient(t)
	for _, path := range []string{"/length", "/chunked", "/204", "/304"} {
		request := newRequest(t, "GET", c.url(path), nil)
		request.Close = true
		answer, _ := client.do(t, request)
		if !answer.Close {
			t.Errorf("%s: the client was not told that its connection ends: %v", path, answer.Header)
		}
	}
	if n, behind := client.dials.Load(), server.connections.Load(); n != 4 || behind != 1 {
		t.Errorf("4 requests had %d connections to the proxy and %d from it, want 4 and 1", n, behind)
	}
}

func TestAClientOfHTTP10GetsWhatItUnderstands(t *testing.T) {
	server := newGosServer(t, http.HandlerFunc(bodiless))
	c := startCulvert(t, []string{server.address()})
	for _, one := range []struct {
		path, fields string
		keeps        bool
	}{
		{"/length", "", false},
		{"/chunked", "", false},
		{"/length", "Connection: keep-alive\r\n", true},
		{"/204", "Connection: keep-alive\r\n", true},
		{"/chunked", "Connection: keep-alive\r\n", false}, // its end is the connection's
	} {
		t.Run(strings.TrimSpace(one.path[1:]+" "+one.fields), func(t *testing.T) {
			connection := dialRaw(t, c.address)
			reader := bufio.NewReader(connection)
			for range 3 {
				if _, err := fmt.Fprintf(connection, "GET %s HTTP/1.0\r\n%s\r\n", one.path, one.fields); err != nil {
					t.Fatal(err)
				}
				answer, err := http.ReadResponse(reader, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(answer.Body)
				if err != nil || answer.StatusCode == 200 && !bytes.Equal(body, payload(1, 100_000)) || len(answer.TransferEncoding) > 0 {
					t.Errorf("%s with %d bytes, encoded %v: %v", answer.Status, len(body), answer.TransferEncoding, err)
				}
				if kept := answer.Header.Get("Connection") == "keep-alive"; kept != one.keeps {
					t.Errorf("the connection is to be kept: %v, want %v", kept, one.keeps)
				}
				if !one.keeps {
					break
				}
			}
			if !one.keeps {
				if rest, err := io.ReadAll(reader); err != nil || len(rest) > 0 {
					t.Errorf("behind the answer came %d bytes, and %v", len(rest), err)
				}
			}
		})
	}
}

// number reads a number of a request's query.
func number(r *http.Request, name string) uint64 {
	n, _ := strconv.ParseUint(r.URL.Query().Get(name), 10, 64)
	return n
}
