//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"time"

	"culvert/cmd/internal/settings"
)

const (
	// reloadPath is where the admin port is asked for a reload.
	reloadPath = "/reload"
	// reloadHeader must come with it: a page in a browser cannot send it without being asked first (CORS). The answer
	// has it too, so that the command does not take another server's for it.
	reloadHeader = "Culvert-Reload"
	// reloadPatience is how long the command waits for the answer. Names may take resolveTimeout.
	reloadPatience = resolveTimeout + 10*time.Second
	// reloadAnswerBytes bounds the answer that the command reads.
	reloadAnswerBytes = 8 << 20
)

// withReload adds the reload to what the admin port serves. Only this machine may ask for it.
func withReload(next http.Handler, r *reloader) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	mux.HandleFunc("POST "+reloadPath, func(w http.ResponseWriter, request *http.Request) {
		peer, err := netip.ParseAddrPort(request.RemoteAddr)
		// A Host that is a name is that of a page which hides our address behind it, also where all may read the port.
		if err != nil || !peer.Addr().Unmap().IsLoopback() || !localHost(request.Host) || request.Header.Get(reloadHeader) == "" {
			http.Error(w, "a reload is asked for from this machine, by culvert reload", http.StatusForbidden)
			return
		}
		// Not the request's context: whoever asked may leave, the reload goes on.
		report := r.reload(context.WithoutCancel(request.Context()), "admin")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set(reloadHeader, "1")
		switch {
		case report.wrong:
			w.WriteHeader(http.StatusUnprocessableEntity)
		case len(report.Problems) > 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(report)
	})
	return mux
}

// askReload is the command reload: it asks a running proxy and says what came of it.
func askReload(i *settings.Invocation, stdout, stderr io.Writer) int {
	if i.Admin.Off {
		_, _ = fmt.Fprintln(stderr, "culvert: --admin off: a reload is asked for at the admin port; give its address, or send the process a HUP")
		return exitUsage
	}
	report, err := requestReload(i.Admin.Address)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "culvert: %v\n", err)
		return exitFailed
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

// requestReload asks the admin port at an address.
func requestReload(address netip.AddrPort) (*reloadReport, error) {
	if address.Addr().IsUnspecified() {
		address = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), address.Port())
	}
	ctx, cancel := context.WithTimeout(context.Background(), reloadPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address.String()+reloadPath, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set(reloadHeader, "1")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: it is this machine
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("nobody answers at the admin port %s, is the proxy running there (--admin)? %w", address, unwrapped(err))
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, reloadAnswerBytes))
	if err != nil {
		return nil, err
	}
	report := &reloadReport{wrong: answer.StatusCode == http.StatusUnprocessableEntity}
	if err := json.Unmarshal(body, report); err != nil || answer.Header.Get(reloadHeader) == "" {
		return nil, fmt.Errorf("the admin port %s answered with %s, not as Culvert does", address, answer.Status)
	}
	return report, nil
}

// unwrapped leaves out the address, which the reader has just been told.
func unwrapped(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		if _, isErrno := err.(*os.SyscallError); isErrno {
			return err
		}
		err = inner.Unwrap()
	}
}
