// Package ws knows RFC 6455 from bytes alone: it judges opening handshakes in both roles and walks the frames of a
// stream that somebody else reads and writes. It does no I/O, reads no clock, starts no goroutine, keeps no byte of
// what it is given, and allocates nothing while a peer behaves.
//
// A relay asks three questions, in this order:
//
//	var request ws.RequestCheck              // 1. does the client ask for an upgrade?
//	request.Begin([]byte("GET"), true)
//	for name, value := range fields {
//		request.Observe(name, value)
//	}
//	if decision := request.Decide(); decision.Action != ws.Upgrade {
//		return decision                  // ordinary, or refused with decision.Status
//	}
//
//	offer := request.Offer()                 // 2. did the backend agree?
//	var response ws.ResponseCheck
//	response.Begin(&offer, 101)
//	for name, value := range answerFields {
//		response.Observe(name, value)
//	}
//	agreement, reason := response.Decide()
//	if reason != ws.NoReason {
//		return reason                    // 502
//	}
//
//	var scanner ws.Scanner                   // 3. what may be passed on of the bytes just read?
//	scanner.Init(ws.Options{Sender: ws.Client, Extension: agreement.Extension, Strict: true})
//	for held := 0; ; {
//		n, err := client.Read(buffer[held:])
//		if err != nil {
//			return err
//		}
//		verdict := scanner.Scan(buffer[:held+n])
//		backend.Write(buffer[:verdict.Forward])
//		if verdict.Violation != ws.NoViolation {
//			return verdict.Violation
//		}
//		held = copy(buffer, buffer[held+n-verdict.Hold:held+n])
//	}
//
// The same three steps run as the package's Example. There is one Scanner per direction. AppendPing, AppendPong and
// AppendClose build what a relay inserts at Result.Boundary; ClientRequest originates an upgrade of our own.
package ws
