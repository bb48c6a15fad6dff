package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
	gobwas "github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	gorilla "github.com/gorilla/websocket"
)

// Three WebSocket libraries that nobody here wrote, each as a client and as a server, behind one interface.

// library opens WebSockets. offered are the subprotocols of which the first is agreed on.
type library struct {
	name     string
	deflates bool // knows permessage-deflate
	dial     func(ctx context.Context, url string, o socketOptions) (socket, error)
	upgrade  func(w http.ResponseWriter, r *http.Request, o socketOptions) (socket, error)
}

type socketOptions struct {
	subprotocols []string
	deflate      bool
}

// socket is one end of a WebSocket. One goroutine uses it.
type socket interface {
	// send sends a message in several frames, as far as the library lets one say that.
	send(text bool, payload []byte, parts int) error
	// receive waits for a message; pings are answered and close frames too, see closedError.
	receive() (text bool, payload []byte, err error)
	// ping sends a ping; ponged tells whether a receive has met its pong.
	ping() error
	ponged() bool
	// close does the closing handshake and returns the code that the other side closes with.
	close(code int, reason string) (int, error)
	// drop closes the connection.
	drop()
	subprotocol() string
}

// closedError is what receive returns after the other side's close frame.
type closedError struct {
	code   int
	reason string
}

func (e closedError) Error() string { return fmt.Sprintf("closed with %d %q", e.code, e.reason) }

var libraries = []library{
	{name: "gobwas", dial: dialGobwas, upgrade: upgradeGobwas},
	{name: "gorilla", deflates: true, dial: dialGorilla, upgrade: upgradeGorilla},
	{name: "coder", deflates: true, dial: dialCoder, upgrade: upgradeCoder},
}

// cut returns part i of n of a payload.
func cut(payload []byte, i, n int) []byte { return payload[i*len(payload)/n : (i+1)*len(payload)/n] }

// gorillaSocket is an end by gorilla/websocket.
type gorillaSocket struct {
	*gorilla.Conn
	pong bool
}

// gorillaBuffer is small, so that most messages are sent in several frames.
const gorillaBuffer = 1024

func dialGorilla(ctx context.Context, url string, o socketOptions) (socket, error) {
	dialer := gorilla.Dialer{Subprotocols: o.subprotocols, EnableCompression: o.deflate, WriteBufferSize: gorillaBuffer}
	c, answer, err := dialer.DialContext(ctx, url, nil)
	if err != nil {
		return nil, fmt.Errorf("%w, answered %v", err, answer)
	}
	return newGorilla(c), nil
}

func upgradeGorilla(w http.ResponseWriter, r *http.Request, o socketOptions) (socket, error) {
	upgrader := gorilla.Upgrader{Subprotocols: o.subprotocols, EnableCompression: o.deflate, WriteBufferSize: gorillaBuffer}
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil, err
	}
	return newGorilla(c), nil
}

func newGorilla(c *gorilla.Conn) *gorillaSocket {
	s := &gorillaSocket{Conn: c}
	_ = c.NetConn().SetDeadline(time.Now().Add(volumePatience))
	c.SetPongHandler(func(string) error { s.pong = true; return nil })
	return s
}

func (s *gorillaSocket) send(text bool, payload []byte, parts int) error {
	kind := gorilla.BinaryMessage
	if text {
		kind = gorilla.TextMessage
	}
	w, err := s.NextWriter(kind)
	if err != nil {
		return err
	}
	for i := range parts {
		if _, err := w.Write(cut(payload, i, parts)); err != nil {
			return err
		}
	}
	return w.Close()
}

func (s *gorillaSocket) receive() (bool, []byte, error) {
	kind, payload, err := s.ReadMessage()
	var closed *gorilla.CloseError
	if errors.As(err, &closed) {
		err = closedError{closed.Code, closed.Text}
	}
	return kind == gorilla.TextMessage, payload, err
}

func (s *gorillaSocket) ping() error {
	return s.WriteControl(gorilla.PingMessage, []byte("are you there"), time.Now().Add(volumePatience))
}

func (s *gorillaSocket) ponged() bool { return s.pong }

func (s *gorillaSocket) close(code int, reason string) (int, error) {
	body := gorilla.FormatCloseMessage(code, reason)
	if err := s.WriteControl(gorilla.CloseMessage, body, time.Now().Add(volumePatience)); err != nil {
		return 0, err
	}
	return untilClosed(s)
}

func (s *gorillaSocket) drop()               { _ = s.Conn.Close() }
func (s *gorillaSocket) subprotocol() string { return s.Subprotocol() }

// untilClosed reads up to the other side's close frame.
func untilClosed(s socket) (int, error) {
	for {
		_, _, err := s.receive()
		var closed closedError
		if errors.As(err, &closed) {
			s.drop()
			return closed.code, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// coderSocket is an end by coder/websocket.
type coderSocket struct {
	*websocket.Conn
	ctx   context.Context
	pongs chan error
}

func coderMode(o socketOptions) websocket.CompressionMode {
	if o.deflate {
		return websocket.CompressionContextTakeover
	}
	return websocket.CompressionDisabled
}

func dialCoder(ctx context.Context, url string, o socketOptions) (socket, error) {
	c, answer, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: o.subprotocols, CompressionMode: coderMode(o)})
	if err != nil {
		return nil, fmt.Errorf("%w, answered %v", err, answer)
	}
	return newCoder(ctx, c), nil
}

func upgradeCoder(w http.ResponseWriter, r *http.Request, o socketOptions) (socket, error) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: o.subprotocols, CompressionMode: coderMode(o)})
	if err != nil {
		return nil, err
	}
	return newCoder(r.Context(), c), nil
}

func newCoder(ctx context.Context, c *websocket.Conn) *coderSocket {
	c.SetReadLimit(-1)
	return &coderSocket{Conn: c, ctx: ctx, pongs: make(chan error, 1)}
}

func (s *coderSocket) send(text bool, payload []byte, parts int) error {
	kind := websocket.MessageBinary
	if text {
		kind = websocket.MessageText
	}
	if parts == 1 {
		return s.Write(s.ctx, kind, payload)
	}
	w, err := s.Writer(s.ctx, kind)
	if err != nil {
		return err
	}
	for i := range parts {
		if _, err := w.Write(cut(payload, i, parts)); err != nil {
			return err
		}
	}
	return w.Close()
}

func (s *coderSocket) receive() (bool, []byte, error) {
	kind, payload, err := s.Read(s.ctx)
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		err = closedError{int(closed.Code), closed.Reason}
	}
	return kind == websocket.MessageText, payload, err
}

// ping leaves the waiting to a goroutine: the pong is met by a receive.
func (s *coderSocket) ping() error {
	go func() { s.pongs <- s.Ping(s.ctx) }()
	return nil
}

func (s *coderSocket) ponged() bool {
	select {
	case err := <-s.pongs:
		return err == nil
	default:
		return false
	}
}

// close relies on the library: its Close fails unless the other side closes with the same code.
func (s *coderSocket) close(code int, reason string) (int, error) {
	return code, s.Conn.Close(websocket.StatusCode(code), reason)
}

func (s *coderSocket) drop()               { _ = s.CloseNow() }
func (s *coderSocket) subprotocol() string { return s.Subprotocol() }

// gobwasSocket is an end by gobwas/ws and its wsutil.
type gobwasSocket struct {
	net.Conn
	reader   *wsutil.Reader
	state    gobwas.State
	protocol string
	pong     bool
}

func dialGobwas(ctx context.Context, url string, o socketOptions) (socket, error) {
	c, early, handshake, err := gobwas.Dialer{Protocols: o.subprotocols}.Dial(ctx, url)
	if err != nil {
		return nil, err
	}
	return newGobwas(c, early, gobwas.StateClientSide, handshake.Protocol), nil
}

func upgradeGobwas(w http.ResponseWriter, r *http.Request, o socketOptions) (socket, error) {
	upgrader := gobwas.HTTPUpgrader{}
	if len(o.subprotocols) > 0 {
		upgrader.Protocol = func(offer string) bool { return offer == o.subprotocols[0] }
	}
	c, buffered, handshake, err := upgrader.Upgrade(r, w)
	if err != nil {
		return nil, err
	}
	return newGobwas(c, buffered.Reader, gobwas.StateServerSide, handshake.Protocol), nil
}

func newGobwas(c net.Conn, early *bufio.Reader, state gobwas.State, protocol string) *gobwasSocket {
	_ = c.SetDeadline(time.Now().Add(volumePatience))
	s := &gobwasSocket{Conn: c, state: state, protocol: protocol}
	s.reader = &wsutil.Reader{Source: c, State: state, CheckUTF8: true, OnIntermediate: s.control}
	if early != nil {
		s.reader.Source = early // it reads on from the connection
	}
	return s
}

// control answers a control frame.
func (s *gobwasSocket) control(h gobwas.Header, payload io.Reader) error {
	if h.OpCode == gobwas.OpPong {
		s.pong = true
	}
	err := wsutil.ControlFrameHandler(s.Conn, s.state)(h, payload)
	var closed wsutil.ClosedError
	if errors.As(err, &closed) {
		return closedError{int(closed.Code), closed.Reason}
	}
	return err
}

func (s *gobwasSocket) send(text bool, payload []byte, parts int) error {
	op := gobwas.OpBinary
	if text {
		op = gobwas.OpText
	}
	for i := range parts {
		if err := s.frame(gobwas.NewFrame(op, i == parts-1, append([]byte(nil), cut(payload, i, parts)...))); err != nil {
			return err
		}
		op = gobwas.OpContinuation
	}
	return nil
}

func (s *gobwasSocket) frame(f gobwas.Frame) error {
	if s.state.ClientSide() {
		f = gobwas.MaskFrameInPlace(f)
	}
	return gobwas.WriteFrame(s.Conn, f)
}

func (s *gobwasSocket) receive() (bool, []byte, error) {
	for {
		h, err := s.reader.NextFrame()
		if err != nil {
			return false, nil, err
		}
		if h.OpCode.IsControl() {
			if err := s.control(h, s.reader); err != nil {
				return false, nil, err
			}
			continue
		}
		payload, err := io.ReadAll(s.reader)
		return h.OpCode == gobwas.OpText, payload, err
	}
}

func (s *gobwasSocket) ping() error  { return s.frame(gobwas.NewPingFrame([]byte("are you there"))) }
func (s *gobwasSocket) ponged() bool { return s.pong }

func (s *gobwasSocket) close(code int, reason string) (int, error) {
	if err := s.frame(gobwas.NewCloseFrame(gobwas.NewCloseFrameBody(gobwas.StatusCode(code), reason))); err != nil {
		return 0, err
	}
	return untilClosed(s)
}

func (s *gobwasSocket) drop()               { _ = s.Conn.Close() }
func (s *gobwasSocket) subprotocol() string { return s.protocol }
