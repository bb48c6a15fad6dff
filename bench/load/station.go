package load

import (
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"culvert/engine"
	"culvert/proxy/http1"
	"culvert/proxy/ws"
)

// readBuffer is the size of a loop's read buffer, in bytes.
const readBuffer = 128 << 10

var (
	errLonger  = errors.New("an echo is longer than its message")
	errShorter = errors.New("an echo is shorter than its message")
	errEnded   = errors.New("the loop has ended")
	errRefused = errors.New("no tunnel was granted")
)

// station is one loop of the generator with its tunnels. All but alive belongs to the loop.
type station struct {
	loop    *engine.Loop
	target  *Target
	host    string // of every request
	tunnels []*tunnel
	task    task
	stream  *stream
	random  *rand.Rand
	dials   int // connections begun: the next one's address
	alive   *atomic.Int64

	security            *security // nil: in the clear
	handshakesOnly      bool      // a tunnel is open when its handshake is over
	handshakes, resumed uint64    // TLS handshakes that succeeded, and how many of them took an earlier session up
	agreed              agreement // by the last one

	requestBuffer []byte
	scratch       [ws.MaxControlFrame]byte
	head          http1.ResponseHead
	check         ws.ResponseCheck
}

// newStations starts loops, and gives each so many tunnels that they have that many together.
func newStations(target *Target, loops, tunnels int, alive *atomic.Int64) ([]*station, error) {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails
	salt := uint64(binary.LittleEndian.Uint32(seed[:])) << 32
	security, err := newSecurity(target, loops)
	if err != nil {
		return nil, err
	}
	var stations []*station
	for i := range loops {
		loop, err := engine.NewLoop(engine.LoopOptions{Name: fmt.Sprintf("load %d", i), ReadBuffer: readBuffer})
		if err != nil {
			stopAll(stations)
			security.stop() // once more where there was a station
			return nil, err
		}
		seed[31] = byte(i)
		s := &station{loop: loop, target: target, host: target.Addresses[0].String(), random: rand.New(rand.NewChaCha8(seed)), alive: alive, task: &resting{}, security: security}
		s.dials = i * tunnels / loops // so that all addresses have their turn
		loop.Start()
		stations = append(stations, s)
	}
	for n := range tunnels {
		s := stations[n%loops]
		t := &tunnel{station: s, id: salt | uint64(n), place: len(s.tunnels)}
		t.timer.Init(t)
		s.tunnels = append(s.tunnels, t)
	}
	return stations, nil
}

// stopAll ends the loops of the stations, and what they share.
func stopAll(stations []*station) {
	for _, s := range stations {
		_ = s.loop.Stop()
	}
	if len(stations) > 0 {
		stations[0].security.stop()
	}
}

// do runs f on the loop and waits for it.
func (s *station) do(f func()) error {
	done := make(chan struct{})
	if !s.loop.Post(func() { f(); close(done) }) {
		return errEnded
	}
	<-done
	return nil
}

func (s *station) randomMask() (mask [4]byte) {
	binary.LittleEndian.PutUint32(mask[:], s.random.Uint32())
	return mask
}

// request returns the tunnel's upgrade request, with a key of its own; it is valid until the next one.
func (s *station) request(t *tunnel) []byte {
	request := s.clientRequest(t)
	s.requestBuffer, _ = ws.AppendClientRequest(s.requestBuffer[:0], &request) // the target was checked
	return s.requestBuffer
}

func (s *station) clientRequest(t *tunnel) ws.ClientRequest {
	if t.phase <= phaseSecuring {
		var random [16]byte
		binary.LittleEndian.PutUint64(random[:], s.random.Uint64())
		binary.LittleEndian.PutUint64(random[8:], s.random.Uint64())
		t.key = ws.NewKey(random)
	}
	return ws.ClientRequest{Host: s.host, Target: s.target.Path, Key: t.key}
}

// answered takes bytes of the answer to the tunnel's upgrade, and tells whether there is still a connection.
func (t *tunnel) answered(b []byte) bool {
	if len(t.partial) > 0 {
		t.partial = append(t.partial, b...)
		b = t.partial
	}
	s := t.station
	s.head.Reset()
	n, failure := s.head.Parse(b, nil)
	switch {
	case failure != nil:
		t.end(t.at(failure))
		return false
	case n == 0:
		if len(t.partial) == 0 {
			t.partial = append(t.partial, b...)
		}
		return true
	}
	request := s.clientRequest(t)
	offer := request.Offer()
	s.check.Begin(&offer, s.head.Status())
	for i := range s.head.Len() {
		field := s.head.At(i)
		s.check.Observe(field.Name, field.Value)
	}
	if _, reason := s.check.Decide(); reason != ws.NoReason {
		t.end(t.at(fmt.Errorf("%w: status %d: %s", errRefused, s.head.Status(), reason)))
		return false
	}
	if n < len(b) {
		t.end(t.at(errStray))
		return false
	}
	s.loop.Wheel.Cancel(&t.timer)
	t.partial, t.phase = nil, phaseOpen
	s.alive.Add(1)
	s.task.opened(t, engine.Monotonic())
	return t.phase != phaseOver
}

// resting is the task of tunnels that are held open.
type resting struct{}

func (*resting) opened(*tunnel, int64)      {}
func (*resting) echoed(*tunnel, int, int64) {}
func (*resting) record(int64, int64, bool)  {}
func (*resting) ended(*tunnel, error)       {}

// processors returns how many processors this process may use.
func processors() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return runtime.NumCPU()
	}
	return min(set.Count(), runtime.GOMAXPROCS(0))
}

// processCPU returns the seconds of CPU that this process has used.
func processCPU() float64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}
