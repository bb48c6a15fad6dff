package proxyproto

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// endsFor returns both ends as they are written: without zones, and in one family, which is IPv6 with 4-in-6 addresses
// where they differ. ok is false when one is no address.
func endsFor(source, destination netip.AddrPort) (from, to netip.Addr, ok bool) {
	from, to = source.Addr().Unmap().WithZone(""), destination.Addr().Unmap().WithZone("")
	if !from.IsValid() || !to.IsValid() {
		return from, to, false
	}
	if from.Is4() != to.Is4() {
		from, to = netip.AddrFrom16(from.As16()), netip.AddrFrom16(to.As16())
	}
	return from, to, true
}

// AppendV1 appends the line of version 1 for a connection from source to destination: TCP4 if both are IPv4, else TCP6
// with 4-in-6 addresses for IPv4, UNKNOWN if one is no address (a Unix socket). It is at most MaxV1 bytes long.
func AppendV1(dst []byte, source, destination netip.AddrPort) []byte {
	from, to, ok := endsFor(source, destination)
	if !ok {
		return append(dst, signature1+"UNKNOWN\r\n"...)
	}
	family := signature1 + "TCP6 "
	if from.Is4() {
		family = signature1 + "TCP4 "
	}
	dst = from.AppendTo(append(dst, family...))
	dst = to.AppendTo(append(dst, ' '))
	dst = strconv.AppendUint(append(dst, ' '), uint64(source.Port()), 10)
	dst = strconv.AppendUint(append(dst, ' '), uint64(destination.Port()), 10)
	return append(dst, "\r\n"...)
}

// AppendV2 appends the header of version 2 for a TCP connection from source to destination, without vectors: 28 bytes if
// both are IPv4, else 52 bytes of IPv6 with 4-in-6 addresses for IPv4, and 16 bytes of LOCAL if one is no address.
func AppendV2(dst []byte, source, destination netip.AddrPort) []byte {
	dst = append(dst, signature2...)
	from, to, ok := endsFor(source, destination)
	if !ok {
		return append(dst, local2, unspecified, 0, 0)
	}
	if from.Is4() {
		a, b := from.As4(), to.As4()
		dst = append(dst, proxy2, stream4, 0, 12)
		dst = append(append(dst, a[:]...), b[:]...)
	} else {
		a, b := from.As16(), to.As16()
		dst = append(dst, proxy2, stream6, 0, 36)
		dst = append(append(dst, a[:]...), b[:]...)
	}
	dst = binary.BigEndian.AppendUint16(dst, source.Port())
	return binary.BigEndian.AppendUint16(dst, destination.Port())
}
