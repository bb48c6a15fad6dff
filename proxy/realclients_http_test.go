package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// httpBody is the body of most answers here: more than one read, and less than what is spliced at once.
var httpBody = message(200_000)

// ordinaryBackend answers ordinary requests in all the ways that a body may be framed.
func ordinaryBackend() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/length", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(httpBody)))
		_, _ = w.Write(httpBody)
	})
	mux.HandleFunc("/chunked", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Checksum")
		for part := range 10 {
			_, _ = w.Write(cut(httpBody, part, 10))
			w.(http.Flusher).Flush()
		}
		w.Header().Set("X-Checksum", "5ca1ab1e")
	})
	mux.HandleFunc("/until-close", func(w http.ResponseWriter, _ *http.Request) {
		c, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = buffered.WriteString("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n")
		_, _ = buffered.Write(httpBody)
		_ = buffered.Flush()
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(httpBody)))
		_, _ = w.Write(httpBody[:len(httpBody)/2])
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/cached", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"7"`)
		if r.Header.Get("If-None-Match") == `"7"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(httpBody)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/length?again=1", http.StatusFound) })
	mux.HandleFunc("/about", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Host, r.URL, r.Header.Get("X-Forwarded-For"))
	})
	return mux
}

// browser is Go's own client in front of a proxy in front of Go's own server.
type browser struct {
	*http.Client
	proxy *proxyProcess
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	backend := httptest.NewServer(ordinaryBackend())
	t.Cleanup(backend.Close)
	b := &browser{
		Client: &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: volumePatience},
		proxy: startProxy(t, childSettings{
			Backends: []netip.AddrPort{netip.MustParseAddrPort(backend.Listener.Addr().String())}, Loops: 1, AccessLog: true,
		}),
	}
	t.Cleanup(b.CloseIdleConnections)
	return b
}

// do sends a request and returns the answer with its whole body.
func (b *browser) do(t *testing.T, method, path string, fields ...string) (*http.Response, []byte, error) {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+b.proxy.address.String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		request.Header.Set(fields[i], fields[i+1])
	}
	answer, err := b.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return answer, body, err
}

func TestOrdinaryAnswersReachGosClientWhole(t *testing.T) {
	b := newBrowser(t)
	for _, one := range []struct {
		name, method, path string
		fields             []string
		status             int
		body               []byte
		length             int64 // as declared; -1: not
	}{
		{"of known length", "GET", "/length", nil, 200, httpBody, int64(len(httpBody))},
		{"in chunks", "GET", "/chunked", nil, 200, httpBody, -1},
		{"until the close", "GET", "/until-close", nil, 200, httpBody, -1},
		{"without a body", "GET", "/empty", nil, 204, nil, 0},
		{"not modified", "GET", "/cached", []string{"If-None-Match", `"7"`}, 304, nil, 0},
		{"not modified, of another state", "GET", "/cached", []string{"If-None-Match", `"6"`}, 200, httpBody, -1},
		{"by a redirect", "GET", "/moved", nil, 200, httpBody, int64(len(httpBody))},
		{"to HEAD", "HEAD", "/length", nil, 200, nil, int64(len(httpBody))},
		{"to HEAD, in chunks", "HEAD", "/chunked", nil, 200, nil, -1},
		{"to HEAD, of a redirect", "HEAD", "/moved", nil, 200, nil, int64(len(httpBody))},
		{"that is missing", "GET", "/nowhere", nil, 404, []byte("404 page not found\n"), 19},
	} {
		t.Run(one.name, func(t *testing.T) {
			answer, body, err := b.do(t, one.method, one.path, one.fields...)
			if err != nil || answer.StatusCode != one.status || !bytes.Equal(body, one.body) {
				t.Errorf("answered %s with %d bytes (%v), want %d with %d", answer.Status, len(body), err, one.status, len(one.body))
			}
			if answer.ContentLength != one.length {
				t.Errorf("the length is declared as %d, want %d", answer.ContentLength, one.length)
			}
			b.proxy.waitLine("the request", func(l logLine) bool {
				return l["event"] == "request" && l["reason"] == "complete" && l["method"] == one.method && l["uri"] == one.path
			})
		})
	}
}

func TestTrailersReachGosClient(t *testing.T) {
	answer, body, err := newBrowser(t).do(t, "GET", "/chunked")
	if err != nil || !bytes.Equal(body, httpBody) {
		t.Fatalf("%d bytes: %v", len(body), err)
	}
	if got := answer.Trailer.Get("X-Checksum"); got != "5ca1ab1e" {
		t.Errorf("the trailer is %q (all: %v)", got, answer.Trailer)
	}
}

func TestGosServerSeesTheRequestAsItWas(t *testing.T) {
	b := newBrowser(t)
	for _, method := range []string{"GET", "DELETE", "OPTIONS"} {
		_, body, err := b.do(t, method, "/about?a=b%20c&a=d", "X-Forwarded-For", "192.0.2.7")
		want := strings.Join([]string{method, b.proxy.address.String(), "/about?a=b%20c&a=d", "127.0.0.1"}, " ")
		if err != nil || string(body) != want {
			t.Errorf("the backend saw %q, want %q (%v)", body, want, err)
		}
	}
}

// An answer that the backend cuts must not look whole.
func TestGosClientNoticesACutAnswer(t *testing.T) {
	b := newBrowser(t)
	answer, body, err := b.do(t, "GET", "/cut")
	if err == nil {
		t.Errorf("%s with %d bytes was taken for a whole answer", answer.Status, len(body))
	}
	line := b.proxy.waitLine("the request", func(l logLine) bool { return l["event"] == "request" })
	if line["by"] != "backend" || line["reason"] == "complete" {
		t.Errorf("the log says that it ended for %v by %v", line["reason"], line["by"])
	}
}
