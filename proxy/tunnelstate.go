package proxy

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"culvert/engine"
)

// tunnelStateVersion is the first byte of an exported tunnel.
const tunnelStateVersion = 2

var errTunnelState = errors.New("not an exported tunnel of a known version, or cut short")

// appendState appends the whole state of a live tunnel to b: its identity in the log, and its relay with both stages.
// The connections travel as descriptors, beside it. Multi-byte numbers are little-endian, strings are preceded by
// their length in two bytes.
func (t *tunnel) appendState(b []byte) []byte {
	b = append(b, tunnelStateVersion, byte(t.record.closedFirst))
	b = binary.LittleEndian.AppendUint64(b, t.record.id)
	b = binary.LittleEndian.AppendUint64(b, uint64(t.record.opened))
	client, _ := t.record.client.MarshalBinary() // never fails
	backend := t.record.backend
	address, _ := backend.address.MarshalBinary()  // never fails
	counted, _ := t.record.counted.MarshalBinary() // never fails
	for _, text := range []string{
		string(client), string(counted), backend.group, backend.name(), string(address), backend.path, t.record.host(), t.record.uri(),
	} {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(text)))
		b = append(b, text...)
	}
	return t.relay.AppendState(b)
}

// restoreTunnel takes over an exported tunnel between two connections of this loop. The caller starts its relay. A
// backend that no configuration has is one like those that a reload has taken away.
func (h *shard) restoreTunnel(b []byte, ends [2]engine.End) (*tunnel, error) {
	if len(b) < 18 || b[0] != tunnelStateVersion || engine.Side(b[1]) > engine.SideNone {
		return nil, errTunnelState
	}
	t := &tunnel{shard: h, record: new(tunnelRecord)}
	t.record.closedFirst = engine.Side(b[1])
	t.record.id = binary.LittleEndian.Uint64(b[2:])
	t.record.opened = int64(binary.LittleEndian.Uint64(b[10:]))
	b = b[18:]
	var texts [8][]byte
	for i := range texts {
		if len(b) < 2 || len(b)-2 < int(binary.LittleEndian.Uint16(b)) {
			return nil, errTunnelState
		}
		end := 2 + int(binary.LittleEndian.Uint16(b))
		texts[i], b = b[2:end], b[end:]
	}
	var address netip.AddrPort
	if t.record.client.UnmarshalBinary(texts[0]) != nil || t.record.counted.UnmarshalBinary(texts[1]) != nil || address.UnmarshalBinary(texts[4]) != nil {
		return nil, errTunnelState
	}
	t.record.text = string(texts[6]) + " " + string(texts[7])
	stages := h.tunnelStages(t)
	if _, err := t.relay.RestoreState(b, &h.loop.Workspace, ends, stages, t); err != nil {
		return nil, err
	}
	t.record.backend = h.server.registry.take(backendKey{group: string(texts[2]), address: address, path: string(texts[5])}, string(texts[3]))
	t.record.backend.active.Add(1)
	h.counters.tunnelsOpened++
	h.streams.add(t)
	return t, nil
}
