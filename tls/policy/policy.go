// Package policy names sets of protocol versions, cipher suites and key exchanges, as operators know
// them from a cloud's load balancer (tls_cipher_policy_...) and from the common guideline for servers
// (modern, intermediate), which is Mozilla's; see Guideline.
//
//	p, err := policy.Lookup("tls_cipher_policy_1_2_strict_with_1_3")
//	p.Apply(config)
//
// # What crypto/tls lacks
//
// Names are those of the product; some of the suites behind them do not exist here and are never
// negotiated. None of them is the only choice of a client that is still alive:
//
//   - ECDHE-*-AES256-SHA384 and AES256-SHA256, that is CBC with SHA-384 and RSA-AES256-CBC-SHA256
//   - TLS_AES_128_CCM_SHA256 and TLS_AES_128_CCM_8_SHA256, of TLS 1.3
//
// The suites of TLS 1.3 cannot be chosen one by one: with that version come TLS_AES_128_GCM_SHA256,
// TLS_AES_256_GCM_SHA384 and TLS_CHACHA20_POLY1305_SHA256. The order of suites is not a policy's
// either: crypto/tls prefers forward secrecy, then AEADs, then what the hardware of both ends is fast at.
package policy

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// Guideline is the version of Mozilla's guideline for servers that modern and intermediate follow, of April 2026. What it
// says of certificates is for whoever orders them: a listener shows what it is given.
const Guideline = "6.0"

// Default is the policy of a listener that names none.
const Default = "intermediate"

// A Policy says which handshakes a listener accepts. Its slices are shared: do not change them.
type Policy struct {
	Name string
	// MinVersion and MaxVersion are versions of crypto/tls, both included.
	MinVersion, MaxVersion uint16
	// CipherSuites are those of TLS 1.2 and older; none where such a version is not allowed.
	CipherSuites []uint16
	// Curves are the key exchanges; the client's order does not count, crypto/tls has its own.
	Curves []tls.CurveID
	// Missing are the suites that the policy names and crypto/tls lacks, by their OpenSSL names.
	Missing []string
}

// Apply sets the versions, suites and key exchanges of a configuration, and nothing else.
func (p *Policy) Apply(c *tls.Config) {
	c.MinVersion, c.MaxVersion = p.MinVersion, p.MaxVersion
	c.CipherSuites = slices.Clone(p.CipherSuites)
	c.CurvePreferences = slices.Clone(p.Curves)
}

// Allows reports whether a handshake of the version may end with the suite.
func (p *Policy) Allows(version, suite uint16) bool {
	if version < p.MinVersion || version > p.MaxVersion {
		return false
	}
	i := slices.IndexFunc(implemented(), func(s *tls.CipherSuite) bool { return s.ID == suite })
	if i < 0 || !slices.Contains(implemented()[i].SupportedVersions, version) {
		return false
	}
	return version == tls.VersionTLS13 || slices.Contains(p.CipherSuites, suite)
}

// implemented returns every suite of crypto/tls.
func implemented() []*tls.CipherSuite {
	return append(tls.CipherSuites(), tls.InsecureCipherSuites()...)
}

// Lookup returns the policy of a name. An unknown name is an error that lists those there are.
func Lookup(name string) (*Policy, error) {
	i := slices.IndexFunc(policies, func(p *Policy) bool { return p.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no TLS policy %q: choose one of %s", name, strings.Join(Names(), ", "))
	}
	return policies[i], nil
}

// Names returns the names of all policies, from the one that accepts most to the strictest.
func Names() []string {
	names := make([]string, 0, len(policies))
	for _, p := range policies {
		names = append(names, p.Name)
	}
	return names
}
