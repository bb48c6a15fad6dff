package proxy

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// reservedDescriptors are kept free of client connections: logs, the admin port, loops, and what the runtime needs.
	reservedDescriptors = 64
	// descriptorsPerLoop are a loop's own: set, mailbox, timer, and netpoll's two.
	descriptorsPerLoop = 5
	// descriptorsPerTunnel: the client's and the backend's.
	descriptorsPerTunnel = 2
)

// MaxTunnels returns how many tunnels the process's descriptor limit allows with this configuration: what is left of
// the limit after the reserve, the loops, their listeners and pipes, by two.
func MaxTunnels(c *Config) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	pipes := max(0, min(c.SplicePipes, maxSplicePipes(c.Loops)))
	fixed := reservedDescriptors + c.Loops*(descriptorsPerLoop+len(c.Listeners)+2*pipes+max(0, min(c.BackendIdle, maxBackendIdle(c.Loops))))
	return max(0, (int(min(limit.Cur, 1<<30))-fixed)/descriptorsPerTunnel)
}

// portRange is a range of ports, both ends included.
type portRange struct{ low, high uint16 }

func (r portRange) contain(port uint16) bool { return r.low <= port && port <= r.high }

// ephemeralPorts returns the range that the kernel takes the ports of outgoing connections from.
func ephemeralPorts() (r portRange) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return portRange{1, 65535}
	}
	if n, _ := fmt.Sscan(string(text), &r.low, &r.high); n != 2 {
		return portRange{1, 65535}
	}
	return r
}

// pipeShare is the part of the descriptors that pipes may take: one in so many.
const pipeShare = 4

// maxSplicePipes returns how many pipes each loop may have at most, by the process's descriptor limit.
func maxSplicePipes(loops int) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30)) / pipeShare / 2 / max(loops, 1)
}

// idleShare is the part of the descriptors that connections to backends between two exchanges may take: one in so many.
const idleShare = 16

// maxBackendIdle returns how many such connections each loop may keep, by the process's descriptor limit.
func maxBackendIdle(loops int) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30)) / idleShare / max(loops, 1)
}

// RaiseDescriptorLimit raises the process's limit of open descriptors as far as it may, and returns what it is then.
func RaiseDescriptorLimit() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	if limit.Cur < limit.Max {
		raised := limit
		raised.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err != nil {
			return limit.Cur, err
		}
		return raised.Cur, nil
	}
	return limit.Cur, nil
}

// bufferMemoryShare is the part of the memory that buffers may take by default: one in this many bytes.
const bufferMemoryShare = 4

// DefaultBufferMemory returns a quarter of the memory, in bytes, that the process may use: its cgroup's limit or the
// machine's memory, whichever is less.
func DefaultBufferMemory() int64 {
	var info unix.Sysinfo_t
	memory := int64(1 << 30)
	if err := unix.Sysinfo(&info); err == nil {
		memory = int64(info.Totalram) * int64(info.Unit)
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && limit > 0 && limit < memory {
			memory = limit
		}
	}
	return memory / bufferMemoryShare
}
