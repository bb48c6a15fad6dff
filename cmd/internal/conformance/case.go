package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// The verdicts that suites demand.
const (
	wantAccept     = "accept"     // the message passes, once and unchanged
	wantRefuse     = "refuse"     // it is an error
	wantIncomplete = "incomplete" // no error so far, but more would have to come and does not
)

// The kinds of input that probes tell. All but the first two are made into a request and a response each.
const (
	kindRequest  = "request"
	kindResponse = "response"
	kindChunks   = "chunks"            // what follows the head of a chunked message
	kindCoding   = "transfer-encoding" // the values of the header, one a line
	kindLength   = "content-length"    // the value of the header
)

// suiteHost is the host of a request whose suite names none.
const suiteHost = "suite.test"

// A suite is what one source gave.
type suite struct {
	name     string // prefix of its cases' ids
	title    string
	revision string
	cases    []*testCase
}

// hexBytes are bytes that travel as hexadecimal digits.
type hexBytes []byte

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *hexBytes) UnmarshalText(text []byte) error {
	decoded, err := hex.DecodeString(string(text))
	*b = decoded
	return err
}

// A finding is one input as a probe tells it, in a line of JSON.
type finding struct {
	Group   string   `json:"group"` // the test of the suite
	Name    string   `json:"name"`  // of the input within it
	Kind    string   `json:"kind"`
	Raw     hexBytes `json:"raw"`
	Want    string   `json:"want"`
	Method  string   `json:"method"` // expected or, of a response, that of the request; "": what net/http reads
	Target  hexBytes `json:"target"`
	Body    hexBytes `json:"body"`
	Status  int      `json:"status"`
	AnyBody bool     `json:"anyBody"` // the suite says nothing about the body
	AddHost bool     `json:"addHost"` // the suite tests a parser that leaves Host to its caller
	Times   int      `json:"times"`   // how often the request is sent, all at once; 0 is 1
}

// A testCase is a message for the proxy and what the suite demands.
type testCase struct {
	id       string
	group    string
	response bool
	raw      []byte
	want     string
	method   string
	target   string
	body     []byte
	status   int
	anyBody  bool
	times    int // how often the raw bytes hold the request
}

// readFindings reads what a suite's probes have written.
func readFindings(name string, from io.Reader) ([]*testCase, error) {
	var cases []*testCase
	taken := map[string]int{}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var f finding
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			return nil, fmt.Errorf("%s: a probe wrote %.100q: %w", name, lines.Text(), err)
		}
		made, err := f.cases(name)
		if err != nil {
			return nil, err
		}
		for _, c := range made {
			if taken[c.id]++; taken[c.id] > 1 {
				c.id += fmt.Sprintf("~%d", taken[c.id])
			}
			cases = append(cases, c)
		}
	}
	return cases, lines.Err()
}

// unfit matches what an id is not made of.
var unfit = regexp.MustCompile(`[^A-Za-z0-9._]+`)

// cases makes a case of a request or a response, and two of what both are made of.
func (f *finding) cases(suite string) ([]*testCase, error) {
	id := suite + "/" + f.Group + "/" + strings.Trim(unfit.ReplaceAllString(f.Name, "-"), "-")
	base := testCase{id: id, group: f.Group, raw: f.Raw, want: f.Want, method: f.Method, target: string(f.Target),
		body: f.Body, status: f.Status, anyBody: f.AnyBody, times: max(f.Times, 1)}
	switch f.Kind {
	case kindRequest:
		if f.AddHost {
			base.raw = addHost(base.raw)
		}
		base.raw = bytes.Repeat(base.raw, base.times)
		return []*testCase{&base}, base.complete()
	case kindResponse:
		base.response = true
		if base.method == "" {
			base.method = http.MethodGet
		}
		return []*testCase{&base}, nil
	}
	request, response := base, base
	framing, rest := f.framing()
	request.id, response.id, response.response = id+"/request", id+"/response", true
	request.method, request.target = http.MethodPost, "/"
	request.raw = []byte("POST / HTTP/1.1\r\nHost: " + suiteHost + "\r\n" + framing + "\r\n" + rest)
	response.raw = []byte("HTTP/1.1 200 OK\r\n" + framing + "\r\n" + rest)
	response.method, response.status = http.MethodGet, http.StatusOK
	return []*testCase{&request, &response}, nil
}

// framing returns the header lines and the body of a message that has the finding in it.
func (f *finding) framing() (fields, body string) {
	switch f.Kind {
	case kindChunks:
		return "Transfer-Encoding: chunked\r\n", string(f.Raw)
	case kindCoding:
		for value := range strings.SplitSeq(string(f.Raw), "\n") {
			fields += "Transfer-Encoding: " + value + "\r\n"
		}
		return fields, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(f.Body), f.Body)
	}
	return "Content-Length: " + string(f.Raw) + "\r\n", string(f.Body)
}

// complete fills in what a suite did not spell out about a request that it accepts: what net/http reads in it.
func (c *testCase) complete() error {
	if c.want != wantAccept || c.method != "" {
		return nil
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(c.raw)))
	if err != nil {
		return fmt.Errorf("%s is to be accepted, but net/http says: %w", c.id, err)
	}
	defer r.Body.Close()
	c.method, c.target = r.Method, r.RequestURI
	c.body, err = io.ReadAll(r.Body)
	return err
}

// brokenHead reports whether no request can be read in the bytes, whatever follows.
func (c *testCase) brokenHead() bool {
	_, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(c.raw)))
	return err != nil
}

// hostLine matches a Host line, version11 the request line of what must have one, with its target.
var (
	hostLine  = regexp.MustCompile(`(?im)^host[ \t]*:`)
	version11 = regexp.MustCompile(`^\s*\S+ ([^\n]*) HTTP/1\.1\r?\n`)
)

// addHost gives an HTTP/1.1 request the Host line without which any server must refuse it (RFC 9112, section 3.2), so
// that it is judged for what its suite is about. One whose first header line is folded stays as it is.
func addHost(raw []byte) []byte {
	line := version11.FindSubmatch(raw)
	if line == nil || hostLine.Match(raw) {
		return raw
	}
	end := len(line[0])
	if end < len(raw) && (raw[end] == ' ' || raw[end] == '\t') {
		return raw
	}
	host := []byte("Host: " + hostFor(string(line[1])) + "\r\n")
	return bytes.Join([][]byte{raw[:end], host, raw[end:]}, nil)
}

// hostFor returns the host of a target that has one, for Host must agree with it.
func hostFor(target string) string {
	if strings.HasPrefix(target, "/") {
		return suiteHost
	}
	_, authority, absolute := strings.Cut(target, "://")
	if !absolute {
		authority = target
	}
	if at := strings.IndexAny(authority, "/?#"); at >= 0 {
		authority = authority[:at]
	}
	authority = authority[strings.LastIndexByte(authority, '@')+1:]
	if !absolute && !strings.Contains(authority, ":") {
		return suiteHost
	}
	return authority
}
