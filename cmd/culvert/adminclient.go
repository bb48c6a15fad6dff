//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"culvert/cmd/internal/configfile"
	"culvert/cmd/internal/settings"
)

const (
	// adminPatience is how long a command waits for the answer of the admin port. For a reload, names may take resolveTimeout.
	adminPatience = resolveTimeout + 10*time.Second
	// adminAnswerBytes bounds the answer that a command reads.
	adminAnswerBytes = 8 << 20
	jsonType         = "application/json"
)

// adminClient asks the admin port of a running proxy.
type adminClient struct {
	address settings.AdminAddress
	token   string // "": none
}

// adminAnswer is what came of it.
type adminAnswer struct {
	status int
	body   []byte
	json   bool // the body is; else it is one line of text
}

// clientFor returns the client for an invocation; the error is a wrong setting.
func clientFor(i *settings.Invocation) (*adminClient, error) {
	c := &adminClient{address: i.Admin}
	if i.AdminTokenFile == "" {
		return c, nil
	}
	token, err := configfile.ReadToken(i.AdminTokenFile)
	if err != nil {
		return nil, i.Wrong("admin-token-file", i.AdminTokenFile, err.Error())
	}
	c.token = token
	return c, nil
}

// ask sends a request, and returns an answer of Culvert's.
func (c *adminClient) ask(method, path string, body []byte) (*adminAnswer, error) {
	address := c.address.Address
	if address.Addr().IsUnspecified() {
		address = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), address.Port())
	}
	host, place := address.String(), address.String()
	transport := &http.Transport{DisableKeepAlives: true} // no proxy: it is this machine
	if c.address.Path != "" {
		host, place = "localhost", c.address.String()
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.address.Path)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set(adminHeader, "1")
	if len(body) > 0 {
		request.Header.Set("Content-Type", jsonType)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("nobody answers at the admin port %s, is the proxy running there (--admin)? %w", place, unwrapped(err))
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, adminAnswerBytes))
	if err != nil {
		return nil, err
	}
	if answer.Header.Get(adminHeader) == "" {
		return nil, fmt.Errorf("the admin port %s answered with %s, not as Culvert does", place, answer.Status)
	}
	return &adminAnswer{status: answer.StatusCode, body: text, json: strings.HasPrefix(answer.Header.Get("Content-Type"), jsonType)}, nil
}

// refusal returns why the proxy did not do what it was asked for; nil: it is in the JSON what came of it.
func (a *adminAnswer) refusal() error {
	if a.json {
		return nil
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(a.body)), "\n")
	return errors.New("refused: " + line)
}

// exit returns the exit status for a refusal: whether another request can help, or only another time.
func (a *adminAnswer) exit() int {
	if a.status >= http.StatusInternalServerError {
		return exitFailed
	}
	return exitUsage
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
