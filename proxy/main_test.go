package proxy_test

import (
	"os"
	"testing"

	"culvert/proxy/proxytest"
)

// TestMain fails the run when a goroutine or a descriptor outlives the tests.
func TestMain(m *testing.M) { os.Exit(proxytest.Main(m)) }
