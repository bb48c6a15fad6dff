package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
)

const (
	v4line = "PROXY TCP4 192.0.2.1 198.51.100.7 51234 443\r\n"
	v6line = "PROXY TCP6 2001:db8::1 2001:DB8:0:0::2 0 65535\r\n"
)

func ends(source, destination string) Header {
	return Header{Source: netip.MustParseAddrPort(source), Destination: netip.MustParseAddrPort(destination)}
}

// header2 builds version 2 from its parts, with the length of what follows.
func header2(command, family byte, rest ...string) string {
	body := strings.Join(rest, "")
	b := append([]byte(signature2), command, family)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(body)))) + body
}

func vector(kind byte, value string) string {
	return string(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(value)))) + value
}

// checksummed puts the checksum of a whole header over the zeros of its vector.
func checksummed(header string) string {
	b := []byte(header)
	at := strings.Index(header, vector(vectorChecksum, "\x00\x00\x00\x00")) + vectorHead
	binary.BigEndian.PutUint32(b[at:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return string(b)
}

const (
	block4 = "\xc0\x00\x02\x01\xc6\x33\x64\x07\xc8\x22\x01\xbb"
	block6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\xc8\x22\x01\xbb"
	zeroChecksum = "\x03\x00\x04\x00\x00\x00\x00"
)

var blockUnix = strings.Repeat("\x00", 216)

// good are headers, and what they say.
var good = []struct {
	name, text string
	want       Header
}{
	{"v1 TCP4", v4line, ends("192.0.2.1:51234", "198.51.100.7:443")},
	{"v1 TCP6", v6line, ends("[2001:db8::1]:0", "[2001:db8::2]:65535")},
	{"v1 TCP6 of 4-in-6", "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n", ends("192.0.2.1:1", "[2001:db8::2]:2")},
	{"v1 TCP6 longest", "PROXY TCP6 " + strings.Repeat("ffff:", 7) + "ffff " + strings.Repeat("ffff:", 7) + "ffff 65535 65535\r\n",
		ends("["+strings.Repeat("ffff:", 7)+"ffff]:65535", "["+strings.Repeat("ffff:", 7)+"ffff]:65535")},
	{"v1 UNKNOWN", "PROXY UNKNOWN\r\n", Header{Local: true}},
	{"v1 UNKNOWN with text", "PROXY UNKNOWN ffff::1 whatever \x00\xff 65535\r\n", Header{Local: true}},
	{"v1 UNKNOWN of 107 bytes", "PROXY UNKNOWN " + strings.Repeat("x", 91) + "\r\n", Header{Local: true}},
	{"v2 TCP4", header2(proxy2, stream4, block4), ends("192.0.2.1:51234", "198.51.100.7:443")},
	{"v2 TCP6", header2(proxy2, stream6, block6), ends("[2001:db8::1]:51234", "[2001:db8::2]:443")},
	{"v2 vectors", header2(proxy2, stream4, block4, vector(1, "h2"), vector(4, ""), vector(0xea, "vpce")), ends("192.0.2.1:51234", "198.51.100.7:443")},
	{"v2 checksum", checksummed(header2(proxy2, stream6, block6, vector(2, "a.example"), zeroChecksum, vector(4, "xx"))),
		ends("[2001:db8::1]:51234", "[2001:db8::2]:443")},
	{"v2 of MaxV2", header2(proxy2, stream4, block4, vector(4, strings.Repeat("x", MaxV2-fixed2-12-3))), ends("192.0.2.1:51234", "198.51.100.7:443")},
	{"v2 UDP", header2(proxy2, datagram4, block4), Header{Local: true}},
	{"v2 UDP6", header2(proxy2, datagram6, block6, vector(1, "h3")), Header{Local: true}},
	{"v2 Unix", header2(proxy2, unixStream, blockUnix), Header{Local: true}},
	{"v2 Unix datagrams", header2(proxy2, unixPacket, blockUnix, vector(4, "")), Header{Local: true}},
	{"v2 unspecified", header2(proxy2, unspecified), Header{Local: true}},
	{"v2 unspecified with bytes", header2(proxy2, unspecified, "\xff\xff\xff"), Header{Local: true}},
	{"v2 LOCAL", header2(local2, unspecified), Header{Local: true}},
	{"v2 LOCAL with addresses", header2(local2, stream4, block4), Header{Local: true}},
	{"v2 LOCAL of a family that does not exist", header2(local2, 0x77, "\x01\xff\xff"), Header{Local: true}},
}

// bad are streams that are refused, with the number of bytes that it takes to know.
var bad = []struct {
	name, text string
	want       Reason
	known      int
}{
	{"nothing like it", "GET / HTTP/1.1\r\n", WrongSignature, 1},
	{"P of POST", "POST / HTTP/1.1\r\n", WrongSignature, 2},
	{"lower case", "proxy TCP4 ", WrongSignature, 1},
	{"tab for space", "PROXY\tTCP4", WrongSignature, 6},
	{"TLS", "\x16\x03\x01", WrongSignature, 1},
	{"empty lines", "\r\n\r\nGET / ", WrongSignature, 5},
	{"v2 signature cut short", "\r\n\r\n\x00\r\nQUIT\r\n", WrongSignature, 12},
	{"v1 family", "PROXY TCP5 ", BadFamily, 10},
	{"v1 UDP", "PROXY UDP4 ", BadFamily, 8},
	{"v1 two spaces", "PROXY  TCP4 ", BadFamily, 7},
	{"v1 no family", "PROXY \r\n", BadFamily, 7},
	{"v1 UNKNOWNS", "PROXY UNKNOWNS\r\n", BadFamily, 14},
	{"v1 UNKNOWN without addresses where there should be", "PROXY TCP4\r\n", BadFamily, 11},
	{"v1 LF", "PROXY UNKNOWN\n", BadLineEnd, 14},
	{"v1 CR", "PROXY UNKNOWN\rx", BadLineEnd, 15},
	{"v1 UNKNOWN too long", "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", TooLong, 107},
	{"v1 IPv6 in TCP4", "PROXY TCP4 ::1 ::1 1 1\r\n", BadAddress, 12},
	{"v1 IPv4 in TCP6", "PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n", BadAddress, 19},
	{"v1 octet over 255", "PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n", BadAddress, 21},
	{"v1 leading zero", "PROXY TCP4 1.2.3.04 1.2.3.4 1 1\r\n", BadAddress, 20},
	{"v1 zone", "PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n", BadAddress, 19},
	{"v1 brackets", "PROXY TCP6 [::1] ::1 1 1\r\n", BadAddress, 12},
	{"v1 endless address", "PROXY TCP6 " + strings.Repeat("0", 60), BadAddress, 11 + maxAddressText + 1},
	{"v1 missing address", "PROXY TCP4  1.2.3.4 1 1\r\n", BadAddress, 12},
	{"v1 line ends in address", "PROXY TCP4 1.2.3.4\r\n", BadAddress, 19},
	{"v1 port over 65535", "PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n", BadPort, 32},
	{"v1 port with zero", "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n", BadPort, 29},
	{"v1 port of two zeros", "PROXY TCP4 1.2.3.4 1.2.3.4 1 00\r\n", BadPort, 31},
	{"v1 negative port", "PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n", BadPort, 28},
	{"v1 no second port", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", BadLineEnd, 29},
	{"v1 empty second port", "PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n", BadPort, 30},
	{"v1 three ports", "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n", BadPort, 31},
	{"v1 bare LF", "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n", BadLineEnd, 31},
	{"v1 bare CR", "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\rG", BadLineEnd, 32},
	{"v2 version 1", header2(0x11, stream4, block4), BadVersion, 13},
	{"v2 version 0", header2(0x01, stream4, block4), BadVersion, 13},
	{"v2 command 2", header2(0x22, stream4, block4), BadCommand, 13},
	{"v2 family 4", header2(proxy2, 0x41, block4), BadFamily, 14},
	{"v2 transport 3", header2(proxy2, 0x13, block4), BadFamily, 14},
	{"v2 transport not specified", header2(proxy2, 0x10, block4), BadFamily, 14},
	{"v2 family not specified", header2(proxy2, 0x01, block4), BadFamily, 14},
	{"v2 too short for IPv4", header2(proxy2, stream4, block4[:11]), BadLength, 16},
	{"v2 none where required", header2(proxy2, stream4), BadLength, 16},
	{"v2 too short for IPv6", header2(proxy2, stream6, block6[:35]), BadLength, 16},
	{"v2 too short for Unix", header2(proxy2, unixStream, blockUnix[:215]), BadLength, 16},
	{"v2 over MaxV2", header2(proxy2, stream4, block4, vector(4, strings.Repeat("x", MaxV2-fixed2-12-2))), TooLong, 16},
	{"v2 LOCAL over MaxV2", header2(local2, unspecified, strings.Repeat("x", MaxV2-fixed2+1)), TooLong, 16},
	{"v2 vector past the end", header2(proxy2, stream4, block4, "\x04\x00\x05four"), BadTLV, 16 + 12 + 7},
	{"v2 vector's head past the end", header2(proxy2, stream4, block4, vector(4, "x"), "\x04\x00"), BadTLV, 16 + 12 + 6},
	{"v2 vector past the end of a Unix header", header2(proxy2, unixStream, blockUnix, "\x04"), BadTLV, 16 + 217},
	{"v2 checksum of 3 bytes", header2(proxy2, stream4, block4, vector(vectorChecksum, "abc")), BadTLV, 16 + 12 + 6},
	{"v2 two checksums", header2(proxy2, stream4, block4, zeroChecksum, zeroChecksum), BadTLV, 16 + 12 + 14},
	{"v2 wrong checksum", header2(proxy2, stream4, block4, zeroChecksum), BadChecksum, 16 + 12 + 7},
}

// TestHostile feeds the inputs of row P01: whole, cut at every byte, and with bytes behind.
func TestHostile(t *testing.T) {
	for _, c := range good {
		t.Run("P01/"+c.name, func(t *testing.T) {
			want := c.want
			want.Version = int(c.name[1] - '0')
			for cut := range len(c.text) {
				if n, h, err := Parse([]byte(c.text[:cut])); n != 0 || h != (Header{}) || err != nil {
					t.Fatalf("after %d bytes: %d, %+v, %v", cut, n, h, err)
				}
				if cut > 0 && !Plausible([]byte(c.text[:cut])) {
					t.Fatalf("after %d bytes it is not plausible", cut)
				}
			}
			for _, behind := range []string{"", "G", "GET / HTTP/1.1\r\n", c.text} {
				n, h, err := Parse([]byte(c.text + behind))
				if n != len(c.text) || h != want || err != nil {
					t.Errorf("with %q behind: %d, %+v, %v; want %d, %+v", behind, n, h, err, len(c.text), want)
				}
			}
		})
	}
	for _, c := range bad {
		t.Run("P01/"+c.name, func(t *testing.T) {
			for cut := range len(c.text) + 1 {
				n, h, err := Parse([]byte(c.text[:cut]))
				var failure *Error
				if errors.As(err, &failure) != (cut >= c.known) || n != 0 || h != (Header{}) {
					t.Fatalf("after %d bytes: %d, %+v, %v; want to know from %d on", cut, n, h, err, c.known)
				}
				if failure != nil && failure.Reason != c.want {
					t.Fatalf("after %d bytes: %v, want %v", cut, failure.Reason, c.want)
				}
			}
		})
	}
}

func TestWhatIsPlausible(t *testing.T) {
	for _, text := range []string{"P", "PROXY ", "PROXY / HTTP/1.1", "\r", "\r\n\r\n\x00\r\nQUIT\n", v4line} {
		if !Plausible([]byte(text)) {
			t.Errorf("%q is not plausible", text)
		}
	}
	for _, text := range []string{"", "POST", "GET", "\n", "\r\n\r\nG", "proxy "} {
		if Plausible([]byte(text)) {
			t.Errorf("%q is plausible", text)
		}
	}
}

func TestReasonsHaveTokens(t *testing.T) {
	seen := map[string]bool{"unknown": true}
	for r := range reasonCount {
		if seen[r.String()] || reasons[r].text == "" || !strings.Contains((&Error{r}).Error(), "("+r.String()+")") {
			t.Errorf("reason %d: %q, %v", r, r, &Error{r})
		}
		seen[r.String()] = true
	}
	if reasonCount.String() != "unknown" || (&Error{reasonCount}).Error() == "" {
		t.Error("a reason that does not exist has a token")
	}
}

func TestAppend(t *testing.T) {
	local := header2(local2, unspecified)
	mixed := header2(proxy2, stream6, strings.Repeat("\x00", 10)+"\xff\xff\xc0\x00\x02\x01"+block6[16:])
	cases := []struct {
		name                string
		source, destination netip.AddrPort
		v1, v2              string
	}{
		{"IPv4", netip.MustParseAddrPort("192.0.2.1:51234"), netip.MustParseAddrPort("198.51.100.7:443"), v4line, header2(proxy2, stream4, block4)},
		{"4-in-6", netip.MustParseAddrPort("[::ffff:192.0.2.1]:51234"), netip.MustParseAddrPort("198.51.100.7:443"), v4line, header2(proxy2, stream4, block4)},
		{"IPv6", netip.MustParseAddrPort("[2001:db8::1%eth0]:51234"), netip.MustParseAddrPort("[2001:db8::2]:443"),
			"PROXY TCP6 2001:db8::1 2001:db8::2 51234 443\r\n", header2(proxy2, stream6, block6)},
		{"mixed", netip.MustParseAddrPort("192.0.2.1:51234"), netip.MustParseAddrPort("[2001:db8::2]:443"),
			"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 51234 443\r\n", mixed},
		{"no source", netip.AddrPort{}, netip.MustParseAddrPort("[2001:db8::2]:443"), "PROXY UNKNOWN\r\n", local},
		{"no destination", netip.MustParseAddrPort("[2001:db8::2]:443"), netip.AddrPort{}, "PROXY UNKNOWN\r\n", local},
	}
	for _, c := range cases {
		if got := string(AppendV1([]byte("x"), c.source, c.destination)); got != "x"+c.v1 {
			t.Errorf("%s: %q, want %q", c.name, got, c.v1)
		}
		if got := string(AppendV2([]byte("x"), c.source, c.destination)); got != "x"+c.v2 {
			t.Errorf("%s: %x, want %x", c.name, got, c.v2)
		}
	}
}

// FuzzParse: no panic, no length beyond what is there, the same answer however the bytes come, and what is read can be
// written and read again.
func FuzzParse(f *testing.F) {
	for _, c := range good {
		f.Add([]byte(c.text))
	}
	for _, c := range bad {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		n, h, err := Parse(p)
		if n < 0 || n > len(p) || n > MaxV2 || (err != nil || n == 0) && h != (Header{}) || err != nil && n != 0 {
			t.Fatalf("%d, %+v, %v", n, h, err)
		}
		for cut := range min(len(p), MaxV2+1) {
			earlyN, early, earlyErr := Parse(p[:cut])
			if earlyN == 0 && earlyErr == nil {
				continue
			}
			if earlyN != n || early != h || earlyErr == nil != (err == nil) || err != nil && earlyErr.Error() != err.Error() {
				t.Fatalf("after %d bytes %d, %+v, %v; in the end %d, %+v, %v", cut, earlyN, early, earlyErr, n, h, err)
			}
			break
		}
		if n == 0 {
			return
		}
		if h.Local == h.Source.IsValid() || h.Local == h.Destination.IsValid() {
			t.Fatalf("local and addresses: %+v", h)
		}
		checkRoundTrip(t, h)
	})
}

func checkRoundTrip(t *testing.T, h Header) {
	t.Helper()
	for version, text := range map[int][]byte{1: AppendV1(nil, h.Source, h.Destination), 2: AppendV2(nil, h.Source, h.Destination)} {
		h.Version = version
		if n, again, err := Parse(text); n != len(text) || again != h || err != nil {
			t.Fatalf("%+v is written as %q, read as %d, %+v, %v", h, text, n, again, err)
		}
		if version == 1 && len(text) > MaxV1 {
			t.Fatalf("a line of %d bytes: %q", len(text), text)
		}
	}
}

// FuzzAppend: whatever addresses are written are read again.
func FuzzAppend(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1}, []byte{198, 51, 100, 7}, uint16(51234), uint16(443))
	f.Add(make([]byte, 16), []byte{198, 51, 100, 7}, uint16(0), uint16(65535))
	f.Add(bytes.Repeat([]byte{255}, 16), []byte{}, uint16(0), uint16(65535))
	f.Fuzz(func(t *testing.T, source, destination []byte, from, to uint16) {
		a, _ := netip.AddrFromSlice(source)
		b, _ := netip.AddrFromSlice(destination)
		h := Header{Source: netip.AddrPortFrom(a.Unmap(), from), Destination: netip.AddrPortFrom(b.Unmap(), to)}
		if !a.IsValid() || !b.IsValid() {
			h = Header{Local: true}
		}
		checkRoundTrip(t, h)
	})
}

func TestNothingIsAllocated(t *testing.T) {
	dst := make([]byte, 0, 256)
	for _, c := range good {
		p := []byte(c.text)
		if n := testing.AllocsPerRun(100, func() { _, _, _ = Parse(p) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
	source, destination := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("[2001:db8::2]:2")
	if n := testing.AllocsPerRun(100, func() { AppendV2(AppendV1(dst, source, destination), source, destination) }); n != 0 {
		t.Errorf("writing: %v allocations", n)
	}
}

func BenchmarkParse(b *testing.B) {
	for _, c := range good {
		if c.name != "v1 TCP4" && c.name != "v1 TCP6" && c.name != "v2 TCP4" && c.name != "v2 checksum" {
			continue
		}
		b.Run(strings.ReplaceAll(c.name, " ", "-"), func(b *testing.B) {
			p := []byte(c.text)
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = Parse(p)
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	dst := make([]byte, 0, 256)
	source, destination := netip.MustParseAddrPort("192.0.2.1:51234"), netip.MustParseAddrPort("198.51.100.7:443")
	for name, write := range map[string]func([]byte, netip.AddrPort, netip.AddrPort) []byte{"v1": AppendV1, "v2": AppendV2} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				write(dst, source, destination)
			}
		})
	}
}
