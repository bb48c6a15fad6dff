// Package demotest drives the demo's page in a real browser, for the tests of
// the demo itself and for those of the whole proxy with the demo behind it.
package demotest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// RequireBrowser is the environment variable that, set to 1, makes a missing
// browser a failure; without it the test is skipped.
const RequireBrowser = "CULVERT_REQUIRE_BROWSER"

// stepTimeout bounds one condition on a page. A loaded machine may need
// seconds to start a renderer.
const stepTimeout = 30 * time.Second

// pollInterval is the time between two looks at a page.
const pollInterval = 20 * time.Millisecond

// browserNames are what the browser is called by those who package it.
var browserNames = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell"}

// Browser is one headless browser with a profile of its own. It ends with the
// test that it was started for.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// findBrowser returns the path of an installed browser, or skips or fails the
// test as [RequireBrowser] says.
func findBrowser(t testing.TB) string {
	t.Helper()
	for _, name := range browserNames {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	message := "no Chromium found (looked for " + strings.Join(browserNames, ", ") +
		"): install Debian's or Ubuntu's package chromium, or Google Chrome"
	if os.Getenv(RequireBrowser) == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
	return ""
}

// NewBrowser starts a headless Chromium that talks to nobody but the pages
// under test. Where none is installed, the test is skipped with a message that
// says what to install, or fails if [RequireBrowser] is 1.
func NewBrowser(t testing.TB) *Browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findBrowser(t)),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WindowSize(1280, 900),
		chromedp.Flag("ignore-certificate-errors", true), // those of the pages under test were made for the test
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("no-pings", true),
		chromedp.Flag("no-proxy-server", true),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's sandbox refuses to start as root
	}
	allocator, release := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		// The browser has to be gone when the test removes its profile, so it
		// is asked to end and waited for.
		bounded, stop := context.WithTimeout(ctx, stepTimeout)
		defer stop()
		if err := chromedp.Cancel(bounded); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("end the browser: %v", err)
		}
		cancel()
		release()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return &Browser{t: t, ctx: ctx}
}

// Open opens a page in a new tab and waits until it is loaded. From then on,
// whatever the page reports as an error fails the test.
func (b *Browser) Open(url string) *Tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	tab := &Tab{t: b.t, ctx: ctx, cancel: cancel}
	b.t.Cleanup(tab.Close)
	if err := chromedp.Do(ctx); err != nil {
		b.t.Fatalf("open a tab: %v", err)
	}
	tab.watchConsole()
	bounded, stop := context.WithTimeout(ctx, stepTimeout)
	defer stop()
	if err := chromedp.Do(bounded, chromedp.Navigate(url)); err != nil {
		b.t.Fatalf("open %s: %v", url, err)
	}
	return tab
}

// Tab is one page in the browser. Its methods end the test when the page does
// not do what they wait for.
type Tab struct {
	t       testing.TB
	ctx     context.Context
	cancel  context.CancelFunc
	console chan struct{} // closed when the console's reader has ended
	outage  atomic.Bool   // refused connections are expected
}

// ExpectOutage tells whether the server is expected to be away: then a
// connection that fails is no error, whatever else the page reports still is.
func (tab *Tab) ExpectOutage(expected bool) { tab.outage.Store(expected) }

// Close closes the tab; calling it again does nothing.
func (tab *Tab) Close() {
	tab.cancel()
	if tab.console != nil {
		<-tab.console
	}
}

// watchConsole fails the test for each error in the page's console: an
// exception, a blocked resource, a policy that was violated.
func (tab *Tab) watchConsole() {
	messages := chromedp.Console(tab.ctx)
	tab.console = make(chan struct{})
	go func() {
		defer close(tab.console)
		for message, err := range messages {
			if err != nil {
				return // the tab is closed
			}
			isError := message.Type == chromedp.ConsoleError || message.IsException()
			if isError && !(tab.outage.Load() && strings.HasPrefix(message.Text, "WebSocket connection to")) {
				tab.t.Errorf("the page's console: %s %s", message, message.URL)
			}
		}
	}()
}

// WaitFor waits until the JavaScript expression is true. what says in words
// what is waited for. It asks from outside: a poll inside the page would need
// eval, which the page's content security policy forbids.
func (tab *Tab) WaitFor(what, expression string) {
	tab.t.Helper()
	bounded, stop := context.WithTimeout(tab.ctx, stepTimeout)
	defer stop()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		is, err := chromedp.Run(bounded, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		switch {
		case is:
			return
		case bounded.Err() != nil:
			tab.t.Fatalf("waited %s for %s; the page shows:\n%s", stepTimeout, what, tab.Text("body"))
		case err != nil:
			tab.t.Fatalf("wait for %s: %v", what, err)
		}
		select {
		case <-ticker.C:
		case <-bounded.Done():
		}
	}
}

// Text returns the text of the element as a reader sees it.
func (tab *Tab) Text(selector string) string {
	tab.t.Helper()
	return tab.Evaluate(fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

// Evaluate returns the value of a JavaScript expression as text.
func (tab *Tab) Evaluate(expression string) string {
	tab.t.Helper()
	bounded, stop := context.WithTimeout(tab.ctx, stepTimeout)
	defer stop()
	value, err := chromedp.Run(bounded, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		tab.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return value
}

// Click clicks the element as a mouse does.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	tab.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// Type types the text into the element, key by key; "\r" is the enter key.
func (tab *Tab) Type(selector, text string) {
	tab.t.Helper()
	tab.do("type into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

func (tab *Tab) do(what string, action chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	bounded, stop := context.WithTimeout(tab.ctx, stepTimeout)
	defer stop()
	if err := chromedp.Do(bounded, action); err != nil {
		tab.t.Fatalf("%s: %v", what, err)
	}
}

// Resize gives the page a window of that size, in CSS pixels, and the colour
// scheme "light" or "dark".
func (tab *Tab) Resize(width, height int64, scheme string) {
	tab.t.Helper()
	tab.do("resize", chromedp.EmulateViewport(width, height))
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
	if _, err := chromedp.Call(tab.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		tab.t.Fatalf("choose the %s colours: %v", scheme, err)
	}
}

// Screenshot returns what the window shows, as PNG.
func (tab *Tab) Screenshot() []byte {
	tab.t.Helper()
	bounded, stop := context.WithTimeout(tab.ctx, stepTimeout)
	defer stop()
	picture, err := chromedp.Run(bounded, chromedp.CaptureScreenshot())
	if err != nil {
		tab.t.Fatalf("take a screenshot: %v", err)
	}
	return picture
}
