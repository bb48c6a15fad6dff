//go:build linux

package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
	"culvert/proxy/limit"
)

// flagsDoc is the document that is made from the settings, as seen from this package.
const flagsDoc = "../../docs/flags.md"

var update = flag.Bool("update", false, "write docs/flags.md anew")

// TestFlagsDoc fails when a setting was changed and its document was not. Then run:
//
//	go test ./cmd/culvert -run TestFlagsDoc -update
func TestFlagsDoc(t *testing.T) {
	want := []byte(flagsDocument())
	if *update {
		if err := os.WriteFile(flagsDoc, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(flagsDoc)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/flags.md is not what the settings say: run go test ./cmd/culvert -run TestFlagsDoc -update")
	}
}

// TestHelpTellsHowManyBackendsAreTried: it is no setting, and limits what the connect timeouts can do.
func TestHelpTellsHowManyBackendsAreTried(t *testing.T) {
	want := fmt.Sprintf("at most %d backends are tried", proxy.ConnectTries)
	for _, f := range settings.Flags(settings.Run) {
		if f.Name == "connect-total-timeout" && !strings.Contains(f.Help, want) {
			t.Errorf("the help of --%s is %q, want it to say %q", f.Name, f.Help, want)
		}
	}
}

const docBeginning = `# Settings

This page is made from the settings themselves by ` + "`go test ./cmd/culvert -run TestFlagsDoc -update`" + `; a test compares them.

Every setting is a flag, an environment variable, and a key of the configuration file (` + "`--config`" + `), which has listeners,
groups and rules too: see [configuration.md](configuration.md). A flag overrides its variable, a variable the file, the file the default; an empty
variable counts as none. A list that is given by flags replaces the one of its variable as a whole.

- **Lists.** A flag is repeated, one value each; any other flag is given once. In a variable, values are separated by blanks or semicolons (not by
  commas, since a backend's weight follows one): ` + "`CULVERT_BACKEND=\"10.0.0.1:80,weight=2; 10.0.0.2:80\"`" + `.
- **Durations** have a unit: ` + "`500ms`, `60s`, `1m30s`" + `. A bare number is refused, except 0.
- **Sizes** are in bytes, or in ` + "`KiB`, `MiB` and `GiB`" + `.
- **Addresses** to listen on are numeric. ` + "`:8080` and `[::]:8080`" + ` take IPv4 too; any other IPv6 address is only itself.

A wrong value is one line on standard error that names the setting, says why, and what is allowed. Nothing is started
then. A variable that looks like a mistyped setting is a warning in the log.
`

const docSpecs = `
## The sizes of an instance

What ` + "`--spec`" + ` sets, where it is not given itself:

%s`

const docEnding = `
## Backends by name

A name is resolved once, at start, within 10 s. Every address that it has, of either family, becomes a backend of its
own with the weight that was given, as if each had been listed: a name with three addresses and weight 2 gets as many
requests as three backends of weight 2. A backend that refuses a connection is passed over for the next one, so a name
of which one family is not served costs a refused attempt, not a request.

## HTTPS

    culvert --tls-listen :443 --tls-cert app.crt --tls-key app.key --backend 127.0.0.1:9001
    culvert --tls-listen :443 --tls-dir certs --listen :80 --https-redirect 301 --backend https://app.internal:9443

With ` + "`--tls-listen`" + ` alone nothing listens in plain HTTP: the default of ` + "`--listen`" + ` is for those who name neither. Every HTTPS
listener of the command line has the same certificates, policy and so on; where they are to differ, a configuration file says
it of each. Files are read before anything is started, and what is wrong with one is told as a wrong setting is. What
policies, certificates and session tickets mean is in [tls.md](tls.md).

A backend at ` + "`https://host:port`" + ` is asked for a certificate of its host, or of ` + "`--backend-server-name`" + `, by somebody whom this
machine, or ` + "`--backend-ca`" + `, trusts; one that has none gets no request.

## Balancing

    culvert --backend 10.0.0.1:9000 --backend 10.0.0.2:9000 --schedule wlc --check websocket --check-path /chat --slow-start 30s
    culvert --discover dns://app.internal:9000 --sticky insert --outlier-failures 3

These flags are of the one group that flags name. A configuration file says the same of each of its groups, and more:
[balancing.md](balancing.md) tells what they mean.

## The demo

` + "`culvert demo`" + ` has the same settings without those of backends, one more, and these defaults of its own:

%s
` + "`--tls`" + `: %s

Where port 8080, 8443 or 9900 is taken and was not asked for, it takes a free one.

## Signals

| signal | effect |
| --- | --- |
| TERM, INT | ` + "`/readyz`" + ` fails at once; clients are accepted for ` + "`--shutdown-delay`" + `; the listeners close; the tunnels are ended one by one within ` + "`--shutdown-grace`" + `; exit status 0 |
| a second TERM or INT | everything ends at once; exit status 1 |
| USR1 | the access log's file is opened again, after it was renamed |
| HUP | the configuration file is read again, and backends' names are resolved again; what comes of it is a line in the log. See [configuration.md](configuration.md#reload) |
| PIPE | ignored: a reader of the logs that goes away costs lines, which are counted, and no tunnel |

## Exit status

| status | meaning |
| --- | --- |
| 0 | ended gracefully after a signal; or help or version was printed |
| 1 | could not start on this machine, now: a port in use, a name that cannot be resolved, a log that cannot be opened; or ended at once by a second signal |
| 2 | a setting is wrong; nothing was started, and starting again will not help |

## Logs

The log goes to standard error, the access log to standard output or to a file, one JSON object per line. The access
log never delays a request: up to 1 MiB of lines wait for their reader, further ones are dropped and counted
(` + "`culvert_access_log_dropped_total`" + `).

## The admin port

It answers ` + "`/metrics`, `/livez`, `/readyz` and `/backends`" + `; ` + "`/readyz`" + ` says 503 and why while the proxy shuts down, or where no backend takes requests.
Whoever can reach it can read that. Requests that a page in a browser could have caused are refused with 403: those
with a foreign ` + "`Origin`" + `, and, while it listens on a loopback address, those whose ` + "`Host`" + ` is neither an address nor
` + "`localhost`" + `. At most 32 connections are served at the same time.

` + "`--admin unix:/path`" + ` has it at a Unix socket, which only the user of the proxy can connect to. A socket that a process has left behind is replaced; one at
which somebody listens, and any other file, is not.

What changes something is asked for by commands:

| command | what it does |
| --- | --- |
%s
` + "`drain` has `--for DURATION`" + `, 1s to 24h: after so long the tunnels are ended, one by one; without it they live as long as they do. All of them have ` + "`--admin ADDRESS`" + ` and ` + "`--admin-token-file FILE`" + `; those for backends ` + "`--json`, and `--group NAME`" + ` where several groups have a backend of that name. What they do to
a backend holds until the proxy ends or the backend is no more, also over reloads. Exit status: 0 when it is done; 1 when nobody answers, or the proxy
cannot do it now; 2 when it is refused, or there is no such backend.

Without a token they work from this machine only. With ` + "`--admin-token-file`" + ` they ask for one, wherever they come from: a line of 16 to 512 characters in a file that
others cannot read, such as ` + "`openssl rand -hex 32`" + ` makes it. It is read whenever it is asked for, so it can be replaced at any time. The port is plain HTTP:
over a network, the token needs a tunnel of another kind around it.

Programs send what the commands send: ` + "`POST /reload`" + `, or ` + "`POST /backends/drain`, `/backends/undrain` or `/backends/weight`" + ` with an object in JSON, or a form, of
` + "`name`" + `, and ` + "`group`, `for` and `weight`" + ` as above; with ` + "`Authorization: Bearer TOKEN`" + `, or, where there is no token, with the header ` + "`Culvert-Admin: 1`" + `. Nothing is taken
from the query. The answer is how the backend stands, as JSON, or one line of why not: 400, 404, 413 or 415 for what is wrong with it, 401 without a token, 403 with a
wrong one or from elsewhere.

    curl -H "Authorization: Bearer $(cat token)" -d name=10.0.0.1:80 -d for=10m http://127.0.0.1:9900/backends/drain
`

// flagsDocument returns the document.
func flagsDocument() string {
	var b strings.Builder
	b.WriteString(docBeginning)
	group := ""
	for _, f := range settings.Flags(settings.Run) {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "\n## %s\n\n| flag | variable | default | allowed | what it does |\n| --- | --- | --- | --- | --- |\n", group)
		}
		value := "none"
		if f.Default != "" {
			value = "`" + f.Default + "`"
		}
		cells := []string{"`--" + f.Synopsis() + "`", "`" + f.Variable + "`", value, f.Allowed, f.Help}
		for i, cell := range cells {
			cells[i] = strings.ReplaceAll(cell, "|", "\\|")
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	fmt.Fprintf(&b, docSpecs, specsTable())
	fmt.Fprintf(&b, docEnding, demoDefaults(), demoFlag("tls").Help, commandsTable())
	return b.String()
}

// commandsTable lists the commands that ask a running proxy.
func commandsTable() string {
	var b strings.Builder
	for _, command := range []string{settings.Reload, settings.BackendList, settings.BackendDrain, settings.BackendUndrain, settings.BackendWeight} {
		lines := strings.Split(settings.HelpText(command), "\n")
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.TrimSuffix(lines[0], " [flags]"), strings.TrimSpace(lines[2]))
	}
	return b.String()
}

// specsTable lists the sizes of an instance.
func specsTable() string {
	var b strings.Builder
	b.WriteString("| name | `--max-connections` | `--max-new-connections` (per second) | `--max-requests` (per second) |\n| --- | ---: | ---: | ---: |\n")
	for _, s := range limit.Specs() {
		fmt.Fprintf(&b, "| `%s` | %d | %d | %d |\n", s.Name, s.MaxConnections, s.NewConnectionsPerSecond, s.RequestsPerSecond)
	}
	return b.String()
}

// demoDefaults lists the defaults that differ in the demo.
func demoDefaults() string {
	var b strings.Builder
	b.WriteString("| flag | default in the demo |\n| --- | --- |\n")
	usual := settings.Flags(settings.Run)
	for _, f := range settings.Flags(settings.Demo) {
		other := slices.IndexFunc(usual, func(other settings.Flag) bool { return other.Name == f.Name })
		if other >= 0 && usual[other].Default != f.Default {
			fmt.Fprintf(&b, "| `--%s` | `%s` |\n", f.Name, f.Default)
		}
	}
	return b.String()
}

// demoFlag returns a flag of the demo.
func demoFlag(name string) settings.Flag {
	flags := settings.Flags(settings.Demo)
	return flags[slices.IndexFunc(flags, func(f settings.Flag) bool { return f.Name == name })]
}
