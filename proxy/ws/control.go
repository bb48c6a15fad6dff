package ws

import (
	"encoding/binary"
	"unicode/utf8"

	gobwas "github.com/gobwas/ws"
)

// MaxControlFrame is the longest frame that AppendPing, AppendPong and AppendClose build, in bytes: header, masking
// key, payload.
const MaxControlFrame = 2 + maskingKeyLen + gobwas.MaxControlFramePayloadSize

// AppendPing appends a ping to dst as the given role sends it. The mask, which must come from a strong source of
// randomness (RFC 6455 section 10.3), is used for Client alone. Payload beyond 125 bytes is cut off.
func AppendPing(dst []byte, sender Role, mask [4]byte, payload []byte) []byte {
	return appendControl(dst, gobwas.OpPing, sender, mask, payload)
}

// AppendPong appends a pong to dst; the rest is as for AppendPing.
func AppendPong(dst []byte, sender Role, mask [4]byte, payload []byte) []byte {
	return appendControl(dst, gobwas.OpPong, sender, mask, payload)
}

// AppendClose appends a close frame to dst; the mask is as for AppendPing. A code that must not be sent (1005, 1006
// and all that CloseInvalid lists) gives a close frame without code and reason. The reason is UTF-8; beyond 123 bytes
// it is cut off between two characters.
func AppendClose(dst []byte, sender Role, mask [4]byte, code gobwas.StatusCode, reason string) []byte {
	if !sendable(code) {
		return appendControl(dst, gobwas.OpClose, sender, mask, nil)
	}
	var payload [gobwas.MaxControlFramePayloadSize]byte
	binary.BigEndian.PutUint16(payload[:], uint16(code))
	end := min(len(reason), len(payload)-2)
	for end < len(reason) && end > 0 && !utf8.RuneStart(reason[end]) {
		end--
	}
	copy(payload[2:], reason[:end])
	return appendControl(dst, gobwas.OpClose, sender, mask, payload[:2+end])
}

func appendControl(dst []byte, opcode gobwas.OpCode, sender Role, mask [4]byte, payload []byte) []byte {
	payload = payload[:min(len(payload), gobwas.MaxControlFramePayloadSize)]
	dst = append(dst, bitFIN|byte(opcode))
	if sender == Server {
		return append(append(dst, byte(len(payload))), payload...)
	}
	dst = append(append(dst, bitMASK|byte(len(payload))), mask[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	gobwas.Cipher(dst[start:], mask, 0)
	return dst
}
