package main

import (
	"bufio"
	_ "embed"
	"fmt"
	"strings"
)

// expectedText holds the cases that Culvert fails, each with its argument.
//
//go:embed expected.txt
var expectedText string

// loadExpected returns the arguments by the cases' ids.
func loadExpected() (map[string]string, error) { return parseExpected(expectedText) }

// parseExpected reads lines of an id, white space and an argument; "#" begins a comment.
func parseExpected(text string) (map[string]string, error) {
	argued := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, argument, _ := strings.Cut(line, " ")
		argument = strings.TrimSpace(argument)
		if argument == "" {
			return nil, fmt.Errorf("expected.txt:%d: %s has no argument", n, id)
		}
		if argued[id] != "" {
			return nil, fmt.Errorf("expected.txt:%d: %s stands there twice", n, id)
		}
		argued[id] = argument
	}
	return argued, lines.Err()
}
