//go:build linux

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"culvert/cmd/internal/settings"
)

// answers is a configuration whose every answer is one text.
func answers(text string, more ...string) string {
	return "listeners:\n  - address: 127.0.0.1:0\n    rules:\n      - answer: {status: 200, body: " + text + "}\ngroups:\n  app: {servers: [127.0.0.1:1]}\n" +
		"shutdown: {shutdown-delay: 0, shutdown-grace: 0}\nadmin: {admin: 127.0.0.1:0}\n" + strings.Join(more, "\n") + "\n"
}

// rewrite puts another text into a file at once, as editors do that are careful.
func rewrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func (p *process) wantAnswer(want string) {
	p.t.Helper()
	if status, body := get(p.t, p.proxyURL()); status != http.StatusOK || body != want {
		p.t.Errorf("answered %d %q, want %q", status, body, want)
	}
}

func TestReloadBySignal(t *testing.T) {
	file := configuration(t, answers("first"))
	p := start(t, nil, "--config", file)
	p.wantAnswer("first")
	rewrite(t, file, answers("second"))
	p.signal(syscall.SIGHUP)
	if line := p.line("the configuration is taken over"); line["by"] != "HUP" || fmt.Sprint(line["listeners"], line["groups"], line["rules"]) != "1 1 1" {
		t.Errorf("the line is %v", line)
	}
	p.wantAnswer("second")
	p.signal(syscall.SIGTERM)
	p.wantStatus(exitOK)
}

// TestAHangUpAtTheEndEndsNothing: a reload that is asked for while the process ends is too late, and no failure. Whether
// one comes in the last moment of all is a matter of luck, hence several.
func TestAHangUpAtTheEndEndsNothing(t *testing.T) {
	for range 5 {
		p := start(t, nil, "--config", configuration(t, answers("first")))
		p.wantAnswer("first")
		p.signal(syscall.SIGTERM)
		for !p.hasEnded() {
			_ = p.command.Process.Signal(syscall.SIGHUP) // it may just have ended
			runtime.Gosched()
		}
		p.wantStatus(exitOK)
	}
}

func TestReloadWithoutAFileResolvesNamesAgain(t *testing.T) {
	p := start(t, nil, quick(startBackend(t))...)
	tunnel := openTunnel(t, p.listener())
	p.signal(syscall.SIGHUP)
	p.line("the configuration is taken over")
	tunnel.echo("alive")
}

// TestTheWatchWaitsUntilAFileIsWhole: while a file changes from look to look nobody reads it.
func TestTheWatchWaitsUntilAFileIsWhole(t *testing.T) {
	w := fileWatch{name: configuration(t, "first")}
	w.seen = stateOf(w.name)
	w.before = w.seen
	look := func(what string, want bool) {
		t.Helper()
		if got := w.changed(); got != want {
			t.Errorf("%s: changed %v, want %v", what, got, want)
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(w.name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	look("as it was", false)
	for i := range 5 {
		write(strings.Repeat("x", i))
		look("it grows", false)
	}
	look("it has grown", true)
	look("as it was taken", false)
	if err := os.Remove(w.name); err != nil {
		t.Fatal(err)
	}
	look("it goes", false)
	look("it is gone", false)
	write("again")
	look("it is there", false)
	look("it is there still", true)
	rewrite(t, w.name, "again")
	look("another file of the same size", false)
	look("another file of the same size", true)
}

func TestABadFileChangesNothing(t *testing.T) {
	file := configuration(t, answers("first"))
	p := start(t, nil, "--config", file)
	p.wantAnswer("first")
	rewrite(t, file, strings.ReplaceAll(answers("second"), "rules", "ruels"))
	p.signal(syscall.SIGHUP)
	p.line("the configuration is not taken over")
	p.line(file + ":3:5: unknown key ruels")
	p.wantAnswer("first")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	r := runToEnd(t, nil, "reload", "--admin", p.admin())
	if r.status != exitUsage || !strings.Contains(r.stderr, "the file cannot be read") || !strings.HasSuffix(r.stderr, "culvert: not reloaded: the old configuration stays\n") || r.stdout != "" {
		t.Errorf("reload of a file that is gone: %+v", r)
	}
	p.wantAnswer("first")
}

func TestReloadByTheCommand(t *testing.T) {
	file := configuration(t, answers("first"))
	p := start(t, nil, "--config", file)
	p.wantAnswer("first")
	rewrite(t, file, answers("second", "limits: {loops: 3}"))
	var r result
	for range 2 { // it is told as long as it is so
		r = runToEnd(t, nil, "reload", "--admin", p.admin())
		if r.status != exitOK || r.stdout != "reloaded: 1 listener, 1 group, 1 rule\n" || !strings.Contains(r.stderr, "loops has changed, which counts at the next start only") {
			t.Errorf("reload: %+v", r)
		}
	}
	p.wantAnswer("second")
	rewrite(t, file, strings.ReplaceAll(answers("third"), "127.0.0.1:0\n    rules", "192.0.2.77:80\n    rules"))
	r = runToEnd(t, nil, "reload", "--admin", p.admin())
	if r.status != exitFailed || !strings.Contains(r.stderr, "cannot assign requested address") || !strings.HasSuffix(r.stderr, "culvert: not reloaded: the old configuration stays\n") {
		t.Errorf("reload with an address that is not ours: %+v", r)
	}
	p.wantAnswer("second")
	p.signal(syscall.SIGTERM)
	admin := p.admin()
	p.wantStatus(exitOK)
	if r = runToEnd(t, nil, "reload", "--admin", admin); r.status != exitFailed || !strings.Contains(r.stderr, "nobody answers at the admin port "+admin) || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("reload of nobody: %+v", r)
	}
}

// TestWhatCountsAtTheNextStart: each such setting is named when it changes, and so is it in the document.
func TestWhatCountsAtTheNextStart(t *testing.T) {
	parsed := func(line string) *settings.Invocation {
		i, err := settings.Parse(strings.Fields("--backend a:1 --config c "+line), nil)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	started := parsed("")
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	changes := []string{
		"access-log=off", "admin=off", "admin-token-file=t", "backlog=7", "buffer-memory=2MiB", "log-format=json", "log-level=warn", "loops=3",
		"notsent-lowat=4KiB", "read-buffer=8KiB", "source=192.0.2.1", "splice-pipes=2", "tls-handshakes-max=7",
		"tls-ticket-keys=k", "tls-workers=3", "watch-config=true",
	}
	if len(changes) != len(fixed(started)) {
		t.Errorf("%d settings change, and %d are fixed", len(changes), len(fixed(started)))
	}
	for _, change := range changes {
		name, _, _ := strings.Cut(change, "=")
		if got := changedFixed(started, parsed("--"+change)); !slices.Equal(got, []string{name}) {
			t.Errorf("--%s: %q need a restart", change, got)
		}
		_, list, _ := strings.Cut(string(text), "Settings that count at the next start only")
		if list, _, _ = strings.Cut(list, "\n- "); !strings.Contains(list, "`"+name+"`") {
			t.Errorf("docs/configuration.md does not name %s", name)
		}
	}
	if got := changedFixed(started, parsed("--idle-timeout=7s")); len(got) > 0 {
		t.Errorf("%q need a restart", got)
	}
}

// TestAnotherServersAnswerIsNoReload: whatever it says to a POST, it has reloaded nothing.
func TestAnotherServersAnswerIsNoReload(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	defer other.Close()
	address := other.Listener.Addr().String()
	r := runToEnd(t, nil, "reload", "--admin", address)
	if want := "culvert: the admin port " + address + " answered with 200 OK, not as Culvert does\n"; r.status != exitFailed || r.stderr != want || r.stdout != "" {
		t.Errorf("reload of another server: %+v", r)
	}
}

// TestAReloadIsNotAskedForByPages: only culvert reload sends the header, and only from this machine.
func TestAReloadIsNotAskedForByPages(t *testing.T) {
	p := start(t, nil, "--config", configuration(t, answers("first")))
	p.wantAnswer("first")
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		request, err := http.NewRequest(method, "http://"+p.admin()+reloadPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			t.Errorf("%s %s is answered with %s", method, reloadPath, answer.Status)
		}
	}
}

// TestAReloadIsNotAskedForUnderAName: nor by a page that came from a name which leads to this machine since (DNS
// rebinding), to which the header is its own origin's; where the port is open to others the guard lets names pass.
func TestAReloadIsNotAskedForUnderAName(t *testing.T) {
	file := configuration(t, strings.ReplaceAll(answers("first"), "admin: 127.0.0.1:0", "admin: 0.0.0.0:0"))
	p := start(t, nil, "--config", file)
	port := fmt.Sprint(netip.MustParseAddrPort(p.admin()).Port())
	for host, want := range map[string]int{"evil.test:" + port: http.StatusForbidden, "localhost:" + port: http.StatusOK, "127.0.0.1": http.StatusOK} {
		request, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:"+port+reloadPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host, request.Close = host, true
		request.Header.Set(adminHeader, "1")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("Host %s is answered with %s, want %d", host, answer.Status, want)
		}
	}
}

func TestReloadWhenTheFileChanges(t *testing.T) {
	file := configuration(t, answers("first"))
	p := start(t, nil, "--config", file, "--watch-config")
	p.wantAnswer("first")
	rewrite(t, file, answers("second"))
	if line := p.line("the configuration is taken over"); line["by"] != "watch" {
		t.Errorf("the line is %v", line)
	}
	p.wantAnswer("second")
	rewrite(t, file, "listeners: [")
	p.line("the configuration is not taken over")
	p.wantAnswer("second")
	rewrite(t, file, answers("third"))
	waitFor(t, "the third configuration", func() bool {
		_, body := get(t, p.proxyURL())
		return body == "third"
	})
}

func TestTheWatchIsOffUnlessAskedFor(t *testing.T) {
	file := configuration(t, answers("first"))
	p := start(t, nil, "--config", file)
	p.wantAnswer("first")
	rewrite(t, file, answers("second"))
	p.signal(syscall.SIGUSR1)
	p.wantAnswer("first")
}
