package configfile

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"culvert/cmd/internal/configfile/configtest"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	examplesFolder = "../../../docs/examples"
	schemaFile     = "../../../docs/config.schema.json"
)

func examples(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(examplesFolder, "*.yaml"))
	if err != nil || len(names) < 8 {
		t.Fatalf("%d examples, %v", len(names), err)
	}
	return names
}

// copyExamples copies the examples into a folder of their own, with the certificates that they name.
func copyExamples(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(examplesFolder)); err != nil {
		t.Fatal(err)
	}
	until := time.Now().AddDate(1, 0, 0)
	configtest.Certificate(t, "app.example.com", until, filepath.Join(folder, "certs/app.crt"), filepath.Join(folder, "certs/app.key"))
	if err := os.WriteFile(filepath.Join(folder, "servers.yaml"), []byte("- 10.0.2.1:8000\n- {address: \"[::1]:8000\", weight: 2, secondary: true}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	configtest.Certificate(t, "internal authority", until, filepath.Join(folder, "internal-ca.pem"), "")
	return folder
}

// exampleKeys finds what an example says, as far as comments do not mislead it.
var exampleKeys = regexp.MustCompile(`(?m)(?:^ *|[-{,] )([a-z-]+):`)

// TestExamples: each begins by saying what it is for, and is found without fault, by the check and by the schema.
func TestExamples(t *testing.T) {
	schema := compiledSchema(t)
	said := map[string]bool{}
	folder := copyExamples(t)
	for _, name := range examples(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			name := filepath.Join(folder, filepath.Base(name))
			var stdout, stderr bytes.Buffer
			if !Check(name, false, &stdout, &stderr) || stderr.Len() > 0 || !strings.HasSuffix(stdout.String(), ": ok\n") {
				t.Errorf("it says\n%s%s", stderr.String(), stdout.String())
			}
			text, err := os.ReadFile(name)
			if err != nil || !bytes.HasPrefix(text, []byte("# ")) {
				t.Errorf("%v, or it does not begin by saying what it is for", err)
			}
			if err := schema.Validate(plainYAML(t, text)); err != nil {
				t.Errorf("the schema says: %v", err)
			}
			for _, key := range exampleKeys.FindAllStringSubmatch(string(text), -1) {
				said[key[1]] = true
			}
		})
	}
	for _, key := range []string{"listeners", "groups", "rules", "redirect", "answer", "error-bodies", "proxy-protocol", "send-proxy", "spec", "allow", "deny", "rewrite-path", "watch-config", "tls", "https-redirect", "hsts", "certificates",
		"schedule", "sticky", "check", "outliers", "slow-start", "end-rate", "end-when-down", "queue", "queue-timeout", "retry-share", "discovery", "max-connections", "drain-for"} {
		if !said[key] {
			t.Errorf("no example shows %s", key)
		}
	}
}

// plainYAML reads a text as any program with a YAML library would.
func plainYAML(t testing.TB, text []byte) any {
	t.Helper()
	file, err := parse(joinColons(lexer.Tokenize(string(text))))
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.NodeToValue(file.Docs[0].Body, &value); err != nil {
		t.Fatal(err)
	}
	// By way of JSON, numbers are what the schema's library knows.
	data, err := yaml.MarshalWithOptions(value, yaml.JSON())
	if err != nil {
		t.Fatal(err)
	}
	plain, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func compiledSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("config.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// TestSchemaIsCommitted: editors take it from the repository.
func TestSchemaIsCommitted(t *testing.T) {
	sameAs(t, schemaFile, Schema())
}

// sameAs compares a committed file with what it is made from, or writes it anew.
func sameAs(t *testing.T, name string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the model says: run go test ./cmd/internal/configfile -update", filepath.Base(name))
	}
}

// TestSchemaFindsMistakes: what an editor should mark is not let through.
func TestSchemaFindsMistakes(t *testing.T) {
	schema := compiledSchema(t)
	for _, text := range []string{
		"timeout: {}", "timeouts: {idle-timeout: 60}", "timeouts: {idle-timeout: soon}", "limits: {loops: 257}", "limits: {loops: two}", "limits: {spec: huge}",
		"http: {via: 1}", "http: {max-head: 32KB}", "listeners: {}", "listeners: [{group: a}]", "listeners: [{address: \":80\", nonsense: 1}]",
		"listeners: [{address: \":80\", rules: [{host: a.example}]}]", "listeners: [{address: \":80\", rules: [{group: a, redirect: https}]}]",
		"listeners: [{address: \":80\", rules: [{redirect: {status: 303, location: /}}]}]", "listeners: [{address: \":80\", rules: [{answer: {status: 100}}]}]",
		"listeners: [{address: \":80\", rules: [{group: a, headers: {X: {presnt: true}}}]}]", "groups: {a: {}}", "groups: {a: {servers: [{weight: 1}]}}",
		"tls: {policy: modern}", "tls: {tls-workers: 257}", "timeouts: {tls-handshake-timeout: 5}", "listeners: [{address: \":80\", tls: true}]",
		"listeners: [{address: \":80\", tls: {policy: old}}]", "listeners: [{address: \":80\", tls: {certificates: {cert: a}}}]", "listeners: [{address: \":80\", tls: {hsts: 1}}]",
		"listeners: [{address: \":80\", https-redirect: 303}]", "listeners: [{address: \":80\", https-port: 65536}]",
		"groups: {a: {servers: [], tls: {verify: maybe}}}", "groups: {a: {servers: [{address: \"https://a:1\", tls: {insecure: true}}]}}",
		"groups: {a: {servers: [], schedule: round}}", "groups: {a: {servers: [], schedule: {hash-by: path}}}", "groups: {a: {servers: [], sticky: rewrite}}",
		"groups: {a: {servers: [], sticky: {cookie: yes}}}", "groups: {a: {servers: [], check: udp}}", "groups: {a: {servers: [], check: {good: 200}}}",
		"groups: {a: {servers: [], check: {interval: 3}}}", "groups: {a: {servers: [], check: {healthy: 1}}}", "groups: {a: {servers: [], outliers: on}}",
		"groups: {a: {servers: [], outliers: {failures: 0}}}", "groups: {a: {servers: [], outliers: {most-ejected: half}}}", "groups: {a: {servers: [], slow-start: 30}}",
		"groups: {a: {servers: [], queue: many}}", "groups: {a: {servers: [], end-rate: -1}}", "groups: {a: {discovery: {}}}", "groups: {a: {discovery: {dns: a, srv: b}}}",
		"groups: {a: {discovery: {dns: a, port: 0}}}", "groups: {a: {servers: [{address: \"a:1\", drain: 5m}]}}", "groups: {a: {servers: [{address: \"a:1\", max-connections: lots}]}}",
		"groups: {a b: {servers: []}}", "groups: {a: {servers: [], send-proxy: v3}}", "[]", "idle-timeout: 5s",
	} {
		if schema.Validate(plainYAML(t, []byte(text))) == nil {
			t.Errorf("the schema has nothing to say about %s", text)
		}
	}
}
