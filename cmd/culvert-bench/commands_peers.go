//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"culvert/bench/peers"
	"culvert/cmd/internal/settings"
)

// peersCommands are the subcommands that run proxies themselves.
type peersCommands struct {
	Quick   quickCommand   `cmd:"" help:"Compare Culvert with nginx, HAProxy and the floor, side by side."`
	Table   tableCommand   `cmd:"" help:"Print the results of quick as a Markdown table."`
	Profile profileCommand `cmd:"" help:"Tell what each row costs Culvert: CPU time, system calls, allocations, functions."`
	Curves  curvesCommand  `cmd:"" help:"Measure what settings of the data path trade, and draw it."`
	Hold    holdCommand    `cmd:"" hidden:"" help:"Hold tunnels until standard input ends."`
	Storm   stormCommand   `cmd:"" hidden:"" help:"Make TLS handshakes until standard input ends."`
}

// resultsFolder is where results are kept that are committed.
const resultsFolder = "bench/results"

// culvertFlags name the one program that all of these commands run.
type culvertFlags struct {
	Culvert string `placeholder:"FILE" help:"Culvert's binary; bin/culvert if it is there, else the one on the path."`
	Rows    string `placeholder:"REGEXP" help:"Only the rows whose name matches."`
}

// programFlags name the programs that are compared.
type programFlags struct {
	culvertFlags
	Floor   string `placeholder:"FILE" help:"The floor's binary; bin/floor if it is there."`
	Nginx   string `placeholder:"FILE" help:"nginx's binary; else the one that is installed."`
	Haproxy string `placeholder:"FILE" help:"HAProxy's binary; else the one that is installed."`
}

// built returns the name of a program that this project builds, if no other was given and it is in its place.
func built(given, name string) string {
	if path := filepath.Join("bin", name); given == "" {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return given
}

// options are those of all commands that run proxies.
func (f *culvertFlags) options(p *program) (peers.Options, error) {
	self, err := os.Executable()
	if err != nil {
		return peers.Options{}, err
	}
	rows, err := pattern("rows", f.Rows)
	return peers.Options{
		Self: self, Rows: rows, Progress: p.stderr, Terminal: p.live,
		Paths: map[string]string{peers.ProgramCulvert: built(f.Culvert, "culvert")},
	}, err
}

// pattern compiles the regular expression of a flag; none is nil.
func pattern(flag, text string) (*regexp.Regexp, error) {
	if text == "" {
		return nil, nil
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, usageError{(&settings.Error{Flag: flag, Text: text, Reason: "not a regular expression"}).Error()}
	}
	return compiled, nil
}

// dateFlag is the date that results carry.
type dateFlag struct {
	Date string `placeholder:"DATE" help:"The date of the results, such as 2026-01-31; else today's, UTC."`
}

func (f *dateFlag) date() (string, error) {
	if f.Date == "" {
		return time.Now().UTC().Format(time.DateOnly), nil
	}
	if _, err := time.Parse(time.DateOnly, f.Date); err != nil {
		return "", usageError{(&settings.Error{Flag: "date", Text: f.Date, Reason: "not a date", Allowed: "a date such as 2026-01-31"}).Error()}
	}
	return f.Date, nil
}

// quickCommand compares.
type quickCommand struct {
	programFlags
	dateFlag
	Rounds     int           `default:"7" placeholder:"ROUNDS" min:"1" max:"1000" help:"Each round measures every contender once."`
	Measured   time.Duration `default:"0" placeholder:"DURATION" min:"10ms" max:"10m" zero:"each row has its own" help:"Length of each measured part."`
	Contenders string        `placeholder:"REGEXP" help:"Only the contenders whose name matches."`
	Unpinned   bool          `placeholder:"BOOL" help:"Do not keep the proxy on one CPU and the load on another."`
	Out        string        `placeholder:"FILE" help:"Store every value of every round here, as JSON."`
}

// Run measures, stores the values, and prints the table.
func (c *quickCommand) Run(p *program) error {
	options, err := c.options(p)
	if err != nil {
		return err
	}
	if options.Contenders, err = pattern("contenders", c.Contenders); err != nil {
		return err
	}
	if options.Date, err = c.date(); err != nil {
		return err
	}
	options.Rounds, options.Measured, options.Unpinned = c.Rounds, c.Measured, c.Unpinned
	options.Paths[peers.ProgramFloor] = built(c.Floor, "floor")
	options.Paths[peers.ProgramNginx], options.Paths[peers.ProgramHAProxy] = c.Nginx, c.Haproxy
	results, err := measure(p, options)
	if results != nil && len(results.Rows) > 0 {
		fmt.Fprint(p.stdout, peers.Markdown(results))
	}
	if err != nil || c.Out == "" {
		return err // what is not complete is shown, and not stored
	}
	return results.WriteFile(c.Out)
}

func measure(p *program, options peers.Options) (*peers.Results, error) {
	bench, err := peers.Open(options)
	if err != nil {
		return nil, err
	}
	defer bench.Close()
	return bench.Run(p.ctx)
}

// tableCommand shows results.
type tableCommand struct {
	File   string `arg:"" optional:"" help:"What quick has stored."`
	Update string `placeholder:"DOCUMENT" help:"Put the table into this document, between its marks, and print nothing."`
}

// Run prints the table, or puts it into a document.
func (c *tableCommand) Run(p *program) error {
	name := c.File
	if name == "" {
		var err error
		if name, err = peers.NewestFile(resultsFolder, peers.QuickPrefix); err != nil {
			return err
		}
	}
	results, err := peers.ReadFile(name)
	if err != nil {
		return err
	}
	table := peers.Markdown(results)
	if c.Update == "" {
		fmt.Fprint(p.stdout, table)
		return nil
	}
	document, err := os.ReadFile(c.Update)
	if err != nil {
		return err
	}
	updated, err := peers.Splice(string(document), table)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Update, err)
	}
	return os.WriteFile(c.Update, []byte(updated), 0o644)
}

// profileCommand looks into Culvert.
type profileCommand struct {
	culvertFlags
	Duration  time.Duration `default:"1s" placeholder:"DURATION" min:"100ms" max:"10m" help:"Length of each of the three loads of a row."`
	Functions int           `default:"25" placeholder:"FUNCTIONS" min:"1" max:"1000" help:"How many functions are shown."`
	Out       string        `placeholder:"FOLDER" help:"Keep the raw data of perf here."`
}

// Run profiles each row.
func (c *profileCommand) Run(p *program) error {
	options, err := c.options(p)
	if err != nil {
		return err
	}
	options.Contenders, options.Rounds, options.Measured = regexp.MustCompile("^culvert$"), 1, c.Duration
	if c.Out != "" {
		if err := os.MkdirAll(c.Out, 0o755); err != nil {
			return err
		}
	}
	bench, err := peers.Open(options)
	if err != nil {
		return err
	}
	defer bench.Close()
	return bench.Profile(p.ctx, p.stdout, c.Functions, c.Out)
}

// curvesCommand draws.
type curvesCommand struct {
	culvertFlags
	dateFlag
	Rounds int    `default:"7" placeholder:"ROUNDS" min:"1" max:"1000" help:"Each round measures every point once."`
	From   string `placeholder:"FILE" help:"Measure nothing: draw what was stored."`
	Out    string `placeholder:"FILE" help:"Store every value of every round here, as JSON."`
	Folder string `default:"docs/curves" placeholder:"FOLDER" help:"Where the curves go, as SVG."`
}

// Run measures, stores the values, and draws the curves.
func (c *curvesCommand) Run(p *program) error {
	results, err := c.results(p)
	if err != nil {
		return err
	}
	if c.Out != "" {
		if err := results.WriteFile(c.Out); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(c.Folder, 0o755); err != nil {
		return err
	}
	for name, text := range peers.Draw(results) {
		file := filepath.Join(c.Folder, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
		fmt.Fprintln(p.stdout, file)
	}
	return nil
}

func (c *curvesCommand) results(p *program) (*peers.Results, error) {
	if c.From != "" {
		return peers.ReadFile(c.From)
	}
	options, err := c.options(p)
	if err != nil {
		return nil, err
	}
	if options.Date, err = c.date(); err != nil {
		return nil, err
	}
	options.Contenders, options.Rounds, options.Curves = regexp.MustCompile("^culvert$"), c.Rounds, true
	return measure(p, options)
}

// holdCommand is a helper of quick.
type holdCommand struct {
	Target  netip.AddrPort `required:"" placeholder:"ADDRESS" allowed:"an address and a port, such as 127.0.0.1:8080" help:"The proxy's address."`
	Tunnels int            `required:"" placeholder:"TUNNELS" min:"1" max:"1000000" help:"How many tunnels."`
	Size    int            `type:"size" default:"0" placeholder:"SIZE" min:"1B" max:"64MiB" zero:"none" help:"Messages of this size are sent on each, one after the other."`
}

// Run holds the tunnels.
func (c *holdCommand) Run(p *program) error {
	return peers.Hold(p.ctx, c.Target, c.Tunnels, c.Size, os.Stdin, p.stdout)
}

// stormCommand is a helper of quick.
type stormCommand struct {
	Target netip.AddrPort `required:"" placeholder:"ADDRESS" allowed:"an address and a port, such as 127.0.0.1:8443" help:"The proxy's address."`
	Rate   int            `required:"" placeholder:"HANDSHAKES/S" min:"1" max:"1000000" help:"Full handshakes per second."`
}

// Run makes the handshakes.
func (c *stormCommand) Run(p *program) error {
	prepare(1, true)
	return peers.MakeStorm(p.ctx, c.Target, float64(c.Rate), os.Stdin, p.stdout)
}
