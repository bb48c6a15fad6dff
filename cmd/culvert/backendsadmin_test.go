//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"culvert/cmd/internal/settings"
	"culvert/proxy"

	"github.com/rs/zerolog"
)

// fakeKeeper is a proxy that only has backends, and notes what is done to them.
type fakeKeeper struct {
	mu       sync.Mutex
	backends []proxy.BackendStatus
	done     []string
	err      error
}

func newFakeKeeper() *fakeKeeper {
	return &fakeKeeper{backends: []proxy.BackendStatus{
		{Group: "app", Name: "10.0.0.1:80", Address: "10.0.0.1:80", Weight: 1, Configured: 1, Share: 100, Status: "serving", Since: 3661.7, Connections: 12},
		{Group: "app", Name: "app.internal:80 (10.0.0.2)", Address: "10.0.0.2:80", Weight: 2, Configured: 2, Share: 40, Status: "failing", Reason: "connection refused", Since: 5, Priority: 1, Waiting: 3},
		{Group: "chat", Name: "10.0.0.1:80", Address: "10.0.0.1:80", Weight: 0, Configured: 5, Share: 100, Status: "resting"},
		{Group: "chat", Name: "unix:/run/a.sock", Address: "unix:/run/a.sock", Weight: 1, Configured: 1, Share: 100, Status: "serving", Connections: 1, MaxConnections: 50},
	}}
}

// Backends implements backendKeeper.
func (k *fakeKeeper) Backends() []proxy.BackendStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.backends)
}

func (k *fakeKeeper) change(what, group, name string, change func(*proxy.BackendStatus)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return k.err
	}
	k.done = append(k.done, what+" "+group+" "+name)
	for n := range k.backends {
		if b := &k.backends[n]; b.Group == group && (b.Name == name || b.Address == name) {
			change(b)
			return nil
		}
	}
	return proxy.ErrNoSuchBackend
}

// DrainBackend implements backendKeeper.
func (k *fakeKeeper) DrainBackend(group, name string, limit time.Duration) error {
	return k.change("drain for "+limit.String(), group, name, func(b *proxy.BackendStatus) { b.Status = "draining" })
}

// UndrainBackend implements backendKeeper.
func (k *fakeKeeper) UndrainBackend(group, name string) error {
	return k.change("undrain", group, name, func(b *proxy.BackendStatus) { b.Status = "serving" })
}

// WeighBackend implements backendKeeper.
func (k *fakeKeeper) WeighBackend(group, name string, weight int) error {
	return k.change(fmt.Sprintf("weight %d", weight), group, name, func(b *proxy.BackendStatus) {
		if b.Weight = weight; weight < 0 {
			b.Weight = b.Configured
		}
	})
}

// taken returns what was done, and forgets it.
func (k *fakeKeeper) taken() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	done := strings.Join(k.done, "; ")
	k.done = nil
	return done
}

// fakeAdmin is an admin port with backends and nothing else.
func fakeAdmin(t *testing.T, at settings.AdminAddress, tokenFile string, keeper backendKeeper) *adminServer {
	t.Helper()
	a, err := bindAdmin(at)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	(&backendsAdmin{keeper: keeper, log: zerolog.Nop()}).serveOn(mux, &doorkeeper{tokenFile: tokenFile, socket: at.Path != "", log: zerolog.Nop()})
	a.serve(mux, zerolog.Nop())
	t.Cleanup(func() { a.close(context.Background()) })
	return a
}

const theToken = "0123456789abcdef"

// tokenFile writes a token, as operators do.
func tokenFile(t *testing.T, token string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(name, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// post asks the admin port to do something, and returns status and body.
func post(t *testing.T, a *adminServer, path, body string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+a.address().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Close = true
	change(request)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, strings.TrimSpace(string(text))
}

// TestWhoMayChangeBackends: A01 of the hostile inputs. Whoever is refused has changed nothing, and the refusal is one line.
func TestWhoMayChangeBackends(t *testing.T) {
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	both := func(a, b func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) { a(r); b(r) }
	}
	command, token := with(adminHeader, "1"), with("Authorization", "Bearer "+theToken)
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	query := func(text string) func(*http.Request) { return func(r *http.Request) { r.URL.RawQuery = text } }
	for _, c := range []struct {
		name      string
		withToken bool
		change    func(*http.Request)
		want      int
	}{
		{"a command", false, command, 200},
		{"a page's form, without asking", false, func(*http.Request) {}, 403},
		{"a forged Host", false, both(command, host("evil.test:9900")), 403},
		{"a foreign Origin", false, both(command, with("Origin", "https://evil.test")), 403},
		{"a foreign Origin behind our own", false, both(command, func(r *http.Request) {
			r.Header["Origin"] = []string{"http://" + r.Host, "https://evil.test"}
		}), 403},
		{"an opaque Origin", false, both(command, with("Origin", "null")), 403},
		{"a query, without a token", false, both(command, query("name=10.0.0.1:80")), 400},

		{"the token", true, token, 200},
		{"the token, by another spelling", true, with("Authorization", "bearer  "+theToken+" "), 200},
		{"no token", true, command, 401},
		{"a wrong token", true, both(command, with("Authorization", "Bearer 0123456789abcdeX")), 403},
		{"the beginning of the token", true, with("Authorization", "Bearer "+theToken[:15]), 403},
		{"more than the token", true, with("Authorization", "Bearer "+theToken+"0"), 403},
		{"an empty token", true, with("Authorization", "Bearer "), 403},
		{"the token by another scheme", true, with("Authorization", "Basic "+theToken), 403},
		{"the token alone", true, with("Authorization", theToken), 403},
		{"two tokens", true, both(token, func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") }), 403},
		{"the token in the query", true, query("token=" + theToken), 400},
		{"the token in the query too", true, both(token, query("access_token="+theToken)), 400},
		{"the token, and a forged Host", true, both(token, host("evil.test:9900")), 403},
		{"the token, and a foreign Origin", true, both(token, with("Origin", "https://evil.test")), 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			keeper, file := newFakeKeeper(), ""
			if c.withToken {
				file = tokenFile(t, theToken)
			}
			a := fakeAdmin(t, anyPort, file, keeper)
			answer, text := post(t, a, "/backends/drain", `{"group": "app", "name": "10.0.0.1:80"}`, c.change)
			if answer.StatusCode != c.want || strings.Contains(text, "\n") {
				t.Errorf("answered with %s\n%s\nwant %d", answer.Status, text, c.want)
			}
			if done := keeper.taken(); (done != "") != (c.want == 200) {
				t.Errorf("it did %q", done)
			}
			if strings.Contains(text, theToken) {
				t.Errorf("the answer tells the token: %s", text)
			}
			if c.want == 401 && answer.Header.Get("WWW-Authenticate") != `Bearer realm="culvert"` {
				t.Errorf("it does not say how to ask: %q", answer.Header)
			}
		})
	}
}

// TestATokenThatCannotBeReadLetsNobodyIn: and one that was replaced counts at once.
func TestATokenThatCannotBeReadLetsNobodyIn(t *testing.T) {
	keeper, file := newFakeKeeper(), tokenFile(t, theToken)
	a := fakeAdmin(t, anyPort, file, keeper)
	try := func(what, token string, want int) {
		t.Helper()
		answer, text := post(t, a, "/backends/undrain", `{"group": "app", "name": "10.0.0.1:80"}`, func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set(adminHeader, "1")
		})
		if answer.StatusCode != want {
			t.Errorf("%s: %s, %s", what, answer.Status, text)
		}
	}
	try("as it was", theToken, 200)
	if err := os.WriteFile(file, []byte("another token of this"), 0o600); err != nil {
		t.Fatal(err)
	}
	try("a token with blanks", "another token of this", 503)
	if err := os.WriteFile(file, []byte("fedcba9876543210"), 0o600); err != nil {
		t.Fatal(err)
	}
	try("the old token", theToken, 403)
	try("the new token", "fedcba9876543210", 200)
	if err := os.Chmod(file, 0o604); err != nil {
		t.Fatal(err)
	}
	try("one that everybody may read", "fedcba9876543210", 503)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	try("none", "fedcba9876543210", 503)
}

// TestOrdersAreRead: JSON and forms, and what is wrong with them is one line.
func TestOrdersAreRead(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		path, kind, body string
		status           int
		want             string // what was done, or is said
	}{
		{"drain", "", `{"group": "app", "name": "10.0.0.1:80", "for": "10m"}`, 200, "drain for 10m0s app 10.0.0.1:80"},
		{"drain", "", `{"name": "unix:/run/a.sock", "for": "0"}`, 200, "drain for 0s chat unix:/run/a.sock"},
		{"drain", form, "name=unix%3A%2Frun%2Fa.sock&for=1s", 200, "drain for 1s chat unix:/run/a.sock"},
		{"drain", "application/json; charset=utf-8", `{"name": "unix:/run/a.sock"}`, 200, "drain for 0s chat unix:/run/a.sock"},
		{"undrain", "", `{"group": "chat", "name": "10.0.0.1:80"}`, 200, "undrain chat 10.0.0.1:80"},
		{"weight", "", `{"group": "chat", "name": "10.0.0.1:80", "weight": 100}`, 200, "weight 100 chat 10.0.0.1:80"},
		{"weight", "", `{"group": "chat", "name": "10.0.0.1:80", "weight": "0"}`, 200, "weight 0 chat 10.0.0.1:80"},
		{"weight", form, "group=chat&name=10.0.0.1:80&weight=configured", 200, "weight -1 chat 10.0.0.1:80"},

		{"drain", "", `{"name": "10.0.0.1:80"}`, 400, "backend 10.0.0.1:80: several groups have one: app, chat; say which by group (--group)"},
		{"drain", "", `{"name": "10.0.0.3:80"}`, 404, "backend 10.0.0.3:80: there is none of that name, did you mean 10.0.0.1:80?"},
		{"drain", "", `{"name": "b", "group": "app"}`, 404, "backend b: there is none of that name in group app; culvert backend list has those that there are"},
		{"drain", "", `{"name": "10.0.0.1:80", "group": "nobody\n"}`, 404, `backend 10.0.0.1:80: there is none of that name in group "nobody\n"; culvert backend list has those that there are`},
		{"drain", "", `{"group": "app"}`, 400, "name is missing"},
		{"drain", "", `{"group": "app", "name": "10.0.0.1:80", "for": "10"}`, 400, "for 10: a unit is missing, such as 10s; allowed: 0 (as long as they live), or 1s to 24h"},
		{"drain", "", `{"group": "app", "name": "10.0.0.1:80", "for": "25h"}`, 400, "for 25h: above the maximum; allowed: 0 (as long as they live), or 1s to 24h"},
		{"undrain", "", `{"group": "app", "name": "10.0.0.1:80", "for": "1h"}`, 400, "unknown: for; there are: group, name"},
		{"weight", "", `{"group": "app", "name": "10.0.0.1:80"}`, 400, "weight is missing"},
		{"weight", "", `{"group": "app", "name": "10.0.0.1:80", "weight": 101}`, 400, "weight 101: not such a weight; allowed: 0 to 100, or configured"},
		{"weight", "", `{"group": "app", "name": "10.0.0.1:80", "weight": -1}`, 400, "weight -1: not such a weight; allowed: 0 to 100, or configured"},
		{"weight", "", `{"group": "app", "name": "10.0.0.1:80", "weight": true}`, 400, errNoOrder.Error()},
		{"drain", "", `{"name": "a"} {"name": "b"}`, 400, errNoOrder.Error()},
		{"drain", "", "[]", 400, errNoOrder.Error()},
		{"drain", "", "null", 400, errNoOrder.Error()},
		{"drain", "", "", 400, errNoOrder.Error()},
		{"drain", form, "name=a&name=b", 400, "name: given twice"},
		{"drain", form, "name=%zz", 400, "not a form"},
		{"drain", "text/plain", "name=a", 415, "say what is asked for as application/json or application/x-www-form-urlencoded"},
		{"drain", "", `{"name": "` + strings.Repeat("a", orderBytes) + `"}`, 413, "a body of at most 4096 bytes is read"},
	} {
		keeper := newFakeKeeper()
		a := fakeAdmin(t, anyPort, "", keeper)
		answer, text := post(t, a, "/backends/"+c.path, c.body, func(r *http.Request) {
			r.Header.Set(adminHeader, "1")
			if c.kind != "" {
				r.Header.Set("Content-Type", c.kind)
			}
		})
		got := text
		if c.status == 200 {
			got = keeper.taken()
		}
		if answer.StatusCode != c.status || got != c.want {
			t.Errorf("%s %s: %s\n%s\nwant %d\n%s", c.path, c.body, answer.Status, got, c.status, c.want)
		}
	}
}

// TestOtherWordsAreNotUnderstood: only what is written down is.
func TestOtherWordsAreNotUnderstood(t *testing.T) {
	a := fakeAdmin(t, anyPort, "", newFakeKeeper())
	for _, path := range []string{"/backends", "/backends/", "/backends/remove", "/backend/drain"} {
		if answer, _ := post(t, a, path, "{}", func(r *http.Request) { r.Header.Set(adminHeader, "1") }); answer.StatusCode < 400 {
			t.Errorf("POST %s is answered with %s", path, answer.Status)
		}
	}
	if status, _ := get(t, "http://"+a.address().String()+"/backends/drain"); status < 400 {
		t.Errorf("GET /backends/drain is answered with %d", status)
	}
}

// TestAFailureIsTold: what the proxy says of it, and whether another request can help.
func TestAFailureIsTold(t *testing.T) {
	keeper := newFakeKeeper()
	a := fakeAdmin(t, anyPort, "", keeper)
	for err, want := range map[error]int{proxy.ErrNoSuchBackend: 404, errors.New("the proxy ends"): 500} {
		keeper.err = err
		answer, text := post(t, a, "/backends/undrain", `{"group": "app", "name": "10.0.0.1:80"}`, func(r *http.Request) { r.Header.Set(adminHeader, "1") })
		if answer.StatusCode != want || text != err.Error() {
			t.Errorf("%v: %s, %s", err, answer.Status, text)
		}
	}
}

// runCommand runs a command for backends against an admin port.
func runCommand(t *testing.T, a *adminServer, args ...string) result {
	t.Helper()
	i, err := settings.Parse(append([]string{"backend"}, append(args, "--admin="+a.place())...), nil)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	status := askBackend(i, &stdout, &stderr)
	return result{status, stdout.String(), stderr.String()}
}

// TestBackendCommands: what they do, what they print, and how they end.
func TestBackendCommands(t *testing.T) {
	keeper := newFakeKeeper()
	a := fakeAdmin(t, anyPort, "", keeper)
	for _, c := range []struct {
		args string
		want result
		done string
	}{
		{"list", result{0, "GROUP  BACKEND                     ADDRESS           WEIGHT            CONNECTIONS  STATUS                                             SINCE\n" +
			"app    10.0.0.1:80                 10.0.0.1:80       1                 12           serving                                            1h1m1s\n" +
			"app    app.internal:80 (10.0.0.2)  10.0.0.2:80       2 at 40%          0            failing, secondary, 3 waiting: connection refused  5s\n" +
			"chat   10.0.0.1:80                 10.0.0.1:80       0 (configured 5)  0            resting                                            0s\n" +
			"chat   unix:/run/a.sock            unix:/run/a.sock  1                 1 of 50      serving                                            0s\n", ""}, ""},
		{"list --group nobody --json", result{0, "[]\n", ""}, ""},
		{"drain unix:/run/a.sock --for 90m", result{0, "unix:/run/a.sock of group chat: draining, weight 1, 1 connection\n", ""}, "drain for 1h30m0s chat unix:/run/a.sock"},
		{"drain 10.0.0.1:80 --group app", result{0, "10.0.0.1:80 of group app: draining, weight 1, 12 connections\n", ""}, "drain for 0s app 10.0.0.1:80"},
		{"undrain 10.0.0.1:80 --group app", result{0, "10.0.0.1:80 of group app: serving, weight 1, 12 connections\n", ""}, "undrain app 10.0.0.1:80"},
		{"weight 10.0.0.1:80 0 --group app", result{0, "10.0.0.1:80 of group app: serving, weight 0 (configured 1), 12 connections\n", ""}, "weight 0 app 10.0.0.1:80"},
		{"weight 10.0.0.1:80 configured --group app", result{0, "10.0.0.1:80 of group app: serving, weight 1, 12 connections\n", ""}, "weight -1 app 10.0.0.1:80"},
		{"drain 10.0.0.1:80", result{2, "", "culvert: refused: backend 10.0.0.1:80: several groups have one: app, chat; say which by group (--group)\n"}, ""},
		{"drain 10.0.0.2:80", result{0, "app.internal:80 (10.0.0.2) of group app: draining, secondary, 3 waiting: connection refused, weight 2 at 40%, 0 connections\n", ""}, "drain for 0s app 10.0.0.2:80"},
		{"undrain 10.0.0.9:80", result{2, "", "culvert: refused: backend 10.0.0.9:80: there is none of that name, did you mean 10.0.0.1:80?\n"}, ""},
	} {
		if got := runCommand(t, a, strings.Fields(c.args)...); got != c.want {
			t.Errorf("culvert backend %s: got\n%+v\nwant\n%+v", c.args, got, c.want)
		}
		if done := keeper.taken(); done != c.done {
			t.Errorf("culvert backend %s did %q, want %q", c.args, done, c.done)
		}
	}
	keeper.err = errors.New("not now")
	if got := runCommand(t, a, "undrain", "unix:/run/a.sock"); got != (result{1, "", "culvert: refused: not now\n"}) {
		t.Errorf("%+v", got)
	}
	keeper.err = nil
	var list []proxy.BackendStatus
	if err := json.Unmarshal([]byte(runCommand(t, a, "list", "--json", "--group", "chat").stdout), &list); err != nil || len(list) != 2 || list[0].Configured != 5 {
		t.Errorf("%v, %+v", err, list)
	}
	var one proxy.BackendStatus
	if err := json.Unmarshal([]byte(runCommand(t, a, "drain", "unix:/run/a.sock", "--json").stdout), &one); err != nil || one.Status != "draining" {
		t.Errorf("%v, %+v", err, one)
	}
}

// TestCommandsBringTheToken: and say what is wrong with its file, or with it.
func TestCommandsBringTheToken(t *testing.T) {
	keeper, file := newFakeKeeper(), tokenFile(t, theToken)
	a := fakeAdmin(t, anyPort, file, keeper)
	other, missing := tokenFile(t, "another-token-0123"), filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		args []string
		want result
	}{
		{[]string{"--admin-token-file", file}, result{0, "unix:/run/a.sock of group chat: draining, weight 1, 1 connection\n", ""}},
		{nil, result{2, "", "culvert: refused: a token is asked for: Authorization: Bearer TOKEN (--admin-token-file)\n"}},
		{[]string{"--admin-token-file", other}, result{2, "", "culvert: refused: not the token (--admin-token-file)\n"}},
		{[]string{"--admin-token-file", missing}, result{2, "", "culvert: --admin-token-file " + missing + ": the file cannot be read: no such file or directory\n"}},
	} {
		if got := runCommand(t, a, append([]string{"drain", "unix:/run/a.sock"}, c.args...)...); got != c.want {
			t.Errorf("%q: got\n%+v\nwant\n%+v", c.args, got, c.want)
		}
	}
	if got := runCommand(t, a, "list"); got.status != exitOK {
		t.Errorf("to read, no token is needed: %+v", got)
	}
}

// TestCommandsForNobody: who does not answer, and who is somebody else.
func TestCommandsForNobody(t *testing.T) {
	a := fakeAdmin(t, anyPort, "", newFakeKeeper())
	address := a.place()
	a.close(context.Background())
	if got := runCommand(t, a, "list"); got.status != exitFailed || !strings.HasPrefix(got.stderr, "culvert: nobody answers at the admin port "+address) {
		t.Errorf("%+v", got)
	}
}
