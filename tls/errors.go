package tls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
)

// Cause says why a connection failed, and whose doing it was.
type Cause uint8

const (
	// CauseAlertSent: the peer broke the protocol, or does not fit the configuration. We said so by Error.Alert.
	CauseAlertSent Cause = iota
	// CauseAlertReceived: the peer gave up, and said why by Error.Alert.
	CauseAlertReceived
	// CausePlainHTTP: the peer speaks HTTP without TLS. Error.First holds its first bytes; an answer must be in clear.
	CausePlainHTTP
	// CauseNotTLS: the first bytes, in Error.First, are no TLS record.
	CauseNotTLS
	// CauseTruncated: the transport ended without close_notify, or during the handshake.
	CauseTruncated
	// CauseFlood: the peer sends records that hold no data, or a message without end, beyond what is bounded. Nobody was
	// told by an alert.
	CauseFlood
	// CauseStopped: the Workers were stopped during the handshake.
	CauseStopped
	// CausePanic: the handshake panicked. Error.Err holds the trace.
	CausePanic
	// CauseInternal: anything else; nobody was told by an alert.
	CauseInternal
)

// String returns the cause in a few words, for logs and metrics.
func (c Cause) String() string {
	return [...]string{"alert sent", "alert received", "plain HTTP", "not TLS", "truncated",
		"flood", "shutting down", "panic", "internal"}[c]
}

// Alert is the description of an alert (RFC 8446 section 6). 0, close_notify, stands for none where an Alert is that of
// a failure.
type Alert uint8

// Alerts that this package sends itself, because crypto/tls never sees what they answer.
const (
	alertUnexpectedMessage Alert = 10
	alertRecordOverflow    Alert = 22
	alertIllegalParameter  Alert = 47
	alertProtocolVersion   Alert = 70
)

// String returns the alert's name, with spaces.
func (a Alert) String() string { return strings.TrimPrefix(tls.AlertError(a).Error(), "tls: ") }

// Error says why a connection failed. It is immutable.
type Error struct {
	// Cause says what happened.
	Cause Cause
	// Alert is what was sent or received, 0 for none.
	Alert Alert
	// First holds, for CausePlainHTTP and CauseNotTLS, what the peer sent: at most FirstBytes.
	First []byte
	// Err is the reason in crypto/tls's words, if it was crypto/tls that gave up.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	text := "tls: " + e.Cause.String()
	if e.Alert != 0 {
		text += ": " + e.Alert.String()
	}
	if len(e.First) > 0 {
		text += fmt.Sprintf(": %q", e.First)
	}
	if e.Err != nil {
		text += ": " + strings.TrimPrefix(e.Err.Error(), "tls: ")
	}
	return text
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// errFlood is one error for all: a flood is no time for allocations.
var errFlood = &Error{Cause: CauseFlood}

// Errors that do not break a connection.
var (
	// ErrNotEstablished: the handshake is not over.
	ErrNotEstablished = errors.New("tls: the handshake is not over")
	// ErrWriteClosed: close_notify was sent.
	ErrWriteClosed = errors.New("tls: nothing can be sent after close_notify")
	// ErrNotExportable: crypto/tls does not give its keys away. Our own record layer for TLS 1.3, which is to replace it
	// after the handshake, will.
	ErrNotExportable = errors.New("tls: the state of this connection cannot be exported")
)

// classify turns what crypto/tls returned into an Error. sent is the fatal alert that it sent, 0 for none.
func classify(err error, sent Alert) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if received := alertIn(err, "remote error"); received != 0 {
		return &Error{Cause: CauseAlertReceived, Alert: received}
	}
	if sent != 0 {
		return &Error{Cause: CauseAlertSent, Alert: sent, Err: err}
	}
	return &Error{Cause: CauseInternal, Err: err}
}

// alertIn returns the alert that crypto/tls hides in an error. Its type is not exported, but its kind is known.
func alertIn(err error, operation string) Alert {
	if failed, ok := errors.AsType[*net.OpError](err); ok && failed.Op == operation {
		if number := reflect.ValueOf(failed.Err); number.Kind() == reflect.Uint8 {
			return Alert(number.Uint())
		}
	}
	return 0
}
