package sticky

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"math"
)

const (
	bodyBytes  = 8 + 4 // identity, second
	tagBytes   = 16
	tokenBytes = 1 + bodyBytes + tagBytes
	// TokenLength is that of a token, in characters.
	TokenLength = (tokenBytes*8 + 5) / 6

	// candidates is how many tokens a request may have verified.
	candidates = 8
	// clockSkew is by how many seconds the clock of the machine that made a token may be ahead.
	clockSkew = 60
)

// alphabet leaves no second way to write a token.
var alphabet = base64.RawURLEncoding.Strict()

// Hit is what a valid token says.
type Hit struct {
	// ID is the identity of the backend that it names, which need not be there any more.
	ID uint64
	// Issued is when it was made, in seconds since 1970.
	Issued int64
	// Expired says that an inserted cookie's lifetime is over: nobody is to be brought back by it.
	Expired bool
	// Renew says that half of an inserted cookie's lifetime is over.
	Renew bool
}

// sealer makes and opens tokens. Owned by a loop.
type sealer struct {
	keys []sealingKey
	left int // verifications that the present request may still have
	// The rest is memory that is written in each call.
	token [tokenBytes + 1]byte // the decoder asks for room for a whole group of characters
	sum   [sha256.Size]byte
	plain [bodyBytes]byte
}

type sealingKey struct {
	id         byte
	sign, hide hash.Hash
}

func newSealer(keys []key) *sealer {
	s := &sealer{}
	for _, k := range keys {
		s.keys = append(s.keys, sealingKey{k.id, hmac.New(sha256.New, k.sign), hmac.New(sha256.New, k.hide)})
	}
	return s
}

// Begin implements Reader.
func (s *sealer) Begin() { s.left = candidates }

// append makes a token at a time, in seconds since 1970.
func (s *sealer) append(dst []byte, id uint64, now int64) []byte {
	k := &s.keys[0]
	binary.BigEndian.PutUint64(s.plain[:], id)
	binary.BigEndian.PutUint32(s.plain[8:], uint32(min(max(now, 0), math.MaxUint32)))
	s.token[0] = k.id
	copy(s.token[1+bodyBytes:tokenBytes], s.tag(k))
	subtle.XORBytes(s.token[1:1+bodyBytes], s.plain[:], s.mask(k))
	return alphabet.AppendEncode(dst, s.token[:tokenBytes])
}

// tag returns the tag of what is in plain. Valid until the next call.
func (s *sealer) tag(k *sealingKey) []byte {
	k.sign.Reset()
	k.sign.Write(s.plain[:])
	return k.sign.Sum(s.sum[:0])[:tagBytes]
}

// mask returns what the body is encrypted with under the token's tag. Valid until the next call.
func (s *sealer) mask(k *sealingKey) []byte {
	k.hide.Reset()
	k.hide.Write(s.token[1+bodyBytes : tokenBytes])
	return k.hide.Sum(s.sum[:0])[:bodyBytes]
}

// open verifies a token, if the request has any verification left.
func (s *sealer) open(token []byte) (Hit, bool) {
	if len(token) != TokenLength {
		return Hit{}, false
	}
	if n, err := alphabet.Decode(s.token[:], token); err != nil || n != tokenBytes {
		return Hit{}, false
	}
	for i := range s.keys {
		k := &s.keys[i]
		if k.id != s.token[0] {
			continue
		}
		if s.left == 0 {
			return Hit{}, false
		}
		s.left--
		subtle.XORBytes(s.plain[:], s.token[1:1+bodyBytes], s.mask(k))
		if subtle.ConstantTimeCompare(s.tag(k), s.token[1+bodyBytes:tokenBytes]) == 1 {
			return Hit{
				ID:     binary.BigEndian.Uint64(s.plain[:]),
				Issued: int64(binary.BigEndian.Uint32(s.plain[8:])),
			}, true
		}
	}
	return Hit{}, false
}
