package proxy_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"culvert/proxy/proxytest"
)

// The hostile inputs, by id. Each is fed to a real proxy between a client and a backend that record every byte;
// docs/hostile.md says which ids are covered, and what is decided where an input leaves a choice.

// hostileTest is one subtest of TestHostile. Its name begins with the id of its input.
type hostileTest struct {
	name string
	run  func(t *proxytest.T)
}

// hostileTests are all subtests, file by file.
func hostileTests() []hostileTest {
	var tests []hostileTest
	for _, cases := range [][]hostileCase{
		upgradeCases, tunnelCases, headCases, framingCases, forwardedCases, backendCases, answerCases, bodyCases, extraCases, proxyCases,
	} {
		for _, c := range cases {
			tests = append(tests, c.tests()...)
		}
	}
	return slices.Concat(tests, frameTests(), upgradeTests(), deadlineTests(), backendTests(), bodyTests(), endingTests(), extraTests(), proxyTests(),
		plainOnTLSTests(), recordTests(), stopTests(), nameTests(), secureExtraTests())
}

// TestHostile runs every hostile input whose capability exists, and fails when docs/hostile.md tells otherwise.
func TestHostile(t *testing.T) {
	var mu sync.Mutex
	ran := map[string]bool{}
	documented := documentedInputs(t)
	t.Cleanup(func() {
		for id, covered := range documented {
			if covered != ran[id] && !strings.Contains(testRunFlag(), "/") {
				t.Errorf("docs/hostile.md says covered: %v of %s, but a test of it has run: %v", covered, id, ran[id])
			}
		}
	})
	tests := hostileTests()
	names := map[string]bool{}
	for _, test := range tests {
		if names[test.name] {
			t.Errorf("two tests are named %s", test.name)
		}
		names[test.name] = true
	}
	for _, way := range proxytest.Ways() {
		for _, test := range tests {
			if !goes("TestHostile/"+test.name, way) {
				continue
			}
			t.Run(onWay(way, test.name), func(t *testing.T) {
				t.Parallel()
				id, _, _ := strings.Cut(test.name, "/")
				if _, known := documented[id]; !known {
					t.Errorf("%s is not in docs/hostile.md", id)
				}
				mu.Lock()
				ran[id] = true
				mu.Unlock()
				test.run(proxytest.Over(t, way))
			})
		}
	}
}

// testRunFlag returns what -run asks for: with a filter on subtests not every id runs.
func testRunFlag() string {
	for _, argument := range os.Args {
		if _, filter, ok := strings.Cut(argument, "-test.run="); ok {
			return filter
		}
	}
	return ""
}

// hostileInputCount is how many inputs each section of the list has.
var hostileInputCount = map[string]int{"U": 26, "H": 22, "B": 8, "F": 9, "E": 9, "P": 1, "T": 5, "A": 1}

var (
	hostileRow = regexp.MustCompile(`(?m)^\| ([A-Z][0-9]{2}) \| (covered|elsewhere|not built) \|(.*)\|$`)
	// testNamed and packageNamed find the tests that a row names, and the package that they are in.
	testNamed    = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	packageNamed = regexp.MustCompile("in `([a-z/]+)`")
)

// documentedInputs returns the rows of docs/hostile.md: id, and whether it is covered. Every id of the list must be
// there, once.
func documentedInputs(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../docs/hostile.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range hostileRow.FindAllStringSubmatch(string(text), -1) {
		if _, twice := documented[row[1]]; twice {
			t.Errorf("docs/hostile.md has two rows for %s", row[1])
		}
		documented[row[1]] = row[2] == "covered"
		wantTestsNamed(t, row[1], row[2] == "elsewhere", row[3])
	}
	for section, count := range hostileInputCount {
		for i := range count {
			id := fmt.Sprintf("%s%02d", section, i+1)
			if _, ok := documented[id]; !ok {
				t.Errorf("docs/hostile.md has no row for %s", id)
			}
		}
	}
	return documented
}

// wantTestsNamed checks that the tests exist that a row names. A row whose input is tested elsewhere has to name some.
func wantTestsNamed(t *testing.T, id string, elsewhere bool, text string) {
	t.Helper()
	names, in := testNamed.FindAllStringSubmatch(text, -1), packageNamed.FindStringSubmatch(text)
	if len(names) == 0 && !elsewhere {
		return
	}
	if len(names) == 0 || in == nil {
		t.Errorf("docs/hostile.md does not say which tests of which package cover %s", id)
		return
	}
	files, err := filepath.Glob(filepath.Join("..", in[1], "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var sources []byte
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, source...)
	}
	for _, name := range names {
		if !bytes.Contains(sources, []byte("\nfunc "+name[1]+"(")) {
			t.Errorf("docs/hostile.md says that %s is covered by %s in %s, which does not exist", id, name[1], in[1])
		}
	}
}
