//go:build linux

// Culvert-bench measures WebSocket proxies from outside. `culvert-bench help` says how to use it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"culvert/cmd/internal/settings"
)

// Exit statuses, as the help text says.
const (
	exitOK          = 0
	exitFailed      = 1   // what was measured was not in order, or could not be measured
	exitUsage       = 2   // the command line is wrong; nothing was started
	exitInterrupted = 130 // a signal ended it early; what had been measured was printed
)

// version is set when a release is built, by -ldflags "-X main.version=...".
var version = ""

func main() {
	p := &program{stdout: os.Stdout, stderr: os.Stderr, live: isTerminal(os.Stderr)}
	os.Exit(p.run(os.Args[1:]))
}

// program is one run of the program and where it writes.
type program struct {
	ctx            context.Context
	stdout, stderr io.Writer
	live           bool // stderr is a terminal: progress is shown
}

// usageError is about the command line.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// run does what the arguments say and returns the exit status.
func (p *program) run(args []string) int {
	parser, err := newParser(&grammar{})
	if err != nil {
		panic("culvert-bench: the grammar: " + err.Error())
	}
	if topic, asked := helpAsked(parser, args); asked {
		fmt.Fprint(p.stdout, helpText(parser, topic))
		return exitOK
	}
	command, err := parser.Parse(args)
	if err != nil {
		return p.failed(usageError{oneLine(parseText(parser, err))})
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	// The first signal ends the measurement in order, the next one the process.
	unhook := context.AfterFunc(ctx, stop)
	defer unhook()
	p.ctx = ctx
	return p.failed(command.Run(p))
}

// failed writes an error in one line, and returns the exit status that it stands for.
func (p *program) failed(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(p.stderr, "culvert-bench: %s\n", oneLine(usage.text))
		return exitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(p.stderr, "culvert-bench: ended early by a signal")
		return exitInterrupted
	}
	fmt.Fprintf(p.stderr, "culvert-bench: %s\n", oneLine(err.Error()))
	return exitFailed
}

// parseText returns what is wrong with a command line.
func parseText(parser *kong.Kong, err error) string {
	if wrong := (*settings.Error)(nil); errors.As(err, &wrong) {
		return wrong.Error()
	}
	text := err.Error()
	if flags, ok := strings.CutPrefix(text, "missing flags: "); ok {
		return "missing: " + strings.ReplaceAll(flags, ",...", "")
	}
	commands := make([]string, len(parser.Model.Children))
	for i, node := range parser.Model.Children {
		commands[i] = node.Name
	}
	allowed := strings.Join(commands, ", ")
	if strings.HasPrefix(text, "expected one of ") {
		return "no command; allowed: " + allowed
	}
	var parsing *kong.ParseError
	word, unexpected := strings.CutPrefix(text, "unexpected argument ")
	if unexpected && errors.As(err, &parsing) && parsing.Context != nil && parsing.Context.Selected() == nil {
		if strings.Contains(word, "did you mean") {
			return "unknown command " + word
		}
		return "unknown command " + word + "; allowed: " + allowed
	}
	return text
}

// oneLine makes one printable line of a text.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return ';'
		case r < ' ' || r == 0x7f:
			return ' '
		}
		return r
	}, text)
}

// prepare gives the process processors for so many loops, one more than them: a loop keeps its own while it waits. With
// TLS there is a worker for each as well.
func prepare(loops int, secure bool) {
	if secure {
		loops *= 2
	}
	runtime.GOMAXPROCS(loops + 1)
}

// checkDescriptors tells whether the process may have that many sockets at a time.
func checkDescriptors(sockets int) error {
	const others = 32 // of the loops and the runtime
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("the limit of descriptors: %w", err)
	}
	if uint64(sockets)+others > limit.Cur {
		return fmt.Errorf("%d connections need %d descriptors, and the limit is %d (ulimit -n)", sockets, sockets+others, limit.Cur)
	}
	return nil
}

func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
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

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(p *program) error {
	fmt.Fprintf(p.stdout, "culvert-bench %s %s %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
