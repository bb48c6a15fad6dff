package settings

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"
)

// A Flag is one setting as the help text and the documents show it.
type Flag struct {
	// Name is without dashes.
	Name string
	// Group is the heading that it stands under; "" for those that are no settings.
	Group string
	// Unit is what its value is a number of, or a word for what it is.
	Unit string
	// Variable is its environment variable.
	Variable string
	// Default is what counts where it is not given; "" for none.
	Default string
	// Allowed says what it may be.
	Allowed string
	// Help is one line on what it does.
	Help string
	// List is true where several values may be given.
	List bool
	// Switch is true where the flag alone means true.
	Switch bool
	// File is true where it names a file, which a configuration file finds from its own folder.
	File bool
	// Kind says how its value is written.
	Kind Kind
	// Words are the only values; none: see Kind.
	Words []string
	// Min and Max bound the value, as texts; "": nothing does. Zero says what 0 means beside the range; "": nothing.
	Min, Max, Zero string
}

// Kind says how the value of a setting is written.
type Kind int

const (
	// KindText is a text with a form of its own: an address, a file, a name, one of a few words.
	KindText Kind = iota
	// KindCount is a whole number.
	KindCount
	// KindSize is a number of bytes, with or without a unit.
	KindSize
	// KindDuration is a number with a unit of time.
	KindDuration
	// KindSwitch is true or false.
	KindSwitch
)

// Section returns where a configuration file says it: the name of the group in lower case, but for the two groups whose
// names stand there for what is served.
func (f Flag) Section() string {
	if f.Group == "Listeners" {
		return "sockets"
	}
	return strings.ToLower(f.Group)
}

// Synopsis returns the flag with its value, without dashes.
func (f Flag) Synopsis() string {
	if f.Switch {
		return f.Name + "[=" + f.Unit + "]"
	}
	return f.Name + " " + f.Unit
}

// groups are the headings in the order in which they are shown.
var groups = []string{"Listeners", "Backends", "Timeouts", "Limits", "HTTP", "TLS", "Logs", "Trust", "Admin", "Shutdown", "Config"}

// Flags returns the settings of a command, ordered by group.
func Flags(command string) []Flag {
	var flags []Flag
	for _, flag := range model(command).Flags {
		flags = append(flags, describe(flag))
	}
	slices.SortStableFunc(flags, func(a, b Flag) int { return slices.Index(groups, a.Group) - slices.Index(groups, b.Group) })
	return flags
}

// grammarModel is the grammar taken apart once, to be looked at. That it can be read does not depend on any input.
var grammarModel = sync.OnceValue(func() *kong.Kong {
	parser, err := newParser(&grammar{})
	if err != nil {
		panic("settings: the grammar: " + err.Error())
	}
	return parser
})

// model returns a command's node.
func model(command string) *kong.Node { return nodeOf(grammarModel(), command) }

func nodeOf(parser *kong.Kong, command string) *kong.Node {
	node := parser.Model.Node
	for word := range strings.FieldsSeq(command) {
		i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word })
		if i < 0 {
			panic("settings: no command " + command)
		}
		node = node.Children[i]
	}
	return node
}

func describe(flag *kong.Flag) Flag {
	f := Flag{
		Name: flag.Name, Unit: flag.PlaceHolder, Variable: VariableOf(flag.Name), Default: flag.Default,
		Allowed: allowed(flag.Value), Help: flag.Help, List: flag.IsSlice(), Switch: flag.IsBool(),
	}
	if flag.Group != nil {
		f.Group = flag.Group.Key
	}
	f.Words, f.Min, f.Max, f.Zero = strings.Fields(flag.Tag.Get("words")), flag.Tag.Get("min"), flag.Tag.Get("max"), flag.Tag.Get("zero")
	f.File = flag.Target.Type() == reflect.TypeFor[FileName]()
	switch {
	case flag.IsBool():
		f.Kind = KindSwitch
	case flag.Target.Type() == reflect.TypeFor[time.Duration]():
		f.Kind = KindDuration
	case flag.Tag.Type == "size":
		f.Kind = KindSize
	case flag.Target.Kind() == reflect.Int:
		f.Kind = KindCount
	}
	if f.Default == "0" && flag.Tag.Has("zero") {
		f.Default = "0 (" + flag.Tag.Get("zero") + ")"
	}
	return f
}

// flagNames returns the names of a command's settings and of the flags that every command has.
func flagNames(command string) []string {
	names := []string{"help", "version"}
	for _, flag := range Flags(command) {
		names = append(names, flag.Name)
	}
	return names
}

const (
	helpIntroduction = `Culvert balances WebSocket and HTTP/1.1 over a few backends.

  culvert [run] --listen :8080 --backend 127.0.0.1:9001 --backend 127.0.0.1:9002,weight=2
  culvert [run] --tls-listen :443 --tls-cert app.crt --tls-key app.key --backend 127.0.0.1:9001
  culvert [run] --config culvert.yaml
  culvert check culvert.yaml
  culvert demo [--tls]
  culvert help [command]
`
	helpEnding = `
Every setting is a flag, an environment variable or a key of the configuration file; a flag overrides its variable, a
variable the file. In a variable, the values of a list are separated by blanks or semicolons. Durations need a unit:
500ms, 60s, 1m30s.

Signals: TERM and INT end it gracefully, a second one at once. USR1 opens the access log's file again. HUP has
the configuration read again, and backends' names resolved; culvert reload does so too and says what came of it.
Exit status: 0 after a graceful end; 1 when it could not start, or was ended at once; 2 for a wrong setting.
`
	checkHelpEnding = `
Every mistake is a line "file:line:column: what", on standard error; what is only to be doubted says "warning:".
Exit status: 0 without mistakes; 2 with some.
`
	helpIndent = 6
	helpWidth  = 100
)

// synopses are how commands are written that have no more to explain than that.
var synopses = map[string]string{
	ConfigPrint: ConfigPrint, ConfigSchema: ConfigSchema, Check: "check FILE [flags]", Reload: "reload [flags]", BackendList: "backend list [flags]",
	BackendDrain: "backend drain NAME [flags]", BackendUndrain: "backend undrain NAME [flags]", BackendWeight: "backend weight NAME WEIGHT [flags]",
}

// HelpText returns how to use culvert, or one of its commands.
func HelpText(command string) string {
	var b strings.Builder
	switch command {
	case "", Help:
		b.WriteString(helpIntroduction + "\nCommands\n")
		for _, name := range commands {
			fmt.Fprintf(&b, "  %-16s %s\n", name, model(name).Help)
		}
		writeFlags(&b, Flags(Run))
	case configWord, backendWord:
		for _, name := range commands {
			if strings.HasPrefix(name, command+" ") {
				fmt.Fprintf(&b, "culvert %s\n\n  %s\n", synopses[name], model(name).Help)
			}
		}
		return b.String()
	case Version, ConfigSchema:
		fmt.Fprintf(&b, "culvert %s\n\n  %s\n", command, model(command).Help)
		return b.String()
	case Check, Reload, BackendList, BackendDrain, BackendUndrain, BackendWeight:
		fmt.Fprintf(&b, "culvert %s\n\n  %s\n", synopses[command], model(command).Help)
		b.WriteString(HelpOf(model(command).Flags))
		if command == Check {
			b.WriteString(checkHelpEnding)
		}
		return b.String()
	default:
		fmt.Fprintf(&b, "culvert %s [flags]\n\n  %s\n", command, model(command).Help)
		writeFlags(&b, Flags(command))
	}
	b.WriteString(helpEnding)
	return b.String()
}

func writeFlags(b *strings.Builder, flags []Flag) {
	group := ""
	for _, flag := range flags {
		if flag.Group != group {
			group = flag.Group
			fmt.Fprintf(b, "\n%s\n", group)
		}
		fmt.Fprintf(b, "  --%s, %s\n", flag.Synopsis(), flag.Variable)
		writeHelp(b, flag)
	}
}

// writeHelp writes what a flag does and may be.
func writeHelp(b *strings.Builder, flag Flag) {
	writeWrapped(b, flag.Help)
	value := "default " + flag.Default + "; "
	if flag.Default == "" {
		value = ""
	}
	if flag.Allowed == "" {
		writeWrapped(b, strings.TrimSuffix(value, "; "))
		return
	}
	writeWrapped(b, value+"allowed: "+flag.Allowed)
}

// writeWrapped writes a paragraph indented and in lines of bounded width.
func writeWrapped(b *strings.Builder, text string) {
	width := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case width == 0:
			b.WriteString(strings.Repeat(" ", helpIndent))
			width = helpIndent
		case width+1+len(word) > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", helpIndent))
			width = helpIndent
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += len(word)
	}
	if width > 0 {
		b.WriteByte('\n')
	}
}
