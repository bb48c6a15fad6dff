package route

// Match says which requests a rule is for: those for which all of it holds. The zero value matches every request. It is
// a plain value; New copies what it needs of it.
type Match struct {
	// Host is the domain: a name ("app.example.com"), an IPv4 address, an IPv6 address in brackets and in the form of
	// RFC 5952 ("[2001:db8::1]"), or a wildcard ("*.example.com") for every name with one label or more in front of the
	// rest. Empty: any, and none. Compared without regard to case, to the port and to a trailing dot. At most 253 bytes.
	Host string

	// Path is a prefix of whole segments: "/api" matches /api, /api/ and /api/x, not /apix; "/api/" matches what is
	// below only. Empty or "/": any. It is compared after Normalize on both sides, with case. It may hold UTF-8, which
	// requests spell percent-encoded.
	Path string

	// Methods are those of which the request has one, with case (RFC 9110 9.1). Empty: any. GET does not include HEAD.
	Methods []string

	Headers []Condition // on the lines of the head; all must hold
	Cookies []Condition // on the pairs of all Cookie lines (RFC 6265 4.2.1); all must hold
	Query   []Condition // on the pairs between '&' behind the first '?'; all must hold

	// Upgrade says whether the request must be an upgrade to WebSocket, or must not be.
	Upgrade UpgradeMatch

	// Subprotocols are those of which the request offers one in Sec-WebSocket-Protocol (RFC 6455 11.3.4), with case;
	// that it is an upgrade is implied. Empty: any, and none.
	Subprotocols []string
}

// Condition asks for one header, cookie or query parameter. Names of headers are compared without case, those of
// cookies and parameters with case; values always with case. Where a name comes several times, any of them may satisfy
// the condition, and Absent asks that there is none.
//
// The value of a header is a whole line's, without the white space around it, also where it is a list. That of a cookie
// is taken as it came, quotes included. Name and value of a parameter are compared after percent-decoding, in which '+'
// is a space and a '%' without two hexadecimal digits stands for itself; a parameter or a cookie without '=' has an
// empty value.
type Condition struct {
	Name  string
	Value string // empty for Present and Absent
	Op    Op
}

// Op is how a Condition compares.
type Op uint8

// The ways to compare.
const (
	Equal   Op = iota // the value is Value, which may be empty
	Present           // there is one, whatever its value
	Absent            // there is none
	Prefix            // the value begins with Value, which is not empty
)

// String returns a word for errors and logs.
func (o Op) String() string {
	switch o {
	case Equal:
		return "equal"
	case Present:
		return "present"
	case Absent:
		return "absent"
	case Prefix:
		return "prefix"
	}
	return "unknown"
}

// UpgradeMatch is what a rule asks about upgrades to WebSocket.
type UpgradeMatch uint8

// The demands.
const (
	Any          UpgradeMatch = iota // both
	OnlyUpgrades                     // requests that ask for a valid upgrade
	NoUpgrades                       // all others
)

// String returns a word for errors and logs.
func (u UpgradeMatch) String() string {
	switch u {
	case Any:
		return "any"
	case OnlyUpgrades:
		return "only upgrades"
	case NoUpgrades:
		return "no upgrades"
	}
	return "unknown"
}
