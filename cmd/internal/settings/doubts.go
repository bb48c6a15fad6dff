package settings

import "fmt"

// A Doubt is about two settings that are allowed together and yet will surprise.
type Doubt struct {
	// Flag is the one of both that a configuration file says, if any does; Place is where.
	Flag, Place string
	// Message names both: keys of the file, or flags.
	Message string
}

// String returns one line.
func (d Doubt) String() string {
	if d.Place != "" {
		return d.Place + ": " + d.Message
	}
	return d.Message
}

// The messages: of the greater and the smaller setting.
const (
	connectDoubt     = "%s is more than %s: behind a server that does not answer no other one is tried"
	requestLineDoubt = "%s is more than %s, which bounds the first line too"
)

// ConnectDoubt returns what is to be doubted where one attempt to connect may take longer than all; "": nothing.
func ConnectDoubt(s *Settings) string {
	if s.Timeouts.Connect <= s.Timeouts.ConnectTotal {
		return ""
	}
	return fmt.Sprintf(connectDoubt, "connect-timeout", "connect-total-timeout")
}

// Doubts returns what is to be doubted of the settings as they count.
func (i *Invocation) Doubts() []Doubt {
	if i.Settings == nil {
		return nil
	}
	var doubts []Doubt
	if ConnectDoubt(i.Settings) != "" {
		doubts = append(doubts, i.doubt(connectDoubt, "connect-timeout", "connect-total-timeout"))
	}
	if h := &i.Settings.HTTP; h.MaxRequestLine > h.MaxHead {
		doubts = append(doubts, i.doubt(requestLineDoubt, "max-request-line", "max-head"))
	}
	return doubts
}

func (i *Invocation) doubt(message, greater, smaller string) Doubt {
	for _, flag := range []string{greater, smaller} {
		if place := i.origins[flag].place; place != "" {
			return Doubt{Flag: flag, Place: place, Message: fmt.Sprintf(message, greater, smaller)}
		}
	}
	return Doubt{Message: fmt.Sprintf(message, "--"+greater, "--"+smaller)}
}

// SiteInFile reports whether the configuration file says what is served.
func (i *Invocation) SiteInFile() bool { return i.layer.hasSite() }
