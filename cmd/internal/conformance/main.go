// Conformance runs suites that nobody of this project wrote against Culvert and, with -peers, against nginx and HAProxy.
//
// The suites are obtained when it runs and are no part of this tree: the tests of net/http that come with Go, and the
// tests of http-parser, which scripts/conformance-sources.sh takes from Debian's source package. They are tests of
// parsers and servers. Here each of their inputs becomes a case: bytes that a client sends through the proxy to a
// recording backend, or bytes with which a backend answers. The verdict that the suite demands is the oracle.
//
//	conformance [-culvert bin/culvert] [-sources .cache/conformance] [-run regexp] [-verbose] [-peers]
//
// The cases that Culvert fails must be those of expected.txt, each with its argument: one more is a failure of this
// program, and so is one less. With -peers it writes docs/conformance.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// requirement is the variable that turns a source that cannot be had into a failure.
const requirement = "CULVERT_REQUIRE_CONFORMANCE"

// leastCases is how many a complete run has at least: fewer would mean that a source has silently dried up.
const leastCases = 150

// runTime bounds a run, of which nearly all is the building of the suites.
const runTime = 90 * time.Second

// options are the flags.
type options struct {
	culvert string // Culvert's binary
	sources string // folder of scripts/conformance-sources.sh
	only    string // regular expression of cases
	verbose bool
	peers   bool
}

func main() {
	var o options
	flag.StringVar(&o.culvert, "culvert", "bin/culvert", "the binary under test")
	flag.StringVar(&o.sources, "sources", ".cache/conformance", "where scripts/conformance-sources.sh has put its sources")
	flag.StringVar(&o.only, "run", "", "run only cases whose id matches this regular expression; nothing is checked then")
	flag.BoolVar(&o.verbose, "verbose", false, "print every case that fails, with what was seen")
	flag.BoolVar(&o.peers, "peers", false, "run nginx and HAProxy too, and write docs/conformance.md")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, runTime, fmt.Errorf("not done within %v", runTime))
	defer cancel()
	if err := run(ctx, o); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = errors.Join(cause, err)
		}
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	wanted, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	suites, complete, err := obtain(ctx, filepath.Join(root, o.sources))
	if err != nil {
		return err
	}
	for _, s := range suites {
		s.cases = slices.DeleteFunc(s.cases, func(c *testCase) bool { return !wanted.MatchString(c.id) })
	}
	columns, err := runAll(ctx, o, root, suites)
	if err != nil {
		return err
	}
	argued, err := loadExpected()
	if err != nil {
		return err
	}
	record := report{suites: suites, columns: columns, argued: argued}
	fmt.Print(record.summary())
	if o.verbose || o.only != "" {
		fmt.Print(record.failures())
	}
	if o.only != "" {
		return nil
	}
	if err := record.check(complete); err != nil || !complete {
		return err
	}
	document := filepath.Join(root, "docs", "conformance.md")
	if o.peers {
		return os.WriteFile(document, []byte(record.document()), 0o644)
	}
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	return record.checkDocument(string(text))
}

// runAll sends all cases through each proxy, one proxy after the other.
func runAll(ctx context.Context, o options, root string, suites []*suite) ([]column, error) {
	programs := []string{programCulvert}
	if o.peers {
		programs = append(programs, programNginx, programHAProxy)
	}
	var columns []column
	for _, program := range programs {
		path := filepath.Join(root, o.culvert)
		if program != programCulvert {
			var err error
			if path, err = findPeer(program); err != nil {
				return nil, err
			}
		}
		c, err := runProxy(ctx, program, path, suites)
		if err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	return columns, nil
}

// obtain gets every source. One that cannot be had is named; where it is required that is a failure.
func obtain(ctx context.Context, folder string) (suites []*suite, complete bool, err error) {
	complete = true
	for _, source := range []func(context.Context, string) (*suite, error){goSuite, parserSuite} {
		s, err := source(ctx, folder)
		var missing *missingError
		switch {
		case errors.As(err, &missing) && os.Getenv(requirement) == "":
			fmt.Printf("Skipped: %v\n", err)
			complete = false
		case err != nil:
			return nil, false, err
		default:
			suites = append(suites, s)
		}
	}
	if len(suites) == 0 {
		return nil, false, errors.New("there is no source: that proves nothing and counts as a failure")
	}
	return suites, complete, nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the module's root: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
