package http1

// forwardedPrefixes are the beginnings that IsForwarded looks for, with '-' as the only
// separator.
var forwardedPrefixes = [...]string{
	"x-forwarded",
	"x-real-ip",
	"x-client-cert",
	"x-ssl-",
	"ssl-client",
	"slb-",
	"client-cert", // RFC 9440
	"forwarded",
}

// IsForwarded reports whether a header claims who the client is, how it came, or which
// certificate it showed: its name begins with X-Forwarded, Forwarded, X-Real-IP, SLB-,
// X-Client-Cert, Client-Cert, SSL-Client or X-SSL-, in any case. A server that maps names
// to variables (CGI, RFC 3875 4.1.18) cannot tell '_' from '-', some not '.' either; so
// every byte that is neither letter nor digit counts as '-' here.
func IsForwarded(name []byte) bool {
	if len(name) == 0 {
		return false
	}
	switch lowerByte[name[0]] {
	case 'x', 's', 'c', 'f':
	default:
		return false
	}
	for _, prefix := range forwardedPrefixes {
		if hasSeparatorFoldedPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// hasSeparatorFoldedPrefix compares like a CGI server: letters in any case, everything
// that is no letter or digit as '-'.
func hasSeparatorFoldedPrefix(name []byte, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := lowerByte[name[i]]
		if charClass[c]&charAlnum == 0 {
			c = '-'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}

// classify returns the id and the classes that follow from a header's name alone.
func classify(name []byte) (FieldID, Class) {
	id := LookupField(name)
	if id != FieldOther {
		return id, knownNames[id].class
	}
	if IsForwarded(name) {
		return FieldOther, ClassForwarded | classNoTrailer
	}
	return FieldOther, 0
}

// removable reports whether a Connection header may have a header of this id and class
// removed. The framing, the host, what says who the client is and what a WebSocket
// handshake agrees on are not the sender's to remove: removing them would change what
// the message means, hide its origin, or let the two sides agree on different things.
func removable(id FieldID, class Class) bool {
	return id != FieldHost && id != FieldContentLength && class&(ClassHopByHop|ClassForwarded|ClassWebSocket) == 0
}

// markNamed gives ClassNamed to every header that a Connection header names. It runs
// once, at the end of a head, and only when there is an option that is no known
// header or keyword. Limits.MaxConnectionOptions bounds its work.
func (f *Fields) markNamed() {
	for i := range f.fields {
		if f.fields[i].id != FieldConnection {
			continue
		}
		options := List(f.value(i))
		for {
			option, ok := options.Next()
			if !ok {
				break
			}
			f.markName(option)
		}
	}
}

func (f *Fields) markName(option []byte) {
	for i := range f.fields {
		field := &f.fields[i]
		if int(field.nameLength) == len(option) && removable(field.id, field.class) &&
			EqualFold(f.name(i), option) {
			field.class |= ClassNamed
		}
	}
}
