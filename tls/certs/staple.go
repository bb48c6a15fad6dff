//go:build linux

package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"
)

// checkStaple returns until when an OCSP answer may be sent along with the chain. An error says why it may not: it is not
// about this certificate, nobody entitled has signed it, it is not current, or it says anything but good.
func checkStaple(der []byte, chain []*x509.Certificate, now time.Time) (until time.Time, err error) {
	if len(chain) < 2 || !issued(chain[1], chain[0]) {
		return time.Time{}, errors.New("the issuer's certificate is needed to check it, and is not in the certificate's file")
	}
	issuer := chain[1]
	answer, err := ocsp.ParseResponseForCert(der, chain[0], issuer)
	if err != nil {
		return time.Time{}, err
	}
	if r := answer.Certificate; r != nil && !r.Equal(issuer) && !slices.Contains(r.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
		return time.Time{}, errors.New("it is signed by a certificate that may not sign such answers") // RFC 6960, section 4.2.2.2
	}
	switch {
	case answer.Status == ocsp.Revoked:
		return time.Time{}, fmt.Errorf("it says that the certificate was revoked on %s", day(answer.RevokedAt))
	case answer.Status != ocsp.Good:
		return time.Time{}, errors.New("it says that the certificate is not known")
	case answer.ThisUpdate.After(now.Add(clockSkew)):
		return time.Time{}, fmt.Errorf("it is from the future, %s", day(answer.ThisUpdate))
	case answer.NextUpdate.IsZero():
		return time.Time{}, errors.New("it does not say how long it is valid")
	case !answer.NextUpdate.After(now):
		return time.Time{}, fmt.Errorf("it was valid until %s", day(answer.NextUpdate))
	}
	return answer.NextUpdate, nil
}

// Current returns the store without the staples that are no longer current: the store itself while all are.
func (s *Store) Current(now time.Time) *Store {
	if s.stale(now) {
		return s.withoutStale(now)
	}
	return s
}

// stale reports whether one of the store's staples is no longer current.
func (s *Store) stale(now time.Time) bool {
	return slices.ContainsFunc(s.all, func(c *Certificate) bool { return c.stale(now) })
}

func (c *Certificate) stale(now time.Time) bool {
	return !c.stapleUntil.IsZero() && !now.Before(c.stapleUntil)
}

// withoutStale returns the store without the staples that are no longer current.
func (s *Store) withoutStale(now time.Time) *Store {
	b := &builder{now: now, strict: s.strict}
	for _, c := range s.all {
		if c.stale(now) {
			bare := *c
			bare.tls.OCSPStaple, bare.stapleUntil = nil, time.Time{}
			c = &bare
		}
		b.loaded = append(b.loaded, c)
	}
	next := b.build()
	next.warnings = s.warnings
	return next
}
