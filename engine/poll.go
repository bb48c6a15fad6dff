package engine

import (
	"fmt"
	"io"
	"reflect"
	"syscall"
	_ "unsafe" // for go:linkname

	"github.com/cloudwego/netpoll"
)

// openPoll makes a private netpoll reactor. netpoll exports the interface but no constructor; that the symbol is
// still there is shown by every test that starts a loop. See docs/netpoll.md.
//
//go:linkname openPoll github.com/cloudwego/netpoll.openPoll
func openPoll() (netpoll.Poll, error)

// reactor parks and wakes one loop: a private netpoll Poll with a single operator, the loop's own epoll set.
type reactor struct {
	poll     netpoll.Poll
	operator *netpoll.FDOperator
}

// newReactor returns a reactor that calls turn, on the goroutine of wait, whenever set has events.
func newReactor(set int, turn func()) (*reactor, error) {
	poll, err := openPollCloseOnExec()
	if err != nil {
		return nil, fmt.Errorf("open a netpoll reactor: %w", err)
	}
	operator := poll.Alloc()
	operator.FD = set
	operator.OnRead = func(netpoll.Poll) error {
		turn()
		return nil
	}
	// The set itself never hangs up; netpoll requires a function where it might call one.
	operator.OnHup = func(netpoll.Poll) error { return nil }
	if err := poll.Control(operator, netpoll.PollReadable); err != nil {
		_ = poll.Close()
		return nil, fmt.Errorf("register the loop's epoll set with netpoll: %w", err)
	}
	return &reactor{poll: poll, operator: operator}, nil
}

// openPollCloseOnExec opens a reactor whose descriptors do not outlive an exec. netpoll opens its epoll set and its
// eventfd without close-on-exec and keeps their numbers to itself, so they are looked up by field name. A netpoll
// without these fields goes on as it is; a test tells.
func openPollCloseOnExec() (netpoll.Poll, error) {
	syscall.ForkLock.RLock() // no fork between the opening and the flag
	defer syscall.ForkLock.RUnlock()
	poll, err := openPoll()
	if err != nil {
		return nil, err
	}
	private := reflect.Indirect(reflect.ValueOf(poll))
	if set := private.FieldByName("fd"); set.Kind() == reflect.Int {
		syscall.CloseOnExec(int(set.Int()))
	}
	if wake := private.FieldByName("wop"); wake.Kind() == reflect.Pointer && !wake.IsNil() {
		if fd := wake.Elem().FieldByName("FD"); fd.Kind() == reflect.Int {
			syscall.CloseOnExec(int(fd.Int()))
		}
	}
	return poll, nil
}

// wait runs until stop is called; it returns nil then.
func (r *reactor) wait() error { return r.poll.Wait() }

// stop makes wait return once the current turn is over. It may be called from any goroutine.
func (r *reactor) stop() error { return r.poll.Close() }

// RouteNetpollLog sends what netpoll itself would print on stderr to w, one line per Write. Call it before any loop
// is started.
func RouteNetpollLog(w io.Writer) {
	netpoll.SetLoggerOutput(w)
}
