//go:build linux

package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"culvert/tls/internal/files"
)

// Load reads everything that the source names. All problems are reported at once, each line beginning with the file that
// it is about; warnings are told by the store.
func Load(source Source, now time.Time) (*Store, error) {
	pairs := source.Pairs
	var problems []error
	for _, folder := range source.Folders {
		found, err := pairsIn(folder)
		if err != nil {
			problems = append(problems, err)
		}
		pairs = append(pairs[:len(pairs):len(pairs)], found...)
	}
	if len(pairs) == 0 && len(problems) == 0 {
		return nil, errors.New("no certificate is named: a TLS listener needs at least one")
	}
	b := &builder{now: now, strict: source.Strict}
	for _, pair := range pairs {
		if err := b.load(pair); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return b.build(), nil
}

// pairsIn finds the pairs of a folder, in the order of their names.
func pairsIn(folder string) ([]Pair, error) {
	names, err := files.List(folder)
	if err != nil {
		return nil, err
	}
	present := map[string]bool{}
	for _, name := range names {
		present[name] = true
	}
	var pairs []Pair
	var problems []error
	for _, name := range names {
		base, full := strings.TrimSuffix(name, filepath.Ext(name)), filepath.Join(folder, name)
		switch filepath.Ext(name) {
		case ".crt", ".pem":
			keyFile := full // holds both, or loading it tells
			if present[base+".key"] {
				keyFile = filepath.Join(folder, base+".key")
			}
			pairs = append(pairs, Pair{CertFile: full, KeyFile: keyFile})
			if filepath.Ext(name) == ".pem" && present[base+".crt"] {
				problems = append(problems, fmt.Errorf("%s lies beside %s.crt: which of them is meant?", full, base))
			}
		case ".key":
			if !present[base+".crt"] && !present[base+".pem"] {
				problems = append(problems, fmt.Errorf("%s has no certificate beside it: %s.crt or %s.pem", full, base, base))
			}
		}
	}
	if len(pairs) == 0 && len(problems) == 0 {
		problems = append(problems, fmt.Errorf("%s holds no certificate: put x.crt and x.key there, or x.pem with both", folder))
	}
	return pairs, errors.Join(problems...)
}

// builder collects certificates for a store.
type builder struct {
	now      time.Time
	strict   bool
	loaded   []*Certificate
	warnings []Warning
}

func (b *builder) warn(file, format string, args ...any) {
	b.warnings = append(b.warnings, Warning{file, fmt.Sprintf(format, args...)})
}

// load reads and judges one pair.
func (b *builder) load(pair Pair) error {
	held, mode, err := read(pair.CertFile)
	if err != nil {
		return err
	}
	keys := held
	if pair.KeyFile != pair.CertFile {
		if keys, mode, err = read(pair.KeyFile); err != nil {
			return err
		}
	}
	switch {
	case len(held.chain) == 0 && len(held.keys) > 0:
		return fmt.Errorf("%s holds a private key and no certificate: are the two files swapped?", pair.CertFile)
	case len(held.chain) == 0:
		return fmt.Errorf("%s holds no certificate", pair.CertFile)
	case len(keys.keys) == 0 && pair.KeyFile == pair.CertFile:
		return fmt.Errorf("%s holds no private key, and there is no file for it: put it into the same file, or beside it as %s",
			pair.CertFile, swapExtension(filepath.Base(pair.CertFile), ".key"))
	case len(keys.keys) == 0:
		return fmt.Errorf("%s holds no private key", pair.KeyFile)
	case len(keys.keys) > 1:
		return fmt.Errorf("%s holds %d private keys: keep the one of the certificate", pair.KeyFile, len(keys.keys))
	}
	if mode&0o006 != 0 {
		b.warn(pair.KeyFile, "every user of this machine may read or write the private key (mode %04o): chmod o= on it", mode.Perm())
	}
	held.keys = keys.keys
	return b.add(pair, held)
}

// add judges a chain with its key, and takes it.
func (b *builder) add(pair Pair, held contents) error {
	leaf, key := held.chain[0], held.keys[0]
	fail := func(err error) error { return fmt.Errorf("%s: %w", pair.CertFile, err) }
	if err := checkKey(held.chain, key, pair.KeyFile); err != nil {
		return fail(err)
	}
	kind, rank, err := kindOf(leaf.PublicKey)
	if err != nil {
		return fail(err)
	}
	if err := checkTime(leaf, b.now); err != nil {
		return fail(err)
	}
	odd, err := checkChain(held.chain)
	if err != nil {
		return fail(err)
	}
	names, warnings := namesOf(leaf)
	if odd != "" {
		warnings = append(warnings, odd)
	}
	for _, text := range append(warnings, oddities(leaf)...) {
		b.warn(pair.CertFile, "%s", text)
	}
	c := &Certificate{
		File: pair.CertFile, KeyFile: pair.KeyFile, Names: names, Kind: kind, rank: rank,
		Fingerprint: sha256.Sum256(leaf.Raw), Leaf: leaf,
		tls: tls.Certificate{PrivateKey: key, Leaf: leaf},
	}
	for _, link := range held.chain {
		c.tls.Certificate = append(c.tls.Certificate, link.Raw)
	}
	b.staple(c, held)
	b.loaded = append(b.loaded, c)
	return nil
}

// staple attaches the OCSP answer that lies beside the certificate. One that does not fit is ignored: handshakes work
// without it.
func (b *builder) staple(c *Certificate, held contents) {
	name := stapleOf(c.File)
	if name == "" {
		return
	}
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return
	}
	der, _, err := files.Read(name)
	if err != nil {
		b.warn(name, "the OCSP staple is ignored: %v", err)
		return
	}
	until, err := checkStaple(der, held.chain, b.now)
	if err != nil {
		b.warn(name, "the OCSP staple is ignored: %v", err)
		return
	}
	c.tls.OCSPStaple, c.stapleUntil = der, until
}

// stapleOf returns the file in which the staple of a certificate's file would be.
func stapleOf(certFile string) string {
	if certFile == "" {
		return ""
	}
	return swapExtension(certFile, ".ocsp")
}

func swapExtension(name, extension string) string {
	return strings.TrimSuffix(name, filepath.Ext(name)) + extension
}

// read reads a PEM file.
func read(name string) (contents, fs.FileMode, error) {
	data, mode, err := files.Read(name)
	if err != nil {
		return contents{}, 0, err
	}
	held, err := parsePEM(data)
	if err != nil {
		return contents{}, 0, fmt.Errorf("%s: %w", name, err)
	}
	return held, mode, nil
}
