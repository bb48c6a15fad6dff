// Package http1 reads and writes HTTP/1.1 heads and finds the end of bodies, from bytes:
// it does no I/O, reads no clock, starts no goroutine and, once a head has been used,
// allocates nothing unless a message is refused. It is strict (RFC 9110, RFC 9112): what
// two servers could read in two ways is refused, and every refusal is an *Error with a
// status and a stable reason.
//
// A proxy's use of it, as a program:
//
//	package main
//
//	import (
//		"fmt"
//		"os"
//
//		"culvert/proxy/http1"
//	)
//
//	func main() {
//		received := []byte("POST http://shop.example/cart?id=7 HTTP/1.1\r\n" +
//			"Host: forged\r\nX_Forwarded_For: 6.6.6.6\r\nConnection: close, X-Debug\r\n" +
//			"X-Debug: 1\r\nTransfer-Encoding: chunked\r\n\r\n" +
//			"5;note=x\r\nhello\r\n0\r\n\r\n")
//
//		var head http1.RequestHead
//		n, failure := head.Parse(received, nil)
//		if failure != nil {
//			fmt.Println(failure.Status, failure.Reason)
//			return
//		}
//		if n == 0 {
//			return // incomplete: Parse again when there are more bytes
//		}
//
//		out := http1.AppendRequestLine(nil, head.Method(), head.AppendTarget(nil))
//		out = head.AppendHeaders(out, http1.ClassHopByHop|http1.ClassNamed|http1.ClassForwarded, nil)
//		out = http1.AppendHeader(out, "X-Forwarded-For", "192.0.2.1")
//		if head.Chunked() {
//			out = http1.AppendHeader(out, "Transfer-Encoding", "chunked")
//		}
//		out = http1.AppendEnd(out)
//
//		var body http1.BodyScanner
//		kind, length := head.Body()
//		body.Init(kind, length, http1.FromClient, nil)
//		for rest := received[n:]; !body.Done(); {
//			forward, drop, _, failure := body.Scan(rest)
//			if failure != nil || forward+drop == 0 {
//				return // malformed, or to be scanned again in front of more bytes
//			}
//			out = append(out, rest[:forward]...)
//			rest = rest[forward+drop:]
//		}
//		os.Stdout.Write(out)
//	}
//
// A head that comes in pieces is parsed as it comes; the bytes may move meanwhile. The
// state of a head is not exportable: it follows from the bytes, which are. That of a
// body is (AppendState, RestoreState).
package http1
