package tls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Config is what connections of one role have in common. It is immutable, and shared by all goroutines.
type Config struct {
	standard *tls.Config
	server   bool
}

// FromStandard returns the configuration that packages below this one have put together from what a listener is to
// show and to ask (package listener), or that their tests need. Nobody may change standard any more, except for the
// keys of its session tickets.
func FromStandard(standard *tls.Config, server bool) *Config { return &Config{standard, server} }

// Certificate is a chain with its private key. It is immutable.
type Certificate struct{ standard tls.Certificate }

// ParseCertificate reads a chain, the server's own certificate first, and its key, both in PEM.
func ParseCertificate(chain, key []byte) (Certificate, error) {
	c, err := tls.X509KeyPair(chain, key)
	return Certificate{c}, err
}

// ServerOptions are the settings of a server.
type ServerOptions struct {
	// Certificates, at least one: the first that the client's SNI and algorithms fit, else the first.
	Certificates []Certificate
	// MinVersion and MaxVersion bound the version; 0: TLS 1.2 and the newest.
	MinVersion, MaxVersion Version
	// Protocols are offered by ALPN, best first. A client that offers none of them, but others, is refused (RFC 7301
	// section 3.2).
	Protocols []string
	// ClientAuthorities, when not nil, asks clients for a certificate that these have signed, and refuses others.
	ClientAuthorities *x509.CertPool
	// NoTickets turns session resumption off.
	NoTickets bool
}

// errNoCertificate is a server without a certificate.
var errNoCertificate = errors.New("tls: a server needs a certificate")

// NewServerConfig returns the configuration of a server. Keys of session tickets are its own and change daily.
func NewServerConfig(o ServerOptions) (*Config, error) {
	if len(o.Certificates) == 0 {
		return nil, errNoCertificate
	}
	standard, err := common(o.MinVersion, o.MaxVersion, o.Protocols)
	if err != nil {
		return nil, err
	}
	for _, c := range o.Certificates {
		standard.Certificates = append(standard.Certificates, c.standard)
	}
	if o.ClientAuthorities != nil {
		standard.ClientAuth, standard.ClientCAs = tls.RequireAndVerifyClientCert, o.ClientAuthorities
	}
	standard.SessionTicketsDisabled = o.NoTickets
	return &Config{standard, true}, nil
}

// ClientOptions are the settings of a client.
type ClientOptions struct {
	// ServerName is a host name or an IP address without port, and must be in the server's certificate. A host name
	// is asked for by SNI. Sessions are remembered by it.
	ServerName string
	// Authorities must have signed the server's certificate; nil: those of the system.
	Authorities *x509.CertPool
	// AnyCertificate accepts every certificate.
	AnyCertificate bool
	// Certificates are shown to a server that asks.
	Certificates []Certificate
	// MinVersion and MaxVersion bound the version; 0: TLS 1.2 and the newest.
	MinVersion, MaxVersion Version
	// Protocols are offered by ALPN, best first.
	Protocols []string
	// KeyExchanges are all that are offered, the order aside; none: crypto/tls's own choice.
	KeyExchanges []KeyExchange
	// Sessions is how many sessions are remembered to be resumed; 0: none.
	Sessions int
	// Clock tells whether the server's certificate is valid; nil: the system's.
	Clock func() time.Time
}

// NewClientConfig returns the configuration of a client.
func NewClientConfig(o ClientOptions) (*Config, error) {
	standard, err := common(o.MinVersion, o.MaxVersion, o.Protocols)
	if err != nil {
		return nil, err
	}
	if o.ServerName == "" && !o.AnyCertificate {
		return nil, errors.New("tls: a client needs the server's name, or accepts any certificate")
	}
	standard.ServerName, standard.RootCAs, standard.InsecureSkipVerify = o.ServerName, o.Authorities, o.AnyCertificate
	standard.Time = o.Clock
	for _, k := range o.KeyExchanges {
		standard.CurvePreferences = append(standard.CurvePreferences, tls.CurveID(k))
	}
	for _, c := range o.Certificates {
		standard.Certificates = append(standard.Certificates, c.standard)
	}
	if o.Sessions > 0 {
		standard.ClientSessionCache = tls.NewLRUClientSessionCache(o.Sessions)
	}
	return &Config{standard, false}, nil
}

func common(lowest, highest Version, protocols []string) (*tls.Config, error) {
	if lowest == 0 {
		lowest = Version12
	}
	if highest != 0 && highest < lowest {
		return nil, fmt.Errorf("tls: there is no version from %v to %v", lowest, highest)
	}
	return &tls.Config{
		MinVersion: uint16(lowest),
		MaxVersion: uint16(highest),
		NextProtos: slices.Clone(protocols),
		// crypto/tls starts with small records, for a page to be shown sooner, and never goes back to them: no use to a
		// tunnel, and up to 14 records where one would do.
		DynamicRecordSizingDisabled: true,
		Renegotiation:               tls.RenegotiateNever,
	}, nil
}
