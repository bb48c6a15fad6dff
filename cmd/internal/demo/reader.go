package demo

import (
	"errors"
	"io"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// closeError ends a tunnel with a close frame: the peer sent one, or broke the
// protocol.
type closeError struct {
	code   ws.StatusCode // to answer with; 0 is an empty close frame
	reason string
}

func (e closeError) Error() string { return "tunnel ends with a close frame: " + e.reason }

// messageReader puts the frames of one client together to messages. It holds
// at most maxMessageBytes, whatever length a frame declares. Owned by one
// goroutine.
type messageReader struct {
	source  io.Reader
	control func(ping []byte) // called for each ping frame; the bytes are valid for the call only
	state   ws.State
	size    int // bytes of the message so far
	message [maxMessageBytes]byte
}

// next returns the next text message, valid until the next call. Its error is
// a closeError where the tunnel is to end with a close frame, else that of the
// source.
func (r *messageReader) next() ([]byte, error) {
	r.size = 0
	for {
		header, err := ws.ReadHeader(r.source)
		switch {
		case errors.Is(err, ws.ErrHeaderLengthMSB), errors.Is(err, ws.ErrHeaderLengthUnexpected):
			return nil, closeError{code: ws.StatusProtocolError, reason: err.Error()}
		case err != nil:
			return nil, err
		}
		if err := ws.CheckHeader(header, r.state|ws.StateServerSide); err != nil {
			return nil, closeError{code: ws.StatusProtocolError, reason: err.Error()}
		}
		if header.OpCode.IsControl() {
			if err := r.takeControl(header); err != nil {
				return nil, err
			}
			continue
		}
		if err := r.takeData(header); err != nil {
			return nil, err
		}
		if header.Fin {
			break
		}
	}
	payload := r.message[:r.size]
	if !utf8.Valid(payload) { // RFC 6455 section 8.1
		return nil, closeError{code: ws.StatusInvalidFramePayloadData, reason: "text is not UTF-8"}
	}
	return payload, nil
}

// takeData adds one data frame's payload to the message.
func (r *messageReader) takeData(header ws.Header) error {
	if header.OpCode == ws.OpBinary {
		return closeError{code: ws.StatusUnsupportedData, reason: "only text messages"}
	}
	if header.Length > int64(maxMessageBytes-r.size) {
		return closeError{code: ws.StatusMessageTooBig, reason: "message over 4096 bytes"}
	}
	payload := r.message[r.size : r.size+int(header.Length)]
	if _, err := io.ReadFull(r.source, payload); err != nil {
		return err
	}
	ws.Cipher(payload, header.Mask, 0)
	r.size += len(payload)
	r.state = r.state.Clear(ws.StateFragmented)
	if !header.Fin {
		r.state = r.state.Set(ws.StateFragmented)
	}
	return nil
}

// takeControl acts on a control frame, which may stand between the fragments
// of a message (RFC 6455 section 5.4).
func (r *messageReader) takeControl(header ws.Header) error {
	var buffer [ws.MaxControlFramePayloadSize]byte
	payload := buffer[:header.Length] // CheckHeader has seen that it fits
	if _, err := io.ReadFull(r.source, payload); err != nil {
		return err
	}
	ws.Cipher(payload, header.Mask, 0)
	switch header.OpCode {
	case ws.OpPing:
		r.control(payload)
	case ws.OpClose:
		return closeAnswer(payload)
	}
	return nil
}

// closeAnswer judges a close frame's payload and returns the answer to it: the
// same code, or 1002 where the payload is malformed (RFC 6455 section 5.5.1).
func closeAnswer(payload []byte) error {
	if len(payload) == 0 {
		return closeError{}
	}
	code, reason := ws.ParseCloseFrameData(payload)
	if len(payload) == 1 || ws.CheckCloseFrameData(code, reason) != nil {
		return closeError{code: ws.StatusProtocolError, reason: "malformed close frame"}
	}
	return closeError{code: code}
}
