package proxy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"culvert/proxy/proxytest"
)

// The suites go several ways: plain, and over TLS. What a test sends and wants is the same on all of them; docs/endings.md
// says what is not, and here is what cannot be.

// exception is a test that does not go over TLS.
type exception struct {
	test    string // a regular expression for its name on the plain way, as in TestHostile/P01
	client  bool   // it does not where the clients speak TLS
	backend bool   // ... where the backends do
	why     string
}

var exceptions = []exception{
	{
		test:   "TestHostile/P01/(v1|v2|v1-unknown|v2-with-vectors|v2-local|v2-local-with-addresses|v2-unix|access-by-the-named-client|passed-on-v2)",
		client: true, why: "the PROXY header comes in front of TLS, in clear: TestAProxyHeaderInFrontOfAHello",
	},
	{
		test:   "TestHostile/P01/(none|wrong-signature|unfinished|cut|v2-wrong-.*|v2-too-short|v2-vector-past-the-end|v1-too-long|v1-wrong-.*)",
		client: true, why: "whoever begins wrong is reset before TLS begins",
	},
	{
		test: "TestHostile/(T0[1-5]|X3[3-9]|X4[0-9])", client: true, backend: true,
		why: "they are about TLS itself, by hand, in both versions",
	},
	{
		test: "TestRules/the same host, over TLS as anybody may say", client: true,
		why: "its clients do come over TLS then",
	},
	{
		test: "TestWhatComesWithTheConnectIsSeen", client: true, backend: true,
		why: "it holds the loop, which must run for a handshake to end: phase S of docs/endings.md",
	},
	{
		test: "TestHostile/P01/(sent-on-v1|passed-on-v2)", backend: true,
		why: "the PROXY header goes in front of TLS, in clear: TestAProxyHeaderInFrontOfTLS",
	},
}

// goes tells whether a test goes a way.
func goes(test string, way proxytest.Way) bool {
	return !slices.ContainsFunc(exceptions, func(e exception) bool {
		secured := e.client && way.Client != proxytest.Plain || e.backend && way.Backend != proxytest.Plain
		return secured && e.pattern().MatchString(test)
	})
}

func (e exception) pattern() *regexp.Regexp { return regexp.MustCompile("^" + e.test + "(/|$)") }

// overWays runs a test plainly, under its own name, and over TLS as subtests.
func overWays(t *testing.T, test func(*proxytest.T)) {
	t.Helper()
	test(proxytest.Over(t, proxytest.Way{}))
	for _, way := range proxytest.Ways()[1:] {
		if goes(t.Name(), way) {
			t.Run(way.Name, func(t *testing.T) {
				over := proxytest.Over(t, way)
				over.Parallel()
				test(over)
			})
		}
	}
}

// onWay names a subtest that goes a way.
func onWay(way proxytest.Way, name string) string {
	if way.Name == "" {
		return name
	}
	return way.Name + "/" + name
}

// TestEveryExceptionIsOfATest: one that is of none any more would hide the next test of that name.
func TestEveryExceptionIsOfATest(t *testing.T) {
	var names []string
	for _, test := range hostileTests() {
		names = append(names, "TestHostile/"+test.name)
	}
	for _, c := range ruleCases {
		names = append(names, "TestRules/"+c.name)
	}
	for id := range endings() {
		names = append(names, "TestEndings/"+id)
	}
	sources, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	calls := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\) \{[^}]*\boverWays\(`)
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range calls.FindAllStringSubmatch(string(text), -1) {
			names = append(names, call[1])
		}
	}
	for _, e := range exceptions {
		if !slices.ContainsFunc(names, e.pattern().MatchString) {
			t.Errorf("no test is named %s", e.test)
		}
		if strings.TrimSpace(e.why) == "" || !e.client && !e.backend {
			t.Errorf("the exception of %s says nothing", e.test)
		}
	}
}
