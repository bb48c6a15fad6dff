package proxy

import "culvert/proxy/http1"

// httpLimit is a bound on one message, counted each time that it is reached. Its name is that of the flag that sets it,
// where there is one.
type httpLimit uint8

const (
	limitHead              httpLimit = iota // the whole head
	limitRequestLine                        // its first line; a backend's status line too
	limitHeaders                            // header lines, and trailer lines
	limitHeaderName                         // one name
	limitConnectionOptions                  // what Connection names
	limitChunkExtension                     // behind one chunk's size
	limitChunkOverhead                      // all lines of chunks, against the payload
	limitTrailers                           // the trailer section
	limitBody                               // the body of a request
	limitBodyRate                           // the slowest that one may come
	limitInterimAnswers                     // 1xx answers of one exchange
	limitKeepAliveRequests                  // requests of one client connection
	httpLimits
)

var httpLimitNames = [httpLimits]string{
	"max-head", "max-request-line", "max-headers", "header-name", "connection-options", "chunk-extension", "chunk-overhead",
	"trailers", "max-body", "min-body-rate", "interim-answers", "keep-alive-requests",
}

// limitOf maps what is wrong with a message to the limit that it passed; ok is false where it is wrong otherwise.
func limitOf(reason http1.Reason) (limit httpLimit, ok bool) {
	switch reason {
	case http1.ReasonHeadTooLarge:
		return limitHead, true
	case http1.ReasonStartLineTooLong:
		return limitRequestLine, true
	case http1.ReasonTooManyHeaders, http1.ReasonTooManyTrailers:
		return limitHeaders, true
	case http1.ReasonHeaderNameTooLong:
		return limitHeaderName, true
	case http1.ReasonTooManyOptions:
		return limitConnectionOptions, true
	case http1.ReasonChunkExtensionTooLong:
		return limitChunkExtension, true
	case http1.ReasonChunkOverheadTooLarge:
		return limitChunkOverhead, true
	case http1.ReasonTrailersTooLarge:
		return limitTrailers, true
	}
	return 0, false
}

// passed counts a message that is refused, if it is so for a limit.
func (c *counters) passed(reason http1.Reason) {
	if limit, ok := limitOf(reason); ok {
		c.limits[limit]++
	}
}
