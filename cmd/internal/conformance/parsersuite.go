package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed probes/recorder.c
var recorder string

// parserFolder is what scripts/conformance-sources.sh unpacks.
const parserFolder = "http-parser-2.9.4"

// parserMain is where the main function of http-parser's tests begins.
const parserMain = "\nint\nmain (void)\n"

// parserSuite builds and runs the tests of http-parser, with the recorder before their main function.
func parserSuite(ctx context.Context, sources string) (*suite, error) {
	const name = "http-parser"
	source := filepath.Join(sources, parserFolder)
	text, err := os.ReadFile(filepath.Join(source, "test.c"))
	if err != nil {
		return nil, &missingError{name, "not there, see scripts/conformance-sources.sh: " + err.Error()}
	}
	before, main, ok := strings.Cut(string(text), parserMain)
	if !ok {
		return nil, fmt.Errorf("%s: test.c has no main function where it is expected", name)
	}
	folder, err := os.MkdirTemp("", "culvert-conformance-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	program, told := filepath.Join(folder, "suite"), filepath.Join(folder, "cases")
	if err := os.WriteFile(program+".c", []byte(before+"\n"+recorder+parserMain+main), 0o600); err != nil {
		return nil, err
	}
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		return nil, &missingError{name, "its tests are C, and there is no gcc"}
	}
	build := exec.CommandContext(ctx, compiler, "-O1", "-w", "-I", source, "-o", program, program+".c", filepath.Join(source, "http_parser.c"))
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: building its tests: %w\n%s", name, err, out)
	}
	test := exec.CommandContext(ctx, program)
	test.Env = append(os.Environ(), "CULVERT_CASES="+told)
	if out, err := test.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: its own tests: %w\n%s", name, err, out)
	}
	f, err := os.Open(told)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cases, err := readFindings(name, f)
	return &suite{name: name, title: "tests of http-parser (Node's, by Joyent), from Debian's source package", revision: "2.9.4", cases: cases}, err
}
