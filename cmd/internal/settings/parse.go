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
	// Command is one of the commands above.
	Command string
	// Topic is the command that help was asked for; "": for all.
	Topic string
	// Settings are those of Run, Demo and ConfigPrint, nil with any other command.
	Settings *Settings
	// Backends are those of Run: at least one, unless a configuration file is named or has been read.
	Backends []Backend
	// Sources are the addresses that Run dials them from; none: the kernel chooses.
	Sources []netip.Addr
	// OverTLS is how Run speaks to those of them that are TLS.
	OverTLS BackendTLS
	// Balancing is how Run balances requests over all of them.
	Balancing Balancing
	// SelfSigned has Demo make a certificate for its HTTPS listeners.
	SelfSigned bool
	// ConfigFile is the configuration file of Run and ConfigPrint, and of Check; "": none.
	ConfigFile string
	// WatchConfig asks for a reload whenever that file changes.
	WatchConfig bool
	// JSON asks Check, and commands for backends, for an answer for programs.
	JSON bool
	// Admin is the admin port that Reload and commands for backends talk to, AdminTokenFile has the token for it; "": none.
	Admin          AdminAddress
	AdminTokenFile string
	// Order is what a command for backends asks for.
	Order Order
	// Warnings tell of what was ignored and was perhaps meant, and of doubts, one line each.
	Warnings []string

	args, environ []string
	layer         *Layer
	origins       map[string]origin // of each flag that was given
}

// Given reports whether a flag (named without dashes) was given, by the command line, by the environment or by the
// configuration file.
func (i *Invocation) Given(flag string) bool {
	_, ok := i.origins[flag]
	return ok
}

// Parse reads a command line, without the program's name, and an environment ("NAME=value"). A flag overrides its
// variable. The error is one line; it is about the input and not about this machine.
//
// Where the invocation names a ConfigFile, that has yet to be read, and given to With.
func Parse(args, environ []string) (*Invocation, error) {
	if i := question(args); i != nil {
		return i, nil
	}
	return understand(args, environ, nil)
}

// With returns the invocation with what its configuration file says, where neither a flag nor a variable does. It can be
// asked again and again, each time the file has changed.
func (i *Invocation) With(file *Layer) (*Invocation, error) {
	return understand(i.args, i.environ, file)
}

func understand(args, environ []string, file *Layer) (*Invocation, error) {
	variables := variablesOf(environ)
	g := &grammar{}
	// Of what several resolvers know, the last one's counts.
	parser, err := newParser(g, kong.Resolvers(file, variables))
	if err != nil {
		return nil, err
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		return nil, explain(err, args)
	}
	i := &Invocation{Command: commandOf(ctx.Selected()), args: args, environ: environ, layer: file, origins: map[string]origin{}}
	if err := i.collect(ctx.Path); err != nil {
		return nil, err
	}
	if err := i.take(g); err != nil {
		return nil, err
	}
	i.applySpec()
	if err := i.check(); err != nil {
		return nil, err
	}
	i.Warnings = variables.misspelt()
	for _, doubt := range i.Doubts() {
		i.Warnings = append(i.Warnings, doubt.String())
	}
	return i, nil
}

// take takes what the command at hand has.
func (i *Invocation) take(g *grammar) error {
	switch i.Command {
	case Run:
		i.takeRun(&g.RunCommand)
	case ConfigPrint:
		i.takeRun(&g.ConfigCommand.Print)
	case Demo:
		i.takeDemo(&g.DemoCommand)
	case Check:
		i.ConfigFile, i.JSON = string(g.CheckCommand.File), g.CheckCommand.JSON
	case Reload, BackendList, BackendDrain, BackendUndrain, BackendWeight:
		return i.takeOrder(g)
	case Help:
		i.Topic = strings.Join(g.HelpCommand.Topic, " ")
		if i.Topic != "" && !slices.Contains(commands, i.Topic) && !slices.Contains(beginnings, i.Topic) {
			return unknownCommand(i.Topic)
		}
	}
	return nil
}

func (i *Invocation) takeRun(c *runCommand) {
	i.Settings, i.Backends, i.Sources, i.OverTLS, i.Balancing = &c.Settings, c.Backend, c.Source, c.OverTLS, c.Balancing
	i.ConfigFile, i.WatchConfig = string(c.Config.Config), c.Config.WatchConfig
	if len(i.Settings.TLS.TLSListen) > 0 && !i.Given("listen") {
		i.Settings.Listeners.Listen = nil // the default is for those who say nothing
	}
}

// commandOf returns a command's words.
func commandOf(n *kong.Node) string {
	if n.Parent == nil || n.Parent.Type == kong.ApplicationNode {
		return n.Name
	}
	return commandOf(n.Parent) + " " + n.Name
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
		i.origins[flag.Name] = origin{}
		if path.Resolved {
			i.origins[flag.Name] = i.resolved(flag.Name)
		}
	}
	return nil
}

// resolved tells where a flag that the command line does not have comes from.
func (i *Invocation) resolved(flag string) origin {
	if variables := variablesOf(i.environ); variables[VariableOf(flag)] != "" {
		return origin{variable: VariableOf(flag)}
	}
	value, _ := i.layer.lookUp(flag)
	return origin{place: value.Place}
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
		kong.TypeMapper(reflect.TypeFor[ConfigFile](), single(decodeFile[ConfigFile])),
		kong.TypeMapper(reflect.TypeFor[FileName](), single(decodeFile[FileName])),
		kong.TypeMapper(reflect.TypeFor[[]FileName](), list(decodeFile[FileName], false)),
		kong.TypeMapper(reflect.TypeFor[[]FolderName](), list(decodeFolder, false)),
		kong.TypeMapper(reflect.TypeFor[ServerName](), single(decodeServerName)),
		kong.TypeMapper(reflect.TypeFor[HashBy](), single(decodeHashBy)),
		kong.TypeMapper(reflect.TypeFor[Sticky](), single(decodeSticky)),
		kong.TypeMapper(reflect.TypeFor[CheckPath](), single(decodeCheckPath)),
		kong.TypeMapper(reflect.TypeFor[Weight](), single(decodeWeight)),
		kong.TypeMapper(reflect.TypeFor[Discover](), single(decodeDiscover)),
	}, options)...)
}

// check looks at what one setting alone cannot tell.
func (i *Invocation) check() error {
	if i.Settings == nil {
		return nil
	}
	if err := i.checkSite(); err != nil {
		return err
	}
	if i.WatchConfig && i.ConfigFile == "" {
		return i.wrong("watch-config", "", "there is no configuration file to watch; name it by --config")
	}
	if err := i.checkAddresses(); err != nil {
		return err
	}
	if err := i.checkTLS(); err != nil {
		return err
	}
	if err := i.checkBalancing(); err != nil {
		return err
	}
	for n, backend := range i.Backends {
		same := func(b Backend) bool { return b.Place() == backend.Place() }
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

// checkAddresses looks whether one is given to two.
func (i *Invocation) checkAddresses() error {
	listen := slices.Concat(i.Settings.Listeners.Listen, i.Settings.TLS.TLSListen)
	for n, address := range listen {
		if address.Port() != 0 && slices.Contains(listen[:n], address) {
			flag := "listen"
			if n >= len(i.Settings.Listeners.Listen) {
				flag = "tls-listen"
			}
			return i.wrong(flag, address.String(), "given twice")
		}
	}
	if i.layer.hasSite() {
		listen = i.layer.Listen
	}
	admin := i.Settings.Admin.Admin
	if admin.Address.Port() != 0 && slices.Contains(listen, admin.Address) {
		return i.wrong("admin", admin.Address.String(), "a listener's address too")
	}
	return nil
}

// checkSite looks whether the flags or the file say what is served, one of the two.
func (i *Invocation) checkSite() error {
	if i.Command == Demo {
		return nil
	}
	if i.layer.hasSite() {
		for _, flag := range SiteFlags {
			if i.Given(flag) {
				return i.wrong(flag, "", "the configuration file says what is served, at "+i.layer.Site+
					"; give either that or --listen and --backend")
			}
		}
		return nil
	}
	if len(i.Backends) > 0 || i.Balancing.Discover.Kind != "" || i.unread() || i.Command == ConfigPrint {
		return nil
	}
	if i.layer != nil {
		return errors.New(Shown(i.ConfigFile) + " has no listeners and groups, and there is no backend: write them there, or give at least one --backend host:port (or " +
			VariableOf("backend") + ")")
	}
	return errors.New("no backend: give at least one, --backend host:port (or " + VariableOf("backend") +
		"); culvert demo starts two of its own")
}

// unread reports whether there is a configuration file that was not read yet.
func (i *Invocation) unread() bool { return i.layer == nil && i.ConfigFile != "" }

// FromFile reports whether the value of a flag that counts comes from the configuration file.
func (i *Invocation) FromFile(flag string) bool { return i.origins[flag].place != "" }

// Wrong makes an error about what a flag, or its variable, names: an *Error.
func (i *Invocation) Wrong(flag, text, reason string) error { return i.wrong(flag, text, reason) }

// wrong makes an error about a flag's value, and names the variable or the place if it came from there.
func (i *Invocation) wrong(flag, text, reason string) error {
	from := i.origins[flag]
	return &Error{Flag: flag, Variable: from.variable, Place: from.place, Text: text, Reason: reason}
}

// Error is a setting with a wrong value.
type Error struct {
	// Flag is its name without dashes, Variable the environment variable that the value came from, "": the flag itself.
	Flag, Variable string
	// Argument is true where it is no flag but the argument of a command, of which Flag is the name.
	Argument bool
	// Place is that of the value in a configuration file ("file:line:column"); "": it was not there.
	Place string
	// Text is the value as given.
	Text string
	// Reason says what is wrong with it, Allowed what would not be; "": said by the reason.
	Reason, Allowed string
}

// Error implements error: one line, whatever the text holds.
func (e *Error) Error() string {
	line := "--" + e.Flag
	if e.Argument {
		line = e.Flag
	}
	if e.Place != "" {
		line = e.Place + ": " + e.Flag
	}
	if e.Text != "" {
		line += " " + Shown(e.Text)
	}
	if e.Variable != "" {
		line = e.Variable
		if e.Text != "" {
			line += "=" + Shown(e.Text)
		}
		line += " (--" + e.Flag + ")"
	}
	line += ": " + e.Reason
	if e.Allowed != "" {
		line += "; allowed: " + e.Allowed
	}
	return line
}

// shownBytes bounds how much of a wrong value is repeated.
const shownBytes = 100

// Shown quotes a text where a reader could not tell where it begins and ends, or what it does to the terminal.
func Shown(text string) string {
	if len(text) > shownBytes {
		text = text[:shownBytes] + "..."
	}
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\'' }) {
		return fmt.Sprintf("%+q", text)
	}
	return text
}
