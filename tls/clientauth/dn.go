//go:build linux

package clientauth

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// shortNames are the types that have a name: those of RFC 4514, section 3, and, spelled as OpenSSL does, others that occur
// in certificates.
var shortNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
	"2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.13": "description",
	"2.5.4.17": "postalCode", "2.5.4.41": "name", "2.5.4.42": "GN", "2.5.4.43": "initials", "2.5.4.46": "dnQualifier",
	"2.5.4.65": "pseudonym", "2.5.4.97": "organizationIdentifier", "1.2.840.113549.1.9.1": "emailAddress",
	"0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
}

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type relativeNameSET []attribute // the suffix tells encoding/asn1 that it is a set

// DN spells a distinguished name as RFC 4514 (and RFC 2253) says, the most specific part first: "CN=a,O=b". The result is
// printable ASCII and safe in a header: every other byte of the UTF-8 is written as \XX. Types without a name are written
// as their numbers, with the value's DER in hexadecimal digits.
func DN(der []byte) (string, error) {
	var sequence []relativeNameSET
	rest, err := asn1.Unmarshal(der, &sequence)
	if err != nil {
		return "", err
	}
	if len(rest) > 0 {
		return "", errors.New("bytes behind the name")
	}
	var b strings.Builder
	for i := len(sequence) - 1; i >= 0; i-- {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		for j := len(sequence[i]) - 1; j >= 0; j-- {
			a := sequence[i][j]
			number := a.Type.String()
			name := shortNames[number]
			text, known := textOf(a.Value)
			if name == "" {
				name, known = number, false
			}
			b.WriteString(name)
			b.WriteByte('=')
			if known {
				escape(&b, text)
			} else {
				b.WriteByte('#')
				b.WriteString(strings.ToUpper(hex.EncodeToString(a.Value.FullBytes)))
			}
			if j > 0 {
				b.WriteByte('+')
			}
		}
	}
	return b.String(), nil
}

// textOf returns a string of any of ASN.1's kinds in UTF-8; false if the value is none.
func textOf(v asn1.RawValue) (string, bool) {
	if v.Class != asn1.ClassUniversal || v.IsCompound {
		return "", false
	}
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagNumericString, 26: // 26: VisibleString
		return string(v.Bytes), utf8.Valid(v.Bytes)
	case asn1.TagT61String: // Latin-1, by convention
		runes := make([]rune, 0, len(v.Bytes))
		for _, c := range v.Bytes {
			runes = append(runes, rune(c))
		}
		return string(runes), true
	case asn1.TagBMPString:
		if len(v.Bytes)%2 != 0 {
			return "", false
		}
		units := make([]uint16, 0, len(v.Bytes)/2)
		for i := 0; i < len(v.Bytes); i += 2 {
			units = append(units, uint16(v.Bytes[i])<<8|uint16(v.Bytes[i+1]))
		}
		return string(utf16.Decode(units)), true
	}
	return "", false
}

// escape writes a value (RFC 4514, section 2.4).
func escape(b *strings.Builder, text string) {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ' || c > '~':
			b.Write([]byte{'\\', digits[c>>4], digits[c&15]})
		case strings.IndexByte(`,+"\<>;`, c) >= 0,
			i == 0 && (c == ' ' || c == '#'), i == len(text)-1 && c == ' ':
			b.Write([]byte{'\\', c})
		default:
			b.WriteByte(c)
		}
	}
}
