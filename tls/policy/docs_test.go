package policy

import (
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestTheDocumentIsTrue: a row per policy, with its versions and what is missing.
func TestTheDocumentIsTrue(t *testing.T) {
	text, err := os.ReadFile("../../docs/tls.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "version "+Guideline+" ") {
		t.Errorf("the document does not follow version %s of the guideline", Guideline)
	}
	rows := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) == 6 {
			name := strings.Trim(strings.TrimSuffix(strings.TrimSpace(cells[1]), " (default)"), "`")
			rows[name] = cells
		}
	}
	for _, p := range policies {
		row := rows[p.Name]
		if row == nil {
			t.Errorf("%s is not in the document", p.Name)
			continue
		}
		span := fmt.Sprintf("%s to %s", strings.TrimPrefix(tls.VersionName(p.MinVersion), "TLS "), strings.TrimPrefix(tls.VersionName(p.MaxVersion), "TLS "))
		if got := strings.TrimSpace(row[2]); got != span {
			t.Errorf("%s: versions %q, want %q", p.Name, got, span)
		}
		if got := strings.TrimSpace(row[4]); got != strings.Join(p.Missing, " ") {
			t.Errorf("%s: missing %q, want %q", p.Name, got, strings.Join(p.Missing, " "))
		}
		if strings.Contains(row[1], "default") != (p.Name == Default) {
			t.Errorf("%s: is it the default?", p.Name)
		}
	}
}
