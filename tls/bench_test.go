package tls

import (
	"fmt"
	"testing"
)

// BenchmarkHandshake does both sides of a full handshake (ECDSA on P-256), each on a worker.
func BenchmarkHandshake(b *testing.B) {
	for _, version := range []Version{Version12, Version13} {
		b.Run(fmt.Sprintf("%v", version), func(b *testing.B) {
			o := newOwner(b)
			server, client := configOf(b, true, version), configOf(b, false, version)
			b.ReportAllocs()
			for b.Loop() {
				s, c := o.open(server), o.open(client)
				shuttle(o, s, c)
				s.Abandon()
				c.Abandon()
				o.conns = o.conns[:0]
			}
		})
	}
}

// sizes are those of small messages and of the longest record.
var sizes = []int{125, 16 << 10}

func BenchmarkSeal(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			server, _ := pair(newOwner(b), Version13)
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := server.Seal(p); err != nil {
					b.Fatal(err)
				}
				server.Advance(len(server.Pending()))
			}
		})
	}
}

// BenchmarkOpen includes the time that copying the ciphertext takes, as recv would, but not that of sealing.
func BenchmarkOpen(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			server, client := pair(newOwner(b), Version13)
			const records = 64
			message, p := make([]byte, size), make([]byte, 64<<10)
			var stream []byte
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if len(stream) == 0 {
					b.StopTimer()
					for range records {
						if err := client.Seal(message); err != nil {
							b.Fatal(err)
						}
					}
					stream = take(client)
					b.StartTimer()
				}
				n := copy(p, stream[:recordLength(stream)])
				stream = stream[n:]
				server.Feed(p[:n])
				if m, status := server.Plain(p[32<<10:]); m != size || status != StatusBlocked {
					b.Fatalf("%d bytes, status %v", m, status)
				}
			}
		})
	}
}
