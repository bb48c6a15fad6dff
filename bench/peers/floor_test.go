package peers

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// floorPatience bounds every step of a test of the floor.
const floorPatience = 20 * time.Second

// floor is a running floor and what is on both sides of it.
type floor struct {
	t        *testing.T
	process  *process
	address  string
	listener *net.TCPListener
}

func startFloor(t *testing.T) *floor {
	t.Helper()
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		if os.Getenv(requirePeers) == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	binary := filepath.Join(t.TempDir(), "floor")
	source := filepath.Join("..", "floor", "floor.c")
	if out, err := exec.Command(compiler, "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var free ports
	address, err := free.take()
	if err != nil {
		t.Fatal(err)
	}
	s := newSpawner()
	port := listener.Addr().(*net.TCPAddr).Port
	p, err := s.start("the floor", []string{binary, strconv.Itoa(int(address.Port())), strconv.Itoa(port)}, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop()
		s.close()
		_ = listener.Close()
	})
	if line, err := bufio.NewReader(p.stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q (%v)", line, err)
	}
	return &floor{t, p, address.String(), listener}
}

// tunnel opens a connection through the floor and returns both of its ends.
func (f *floor) tunnel() (client, backend *net.TCPConn) {
	f.t.Helper()
	c, err := net.Dial("tcp", f.address)
	if err != nil {
		f.t.Fatal(err)
	}
	_ = f.listener.SetDeadline(time.Now().Add(floorPatience))
	backend, err = f.listener.AcceptTCP()
	if err != nil {
		f.t.Fatal(err)
	}
	client = c.(*net.TCPConn)
	for _, end := range []*net.TCPConn{client, backend} {
		_ = end.SetDeadline(time.Now().Add(floorPatience))
		f.t.Cleanup(func() { _ = end.Close() })
	}
	return client, backend
}

// descriptors counts those of the floor.
func (f *floor) descriptors() int {
	entries, _ := os.ReadDir("/proc/" + strconv.Itoa(f.process.pid()) + "/fd")
	return len(entries)
}

func (f *floor) read(from *net.TCPConn, want string) {
	f.t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(from, got); err != nil || string(got) != want {
		f.t.Fatalf("%q (%v), want %q", got, err, want)
	}
}

func TestTheFloorPassesOnEveryByteBothWays(t *testing.T) {
	f := startFloor(t)
	client, backend := f.tunnel()
	data := make([]byte, 16<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(data)
	failed := make(chan error, 4)
	for _, end := range []*net.TCPConn{client, backend} {
		go func() {
			_, err := end.Write(data)
			failed <- errors.Join(err, end.CloseWrite())
		}()
		go func() {
			got, err := io.ReadAll(end)
			if err == nil && !bytes.Equal(got, data) {
				err = errors.New("what came is not what was sent")
			}
			failed <- err
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func TestTheFloorPassesOnAHalfClose(t *testing.T) {
	f := startFloor(t)
	idle := f.descriptors()
	client, backend := f.tunnel()
	_, _ = client.Write([]byte("request"))
	_ = client.CloseWrite()
	f.read(backend, "request")
	if _, err := backend.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("%v, want the end", err)
	}
	_, _ = backend.Write([]byte("answer"))
	f.read(client, "answer")
	_ = backend.CloseWrite()
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("%v, want the end", err)
	}
	if err := f.process.await(context.Background(), func() bool { return f.descriptors() == idle }); err != nil {
		t.Error("descriptors are left:", err)
	}
}

func TestTheFloorPassesOnAReset(t *testing.T) {
	f := startFloor(t)
	for _, fromClient := range []bool{true, false} {
		from, to := f.tunnel()
		if !fromClient {
			from, to = to, from
		}
		_ = from.SetLinger(0)
		_ = from.Close()
		if _, err := to.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v, want a reset", err)
		}
	}
}

// What a receiver does not take stands still, and all of it comes in the end, the FIN behind it too.
func TestTheFloorPausesASourceAndLosesNothing(t *testing.T) {
	f := startFloor(t)
	client, backend := f.tunnel()
	chunk := bytes.Repeat([]byte{7}, 1<<20)
	sent := 0
	for {
		_ = client.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := client.Write(chunk)
		sent += n
		if err != nil {
			break // nothing moves any more
		}
	}
	before, err := ProportionalSetSize(f.process.pid())
	if err != nil || before > 8<<20 {
		t.Errorf("the floor holds %d bytes (%v)", before, err)
	}
	_ = client.CloseWrite()
	if got, err := io.ReadAll(backend); err != nil || len(got) != sent {
		t.Errorf("%d bytes came (%v), want %d", len(got), err, sent)
	}
}

func TestTheFloorResetsAClientWhoseBackendIsGone(t *testing.T) {
	f := startFloor(t)
	_ = f.listener.Close()
	c, err := net.Dial("tcp", f.address)
	if errors.Is(err, syscall.ECONNRESET) {
		return // it came before the dial was over
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(floorPatience))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
}
