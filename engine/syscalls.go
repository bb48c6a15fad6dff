package engine

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of the data path, without the runtime's bookkeeping: right on non-blocking descriptors, where the
// call cannot wait. wait is the one exception, see Loop.turn.

// recv reads from a non-blocking socket.
func recv(fd int32, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// send writes to a non-blocking socket; a broken one gives EPIPE and no signal.
func send(fd int32, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// wait collects events of an epoll set, for at most timeout milliseconds. The caller keeps its P all that while; the
// runtime's preemption signal interrupts the call (EINTR), so a stop of the world is not held up.
func wait(set int, events []unix.EpollEvent, timeout int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(set), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(timeout), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// accept takes one connection out of a listener's queue: non-blocking and close-on-exec from its first moment.
func accept(fd int32, address *unix.RawSockaddrAny) (int32, syscall.Errno) {
	length := uint32(unix.SizeofSockaddrAny)
	n, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(address)), uintptr(unsafe.Pointer(&length)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int32(n), 0
}

// addEvents puts a descriptor into an epoll set under a slot and its generation.
func addEvents(set int, fd int32, events, slot, generation uint32) error {
	event := unix.EpollEvent{Events: events, Fd: int32(slot), Pad: int32(generation)}
	_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(set), unix.EPOLL_CTL_ADD, uintptr(fd), uintptr(unsafe.Pointer(&event)), 0, 0)
	return errorOf(errno)
}

// removeEvents takes a descriptor out of an epoll set. Closing it does so by itself; this is for those that live on.
func removeEvents(set int, fd int32) error {
	return unix.EpollCtl(set, unix.EPOLL_CTL_DEL, int(fd), nil)
}

// newSocket returns a non-blocking, close-on-exec TCP socket.
func newSocket(family int) (int, error) {
	fd, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// setOption sets an option of a socket, for which nothing waits.
func setOption(fd, level, name, value int) error {
	number := int32(value)
	_, _, errno := syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&number)), unsafe.Sizeof(number), 0)
	return errorOf(errno)
}

// shutdownWrite sends a socket's FIN once all before it is sent.
func shutdownWrite(fd int32) {
	_, _, _ = syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
}

// closeSocket releases a non-blocking socket; what was sent goes out without anybody waiting, for no linger time is set
// but that of a reset.
func closeSocket(fd int32) { _, _, _ = syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// errorOf returns the error of a system call; nil: none.
func errorOf(errno syscall.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
