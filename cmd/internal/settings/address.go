package settings

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// MaxWeight is the largest weight of a backend; 0 means no new requests.
const MaxWeight = 100

// decodeListener reads an address to listen on. Without a host it is every address of the machine, of both families.
func decodeListener(text string, _ *kong.Tag) (netip.AddrPort, error) {
	if strings.Contains(text, ",") {
		return netip.AddrPort{}, errors.New("not one address")
	}
	if port, ok := strings.CutPrefix(text, ":"); ok && !strings.Contains(port, ":") {
		number, err := readPort(port)
		return netip.AddrPortFrom(netip.IPv6Unspecified(), number), err
	}
	host, port, err := splitHostPort(text)
	if err != nil {
		return netip.AddrPort{}, err
	}
	number, err := readPort(port)
	if err != nil {
		return netip.AddrPort{}, err
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%s is not an address", Shown(host))
	}
	return netip.AddrPortFrom(address.Unmap(), number), nil
}

// splitHostPort cuts "host:port" and "[v6]:port" apart.
func splitHostPort(text string) (host, port string, err error) {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		host, port, ok = strings.Cut(inner, "]:")
		if !ok || !strings.Contains(host, ":") {
			return "", "", errors.New("not of the form [address]:port")
		}
		return host, port, nil
	}
	switch strings.Count(text, ":") {
	case 0:
		return "", "", errors.New("a port is missing")
	case 1:
		host, port, _ = strings.Cut(text, ":")
		return host, port, nil
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return "", "", fmt.Errorf("a port is missing; an IPv6 address stands in brackets, [%s]:80", text)
	}
	return "", "", errors.New("too many colons; an IPv6 address stands in brackets")
}

// readPort reads a port; 0 means one that is free, where that makes sense.
func readPort(text string) (uint16, error) {
	if text == "" {
		return 0, errors.New("a port is missing")
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil || text[0] == '0' && text != "0" {
		return 0, fmt.Errorf("%s is not a port", Shown(text))
	}
	return uint16(number), nil
}

// hostLetters are what the parts of a host's name consist of.
const hostLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// maxSocketPath is what the kernel takes of a Unix socket's path, in bytes (unix(7)).
const maxSocketPath = 107

// unixPrefix is what the name of a Unix socket begins with.
const unixPrefix = "unix:"

func wrongSocketPath(path string) error {
	if !strings.HasPrefix(path, "/") || len(path) > maxSocketPath {
		return fmt.Errorf("a Unix socket is named by an absolute path of at most %d bytes", maxSocketPath)
	}
	return nil
}

// httpsPrefix is what the name of a backend that is spoken to by HTTPS begins with.
const httpsPrefix = "https://"

// decodeBackend reads "[http://]host:port[,weight=N]", "https://host:port[,weight=N]" and "unix:/path[,weight=N]".
func decodeBackend(text string, _ *kong.Tag) (Backend, error) {
	server, options, _ := strings.Cut(text, ",")
	backend := Backend{Weight: 1}
	if path, ok := strings.CutPrefix(server, unixPrefix); ok {
		if err := wrongSocketPath(path); err != nil {
			return backend, err
		}
		backend.Name, backend.Path = server, path
		return backend, backend.decodeOptions(text, options)
	}
	if scheme, rest, ok := strings.Cut(server, "://"); ok {
		if scheme != "http" && scheme != "https" {
			return backend, fmt.Errorf("a backend is spoken to by http:// or https://, not by %s://", Shown(scheme))
		}
		server, backend.TLS = strings.TrimSuffix(rest, "/"), scheme == "https"
	}
	if strings.ContainsAny(server, "/?#@") {
		return backend, errors.New("a backend is a host and a port, without path or user")
	}
	host, port, err := splitHostPort(server)
	if err != nil {
		return backend, err
	}
	backend.Port, err = readPort(port)
	if err != nil {
		return backend, err
	}
	if backend.Port == 0 {
		return backend, errors.New("port 0 cannot be connected to")
	}
	if _, err := netip.ParseAddr(host); err != nil && !HostName(host) {
		return backend, fmt.Errorf("%s is neither an address nor a host's name", Shown(host))
	}
	backend.Name, backend.Host = server, host
	if backend.TLS {
		backend.Name = httpsPrefix + server
	}
	return backend, backend.decodeOptions(text, options)
}

// Place returns where the backend is, without how it is spoken to: no two backends have the same.
func (b *Backend) Place() string { return strings.TrimPrefix(b.Name, httpsPrefix) }

// ServerName returns the name that the certificate of a backend has if nothing else is said: its host.
func (b *Backend) ServerName() string { return serverName(b.Host) }

// serverName returns a host as certificates have it: a name without the dot at its end, an address without its zone.
func serverName(host string) string {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Unmap().WithZone("").String()
	}
	return strings.TrimSuffix(host, ".")
}

// decodeServerName reads the name of a server's certificate.
func decodeServerName(text string, tag *kong.Tag) (ServerName, error) {
	if text == tag.Get("default") {
		return "", nil
	}
	if _, err := netip.ParseAddr(text); err != nil && !HostName(text) {
		return "", errors.New("neither an address nor a host's name")
	}
	return ServerName(serverName(text)), nil
}

func (b *Backend) decodeOptions(text, options string) error {
	if !strings.Contains(text, ",") {
		return nil
	}
	value, ok := strings.CutPrefix(options, "weight=")
	if !ok {
		return fmt.Errorf("%s is not weight=N; every backend has a --backend of its own", Shown(options))
	}
	weight, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return fmt.Errorf("%s is not a weight", Shown(value))
	}
	if weight > MaxWeight {
		return errors.New("the weight is above the maximum")
	}
	b.Weight = int(weight)
	return nil
}

// HostName reports whether a text can be the name of a host (RFC 1123, and the underscore that some use).
func HostName(text string) bool {
	text = strings.TrimSuffix(text, ".")
	if len(text) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > 63 || !consistsOf(label, hostLetters) || strings.Trim(label, "-") != label {
			return false
		}
		last = label
	}
	return !consistsOf(last, "0123456789") // a name does not end in a number: this is an address with a mistake
}

func consistsOf(text, letters string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !strings.ContainsRune(letters, r) })
}

// decodeSource reads an address that a connection can come from.
func decodeSource(text string, _ *kong.Tag) (netip.Addr, error) {
	address, err := netip.ParseAddr(text)
	if err != nil {
		return address, errors.New("not an address")
	}
	address = address.Unmap()
	if address.IsUnspecified() || address.IsMulticast() {
		return address, errors.New("not an address of one machine")
	}
	return address, nil
}

// decodePrefix reads a network, or an address as a network of one.
func decodePrefix(text string, _ *kong.Tag) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return prefix, errors.New("not a network or an address")
	case prefix.Addr().Is4In6():
		return prefix, errors.New("write an IPv4 network as such")
	case prefix != prefix.Masked():
		return prefix, fmt.Errorf("bits are set behind the prefix, %s would be the network", prefix.Masked())
	}
	return prefix, nil
}

func decodeAdmin(text string, tag *kong.Tag) (AdminAddress, error) {
	if text == "off" {
		return AdminAddress{Off: true}, nil
	}
	if path, ok := strings.CutPrefix(text, unixPrefix); ok {
		return AdminAddress{Path: path}, wrongSocketPath(path)
	}
	address, err := decodeListener(text, tag)
	return AdminAddress{Address: address}, err
}
