//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
)

// askBackend is the commands for backends: it asks a running proxy and says what came of it.
func askBackend(i *settings.Invocation, stdout, stderr io.Writer) int {
	client, err := clientFor(i)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "culvert: %v\n", err)
		return exitUsage
	}
	method, path, body := requestOf(i)
	answer, err := client.ask(method, path, body)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "culvert: %v\n", err)
		return exitFailed
	}
	if err := answer.refusal(); err != nil {
		_, _ = fmt.Fprintf(stderr, "culvert: %v\n", err)
		return answer.exit()
	}
	if i.Command == settings.BackendList {
		err = printBackends(i, answer.body, stdout)
	} else {
		err = printBackend(i, answer.body, stdout)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "culvert: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// requestOf returns what the admin port is asked.
func requestOf(i *settings.Invocation) (method, path string, body []byte) {
	o := order{"name": i.Order.Name}
	if i.Order.Group != "" {
		o["group"] = i.Order.Group
	}
	switch i.Command {
	case settings.BackendList:
		return http.MethodGet, backendsPath, nil
	case settings.BackendDrain:
		path = "/drain"
		if i.Order.For > 0 {
			o["for"] = settings.DurationText(i.Order.For)
		}
	case settings.BackendUndrain:
		path = "/undrain"
	case settings.BackendWeight:
		path, o["weight"] = "/weight", strconv.Itoa(int(i.Order.Weight))
		if i.Order.Weight == settings.Configured {
			o["weight"] = "configured"
		}
	}
	body, _ = json.Marshal(o) // texts always can be
	return http.MethodPost, backendsPath + path, body
}

// printBackends prints a list, as a table or as JSON.
func printBackends(i *settings.Invocation, body []byte, stdout io.Writer) error {
	var all []proxy.BackendStatus
	if err := json.Unmarshal(body, &all); err != nil {
		return fmt.Errorf("the answer cannot be read: %w", err)
	}
	if group := i.Order.Group; group != "" {
		all = slices.DeleteFunc(all, func(b proxy.BackendStatus) bool { return b.Group != group })
	}
	if i.JSON {
		return json.NewEncoder(stdout).Encode(all)
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "GROUP\tBACKEND\tADDRESS\tWEIGHT\tCONNECTIONS\tSTATUS\tSINCE")
	for n := range all {
		b := &all[n]
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", b.Group, b.Name, b.Address, weightOf(b), connectionsOf(b), statusOf(b), sinceText(b.Since))
	}
	return table.Flush()
}

// printBackend prints what became of one, as a line or as JSON.
func printBackend(i *settings.Invocation, body []byte, stdout io.Writer) error {
	var b proxy.BackendStatus
	if err := json.Unmarshal(body, &b); err != nil {
		return fmt.Errorf("the answer cannot be read: %w", err)
	}
	if i.JSON {
		return json.NewEncoder(stdout).Encode(b)
	}
	_, err := fmt.Fprintf(stdout, "%s of group %s: %s, weight %s, %s\n", b.Name, b.Group, statusOf(&b), weightOf(&b), counted(int(b.Connections), "connection"))
	return err
}

// weightOf tells the weight that counts, and of what it is another one.
func weightOf(b *proxy.BackendStatus) string {
	text := strconv.Itoa(b.Weight)
	if b.Weight != b.Configured {
		text += fmt.Sprintf(" (configured %d)", b.Configured)
	}
	if b.Share > 0 && b.Share < 100 {
		text += fmt.Sprintf(" at %d%%", b.Share)
	}
	return text
}

// connectionsOf tells how many connections it has, and of how many that it may have.
func connectionsOf(b *proxy.BackendStatus) string {
	if b.MaxConnections > 0 {
		return fmt.Sprintf("%d of %d", b.Connections, b.MaxConnections)
	}
	return strconv.FormatInt(b.Connections, 10)
}

// statusOf tells how it stands, and why.
func statusOf(b *proxy.BackendStatus) string {
	parts := []string{b.Status}
	switch {
	case b.Priority == 1:
		parts = append(parts, "secondary")
	case b.Priority > 1:
		parts = append(parts, "priority "+strconv.Itoa(b.Priority))
	}
	if b.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting", b.Waiting))
	}
	text := strings.Join(parts, ", ")
	if b.Reason != "" {
		text += ": " + printable(b.Reason)
	}
	return text
}

// sinceText writes seconds as whole ones.
func sinceText(seconds float64) string {
	if seconds < 1 {
		return "0s"
	}
	return settings.DurationText(time.Duration(seconds * float64(time.Second)).Truncate(time.Second))
}

// printable makes one line of a text that others wrote.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
