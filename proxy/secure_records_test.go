package proxy_test

import (
	"strings"
	"testing"

	"culvert/proxy/proxytest"
)

// forBothVersions runs a test in TLS 1.2 and 1.3.
func forBothVersions(t *testing.T, run func(t *testing.T, version uint16)) {
	for name, version := range bothVersions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, version)
		})
	}
}

// cutAt has every write of a client go out in two segments: so many bytes, and once the proxy has read them, the rest.
func (c *secureClient) cutAt(n int) {
	c.wire.write = func(p []byte) error {
		at := min(n, len(p))
		if err := c.raw.TrySend(string(p[:at])); err != nil || at == len(p) {
			return err
		}
		c.raw.UntilRead()
		return c.raw.TrySend(string(p[at:]))
	}
}

// TestRecordsMayBeCutAnywhere opens a tunnel, echoes and closes, with every flight and record of the client's cut at the
// same place, for all places.
func TestRecordsMayBeCutAnywhere(t *testing.T) {
	t.Parallel()
	forBothVersions(t, func(t *testing.T, version uint16) {
		s := startSecured(t, nil)
		longest := len(helloOf(t, s.config(version)))
		for at := 1; at < longest; at++ {
			c := s.client(s.config(version))
			c.cutAt(at)
			backend := s.tunnel(c.shake())
			c.send(proxytest.ClientText("question"))
			backend.Want(proxytest.ClientText("question"))
			backend.Send(proxytest.ServerText("answer"))
			c.want(proxytest.ServerText("answer"))
			if err := c.CloseWrite(); err != nil {
				t.Fatalf("cut at %d: %v", at, err)
			}
			backend.WantEOF()
			backend.Close()
			c.wantEnd("close_notify")
			c.raw.Close()
			line := s.WaitEnd(t)
			if line.Text("reason") != "closed" || line.Inner("from_client")["tls_truncated"] != nil {
				t.Fatalf("cut at %d: the log says %v", at, line)
			}
			if t.Failed() {
				t.Fatalf("cut at %d", at)
			}
		}
		s.wantNothingLeft()
	})
}

// TestBytesOfABackendBecomeRecords has the backend's answer and frames come byte by byte, each of which is a record then.
func TestBytesOfABackendBecomeRecords(t *testing.T) {
	t.Parallel()
	forBothVersions(t, func(t *testing.T, version uint16) {
		s := startSecured(t, nil)
		c := s.connect(version)
		c.send(proxytest.UpgradeRequest())
		backend := s.backend.Accept()
		answer := proxytest.SwitchingProtocols(backend.ReadHead()) + proxytest.ServerText("with the answer")
		if err := proxytest.Feed(backend, answer, 1); err != nil {
			t.Fatal(err)
		}
		c.readHead()
		c.want(proxytest.ServerText("with the answer"))
		if err := proxytest.Feed(backend, proxytest.ServerText("later"), 1); err != nil {
			t.Fatal(err)
		}
		c.want(proxytest.ServerText("later"))
	})
}

// TestKeysAreUpdatedAmidATunnel has a client update its keys and ask for an update of ours, between frames, within one and
// while much is on its way to it.
func TestKeysAreUpdatedAmidATunnel(t *testing.T) {
	t.Parallel()
	s := startSecured(t, nil)
	f, c, backend := s.forgedTunnel(bothVersions["1.3"])
	frame := proxytest.ClientText("a message around which keys are updated")
	for request := range byte(2) {
		for at := range len(frame) {
			f.send(f.data(frame[:at], 1) + f.keyUpdate(request) + f.data(frame[at:], 1)) // the records pay for the update
			backend.Want(frame)
			backend.Send(proxytest.ServerText("answer"))
			c.want(proxytest.ServerText("answer"))
		}
	}
	payload := strings.Repeat("0123456789abcdef", 1<<16)
	go func() { _ = backend.TrySend(proxytest.ServerHeader(int64(len(payload))) + payload) }()
	for range 10 {
		f.send(f.keyUpdate(1))
	}
	c.want(proxytest.ServerHeader(int64(len(payload))) + payload)
	f.send(f.data(proxytest.ClientText("end"), longestRecord))
	backend.Want(proxytest.ClientText("end"))
}
