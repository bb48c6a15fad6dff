package discovery

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/engine"

	"golang.org/x/net/dns/dnsmessage"
)

func question(name string, kind dnsmessage.Type) dnsmessage.Question {
	return dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}
}

func addressOf(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }

// TestForeignDatagramsAreNoAnswers: with another number, to another question, and no message at all.
func TestForeignDatagramsAreNoAnswers(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer server.Close()
	go func() {
		buffer := make([]byte, 512)
		n, client, err := server.ReadFrom(buffer)
		if err != nil {
			return
		}
		id, q := binary.BigEndian.Uint16(buffer), question("app.test.", dnsmessage.TypeA)
		wrong := addresses(60, "6.6.6.6")
		for _, message := range [][]byte{
			{}, []byte("x"), buffer[:n], wrong.message(id+1, q), wrong.message(id, question("app.tesu.", dnsmessage.TypeA)),
			addresses(60, "::6").message(id, question("app.test.", dnsmessage.TypeAAAA)), addresses(60, "10.0.0.1").message(id, question("APP.test.", dnsmessage.TypeA)),
		} {
			_, _ = server.WriteTo(message, client)
		}
	}()
	query, err := appendQuery(nil, 4711, question("app.test.", dnsmessage.TypeA), true)
	must(t, err)
	message, err := networkExchange(t.Context(), "udp", addressOf(server.LocalAddr()), query)
	must(t, err)
	a, truncated, err := readAnswer(question("app.test.", dnsmessage.TypeA), message)
	if truncated || err != nil {
		t.Fatal(truncated, err)
	}
	// It is asked for app.test, and an answer to APP.test is one.
	if !slices.Equal(a.addresses, []netip.Addr{netip.MustParseAddr("10.0.0.1")}) {
		t.Errorf("%v", a.addresses)
	}
}

func TestAnExchangeEndsWithItsContext(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer silent.Close()
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer deaf.Close()
	query, err := appendQuery(nil, 1, question("app.test.", dnsmessage.TypeA), true)
	must(t, err)
	for network, server := range map[string]net.Addr{"udp": silent.LocalAddr(), "tcp": deaf.Addr()} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		begin := engine.Monotonic()
		_, err := networkExchange(ctx, network, addressOf(server), query)
		if took := engine.Monotonic() - begin; err != errTimeout || took < 49e6 || took > 5e9 {
			t.Errorf("%s: %v after %d ms", network, err, took/1e6)
		}
		cancel()
	}
}

func TestErrorsOfTheNetworkHaveNoPorts(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := addressOf(closed.Addr())
	must(t, closed.Close())
	query, err := appendQuery(nil, 1, question("app.test.", dnsmessage.TypeA), true)
	must(t, err)
	for _, network := range []string{"udp", "tcp"} {
		if _, err := networkExchange(t.Context(), network, server, query); err == nil || err.Error() != "connection refused" {
			t.Errorf("%s: %v", network, err)
		}
	}
}

func TestAnswersOverTCPAreCutAnywhere(t *testing.T) {
	for _, c := range []struct {
		what  string
		spoil func(message []byte) []byte
		want  string // "": the answer
	}{
		{"whole", func(m []byte) []byte { return m }, ""},
		{"cut off", func(m []byte) []byte { return m[:len(m)-1] }, "unexpected EOF"},
		{"nothing", func([]byte) []byte { return nil }, "EOF"},
		{"another's", func(m []byte) []byte { m[2] ^= 1; return m }, errMalformed.Error()},
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			query := make([]byte, 512)
			n, _ := io.ReadAtLeast(conn, query, 14)
			id := binary.BigEndian.Uint16(query[2:n])
			message := addresses(60, "10.0.0.1").message(id, question("app.test.", dnsmessage.TypeA))
			for _, b := range c.spoil(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)) {
				_, _ = conn.Write([]byte{b})
			}
		}()
		query, err := appendQuery(nil, 4711, question("app.test.", dnsmessage.TypeA), false)
		must(t, err)
		message, err := networkExchange(t.Context(), "tcp", addressOf(listener.Addr()), query)
		if c.want == "" && (err != nil || !answers(query, message)) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %s", c.what, err, c.want)
		}
		_ = listener.Close()
	}
}
