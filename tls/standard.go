package tls

import (
	"bytes"
	"crypto/tls"
	"errors"
)

// standard is the recordLayer of crypto/tls.
//
// crypto/tls would keep a buffer per connection, of the size of the longest record so far. It is given each record as
// if it had read it into that buffer already, so it decrypts in place in our memory, copies nothing, and is left with
// empty buffers at every boundary.
type standard struct {
	conn   *tls.Conn
	memory memory
	fields *fields
	left   bool // plaintext may be left, where the fields are not known
	pays   bool // the peer pays for records without plaintext
	credit int16
}

// bound begins to count what the peer sends without plaintext, once the handshake is over. Before TLS 1.3 there are no
// key updates, and an empty record before each other one is good manners (with CBC in TLS 1.0).
func (s *standard) bound() {
	s.pays, s.credit = s.conn.ConnectionState().Version == tls.VersionTLS13, creditMax
}

// open implements recordLayer.
func (s *standard) open(record, p []byte) (int, error) {
	if s.fields.found && s.fields.rawInputOf(s.conn).Len() == 0 {
		*s.fields.rawInputOf(s.conn) = *bytes.NewBuffer(record)
	} else {
		s.memory.in, s.memory.left = record, 0
	}
	n, err := s.conn.Read(p)
	s.left = n == len(p)
	s.release()
	switch {
	case err == nil:
		s.credit = min(s.credit+1, creditMax)
	case errors.Is(err, errNoCiphertext):
		err = s.judgeEmpty()
	}
	return n, err
}

// judgeEmpty is called after a record without plaintext. crypto/tls ends connections with more than 16 of them in a row.
func (s *standard) judgeEmpty() error {
	if s.pays {
		s.credit -= emptyCost
	}
	if s.credit < 0 || s.held() > messageMax {
		return errFlood
	}
	return nil
}

// held implements recordLayer.
func (s *standard) held() int {
	if !s.fields.found {
		return 0
	}
	return s.fields.handOf(s.conn).Len()
}

// buffered implements recordLayer.
func (s *standard) buffered() int {
	switch {
	case s.fields.found:
		return s.fields.inputOf(s.conn).Len()
	case s.left:
		return plaintextMax
	}
	return 0
}

// rest implements recordLayer.
func (s *standard) rest(p []byte) int {
	n, _ := s.conn.Read(p) // with something left there is no error, else the one that says so
	s.left = n == len(p)
	s.release()
	return n
}

// release takes away what crypto/tls does not need between records.
func (s *standard) release() {
	if !s.fields.found || s.fields.inputOf(s.conn).Len() > 0 {
		return
	}
	s.fields.inputOf(s.conn).Reset(nil)
	if raw := s.fields.rawInputOf(s.conn); raw.Len() == 0 {
		*raw = bytes.Buffer{}
	}
	if hand := s.fields.handOf(s.conn); hand.Len() == 0 {
		*hand = bytes.Buffer{}
	}
}

// seal implements recordLayer.
func (s *standard) seal(p []byte) error {
	_, err := s.conn.Write(p)
	return err
}

// closeWrite implements recordLayer.
func (s *standard) closeWrite() error { return s.conn.CloseWrite() }

// alertSent implements recordLayer.
func (s *standard) alertSent() Alert { return s.fields.alertSent(s.conn) }

// info implements recordLayer.
func (s *standard) info() Info {
	state := s.conn.ConnectionState()
	return Info{
		Version:          Version(state.Version),
		Suite:            Suite(state.CipherSuite),
		KeyExchange:      KeyExchange(state.CurveID),
		Protocol:         state.NegotiatedProtocol,
		ServerName:       state.ServerName,
		Resumed:          state.DidResume,
		PeerCertificates: state.PeerCertificates,
		Verified:         len(state.VerifiedChains) > 0,
	}
}
