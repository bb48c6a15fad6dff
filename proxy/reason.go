package proxy

import "culvert/engine"

// The reasons for which an exchange ends besides the engine's own. Each is one token in the access log and one label
// value of the metrics.
const (
	// EndProtocolError: a side broke RFC 6455 inside a tunnel.
	EndProtocolError = engine.FirstOuterReason + iota
	// EndComplete: an ordinary answer was delivered whole.
	EndComplete
	// EndAnswerCut: the backend ended its answer before it was complete.
	EndAnswerCut
	// EndBadAnswerBody: the backend's chunked framing was wrong.
	EndBadAnswerBody
	// EndRequestCut: the client finished before its request's body was complete (400).
	EndRequestCut
	// EndBodyTooLarge: the request's body is over its limit (413).
	EndBodyTooLarge
	// EndExpectation: an Expect other than 100-continue (417).
	EndExpectation
	// EndMaxForwards: an OPTIONS whose Max-Forwards is used up, which we answer ourselves (200, RFC 9110 7.6.2).
	EndMaxForwards
	// EndKeepAlive: a connection ended between two requests.
	EndKeepAlive
	// EndSilent: the client sent no byte within the head timeout, or left without any.
	EndSilent
	// EndRequestTimeout: only part of a head came within the head timeout (408).
	EndRequestTimeout
	// EndBadRequest: the request's head breaks RFC 9112 (400).
	EndBadRequest
	// EndTargetTooLong: the request line is over its limit (414).
	EndTargetTooLong
	// EndHeadTooLarge: the head or one of its parts is over its limit (431).
	EndHeadTooLarge
	// EndMethodRefused: TRACE or CONNECT (405).
	EndMethodRefused
	// EndNotImplemented: an unknown transfer coding (501).
	EndNotImplemented
	// EndVersionRefused: a version of HTTP that is not spoken here (505).
	EndVersionRefused
	// EndBadUpgrade: a malformed request for a WebSocket (400).
	EndBadUpgrade
	// EndUpgradeVersion: a version of WebSocket other than 13 (426).
	EndUpgradeVersion
	// EndClientLeft: the client left before the answer (logged as 499).
	EndClientLeft
	// EndNoBackend: no backend takes new requests (503).
	EndNoBackend
	// EndNoResources: descriptors, ports or memory ran out here (503).
	EndNoResources
	// EndConnectFailed: no backend that was tried could be reached (502).
	EndConnectFailed
	// EndConnectTimeout: the backends that were tried did not answer the connect in time (504).
	EndConnectTimeout
	// EndBackendClosed: the backend closed before its answer's head was whole (502).
	EndBackendClosed
	// EndBadAnswer: the backend's head breaks RFC 9112 (502).
	EndBadAnswer
	// EndBadUpgradeAnswer: a 101 that was not asked for, or is no valid answer to the upgrade (502).
	EndBadUpgradeAnswer
	// EndTooManyInterim: the backend sent more 1xx answers than the bound (502).
	EndTooManyInterim
	// EndAnswerTimeout: the backend did not answer in time (504).
	EndAnswerTimeout
	// EndListenerGone: a request on a connection of a listener that a reload has removed (503).
	EndListenerGone
	// EndAccess: the client's address is not let in by an access list (403).
	EndAccess
	// EndOrigin: a page of the upgrade's origin may not open WebSockets here (403).
	EndOrigin
	// EndNoRule: the listener has no rule for the request, and no default group (404).
	EndNoRule
	// EndLimit: a limit of the instance, of a rule or for the client was reached (503); the detail names it.
	EndLimit
	// EndFixedAnswer: a rule has answered by itself, by a redirect or a fixed answer.
	EndFixedAnswer
	// EndBadPreface: the connection did not begin with a PROXY header as it must; it is closed without an answer.
	EndBadPreface
	// EndHandshake: the TLS handshake with the client failed; the detail says how.
	EndHandshake
	// EndHandshakeTimeout: it was not over within its timeout, or was given up for others that waited.
	EndHandshakeTimeout
	// EndPlainHTTP: a request without TLS came to an HTTPS listener (400, in clear).
	EndPlainHTTP
	// EndMisdirected: the request is for another host than the one that the client's certificate was asked for (421).
	EndMisdirected
	// EndQueueTimeout: no backend had a place for one more connection in time (503).
	EndQueueTimeout
	// EndDrained: the backend is being drained, and its tunnels have had their time.
	EndDrained
	// EndBackendDown: the backend fails its checks, and its tunnels are ended then.
	EndBackendDown
	endReasons
)

var outerReasonNames = [endReasons - engine.FirstOuterReason]string{
	"protocol-error", "complete", "answer-cut", "bad-answer-body", "request-cut", "body-too-large",
	"expectation-failed", "max-forwards", "keep-alive", "silent", "request-timeout", "bad-request",
	"target-too-long", "head-too-large", "method-refused", "not-implemented", "version-refused", "bad-upgrade",
	"upgrade-version", "client-left", "no-backend", "no-resources", "connect-failed", "connect-timeout",
	"backend-closed", "bad-answer", "bad-upgrade-answer", "too-many-interim", "answer-timeout",
	"listener-gone", "access-denied", "origin-denied", "no-rule", "limit", "fixed-answer", "bad-proxy-header",
	"tls-handshake", "tls-handshake-timeout", "plain-http", "misdirected", "queue-timeout", "drained", "backend-down",
}

// outerStatus is the status that the client is answered with, or that the log shows, for an exchange that ends for
// this reason before a backend's answer was relayed. 0: the status of the answer that was relayed stands.
//
// EndShutdown and EndSilent have none: nothing is answered.
var outerStatus = map[engine.EndReason]int{
	EndRequestCut: 400, EndBodyTooLarge: 413, EndExpectation: 417, EndMaxForwards: 200,
	EndRequestTimeout: 408, EndBadRequest: 400, EndTargetTooLong: 414, EndHeadTooLarge: 431, EndMethodRefused: 405,
	EndNotImplemented: 501, EndVersionRefused: 505, EndBadUpgrade: 400, EndUpgradeVersion: 426, EndClientLeft: 499,
	EndNoBackend: 503, EndNoResources: 503, EndConnectFailed: 502, EndConnectTimeout: 504, EndBackendClosed: 502,
	EndBadAnswer: 502, EndBadUpgradeAnswer: 502, EndTooManyInterim: 502, EndAnswerTimeout: 504,
	EndPlainHTTP: 400, EndMisdirected: 421, EndListenerGone: 503, EndAccess: 403, EndOrigin: 403, EndNoRule: 404, EndLimit: 503, EndQueueTimeout: 503,
	engine.EndBackendReset: 502, engine.EndBackendLost: 502, engine.EndBackendTransport: 502,
	engine.EndClientReset: 499, engine.EndClientLost: 499, engine.EndClientTransport: 499,
}

// ReasonName returns the stable token of any EndReason: it is what log, metrics and tests show.
func ReasonName(r engine.EndReason) string {
	if name := engine.EngineReasonName(r); name != "" {
		return name
	}
	if i := int(r) - int(engine.FirstOuterReason); i >= 0 && i < len(outerReasonNames) {
		return outerReasonNames[i]
	}
	return "unknown"
}
