package main

import (
	"io"
	"net"
	"net/http"
	"time"
)

// How long things may take. None decides on a verdict unless the proxy is slower than that.
const (
	quietTime  = time.Second            // without an answer: the client then says that it has no more to send
	answerTime = 3 * time.Second        // from then on
	drainTime  = 100 * time.Millisecond // behind an answer
	settleTime = 300 * time.Millisecond // for the backend's connections to end, behind the client's
	caseTime   = 10 * time.Second       // of a backend's connection
)

// plainRequest is what a client sends when the case is about the answer.
const plainRequest = " / HTTP/1.1\r\nHost: " + suiteHost + "\r\nConnection: close\r\n\r\n"

// An answered case is what its client saw.
type answered struct {
	status  int  // of the first answer that is not interim; 0: there was none
	answers int  // that have this status, in a row
	whole   bool // the body of the first came to the end that its framing promises
	body    []byte
	err     error
	cut     bool // the error is that the connection ended or fell silent
}

// ask plays the client of one case.
func ask(address string, c *testCase) (answered, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return answered{}, err
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(caseTime))
	raw, method := c.raw, c.method
	if c.response {
		raw = []byte(method + plainRequest)
	}
	written := make(chan struct{})
	// goroutine: writer of the client, ends when its deadline has passed at the latest
	go func() {
		defer close(written)
		_, _ = conn.Write(raw)
		if !c.response && c.want == wantIncomplete {
			finish(conn)
		}
	}()
	defer func() { _ = conn.SetWriteDeadline(time.Now()); <-written }()
	reader := newTape(conn)
	_ = conn.SetReadDeadline(time.Now().Add(quietTime))
	if _, err := reader.Peek(1); isTimeout(err) {
		finish(conn)
	}
	_ = conn.SetReadDeadline(time.Now().Add(answerTime))
	a := readAnswer(reader, method)
	for a.status != 0 && a.answers < c.times {
		next := readAnswer(reader, method)
		if next.status != a.status {
			break
		}
		a.answers++
	}
	if a.status != 0 {
		finish(conn)
		_ = conn.SetReadDeadline(time.Now().Add(drainTime))
		_, _ = io.Copy(io.Discard, reader)
	}
	return a, nil
}

// readAnswer reads the first answer that is not interim.
func readAnswer(reader *tape, method string) answered {
	for {
		reader.begin()
		response, err := http.ReadResponse(reader.Reader, &http.Request{Method: method})
		if err != nil {
			return answered{err: err, cut: reader.wasCut(err)}
		}
		if response.StatusCode/100 == 1 && response.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		a := answered{status: response.StatusCode, answers: 1, whole: err == nil, body: body, err: err}
		a.cut = err != nil && reader.wasCut(err)
		return a
	}
}

// finish says that no more comes.
func finish(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}
