package settings

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
)

// The commands.
const (
	// Run starts the proxy; it need not be named.
	Run = "run"
	// Demo starts the proxy with backends of its own.
	Demo = "demo"
	// Version prints the version.
	Version = "version"
	// Help prints how to use it.
	Help = "help"
	// Check looks at a configuration file.
	Check = "check"
	// ConfigPrint prints the configuration that counts.
	ConfigPrint = "config print"
	// ConfigSchema prints the JSON schema of configuration files.
	ConfigSchema = "config schema"
	// Reload tells a running proxy to read its configuration again.
	Reload = "reload"
	// BackendList says how the backends of a running proxy stand.
	BackendList = "backend list"
	// BackendDrain takes one out of use.
	BackendDrain = "backend drain"
	// BackendUndrain takes it into use again.
	BackendUndrain = "backend undrain"
	// BackendWeight gives it another weight.
	BackendWeight = "backend weight"
)

// The words with which several commands begin.
const (
	configWord  = "config"
	backendWord = "backend"
)

var (
	beginnings = []string{configWord, backendWord}
	commands   = []string{
		Run, Demo, Check, ConfigPrint, ConfigSchema, Reload, BackendList, BackendDrain, BackendUndrain, BackendWeight, Version, Help,
	}
)

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
		case topic == "" && (slices.Contains(commands, arg) && arg != Help || slices.Contains(beginnings, arg)):
			topic = arg
		case slices.Contains(beginnings, topic) && slices.Contains(commands, topic+" "+arg):
			topic += " " + arg
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

// adminClient is what commands have in common that ask a running proxy for something.
type adminClient struct {
	Admin          AdminAddress `group:"Admin" default:"127.0.0.1:9900" placeholder:"ADDRESS" allowed:"an address such as 127.0.0.1:9900, [::1]:9900 or :9900, or unix:/path" help:"The admin port of the proxy that is asked."`
	AdminTokenFile FileName     `group:"Admin" default:"off" placeholder:"FILE" allowed:"a file, or off" help:"The token that this proxy asks for, if it does."`
}

type reloadCommand struct {
	Asking adminClient `embed:""`
}

type backendCommand struct {
	List    backendList    `cmd:"" name:"list" help:"Say how the backends of a running proxy stand."`
	Drain   backendDrain   `cmd:"" name:"drain" help:"Take a backend out of use: it gets no new requests, and its tunnels live on."`
	Undrain backendUndrain `cmd:"" name:"undrain" help:"Take a backend into use again, whoever has drained it."`
	Weight  backendWeight  `cmd:"" name:"weight" help:"Give a backend another weight, 0 to 100, or configured."`
}

// backendChoice is what all of these have.
type backendChoice struct {
	Asking adminClient `embed:""`
	Group  string      `placeholder:"NAME" allowed:"the name of a group" help:"The group of the backend; needed where several groups have one of that name."`
	JSON   bool        `name:"json" placeholder:"BOOL" help:"Print what is known as JSON, for programs."`
}

type backendList struct {
	Choice backendChoice `embed:""`
}

type backendDrain struct {
	Name   string        `arg:"" placeholder:"NAME" help:"The backend, by its name or its address."`
	For    time.Duration `default:"0" placeholder:"DURATION" min:"1s" max:"24h" zero:"as long as they live" help:"How long its tunnels may live on, from now; then they are ended one by one."`
	Choice backendChoice `embed:""`
}

type backendUndrain struct {
	Name   string        `arg:"" placeholder:"NAME" help:"The backend, by its name or its address."`
	Choice backendChoice `embed:""`
}

type backendWeight struct {
	Name   string        `arg:"" placeholder:"NAME" help:"The backend, by its name or its address."`
	Weight Weight        `arg:"" placeholder:"WEIGHT" allowed:"0 to 100, or configured" help:"Its share of new requests, or configured: that of the configuration."`
	Choice backendChoice `embed:""`
}

// Weight is that of a backend, 0 to MaxWeight; Configured: that of the configuration.
type Weight int

// Configured is no weight, but the word for that of the configuration.
const Configured Weight = -1

// ReadWeight reads a weight, or the word configured.
func ReadWeight(text string) (Weight, error) {
	if text == "configured" {
		return Configured, nil
	}
	value, err := Range{Min: "0", Max: strconv.Itoa(MaxWeight)}.Count(text)
	if err != nil {
		return 0, errors.New("not such a weight")
	}
	return Weight(value), nil
}

func decodeWeight(text string, _ *kong.Tag) (Weight, error) { return ReadWeight(text) }

// DrainLimits are how long tunnels may live on behind a drain.
var DrainLimits = Range{Min: "1s", Max: "24h", Zero: "as long as they live"}

// An Order is what BackendDrain, BackendUndrain and BackendWeight ask for, and what BackendList lists.
type Order struct {
	// Group is that of the backend; "": the only one that has a backend of that name. In a list, "": all.
	Group string
	// Name is the backend's.
	Name string
	// For is how long tunnels may live on behind a drain; 0: as long as they do.
	For time.Duration
	// Weight is the new one.
	Weight Weight
}

// takeOrder takes what a command that asks a running proxy has.
func (i *Invocation) takeOrder(g *grammar) error {
	b := &g.BackendCommand
	var choice *backendChoice
	switch i.Command {
	case Reload:
		choice = &backendChoice{Asking: g.ReloadCommand.Asking}
	case BackendList:
		choice = &b.List.Choice
	case BackendDrain:
		choice, i.Order = &b.Drain.Choice, Order{Name: b.Drain.Name, For: b.Drain.For}
	case BackendUndrain:
		choice, i.Order = &b.Undrain.Choice, Order{Name: b.Undrain.Name}
	case BackendWeight:
		choice, i.Order = &b.Weight.Choice, Order{Name: b.Weight.Name, Weight: b.Weight.Weight}
	}
	i.Order.Group, i.JSON = choice.Group, choice.JSON
	i.Admin, i.AdminTokenFile = choice.Asking.Admin, string(choice.Asking.AdminTokenFile)
	switch {
	case !i.Admin.Off:
		return nil
	case i.Command == Reload:
		return i.wrong("admin", "off", "without its admin port, a proxy is told to reload by the signal HUP")
	}
	return i.wrong("admin", "off", "a proxy is asked for this at its admin port")
}
