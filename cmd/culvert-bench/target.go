//go:build linux

package main

import (
	"errors"
	"net/netip"
	"strings"

	"culvert/bench/load"
	"culvert/cmd/internal/settings"
)

// endpoint is where connections go, and whether they are secured.
type endpoint struct {
	address netip.AddrPort
	secure  bool
}

// String returns it as it is written: the address alone where it is spoken to in the clear.
func (e endpoint) String() string {
	if e.secure {
		return "wss://" + e.address.String()
	}
	return e.address.String()
}

// MarshalText implements encoding.TextMarshaler.
func (e endpoint) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// schemes are what may stand before an address, and whether it asks for TLS. Which of the two is meant by one that does,
// WebSocket or HTTP, is the command's affair.
var schemes = map[string]bool{"ws://": false, "http://": false, "wss://": true, "https://": true}

func readEndpoint(text string) (endpoint, error) {
	e, rest := endpoint{}, text
	for scheme, secure := range schemes {
		if after, ok := strings.CutPrefix(text, scheme); ok {
			e.secure, rest = secure, after
		}
	}
	var err error
	if e.address, err = readListen(rest); err == nil && e.address.Port() == 0 {
		err = errors.New("nobody listens on port 0")
	}
	return e, err
}

// addressFlags say where connections go.
type addressFlags struct {
	Target []endpoint   `required:"" placeholder:"ADDRESS" allowed:"an address and a port, such as 127.0.0.1:8080 or [::1]:8080; wss:// or https:// before it speaks TLS" help:"Connect to this proxy or backend; repeatable, then in turn. TLS accepts any certificate."`
	Source []netip.Addr `placeholder:"ADDRESS" allowed:"addresses of this machine, such as 127.0.0.2" help:"Connect from here, in turn; repeatable. Each address has ports of its own."`

	ServerName  string `default:"" placeholder:"NAME" help:"Name that is asked for by TLS (SNI); empty: none."`
	TLSVersion  string `name:"tls-version" default:"any" placeholder:"VERSION" words:"any 1.2 1.3" help:"The one version of TLS that is offered; any: 1.2 and 1.3."`
	KeyExchange string `default:"any" placeholder:"NAME" words:"any x25519 x25519mlkem768" help:"The one key exchange that is offered by TLS; any: all that there are."`
	Resume      bool   `placeholder:"BOOL" help:"Take earlier TLS sessions up; else each handshake is a full one."`
}

// secureFlags are those that mean nothing in the clear.
func (f *addressFlags) secureFlag() string {
	switch {
	case f.ServerName != "":
		return "server-name"
	case f.TLSVersion != "any":
		return "tls-version"
	case f.KeyExchange != "any":
		return "key-exchange"
	case f.Resume:
		return "resume"
	}
	return ""
}

// AfterApply is called by kong once the flags are set.
func (f *addressFlags) AfterApply() error {
	for _, e := range f.Target {
		if e.secure != f.Target[0].secure {
			return &settings.Error{Flag: "target", Text: e.String(), Reason: "some targets are spoken to by TLS, and others are not"}
		}
	}
	if flag := f.secureFlag(); flag != "" && len(f.Target) > 0 && !f.Target[0].secure {
		return &settings.Error{Flag: flag, Reason: "the target is not spoken to by TLS", Allowed: "with a --target that begins with wss:// or https://"}
	}
	return nil
}

// secure tells whether the targets are spoken to by TLS.
func (f *addressFlags) secure() bool { return f.Target[0].secure }

func (f *addressFlags) target() load.Target {
	target := load.Target{Sources: f.Source}
	for _, e := range f.Target {
		target.Addresses = append(target.Addresses, e.address)
	}
	if !f.secure() {
		return target
	}
	target.TLS = &load.TLS{ServerName: f.ServerName, Resume: f.Resume}
	target.TLS.Version = map[string]load.TLSVersion{"1.2": load.TLS12, "1.3": load.TLS13}[f.TLSVersion]
	target.TLS.KeyExchange = map[string]load.KeyExchange{"x25519": load.X25519, "x25519mlkem768": load.X25519MLKEM768}[f.KeyExchange]
	return target
}
