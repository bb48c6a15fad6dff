package settings

import (
	"net/netip"

	"github.com/alecthomas/kong"
)

// A Layer is what a configuration file says about settings: a flag or a variable overrides it, it overrides a default.
// nil is an empty one.
type Layer struct {
	// Values are by flag.
	Values map[string]LayerValue
	// Site is the place ("file:line:column") where the file says what is served; "": it does not, flags do.
	Site string
	// Listen are the addresses that it says are listened on.
	Listen []netip.AddrPort
}

// LayerValue is the value of one setting: one text, or any number where the setting is a list.
type LayerValue struct {
	Items []string
	// Place is "file:line:column".
	Place string
}

func (l *Layer) lookUp(flag string) (LayerValue, bool) {
	if l == nil {
		return LayerValue{}, false
	}
	value, ok := l.Values[flag]
	return value, ok
}

func (l *Layer) hasSite() bool { return l != nil && l.Site != "" }

// Validate implements kong.Resolver.
func (l *Layer) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver.
func (l *Layer) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if value, ok := l.lookUp(flag.Name); ok {
		return value, nil
	}
	return nil, nil
}
