package echo

import (
	"fmt"
	"strconv"

	"github.com/cloudwego/netpoll"

	"culvert/bench/page"
	"culvert/proxy/http1"
	"culvert/proxy/ws"
)

// copiedBytes is how much of a document is copied behind its head; more is sent from where it is. With a head it is
// less than what netpoll sends from where it is, so that the memory of an answer is free at once.
const copiedBytes = 2 << 10

// request is what a connection needs until it is upgraded: the head that is being read, and the memory of an answer.
type request struct {
	head   http1.RequestHead
	answer []byte
	number page.Number // of the document that is being sent
}

// answer reads a request and answers it: 101, a document, or 400.
func (s *session) answer(reader netpoll.Reader) error {
	r := s.request
	for {
		received, err := reader.Peek(reader.Len())
		if err != nil {
			return err
		}
		n, failure := r.head.Parse(received, nil)
		if failure != nil {
			return failure
		}
		if n > 0 {
			return s.reply(reader, n)
		}
		if _, err := reader.Peek(len(received) + 1); err != nil {
			return err
		}
	}
}

// reply answers the request whose head are the next n bytes.
func (s *session) reply(reader netpoll.Reader, n int) error {
	r := s.request
	defer r.head.Reset()
	if size, ok := r.document(); ok {
		if err := reader.Skip(n); err != nil {
			return err
		}
		return s.send(size)
	}
	reply, accepted := answerTo(&r.head)
	if err := reader.Skip(n); err != nil {
		return err
	}
	if err := s.emit(reply); err != nil {
		return err
	}
	if !accepted {
		_ = s.flush(reader)
		return errRefused
	}
	s.request = nil
	return nil
}

// document tells whether the request is one for a document, and of what size.
func (r *request) document() (size int, ok bool) {
	if kind, _ := r.head.Body(); string(r.head.Method()) != "GET" || r.head.Version() != http1.HTTP11 || kind != http1.BodyNone {
		return 0, false
	}
	query, _ := r.head.Query()
	size, r.number, ok = page.Parse(r.head.Path(), query)
	return size, ok
}

// send emits an answer with a document: head and body are one piece of memory where it is small, and one system call
// in any case. The connection is kept.
func (s *session) send(size int) error {
	r := s.request
	r.answer = append(r.answer[:0], "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: "...)
	r.answer = append(strconv.AppendInt(r.answer, int64(size), 10), "\r\n\r\n"...)
	offset := 0
	for offset < min(size, copiedBytes) {
		run := page.Run(&r.number, size, offset)
		run = run[:min(len(run), copiedBytes-offset)]
		r.answer = append(r.answer, run...)
		offset += len(run)
	}
	if err := s.emit(r.answer); err != nil {
		return err
	}
	for offset < size {
		run := page.Run(&r.number, size, offset)
		if err := s.emit(run); err != nil {
			return err
		}
		offset += len(run)
	}
	return nil
}

// answerTo judges a request and builds the answer.
func answerTo(head *http1.RequestHead) (reply []byte, accepted bool) {
	var check ws.RequestCheck
	check.Begin(head.Method(), head.Version() == http1.HTTP11)
	for i := range head.Len() {
		field := head.At(i)
		check.Observe(field.Name, field.Value)
	}
	if check.Decide().Action != ws.Upgrade {
		return []byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), false
	}
	offer := check.Offer()
	accept := ws.AcceptKey(offer.Key())
	return fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n", accept[:]), true
}
