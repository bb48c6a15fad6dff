package apps

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"culvert/proxy/proxytest"
)

// program is the proxy as users run it, built once. Under the race detector it has that too.
var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	folder, err := os.MkdirTemp("", "culvert-apps-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	program = filepath.Join(folder, "culvert")
	build := exec.Command("go", append(append([]string{"build", "-buildvcs=false"}, buildFlags...), "-o", program, "culvert/cmd/culvert")...)
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "the program cannot be built: %v\n%s", err, output)
		return 1
	}
	return proxytest.Main(m)
}
