//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"culvert/cmd/internal/configfile/configtest"
	"culvert/cmd/internal/settings"
)

// TestWrongFilesStartAndChangeNothing: with none of them a proxy starts, and none of them changes one that runs. Each is
// told in the same words: at the start, by the reload, and, see package configfile, by the check.
func TestWrongFilesStartAndChangeNothing(t *testing.T) {
	cases := configtest.Wrong(t, "../internal/configfile/testdata/wrong.txt")
	if len(cases) < 180 {
		t.Errorf("only %d wrong files", len(cases))
	}
	file := configuration(t, answers("first"))
	p := start(t, nil, "--config", file)
	p.wantAnswer("first")
	client := &adminClient{address: settings.AdminAddress{Address: netip.MustParseAddrPort(p.admin())}}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if err := os.WriteFile(file, c.Text(), 0o600); err != nil {
				t.Fatal(err)
			}
			want := file + ":" + strings.ReplaceAll(c.Want, "\n", "\n"+file+":")
			r := runToEnd(t, nil, "--config", file)
			if r.status != exitUsage || r.stdout != "" || !sameLines(r.stderr, want) {
				t.Errorf("exit status %d, stdout %q, it says\n%s\nand should say\n%s", r.status, r.stdout, r.stderr, want)
			}
			report, _, err := client.reload()
			if err != nil {
				t.Fatal(err)
			}
			if !report.wrong || !sameLines(strings.Join(report.Problems, "\n"), want) {
				t.Errorf("the reload says\n%s\nand should say\n%s", strings.Join(report.Problems, "\n"), want)
			}
		})
	}
	p.wantAnswer("first")
	if _, text := p.get("/metrics"); !strings.Contains(text, "\nculvert_reloads_total 0\n") {
		t.Error("a configuration was taken over")
	}
	if _, text := p.get("/metrics"); !strings.Contains(text, fmt.Sprintf("\nculvert_reloads_refused_total %d\n", len(cases))) {
		t.Errorf("not all of %d refused reloads are counted", len(cases))
	}
}

// sameLines compares what is said with what a check says. Of settings that are wrong together only, a start says less.
func sameLines(got, want string) bool {
	got = strings.TrimSpace(got)
	if strings.HasPrefix(got, "culvert: ") {
		return !strings.Contains(got, "\n")
	}
	return strings.ReplaceAll(got, ".yaml: ", ".yaml:") == strings.ReplaceAll(want, ".yaml: ", ".yaml:")
}
