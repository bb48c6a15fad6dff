package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// A tape is a reader that keeps what it has read.
type tape struct {
	*bufio.Reader
	seen  bytes.Buffer
	start int // where the current message begins in seen
}

func newTape(from io.Reader) *tape {
	t := &tape{}
	t.Reader = bufio.NewReader(io.TeeReader(from, &t.seen))
	return t
}

// begin says that a message begins here.
func (t *tape) begin() { t.start = t.seen.Len() - t.Buffered() }

// message returns what has come since, of this message and of those behind it.
func (t *tape) message() []byte { return t.seen.Bytes()[t.start:] }

// wasCut reports whether the message could not be read because its connection ended or fell silent: then what has come
// of it is in order. With any other error it is not.
func (t *tape) wasCut(err error) bool {
	if !bytes.Contains(t.message(), []byte("\n\r\n")) && !bytes.Contains(t.message(), []byte("\n\n")) {
		return true // net/http reads a line that ends with the connection as if it were whole
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, net.ErrClosed) || isTimeout(err) || strings.HasSuffix(err.Error(), "unexpected EOF reading trailer")
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
