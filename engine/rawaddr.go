package engine

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawAs views a kernel-filled address as its family's type.
func rawAs[T unix.RawSockaddrInet4 | unix.RawSockaddrInet6](raw *unix.RawSockaddrAny) *T {
	return (*T)(unsafe.Pointer(raw))
}

// networkPort converts a port in network byte order, as it stands in memory.
func networkPort(p uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&p))
	return uint16(b[0])<<8 | uint16(b[1])
}
