package demo

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"culvert/cmd/internal/demo/demotest"
)

func TestPageInABrowser(t *testing.T) {
	d := startDemo(t, Options{Backends: 1, Push: 200 * time.Millisecond})
	seen := demotest.Exercise(t, pageURL(d, 0))
	if want := []string{"demo-1", "demo-1", "demo-1"}; !slices.Equal(seen.Backends, want) {
		t.Errorf("tunnels ended on %v, want %v", seen.Backends, want)
	}
	if want := "none"; seen.ForwardedFor != want {
		t.Errorf("the page says the backend sees %q, want %q", seen.ForwardedFor, want)
	}
	t.Logf("round trip: %s", seen.RoundTrip)
}

func TestTwoBackendsShareOneRoomInABrowser(t *testing.T) {
	d := startDemo(t, Options{Push: 200 * time.Millisecond})
	browser := demotest.NewBrowser(t)
	first, second := demotest.OpenPage(browser, pageURL(d, 0)), demotest.OpenPage(browser, pageURL(d, 1))
	if a, b := first.Backend(), second.Backend(); a != "demo-1" || b != "demo-2" {
		t.Fatalf("the pages show %s and %s, want demo-1 and demo-2", a, b)
	}
	first.Say("from the one to the other")
	second.WaitForMessage("from the one to the other")

	late := demotest.OpenPage(browser, pageURL(d, 1))
	late.WaitForMessage("from the one to the other")
}

func TestPageReconnectsByItself(t *testing.T) {
	d := startDemo(t, Options{Push: 200 * time.Millisecond})
	page := demotest.OpenPage(demotest.NewBrowser(t), pageURL(d, 0))
	page.Say("before")
	page.WaitForMessage("before")
	d.room.endAll()
	page.WaitFor("the end of the tunnel to be told",
		`document.querySelector("#messages").innerText.includes("The tunnel ended: demo test")`)
	page.WaitForTunnel(2)
	page.WaitForMessage("before") // from the history, and not shown twice
	page.Say("after")
	page.WaitForMessage("after")
}

func TestPageComesBackAfterAnOutage(t *testing.T) {
	d := startDemo(t, Options{Push: 200 * time.Millisecond})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	proxy := serveProxy(t, d, listener)
	page := demotest.OpenPage(demotest.NewBrowser(t), "http://"+address+"/")
	page.Say("before")
	page.WaitForMessage("before")

	page.ExpectOutage(true)
	proxy.Close()
	d.room.endAll()
	page.WaitFor("a second failure", `document.querySelector("#state").dataset.failures >= 2`)
	page.WaitFor("the outage to be shown", `document.querySelector("#state").innerText === "Disconnected" &&
		/^next try in \d+ s$/.test(document.querySelector("#retry").innerText) && document.querySelector("#send").disabled`)
	for _, selector := range []string{"#backend", "#forwarded", "#people"} {
		if text := page.Text(selector); text != "–" {
			t.Errorf("without a tunnel the page shows %q in %s", text, selector)
		}
	}
	page.Type("#input", "after")

	listener, err = net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	serveProxy(t, d, listener)
	page.WaitForTunnel(2)
	page.Click("#send") // what was written in the meantime is still there
	page.WaitForMessage("after")
	page.WaitForMessage("before")
}

// endAll ends every tunnel but lets people come back.
func (r *room) endAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for m := range r.members {
		m.finish(ws.StatusGoingAway, "demo test")
	}
}

// TestPageBehindAProxy uses the page as the proxy's own end-to-end test does,
// with another proxy that takes the backends in turn.
func TestPageBehindAProxy(t *testing.T) {
	d := startDemo(t, Options{Push: 200 * time.Millisecond})
	seen := demotest.Exercise(t, startProxy(t, d))
	if seen.ForwardedFor != "127.0.0.1" {
		t.Errorf("the backend saw X-Forwarded-For %q, want 127.0.0.1", seen.ForwardedFor)
	}
	if len(seen.Backends) != 3 {
		t.Errorf("tunnels ended on %v, want three", seen.Backends)
	}
}

// startProxy returns the address of a plain reverse proxy before all backends.
func startProxy(t *testing.T, d *Demo) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveProxy(t, d, listener)
	return "http://" + listener.Addr().String() + "/"
}

func serveProxy(t *testing.T, d *Demo, listener net.Listener) *http.Server {
	t.Helper()
	var turn atomic.Uint64
	server := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0), // it complains of tunnels that end
		Handler: &httputil.ReverseProxy{
			ErrorLog:  log.New(io.Discard, "", 0),
			Transport: &http.Transport{DisableKeepAlives: true},
			Rewrite: func(r *httputil.ProxyRequest) {
				addresses := d.Addresses()
				r.Out.URL.Scheme = "http"
				r.Out.URL.Host = addresses[turn.Add(1)%uint64(len(addresses))].String()
				r.SetXForwarded()
			},
		},
	}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return server
}

// TestPageFitsTheWindow resizes the page to a desktop and to small phones, in
// light and dark: nothing may stick out sideways, and the newest message is in
// view. For a person to look at, the pictures go into the directory that
// CULVERT_SCREENSHOTS names.
func TestPageFitsTheWindow(t *testing.T) {
	d := startDemo(t, Options{Push: 700 * time.Millisecond})
	url, pictures := startProxy(t, d), os.Getenv("CULVERT_SCREENSHOTS")
	browser := demotest.NewBrowser(t)
	other := demotest.OpenPage(browser, url)
	for _, view := range []struct {
		name          string
		width, height int64
		scheme        string
	}{
		{"desktop-light", 1280, 860, "light"},
		{"desktop-dark", 1280, 860, "dark"},
		{"phone-light", 390, 844, "light"},
		{"phone-dark", 320, 640, "dark"},
	} {
		page := demotest.OpenPage(browser, url)
		other.Say("Hello from another tab.")
		page.Resize(view.width, view.height, view.scheme)
		page.Say("A longer message, to see where a line breaks and what becomes of the time behind it: " + view.name)
		if width := page.Evaluate("document.documentElement.scrollWidth - innerWidth"); width[0] != '-' && width != "0" {
			t.Errorf("%s: the page is %s pixels wider than its window", view.name, width)
		}
		page.WaitFor("the newest message to be in view", `(() => {
			const list = document.querySelector("#messages");
			return list.scrollTop + list.clientHeight >= list.scrollHeight - 1;
		})()`)
		if pictures != "" {
			page.WaitFor("some round trips", `document.querySelector("#spark polyline").points.length >= 12`)
			if err := os.WriteFile(filepath.Join(pictures, view.name+".png"), page.Screenshot(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		page.Close()
	}
}
