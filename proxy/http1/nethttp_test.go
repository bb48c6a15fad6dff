package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// One message is read by this package and by net/http, and what differs between the two readings is found. What
// may differ is in differences_test.go.

// aspect is something that two readings of a message can differ in.
type aspect uint8

const (
	accepting  aspect = iota // whether the head is accepted
	completing               // whether the body is read to its end
	starting                 // method and target, or status and phrase; the version
	hosting                  // the host that a request is for
	fielding                 // the values of one header, in their order
	framing                  // how the end of the body is found
	payloading               // the bytes of the body
	trailing                 // the values of one trailer, in their order
	leaving                  // how many bytes are left to the next message
	closing                  // whether the connection lives on
	aspectCount
)

// String returns the aspect as a failing test tells it.
func (a aspect) String() string {
	return [aspectCount]string{"acceptance of the head", "completeness of the body", "start line", "host", "header",
		"framing", "payload", "trailer", "bytes left", "end of the connection"}[a]
}

// finding is one aspect in which the readings differ: of the header or trailer of this name, if it is one.
type finding struct {
	aspect       aspect
	name         string // canonical, as net/http spells it
	ours, theirs string
}

func (f finding) String() string {
	return fmt.Sprintf("%v %s: ours %s, net/http's %s", f.aspect, f.name, f.ours, f.theirs)
}

// reading is as much of one reading as both sides tell in the same way.
type reading struct {
	accepted bool // the head
	whole    bool // the body
	kind     BodyKind
	length   int64
	close    bool
	payload  []byte
	left     int // bytes behind the message
	head     int // bytes of the head
}

// comparison reads messages in both ways, one after the other, and keeps its memory. What it tells is valid until
// the next message.
type comparison struct {
	input   []byte
	answers string // the method of the request that a response answers; "" where the input is a request

	request  RequestHead
	response ResponseHead
	fields   *Fields // of one of these
	refusal  *Error  // of head or body
	passed   []byte  // of the body: what may go to the other side as it is
	ours     reading

	theirRequest  *http.Request
	theirResponse *http.Response
	header        http.Header
	trailer       func() http.Header
	failure       error // of head or body
	theirs        reading

	findings []finding

	source   bytes.Reader
	buffered *bufio.Reader
}

// newComparison returns one that can read chunk lines and trailers as long as any limit here allows.
func newComparison() *comparison {
	return &comparison{buffered: bufio.NewReaderSize(nil, 1<<16)}
}

// read reads the same message in both ways and compares.
func (c *comparison) read(input []byte, answers string) { c.readTwo(input, input, answers) }

// readTwo compares our reading of one message with net/http's of another.
func (c *comparison) readTwo(ours, theirs []byte, answers string) {
	c.input, c.answers = ours, answers
	c.findings = c.findings[:0]
	c.readByUs(ours)
	c.readByNetHTTP(theirs)
	c.compare()
}

// readByUs reads as the proxy does: the head, the framing that it tells, the body.
func (c *comparison) readByUs(input []byte) {
	c.ours = reading{payload: c.ours.payload[:0]}
	c.passed = c.passed[:0]
	side := FromClient
	if c.answers == "" {
		c.request.Reset()
		c.fields = &c.request.Fields
		c.ours.head, c.refusal = c.request.Parse(input, nil)
		c.ours.kind, c.ours.length = c.request.Body()
	} else {
		side = FromBackend
		c.response.Reset()
		c.fields = &c.response.Fields
		c.ours.head, c.refusal = c.response.Parse(input, nil)
		c.ours.kind, c.ours.length = c.response.Body([]byte(c.answers))
	}
	if c.ours.accepted = c.ours.head > 0; !c.ours.accepted {
		return
	}
	c.ours.close = !c.fields.KeepAlive() || c.ours.kind == BodyUntilClose
	body := input[c.ours.head:]
	var used int
	c.passed, used, c.ours.whole, c.refusal = scanAll(c.passed, body, c.ours.kind, c.ours.length, side, false)
	c.ours.left = len(body) - used
	if c.ours.kind != BodyChunked {
		c.ours.payload = append(c.ours.payload, c.passed...)
		return
	}
	c.ours.payload, _, _, _ = scanAll(c.ours.payload, body, c.ours.kind, c.ours.length, side, true)
}

// scanAll appends what a scanner forwards of a body, behind which the stream ends.
func scanAll(dst, body []byte, kind BodyKind, length int64, side Side, plain bool) (out []byte, used int, whole bool, err *Error) {
	var s BodyScanner
	s.Init(kind, length, side, nil)
	if plain {
		s.Dechunk()
	}
	for more := true; more; {
		forward, drop, done, failure := s.Scan(body[used:])
		dst = append(dst, body[used:used+forward]...)
		used += forward + drop
		err = failure
		more = drop > 0 && !done && err == nil
	}
	return dst, used, s.EOF(), err
}

// readByNetHTTP reads the head and then the body to its end.
func (c *comparison) readByNetHTTP(input []byte) {
	c.theirs = reading{payload: c.theirs.payload[:0]}
	c.source.Reset(input)
	c.buffered.Reset(&c.source)
	var body io.Reader
	var length int64
	var codings []string
	if c.answers == "" {
		if c.theirRequest, c.failure = http.ReadRequest(c.buffered); c.failure != nil {
			return
		}
		r := c.theirRequest
		body, length, codings = r.Body, r.ContentLength, r.TransferEncoding
		c.header, c.theirs.close = r.Header, r.Close
		c.trailer = func() http.Header { return r.Trailer }
	} else {
		asked := &http.Request{Method: c.answers}
		if c.theirResponse, c.failure = http.ReadResponse(c.buffered, asked); c.failure != nil {
			return
		}
		r := c.theirResponse
		body, length, codings = r.Body, r.ContentLength, r.TransferEncoding
		c.header, c.theirs.close = r.Header, r.Close
		c.trailer = func() http.Header { return r.Trailer }
	}
	c.theirs.accepted = true
	c.theirs.head = len(input) - c.unread()
	switch {
	case body == http.NoBody:
	case len(codings) > 0:
		c.theirs.kind = BodyChunked
	case length >= 0:
		c.theirs.kind, c.theirs.length = BodyLength, length
	default:
		c.theirs.kind = BodyUntilClose
	}
	c.failure = c.readTheirBody(body)
	c.theirs.whole = c.failure == nil
	c.theirs.left = c.unread()
}

// unread returns how many bytes net/http has not taken.
func (c *comparison) unread() int { return c.buffered.Buffered() + c.source.Len() }

// readTheirBody reads to the end; nil means that it was reached.
func (c *comparison) readTheirBody(body io.Reader) error {
	for {
		if len(c.theirs.payload) == cap(c.theirs.payload) {
			c.theirs.payload = append(c.theirs.payload, 0)[:len(c.theirs.payload)]
		}
		n, err := body.Read(c.theirs.payload[len(c.theirs.payload):cap(c.theirs.payload)])
		c.theirs.payload = c.theirs.payload[:len(c.theirs.payload)+n]
		switch err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}

// found notes a difference.
func (c *comparison) found(a aspect, name string, ours, theirs any) {
	c.findings = append(c.findings, finding{a, name, fmt.Sprintf("%.300q", fmt.Sprint(ours)), fmt.Sprintf("%.300q", fmt.Sprint(theirs))})
}

// compare looks at one aspect after the other, as far as both readings go.
func (c *comparison) compare() {
	if c.ours.accepted != c.theirs.accepted {
		c.found(accepting, "", c.verdict(c.ours.accepted, c.refusal != nil, c.refusal), c.verdict(c.theirs.accepted, true, c.failure))
	}
	if !c.ours.accepted || !c.theirs.accepted {
		return
	}
	if c.answers == "" {
		c.compareRequestLine()
	} else {
		c.compareStatusLine()
	}
	c.compareFields()
	if c.ours.close != c.theirs.close {
		c.found(closing, "", c.ours.close, c.theirs.close)
	}
	if c.ours.kind != c.theirs.kind || c.ours.length != c.theirs.length {
		c.found(framing, "", fmt.Sprint(c.ours.kind, c.ours.length), fmt.Sprint(c.theirs.kind, c.theirs.length))
		return
	}
	c.compareBodies()
}

func (c *comparison) verdict(accepted, refused bool, why any) string {
	switch {
	case accepted:
		return "accepted"
	case refused:
		return fmt.Sprint(why)
	}
	return "incomplete"
}

func (c *comparison) compareRequestLine() {
	ours, theirs := &c.request, c.theirRequest
	if string(ours.Method()) != theirs.Method || string(ours.Target()) != theirs.RequestURI || ours.Version().String() != theirs.Proto {
		c.found(starting, "", fmt.Sprintf("%s %s %v", ours.Method(), ours.Target(), ours.Version()),
			fmt.Sprintf("%s %s %s", theirs.Method, theirs.RequestURI, theirs.Proto))
	}
	if string(ours.Host()) != theirs.Host {
		c.found(hosting, "", string(ours.Host()), theirs.Host)
	}
}

func (c *comparison) compareStatusLine() {
	ours, theirs := &c.response, c.theirResponse
	_, phrase, _ := strings.Cut(theirs.Status, " ")
	if ours.Status() != theirs.StatusCode || ours.Version().String() != theirs.Proto || string(ours.Phrase()) != phrase {
		c.found(starting, "", fmt.Sprintf("%v %d %s", ours.Version(), ours.Status(), ours.Phrase()),
			fmt.Sprintf("%s %d %s", theirs.Proto, theirs.StatusCode, phrase))
	}
}

// compareFields compares the values of each header in their order. The order between headers of different names is
// lost in net/http. Host and Transfer-Encoding are not among its headers: they are compared elsewhere.
func (c *comparison) compareFields() {
	matched := 0
	for i := range c.fields.Len() {
		field := c.fields.At(i)
		if field.ID == FieldTransferEncoding || field.ID == FieldHost && c.answers == "" {
			continue
		}
		name := http.CanonicalHeaderKey(string(field.Name))
		theirs := c.header[name]
		at, count := c.place(i, field.Name)
		if at == 0 {
			matched += len(theirs)
		}
		if at == 0 && count != len(theirs) || count == len(theirs) && theirs[at] != string(field.Value) {
			c.found(fielding, name, fieldValues(c.fields, name), theirs)
		}
	}
	total := 0
	for _, values := range c.header {
		total += len(values)
	}
	if total == matched {
		return
	}
	for name, values := range c.header {
		if _, count := c.fields.Lookup(name); count == 0 {
			c.found(fielding, name, nil, values)
		}
	}
}

// place returns how many headers of this name stand before header i, and how many there are.
func (c *comparison) place(i int, name []byte) (before, count int) {
	for j := range c.fields.Len() {
		if other := c.fields.name(j); len(other) == len(name) && EqualFold(other, name) {
			if count++; j < i {
				before++
			}
		}
	}
	return before, count
}

// compareBodies compares what was read, to the end or as far as it was right.
func (c *comparison) compareBodies() {
	if c.ours.whole != c.theirs.whole {
		c.found(completing, "", c.verdict(c.ours.whole, c.refusal != nil, c.refusal), c.verdict(c.theirs.whole, true, c.failure))
	}
	if both := c.ours.whole && c.theirs.whole; !both {
		n := min(len(c.ours.payload), len(c.theirs.payload))
		if !bytes.Equal(c.ours.payload[:n], c.theirs.payload[:n]) {
			c.found(payloading, "", c.ours.payload, c.theirs.payload)
		}
		return
	}
	if !bytes.Equal(c.ours.payload, c.theirs.payload) {
		c.found(payloading, "", c.ours.payload, c.theirs.payload)
	}
	if c.ours.left != c.theirs.left {
		c.found(leaving, "", c.ours.left, c.theirs.left)
	}
	if c.ours.kind == BodyChunked {
		c.compareTrailers()
	}
}

// compareTrailers compares the trailers that we pass on with those that net/http reads.
func (c *comparison) compareTrailers() {
	section := c.passed[walkChunks(c.passed, nil):]
	theirs := c.trailer()
	if len(section) == len("\r\n") && len(theirs) == 0 {
		return
	}
	ours := http.Header{}
	for line := range strings.SplitSeq(strings.TrimRight(string(section), "\r\n"), "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			ours.Add(name, strings.Trim(value, " \t"))
		}
	}
	for name, values := range theirs {
		if len(values) > 0 && !slices.Equal(values, ours[name]) { // no values: announced only
			c.found(trailing, name, ours[name], values)
		}
	}
	for name, values := range ours {
		if theirs[name] == nil {
			c.found(trailing, name, values, nil)
		}
	}
}

// walkChunks visits each chunk's line of a chunked body, without its end, and returns where its trailers begin; len
// of the body where it has no last chunk. It is lenient: what is wrong is not its affair.
func walkChunks(body []byte, visit func(line []byte, size int)) (trailers int) {
	for at := 0; ; {
		length := bytes.IndexByte(body[at:], '\n')
		if length < 0 {
			return len(body)
		}
		line := bytes.TrimSuffix(body[at:at+length], []byte("\r"))
		size := 0
		for _, c := range line {
			if charClass[c]&charHex == 0 || size > len(body) {
				break
			}
			size = size<<4 | int(hexValue(c))
		}
		if visit != nil {
			visit(line, size)
		}
		if at += length + 1; size == 0 {
			return at
		}
		if at += size + len("\r\n"); at > len(body) {
			return len(body)
		}
	}
}
