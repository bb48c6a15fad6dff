//go:build linux

// Package authorities reads those whose signature makes a certificate be believed: of clients, by a listener that asks
// for one, and of backends.
//
//	bundle, err := authorities.Load("backends.pem")
//	config, err := tls.NewClientConfig(tls.ClientOptions{Authorities: bundle.Pool(), ServerName: "b.example"})
package authorities

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"culvert/tls/internal/files"
)

// A Bundle is a set of certificates of authorities. It is immutable.
type Bundle struct {
	// ID is a hash of the certificates, whatever their order: two bundles that believe the same have the same.
	ID   [sha256.Size]byte
	pool *x509.CertPool
	all  []*x509.Certificate
}

// Load reads a file of certificates in PEM. An error begins with the file's name.
func Load(name string) (*Bundle, error) {
	data, _, err := files.Read(name)
	if err != nil {
		return nil, err
	}
	b, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// Parse reads certificates in PEM. Errors are in words that follow the file's name.
func Parse(data []byte) (*Bundle, error) {
	b := &Bundle{pool: x509.NewCertPool()}
	blocks := 0
	for rest := data; ; blocks++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("holds a %s: only certificates of authorities belong there", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", blocks+1, err)
		}
		if !slices.ContainsFunc(b.all, c.Equal) {
			b.all = append(b.all, c)
			b.pool.AddCert(c)
		}
	}
	if begun := bytes.Count(data, []byte("-----BEGIN ")); begun != blocks {
		return nil, fmt.Errorf("has a damaged block: %d begin, %d can be read", begun, blocks)
	}
	if len(b.all) == 0 {
		return nil, errors.New("holds no certificate in PEM: nobody could be believed")
	}
	b.ID = identify(b.all)
	return b, nil
}

func identify(all []*x509.Certificate) [sha256.Size]byte {
	var hashes [][]byte
	for _, c := range all {
		hash := sha256.Sum256(c.Raw)
		hashes = append(hashes, hash[:])
	}
	slices.SortFunc(hashes, bytes.Compare)
	return sha256.Sum256(bytes.Join(hashes, nil))
}

// Pool returns the bundle as crypto/x509 and tls.ClientOptions take it. Do not change it.
func (b *Bundle) Pool() *x509.CertPool { return b.pool }

// Warnings tells, in words that follow the file's name, of certificates that have expired and of those that issue
// nothing.
func (b *Bundle) Warnings(now time.Time) []string {
	var warnings []string
	for _, c := range b.all {
		if now.After(c.NotAfter) {
			warnings = append(warnings, fmt.Sprintf("the authority %q has expired on %s", c.Subject, c.NotAfter.UTC().Format(time.DateOnly)))
		}
		if c.BasicConstraintsValid && !c.IsCA {
			warnings = append(warnings, fmt.Sprintf("%q is no authority: no other certificate than itself is believed", c.Subject))
		}
	}
	return warnings
}
