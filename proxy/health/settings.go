package health

import (
	"errors"
	"fmt"

	"culvert/proxy/http1"
)

const (
	millisecond = int64(1e6)
	second      = int64(1e9)
)

// The ranges of settings, those of durations in nanoseconds.
const (
	MinInterval, MaxInterval   = 1 * second, 50 * second
	MinTimeout, MaxTimeout     = 1 * second, 300 * second
	MinThreshold, MaxThreshold = 2, 10
	MaxPath                    = 1024 // bytes
)

// Kind is what a check does.
type Kind uint8

const (
	// HTTP sends a request and looks at the answer's status.
	HTTP Kind = iota
	// TCP connects, and sends nothing.
	TCP
	// WebSocket opens a tunnel, sends a ping, waits for its pong, and closes.
	WebSocket
)

// String returns the kind's word in settings: "http", "tcp" or "websocket".
func (k Kind) String() string {
	switch k {
	case HTTP:
		return "http"
	case TCP:
		return "tcp"
	case WebSocket:
		return "websocket"
	}
	return "unknown"
}

// Classes are classes of status codes: a set of the bits below.
type Classes uint8

// The classes that can be selected. A 1xx is no answer.
const (
	Class2xx Classes = 1 << iota
	Class3xx
	Class4xx
	Class5xx

	allClasses = Class2xx | Class3xx | Class4xx | Class5xx
)

// Has reports whether a status, 100 to 599, is of one of the classes.
func (c Classes) Has(status int) bool {
	class := status / 100
	return class >= 2 && class <= 5 && c&(1<<(class-2)) != 0
}

// Settings say how a group's members are checked. Immutable while a Checker or a Probe works with them.
type Settings struct {
	Kind Kind
	// Interval is the time from the beginning of one check to that of the next, give or take a tenth; a check that takes
	// longer is followed by the next at once. 1 to 50 s.
	Interval int64
	// Timeout is how long a check may take, connecting included. 1 to 300 s.
	Timeout int64
	// Healthy good results in a row bring a member back that is down; Unhealthy bad ones in a row take down one that is
	// up. 2 to 10.
	Healthy, Unhealthy int
	// Method is HEAD or GET, of an HTTP check. Path is the target of HTTP and WebSocket checks: it begins with '/'.
	Method, Path string
	// Host is what checks say in their Host header. Empty: the authority of what is connected to.
	Host string
	// Good are the classes of an HTTP check's good answers, at least one.
	Good Classes
	// Port is connected to in place of the member's own. 0: the member's own.
	Port uint16
}

// DefaultSettings returns a check by HEAD of "/" every 2 s, for which 2xx and 3xx are good.
func DefaultSettings() Settings {
	return Settings{
		Kind: HTTP, Interval: 2 * second, Timeout: 5 * second, Healthy: 3, Unhealthy: 3,
		Method: "HEAD", Path: "/", Good: Class2xx | Class3xx,
	}
}

// Validate reports the first field that is out of its range.
func (s *Settings) Validate() error {
	if s.Kind > WebSocket {
		return errors.New("the kind of a check is http, tcp or websocket")
	}
	if err := within("interval", s.Interval, MinInterval, MaxInterval); err != nil {
		return err
	}
	if err := within("timeout", s.Timeout, MinTimeout, MaxTimeout); err != nil {
		return err
	}
	for _, threshold := range [...]int{s.Healthy, s.Unhealthy} {
		if threshold < MinThreshold || threshold > MaxThreshold {
			return fmt.Errorf("thresholds are %d to %d, not %d", MinThreshold, MaxThreshold, threshold)
		}
	}
	if s.Kind == TCP {
		return nil
	}
	return s.validateRequest()
}

// validateRequest judges what is written into a request: nothing may end a line early.
func (s *Settings) validateRequest() error {
	if s.Path == "" || s.Path[0] != '/' || len(s.Path) > MaxPath || !visible(s.Path) {
		return fmt.Errorf("a path begins with / and has at most %d visible ASCII characters", MaxPath)
	}
	if len(s.Host) > 255 || !visible(s.Host) {
		return errors.New("a host has at most 255 visible ASCII characters")
	}
	if s.Kind == WebSocket {
		return nil
	}
	if s.Method != "HEAD" && s.Method != "GET" {
		return errors.New("the method of a check is HEAD or GET")
	}
	if s.Good == 0 || s.Good&^allClasses != 0 {
		return errors.New("good answers are one or more of 2xx, 3xx, 4xx and 5xx")
	}
	return nil
}

// within reports a duration that is out of its range.
func within(what string, value, least, most int64) error {
	if value < least || value > most {
		return fmt.Errorf("%s: %d ms is out of its range, %d to %d s", what, value/millisecond, least/second, most/second)
	}
	return nil
}

// visible reports whether all of s is visible ASCII.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// answerLimits bound the head that a check reads. Never written to.
var answerLimits = func() http1.Limits {
	limits := http1.DefaultLimits()
	limits.MaxHeadBytes = MaxAnswerHead
	return limits
}()
