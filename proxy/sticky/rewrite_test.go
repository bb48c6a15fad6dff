package sticky

import (
	"strings"
	"testing"
)

func TestRewrittenAnswersAndRequests(t *testing.T) {
	k := keys(t, "1")
	w := rewriter(t, "sid", k)
	answer := func(line string) string {
		got, changed := w.AppendAnswer([]byte("<"), []byte(line), backend, now)
		if changed == (string(got) == "<") {
			t.Fatalf("%q: %q, %v", line, got, changed)
		}
		return string(got[1:])
	}
	tag := strings.TrimSuffix(strings.TrimPrefix(answer("sid=x"), "sid="), "x")
	if len(tag) != TokenLength+1 || tag[TokenLength] != '~' {
		t.Fatalf("the tag is %q", tag)
	}
	for line, want := range map[string]string{
		"sid=abc; Path=/; HttpOnly": "sid=" + tag + "abc; Path=/; HttpOnly",
		`sid="a b"; Path=/`:         `sid="` + tag + `a b"; Path=/`,
		" sid = abc ;Path=/":        " sid = " + tag + "abc ;Path=/",
		"sid=a~b=c":                 "sid=" + tag + "a~b=c",
		"sid=" + tag + "inner":      "sid=" + tag + tag + "inner", // of a balancer between us and the backend
		"sid=; Max-Age=0":           "",
		`sid=""; Max-Age=0`:         "",
		"sid":                       "",
		"":                          "",
		"other=1; sid=abc":          "",
		"Sid=abc":                   "",
		"sid2=abc":                  "",
	} {
		if got := answer(line); got != want {
			t.Errorf("answer %q becomes %q, want %q", line, got, want)
		}
	}
	forged := "A" + tag[1:]
	for line, want := range map[string]string{
		"sid=" + tag + "abc":               "sid=abc",
		"a=b; sid=" + tag + "abc; c=d":     "a=b; sid=abc; c=d",
		"a=b;\tsid = \"" + tag + "abc\";c": "a=b;\tsid = \"abc\";c",
		"sid=" + tag + "":                  "sid=",
		"sid=" + tag + tag + "inner":       "sid=" + tag + "inner",
		"sid=" + tag + "1; sid=x; sid=" + forged + "; sid=" + tag + "2": "sid=1; sid=x; sid=" + forged + "; sid=2",
		"sid=abc":                          "",
		"sid=" + forged + "abc":            "",
		"sid=" + tag[:TokenLength] + "abc": "",
		"sid=" + tag[:TokenLength]:         "",
		"other=" + tag + "abc":             "",
		"SID=" + tag + "abc":               "",
		"":                                 "",
	} {
		w.Begin()
		got, hit, found := w.AppendRequest([]byte("<"), []byte(line), now)
		if string(got[1:]) != want || found != (want != "") {
			t.Errorf("request %q becomes %q, %v, want %q", line, got, found, want)
		}
		if found && (hit.ID != backend || hit.Issued != now) {
			t.Errorf("request %q: %+v", line, hit)
		}
	}
}

func TestTheFirstValidTagCounts(t *testing.T) {
	w, other := rewriter(t, "sid", keys(t, "1", "2")), rewriter(t, "sid", keys(t, "3"))
	first, _ := w.AppendAnswer(nil, []byte("sid=1"), 1, now)
	second, _ := rewriter(t, "sid", keys(t, "2")).AppendAnswer(nil, []byte("sid=2"), 2, now)
	foreign, _ := other.AppendAnswer(nil, []byte("sid=3"), 3, now)
	w.Begin()
	line := string(foreign) + "; " + string(second) + "; " + string(first)
	got, hit, found := w.AppendRequest(nil, []byte(line), now)
	if want := string(foreign) + "; sid=2; sid=1"; string(got) != want || !found || hit.ID != 2 {
		t.Errorf("%q becomes %q, %+v, %v", line, got, hit, found)
	}
}
