//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"culvert/cmd/internal/settings"
)

// reloadPath is where the admin port is asked for a reload.
const reloadPath = "/reload"

// serveOn adds the reload to what the admin port serves.
func (r *reloader) serveOn(mux *http.ServeMux, d *doorkeeper) {
	mux.HandleFunc("POST "+reloadPath, d.acting(func(w http.ResponseWriter, request *http.Request) {
		// Not the request's context: whoever asked may leave, the reload goes on.
		report := r.reload(context.WithoutCancel(request.Context()), "admin")
		w.Header().Set("Content-Type", jsonType)
		switch {
		case report.wrong:
			w.WriteHeader(http.StatusUnprocessableEntity)
		case len(report.Problems) > 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(report)
	}))
}

// askReload is the command reload: it asks a running proxy and says what came of it.
func askReload(i *settings.Invocation, stdout, stderr io.Writer) int {
	client, err := clientFor(i)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "culvert: %v\n", err)
		return exitUsage
	}
	report, status, err := client.reload()
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "culvert: %v\n", err)
		return status
	}
	for _, line := range report.Warnings {
		_, _ = fmt.Fprintf(stderr, "warning: %s\n", line)
	}
	for _, line := range report.Problems {
		_, _ = fmt.Fprintln(stderr, line)
	}
	for _, name := range report.NeedsRestart {
		_, _ = fmt.Fprintf(stderr, "warning: %s has changed, which counts at the next start only\n", name)
	}
	if len(report.Problems) > 0 {
		_, _ = fmt.Fprintln(stderr, "culvert: not reloaded: the old configuration stays")
		if report.wrong {
			return exitUsage
		}
		return exitFailed
	}
	_, _ = fmt.Fprintf(stdout, "reloaded: %s, %s, %s\n", counted(report.Listeners, "listener"), counted(report.Groups, "group"), counted(report.Rules, "rule"))
	return exitOK
}

// reload asks for one. Where the proxy refuses to begin with it, the exit status says what can help.
func (c *adminClient) reload() (*reloadReport, int, error) {
	answer, err := c.ask(http.MethodPost, reloadPath, nil)
	if err != nil {
		return nil, exitFailed, err
	}
	if err := answer.refusal(); err != nil {
		return nil, answer.exit(), err
	}
	report := &reloadReport{wrong: answer.status == http.StatusUnprocessableEntity}
	if err := json.Unmarshal(answer.body, report); err != nil {
		return nil, exitFailed, fmt.Errorf("the answer cannot be read: %w", err)
	}
	return report, exitOK, nil
}
