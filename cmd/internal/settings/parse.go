package settings

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// An Invocation is a command line that was understood.
type Invocation struct {
	// Command is Run, Demo, Version or Help.
	Command string
	// Topic is the command that help was asked for; "": for all.
	Topic string
	// Settings are those of Run and Demo, nil with any other command.
	Settings *Settings
	// Backends are those of Run, at least one.
	Backends []Backend
	// Sources are the addresses that Run dials them from; none: the kernel chooses.
	Sources []netip.Addr
	// Warnings tell of what was ignored and was perhaps meant, one line each.
	Warnings []string

	// variables names, for each flag that was given, the environment variable it came from; "": the command line.
	variables map[string]string
}

// Given reports whether a flag (named without dashes) was given, by the command line or by the environment.
func (i *Invocation) Given(flag string) bool {
	_, ok := i.variables[flag]
	return ok
}

// Parse reads a command line, without the program's name, and an environment ("NAME=value"). A flag overrides its
// variable. The error is one line; it is about the input and not about this machine.
func Parse(args, environ []string) (*Invocation, error) {
	if i := question(args); i != nil {
		return i, nil
	}
	variables := variablesOf(environ)
	g := &grammar{}
	parser, err := newParser(g, kong.Resolvers(variables))
	if err != nil {
		return nil, err
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		return nil, explain(err, args)
	}
	i := &Invocation{Command: ctx.Selected().Name, variables: map[string]string{}}
	if err := i.collect(ctx.Path); err != nil {
		return nil, err
	}
	switch i.Command {
	case Run:
		i.Settings, i.Backends, i.Sources = &g.RunCommand.Settings, g.RunCommand.Backend, g.RunCommand.Source
	case Demo:
		i.Settings = &g.DemoCommand.Settings
	case Help:
		i.Topic = g.HelpCommand.Topic
		if i.Topic != "" && !slices.Contains(commands, i.Topic) {
			return nil, unknownCommand(i.Topic)
		}
	}
	if err := i.check(); err != nil {
		return nil, err
	}
	i.Warnings = variables.misspelt()
	return i, nil
}

// collect notes which flags were given and where. One with a single value is given once: which of two was meant, nobody
// can tell.
func (i *Invocation) collect(paths []*kong.Path) error {
	for _, path := range paths {
		flag := path.Flag
		if flag == nil {
			continue
		}
		if i.Given(flag.Name) && !flag.IsSlice() {
			return i.wrong(flag.Name, "", "given twice; it takes one value")
		}
		i.variables[flag.Name] = ""
		if path.Resolved {
			i.variables[flag.Name] = VariableOf(flag.Name)
		}
	}
	return nil
}

var commands = []string{Run, Demo, Version, Help}

// question returns an invocation if help or the version is asked for, which counts whatever else is on the line: a
// setting that is wrong must not keep its own explanation away.
func question(args []string) *Invocation {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	topic, help, version := "", false, false
	for _, arg := range args {
		switch {
		case arg == "-h" || arg == "--help":
			help = true
		case arg == "--version":
			version = true
		case topic == "" && slices.Contains(commands, arg) && arg != Help:
			topic = arg
		}
	}
	switch {
	case help:
		return &Invocation{Command: Help, Topic: topic}
	case version:
		return &Invocation{Command: Version}
	}
	return nil
}

func newParser(g *grammar, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(g, slices.Concat(Mappers(), []kong.Option{
		kong.Name("culvert"),
		kong.TypeMapper(reflect.TypeFor[[]netip.AddrPort](), list(decodeListener, false)),
		kong.TypeMapper(reflect.TypeFor[[]Backend](), list(decodeBackend, false)),
		kong.TypeMapper(reflect.TypeFor[[]netip.Addr](), list(decodeSource, false)),
		kong.TypeMapper(reflect.TypeFor[[]netip.Prefix](), list(decodePrefix, true)),
		kong.TypeMapper(reflect.TypeFor[AccessLog](), single(decodeAccessLog)),
		kong.TypeMapper(reflect.TypeFor[AdminAddress](), single(decodeAdmin)),
	}, options)...)
}

// check looks at what one setting alone cannot tell.
func (i *Invocation) check() error {
	if i.Settings == nil {
		return nil
	}
	if i.Command == Run && len(i.Backends) == 0 {
		return errors.New("no backend: give at least one, --backend host:port (or " + VariableOf("backend") +
			"); culvert demo starts two of its own")
	}
	listen := i.Settings.Listeners.Listen
	for n, address := range listen {
		if address.Port() != 0 && slices.Contains(listen[:n], address) {
			return i.wrong("listen", address.String(), "given twice")
		}
	}
	admin := i.Settings.Admin.Admin
	if !admin.Off && admin.Address.Port() != 0 && slices.Contains(listen, admin.Address) {
		return i.wrong("admin", admin.Address.String(), "a listener's address too")
	}
	for n, backend := range i.Backends {
		same := func(b Backend) bool { return b.Name == backend.Name }
		if slices.ContainsFunc(i.Backends[:n], same) {
			return i.wrong("backend", backend.Name, "given twice; a larger share of the requests is asked for by ,weight=N")
		}
	}
	for n, source := range i.Sources {
		if slices.Contains(i.Sources[:n], source) {
			return i.wrong("source", source.String(), "given twice")
		}
	}
	return nil
}

// wrong makes an error about a flag's value, and names the variable if it came from there.
func (i *Invocation) wrong(flag, text, reason string) error {
	return &Error{Flag: flag, Variable: i.variables[flag], Text: text, Reason: reason}
}

// Error is a setting with a wrong value.
type Error struct {
	// Flag is its name without dashes, Variable the environment variable that the value came from, "": the flag itself.
	Flag, Variable string
	// Text is the value as given.
	Text string
	// Reason says what is wrong with it, Allowed what would not be; "": said by the reason.
	Reason, Allowed string
}

// Error implements error: one line, whatever the text holds.
func (e *Error) Error() string {
	line := "--" + e.Flag
	if e.Text != "" {
		line += " " + shown(e.Text)
	}
	if e.Variable != "" {
		line = e.Variable + "=" + shown(e.Text) + " (--" + e.Flag + ")"
	}
	line += ": " + e.Reason
	if e.Allowed != "" {
		line += "; allowed: " + e.Allowed
	}
	return line
}

// shownBytes bounds how much of a wrong value is repeated.
const shownBytes = 100

// shown quotes a text where a reader could not tell where it begins and ends, or what it does to the terminal.
func shown(text string) string {
	if len(text) > shownBytes {
		text = text[:shownBytes] + "..."
	}
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\'' }) {
		return fmt.Sprintf("%+q", text)
	}
	return text
}

// explain turns an error of the parser into one line for people.
func explain(err error, args []string) error {
	if wrong := (*Error)(nil); errors.As(err, &wrong) {
		return wrong
	}
	command := Run
	if parsing := (*kong.ParseError)(nil); errors.As(err, &parsing) && parsing.Context != nil {
		if selected := parsing.Context.Selected(); selected != nil {
			command = selected.Name
		}
	}
	text := err.Error()
	if word, ok := strings.CutPrefix(text, "unexpected argument "); ok {
		word, _, _ = strings.Cut(word, ", did you mean")
		return unknownCommand(word)
	}
	if flag, ok := strings.CutPrefix(text, "unknown flag "); ok {
		flag, _, _ = strings.Cut(flag, ", did you mean")
		return unknownFlag(command, flag, args)
	}
	return errors.New(strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text))
}

func unknownCommand(word string) error {
	if slices.Contains(commands, word) {
		return fmt.Errorf("the command %s stands in the wrong place", word)
	}
	text := "unknown command " + shown(word)
	if near := nearest(word, commands); near != "" {
		return fmt.Errorf("%s, did you mean %q?", text, near)
	}
	return fmt.Errorf("%s; allowed: %s", text, strings.Join(commands, ", "))
}

// unknownFlag helps with mistyped names, and with one dash for two, of which the parser sees the first letter only.
func unknownFlag(command, flag string, args []string) error {
	if !strings.HasPrefix(flag, "--") {
		for _, arg := range args {
			if strings.HasPrefix(arg, flag) {
				flag, _, _ = strings.Cut(arg, "=")
				break
			}
		}
	}
	name := strings.TrimLeft(flag, "-")
	text := "unknown flag " + shown(flag)
	if command != Run && slices.Contains(flagNames(Run), name) {
		return fmt.Errorf("culvert %s has no flag %s", command, shown(flag))
	}
	if near := nearest(name, flagNames(command)); near != "" {
		return fmt.Errorf("%s, did you mean %q?", text, "--"+near)
	}
	return fmt.Errorf("%s; culvert --help lists them", text)
}
