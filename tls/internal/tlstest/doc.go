// Package tlstest makes certificates and performs handshakes in memory, for the tests of the packages below tls/.
//
//	authority := tlstest.NewAuthority("Test CA")
//	pair := authority.Issue(tlstest.Leaf{Names: []string{"example.com"}, Key: tlstest.ECDSA256})
//	outcome := tlstest.Handshake(&tls.Config{Certificates: []tls.Certificate{pair.TLS}}, &tls.Config{...})
//
// What cannot fail panics. Time is virtual: certificates are valid around Now, which is the time that
// configurations should have too.
package tlstest

import "time"

// Now is the present of the tests.
var Now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// Clock tells Now, for tls.Config.Time.
func Clock() time.Time { return Now }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
