package tls

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// requireOpenSSL is the variable that makes a missing openssl a failure.
const requireOpenSSL = "CULVERT_REQUIRE_OPENSSL"

func expectEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("want the end, got %w", err)
}

// program is a running openssl: it is typed to, and what it prints is waited for.
type program struct {
	t      *testing.T
	stdin  io.WriteCloser
	lock   sync.Mutex
	output strings.Builder
}

// openssl runs a command of openssl that ends with the test.
func openssl(t *testing.T, arguments ...string) *program {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv(requireOpenSSL) != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	p := &program{t: t}
	command := exec.Command(path, arguments...)
	reader, writer := io.Pipe()
	command.Stdout, command.Stderr = writer, writer
	if p.stdin, err = command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewReader(reader)
		for {
			b, err := lines.ReadByte()
			if err != nil {
				return
			}
			p.lock.Lock()
			p.output.WriteByte(b)
			p.lock.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = writer.Close()
		<-read
		if t.Failed() {
			t.Logf("openssl %v said:\n%s", arguments, p.said())
		}
	})
	return p
}

func (p *program) said() string {
	p.lock.Lock()
	defer p.lock.Unlock()
	return p.output.String()
}

func (p *program) typeLine(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Error(err)
	}
}

// files writes our certificate and key for openssl.
func files(t *testing.T) (chain, key string) {
	t.Helper()
	folder := t.TempDir()
	chain, key = filepath.Join(folder, "chain.pem"), filepath.Join(folder, "key.pem")
	if err := errors.Join(os.WriteFile(chain, ours().chain, 0o600), os.WriteFile(key, ours().key, 0o600)); err != nil {
		t.Fatal(err)
	}
	return chain, key
}

// underOpenSSL returns an end of ours whose peer is openssl, in the other role.
func underOpenSSL(t *testing.T, server bool, version Version) (*socketEnd, *program) {
	t.Helper()
	chain, key := files(t)
	choice := map[Version]string{Version12: "-tls1_2", Version13: "-tls1_3"}[version]
	if !server {
		p := openssl(t, "s_server", "-accept", "127.0.0.1:0", "-cert", chain, "-key", key, choice, "-naccept", "1", "-alpn", "http/1.1")
		address := regexp.MustCompile(`ACCEPT (127\.0\.0\.1:[1-9]\d*)`)
		for deadline := time.Now().Add(patience); !address.MatchString(p.said()); {
			if time.Now().After(deadline) {
				t.Fatal("openssl listens on no port")
			}
			<-time.After(time.Millisecond)
		}
		socket, err := net.Dial("tcp", address.FindStringSubmatch(p.said())[1])
		if err != nil {
			t.Fatal(err)
		}
		return newSocketEnd(t, configOf(t, false, version), socket), p
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p := openssl(t, "s_client", "-connect", listener.Addr().String(), "-CAfile", chain, "-servername", serverName,
		"-verify_return_error", "-alpn", "http/1.1", choice)
	socket, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return newSocketEnd(t, configOf(t, true, version), socket), p
}

func TestAgainstOpenSSL(t *testing.T) {
	eachKind(t, func(t *testing.T, server bool, version Version) {
		e, p := underOpenSSL(t, server, version)
		p.typeLine("hello from openssl")
		e.wait("a line of openssl's", func() bool { return strings.Contains(string(e.got), "hello from openssl\n") })
		if server {
			e.wait("its echo", func() bool { return strings.Contains(p.said(), "\nhello from openssl\n") })
		}
		if version == Version13 {
			// Openssl takes a letter for a command only where its read begins: what it sends for it is waited for.
			for i, command := range []string{"k", "K", "K", "k"} {
				before := e.arrived
				p.typeLine(command)
				e.wait("a key update", func() bool { return e.arrived > before })
				line := fmt.Sprintf("after update %d\n", i)
				p.typeLine(line[:len(line)-1])
				e.wait("a line behind it", func() bool { return strings.HasSuffix(string(e.got), line) })
				e.wait("its echo, with our new keys", func() bool { return strings.Contains(p.said(), "\n"+line) })
			}
		}
		p.typeLine("Q")
		e.wait("the end", func() bool { return e.over })
		want := StatusClosed
		if !server {
			want = StatusTruncated // s_server closes its socket without a word
		}
		if e.status != want {
			t.Errorf("status %v, %v", e.status, e.conn.Err())
		}
		if info := e.conn.Info(); info.Version != version || info.Protocol != "http/1.1" {
			t.Errorf("%+v", info)
		}
	})
}

func TestRenegotiationIsRefused(t *testing.T) {
	for _, server := range []bool{true, false} {
		t.Run(map[bool]string{true: "asked by a client", false: "asked by a server"}[server], func(t *testing.T) {
			e, p := underOpenSSL(t, server, Version12)
			p.typeLine("hello")
			e.wait("a line", func() bool { return strings.Contains(string(e.got), "hello\n") })
			p.typeLine(map[bool]string{true: "R", false: "r"}[server])
			e.wait("the end", func() bool { return e.over })
			if err := e.conn.Err(); err == nil || err.Cause != CauseAlertSent {
				t.Errorf("status %v, %v", e.status, err)
			} else {
				t.Log(err)
			}
		})
	}
}

// TestResumptionByOpenSSL saves a session, and takes it up in another process.
func TestResumptionByOpenSSL(t *testing.T) {
	for _, version := range []Version{Version12, Version13} {
		chain, _ := files(t)
		session := filepath.Join(t.TempDir(), "session")
		config := configOf(t, true, version)
		for _, resumed := range []bool{false, true} {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			arguments := []string{"s_client", "-connect", listener.Addr().String(), "-CAfile", chain, "-servername", serverName, "-sess_out", session}
			if resumed {
				arguments = append(arguments, "-sess_in", session)
			}
			p := openssl(t, arguments...)
			socket, err := listener.Accept()
			_ = listener.Close()
			if err != nil {
				t.Fatal(err)
			}
			e := newSocketEnd(t, config, socket)
			p.typeLine("hello")
			e.wait("a line", func() bool { return strings.Contains(string(e.got), "hello\n") })
			e.wait("its echo, behind the tickets", func() bool { return strings.Contains(p.said(), "\nhello\n") })
			p.typeLine("Q")
			e.wait("the end", func() bool { return e.over })
			if got := e.conn.Info().Resumed; got != resumed {
				t.Errorf("%v: resumed %v, want %v", version, got, resumed)
			}
		}
	}
}
