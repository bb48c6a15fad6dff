//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"culvert/bench/load"
	"culvert/cmd/internal/settings"
)

// grammar is the command line as kong reads it. A command is a struct of flags with a method Run(*program) error.
type grammar struct {
	Echo    echoCommand    `cmd:"" help:"Measure echoes over open tunnels: latency and throughput."`
	Idle    idleCommand    `cmd:"" help:"Hold tunnels open."`
	Connect connectCommand `cmd:"" help:"Measure connecting: connect, upgrade, one echo, close."`
	Get     getCommand     `cmd:"" help:"Measure ordinary requests over kept connections."`
	Backend backendCommand `cmd:"" help:"Be the backend: echo messages, answer requests. On SIGUSR1 it prints how many connections are open."`
	peersCommands
	Version versionCommand `cmd:"" help:"Print the version."`
}

// targetFlags say where the tunnels go.
type targetFlags struct {
	addressFlags
	Path string `default:"/" placeholder:"PATH" help:"The request's path and query."`
}

func (f *targetFlags) target() load.Target {
	target := f.addressFlags.target()
	target.Path = f.Path
	return target
}

// AfterApply is called by kong once the flags are set.
func (f *targetFlags) AfterApply() error {
	visible := func(r rune) bool { return r > ' ' && r <= '~' }
	if !strings.HasPrefix(f.Path, "/") || strings.ContainsFunc(f.Path, func(r rune) bool { return !visible(r) }) {
		return &settings.Error{Flag: "path", Text: f.Path, Reason: "not a path that begins with / and is visible ASCII"}
	}
	return f.addressFlags.AfterApply()
}

// fleetFlags say how tunnels are opened.
type fleetFlags struct {
	Tunnels int           `default:"100" placeholder:"TUNNELS" min:"1" max:"1000000" help:"Open so many tunnels."`
	Loops   int           `default:"1" placeholder:"LOOPS" min:"1" max:"64" help:"Event loops of the generator, which share the tunnels."`
	Pace    int           `default:"64" placeholder:"HANDSHAKES" min:"1" max:"4096" help:"Open and close so many tunnels at a time."`
	Timeout time.Duration `default:"10s" placeholder:"DURATION" min:"100ms" max:"10m" help:"Longest handshake, wait for the last echoes, and close."`
}

func (f *fleetFlags) options(progress func(int)) load.FleetOptions {
	return load.FleetOptions{Tunnels: f.Tunnels, Loops: f.Loops, Pace: f.Pace, Timeout: f.Timeout, Progress: progress}
}

// outputFlags say what is printed.
type outputFlags struct {
	JSON bool `name:"json" placeholder:"BOOL" help:"Print one JSON object on standard output, and no table."`
}

func newParser(g *grammar) (*kong.Kong, error) {
	return kong.New(g, slices.Concat(settings.Mappers(), []kong.Option{
		kong.Name("culvert-bench"),
		kong.TypeMapper(reflect.TypeFor[[]endpoint](), settings.Many(readEndpoint)),
		kong.TypeMapper(reflect.TypeFor[netip.AddrPort](), settings.One(readListen)),
		kong.TypeMapper(reflect.TypeFor[[]netip.Addr](), settings.Many(readSource)),
	})...)
}

func readListen(text string) (netip.AddrPort, error) {
	address, err := netip.ParseAddrPort(text)
	if err == nil {
		return netip.AddrPortFrom(address.Addr().Unmap(), address.Port()), nil
	}
	if _, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return netip.AddrPort{}, errors.New("a port is missing")
	}
	return netip.AddrPort{}, errors.New("not an address with a port")
}

func readSource(text string) (netip.Addr, error) {
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, errors.New("not an address")
	}
	return address.Unmap(), nil
}

// helpAsked tells whether help is asked for, and on which command, "" for all.
func helpAsked(parser *kong.Kong, args []string) (topic string, asked bool) {
	isCommand := func(word string) bool {
		return slices.ContainsFunc(parser.Model.Children, func(n *kong.Node) bool { return n.Name == word })
	}
	asked = len(args) > 0 && args[0] == "help"
	for _, arg := range args {
		switch {
		case arg == "-h" || arg == "--help":
			asked = true
		case topic == "" && isCommand(arg):
			topic = arg
		}
	}
	return topic, asked
}

const (
	helpIntroduction = `Culvert-bench measures WebSocket proxies from outside. Every echo and every answer is compared byte by byte.

  culvert-bench backend --listen 127.0.0.1:9001
  culvert-bench echo --target 127.0.0.1:8080 --tunnels 100 --size 125B --duration 10s
  culvert-bench echo --target 127.0.0.1:8080 --tunnels 1000 --rate 5000 --json
  culvert-bench idle --target 127.0.0.1:8080 --tunnels 10000 --hold 60s
  culvert-bench connect --target 127.0.0.1:8080 --concurrency 16
  culvert-bench connect --target wss://127.0.0.1:8443 --server-name example.com --resume
  culvert-bench get --target 127.0.0.1:8080 --connections 16 --size 1MiB
  culvert-bench help [command]

Commands
`
	helpEnding = `
Durations need a unit: 500ms, 60s, 1m30s. Sizes are in bytes, or in KiB and MiB.
A signal (INT, TERM) ends a measurement early; what was measured is printed all the same.
Exit status: 0 when all was in order; 1 when it was not, or could not be measured; 2 for a wrong command line;
130 after a signal.
`
)

// helpText returns how to use the program, or one of its commands.
func helpText(parser *kong.Kong, topic string) string {
	var b strings.Builder
	if topic == "" {
		b.WriteString(helpIntroduction)
	}
	for _, node := range parser.Model.Children {
		switch topic {
		case "":
			if !node.Hidden {
				fmt.Fprintf(&b, "  %-9s %s\n", node.Name, node.Help)
			}
		case node.Name:
			fmt.Fprintf(&b, "culvert-bench %s [flags]\n\n  %s\n\n%s", node.Name, node.Help, settings.HelpOf(node.Flags))
		}
	}
	return b.String() + helpEnding
}
