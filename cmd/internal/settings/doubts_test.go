package settings

import (
	"slices"
	"strings"
	"testing"
)

// TestDoubts: told with the place in the file where it has one of both, else by the flags.
func TestDoubts(t *testing.T) {
	const tries = ": behind a server that does not answer no other one is tried"
	layer := func(flag, value string) *Layer {
		return &Layer{Values: map[string]LayerValue{flag: {Items: []string{value}, Place: "c.yaml:3:5"}}}
	}
	for _, c := range []struct {
		args string
		file *Layer
		want string
	}{
		{"", nil, ""},
		{"--connect-timeout 10s", nil, ""},
		{"--connect-timeout 11s", nil, "--connect-timeout is more than --connect-total-timeout" + tries},
		{"--connect-total-timeout 4s", nil, "--connect-timeout is more than --connect-total-timeout" + tries},
		{"", layer("connect-timeout", "11s"), "c.yaml:3:5: connect-timeout is more than connect-total-timeout" + tries},
		{"--connect-timeout 3s", layer("connect-total-timeout", "2s"), "c.yaml:3:5: connect-timeout is more than connect-total-timeout" + tries},
		{"--connect-total-timeout 20s", layer("connect-timeout", "11s"), ""},
		{"--max-head 8KiB", nil, ""},
		{"--max-head 4KiB", nil, "--max-request-line is more than --max-head, which bounds the first line too"},
		{"", layer("max-request-line", "33KiB"), "c.yaml:3:5: max-request-line is more than max-head, which bounds the first line too"},
	} {
		i := parse(t, someBackend+" --config c.yaml "+c.args)
		i, err := i.With(c.file)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		if !slices.Equal(i.Warnings, want) {
			t.Errorf("%s: it says\n%s\nand should say\n%s", c.args, strings.Join(i.Warnings, "\n"), c.want)
		}
	}
	if doubts := (&Invocation{}).Doubts(); len(doubts) > 0 {
		t.Errorf("without settings: %v", doubts)
	}
}
