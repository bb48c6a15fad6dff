package proxy

import (
	"bytes"

	"culvert/proxy/balance"
	"culvert/proxy/http1"
	"culvert/proxy/sticky"
)

// takeKeys notes what the request's backend is chosen by, while its head is at hand.
func (x *exchange) takeKeys(head *http1.RequestHead) {
	x.readCookies(head)
	x.hasKey = false
	if s := &x.rule.lineup.schedule; s.algorithm == balance.Hash {
		x.hashKey, x.hasKey = x.keyOf(head, &s.hashBy)
	}
}

// keyOf returns the key of a part of the request; ok is false where the request has no such part.
func (x *exchange) keyOf(head *http1.RequestHead, by *HashKey) (key uint64, ok bool) {
	switch by.Kind {
	case HashHeader:
		value, count := head.Lookup(by.Name)
		return balance.KeyOf(value), count > 0
	case HashPath:
		return balance.KeyOf(head.Path()), true
	case HashQuery:
		query, _ := head.Query()
		value, found := parameter(query, by.Name)
		return balance.KeyOf(value), found
	case HashCookie:
		for i := range head.Len() {
			if f := head.At(i); f.ID == http1.FieldCookie {
				if value, found := sticky.Value(f.Value, by.Name); found {
					return balance.KeyOf(value), true
				}
			}
		}
		return 0, false
	}
	return balance.KeyOfAddress(x.record.client, int(x.shard.server.clients.prefix6.Load())), true
}

// parameter returns the value of the first parameter of this name in a query, as it is spelled.
func parameter(query []byte, name string) (value []byte, found bool) {
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		if key, value, _ := bytes.Cut(pair, []byte("=")); string(key) == name {
			return value, true
		}
	}
	return nil, false
}
