package tlstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"sync"
)

// A Key makes the private key of a certificate. Keys of RSA are made once per process and size, since that takes long.
type Key func() crypto.Signer

func ecdsaKey(c elliptic.Curve) Key {
	return func() crypto.Signer { return must(ecdsa.GenerateKey(c, rand.Reader)) }
}

func rsaKey(bits int) Key {
	return sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, bits)) })
}

// The kinds of keys that there are.
var (
	ECDSA224 = ecdsaKey(elliptic.P224())
	ECDSA256 = ecdsaKey(elliptic.P256())
	ECDSA384 = ecdsaKey(elliptic.P384())
	ECDSA521 = ecdsaKey(elliptic.P521())
	RSA1024  = rsaKey(1024)
	RSA2048  = rsaKey(2048)
	RSA4096  = rsaKey(4096)
)

// Ed25519 makes a key of that kind.
func Ed25519() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)
}
