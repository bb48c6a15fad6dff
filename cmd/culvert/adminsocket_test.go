//go:build linux

package main

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"culvert/cmd/internal/settings"
)

// socketIn names a socket in a folder of the test's. Paths of sockets are short, those of tests may be long.
func socketIn(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "culvert-socket-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return filepath.Join(folder, "admin.sock")
}

// TestAdminAtASocket: it is for this user alone, commands reach it, and it goes with the proxy.
func TestAdminAtASocket(t *testing.T) {
	path := socketIn(t)
	before := syscall.Umask(0)
	keeper := newFakeKeeper()
	a := fakeAdmin(t, settings.AdminAddress{Path: path}, "", keeper)
	if now := syscall.Umask(before); now != 0 {
		t.Errorf("the mask of the process is %04o afterwards", now)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if got := runCommand(t, a, "drain", "unix:/run/a.sock"); got.status != exitOK || keeper.taken() == "" {
		t.Errorf("%+v", got)
	}
	_, err = bindAdmin(settings.AdminAddress{Path: path})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "somebody listens there") {
		t.Errorf("a second one: %v", err)
	}
	a.close(t.Context())
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is left behind: %v", err)
	}
	if got := runCommand(t, a, "list"); got.status != exitFailed || !strings.HasPrefix(got.stderr, "culvert: nobody answers at the admin port unix:"+path) {
		t.Errorf("%+v", got)
	}
}

// TestAStaleSocketIsReplaced: one at which nobody listens; whatever else has the name stays.
func TestAStaleSocketIsReplaced(t *testing.T) {
	path := socketIn(t)
	address := &net.UnixAddr{Name: path, Net: "unix"}
	dead, err := net.ListenUnix("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	a, err := bindAdmin(settings.AdminAddress{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	a.close(t.Context())
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bindAdmin(settings.AdminAddress{Path: path}); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("it was %q, %v", text, err)
	}
	if _, err := bindAdmin(settings.AdminAddress{Path: filepath.Join(path, "x")}); err == nil {
		t.Error("a socket in what is no folder")
	}
}

// TestASocketAndAToken: the whole program, by its commands.
func TestASocketAndAToken(t *testing.T) {
	path, token := socketIn(t), tokenFile(t, theToken)
	at := "unix:" + path
	file := configuration(t, strings.ReplaceAll(answers("first"), "admin: {admin: 127.0.0.1:0}", "admin: {admin: "+quoted(at)+", admin-token-file: "+token+"}"))
	p := start(t, nil, "--config", file)
	p.wantAnswer("first")
	if p.admin() != at {
		t.Errorf("it is told to be at %s", p.admin())
	}
	rewrite(t, file, strings.ReplaceAll(answers("second"), "admin: {admin: 127.0.0.1:0}", "admin: {admin: "+quoted(at)+", admin-token-file: "+token+"}"))
	for _, command := range [][]string{{"reload"}, {"backend", "drain", "127.0.0.1:1"}} {
		r := runToEnd(t, nil, append(command, "--admin", at)...)
		if r.status != exitUsage || r.stderr != "culvert: refused: a token is asked for: Authorization: Bearer TOKEN (--admin-token-file)\n" {
			t.Errorf("%q without a token: %+v", command, r)
		}
	}
	p.wantAnswer("first")
	if r := runToEnd(t, []string{"CULVERT_ADMIN=" + at, "CULVERT_ADMIN_TOKEN_FILE=" + token}, "reload"); r.status != exitOK {
		t.Errorf("with the token: %+v", r)
	}
	p.wantAnswer("second")
	if r := runToEnd(t, nil, "backend", "list", "--admin", at); r.status != exitOK || !strings.HasPrefix(r.stdout, "GROUP") {
		t.Errorf("a list: %+v", r)
	}
	if r := runToEnd(t, nil, "backend", "drain", "nobody:1", "--admin", at, "--admin-token-file", token); r.status != exitUsage || r.stderr != "culvert: refused: backend nobody:1: there is none of that name; culvert backend list has those that there are\n" {
		t.Errorf("a drain of nobody: %+v", r)
	}
	p.signal(syscall.SIGTERM)
	p.wantStatus(exitOK)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func quoted(text string) string { return `"` + text + `"` }
