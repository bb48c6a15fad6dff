//go:build linux

package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	minRSABits, maxRSABits = 2048, 8192
	// slowRSABits is the size above which a signature costs more than ten of ECDSA P-256 do together.
	slowRSABits = 4096
	// clockSkew is how far ahead of ours the clock of who issued a certificate or a staple may be.
	clockSkew = 5 * time.Minute
)

const allowedKeys = "allowed are RSA with 2048 to 8192 bits, ECDSA P-256, P-384 and P-521, and Ed25519"

// kindOf names the kind of a key and ranks it: clients that support several get the one of the lowest rank. Weak and
// unknown kinds are errors.
func kindOf(key crypto.PublicKey) (kind string, rank int, err error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		if bits < minRSABits {
			return "", 0, fmt.Errorf("RSA with %d bits is too weak: %s", bits, allowedKeys)
		}
		if bits > maxRSABits {
			return "", 0, fmt.Errorf("RSA with %d bits is too slow: %s", bits, allowedKeys)
		}
		return fmt.Sprintf("RSA %d", bits), 4, nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return "ECDSA P-256", 0, nil
		case elliptic.P384():
			return "ECDSA P-384", 2, nil
		case elliptic.P521():
			return "ECDSA P-521", 3, nil
		}
		return "", 0, fmt.Errorf("ECDSA on the curve %s is not supported: %s", k.Params().Name, allowedKeys)
	case ed25519.PublicKey:
		return "Ed25519", 1, nil
	}
	return "", 0, fmt.Errorf("a key of type %T is not supported: %s", key, allowedKeys)
}

// matches reports whether a certificate is about a private key.
func matches(c *x509.Certificate, key crypto.Signer) bool {
	public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(key.Public())
}

// checkKey: the first certificate is the one of the key.
func checkKey(chain []*x509.Certificate, key crypto.Signer, keyFile string) error {
	if matches(chain[0], key) {
		return nil
	}
	i := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return matches(c, key) })
	if i > 0 {
		return fmt.Errorf("the chain is in the wrong order: the key is that of certificate %d, %s, which must come first, then its issuer and so on",
			i+1, nameOf(chain[i]))
	}
	return fmt.Errorf("the private key in %s does not match the certificate %s", keyFile, nameOf(chain[0]))
}

// checkChain: each certificate is followed by its issuer (RFC 5246, section 7.4.2). What belongs to the chain at the wrong
// place is an error, what does not belong to it a warning.
func checkChain(chain []*x509.Certificate) (warning string, err error) {
	ordered := []*x509.Certificate{chain[0]}
	rest := slices.Clone(chain[1:])
	for len(rest) > 0 {
		last := ordered[len(ordered)-1]
		i := slices.IndexFunc(rest, func(c *x509.Certificate) bool { return issued(c, last) })
		if i < 0 {
			break
		}
		ordered = append(ordered, rest[i])
		rest = slices.Delete(rest, i, i+1)
	}
	for i, c := range ordered {
		if chain[i] != c {
			return "", fmt.Errorf("the chain is in the wrong order: %s must be followed by its issuer, %s", nameOf(chain[i-1]), nameOf(c))
		}
	}
	if len(rest) > 0 {
		return fmt.Sprintf("%s has not issued any certificate before it in the file: clients get it in vain", nameOf(rest[0])), nil
	}
	return "", nil
}

// issued reports whether a has issued b.
func issued(a, b *x509.Certificate) bool {
	if string(a.RawSubject) != string(b.RawIssuer) {
		return false
	}
	err := b.CheckSignatureFrom(a)
	var insecure x509.InsecureAlgorithmError
	return err == nil || errors.As(err, &insecure)
}

// nameOf names a certificate for people.
func nameOf(c *x509.Certificate) string {
	if len(c.DNSNames) > 0 {
		return fmt.Sprintf("%q", c.DNSNames[0])
	}
	return fmt.Sprintf("%q", c.Subject.String())
}

// checkTime: a certificate is valid already. That it is no more is told by Store.Expiring.
func checkTime(c *x509.Certificate, now time.Time) error {
	if now.Add(clockSkew).Before(c.NotBefore) {
		return fmt.Errorf("the certificate %s is not yet valid: it begins on %s, and now it is %s", nameOf(c), day(c.NotBefore), day(now))
	}
	return nil
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// oddities lists what clients may dislike in a certificate that is used all the same.
func oddities(c *x509.Certificate) []string {
	var out []string
	if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > slowRSABits {
		out = append(out, fmt.Sprintf("RSA with %d bits makes every handshake slow: ECDSA P-256 is as good as RSA with 3072 bits", k.N.BitLen()))
	}
	switch c.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1:
		out = append(out, fmt.Sprintf("the certificate is signed with %s, which clients refuse", c.SignatureAlgorithm))
	}
	if len(c.ExtKeyUsage) > 0 && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
		out = append(out, "the certificate is not meant for servers (no serverAuth in its extended key usage)")
	}
	return out
}
