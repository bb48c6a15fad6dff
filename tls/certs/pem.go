//go:build linux

package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// maxChain bounds the certificates of a chain: all of them are sent in every full handshake.
const maxChain = 10

// contents is what a PEM file holds.
type contents struct {
	chain []*x509.Certificate
	keys  []crypto.Signer
}

var errNoPEM = errors.New("holds no PEM (lines from -----BEGIN to -----END)")

// parsePEM reads certificates and keys; blocks of other kinds, as parameters of curves, do not matter. Errors say what is
// wrong in words that follow the file's name.
func parsePEM(data []byte) (contents, error) {
	var c contents
	blocks := 0
	for rest := data; ; blocks++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if err := c.add(block); err != nil {
			return contents{}, err
		}
	}
	begun := bytes.Count(data, []byte("-----BEGIN "))
	switch {
	case begun == 0 && len(data) > 0 && data[0] == 0x30:
		return contents{}, errors.New("is DER, not PEM: convert it with openssl x509 -inform der (or openssl pkey for a key)")
	case begun == 0:
		return contents{}, errNoPEM
	case begun != blocks:
		return contents{}, fmt.Errorf("has a damaged block: %d begin, %d can be read", begun, blocks)
	}
	return c, nil
}

// add takes one block.
func (c *contents) add(block *pem.Block) error {
	switch {
	case block.Type == "CERTIFICATE" || block.Type == "X509 CERTIFICATE" || block.Type == "TRUSTED CERTIFICATE":
		if block.Type == "TRUSTED CERTIFICATE" {
			return errors.New("holds a TRUSTED CERTIFICATE, OpenSSL's own format: convert it with openssl x509")
		}
		if len(c.chain) == maxChain {
			return fmt.Errorf("holds more than %d certificates: keep the server's own and its issuers", maxChain)
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("certificate %d cannot be read: %w", len(c.chain)+1, err)
		}
		c.chain = append(c.chain, leaf)
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return errors.New("the private key is encrypted, and nobody is there to type the passphrase: decrypt it with openssl pkey")
		}
		key, err := parseKey(block.Bytes)
		if err != nil {
			return fmt.Errorf("the private key cannot be read: %w", err)
		}
		c.keys = append(c.keys, key)
	}
	return nil
}

// parseKey reads a private key in any of the three common forms, whatever the block's label says.
func parseKey(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if rsaKey, rsaErr := x509.ParsePKCS1PrivateKey(der); rsaErr == nil {
			return rsaKey, nil
		}
		if ecKey, ecErr := x509.ParseECPrivateKey(der); ecErr == nil {
			return ecKey, nil
		}
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign: %s", key, allowedKeys)
	}
	return signer, nil
}
