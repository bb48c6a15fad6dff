package proxy_test

import (
	gobwas "github.com/gobwas/ws"
)

// frameOf returns one whole binary frame. A masked one is a client's.
func frameOf(payload []byte, masked bool) []byte {
	frame := gobwas.NewBinaryFrame(append([]byte(nil), payload...))
	if masked {
		frame = gobwas.MaskFrameInPlace(frame)
	}
	return gobwas.MustCompileFrame(frame)
}
