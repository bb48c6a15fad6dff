package ws

import gobwas "github.com/gobwas/ws"

// sendable reports whether a close frame may carry the code (RFC 6455 section 7.4): 1000 to 1003, 1007 to 1014 and
// 3000 to 4999. The registry has filled 1012 to 1014 since.
func sendable(code gobwas.StatusCode) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return true
	}
	return false
}

// beginClose takes note of an accepted close header. The status code is read as it streams by, because the two bytes
// may come in two reads and nothing is kept of either; of the masking key only these two bytes' half is needed.
func (s *Scanner) beginClose(header []byte, length int64) {
	s.flags |= flagClosing
	if length < 2 {
		s.closeCode = uint16(gobwas.StatusNoStatusRcvd)
		if length == 1 {
			s.flags |= flagCloseInvalid
		}
		return
	}
	s.statusLeft = 2
	if header[1]&bitMASK != 0 {
		key := header[len(header)-maskingKeyLen:]
		s.closeMask = [2]byte{key[0], key[1]}
	}
}

// readStatus takes what is missing of the status code from the next bytes of a close frame's payload.
func (s *Scanner) readStatus(payload []byte) {
	for ; s.statusLeft > 0 && len(payload) > 0; s.statusLeft-- {
		s.closeCode = s.closeCode<<8 | uint16(payload[0]^s.closeMask[2-s.statusLeft])
		payload = payload[1:]
		if s.statusLeft == 1 && !sendable(gobwas.StatusCode(s.closeCode)) {
			s.flags |= flagCloseInvalid
		}
	}
}

// CloseCode returns the status code of the close frame that went by: 1005 (no status received) when it carried none, 0
// as long as the code has not been read.
func (s *Scanner) CloseCode() gobwas.StatusCode {
	if s.statusLeft > 0 {
		return 0
	}
	return gobwas.StatusCode(s.closeCode)
}

// CloseInvalid reports whether the close frame had a payload of one byte or a code that must not be sent: 0 to 999,
// 1004 to 1006, 1015 to 2999, 5000 and above (RFC 6455 section 7.4). Such a frame is passed on all the same.
func (s *Scanner) CloseInvalid() bool { return s.flags&flagCloseInvalid != 0 }

// Closed reports whether a whole close frame went by: all that follows is dropped (RFC 6455 section 5.5.1), and
// nothing should be inserted any more.
func (s *Scanner) Closed() bool { return s.flags&flagClosing != 0 && s.remaining == 0 }
