package load

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"

	"culvert/proxy/ws"
)

func acceptFor(key string) string {
	if len(key) != ws.KeyLen {
		return "none"
	}
	accept := ws.AcceptKey([ws.KeyLen]byte([]byte(key)))
	return string(accept[:])
}

// faulty echoes every message but the third as it came, and the third by spoil.
func faulty(spoil func(p *peer, payload []byte) (echo []byte)) func(*peer) {
	return func(p *peer) {
		for n := 1; ; n++ {
			payload, _, ok := p.receive()
			if !ok {
				return
			}
			echo := frame(true, gobwas.OpBinary, payload)
			if n == 3 {
				echo = spoil(p, payload)
			}
			if _, err := p.Write(echo); err != nil {
				return
			}
		}
	}
}

// TestWrongEchoesAreNoticed: whatever a server or proxy does to one message out of eight, it is told.
func TestWrongEchoesAreNoticed(t *testing.T) {
	flip := func(at int) func(*peer, []byte) []byte {
		return func(_ *peer, payload []byte) []byte {
			payload[(at+len(payload))%len(payload)] ^= 1
			return frame(true, gobwas.OpBinary, payload)
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*peer, []byte) []byte
		want  error
	}{
		{"first byte flipped", flip(0), ErrMismatch},
		{"tunnel number flipped", flip(9), ErrMismatch},
		{"byte in the middle flipped", flip(70), ErrMismatch},
		{"last byte flipped", flip(-1), ErrMismatch},
		{"one byte missing", func(_ *peer, b []byte) []byte { return frame(true, gobwas.OpBinary, b[:len(b)-1]) }, ErrMismatch},
		{"one byte more", func(_ *peer, b []byte) []byte { return frame(true, gobwas.OpBinary, append(b, 0)) }, ErrMismatch},
		{"empty", func(*peer, []byte) []byte { return frame(true, gobwas.OpBinary, nil) }, ErrMismatch},
		{"twice", func(_ *peer, b []byte) []byte { return slices.Repeat(frame(true, gobwas.OpBinary, b), 2) }, ErrBroken},
		{"as text", func(_ *peer, b []byte) []byte { return frame(true, gobwas.OpText, b) }, ErrBroken},
		{"reserved bit", func(_ *peer, b []byte) []byte {
			f := frame(true, gobwas.OpBinary, b)
			f[0] |= 0x40
			return f
		}, ErrBroken},
		{"still masked", func(_ *peer, b []byte) []byte {
			return gobwas.MustCompileFrame(gobwas.MaskFrame(gobwas.NewBinaryFrame(b)))
		}, ErrBroken},
		{"a close instead", func(*peer, []byte) []byte { return []byte{0x88, 0} }, ErrBroken},
		{"a reset instead", func(p *peer, _ []byte) []byte {
			_ = p.Conn.(*net.TCPConn).SetLinger(0)
			_ = p.Close()
			return nil
		}, ErrBroken},
	} {
		t.Run(c.name, func(t *testing.T) {
			fleet := open(t, scripted(t, faulty(c.spoil)), FleetOptions{Tunnels: 1})
			r, err := fleet.Echo(t.Context(), EchoPlan{Size: 125, Messages: 8})
			if !errors.Is(err, c.want) {
				t.Errorf("the error is %v, want %v", err, c.want)
			}
			if r.Mismatches+r.Errors == 0 || r.Messages >= 8 {
				t.Errorf("%d right, %d wrong, %d errors", r.Messages, r.Mismatches, r.Errors)
			}
		})
	}
}

// TestTwoEchoesSwapped: the right messages in the wrong order are wrong.
func TestTwoEchoesSwapped(t *testing.T) {
	fleet := open(t, scripted(t, func(p *peer) {
		for {
			payload, _, ok := p.receive()
			first := bytes.Clone(payload)
			if !ok {
				return
			}
			second, _, ok := p.receive()
			if !ok {
				return
			}
			_, _ = p.Write(append(frame(true, gobwas.OpBinary, second), frame(true, gobwas.OpBinary, first)...))
		}
	}), FleetOptions{Tunnels: 1})
	r, err := fleet.Echo(t.Context(), EchoPlan{Size: 64, Messages: 8, InFlight: 2})
	if !errors.Is(err, ErrMismatch) || r.Mismatches != 8 {
		t.Errorf("%d mismatches, %v; want 8", r.Mismatches, err)
	}
}

// TestFramesAreOneThingAndMessagesAnother: fragments, pings and any cut of the bytes change nothing.
func TestFramesAreOneThingAndMessagesAnother(t *testing.T) {
	var pongs atomic.Int64
	fleet := open(t, scripted(t, func(p *peer) {
		for {
			payload, header, ok := p.receive()
			switch {
			case !ok:
				return
			case header.OpCode == gobwas.OpPong:
				pongs.Add(1)
				continue
			}
			answer := frame(false, gobwas.OpBinary, payload[:1])
			answer = append(answer, frame(true, gobwas.OpPing, []byte("are you there"))...)
			answer = append(answer, frame(false, gobwas.OpContinuation, nil)...)
			answer = append(answer, frame(true, gobwas.OpContinuation, payload[1:])...)
			for part := range slices.Chunk(answer, 3) {
				if _, err := p.Write(part); err != nil {
					return
				}
			}
		}
	}), FleetOptions{Tunnels: 2})
	for _, size := range []int{1, 20, 200} {
		r, err := fleet.Echo(t.Context(), EchoPlan{Size: size, Messages: 20})
		if err != nil || r.Messages != 20 {
			t.Errorf("%d messages of %d bytes, %v", r.Messages, size, err)
		}
	}
	if pongs.Load() == 0 {
		t.Error("no ping was answered")
	}
}

// TestTunnelsThatCannotBeOpened: one line says why, and nothing is left.
func TestTunnelsThatCannotBeOpened(t *testing.T) {
	answer := func(text string) func(net.Conn) {
		return func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write([]byte(text))
			_, _ = conn.Read(make([]byte, 1))
		}
	}
	const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	for _, c := range []struct {
		name, want string
		serve      func(net.Conn)
	}{
		{"503", "status 503", answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")},
		{"wrong accept", "status 101: accept", answer(switching + "Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")},
		{"no HTTP", "bad", answer("SSH-2.0-OpenSSH_9.2\r\n")},
		{"closed", "before its answer", func(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)) }},
		{"silent", "timed out", func(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)); _, _ = conn.Read(make([]byte, 1)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			timeout := patience
			if c.want == "timed out" {
				timeout = 200 * time.Millisecond
			}
			_, err := Open(t.Context(), rawServer(t, c.serve), FleetOptions{Tunnels: 3, Timeout: timeout})
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is %v, and should say %q", err, c.want)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		target := rawServer(t, func(net.Conn) {})
		target.Addresses[0] = closedPort(t)
		if _, err := Open(t.Context(), target, FleetOptions{Tunnels: 2}); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("the error is %v", err)
		}
		r, err := Connects(t.Context(), target, ConnectPlan{Size: 1, Concurrency: 2, Duration: 200 * time.Millisecond})
		if !errors.Is(err, ErrBroken) || r.Errors == 0 || r.Errors > 100 {
			t.Errorf("%d errors in 200 ms, %v: too many or none", r.Errors, err)
		}
	})
}
