package proxy_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culvert/proxy"
)

// Servers that come and go while the proxy runs.

// TestAReloadKnowsWhatIsDiscovered: of a source that is new, that is asked in another way, and after a reload that was
// refused, a group has the servers as soon as the reload is over.
func TestAReloadKnowsWhatIsDiscovered(t *testing.T) {
	t.Parallel()
	tellers := newTellers(t, "a", "b")
	list, other := filepath.Join(t.TempDir(), "servers.yaml"), filepath.Join(t.TempDir(), "others.yaml")
	replace(t, list, fmt.Sprintf("- %s\n", tellers[0].Address()))
	replace(t, other, fmt.Sprintf("- %s\n", tellers[1].Address()))
	p := startTellers(t, tellers, nil)
	discovers := func(d proxy.Discovery) func(*proxy.Config) {
		return func(c *proxy.Config) { c.Groups[0].Backends, c.Groups[0].Discovery = nil, &d }
	}
	wants := func(name string) {
		t.Helper()
		for range 3 {
			if head := (inquiry{}).try(t, p); who(head) != name {
				t.Fatalf("%s is the only server, and the answer is %q", name, head)
			}
		}
	}
	p.Reload(t, discovers(proxy.Discovery{File: list}))
	wants("a")
	p.Reload(t, discovers(proxy.Discovery{File: list, MinTTL: 2 * time.Second}))
	wants("a")
	p.Reload(t, discovers(proxy.Discovery{File: other, MinTTL: 2 * time.Second}))
	wants("b")
	if err := p.TryReload(func(c *proxy.Config) {
		discovers(proxy.Discovery{File: other})(c)
		c.Groups[0].RetryShare = -1
	}); err == nil {
		t.Fatal("a share of -1 % is taken")
	}
	wants("b")
	p.Reload(t, func(c *proxy.Config) { c.Groups[0].RetryShare = 10 })
	wants("b")
	if text := p.ErrorLog(); strings.Contains(text, "do not answer") {
		t.Errorf("the log says %s", text)
	}
}
