package main

import (
	"strings"
	"testing"
)

func TestFindingsBecomeCases(t *testing.T) {
	lines := `{"kind":"request","group":"a","name":"b c","raw":"474554202f20485454502f312e310d0a0d0a","want":"accept","addHost":true,"times":2}
{"kind":"response","group":"a","name":"b c","raw":"00","want":"refuse"}
{"kind":"chunks","group":"a","name":"d","raw":"300d0a0d0a","want":"accept"}
{"kind":"transfer-encoding","group":"a","name":"e","raw":"780a79","want":"refuse","body":"6162"}
`
	cases, err := readFindings("suite", strings.NewReader(lines))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ id, raw string }{
		{"suite/a/b-c", strings.Repeat("GET / HTTP/1.1\r\nHost: suite.test\r\n\r\n", 2)},
		{"suite/a/b-c~2", "\x00"},
		{"suite/a/d/request", "POST / HTTP/1.1\r\nHost: suite.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"suite/a/d/response", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"suite/a/e/request", "POST / HTTP/1.1\r\nHost: suite.test\r\nTransfer-Encoding: x\r\nTransfer-Encoding: y\r\n\r\n2\r\nab\r\n0\r\n\r\n"},
		{"suite/a/e/response", "HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\nTransfer-Encoding: y\r\n\r\n2\r\nab\r\n0\r\n\r\n"},
	}
	if len(cases) != len(want) {
		t.Fatalf("%d cases, want %d", len(cases), len(want))
	}
	for i, c := range cases {
		if c.id != want[i].id || string(c.raw) != want[i].raw {
			t.Errorf("case %d is %s %q, want %s %q", i, c.id, c.raw, want[i].id, want[i].raw)
		}
	}
	if c := cases[0]; c.method != "GET" || c.target != "/" || c.times != 2 {
		t.Errorf("what the suite left open is %s %q, %d times", c.method, c.target, c.times)
	}
}

func TestWrongFindingsAreReported(t *testing.T) {
	for _, line := range []string{`{`, `{"kind":"request","raw":"0"}`, `{"kind":"request","raw":"00","want":"accept"}`} {
		if _, err := readFindings("suite", strings.NewReader(line+"\n")); err == nil {
			t.Errorf("no error from %s", line)
		}
	}
}

func TestHostAgreesWithTheTarget(t *testing.T) {
	cases := []struct{ line, host string }{
		{"GET / HTTP/1.1\r\n", "suite.test"},
		{"GET //user@host/ HTTP/1.1\r\n", "suite.test"},
		{"OPTIONS * HTTP/1.1\n", "suite.test"},
		{"GET http://a:1?q HTTP/1.1\r\n", "a:1"},
		{"GET http://u:p@a/b HTTP/1.1\r\n", "a"},
		{"CONNECT a:443 HTTP/1.1\r\n", "a:443"},
		{"\r\nGET / HTTP/1.1\r\n", "suite.test"},
		{"GET / HTTP/1.0\r\n", ""},
		{"GET /\r\n", ""},
		{"GET / HTTP/1.1\r\nhOST: x\r\n", ""},
		{"GET / HTTP/1.1\r\n folded: x\r\n", ""},
	}
	for _, c := range cases {
		want := c.line + "\r\n"
		if c.host != "" {
			want = c.line + "Host: " + c.host + "\r\n\r\n"
		}
		if got := string(addHost([]byte(c.line + "\r\n"))); got != want {
			t.Errorf("%q became %q, want %q", c.line, got, want)
		}
	}
}

func TestInsertionsStandBeforeTheirAnchor(t *testing.T) {
	i := insertion{"x_test.go", "TestX", "for {", "tell()"}
	text := "package x\n\nfunc TestW() {\n\tfor {\n\t}\n}\n\nfunc TestX() {\n\tfor {\n\t}\n}\n"
	got, err := i.into(text)
	if want := strings.Replace(text, "TestX() {\n\tfor", "TestX() {\n\ttell()\nfor", 1); err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	for _, text := range []string{"", "\nfunc TestX() {\n}\nfunc TestY() {\n\tfor {\n\t}\n}\n"} {
		if _, err := i.into(text); err == nil {
			t.Errorf("no error where %q has no anchor", text)
		}
	}
}
