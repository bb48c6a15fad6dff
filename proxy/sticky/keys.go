package sticky

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MaxSecrets bounds the secrets of a file: a new one, the present one, and some old ones.
const MaxSecrets = 16

const secretBytes = 32

// Secret is what the keys are derived from. It does not show itself when it is printed.
type Secret struct{ bytes [secretBytes]byte }

// Format hides the secret, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, "(secret)") }

// ParseSecrets reads the text of a key file: a secret a line, as 64 hexadecimal digits, at most MaxSecrets of them. The
// first makes tokens, all are accepted. Empty lines and those that begin with # do not count. Errors name the line and
// never show a secret.
func ParseSecrets(text string) ([]Secret, error) {
	var secrets []Secret
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := parseSecret(line)
		switch {
		case err != nil:
			return nil, fmt.Errorf("line %d: %w", number, err)
		case slices.Contains(secrets, s):
			return nil, fmt.Errorf("line %d: the key stands in the file twice", number)
		case len(secrets) == MaxSecrets:
			return nil, fmt.Errorf("line %d: more than %d keys: remove those that are over", number, MaxSecrets)
		}
		secrets = append(secrets, s)
	}
	if len(secrets) == 0 {
		return nil, errors.New("holds no key: a line is 64 hexadecimal digits")
	}
	return secrets, nil
}

func parseSecret(digits string) (Secret, error) {
	decoded, err := hex.DecodeString(digits)
	if err != nil || len(decoded) != secretBytes { // err would show a digit
		return Secret{}, errors.New("a key is 64 hexadecimal digits, as openssl rand -hex 32 makes them")
	}
	s := Secret{[secretBytes]byte(decoded)}
	if s == (Secret{}) {
		return Secret{}, errors.New("a key of zeros is no secret")
	}
	return s, nil
}

// Keys are those of one context. Immutable.
type Keys struct{ insert, rewrite []key }

// Format hides the keys, whatever the verb.
func (*Keys) Format(f fmt.State, _ rune) { fmt.Fprint(f, "(keys)") }

// key makes and verifies tokens.
type key struct {
	id         byte // tells those of a context apart, mostly
	sign, hide []byte
}

// errNoKey: without a secret there are no tokens.
var errNoKey = errors.New("a cookie needs a key, and there is none")

// NewKeys derives the keys of a context, such as a group's name, from secrets, of which an Inserter or a Rewriter needs
// one at least. The same secrets and context give the same keys on every machine.
func NewKeys(secrets []Secret, context string) *Keys {
	k := &Keys{}
	for i := range secrets {
		k.insert = append(k.insert, derive(&secrets[i], "insert", context))
		k.rewrite = append(k.rewrite, derive(&secrets[i], "rewrite", context))
	}
	return k
}

// derive spells its purpose such that no two are spelled alike.
func derive(s *Secret, kind, context string) key {
	info := "culvert sticky 1\x00" + kind + "\x00" + context
	bytes, err := hkdf.Key(sha256.New, s.bytes[:], nil, info, 1+2*secretBytes)
	if err != nil {
		panic(err) // 65 bytes are never too many
	}
	return key{bytes[0], bytes[1 : 1+secretBytes], bytes[1+secretBytes:]}
}
