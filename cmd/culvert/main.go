//go:build linux

// Culvert is a load balancer for WebSocket and HTTP/1.1. `culvert help` says how to use it, `culvert demo` shows it.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"culvert/cmd/internal/configfile"
	"culvert/cmd/internal/settings"
)

// Exit statuses, as documented in the help text and in docs/flags.md. A service manager should not start again after
// exitUsage: nothing but another setting can help.
const (
	exitOK     = 0
	exitFailed = 1 // this machine, now, does not let us; or everything was ended at once
	exitUsage  = 2 // a setting is wrong; nothing was started
)

// version is set when a release is built, by -ldflags "-X main.version=...".
var version = ""

func main() {
	os.Exit(run(os.Args[1:], os.Environ()))
}

// run is the program: it returns the exit status.
func run(args, environ []string) int {
	invocation, err := settings.Parse(args, environ)
	if err != nil {
		fmt.Fprintf(os.Stderr, "culvert: %v\n", err)
		return exitUsage
	}
	switch invocation.Command {
	case settings.Help:
		fmt.Print(settings.HelpText(invocation.Topic))
		return exitOK
	case settings.Version:
		fmt.Printf("culvert %s %s %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return exitOK
	case settings.Demo:
		return demonstrate(invocation)
	case settings.Check:
		return check(invocation)
	case settings.Reload:
		return askReload(invocation, os.Stdout, os.Stderr)
	case settings.BackendList, settings.BackendDrain, settings.BackendUndrain, settings.BackendWeight:
		return askBackend(invocation, os.Stdout, os.Stderr)
	case settings.ConfigPrint:
		return printConfig(invocation)
	case settings.ConfigSchema:
		_, _ = os.Stdout.Write(configfile.Schema())
		return exitOK
	}
	seen := stateOf(invocation.ConfigFile) // before it is read: a change meanwhile is one
	invocation, file, ok := readConfig(invocation)
	if !ok {
		return exitUsage
	}
	return serve(invocation, file, seen)
}

// buildVersion names this build.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}
