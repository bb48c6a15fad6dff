package configfile

import (
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// plainTypes are the tokens of scalars without quotes.
var plainTypes = map[token.Type]bool{
	token.StringType: true, token.IntegerType: true, token.FloatType: true, token.BoolType: true, token.NullType: true,
	token.BinaryIntegerType: true, token.OctetIntegerType: true, token.HexIntegerType: true, token.InfinityType: true, token.NanType: true,
}

// joinColons puts together the scalars of lists in brackets that the YAML library cuts in two where those stand in
// braces: {servers: [10.0.0.1:9000]} has a server, and no mapping of an address to a number. A colon without a blank
// behind it belongs to the scalar (YAML 1.2.2, 7.3.3).
func joinColons(tokens token.Tokens) token.Tokens {
	var open []token.Type
	joined := tokens[:0:0]
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			open = append(open, t.Type)
		case token.SequenceEndType, token.MappingEndType:
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		case token.MappingValueType:
			if len(open) == 0 || open[len(open)-1] != token.SequenceStartType || len(joined) == 0 || i+1 == len(tokens) {
				break
			}
			before, behind := joined[len(joined)-1], tokens[i+1]
			if !plainTypes[behind.Type] || !adjacent(t, behind) {
				break
			}
			if plainTypes[before.Type] && adjacent(before, t) {
				joined[len(joined)-1] = token.New(before.Value+":"+behind.Value, before.Origin+":"+behind.Origin, before.Position)
				i++
				continue
			}
			if before.Type == token.SequenceStartType || before.Type == token.CollectEntryType {
				joined = append(joined, token.New(":"+behind.Value, t.Origin+behind.Origin, t.Position))
				i++
				continue
			}
		}
		joined = append(joined, t)
	}
	for i, t := range joined {
		t.Prev, t.Next = nil, nil
		if i > 0 {
			t.Prev, joined[i-1].Next = joined[i-1], t
		}
	}
	return joined
}

// adjacent reports whether nothing stands between two tokens.
func adjacent(a, b *token.Token) bool {
	return a.Position.Line == b.Position.Line && a.Position.Column+utf8.RuneCountInString(a.Value) == b.Position.Column
}
