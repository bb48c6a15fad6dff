package route

import (
	"strings"
	"testing"

	"culvert/proxy/http1"
)

// parseHead parses a request's head, written with '¶' for CRLF.
func parseHead(t testing.TB, input string) *http1.RequestHead {
	t.Helper()
	limits := http1.DefaultLimits()
	limits.MaxStartLineBytes, limits.MaxHeadBytes = 32<<10, 64<<10
	bytes := []byte(strings.ReplaceAll(input, "¶", "\r\n"))
	head := new(http1.RequestHead)
	if n, err := head.Parse(bytes, &limits); err != nil || n != len(bytes) {
		t.Fatalf("head %.200q: %d, %v", input, n, err)
	}
	return head
}

// request builds the head of a GET with further lines, each ended by '¶'.
func request(t testing.TB, host, target, lines string) *http1.RequestHead {
	t.Helper()
	return parseHead(t, "GET "+target+" HTTP/1.1¶Host: "+host+"¶"+lines+"¶")
}

func newTable(t testing.TB, matches ...Match) *Table {
	t.Helper()
	table, err := New(matches)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// The indexes that tests want where no rule matches.
const (
	noMatch       = -1
	defaultAnswer = -2
)

// found writes Find's answer as one number.
func found(table *Table, head *http1.RequestHead, isUpgrade bool) int {
	var scratch Scratch
	index, result := table.Find(head, isUpgrade, &scratch)
	switch {
	case result == Matched:
		return index
	case index != -1:
		panic("an index without a match")
	case result == NoMatch:
		return noMatch
	}
	return defaultAnswer
}
