//go:build linux

package main

import (
	"fmt"
	"strings"
	"testing"
)

// messages returns those of the log so far, a line each.
func (p *process) messages() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	for _, fields := range p.lines {
		fmt.Fprintln(&b, fields["message"])
	}
	return b.String()
}

// TestEachWarningIsToldOnce: with its place in the file, and in the log without saying twice that it is a warning.
func TestEachWarningIsToldOnce(t *testing.T) {
	file := configuration(t, strings.ReplaceAll(answers("first", "timeouts: {connect-timeout: 30s}", "http: {max-head: 4KiB}"), "127.0.0.1:1]", "\"127.0.0.1:1,weight=0\"]"))
	p := start(t, nil, "--config", file)
	p.wantAnswer("first")
	log := p.messages()
	r := runToEnd(t, nil, "reload", "--admin", p.admin())
	for what, said := range map[string]string{"the log": log, "the reload": r.stderr} {
		for _, want := range []string{"connect-timeout is more", "max-request-line is more", "every server has weight 0"} {
			if !strings.Contains(said, file+":") || strings.Count(said, want) != 1 {
				t.Errorf("%s says %d times %q:\n%s", what, strings.Count(said, want), want, said)
			}
		}
	}
	if strings.Contains(log, "warning: ") || strings.Contains(log, "every backend has weight 0") {
		t.Errorf("the log says\n%s", log)
	}
	if !strings.Contains(r.stderr, "warning: "+file+":") {
		t.Errorf("the reload says\n%s", r.stderr)
	}
}
