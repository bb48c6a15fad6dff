package proxy

import (
	"net/netip"
	"strings"
	"time"

	"culvert/engine"
	"culvert/proxy/http1"
)

// Bounds on what of a request's text is kept for the access log, in bytes. What is longer is cut and marked.
const (
	maxLoggedField = 1024
	maxTunnelText  = 256 // of host and URI each, for the line at a tunnel's end
)

// record is what the access log says of one exchange besides its outcome. It outlives the buffers of the request.
type record struct {
	id        uint64
	peer      netip.AddrPort // who is connected
	client    netip.Addr     // on whose behalf, by trust
	listener  netip.AddrPort
	accepted  int64 // Monotonic ns, as all times here; 0: did not happen
	headDone  int64
	dialed    int64         // the backend's connection stood
	answered  int64         // the head of the answer was whole
	received  int           // bytes of the request, head and body
	sent      uint64        // bytes of the answer's body that were relayed, or of a rule's own
	version   http1.Version // 0: unknown
	status    int           // what the client was answered; 0: nothing
	upstream  int           // status that the backend gave; 0: none
	tries     int           // backends dialed
	waited    int64         // for a backend with a free place, from headDone on
	backend   *backend
	name      string        // the listener's, if it has one besides its address
	rule      string        // the name of the rule that it was for; empty: none
	secure    bool          // the client has come over TLS, to us or to a trusted proxy in front of us
	transport *tlsTransport // of the client's connection; nil: plain
	detail    string        // what exactly was wrong, a stable token
	text      []byte        // method, host, URI, user agent, referer, X-Forwarded-For; ends are in cuts
	cuts      [recordTexts]uint16
}

// The texts of a record, in their order.
const (
	textMethod = iota
	textHost
	textURI
	textUserAgent
	textReferer
	textForwardedFor
	recordTexts
)

// reset makes a record ready for another exchange; it keeps its memory.
func (r *record) reset() { *r = record{text: r.text[:0]} }

// note copies the texts out of a request's head, or of what there is of it.
func (r *record) note(head *http1.RequestHead, query bool) {
	uri := head.Target()
	if !query {
		uri = withoutQuery(uri)
	}
	r.version = head.Version()
	r.text = r.text[:0]
	for i, value := range [recordTexts][]byte{
		head.Method(), head.Host(), uri, head.First(http1.FieldUserAgent), head.First(http1.FieldReferer),
		head.First(http1.FieldXForwardedFor),
	} {
		if i == textReferer && !query {
			value = withoutQuery(value)
		}
		r.text = append(r.text, value[:min(len(value), maxLoggedField)]...)
		r.cuts[i] = uint16(len(r.text))
	}
}

// withoutQuery cuts a URI at its query: a page's address may carry the same token as the request.
func withoutQuery(uri []byte) []byte {
	for i, c := range uri {
		if c == '?' || c == '#' {
			return uri[:i]
		}
	}
	return uri
}

func (r *record) textAt(i int) []byte {
	if len(r.text) == 0 {
		return nil
	}
	begin := uint16(0)
	if i > 0 {
		begin = r.cuts[i-1]
	}
	return r.text[begin:r.cuts[i]]
}

// tunnelRecord is what of a record a live tunnel keeps: small, for there may be a million.
type tunnelRecord struct {
	id      uint64
	client  netip.Addr
	opened  int64 // Monotonic ns
	backend *backend
	text    string // host, a space, which neither has in it (RFC 9112 section 3), URI

	counted     netip.Addr  // what the per-client bound counts the client as; not valid: nothing
	outliers    uint8       // how many failures in a row eject its backend; 0: none do
	closedFirst engine.Side // who sent the first close frame; SideNone: nobody did
}

// forTunnel returns what the tunnel keeps. counted is what the per-client bound counts its client as.
func (r *record) forTunnel(now int64, counted netip.Addr) *tunnelRecord {
	host, uri := r.textAt(textHost), r.textAt(textURI)
	host, uri = host[:min(len(host), maxTunnelText)], uri[:min(len(uri), maxTunnelText)]
	return &tunnelRecord{id: r.id, client: r.client, opened: now, backend: r.backend, text: string(host) + " " + string(uri), counted: counted, closedFirst: engine.SideNone}
}

func (t *tunnelRecord) host() string {
	host, _, _ := strings.Cut(t.text, " ")
	return host
}

func (t *tunnelRecord) uri() string {
	_, uri, _ := strings.Cut(t.text, " ")
	return uri
}

// millis returns the time between two Monotonic values in milliseconds, 0 when the first did not happen.
func millis(from, to int64) float64 {
	if from == 0 || to < from {
		return 0
	}
	return float64((to-from)/int64(time.Microsecond)) / 1000
}

// appendID spells an exchange's id as the log does: 16 hexadecimal digits.
func appendID(dst []byte, id uint64) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[id>>shift&15])
	}
	return dst
}

// logTime is how the access log spells times.
const logTime = "2006-01-02T15:04:05.000Z07:00"

func appendLogTime(dst []byte, now int64) []byte {
	return engine.WallTime(now).AppendFormat(dst, logTime)
}
