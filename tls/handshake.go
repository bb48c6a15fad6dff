package tls

import (
	"crypto/tls"
	"fmt"
	"iter"
	"net"
	"runtime/debug"
)

// handshake is one on its way. crypto/tls cannot be called again after it was told to come back during a handshake, so
// that runs as a coroutine, which is suspended where crypto/tls reads and there is nothing. A step is what happens from
// one suspension to the next; between steps nobody runs. Each part belongs to someone:
type handshake struct {
	// To the owner.
	conn     *Conn // nil once nobody waits for the outcome
	options  Options
	waits    bool // counted among those that wait
	running  bool // a step was ordered, and its outcome has not arrived
	answered bool // something was sent
	received int  // bytes handed over so far

	// To whoever holds the worker's lock; see workers.go.
	worker     *worker
	place      place
	dropped    bool   // nobody waits: stop it
	input      []byte // for the next step
	list       *list  // the one it is in, of the worker's
	next, prev *handshake

	// To the worker's thread.
	standard *standard
	out      queue
	resume   func() (struct{}, bool)
	stop     func()
	err      error
}

// outcome is what a step has come to: it is over when there is a layer. It travels from the worker to the owner.
type outcome struct {
	output []byte    // to be sent
	layer  *standard // not nil once the handshake is over, well or not
	rest   []byte    // what came behind the handshake
	err    *Error    // why it failed
}

// advance does what can be done before the connection is established. It is called when more has come, when a step is
// done, and when the stream has ended.
func (c *Conn) advance() {
	switch {
	case c.phase == phaseFirst:
		c.judgeFirst()
	case c.phase > phaseHandshake || c.handshake.running:
	case c.judgeAnswer() != nil:
		c.refuse(c.judgeAnswer())
	case c.phase == phaseHandshake && c.in.whole():
		c.step()
	case c.inEnded:
		c.fail(&Error{Cause: CauseTruncated})
	}
}

// judgeFirst starts a server's handshake when the first record is complete and looks like a handshake.
func (c *Conn) judgeFirst() {
	begin := c.in.held.bytes()
	if len(begin) < headerLength && !c.inEnded {
		return
	}
	if len(begin) == 0 {
		c.fail(&Error{Cause: CauseTruncated})
		return
	}
	e := judgeFirst(begin, true)
	if e == nil && c.in.whole() {
		e = judgeHello(begin[:recordLength(begin)])
	}
	switch {
	case e != nil:
		c.refuse(e)
	case c.in.whole():
		c.begin()
	case c.inEnded:
		c.fail(&Error{Cause: CauseTruncated})
	}
}

// refuse fails, and says so by an alert where the peer would understand one.
func (c *Conn) refuse(e *Error) {
	if e.Cause == CauseAlertSent {
		c.out.append(c.buffers, alertRecord(e.Alert))
	}
	c.fail(e)
}

// begin starts the handshake, or has it wait.
func (c *Conn) begin() {
	if !c.handshake.options.Workers.admit(c.handshake) {
		c.phase = phaseWaiting
		return
	}
	c.phase = phaseHandshake
	c.step()
}

// step orders a step, with all records that are complete.
func (c *Conn) step() {
	h := c.handshake
	var input []byte
	for c.in.whole() {
		input = append(input, c.in.next(c.buffers)...)
	}
	c.in.settle(c.buffers)
	h.running = true
	h.received += len(input)
	if !h.worker.order(h, input) {
		c.fail(&Error{Cause: CauseStopped})
	}
}

// judgeAnswer looks for what crypto/tls would wait for: a server that answers something else than TLS, whose first
// record never ends, a client whose hello never ends, and messages of either that are longer than any.
func (c *Conn) judgeAnswer() *Error {
	h := c.handshake
	switch begin := c.in.held.bytes(); {
	case c.server && !h.answered && h.received > headerLength+MaxHello:
		return &Error{Cause: CauseAlertSent, Alert: alertIllegalParameter}
	case h.received > handshakeMax:
		return errFlood
	case !c.server && h.received == 0 && len(begin) >= headerLength:
		return judgeFirst(begin, false)
	}
	return nil
}

// arrive is called on the owner's goroutine when a step is done.
func (h *handshake) arrive(o outcome) {
	c := h.conn
	if c == nil {
		return
	}
	h.running = false
	h.answered = h.answered || len(o.output) > 0
	c.out.append(c.buffers, o.output)
	if o.layer != nil {
		c.layer = o.layer
	}
	switch {
	case o.err != nil:
		c.fail(o.err)
	case o.layer != nil:
		c.establish(o)
	default:
		c.advance()
	}
	h.options.Observer.Stepped(c)
}

// establish goes over to the record layer. What came behind the handshake comes first.
func (c *Conn) establish(o outcome) {
	c.phase, c.handshake = phaseEstablished, nil
	o.layer.memory = memory{out: &c.out, from: c.buffers}
	o.layer.release()
	if len(o.rest) > 0 {
		later := c.in.held
		c.in.held = queue{}
		c.in.held.append(c.buffers, o.rest)
		c.in.held.append(c.buffers, later.bytes())
		later.release(c.buffers)
	}
}

// stopHandshake has the coroutine stopped if there is one.
func (c *Conn) stopHandshake() {
	if h := c.handshake; h != nil {
		c.handshake, h.conn = nil, nil
		h.options.Workers.forget(h)
		if h.worker != nil {
			h.worker.drop(h)
		}
	}
}

// start makes the coroutine. It is called on the worker's thread, to which the coroutine is bound.
func (h *handshake) start() {
	h.standard = &standard{fields: &cryptoTLS, memory: memory{out: &h.out, from: heap{}}}
	if h.options.Local.IsValid() {
		h.standard.memory.local = net.TCPAddrFromAddrPort(h.options.Local)
	}
	connect := tls.Client
	if h.options.Config.server {
		connect = tls.Server
	}
	h.standard.conn = connect(&h.standard.memory, h.options.Config.standard)
	h.resume, h.stop = iter.Pull(func(yield func(struct{}) bool) {
		alive := true
		h.standard.memory.wait = func() bool {
			alive = alive && yield(struct{}{})
			return alive
		}
		h.err = guarded(h.standard.conn.Handshake)
	})
}

// run does one step on the worker's thread.
func (h *handshake) run(input []byte) (o outcome) {
	if h.resume == nil {
		h.start()
	}
	h.standard.memory.in = append(h.standard.memory.in, input...)
	_, suspended := h.resume()
	o.output = h.out.bytes()
	h.out = queue{}
	if suspended {
		return o
	}
	o.layer, o.rest = h.standard, h.standard.memory.in
	if h.err == nil {
		h.standard.bound()
	} else {
		o.err = classify(h.err, h.standard.alertSent())
	}
	return o
}

// end stops the coroutine, if there is one, on the worker's thread. What it has written is discarded.
func (h *handshake) end() {
	if h.stop != nil {
		h.stop()
	}
}

// guarded calls f and turns a panic into an *Error.
func guarded(f func() error) (err error) {
	defer func() {
		// tidy:recover a panic in one handshake, in a callback or in crypto/tls, must not end every other connection
		if p := recover(); p != nil {
			err = &Error{Cause: CausePanic, Err: fmt.Errorf("%v\n%s", p, debug.Stack())}
		}
	}()
	return f()
}
