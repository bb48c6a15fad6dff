package tidy

import (
	"fmt"
	"strings"
)

// A sample is a small tree and what a rule must say about it: one finding at
// path and line, or, where path is empty, nothing.
type sample struct {
	rule, name string
	files      map[string]string
	path       string
	line       int
}

// one is a sample with a single file that breaks the rule at a line.
func one(rule, name, file, source string, line int) sample {
	bare, _ := strings.CutSuffix(file, "*")
	return sample{rule, name, map[string]string{file: source}, bare, line}
}

// fine is a sample with a single file that does not break the rule.
func fine(rule, name, file, source string) sample {
	return sample{rule: rule, name: name, files: map[string]string{file: source}}
}

// body is Go source whose function consists of the lines given; the first is line 5.
func body(imported string, lines ...string) string {
	return fmt.Sprintf("package p\n\nimport %q\n\nfunc f(t *testing.T) { %s\n}\n", imported, strings.Join(lines, "\n"))
}

func lines(n int) string { return strings.Repeat("\n", n) }

// broken keeps forbidden words out of this file's own text.
func broken(parts ...string) string { return strings.Join(parts, "") }

func breaches() []sample {
	return append(append(sizeBreaches(), importBreaches()...),
		append(append(concurrencyBreaches(), languageBreaches()...), agreementBreaches()...)...)
}

func sizeBreaches() []sample {
	long := "package p\n\nfunc f() {" + lines(70) + "}\n"
	return []sample{
		one("top level", "stray folder", "util/x.go", "package util\n", 0),
		one("top level", "stray file", "notes.txt", "x\n", 0),
		one("file length", "Go", "engine/a.go", "package p\n"+lines(500), 501),
		one("file length", "Makefile", "Makefile", lines(501), 501),
		one("file length", "document", "docs/a.md", lines(501), 501),
		one("file length", "script without suffix", ".ci/run", "#!/bin/bash\n"+lines(500), 501),
		one("function length", "function", "engine/a.go", long, 3),
		one("function length", "test function", "engine/a_test.go", long, 3),
		one("function length", "literal", "engine/a.go", "package p\n\nvar f = func() {"+lines(70)+"}\n", 3),
		one("format", "spaces", "engine/a.go", "package p\n\nvar  x = 1\n", 3),
		one("format", "no syntax", "engine/a.go", "package\n", 0),
	}
}

func imports(paths ...string) string {
	var b strings.Builder
	b.WriteString("package p\n\n")
	for _, p := range paths {
		fmt.Fprintf(&b, "import %q\n", p)
	}
	return b.String()
}

func importBreaches() []sample {
	const arrows, restricted, pure = "import arrows", "restricted imports", "pure parsers"
	return []sample{
		one(arrows, "engine knows http1", "engine/a.go", imports("fmt", "culvert/proxy/http1"), 4),
		one(arrows, "engine knows tls in a test", "engine/a_test.go", imports("culvert/tls"), 3),
		one(arrows, "tls knows engine", "tls/a.go", imports("culvert/engine"), 3),
		one(arrows, "http1 knows ws", "proxy/http1/a.go", imports("culvert/proxy/ws"), 3),
		one(arrows, "ws knows its parent", "proxy/ws/a.go", imports("culvert/proxy"), 3),
		one(arrows, "proxy knows bench", "proxy/health/a.go", imports("culvert/bench"), 3),
		one(arrows, "bench knows proxy", "bench/a.go", imports("culvert/proxy"), 3),
		one(arrows, "a command knows engine", "cmd/culvert/a.go", imports("culvert/engine"), 3),
		one(arrows, "proxy knows a command", "proxy/a.go", imports("culvert/cmd/internal/tidy"), 3),
		one(arrows, "unknown folder", "proxy/a.go", imports("culvert/util"), 3),
		one(arrows, "package without a layer", "util/a.go", "package util\n", 1),
		one(restricted, "netpoll elsewhere", "engine/loop.go", imports("github.com/cloudwego/netpoll"), 3),
		one(restricted, "netpoll in the load generator", "bench/load/a.go", imports("github.com/cloudwego/netpoll"), 3),
		one(restricted, "netpoll in proxy", "proxy/a.go", imports("github.com/cloudwego/netpoll"), 3),
		one(restricted, "crypto/tls elsewhere", "proxy/a.go", imports("crypto/tls"), 3),
		one(restricted, "crypto/tls in a folder whose name begins like its home", "proxy/tls/a.go", imports("crypto/tls"), 3),
		one(restricted, "netpoll below its home", "bench/echo/deep/a.go", imports("github.com/cloudwego/netpoll"), 3),
		one(pure, "clock", "proxy/http1/a.go", imports("time"), 3),
		one(pure, "I/O", "proxy/ws/a.go", imports("net"), 3),
		one(pure, "goroutine", "proxy/ws/a.go", "package p\n\nfunc f() {\n\tgo f()\n}\n", 4),
	}
}

func concurrencyBreaches() []sample {
	const note = "// goroutine: sink, ends when the loop ends\n"
	const listed = "package p\n\n" + note + "var x = func() { go x() }\n"
	return []sample{
		one("clock", "now", "engine/loop.go", body("time", "", "_ = time.Now()"), 6),
		one("clock", "since, renamed", "proxy/a.go", "package p\n\nimport clock \"time\"\n\nvar x = clock.Since\n", 5),
		one("goroutines", "no note", "engine/listed.go", "package p\n\nfunc f() {\n\tgo f()\n}\n", 4),
		one("goroutines", "hidden in a wait group", "engine/listed.go", "package p\n\nfunc f() {\n\twg.Go(f)\n}\n", 4),
		one("goroutines", "hidden in a timer", "engine/listed.go", body("time", "", "time.AfterFunc(1, g)"), 6),
		one("goroutines", "a note without an end", "engine/listed.go", "package p\n\n// goroutine: sink\nvar x = func() { go x() }\n", 4),
		one("goroutines", "note too far away", "engine/listed.go", "package p\n\n"+note+"\nvar x = func() { go x() }\n", 5),
		{"goroutines", "file not listed", map[string]string{"engine/listed.go": listed, "engine/other.go": listed}, "engine/other.go", 4},
		one("goroutines", "listed in vain", "engine/listed.go", "package p\n", 0),
		one("recover", "in a loop", "engine/loop.go", "package p\n\nfunc f() { _ = recover() }\n", 3),
		one("recover", "without a reason", "tls/a.go", "package p\n\n// tidy:recover\nvar x = recover()\n", 4),
		one("sleep", "in a test", "bench/a_test.go", body("time", "", "time.Sleep(1)"), 6),
		one("sleep", "in the engine", "engine/a.go", body("time", "", "time.Sleep(1)"), 6),
		one("sleep", "in a test's helper package", "cmd/internal/demo/demotest/a.go", body("time", "", "time.Sleep(1)"), 6),
		one("sleep", "without a reason", "engine/a_test.go", body("time", "// tidy:sleep", "time.Sleep(1)"), 6),
	}
}

func languageBreaches() []sample {
	return []sample{
		one("any", "variable", "engine/a.go", "package p\n\nvar x interface"+"{}\n", 3),
		one("any", "parameter on two lines", "bench/a.go", "package p\n\nfunc f(x interface{\n}) {}\n", 3),
		one("context", "placeholder", "cmd/x/a.go", body("context", "", broken("_ = context.TO", "DO()")), 6),
		one("race detector", "hidden function", "engine/a.go", "package p\n\n//go:no"+"race\nfunc f() {}\n", 3),
		one("skips", "plain", "engine/a_test.go", body("testing", "", "t.Skip()"), 6),
		one("skips", "in a subtest", "engine/a_test.go", body("testing", "", "g(func(u testing.TB) { u.Skipf(\"x\") })"), 6),
		one("documentation", "function", "engine/a.go", "// Package p is.\npackage p\n\nfunc F() {}\n", 4),
		one("documentation", "method", "engine/a.go", "// Package p is.\npackage p\n\n// T is.\ntype T int\n\nfunc (t *T) M() {}\n", 7),
		one("documentation", "generic method", "engine/a.go", "// Package p is.\npackage p\n\nfunc (t *T[K]) M() {}\n", 4),
		one("documentation", "type", "engine/a.go", "// Package p is.\npackage p\n\ntype T int\n", 4),
		one("documentation", "constant", "engine/a.go", "// Package p is.\npackage p\n\nconst (\n\tc = 1\n\tC = 2\n)\n", 6),
		one("documentation", "variable", "engine/a.go", "// Package p is.\npackage p\n\nvar a, B int\n", 4),
		one("documentation", "package", "cmd/x/main.go", "package main\n", 1),
		one("markers", "comment", "engine/a.go", broken("package p\n\n// TO", "DO: later\n"), 3),
		one("markers", "document", "docs/a.md", broken("FIX", "ME\n"), 1),
		one("markers", "makefile", "Makefile", broken("# XX", "X\n"), 1),
	}
}

func agreementBreaches() []sample {
	const help = ".PHONY: run\nrun: ## start\n"
	readme := func(name, text string, line int) sample {
		return sample{"named targets", name, map[string]string{"Makefile": "\n" + help, "README.md": text}, "README.md", line}
	}
	link := func(name, text string) sample {
		return sample{"links", name, map[string]string{"docs/a.md": "\n" + text, "docs/b.md": "# The *second*\n"}, "docs/a.md", 2}
	}
	return []sample{
		one("paths and hosts", "machine path", "engine/a.go", broken("package p\n\nvar x = \"/ho", "me/me/x\"\n"), 3),
		one("paths and hosts", "temporary folder", "scripts/x.conf", broken("dir=/t", "mp/x\n"), 1),
		one("paths and hosts", "registry", ".ci/run", broken("curl https://registry.n", "pmjs.org/x\n"), 1),
		one("scripts", "not executable", "scripts/a", "#!/bin/bash\nset -euo pipefail\n", 1),
		one("scripts", "no interpreter", "scripts/a.sh*", "exit 0\n", 1),
		one("scripts", "goes on after errors", ".ci/run*", "#!/usr/bin/env bash\ntrue\n", 1),
		one("target help", "no help", "Makefile", "x:\n\n.PHONY: run\nrun: build\n", 4).without("x:\n"),
		one("target help", "not declared", "Makefile", "run: build ## start\n", 1),
		{"target help", "no Makefile", map[string]string{}, "Makefile", 0},
		{"version stamp", "no variable", map[string]string{
			"Makefile": "\n-X main.version=1\n", "cmd/culvert/main.go": "package main\n\nconst version = 1\n",
		}, "Makefile", 2},
		readme("code span", "Say `make walk`.\n", 1),
		readme("code block", "Say:\n\n    make run\n    make walk\n", 4),
		readme("fence with a prompt", "```\n$ make walk\n```\n", 2),
		link("missing file", "[x](c.md)\n"),
		link("missing heading", "[x](b.md#first)\n"),
		link("missing heading here", "[x](#first)\n"),
		link("absolute", "![x](/docs/b.md)\n"),
		link("reference", "[x]: ../c.md\n"),
	}
}

// without removes a text from the sample's file and counts its lines off.
func (s sample) without(text string) sample {
	s.files = map[string]string{s.path: strings.TrimPrefix(s.files[s.path], text)}
	s.line -= strings.Count(text, "\n")
	return s
}

func permitted() []sample {
	const note = "// goroutine: sink, ends when the loop ends\n"
	return []sample{
		{"top level", "known entries", map[string]string{"go.mod": "", "engine/a.go": "package p\n", ".ci/run": ""}, "", 0},
		fine("file length", "500 lines", "engine/a.go", "package p\n"+lines(499)),
		fine("file length", "other text", "proxy/testdata/a.txt", lines(900)),
		fine("file length", "generated", "engine/a.go", "// Code generated by x. DO NOT EDIT.\n\npackage p\n"+lines(600)),
		fine("function length", "70 lines", "engine/a.go", "package p\n\nfunc f() {"+lines(69)+"}\n"),
		fine("import arrows", "downwards", "proxy/health/a.go", imports("fmt", "culvert/engine", "culvert/proxy/ws", "culvert/proxy/balance")),
		fine("import arrows", "a command's test", "cmd/culvert/a_test.go", imports("culvert/engine")),
		fine("import arrows", "commands share", "cmd/culvert/a.go", imports("culvert/cmd/internal/demo", "culvert/proxy/admin", "culvert/bench")),
		fine("restricted imports", "at home", "engine/poll.go", imports("github.com/cloudwego/netpoll")),
		fine("restricted imports", "at its second home", "bench/echo/a.go", imports("github.com/cloudwego/netpoll")),
		fine("restricted imports", "crypto/tls at home", "tls/a.go", imports("crypto/tls")),
		fine("restricted imports", "crypto/tls below its home", "tls/certs/a.go", imports("crypto/tls")),
		fine("restricted imports", "in tests", "proxy/a_test.go", imports("crypto/tls", "github.com/cloudwego/netpoll")),
		fine("pure parsers", "bytes only", "proxy/ws/a.go", imports("errors", "net/netip", "github.com/gobwas/ws")),
		fine("pure parsers", "tests may", "proxy/ws/a_test.go", imports("net", "time")),
		fine("clock", "the clock", clockFile, body("time", "_ = time.Now()")),
		fine("clock", "a test", "engine/a_test.go", body("time", "_ = time.Now()")),
		fine("clock", "another Now", "engine/a.go", body("fmt", "_ = clock.Now()")),
		fine("clock", "outside", "bench/a.go", body("time", "_ = time.Now()")),
		{"goroutines", "noted, and a test", map[string]string{
			"engine/listed.go": "package p\n\n" + note + "var x = func() { go x() }\n",
			"engine/a_test.go": "package p\n\nvar x = func() { go x() }\n",
		}, "", 0},
		fine("recover", "with a reason", "tls/a.go", "package p\n\n// tidy:recover one connection fails, not all\nvar x = recover()\n"),
		fine("sleep", "with a reason", "engine/a_test.go", body("time", "", "// tidy:sleep the kernel's own timer is tested", "time.Sleep(1)")),
		fine("sleep", "load generator", "bench/a.go", body("time", "time.Sleep(1)")),
		fine("any", "with methods", "engine/a.go", "package p\n\nvar x interface{ M() }\n"),
		fine("race detector", "other directive", "engine/a.go", "package p\n\n//go:noinline\nfunc f() {}\n"),
		fine("skips", "a failure in CI", "engine/a_test.go", body("testing", "if os.Getenv(\""+requirement+"_X\") == \"\" { t.Skip() }")),
		fine("skips", "by a constant's name", "engine/a_test.go", body("testing", "if os.Getenv(requireX) == \"\" { t.Skip() }")+"const requireX = \""+requirement+"_X\"\n"),
		fine("skips", "another Skip", "engine/a_test.go", body("testing", "reader.Skip(4)")),
		fine("documentation", "all there", "engine/a.go", "// Package p is.\npackage p\n\n// F is.\nfunc F() {}\n\n// These are.\nconst A, B = 1, 2\n\nvar C = 1 // C is.\n\nfunc (t hidden) M() {}\n"),
		fine("documentation", "tests", "engine/a_test.go", "package p\n\nfunc TestX() {}\n"),
		fine("markers", "inside a word", "docs/a.md", "mktemp XXXXXX\n"),
		fine("paths and hosts", "part of an address", "docs/a.md", "See https://example.com/home/x and docs/work/y.\n"),
		fine("scripts", "a proper one", ".ci/run*", "#!/usr/bin/env bash\nset -euo pipefail\n"),
		fine("target help", "a variable", "Makefile", "GO := go\nX ?= a:b\n\n.PHONY: run\nrun: ## start\n"),
		{"named targets", "prose and known ones", map[string]string{"Makefile": "\n.PHONY: run\nrun: ## start\n", "README.md": "make sure: `make run`\n"}, "", 0},
		{"version stamp", "a variable", map[string]string{
			"Makefile": "-X main.version=1\n", "cmd/culvert/main.go": "package main\n\nvar version = \"unknown\"\n",
		}, "", 0},
		{"links", "good ones", map[string]string{
			"docs/a.md": "# One, two\n[a](b.md) [b](../engine) [c](#one-two) [d](https://x.y/z) `[e](f)`\n```\n[g](h)\n```\n",
			"docs/b.md": "x\n", "engine/a.go": "package p\n",
		}, "", 0},
	}
}
