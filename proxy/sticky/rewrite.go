package sticky

// separator stands between a tag and the value of the backend.
const separator = '~'

// Rewriter puts tags into a cookie of the backend's own and takes them off. Owned by a loop.
type Rewriter struct {
	*sealer
	name string
}

// NewRewriter returns a Rewriter for the cookie of this name, 1 to MaxNameLength characters.
func NewRewriter(name string, keys *Keys) (*Rewriter, error) {
	if err := validateName(name); err != nil {
		return nil, err
	}
	if len(keys.rewrite) == 0 {
		return nil, errNoKey
	}
	return &Rewriter{newSealer(keys.rewrite), name}, nil
}

// AppendAnswer takes the value of a Set-Cookie line. If it sets the cookie, it appends the value with a tag for the
// backend of an identity, and changed is true; else nothing. A cookie without a value, as it is set to be removed, stays
// as it is. Now is in seconds since 1970.
func (w *Rewriter) AppendAnswer(dst, line []byte, id uint64, now int64) (out []byte, changed bool) {
	p, _, ok := nextPair(line, 0)
	if !ok || !p.named(line, w.name) || p.start == p.end {
		return dst, false
	}
	dst = append(dst, line[:p.start]...)
	dst = append(w.append(dst, id, now), separator)
	return append(dst, line[p.start:]...), true
}

// AppendRequest implements Reader. It takes off tags, which hold as long as the backend's cookie does. What looks like a
// tag and is not valid stays: it is the backend's, or of a key that is gone.
func (w *Rewriter) AppendRequest(dst, line []byte, _ int64) (out []byte, hit Hit, found bool) {
	copied := 0 // of the line, up to here
	for p, next, more := nextPair(line, 0); more; p, next, more = nextPair(line, next) {
		behind := p.start + TokenLength
		if !p.named(line, w.name) || behind >= p.end || line[behind] != separator {
			continue
		}
		one, ok := w.open(line[p.start:behind])
		if !ok {
			continue
		}
		if !found {
			hit, found = one, true
		}
		dst = append(dst, line[copied:p.start]...)
		copied = behind + 1
	}
	if !found {
		return dst, Hit{}, false
	}
	return append(dst, line[copied:]...), hit, true
}
