package proxy

import (
	"errors"
	"fmt"
	"strings"

	"culvert/proxy/http1"
)

// fixedAnswer is an answer that a rule gives itself: a redirect, a page, or the body of one of our refusals. Immutable.
type fixedAnswer struct {
	status   int
	phrase   string
	location template // of a redirect
	ofHost   bool     // the location has the request's host in it
	edits    *headEdits
	kind     string // media type
	body     []byte
}

// phrases of the statuses that we may answer with and that refusals does not have.
var phrases = map[int]string{
	200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 301: "Moved Permanently", 302: "Found",
	303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect", 401: "Unauthorized",
	402: "Payment Required", 406: "Not Acceptable", 409: "Conflict", 410: "Gone", 418: "I'm a teapot",
	429: "Too Many Requests", 451: "Unavailable For Legal Reasons", 500: "Internal Server Error",
}

func phraseOf(status int) string {
	if r, ok := refusals[status]; ok {
		return r.phrase
	}
	return phrases[status]
}

func newRedirect(c *RedirectConfig) (*fixedAnswer, error) {
	switch c.Status {
	case 301, 302, 307, 308:
	default:
		return nil, fmt.Errorf("a redirect with status %d: allowed are 301, 302, 307 and 308", c.Status)
	}
	location, err := parseTemplate(c.Location)
	if err == nil && len(location) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("location: %w", err)
	}
	return &fixedAnswer{status: c.Status, phrase: phraseOf(c.Status), location: location, ofHost: location.has(varHost) || location.has(varHostName)}, nil
}

func newFixedAnswer(c *AnswerConfig) (*fixedAnswer, error) {
	if c.Status < 200 || c.Status > 599 {
		return nil, fmt.Errorf("an answer with status %d: allowed are 200 to 599", c.Status)
	}
	if len(c.Body.Bytes) > MaxFixedBody {
		return nil, fmt.Errorf("a body of %d bytes: allowed are up to %d", len(c.Body.Bytes), MaxFixedBody)
	}
	if (c.Status == 204 || c.Status == 304) && len(c.Body.Bytes) > 0 {
		return nil, fmt.Errorf("an answer with status %d has no body (RFC 9110 6.4.1)", c.Status)
	}
	a := &fixedAnswer{status: c.Status, phrase: phraseOf(c.Status), kind: c.Body.ContentType, body: c.Body.Bytes}
	if a.kind == "" {
		a.kind = "text/plain; charset=utf-8"
	}
	if _, err := parseTemplate(a.kind); err != nil {
		return nil, fmt.Errorf("content type: %w", err)
	}
	var err error
	a.edits, err = compileEdits(c.Headers)
	return a, err
}

// append appends the whole answer. further are the lines of the rule. bodiless leaves the body out, as for HEAD.
func (a *fixedAnswer) append(dst []byte, facts *requestFacts, further *headEdits, connection string, bodiless bool) []byte {
	dst = http1.AppendStatusLine(dst, a.status, []byte(a.phrase))
	if a.location != nil {
		dst = append(dst, "Location: "...)
		dst = appendLocation(dst, a.location, facts)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, connection...)
	if a.kind != "" && len(a.body) > 0 {
		dst = http1.AppendHeader(dst, "Content-Type", a.kind)
	}
	if a.status != 204 && a.status != 304 {
		dst = http1.AppendContentLength(dst, int64(len(a.body)))
	}
	dst = a.edits.append(dst, facts)
	dst = further.append(dst, facts)
	dst = http1.AppendEnd(dst)
	if bodiless {
		return dst
	}
	return append(dst, a.body...)
}

// appendLocation appends where a redirect leads. A path of the client's choice must not name another host: at the
// beginning, browsers take two slashes for that, and a backslash for a slash. Two that the configuration has are meant.
func appendLocation(dst []byte, location template, facts *requestFacts) []byte {
	begin := len(dst)
	dst = location.append(dst, facts)
	if strings.HasPrefix(location[0].literal, "//") || dst[begin] != '/' {
		return dst
	}
	end := begin + 1
	for end < len(dst) && (dst[end] == '/' || dst[end] == '\\') {
		end++
	}
	return append(dst[:begin+1], dst[end:]...)
}
