package demotest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Seen is what the page showed while it was exercised.
type Seen struct {
	// Backends are the names of the backends that answered, one per tunnel, in
	// the order in which the tunnels were opened.
	Backends []string
	// ForwardedFor is the X-Forwarded-For that the first tunnel's backend saw,
	// or what the page shows in its place where there was none.
	ForwardedFor string
	// RoundTrip is the last round-trip time that the first tab showed.
	RoundTrip string
}

// Exercise opens the demo's page at url in two tabs of a headless browser and
// uses it as two people would: it watches the tunnel open, the round-trip time
// and a server push arrive, writes in each tab and reads in the other, and
// reconnects. It ends the test at the first thing that does not happen, and
// fails it for every error in a page's console. url may lead to a demo backend
// or to a proxy in front of several.
func Exercise(t testing.TB, url string) Seen {
	t.Helper()
	browser := NewBrowser(t)
	first := OpenPage(browser, url)
	if title := first.Evaluate("document.title"); title != "Culvert" {
		t.Fatalf("the page's title is %q", title)
	}
	seen := Seen{
		Backends:     []string{first.Backend()},
		ForwardedFor: first.Text("#forwarded"),
	}
	first.WaitFor("a round-trip time", `/^\d+(\.\d)? ms$/.test(document.querySelector("#rtt").innerText)`)
	first.WaitFor("a median", `/^\d+(\.\d)? ms$/.test(document.querySelector("#median").innerText)`)
	first.WaitForPush()
	seen.RoundTrip = first.Text("#rtt")

	second := OpenPage(browser, url)
	seen.Backends = append(seen.Backends, second.Backend())
	first.WaitFor("two people", `Number(document.querySelector("#people").innerText) >= 2`)
	converse(first, second, "before the reconnect")

	first.Reconnect()
	seen.Backends = append(seen.Backends, first.Backend())
	first.WaitFor("a round-trip time on the new tunnel", `document.querySelector("#rtt").innerText.endsWith("ms")`)
	first.WaitForPush()
	converse(first, second, "after the reconnect")
	return seen
}

// converse writes one message in each tab and waits until both tabs show both,
// once each and exactly as typed.
func converse(first, second *Page, when string) {
	for i, writer := range []*Page{first, second} {
		text := fmt.Sprintf("<b>message %d</b> & more, %s \u2713", i+1, when)
		writer.Say(text)
		first.WaitForMessage(text)
		second.WaitForMessage(text)
	}
}

// Page is the demo's page in a tab.
type Page struct{ *Tab }

// OpenPage opens the demo's page in a new tab and waits until its tunnel is open.
func OpenPage(b *Browser, url string) *Page {
	b.t.Helper()
	page := &Page{b.Open(url)}
	page.WaitForTunnel(1)
	return page
}

// Backend returns the name of the backend that the tunnel ended on.
func (p *Page) Backend() string {
	p.t.Helper()
	name := p.Text("#backend")
	if !strings.HasPrefix(name, "demo-") {
		p.t.Fatalf("the page shows the backend as %q", name)
	}
	return name
}

// Tunnels returns how many tunnels the page has had.
func (p *Page) Tunnels() int {
	p.t.Helper()
	n, err := strconv.Atoi(p.Evaluate(`document.querySelector("#state").dataset.tunnels`))
	if err != nil {
		p.t.Fatalf("count the page's tunnels: %v", err)
	}
	return n
}

// WaitForTunnel waits until the page is connected by its n-th tunnel or a later one.
func (p *Page) WaitForTunnel(n int) {
	p.t.Helper()
	p.WaitFor(fmt.Sprintf("tunnel %d", n), fmt.Sprintf(`document.querySelector("#state").dataset.tunnels >= %d &&
		document.querySelector("#state").innerText === "Connected"`, n))
}

// WaitForPush waits for one more server push than there has been.
func (p *Page) WaitForPush() {
	p.t.Helper()
	p.WaitFor("a server push", fmt.Sprintf(`Number(document.querySelector("#pushes").innerText) > %s &&
		document.querySelector("#messages").innerText.includes("server push")`, p.Text("#pushes")))
}

// Say types a message and sends it with the button.
func (p *Page) Say(text string) {
	p.t.Helper()
	p.Type("#input", text)
	p.Click("#send")
	p.WaitFor("the input to be empty again", `document.querySelector("#input").value === ""`)
}

// WaitForMessage waits until the page shows the message, and fails if it does
// so more than once.
func (p *Page) WaitForMessage(text string) {
	p.t.Helper()
	count := fmt.Sprintf(`[...document.querySelectorAll("#messages .text")].filter((e) => e.textContent === %s).length`, quote(text))
	p.WaitFor("the message "+strconv.Quote(text), count+" > 0")
	if n := p.Evaluate(count); n != "1" {
		p.t.Fatalf("the page shows the message %q %s times", text, n)
	}
}

// Reconnect presses the button and waits for the new tunnel.
func (p *Page) Reconnect() {
	p.t.Helper()
	before := p.Tunnels()
	p.Click("#reconnect")
	p.WaitForTunnel(before + 1)
}

// quote returns the text as a JavaScript string literal.
func quote(text string) string {
	literal, err := json.Marshal(text)
	if err != nil {
		panic("demotest: quote: " + err.Error()) // a string can always be encoded
	}
	return string(literal)
}
