// Mutants breaks the code on purpose and looks whether the suite notices.
//
// Each file patches/*.patch is one defect: a header that says what is broken
// and which test is expected to notice, then a unified diff.
//
//	What: the wheel fires an entry one tick early
//	Kill: ./engine ^TestWheelNeverFiresEarly$
//	--- a/engine/wheel.go
//	+++ b/engine/wheel.go
//	@@ -40,3 +40,3 @@
//
// The defect is put into a temporary copy of the tree, never into the tree
// itself. The named test runs first, without the defect (it must pass) and with
// it (it should fail); if it does not notice, the whole suite runs. The program
// fails if a patch does not apply, if the code then does not compile, for that
// proves nothing, or if no test notices.
//
//	mutants [-run regexp]
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
	"text/tabwriter"
	"time"
)

// patchFolder holds the patches, seen from the module's root.
const patchFolder = "cmd/internal/mutants/patches"

func main() {
	only := flag.String("run", "", "try only mutants whose name matches this regular expression")
	flag.Parse()
	if err := run(*only); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(only string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("looking for the module's root: %w", err)
	}
	root := strings.TrimSpace(string(out))
	all, err := load(root)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(m *mutant) bool { return !wanted.MatchString(m.name) })
	if len(all) == 0 {
		return fmt.Errorf("no mutant in %s has such a name", patchFolder)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	lab, err := newLaboratory(ctx, root)
	if err != nil {
		return err
	}
	defer lab.close()
	var results []result
	for _, m := range all {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		start := time.Now()
		r := lab.try(m)
		r.name, r.seconds = m.name, time.Since(start).Seconds()
		fmt.Fprintf(os.Stderr, "%-9s %s: %s (%.0f s)\n", r.verdict, m.name, m.what, r.seconds)
		results = append(results, r)
	}
	return report(results)
}

// load reads all patches, ordered by name.
func load(root string) ([]*mutant, error) {
	paths, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(patchFolder), "*.patch"))
	if err != nil {
		return nil, err
	}
	var all []*mutant
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		m, err := parse(filepath.Base(p), string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(p), err)
		}
		all = append(all, m)
	}
	return all, nil
}

// report prints the table and returns an error if a mutant was not killed.
func report(results []result) error {
	bad := 0
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "\nmutant\tverdict\tseconds\tkilled by")
	for _, r := range results {
		fmt.Fprintf(table, "%s\t%s\t%.0f\t%s\n", r.name, r.verdict, r.seconds, r.detail)
		if r.verdict != killed && r.verdict != elsewhere {
			bad++
		}
	}
	table.Flush()
	fmt.Printf("\n%d mutants, %d killed, %d not\n", len(results), len(results)-bad, bad)
	if bad > 0 {
		return fmt.Errorf("%d mutants prove a gap in the suite, or nothing", bad)
	}
	return nil
}
