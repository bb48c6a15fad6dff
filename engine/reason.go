package engine

// EndReason says why a relay ended. One value reaches log, metric and test alike. The engine's own reasons are
// below FirstOuterReason; the package that owns the protocol numbers its own from there.
type EndReason uint8

// The reasons that the engine itself gives.
const (
	// EndNone: not ended.
	EndNone EndReason = iota
	// EndClosed: both sides finished; everything was delivered.
	EndClosed
	// EndIdle: no byte touched the backend's socket within the idle timeout.
	EndIdle
	// EndStalled: bytes were pending and the side they were for took none within the stall timeout.
	EndStalled
	// EndHalfClosed: one side had finished and the other was silent for the half-closed timeout.
	EndHalfClosed
	// EndClientReset: the client's socket was reset.
	EndClientReset
	// EndBackendReset: the backend's socket was reset.
	EndBackendReset
	// EndClientLost: the client's host stopped answering (keep-alive or TCP_USER_TIMEOUT).
	EndClientLost
	// EndBackendLost: the backend's host stopped answering.
	EndBackendLost
	// EndClientTransport: the transport below the client's end broke.
	EndClientTransport
	// EndBackendTransport: the transport below the backend's end broke.
	EndBackendTransport
	// EndShutdown: this process is shutting down.
	EndShutdown
	// EndNoMemory: the loop's buffer memory was used up, and this relay had been stalled the longest.
	EndNoMemory
	// FirstOuterReason is the first value free for the package above.
	FirstOuterReason EndReason = 32
)

var reasonNames = [...]string{
	EndNone:             "none",
	EndClosed:           "closed",
	EndIdle:             "idle-timeout",
	EndStalled:          "stalled-timeout",
	EndHalfClosed:       "half-closed-timeout",
	EndClientReset:      "client-reset",
	EndBackendReset:     "backend-reset",
	EndClientLost:       "client-lost",
	EndBackendLost:      "backend-lost",
	EndClientTransport:  "client-transport",
	EndBackendTransport: "backend-transport",
	EndShutdown:         "shutdown",
	EndNoMemory:         "no-memory",
}

// EngineReasonName returns the stable token of one of the engine's own reasons, or "" for any other.
func EngineReasonName(r EndReason) string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return ""
}

// Outcome is how a relay ended: why, and who caused it.
type Outcome struct {
	Reason EndReason
	// By is the side that caused the end; SideNone when it was the proxy itself.
	By Side
}

// BrokenReason returns why a relay ends whose end at side is broken by fault.
func BrokenReason(side Side, fault Fault) EndReason {
	return [...][2]EndReason{
		FaultReset:     {EndClientReset, EndBackendReset},
		FaultLost:      {EndClientLost, EndBackendLost},
		FaultTransport: {EndClientTransport, EndBackendTransport},
	}[fault][side]
}
