package http1

// span is a part of the head: offsets from its first byte. Offsets stay right when the
// bytes move; slices would not.
type span struct{ start, end uint32 }

// field is one header line, as offsets from the head's first byte.
type field struct {
	start, end           uint32 // the whole line, its CRLF included
	valueStart, valueEnd uint32 // the value without white space around it
	nameLength           uint16
	id                   FieldID
	class                Class
}

// Field is one header. Its slices are borrowed: valid as long as the bytes that were
// given to Parse or Rebind.
type Field struct {
	Name  []byte // as it was spelled
	Value []byte // without white space around it
	Line  []byte // the line as it came, with its CRLF
	ID    FieldID
	Class Class
}

// Fields is the header section of a head and what it says about the connection and the
// body. It is embedded in RequestHead and ResponseHead; its accessors are for a head
// that is complete. Owned by its head.
type Fields struct {
	buf    []byte // borrowed at the last Parse or Rebind
	fields []field
	first  [fieldIDCount]uint16 // 1 + the index of the first header of this id

	line    int // offset of the line that is being read
	scanned int // bytes already searched for that line's end
	fault   int // offset of the offending byte

	length        int64 // Content-Length, when given
	options       int   // elements of all Connection headers
	phase         headPhase
	reason        Reason
	version       Version
	chunked       bool
	lengthAsIs    bool // the first Content-Length is already one plain number
	optionClose   bool
	optionKeep    bool
	optionNames   bool // Connection lists something that may be a header's name
	optionUpgrade bool
}

// reset forgets the head and keeps the memory for the next.
func (f *Fields) reset() {
	*f = Fields{fields: f.fields[:0]}
}

// Rebind says that the bytes of the head are now in buf, at the same offsets. Accessors
// borrow from buf from now on. buf must hold at least the head.
func (f *Fields) Rebind(buf []byte) { f.buf = buf }

// Len returns the number of header lines.
func (f *Fields) Len() int { return len(f.fields) }

// At returns the header at index i, 0 to Len()-1, in the order they came.
func (f *Fields) At(i int) Field {
	entry := &f.fields[i]
	return Field{
		Name:  f.name(i),
		Value: f.value(i),
		Line:  f.bytes(span{entry.start, entry.end}),
		ID:    entry.id,
		Class: entry.class,
	}
}

// Has reports whether there is a header of this known id.
func (f *Fields) Has(id FieldID) bool { return f.first[id] != 0 }

// First returns the value of the first header of this known id, nil when there is none.
func (f *Fields) First(id FieldID) []byte {
	if f.first[id] == 0 {
		return nil
	}
	return f.value(int(f.first[id]) - 1)
}

// Count returns how many header lines have this known id.
func (f *Fields) Count(id FieldID) int {
	if f.first[id] == 0 {
		return 0
	}
	count := 0
	for i := int(f.first[id]) - 1; i < len(f.fields); i++ {
		if f.fields[i].id == id {
			count++
		}
	}
	return count
}

// Lookup returns the value of the first header with this name, in any case, and how many
// there are. It compares with every header: for a known one, First is faster.
func (f *Fields) Lookup(name string) (value []byte, count int) {
	for i := range f.fields {
		if int(f.fields[i].nameLength) != len(name) || !EqualFold(f.name(i), name) {
			continue
		}
		if count == 0 {
			value = f.value(i)
		}
		count++
	}
	return value, count
}

// HasToken reports whether any header of this known id lists the token, in any case.
func (f *Fields) HasToken(id FieldID, token string) bool {
	elements := f.Elements(id)
	for {
		element, ok := elements.Next()
		if !ok {
			return false
		}
		if EqualFold(element, token) {
			return true
		}
	}
}

// Elements walks the list elements of all headers of this known id, as if their lines
// were one (RFC 9110 5.3). Elements must not hold quoted strings.
func (f *Fields) Elements(id FieldID) ElementWalk {
	return ElementWalk{fields: f, next: int(f.first[id]) - 1, id: id}
}

// ElementWalk is a position in the elements of a header that may have several lines. It
// borrows from the head.
type ElementWalk struct {
	fields *Fields
	list   TokenList
	next   int // the next line to look at, -1 when there is none
	id     FieldID
}

// Next returns the next element that is not empty; ok is false after the last.
func (w *ElementWalk) Next() (element []byte, ok bool) {
	for {
		if element, ok = w.list.Next(); ok {
			return element, true
		}
		if w.next < 0 || w.next >= len(w.fields.fields) {
			return nil, false
		}
		if w.fields.fields[w.next].id == w.id {
			w.list = List(w.fields.value(w.next))
		}
		w.next++
	}
}

// Version returns the version that the head's sender speaks.
func (f *Fields) Version() Version { return f.version }

// KeepAlive reports whether the sender lets the connection live on after this message
// (RFC 9112 9.3). A response without a framed body ends it all the same.
func (f *Fields) KeepAlive() bool {
	return !f.optionClose && (f.version == HTTP11 || f.optionKeep)
}

// WantsUpgrade reports whether Connection has the upgrade option, Upgrade is there, and
// the version is HTTP/1.1 (RFC 9110 7.8: an HTTP/1.0 Upgrade must be ignored).
func (f *Fields) WantsUpgrade() bool {
	return f.optionUpgrade && f.version == HTTP11 && f.Has(FieldUpgrade)
}

// ContentLength returns the declared length of the body in bytes; ok is false when the
// head declares none.
func (f *Fields) ContentLength() (length int64, ok bool) {
	return f.length, f.Has(FieldContentLength)
}

// Chunked reports whether the body is framed by the chunked transfer coding.
func (f *Fields) Chunked() bool { return f.chunked }

// bytes returns a part of the head that cannot be appended to in place.
func (f *Fields) bytes(s span) []byte { return f.buf[s.start:s.end:s.end] }

func (f *Fields) name(i int) []byte {
	entry := &f.fields[i]
	return f.bytes(span{entry.start, entry.start + uint32(entry.nameLength)})
}

func (f *Fields) value(i int) []byte {
	entry := &f.fields[i]
	return f.bytes(span{entry.valueStart, entry.valueEnd})
}
