package proxytest

import "testing"

// Version is a version of TLS, as on the wire. 0: none, plain TCP.
type Version uint16

// The versions that tests speak.
const (
	Plain Version = 0
	TLS12 Version = 0x0303
	TLS13 Version = 0x0304
)

// Way is what the bytes of a test travel over, between the clients and the proxy, and between the proxy and the
// backends. The zero value is plain TCP on both sides.
type Way struct {
	// Name is that of the subtests that go this way. Empty: those of the plain way have no name of their own.
	Name string
	// Client and Backend are how clients and backends speak.
	Client, Backend Version
}

// Ways are all ways that a suite goes: the plain one first, and then each version on each side.
func Ways() []Way {
	return []Way{
		{},
		{Name: "TLS1.2", Client: TLS12, Backend: TLS12},
		{Name: "TLS1.3", Client: TLS13, Backend: TLS13},
		{Name: "TLS1.3-in-front", Client: TLS13},
	}
}

// T is a test that goes a way: the proxies and backends that it starts, and the clients that it dials, go it too.
type T struct {
	*testing.T
	way      Way
	parallel bool
}

// Over has a test go a way.
func Over(t *testing.T, way Way) *T { return &T{T: t, way: way} }

// Way returns the way that the test goes.
func (t *T) Way() Way { return t.way }

// Parallel may be called twice: by whoever sends the test several ways, and by the test itself.
func (t *T) Parallel() {
	if !t.parallel {
		t.parallel = true
		t.T.Parallel()
	}
}

// Run runs a subtest that goes the same way.
func (t *T) Run(name string, test func(*T)) bool {
	return t.T.Run(name, func(inner *testing.T) { test(Over(inner, t.way)) })
}

// wayOf returns the way of a test, which is the plain one unless it says so.
func wayOf(t testing.TB) Way {
	if t, ok := t.(*T); ok {
		return t.way
	}
	return Way{}
}
