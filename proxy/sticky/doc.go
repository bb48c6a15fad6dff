// Package sticky keeps a client's requests with one backend by cookies: one that the balancer inserts, or one of the
// backend's own that it rewrites. It makes and reads lines; it does no I/O and reads no clock.
//
//	keys := sticky.NewKeys(secrets, "group web")          // once, for all loops
//	inserter, err := sticky.NewInserter(config, keys)     // on each loop
//	...
//	inserter.Begin()
//	for each Cookie line of the request {
//		if out, hit, found := inserter.AppendRequest(dst, line, now); found {
//			// out is the line without the cookie; hit.ID names the backend, if it is still there and not hit.Expired;
//			// set the cookie again if hit.Renew
//		}
//	}
//	head = inserter.AppendSetCookie(head, backendID, now) // in the answer, unless there was a hit
//
// A Rewriter does the same with the backend's cookie: on answers it puts a tag before the value (AppendAnswer), on
// requests it takes the tag off and tells whose it was (AppendRequest).
//
// # What a cookie holds
//
// A token of 39 characters (base64url): which key made it, 1 byte; the backend's identity and the second of its making,
// 12 bytes, encrypted; and 16 bytes of HMAC-SHA-256 over both, which is also what the encryption starts from. So a cookie
// shows neither an address nor which clients are with one backend, unless two cookies were made in the same second, cannot
// be made or changed without a key, and is honoured by every machine that has the key, as the identity (balance.Identity) is the same on all. Keys are derived
// from the operator's secrets (HKDF-SHA-256) for each context, that is each group, and for each of the two kinds of
// cookies: a token of one group says nothing in another. The first secret makes tokens, all are accepted: to replace one,
// add the new one behind it everywhere, then move it to the front, then remove the old one when the lifetime is over.
//
// An inserted cookie is honoured for its lifetime since it was made, whatever the client does with it; one without a
// lifetime (a session cookie) for 30 days. A rewritten one lives as long as the backend lets it.
//
// # What is read
//
// Cookie lines come as RFC 6265 section 4.2.1 has them, and otherwise: any white space around names and values, values
// in quotation marks, pairs without a value, the same name several times and in several lines. The first value that a
// key has made counts; whatever else has the name is passed over. A request costs at most 8 verifications, of under 1 us
// each: what comes behind them is not looked at.
package sticky
