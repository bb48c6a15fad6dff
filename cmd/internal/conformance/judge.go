package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
)

// judge compares what a case did with what its suite demands. It returns "" or what is wrong.
func judge(c *testCase, a answered, b *arrivals) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.response {
		return judgeResponse(c, a)
	}
	// The backend and the client are strict readers themselves: what they refuse has not been refused by the proxy.
	if b.malformed != nil {
		return fmt.Sprintf("demand: %s; the backend got what it cannot read: %v", c.want, b.malformed)
	}
	switch c.want {
	case wantAccept:
		return judgeAccepted(c, a, b)
	case wantRefuse:
		if len(b.whole) > 0 {
			return fmt.Sprintf("was to be refused, but the backend got %s %q with a body of %d bytes", b.whole[0].method, b.whole[0].target, len(b.whole[0].body))
		}
		if b.partial && c.brokenHead() {
			return "was to be refused, but its head, which is none, reached the backend"
		}
		// A body that goes wrong may do so behind a head that was forwarded: then to be cut is to be refused.
		if a.status < http.StatusBadRequest && (a.status != 0 || !b.partial) {
			return fmt.Sprintf("was to be refused, but the client got status %d (%v)", a.status, a.err)
		}
	case wantIncomplete:
		if len(b.whole) > 0 {
			return fmt.Sprintf("was to stay incomplete, but the backend got %s %q with a body of %d bytes", b.whole[0].method, b.whole[0].target, len(b.whole[0].body))
		}
	}
	return ""
}

func judgeAccepted(c *testCase, a answered, b *arrivals) string {
	if len(b.whole) != c.times {
		return fmt.Sprintf("was to reach the backend %d times, but did %d times; the client got status %d (%v)", c.times, len(b.whole), a.status, a.err)
	}
	for _, got := range b.whole {
		switch {
		case got.method != c.method:
			return fmt.Sprintf("the method %s became %s", c.method, got.method)
		case got.target != c.target && got.target != originForm(c.target):
			return fmt.Sprintf("the target %q became %q", c.target, got.target)
		case !bytes.Equal(got.body, c.body):
			return fmt.Sprintf("the body %.60q became %.60q", c.body, got.body)
		}
	}
	if a.status != http.StatusOK || a.answers != c.times {
		return fmt.Sprintf("the backend answered 200, but the client got status %d, %d of %d times (%v)", a.status, a.answers, c.times, a.err)
	}
	return ""
}

// judgeResponse: a refused response is answered by the proxy's own 502 or, once its head has passed, cut.
func judgeResponse(c *testCase, a answered) string {
	if c.want != wantAccept {
		if a.err != nil && !a.cut {
			return fmt.Sprintf("was to be refused, but the client got what it cannot read: %v", a.err)
		}
		if a.whole && a.status < http.StatusInternalServerError {
			return fmt.Sprintf("was to be refused, but the client got status %d with a whole body of %d bytes", a.status, len(a.body))
		}
		return ""
	}
	switch {
	case a.status != c.status:
		return fmt.Sprintf("was to be relayed with status %d, but the client got %d (%v)", c.status, a.status, a.err)
	case !a.whole:
		return fmt.Sprintf("was to be relayed whole, but was cut (%v)", a.err)
	case !c.anyBody && !bytes.Equal(a.body, c.body):
		return fmt.Sprintf("the body %.60q became %.60q", c.body, a.body)
	}
	return ""
}

// originForm returns the form in which a target in absolute form is sent to an origin server (RFC 9112, section 3.2.1).
func originForm(target string) string {
	_, rest, absolute := strings.Cut(target, "://")
	if !absolute || strings.HasPrefix(target, "/") {
		return target
	}
	if at := strings.IndexAny(rest, "/?"); at >= 0 {
		return "/" + strings.TrimPrefix(rest[at:], "/")
	}
	return "/"
}
