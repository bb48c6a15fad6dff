package discovery

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"
)

// Exchange sends a query to a server over a network, "udp" or "tcp", and returns its answer: the message without TCP's
// length. It ends when ctx does. It may be called by several goroutines.
type Exchange func(ctx context.Context, network string, server netip.AddrPort, query []byte) ([]byte, error)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// networkExchange is the Exchange that asks the network. Each has a socket, and so a port, of its own: an answer that
// somebody makes up must guess it and the query's number.
func networkExchange(ctx context.Context, network string, server netip.AddrPort, query []byte) ([]byte, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, withoutAddresses(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	// goroutine: end of an exchange, ends when ctx has ended and the deadline is set; none while ctx lives
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(longAgo) })
	defer stop()
	converse := overUDP
	if network == "tcp" {
		converse = overTCP
	}
	message, err := converse(conn, query)
	if err != nil {
		return nil, withoutAddresses(ctx, err)
	}
	return message, nil
}

// overUDP passes over what does not answer the query.
func overUDP(conn net.Conn, query []byte) ([]byte, error) {
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	buffer := make([]byte, 4096) // more than we ask for
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return nil, err
		}
		if answers(query, buffer[:n]) {
			return buffer[:n], nil
		}
	}
}

// overTCP has a length before each message (RFC 1035 4.2.2).
func overTCP(conn net.Conn, query []byte) ([]byte, error) {
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
	if _, err := conn.Write(framed); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, message); err != nil {
		return nil, err
	}
	if !answers(query, message) {
		return nil, errMalformed
	}
	return message, nil
}

// errTimeout: a server did not answer in time.
var errTimeout = errors.New("timeout")

// withoutAddresses leaves of a network's error what does not change from one time to the next: ports do.
func withoutAddresses(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return errTimeout
	}
	if system := (*os.SyscallError)(nil); errors.As(err, &system) {
		return system.Err
	}
	if failure := (*net.OpError)(nil); errors.As(err, &failure) {
		return failure.Err
	}
	return err
}
