// Package sim drives the relay, the timing wheel and the WebSocket stages that Culvert ships through a simulated
// world: virtual time, sockets that misbehave as the engine's End contract allows, and peers that send, stall, finish
// and reset. Everything comes from one seed, so that a failure can be replayed.
//
//	report := sim.Run(sim.Options{Seed: 42, Move: true, Trace: os.Stdout})
//
// An oracle that shares no code with the relay judges every step: what arrives where, how and when each tunnel ends,
// and what is left behind. docs/simulation.md tells what is simulated and what is checked.
package sim
