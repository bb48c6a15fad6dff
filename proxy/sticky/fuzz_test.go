package sticky

import (
	"bytes"
	"strings"
	"testing"
)

// reference reads a Cookie line as the package comment says, in the plainest way.
func reference(line, name string) (values []string) {
	for part := range strings.SplitSeq(line, ";") {
		key, value, ok := strings.Cut(part, "=")
		if !ok || strings.Trim(key, " \t") != name {
			continue
		}
		value = strings.Trim(value, " \t")
		if len(value) >= 2 && strings.HasPrefix(value, `"`) && strings.HasSuffix(value, `"`) {
			value = value[1 : len(value)-1]
		}
		values = append(values, value)
	}
	return values
}

// FuzzCookieLine: a line has the backend of its first valid token, and no line is changed by being read.
func FuzzCookieLine(f *testing.F) {
	k := keys(f, "1", "2")
	valid := token(f, k, backend, now)
	for _, line := range []string{"", "a=b; SERVERID=@; c", `SERVERID="@"`, "SERVERID=x;SERVERID =\t@ ", "SERVERID=@@", ";=@;==", "a=SERVERID=@"} {
		f.Add([]byte(line))
	}
	n := inserter(f, InsertConfig{}, k)
	f.Fuzz(func(t *testing.T, line []byte) {
		line = bytes.ReplaceAll(line, []byte("@"), []byte(valid))
		before := bytes.Clone(line)
		n.Begin()
		hit, ok := readLine(n, line, now)
		want := false
		values := reference(string(line), DefaultName)
		for _, value := range values {
			want = want || value == valid
		}
		// Where there are many candidates the valid one may be behind the bound.
		if ok && (!want || hit.ID != backend) || !ok && want && len(values) <= candidates {
			t.Fatalf("%q: %+v, %v", line, hit, ok)
		}
		value, ok := Value(line, DefaultName)
		if ok != (len(values) > 0) || ok && string(value) != values[0] {
			t.Fatalf("%q: the value is %q, %v, want the first of %q", line, value, ok, values)
		}
		if !bytes.Equal(line, before) {
			t.Fatalf("%q was changed to %q", before, line)
		}
	})
}

// FuzzRewrite: what an answer's cookie becomes, becomes in a request what it was; and a request's line without its tags is
// what it was but for them.
func FuzzRewrite(f *testing.F) {
	k := keys(f, "1", "2")
	w := rewriter(f, "sid", k)
	tag, _ := w.AppendAnswer(nil, []byte("sid=x"), backend, now)
	tag = tag[len("sid=") : len(tag)-1]
	for _, line := range []string{"", "sid=abc; Path=/", `sid="abc"`, "sid=; Max-Age=0", "a=b; sid=@abc; sid=@", `sid="@"`, "sid=~", " sid\t=\t@@ "} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		line = bytes.ReplaceAll(line, []byte("@"), tag)
		if answer, changed := w.AppendAnswer(nil, line, backend, now); changed {
			w.Begin()
			sent, _, _ := bytes.Cut(answer, []byte(";"))
			got, hit, found := w.AppendRequest(nil, sent, now)
			want, _, _ := bytes.Cut(line, []byte(";"))
			if !found || hit.ID != backend || !bytes.Equal(got, want) {
				t.Fatalf("%q went to the client as %q and came back as %q, %v", line, answer, got, found)
			}
		}
		w.Begin()
		got, _, found := w.AppendRequest(nil, line, now)
		if found != (len(got) > 0) || found && (len(line)-len(got))%len(tag) != 0 {
			t.Fatalf("%q becomes %q, %v", line, got, found)
		}
		values := reference(string(line), "sid")
		tagged := 0
		for _, value := range values {
			if strings.HasPrefix(value, string(tag)) {
				tagged++
			}
		}
		if removed := (len(line) - len(got)) / len(tag); found && removed != min(tagged, candidates) || found != (tagged > 0) && len(values) <= candidates {
			t.Fatalf("%q becomes %q: %d tags were removed of %d", line, got, removed, tagged)
		}
	})
}
