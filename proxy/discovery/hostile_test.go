package discovery

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// What resolvers and writers of files do that mean us harm, or know no better.

// TestManyServicesOnManyAddresses: records multiplied by addresses would be millions of endpoints.
func TestManyServicesOnManyAddresses(t *testing.T) {
	s := &serviceSource{name: "_ws._tcp.app.test."}
	var a answer
	for n := range 3000 {
		a.services = append(a.services, service{"t.", uint16(1 + n), uint16((n + 1) % 2), 1})
	}
	s.records.adopt(a)
	s.retarget()
	for n := range 6000 {
		s.targets[0].four.addresses = append(s.targets[0].four.addresses, netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}))
	}
	begin := time.Now()
	set, _, _ := s.state()
	if took := time.Since(begin); len(set) != MaxEndpoints+1 || took > time.Second {
		t.Errorf("%d endpoints, after %v", len(set), took)
	}
	for _, e := range set {
		if e.Priority != 0 {
			t.Fatalf("%v, which is asked last, and others are left out", e)
		}
	}
}

// TestAFileThatIsNeverLeftAlone: whoever replaces it more often than it is looked at is heard all the same.
func TestAFileThatIsNeverLeftAlone(t *testing.T) {
	playFile(t, "- 10.0.0.1:80\n", func(s *scene, file string) {
		s.after(0.5).want("", "10.0.0.1:80 1/0")
		for n := range 40 {
			write(t, file+".new", fmt.Sprintf("- 10.0.1.%d:80\n%*s", n, n, "")) // each of another size
			must(t, os.Rename(file+".new", file))
			s.after(0.5)
		}
		if told := s.told(); told < 2 || told > 6 {
			t.Errorf("%d updates in 20 s", told)
		}
	})
}

// TestAFileThatBecomesAPipe between the look at it and the opening.
func TestAFileThatBecomesAPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "list")
	must(t, syscall.Mkfifo(name, 0o600))
	done := make(chan error, 1)
	go func() {
		_, err := openAndRead(name)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil || err.Error() != "not a regular file" {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for somebody who writes")
		if f, err := os.OpenFile(name, os.O_WRONLY, 0); err == nil {
			_ = f.Close()
		}
	}
}
