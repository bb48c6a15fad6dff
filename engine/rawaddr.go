package engine

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawAs views a kernel-filled address as its family's type.
func rawAs[T unix.RawSockaddrInet4 | unix.RawSockaddrInet6](raw *unix.RawSockaddrAny) *T {
	return (*T)(unsafe.Pointer(raw))
}

// connect starts to connect a non-blocking socket. Unlike unix.Connect it leaves nothing behind for the collector.
func connect(fd int, address netip.AddrPort) syscall.Errno {
	if address.Addr().Is4() {
		sa := unix.RawSockaddrInet4{Family: unix.AF_INET, Port: networkPort(address.Port()), Addr: address.Addr().As4()}
		_, _, errno := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unix.SizeofSockaddrInet4)
		return errno
	}
	sa := unix.RawSockaddrInet6{
		Family: unix.AF_INET6, Port: networkPort(address.Port()), Addr: address.Addr().As16(),
		Scope_id: zoneIndex(address.Addr().Zone()),
	}
	_, _, errno := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unix.SizeofSockaddrInet6)
	return errno
}

// networkPort converts a port from network byte order, as it stands in memory, or to it.
func networkPort(p uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&p))
	return uint16(b[0])<<8 | uint16(b[1])
}
