package peers

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// attachTime is what perf and strace get to attach to every thread; they do not say when they have.
	attachTime = 500 * time.Millisecond
	// sampleFrequency is that of perf, per second.
	sampleFrequency = "1999"
)

// ErrNoTool is the error of a profile where neither perf nor strace is installed.
var ErrNoTool = errors.New("neither perf nor strace is installed: install linux-perf, or at least strace")

// Profile runs Culvert alone under the load of each row and writes what it costs: CPU time, loop turns and waits, heap
// objects and system calls per message, and the functions that take the CPU time. Without perf there are no functions,
// and strace counts the system calls. Raw data of perf goes to a folder, if there is one.
func (b *Bench) Profile(ctx context.Context, out io.Writer, functions int, folder string) error {
	perf, _ := exec.LookPath("perf")
	strace, _ := exec.LookPath("strace")
	if perf == "" && strace == "" {
		return ErrNoTool
	}
	if folder == "" {
		folder = b.folder
	}
	profiled := 0
	for _, w := range b.works() {
		if w.variants > 0 || w.rows[0].Unit == bytesPerTunnel || w.begin != nil {
			continue // compared with itself, about memory, or at a rate that all contenders decide
		}
		profiled++
		p := profile{bench: b, out: out, name: w.rows[0].Name, counted: cmp.Or(w.counted, clientMessages), perf: perf, strace: strace, functions: functions, folder: folder}
		fmt.Fprintf(out, "%s: %s\n", w.rows[0].Name, w.rows[0].Title)
		if err := p.run(ctx, w); err != nil {
			return fmt.Errorf("row %s: %w", w.rows[0].Name, err)
		}
		fmt.Fprintln(out)
	}
	if profiled == 0 {
		return errors.New("none of these rows can be profiled")
	}
	return nil
}

// profile is the profile of one row.
type profile struct {
	bench        *Bench
	out          io.Writer
	name         string
	counted      string // the metric of its messages
	perf, strace string // paths, or ""
	functions    int    // how many are shown
	folder       string
	proxy        *proxy
	session      session
}

func (p *profile) run(ctx context.Context, w work) (err error) {
	stations, err := p.bench.stationsOf(ctx, w)
	if err != nil {
		return err
	}
	p.proxy = stations[0].proxy
	if p.session, err = w.prepare(ctx, p.bench, stations[0]); err != nil {
		return err
	}
	defer func() {
		releasing, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasePatience)
		defer cancel()
		err = errors.Join(err, p.session.release(releasing))
	}()
	if err := p.counters(ctx); err != nil {
		return err
	}
	if p.perf != "" {
		return errors.Join(p.syscallsByPerf(ctx), p.hottest(ctx))
	}
	return p.syscallsByStrace(ctx)
}

// counters shows what the loops and the heap count.
func (p *profile) counters(ctx context.Context) error {
	idle, err := p.proxy.scrape(ctx)
	if err != nil {
		return err
	}
	before, err := p.proxy.scrape(ctx)
	if err != nil {
		return err
	}
	samples, err := p.session.measure(ctx)
	if err != nil {
		return err
	}
	after, err := p.proxy.scrape(ctx)
	if err != nil {
		return err
	}
	used := samples[0].ProxyCPU * 1e6 / float64(samples[0].Messages)
	fmt.Fprintf(p.out, "  %s µs of CPU per message, %s messages/s\n", number(used), number(float64(samples[0].Messages)/samples[0].Seconds))
	messages := after[p.counted] - before[p.counted]
	fmt.Fprint(p.out, "  per message:")
	for _, c := range []struct{ metric, name string }{
		{"culvert_loop_turns_total", "turns"}, {"culvert_loop_waits_total", "waits"}, {"culvert_loop_parks_total", "parks"},
		{"culvert_loop_events_total", "events"}, {"culvert_relay_pauses_total", "pauses"},
	} {
		fmt.Fprintf(p.out, " %.3f %s,", (after[c.metric]-before[c.metric])/messages, c.name)
	}
	const mallocs = "go_memstats_mallocs_total"
	// A scrape allocates too; the one before tells how much.
	objects := after[mallocs] - before[mallocs] - (before[mallocs] - idle[mallocs])
	fmt.Fprintf(p.out, " %.3f heap objects\n", max(objects, 0)/messages)
	return nil
}

// during runs a tool beside one measurement and returns how many messages that had.
func (p *profile) during(ctx context.Context, words ...string) (messages float64, err error) {
	tool := exec.CommandContext(ctx, words[0], words[1:]...)
	var said bytes.Buffer
	tool.Stderr = &said
	if err := tool.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	// goroutine: waiter of a tool, ends when the tool does
	go func() { ended <- tool.Wait() }()
	timer := time.NewTimer(attachTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case err := <-ended:
		return 0, fmt.Errorf("%s ended at once (%w): %s", words[0], err, strings.TrimSpace(said.String()))
	}
	before, err := p.proxy.scrape(ctx)
	if err == nil {
		_, err = p.session.measure(ctx)
	}
	after, scraped := p.proxy.scrape(ctx)
	_ = tool.Process.Signal(unix.SIGINT) // perf and strace write what they have
	<-ended                              // by a signal that they raise once more
	return after[p.counted] - before[p.counted], errors.Join(err, scraped)
}

// systemCalls are those that a relay is made of. What else there is comes out as the rest.
var systemCalls = []string{
	"epoll_pwait", "recvfrom", "sendto", "splice", "accept4", "socket", "connect", "shutdown", "close", "epoll_ctl",
	"setsockopt", "getsockopt", "read", "write", "futex", "timerfd_settime", "nanosleep", "pipe2",
	"sched_yield", "sendmsg", "writev", "tgkill", "rt_sigreturn", "madvise",
}

func (p *profile) syscallsByPerf(ctx context.Context) error {
	const all = "raw_syscalls:sys_enter"
	events := []string{all}
	calls := systemCalls
	if runtime.GOARCH == "amd64" {
		calls = append(slices.Clone(calls), "epoll_wait")
	}
	for _, name := range calls {
		events = append(events, "syscalls:sys_enter_"+name)
	}
	file := filepath.Join(p.folder, p.name+".stat")
	messages, err := p.during(ctx, p.perf, "stat", "-x", ",", "-o", file, "-e", strings.Join(events, ","), "-p", strconv.Itoa(p.proxy.worker))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	counts := parsePerfStat(text)
	rest := counts[all]
	delete(counts, all)
	for _, n := range counts {
		rest -= n
	}
	counts["others"] = rest
	p.showCalls(counts, messages)
	return nil
}

// parsePerfStat reads the lines "count,unit,event,..." of perf stat; an event that could not be counted is left out.
func parsePerfStat(text []byte) map[string]float64 {
	counts := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		words := strings.Split(lines.Text(), ",")
		if len(words) < 3 {
			continue
		}
		if n, err := strconv.ParseFloat(words[0], 64); err == nil {
			counts[strings.TrimPrefix(words[2], "syscalls:sys_enter_")] = n
		}
	}
	return counts
}

func (p *profile) syscallsByStrace(ctx context.Context) error {
	file := filepath.Join(p.folder, p.name+".strace")
	messages, err := p.during(ctx, p.strace, "-c", "-f", "-o", file, "-p", strconv.Itoa(p.proxy.worker))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	p.showCalls(parseStrace(text), messages)
	return nil
}

// parseStrace reads the summary of strace -c: "% time, seconds, usecs/call, calls, errors (may be missing), syscall".
func parseStrace(text []byte) map[string]float64 {
	counts := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 5 || words[len(words)-1] == "total" {
			continue
		}
		if n, err := strconv.ParseFloat(words[3], 64); err == nil {
			counts[words[len(words)-1]] = n
		}
	}
	return counts
}

// showCalls writes the system calls per message, the most frequent first.
func (p *profile) showCalls(counts map[string]float64, messages float64) {
	var names []string
	sum := 0.0
	for name, n := range counts {
		sum += n
		if n/messages >= 0.0005 {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if counts[a] != counts[b] {
			return int(counts[b] - counts[a])
		}
		return strings.Compare(a, b)
	})
	fmt.Fprintf(p.out, "  system calls per message: %.3f", sum/messages)
	for i, name := range names {
		fmt.Fprintf(p.out, "%s %.3f %s", [2]string{",", ":"}[min(1, max(0, 1-i))], counts[name]/messages, name)
	}
	fmt.Fprintln(p.out)
}

// hottest shows the functions, the kernel's included, that CPU time is spent in itself.
func (p *profile) hottest(ctx context.Context) error {
	file := filepath.Join(p.folder, p.name+".perf")
	if _, err := p.during(ctx, p.perf, "record", "-q", "-g", "-F", sampleFrequency, "-o", file, "-p", strconv.Itoa(p.proxy.worker)); err != nil {
		return err
	}
	text, err := exec.CommandContext(ctx, p.perf, "report", "--stdio", "--no-children", "-g", "none", "--sort", "symbol", "-i", file).Output()
	if err != nil {
		return fmt.Errorf("perf report: %w", err)
	}
	for _, line := range hottestLines(text, p.functions) {
		fmt.Fprintln(p.out, "  "+line)
	}
	return nil
}

// hottestLines returns the first lines of perf's report, without its comments.
func hottestLines(text []byte, most int) []string {
	var list []string
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan() && len(list) < most; {
		line := strings.TrimRight(lines.Text(), " -") // columns that were not asked for are empty
		if line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list
}
