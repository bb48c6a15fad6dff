package peers

import (
	"slices"
	"strings"
	"testing"
)

func TestMetricsAreSummedOverTheirLabels(t *testing.T) {
	m, err := readMetrics(strings.NewReader(`# HELP culvert_loop_waits_total x
culvert_loop_waits_total{loop="0"} 10
culvert_loop_waits_total{loop="1"} 5
culvert_tunnel_messages_total{from="client",loop="0"} 7
culvert_tunnel_messages_total{from="backend",loop="0"} 8
go_memstats_mallocs_total 1.5e+06
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"culvert_loop_waits_total": 15, "culvert_tunnel_messages_total": 15, "go_memstats_mallocs_total": 1.5e6,
	} {
		if m[name] != want {
			t.Errorf("%s is %v, want %v", name, m[name], want)
		}
	}
	if m[clientMessages] != 7 {
		t.Errorf("%v messages, want 7", m[clientMessages])
	}
	if _, err := readMetrics(strings.NewReader("name value\n")); err == nil {
		t.Error("no error for a line without a number")
	}
}

func TestPerfsCountsAreRead(t *testing.T) {
	got := parsePerfStat([]byte(`# started on Thu

65830,,raw_syscalls:sys_enter,65830071,100.00,,
2000,,syscalls:sys_enter_sendto,65840837,100.00,,
<not counted>,,syscalls:sys_enter_splice,0,100.00,,
`))
	if len(got) != 2 || got["raw_syscalls:sys_enter"] != 65830 || got["sendto"] != 2000 {
		t.Error(got)
	}
}

func TestStracesSummaryIsRead(t *testing.T) {
	got := parseStrace([]byte(`% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.006000           3      2000           sendto
 40.00    0.004000           2      1990        12 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.010000           2      3990        12 total
`))
	if len(got) != 2 || got["sendto"] != 2000 || got["recvfrom"] != 1990 {
		t.Error(got)
	}
}

func TestCallsAreShownByFrequency(t *testing.T) {
	var out strings.Builder
	p := &profile{out: &out}
	p.showCalls(map[string]float64{"sendto": 200, "recvfrom": 300, "futex": 0.01}, 100)
	if want := "  system calls per message: 5.000: 3.000 recvfrom, 2.000 sendto\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestThereIsNothingInAReportButItsLines(t *testing.T) {
	got := hottestLines([]byte("# Samples: 5\n#\n\n    30.00%  [k] a     -      -    \n    20.00%  [.] b\n    10.00%  [.] c\n"), 2)
	if !slices.Equal(got, []string{"    30.00%  [k] a", "    20.00%  [.] b"}) {
		t.Errorf("%q", got)
	}
}
