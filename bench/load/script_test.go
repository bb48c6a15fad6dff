package load

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"

	gobwas "github.com/gobwas/ws"
)

// peer is one connection to a scripted server, with the upgrade done.
type peer struct {
	net.Conn
	reader *bufio.Reader
	buffer []byte
}

// scripted starts a server that runs script for every connection after the upgrade.
func scripted(t *testing.T, script func(*peer)) Target {
	t.Helper()
	return rawServer(t, func(conn net.Conn) {
		p := &peer{Conn: conn, reader: bufio.NewReaderSize(conn, 64<<10), buffer: make([]byte, 64<<10)}
		request, err := http.ReadRequest(p.reader)
		if err != nil {
			return
		}
		accept := acceptFor(request.Header.Get("Sec-WebSocket-Key"))
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+accept+"\r\n\r\n")
		script(p)
	})
}

// rawServer starts a server that calls serve for every connection, on a goroutine of its own.
func rawServer(t *testing.T, serve func(net.Conn)) Target {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[conn] = true
			mu.Unlock()
			all.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return Target{Addresses: []netip.AddrPort{listener.Addr().(*net.TCPAddr).AddrPort()}}
}

// receive returns the unmasked payload of the next frame, valid until the next call, or false at the end. A close
// frame is answered.
func (p *peer) receive() (payload []byte, header gobwas.Header, ok bool) {
	header, err := gobwas.ReadHeader(p.reader)
	if err != nil || header.Length > 1<<20 {
		return nil, header, false
	}
	if int(header.Length) > len(p.buffer) {
		p.buffer = make([]byte, header.Length)
	}
	payload = p.buffer[:header.Length]
	if _, err := io.ReadFull(p.reader, payload); err != nil {
		return nil, header, false
	}
	gobwas.Cipher(payload, header.Mask, 0)
	if header.OpCode == gobwas.OpClose {
		_, _ = p.Write([]byte{0x88, 0})
		return nil, header, false
	}
	return payload, header, true
}

// frame returns a server's frame.
func frame(fin bool, opcode gobwas.OpCode, payload []byte) []byte {
	f := gobwas.NewFrame(opcode, fin, payload)
	return gobwas.MustCompileFrame(f)
}
