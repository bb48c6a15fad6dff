package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

//go:embed probes/*.txt
var goProbes embed.FS

// probes are the files that join the tests: where, from what, and the package that takes the place of PACKAGE.
var probes = []struct{ file, from, pack string }{
	{"culvert_test.go", "http", "http"},
	{"culvert_tables_test.go", "tables", ""},
	{"culvert_external_test.go", "http", "http_test"},
	{"culvert_served_test.go", "served", ""},
	{"internal/culvert_test.go", "http", "internal"},
	{"internal/culvert_size_test.go", "internal", ""},
}

// A missingError says that a source cannot be had here.
type missingError struct{ source, why string }

// Error implements error.
func (e *missingError) Error() string { return e.source + ": " + e.why }

// An insertion puts a line into a test of Go's distribution, before an anchor, so that it tells its inputs.
type insertion struct {
	file   string // below src/net/http
	test   string // the function
	anchor string // the first line after the function's beginning that holds this
	line   string
}

// served tells the bytes that a test has put before a server, and the status that it demands.
const served = `culvertTell("request", %q, culvertIndex, conn.readBuf.String(), culvertWant(tt.want == 200)); culvertIndex++`

var insertions = []insertion{
	{"response_test.go", "TestReadResponseErrors", "for i, tt := range tests {",
		`for i, tt := range tests { culvertLine("\"kind\":\"response\",\"group\":\"TestReadResponseErrors\",\"name\":\"%d\",\"raw\":\"%x\",\"want\":%q,\"method\":\"GET\",\"status\":%d,\"anyBody\":true", i, tt.in, culvertWant(tt.wantErr == nil), culvertStatus(tt.in)) }`},
	{"transfer_test.go", "TestParseTransferEncoding", "for i, tt := range tests {",
		`for i, tt := range tests { culvertLine("\"kind\":\"transfer-encoding\",\"group\":\"TestParseTransferEncoding\",\"name\":\"%d\",\"raw\":\"%x\",\"want\":%q,\"body\":\"%x\"", i, strings.Join(tt.hdr["Transfer-Encoding"], "\n"), culvertWant(tt.wantErr == nil), "a body") }`},
	{"transfer_test.go", "TestParseContentLength", "for _, tt := range tests {",
		`for i, tt := range tests { culvertLength(i, tt.cl, tt.wantErr == nil) }`},
	{"internal/chunked_test.go", "TestParseHexUint", "for i := uint64(0)",
		`for i, tt := range tests { culvertSize(i, tt.in, tt.wantErr) }`},
	{"internal/chunked_test.go", "TestChunkReadingIgnoresExtensions", "data, err := io.ReadAll",
		`culvertLine("\"kind\":\"chunks\",\"group\":\"TestChunkReadingIgnoresExtensions\",\"name\":\"0\",\"raw\":\"%x\",\"want\":\"accept\",\"body\":\"%x\"", in+"\r\n", "hello, world! 0123456789abcdef")`},
	{"internal/chunked_test.go", "TestIncompleteChunk", "for i := 0; i < len(valid); i++ {",
		`for i := range len(valid) { culvertTell("chunks", "TestIncompleteChunk", i, valid[:i], "incomplete") }`},
	{"internal/chunked_test.go", "TestChunkInvalidInputs", "t.Run(test.name",
		`culvertTell("chunks", "TestChunkInvalidInputs", test.name, test.b+"\r\n", "refuse")`},
	{"serve_test.go", "TestServerValidatesHostHeader", "for _, tt := range tests {", "culvertIndex := 0"},
	{"serve_test.go", "TestServerValidatesHostHeader", "ln := &oneConnListener{conn}", fmt.Sprintf(served, "TestServerValidatesHostHeader")},
	{"serve_test.go", "TestServerValidatesHeaders", "for _, tt := range tests {", "culvertIndex := 0"},
	{"serve_test.go", "TestServerValidatesHeaders", "ln := &oneConnListener{conn}", fmt.Sprintf(served, "TestServerValidatesHeaders")},
	{"serve_test.go", "TestServerValidatesMethod", "for _, tt := range tests {", "culvertIndex := 0"},
	{"serve_test.go", "TestServerValidatesMethod", "ln := &oneConnListener{conn}", fmt.Sprintf(served, "TestServerValidatesMethod")},
	{"serve_test.go", "testHTTP10ConnectionHeader", "for _, tt := range tests {",
		`for i, tt := range tests { culvertTell("request", "TestHTTP10ConnectionHeader", i, tt.req, "accept") }`},
	{"serve_test.go", "TestInvalidChunkedBodies", "t.Run(test.name",
		`culvertTell("chunks", "TestInvalidChunkedBodies", test.name, test.b, "refuse")`},
	{"serve_test.go", "TestQuerySemicolon", "run(t, func(",
		`for i, tt := range tests { culvertTell("request", "TestQuerySemicolon", i, "GET /"+tt.query+" HTTP/1.1\r\nHost: suite.test\r\n\r\n", "accept") }`},
	{"serve_test.go", "testServerExpect", "runTest := func(", `for i, tt := range serverExpectTests { if tt.expectedResponse != "401 Unauthorized" { culvertExpect(i, tt) } }`},
}

// goTests are the tests that tell something. They run whole: what they demand holds for the net/http that they test.
const goTests = `^(TestCulvert(Tables|Errors)|TestReadResponseErrors|TestParseTransferEncoding|TestParseContentLength|TestParseHexUint|` +
	`TestChunkReadingIgnoresExtensions|TestIncompleteChunk|TestChunkInvalidInputs|TestServerValidates(HostHeader|Headers|Method)|` +
	`TestHTTP10ConnectionHeader|TestInvalidChunkedBodies|TestQuerySemicolon|TestServerExpect)$`

// goSuite runs tests of Go's distribution with the insertions, by the overlay that the go command has for such things:
// no file of the distribution is touched.
func goSuite(ctx context.Context, _ string) (*suite, error) {
	const name = "Go's net/http"
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, &missingError{name, "no go command: " + err.Error()}
	}
	folder, err := os.MkdirTemp("", "culvert-conformance-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "net", "http")
	overlay, err := writeOverlay(source, folder)
	if err != nil {
		return nil, err
	}
	told := filepath.Join(folder, "cases")
	command := exec.CommandContext(ctx, "go", "test", "-vet=off", "-count=1", "-p", "1", "-overlay", overlay, "-run", goTests, "net/http", "net/http/internal")
	command.Env = append(os.Environ(), "CULVERT_CASES="+told)
	if out, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: its own tests: %w\n%s", name, err, out)
	}
	f, err := os.Open(told)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cases, err := readFindings("go", f)
	return &suite{name: "go", title: "tests of Go's net/http", revision: runtime.Version(), cases: cases}, err
}

// writeOverlay writes the changed copies and returns the name of the overlay's description.
func writeOverlay(source, folder string) (string, error) {
	replace := map[string]string{}
	put := func(name, text string) error {
		copied := filepath.Join(folder, strings.ReplaceAll(name, "/", "+"))
		replace[filepath.Join(source, filepath.FromSlash(name))] = copied
		return os.WriteFile(copied, []byte(text), 0o600)
	}
	changed := map[string]string{}
	for _, i := range insertions {
		text, ok := changed[i.file]
		if !ok {
			original, err := os.ReadFile(filepath.Join(source, filepath.FromSlash(i.file)))
			if os.IsNotExist(err) {
				return "", &missingError{"Go's net/http", "this Go came without its tests (" + i.file + ")"}
			}
			if err != nil {
				return "", err
			}
			text = string(original)
		}
		text, err := i.into(text)
		if err != nil {
			return "", err
		}
		changed[i.file] = text
	}
	for _, p := range probes {
		text, err := goProbes.ReadFile("probes/" + p.from + ".go.txt")
		if err != nil {
			return "", err
		}
		changed[p.file] = strings.Replace(string(text), "PACKAGE", p.pack, 1)
	}
	for file, text := range changed {
		if err := put(file, text); err != nil {
			return "", err
		}
	}
	description, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(folder, "overlay.json")
	return name, os.WriteFile(name, description, 0o600)
}

// into returns the text with the insertion.
func (i insertion) into(text string) (string, error) {
	begin := strings.Index(text, "\nfunc "+i.test+"(")
	if begin >= 0 {
		if end := strings.Index(text[begin:], "\n}\n"); end >= 0 {
			if at := strings.Index(text[begin:begin+end], i.anchor); at >= 0 {
				var out bytes.Buffer
				out.WriteString(text[:begin+at])
				out.WriteString(i.line + "\n")
				out.WriteString(text[begin+at:])
				return out.String(), nil
			}
		}
	}
	return "", fmt.Errorf("%s of this Go has no %s with %q: adapt the insertions", i.file, i.test, i.anchor)
}
