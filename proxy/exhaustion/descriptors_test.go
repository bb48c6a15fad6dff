package exhaustion

import (
	"fmt"
	"net"
	"os"
	"testing"

	"culvert/proxy"
)

// TestHostileE08Descriptors: with 256 descriptors for everything, the proxy takes as many tunnels as it says, refuses
// the next ones, survives that others in the process take the descriptors it counts on, and recovers by itself.
func TestHostileE08Descriptors(t *testing.T) { runScenario(t, "descriptors", nil, 256) }

func descriptorsScenario() error {
	s, err := newStand(func(c *proxy.Config) { c.SplicePipes = -1; c.Limits.Connections = 10 })
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }()
	live, status, err := s.open()
	if err != nil || status != 101 {
		return fmt.Errorf("first tunnel: status %d, %v", status, err)
	}
	defer func() { _ = live.Close() }()

	waiting, err := s.connectSilently(3)
	if err != nil {
		return err
	}
	for _, c := range waiting {
		defer func() { _ = c.Close() }()
	}
	hoard, err := hoardDescriptors()
	if err != nil {
		return err
	}
	last := hoard[len(hoard)-1]
	_ = last.Close() // one for the client's own socket
	late, err := net.Dial("tcp", s.address)
	if err != nil {
		return err
	}
	defer func() { _ = late.Close() }()
	if err := eventually("accepting pauses", func() bool { return s.metric("culvert_accept_pauses_total") > 0 }); err != nil {
		return err
	}
	if err := ping(live); err != nil {
		return fmt.Errorf("the live tunnel suffered: %w", err)
	}
	if err := s.doesNotSpin(live); err != nil {
		return err
	}
	// A request that needs a descriptor for its backend is refused with a reason.
	if _, err := waiting[0].Write([]byte(upgradeRequest)); err != nil {
		return err
	}
	if err := eventually("the request is refused", func() bool {
		return s.metric(`culvert_exchanges_ended_total{loop="0",reason="no-resources"}`) == 1
	}); err != nil {
		return err
	}
	for _, f := range hoard[:len(hoard)-1] {
		_ = f.Close()
	}
	if err := eventually("the late client is accepted after all", func() bool { return s.metric("culvert_client_connections_active") >= 4 }); err != nil {
		return err
	}
	if _, status, err := s.open(); err != nil || status != 101 {
		return fmt.Errorf("after the descriptors came back: status %d, %v", status, err)
	}
	fmt.Printf("out of descriptors: paused %v times, the live tunnel kept going, recovered\n", s.metric("culvert_accept_pauses_total"))
	return nil
}

// connectSilently connects n clients that say nothing yet, and waits until the proxy has accepted them.
func (s *stand) connectSilently(n int) ([]net.Conn, error) {
	before := s.metric("culvert_client_connections_active")
	var silent []net.Conn
	for range n {
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			return nil, err
		}
		silent = append(silent, c)
	}
	return silent, eventually("the silent clients are accepted", func() bool {
		return s.metric("culvert_client_connections_active") == before+float64(n)
	})
}

// doesNotSpin shows that the loop turns for messages alone, not for a listener that it cannot serve.
func (s *stand) doesNotSpin(live net.Conn) error {
	turns := s.metric("culvert_loop_turns_total")
	for range 20 {
		if err := ping(live); err != nil {
			return err
		}
	}
	if spent := s.metric("culvert_loop_turns_total") - turns; spent > 400 {
		return fmt.Errorf("the loop turned %v times for 20 messages: it spins on the listener", spent)
	}
	return nil
}

// hoardDescriptors opens files until no descriptor is left.
func hoardDescriptors() (hoard []*os.File, err error) {
	for range 1024 {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		hoard = append(hoard, f)
	}
	if len(hoard) < 2 || len(hoard) == 1024 {
		return nil, fmt.Errorf("hoarded %d descriptors, wanted all that are left", len(hoard))
	}
	return hoard, nil
}
