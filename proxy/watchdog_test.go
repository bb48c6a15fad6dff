package proxy

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// reportAt looks at a backend after so much time, and returns the fields of the line that it writes, nil for none.
func reportAt(t *testing.T, r *failureReport, after time.Duration) map[string]any {
	t.Helper()
	var text bytes.Buffer
	r.look(int64(time.Hour+after), zerolog.New(&text))
	if text.Len() == 0 {
		return nil
	}
	line := map[string]any{}
	if err := json.Unmarshal(text.Bytes(), &line); err != nil {
		t.Fatalf("not one line: %q", text.String())
	}
	return line
}

func TestABackendThatFailsIsToldOfNowAndThen(t *testing.T) {
	b := newBackend(backendKey{address: netip.MustParseAddrPort("192.0.2.1:80")}, "b0", portRange{})
	r := &failureReport{backend: b}
	if line := reportAt(t, r, 0); line != nil {
		t.Errorf("a line without a failure: %v", line)
	}
	fail := func(fault string, times int) {
		for range times {
			b.failed(fault)
		}
	}
	want := func(after time.Duration, failures float64, fault string) {
		t.Helper()
		line := reportAt(t, r, after)
		if line["level"] != "warn" || line["backend"] != "b0" || line["address"] != "192.0.2.1:80" ||
			line["failures"] != failures || line["detail"] != fault {
			t.Errorf("after %v: %v, want %v failures, the last of them %s", after, line, failures, fault)
		}
	}
	wantNothing := func(after time.Duration) {
		t.Helper()
		if line := reportAt(t, r, after); line != nil {
			t.Errorf("after %v: %v, want nothing", after, line)
		}
	}
	fail("refused", 1)
	want(time.Second, 1, "refused") // the first one at once
	wantNothing(2 * time.Second)
	fail("refused", 1000)
	fail("timeout", 1)
	wantNothing(3 * time.Second)
	wantNothing(time.Second + failurePeriod - 1)
	want(time.Second+failurePeriod, 1001, "timeout")
	wantNothing(time.Hour)
	fail("reset", 2)
	want(2*time.Hour, 2, "reset")
}
