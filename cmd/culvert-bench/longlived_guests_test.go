//go:build linux && !race

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// guest is a tunnel that the test itself opens while the set of backends changes.
type guest struct {
	conn net.Conn
	io.Reader
	io.Writer
	said string
}

// guests are those that live. Owned by the test.
type guests struct {
	t       *testing.T
	address string
	live    []*guest
	opened  int
}

// open opens one.
func (g *guests) open() (*guest, error) {
	ctx, cancel := context.WithTimeout(context.Background(), manyPatience)
	defer cancel()
	conn, early, _, err := gobwas.Dial(ctx, "ws://"+g.address+"/guest")
	if err != nil {
		return nil, err
	}
	v := &guest{conn: conn, Reader: conn, Writer: conn}
	if early != nil {
		v.Reader = early
	} else {
		v.Reader = bufio.NewReaderSize(conn, 256)
	}
	return v, nil
}

// enter notes that one was opened.
func (g *guests) enter(v *guest, err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatalf("tunnel %d of those opened meanwhile: %v", g.opened, err)
	}
	g.live = append(g.live, v)
	g.opened++
}

// exchange sends a message on each and wants it back, and returns why tunnels have ended. They are gone then.
func (g *guests) exchange(round int) (ended []error) {
	g.t.Helper()
	for i, v := range g.live {
		_ = v.conn.SetDeadline(time.Now().Add(manyPatience))
		v.said = fmt.Sprintf("message %d on tunnel %d", round, i)
		_ = wsutil.WriteClientText(v, []byte(v.said)) // where that fails, so does what follows
	}
	g.live = slices.DeleteFunc(g.live, func(v *guest) bool {
		text, err := wsutil.ReadServerText(v)
		if silent := net.Error(nil); errors.As(err, &silent) && silent.Timeout() {
			g.t.Errorf("neither an echo nor an end within %s", manyPatience)
		}
		if err == nil && string(text) != v.said {
			g.t.Errorf("sent %q, and back came %q", v.said, text)
		}
		if err != nil {
			ended = append(ended, err)
			_ = v.conn.Close()
		}
		return err != nil
	})
	return ended
}

// leave closes so many, from those in the middle on, by the close handshake.
func (g *guests) leave(n int) {
	g.t.Helper()
	begin := max(0, min(len(g.live)/2, len(g.live)-n))
	leaving := slices.Clone(g.live[begin:min(begin+n, len(g.live))])
	g.live = slices.Delete(g.live, begin, begin+len(leaving))
	for _, v := range leaving {
		_ = v.conn.SetDeadline(time.Now().Add(manyPatience))
		if err := wsutil.WriteClientMessage(v, gobwas.OpClose, gobwas.NewCloseFrameBody(gobwas.StatusNormalClosure, "")); err != nil {
			g.t.Errorf("leave: %v", err)
		}
	}
	for _, v := range leaving {
		if header, err := gobwas.ReadHeader(v); err != nil || header.OpCode != gobwas.OpClose {
			g.t.Errorf("a close is answered by %+v, %v", header, err)
		}
		_ = v.conn.Close()
	}
}
