package configfile

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
	"culvert/proxy/origin"
)

const document = "../../../docs/configuration.md"

// TestConfigurationDoc fails when the model was changed and its reference was not. Then run:
//
//	go test ./cmd/internal/configfile -update
func TestConfigurationDoc(t *testing.T) {
	sameAs(t, document, []byte(configurationDocument(t)))
}

// TestBlocksOfTheDocument: what it shows can be used.
func TestBlocksOfTheDocument(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(documentBeginning+documentMiddle+documentEnding, -1)
	if len(blocks) < 2 {
		t.Fatalf("%d blocks", len(blocks))
	}
	for _, block := range blocks {
		text := block[1]
		if !strings.Contains(text, "groups:") {
			text = "groups: {app: {servers: [a:1]}, chat: {servers: [a:1]}}\nlisteners:\n  - address: :80\n    rules:\n      - {path: /other, group: app}\n      - {path: /chat, group: chat}\n" + indented(text)
		}
		if f, problems := parseWith([]byte(text), "c", nil); f == nil || len(problems) > 0 {
			t.Errorf("%v\nof\n%s", problems, text)
		}
	}
}

func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("      " + line)
	}
	return b.String()
}

const documentBeginning = `# The configuration file

This page is made from the model of the file by ` + "`go test ./cmd/internal/configfile -update`" + `; a test compares them.

` + "`culvert --config FILE`" + ` reads one YAML file. It says what is listened on, which servers there are, which rules decide
between them, and every setting that is a flag:

` + "```yaml" + `
timeouts:
  idle-timeout: 5m

listeners:
  - address: ":8080"
    group: app
    rules:
      - host: chat.example.com
        upgrade: true
        allowed-origins: ["https://chat.example.com"]
        group: chat
      - host: chat.example.com
        upgrade: false
        group: app

groups:
  app:
    servers: [10.0.0.1:9000, 10.0.0.2:9000]
  chat:
    servers:
      - {address: "10.0.0.3:9000", weight: 2}
      - 10.0.0.4:9000
` + "```" + `

%s
## Commands

| command | what it does |
| --- | --- |
| ` + "`culvert check FILE`" + ` | tells everything that is wrong with a file, as ` + "`file:line:column: what`" + ` on standard error, and what is to be doubted, as ` + "`warning:`" + `; exit status 2 if anything is wrong, else 0 and one line that counts what the file has. ` + "`--json`" + ` prints one JSON object instead. Nothing is started, and no name is resolved |
| ` + "`culvert config print`" + ` | prints the configuration that counts, after ` + "`--config`" + `, flags and variables, as a file would say it, and behind each setting where it comes from. Values of headers, cookies and parameters that may be secrets (Authorization, Cookie, Set-Cookie, Proxy-Authorization, and names with token, secret, key or password) are masked |
| ` + "`culvert config schema`" + ` | prints the JSON schema, which is also [config.schema.json](config.schema.json): editors complete keys and mark mistakes with it, many of them where the first line is ` + "`# yaml-language-server: $schema=config.schema.json`" + ` |
| ` + "`culvert backend`" + ` | ` + "`list`" + ` says how the backends of a running proxy stand; ` + "`drain NAME`, `undrain NAME` and `weight NAME N`" + ` change that, see [flags.md](flags.md#the-admin-port) |
| ` + "`culvert reload`" + ` | asks the proxy at ` + "`--admin ADDRESS`" + ` for a reload and says what came of it: exit status 0 when it was taken over, 2 when it is wrong, 1 when nobody answers or this machine does not allow it |

## Reload

The file is read again on SIGHUP, when ` + "`culvert reload`" + ` asks for it, and, with ` + "`--watch-config`" + `, when it has changed and is left
alone for a second. Backends' names are resolved again then. Write a file beside it and rename it: a file that is half written may make sense.
The files of ` + "`body-file`" + ` are read at a start and at a reload only: a change of one of them alone is not noticed, also not by ` + "`--watch-config`" + `.
Certificates, and keys of session tickets, are taken without a reload when their files have changed: see [tls.md](tls.md#certificates).

- It is taken over whole or not at all. If anything is wrong, or an address cannot be bound, the old one stays and the log says why.
- From then on every new request is decided by the new file, also on a connection that was there before. A request whose head had come goes on by the old one.
- No tunnel is touched. It keeps the timeouts that it began with.
- A server is the same one if its group and address are: its counts go on, whatever becomes of its weight or name. One that is gone gets no more requests;
  its tunnels live on.
- A new listener's address is bound before anything else changes. A listener that is gone stops accepting; its idle connections are closed, its
  requests are finished, its tunnels live on.
- Flags and variables still override the file. Settings that count at the next start only are named in the answer: ` + "`loops`, `read-buffer`, `buffer-memory`,\n  `splice-pipes`, `notsent-lowat`, `backlog`, `tls-workers`, `tls-handshakes-max`, `tls-ticket-keys`,\n  `source`, `admin`, `admin-token-file`, `watch-config`, `log-level`, `log-format` and `access-log`" + `.
- Reaching a limit drops what is new (` + "`culvert_dropped_total`" + `) and touches nothing that lives.

## How it is read

- A flag overrides its environment variable, a variable the file, the file the default. ` + "`--listen`, `--backend`" + `, the other flags that say what is
  served (%s) and
  their variables cannot be given together with a file that has ` + "`listeners` or `groups`" + `: nobody could tell which was meant.
- Values are read as those of flags are: durations need a unit (` + "`60s`" + `), sizes may have one (` + "`32KiB`" + `). They are taken as they are
  written, with or without quotes: ` + "`0x10`, `1_000` and `yes`" + ` are no numbers and no switches here. Quotes are needed where YAML sees something
  else, as in ` + "`access-log: \"-\"`, `host: \"*.example.com\"` and `[\"::\"]`" + `.
- Files and folders are found from the folder of the configuration file; ` + "`access-log`" + ` alone is found from where the process is started.
  ` + "`culvert check`" + ` reads them too: bodies, certificates, keys, tokens and lists of servers.
- A list of single values may be one value: ` + "`allow: 10.0.0.0/8`" + `.
- An unknown key, a key that is given twice and a value out of range are mistakes. All of them are told at once, and nothing is started then, with exit status 2.
- Anchors, aliases, merge keys, tags and a second document are refused.
- At most %d MiB, %s keys in one mapping, %s listeners, %s rules, %s servers, %s entries in a list of networks, %s origins, %s certificates of
  a listener, %s conditions of one kind and %s edits of one head.

## The sections

%s
## A listener

Each entry of ` + "`listeners`" + `:

%s
It may have these settings different from all others: %s.

### HTTPS

A listener with ` + "`tls`" + ` is an HTTPS listener; what it accepts, and how it chooses between certificates, is in [tls.md](tls.md). It has ` + "`certificates`, `folders`" + ` or both:

` + "```yaml" + `
listeners:
  - address: ":443"
    group: app
    tls:
      certificates: {cert: certs/app.crt, key: certs/app.key}
      hsts: 8760h
  - {address: ":80", https-redirect: 301}
groups:
  app: {servers: ["https://10.0.0.1:9443"], tls: {ca: internal-ca.pem}}
` + "```" + `

%s
A certificate:

%s
` + "`culvert check`" + ` reads all these files, tells what is wrong with them at the place that names them, and warns of certificates that end within 30 days.

## A rule

Each entry of a listener's ` + "`rules`" + `. It has conditions, of which all must hold; exactly one of ` + "`group`, `redirect` and `answer`" + `; and what is different for its requests.
`

const documentMiddle = `
Which rule counts: one host decides, the exact one, else the wildcard with the longest suffix, else the rules without a host. Within it the longest
path of which a rule's other conditions hold; of one path the first rule in order. A request whose host has rules, of which none matches, gets 404;
any other that no rule matches goes to the listener's group, or gets 404 where it has none. A rule that no request can
reach is a warning, and so is a host some of whose requests get 404 beside a listener's group.

%s
It may have these settings different from its listener's: %s. Until the head of a request is whole, the listener's count.

### Conditions

Headers, cookies and parameters of the query are named, and a value is compared as a whole, or:

` + "```yaml" + `
- headers: {X-Canary: "1", X-Debug: {absent: true}}
  cookies: {beta: {present: true}}
  query: {version: {prefix: "2."}}
  group: chat
` + "```" + `

%s
### Redirects

` + "`redirect: https`" + ` is short for status 302 to ` + "`https://{host-name}{uri}`" + `. Where a location begins with a path,
further slashes and backslashes behind its first one are left out: they would name a host of the client's choice.
Where it has the host in it, a request that names none (HTTP/1.0) gets 400.

%s
### Answers

%s
A body, also one of ` + "`error-bodies`, has `body` or `body-file`, and `content-type`" + `; text/plain; charset=utf-8 if that is not given.

### Header edits

They are made in the order in which they stand. In requests, ` + "`" + `X_User` + "`" + ` and ` + "`" + `X.User` + "`" + ` are ` + "`" + `X-User` + "`" + ` to ` + "`" + `set` + "`" + ` and ` + "`" + `remove` + "`" + `: a server may take one for the other.

%s
Connection, Keep-Alive, Proxy-*, TE, Trailer, Transfer-Encoding, Upgrade, Content-Length, Host, Expect, Sec-WebSocket-*, X-Forwarded-*, Forwarded, X-Real-IP, SLB-*, Via, Max-Forwards and
X-Request-Id cannot be edited: the protocol rules them, or they have settings of their own.

### Templates

The values of headers, ` + "`rewrite-host`" + ` and a redirect's ` + "`location`" + ` may hold these; a brace itself is written twice.

| written | stands for |
| --- | --- |
%s
### Origins

A browser lets any page open a WebSocket to any host, and sends that host's cookies along. ` + "`allowed-origins`" + ` lists the pages that may: origins such as
` + "`https://app.example.com`, wildcards such as `https://*.example.com`, `same-host`" + ` for the host that the request is for, ` + "`none`" + ` for requests
without an Origin, which come from no browser; or ` + "`any`" + `, alone. Upgrades from elsewhere get 403. ` + "`culvert check`" + ` warns where a rule, or a listener's own group, takes upgrades
and has no list.

## A group

Each entry of ` + "`groups`" + `, by its name (%s, at most %d):

%s
A server is a text, such as ` + "`10.0.0.1:9000`, `https://app.internal:443`, `unix:/run/app.sock` or `10.0.0.1:9000,weight=2`" + `, or:

%s
### Servers by HTTPS

A server whose address begins with ` + "`https://`" + ` is spoken to by HTTPS. Its certificate must hold its host, and be issued by somebody whom this machine trusts,
unless ` + "`tls`" + ` says something else, of the server or of its group:

%s`

const documentEnding = `
## The settings

They stand in sections, and mean what their flags do ([flags.md](flags.md)).
%s`

// variableHelp says what each variable of a template stands for.
var variableHelp = map[string]string{
	"client": "the client's address, trusted proxies seen through", "client-port": "the port of whoever is connected",
	"host": "the host as the client sent it, with its port", "host-name": "the host without a port", "port": "the listener's port",
	"scheme": "`https` or `http`: what a trusted proxy says by X-Forwarded-Proto, else by which the client has come", "uri": "the path and the query as they came", "path": "the path", "query": "the query, without the question mark",
	"method": "the method", "id": "the request's id, as in the access log",
}

func configurationDocument(t *testing.T) string {
	t.Helper()
	var variables strings.Builder
	for _, name := range proxy.TemplateVariables() {
		if variableHelp[name] == "" {
			t.Errorf("nothing is said of {%s}", name)
		}
		fmt.Fprintf(&variables, "| `{%s}` | %s |\n", name, variableHelp[name])
	}
	var sectionTables strings.Builder
	for _, s := range sections() {
		fmt.Fprintf(&sectionTables, "\n### %s\n\n%s", s.name, settingsTable(s.flags))
	}
	count := func(n int) string { return regexp.MustCompile(`(\d)(\d{3})$`).ReplaceAllString(fmt.Sprint(n), "$1,$2") }
	listenerOwn := listenerFields()[:len(listenerFields())-len(listenerPolicy)]
	ruleOwn := ruleFields()[:len(ruleFields())-len(rulePolicy)]
	var siteFlags []string
	for _, flag := range settings.SiteFlags {
		if flag != "listen" && flag != "backend" {
			siteFlags = append(siteFlags, "--"+flag)
		}
	}
	return fmt.Sprintf(documentBeginning, exampleList(t), codeList(siteFlags), MaxFileBytes>>20, count(maxKeys), count(MaxListeners), count(MaxRules), count(MaxServers),
		count(MaxListEntries), count(origin.MaxPatterns), count(MaxCertificates), count(MaxConditions), count(MaxEdits),
		fieldsTable(rootFields()), fieldsTable(listenerOwn), codeList(listenerPolicy), fieldsTable(listenerTLSFields()), fieldsTable(certificateFields())) +
		fmt.Sprintf(documentMiddle, fieldsTable(ruleOwn), codeList(rulePolicy), conditionTable, fieldsTable(redirectFields()), fieldsTable(answerFields()),
			fieldsTable(editFields()), variables.String(), nameAllowed, maxName, fieldsTable(groupFields()), fieldsTable(serverFields()),
			fieldsTable(backendTLSFields())) +
		fmt.Sprintf(documentEnding, sectionTables.String())
}

const conditionTable = "| written | holds where |\n| --- | --- |\n" +
	"| `name: value`, `name: {equal: value}` | one of that name has this value |\n| `name: {prefix: value}` | one of that name begins with it |\n" +
	"| `name: {present: true}` | there is one |\n| `name: {absent: true}` | there is none |\n"

func fieldsTable[T any](fields []field[T]) string {
	var b strings.Builder
	b.WriteString("| key | what it says | allowed |\n| --- | --- | --- |\n")
	for _, f := range fields {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.key, strings.ReplaceAll(f.help, "|", "\\|"), strings.ReplaceAll(f.allowed, "|", "\\|"))
	}
	return b.String()
}

func settingsTable(flags []settings.Flag) string {
	var b strings.Builder
	b.WriteString("| key | default | allowed |\n| --- | --- | --- |\n")
	for _, flag := range flags {
		value := "none"
		if flag.Default != "" {
			value = "`" + flag.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", flag.Name, value, flag.Allowed)
	}
	return b.String()
}

func codeList(words []string) string {
	return "`" + strings.Join(words, "`, `") + "`"
}

// exampleList links to the examples, with the first sentence of each.
func exampleList(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("Commented examples:\n\n| file | what it shows |\n| --- | --- |\n")
	for _, name := range examples(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(text), "\n\n")
		var words []string
		for line := range strings.Lines(head) {
			words = append(words, strings.TrimSpace(strings.TrimPrefix(line, "#")))
		}
		sentence, _, _ := strings.Cut(strings.Join(words, " "), ". ")
		base := filepath.Base(name)
		fmt.Fprintf(&b, "| [%s](examples/%s) | %s |\n", base, base, strings.TrimSuffix(sentence, "."))
	}
	return b.String()
}
