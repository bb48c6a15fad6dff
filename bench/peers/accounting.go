package peers

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processClock returns the id of the clock that counts the CPU time of a whole process, ended threads included, in
// nanoseconds of the scheduler (CPUCLOCK_SCHED): what the kernel's MAKE_PROCESS_CPUCLOCK does.
func processClock(pid int) int32 { return int32(^pid<<3 | 2) }

// ProcessCPU returns the CPU time, user and system, that a process has used since it began.
func ProcessCPU(pid int) (time.Duration, error) {
	var used unix.Timespec
	if err := unix.ClockGettime(processClock(pid), &used); err != nil {
		return 0, fmt.Errorf("the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(used.Nano()), nil
}

// ProportionalSetSize returns a process's memory (PSS) in bytes: its own pages, and its share of those that it has in
// common with others. What the kernel holds for its sockets is not among it.
func ProportionalSetSize(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	return parseRollup(text)
}

func parseRollup(text []byte) (int64, error) {
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) == 3 && words[0] == "Pss:" && words[2] == "kB" {
			kibibytes, err := strconv.ParseInt(words[1], 10, 64)
			return kibibytes << 10, err
		}
	}
	return 0, errors.New("smaps_rollup has no line Pss")
}

// childrenOf returns the processes that a process has started and that still run.
func childrenOf(parent int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var children []int
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		pid, of, ok := parseStat(string(text))
		if ok && of == parent {
			children = append(children, pid)
		}
	}
	return children
}

// parseStat reads a process's id and its parent's from /proc/PID/stat. The name between them may hold anything.
func parseStat(text string) (pid, parent int, ok bool) {
	begin, end := strings.Index(text, " ("), strings.LastIndex(text, ") ")
	if begin < 0 || end < begin {
		return 0, 0, false
	}
	words := strings.Fields(text[end+2:])
	if len(words) < 2 {
		return 0, 0, false
	}
	pid, err := strconv.Atoi(text[:begin])
	if err != nil {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(words[1])
	return pid, parent, err == nil
}

// setAffinity lets every thread of a process run on the given CPUs only. Threads that it starts later inherit that.
func setAffinity(pid int, cpus []int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			continue
		}
		if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("thread %d cannot run on CPUs %v: %w", id, cpus, err)
		}
	}
	return nil
}

// allowedCPUs returns the CPUs that this process may run on.
func allowedCPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, err
	}
	var cpus []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}
