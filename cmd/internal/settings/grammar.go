package settings

import "net/netip"

// grammar is the command line as kong reads it.
type grammar struct {
	Help    bool `short:"h" help:"Print this help."`
	Version bool `help:"Print the version."`

	RunCommand     runCommand     `cmd:"" name:"run" default:"withargs" help:"Start the proxy; the word run may be left out."`
	DemoCommand    demoCommand    `cmd:"" name:"demo" help:"Start the proxy before two demonstration backends of its own, and say where to look."`
	CheckCommand   checkCommand   `cmd:"" name:"check" help:"Look for mistakes in a configuration file, and tell all of them; nothing is started."`
	ConfigCommand  configCommand  `cmd:"" name:"config" help:"Print the configuration that counts, or the JSON schema of configuration files."`
	ReloadCommand  reloadCommand  `cmd:"" name:"reload" help:"Have a running proxy read its configuration again, and say what came of it."`
	BackendCommand backendCommand `cmd:"" name:"backend" help:"List the backends of a running proxy, or change what they are given."`
	VersionCommand struct{}       `cmd:"" name:"version" help:"Print the version."`
	HelpCommand    helpCommandArg `cmd:"" name:"help" help:"Print this help, or that of a command."`
}

// runCommand has what the demo has not: servers of one's own, and a file that says so.
type runCommand struct {
	Settings `kong:"set='listen=:8080',set='access_log=-',set='shutdown_delay=5s',set='shutdown_grace=20s'"`
	Config   Config       `embed:"" group:"Config"`
	Backend  []Backend    `group:"Backends" placeholder:"HOST:PORT[,weight=N]" allowed:"host:port, http://host:port, https://host:port or unix:/path, then optionally ,weight=0 to ,weight=100 (1 if not given)" help:"A server to balance over; repeatable. A name is resolved once, at start, and every address of it becomes a backend of that weight."`
	Source   []netip.Addr `group:"Backends" placeholder:"ADDRESS" allowed:"addresses of this machine, such as 192.0.2.1 or 2001:db8::1" help:"Dial backends from here, in turn; repeatable. Each address has ports of its own, of which a backend takes one per tunnel."`
	OverTLS  BackendTLS   `embed:"" group:"Backends"`

	Balancing Balancing `embed:"" group:"Backends"`
}

// demoCommand differs in its defaults: seen from this machine only, quick to end, and quiet, since it prints a guide.
type demoCommand struct {
	Settings `kong:"set='listen=127.0.0.1:8080',set='access_log=off',set='shutdown_delay=0',set='shutdown_grace=1s'"`
	ByTLS    bool `name:"tls" group:"TLS" default:"false" placeholder:"BOOL" help:"Accept clients by HTTPS too, at 127.0.0.1:8443 or --tls-listen, with a certificate made for it unless one is given."`
}

type checkCommand struct {
	File ConfigFile `arg:"" placeholder:"FILE" help:"The configuration file."`
	JSON bool       `name:"json" placeholder:"BOOL" help:"Print what is found as one JSON object on standard output, for programs."`
}

type configCommand struct {
	Print  runCommand `cmd:"" name:"print" help:"Print the configuration that counts and where each setting comes from, secrets masked."`
	Schema struct{}   `cmd:"" name:"schema" help:"Print the JSON schema of configuration files, for editors."`
}

type helpCommandArg struct {
	Topic []string `arg:"" optional:"" help:"A command."`
}
