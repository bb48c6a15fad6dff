package proxyproto

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// The fixed part of version 2: signature, version and command, family and transport, length of the rest.
const (
	atVersion = len(signature2)
	atFamily  = atVersion + 1
	atLength  = atFamily + 1
	fixed2    = atLength + 2
)

// Version and command.
const (
	local2 = 0x20
	proxy2 = 0x21
)

// Address family and transport. There are no other combinations.
const (
	unspecified = 0x00
	stream4     = 0x11
	datagram4   = 0x12
	stream6     = 0x21
	datagram6   = 0x22
	unixStream  = 0x31
	unixPacket  = 0x32
)

// addressBytes returns the length of the addresses and ports of a family; ok is false for what does not exist.
func addressBytes(family byte) (n int, ok bool) {
	switch family {
	case unspecified:
		return 0, true
	case stream4, datagram4:
		return 4 + 4 + 2 + 2, true
	case stream6, datagram6:
		return 16 + 16 + 2 + 2, true
	case unixStream, unixPacket:
		return 108 + 108, true
	}
	return 0, false
}

// parse2 reads a header that begins with the signature of version 2. Of LOCAL, and of addresses that are not specified,
// all that follows is passed over unseen: nothing says what it is.
func parse2(p []byte) (n int, h Header, err error) {
	h.Version = 2
	if len(p) <= atVersion {
		return 0, Header{}, nil
	}
	switch p[atVersion] {
	case local2:
		h.Local = true
	case proxy2:
	default:
		if p[atVersion]>>4 != 2 {
			return 0, Header{}, refuse(BadVersion)
		}
		return 0, Header{}, refuse(BadCommand)
	}
	if len(p) <= atFamily {
		return 0, Header{}, nil
	}
	addresses, known := addressBytes(p[atFamily])
	if !known && !h.Local {
		return 0, Header{}, refuse(BadFamily)
	}
	if len(p) < fixed2 {
		return 0, Header{}, nil
	}
	length := fixed2 + int(binary.BigEndian.Uint16(p[atLength:]))
	described := !h.Local && p[atFamily] != unspecified
	switch {
	case length > MaxV2:
		return 0, Header{}, refuse(TooLong)
	case described && length < fixed2+addresses:
		return 0, Header{}, refuse(BadLength)
	case len(p) < length:
		return 0, Header{}, nil
	case !described:
		h.Local = true
		return length, h, nil
	}
	if reason, ok := checkVectors(p[:length], fixed2+addresses); !ok {
		return 0, Header{}, refuse(reason)
	}
	switch block := p[fixed2 : fixed2+addresses]; p[atFamily] {
	case stream4:
		h.Source, h.Destination = endsOf(block, 4)
	case stream6:
		h.Source, h.Destination = endsOf(block, 16)
	default:
		h.Local = true
	}
	return length, h, nil
}

// endsOf reads two addresses of size bytes and their ports.
func endsOf(block []byte, size int) (source, destination netip.AddrPort) {
	from, _ := netip.AddrFromSlice(block[:size])
	to, _ := netip.AddrFromSlice(block[size : 2*size])
	ports := block[2*size:]
	return netip.AddrPortFrom(from.Unmap(), binary.BigEndian.Uint16(ports)),
		netip.AddrPortFrom(to.Unmap(), binary.BigEndian.Uint16(ports[2:]))
}

// Vectors: one byte of type, two of length, then the value.
const (
	vectorHead     = 3
	vectorChecksum = 0x03 // CRC-32C of the whole header, reckoned with zeros in the checksum's place
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	noChecksum [crc32.Size]byte
)

// checkVectors walks the vectors, which begin at a position of a whole header and are to end where it ends.
func checkVectors(p []byte, at int) (broken Reason, ok bool) {
	checksum := 0 // where it stands
	for at < len(p) {
		if len(p)-at < vectorHead {
			return BadTLV, false
		}
		value := at + vectorHead
		end := value + int(binary.BigEndian.Uint16(p[at+1:]))
		if end > len(p) {
			return BadTLV, false
		}
		if p[at] == vectorChecksum {
			if end-value != crc32.Size || checksum != 0 {
				return BadTLV, false
			}
			checksum = value
		}
		at = end
	}
	if checksum == 0 {
		return 0, true
	}
	sum := crc32.Update(0, castagnoli, p[:checksum])
	sum = crc32.Update(sum, castagnoli, noChecksum[:])
	sum = crc32.Update(sum, castagnoli, p[checksum+crc32.Size:])
	return BadChecksum, sum == binary.BigEndian.Uint32(p[checksum:])
}
