// Package balance chooses which backend a new exchange goes to.
//
//	scheduler, err := balance.New(balance.Config{Algorithm: balance.LeastConnections, Members: members}, previous)
//	...
//	request.Tried = request.Tried[:0]
//	for i, ok := scheduler.Next(&request); ok; i, ok = scheduler.Next(&request) {
//		members[i].Load.Add(1)
//		...                                        // and Add(-1) when the connection is over
//		request.Tried = append(request.Tried, i) // it could not be reached
//	}
//
// A scheduler is shared by all loops: it is immutable but for a few atomic words, and what it balances are the
// connections of all loops together. It reads no clock, takes no lock, and allocates nothing for a pick.
//
// # How exact the shares are
//
// WeightedRoundRobin and RoundRobin: of the first k picks of a round, for every k, each member has its share to within
// one pick, whichever loops they were of; see sequenceOf for rounds of more than 65,536 turns.
//
// LeastConnections and LeastTime look at all members where there are at most 64. The loads are those of the moment, but a
// pick does not count as a connection before its owner counts it: n loops may pick the same member at once, which then
// has n-1 more than it should. Of a larger group a pick looks at 32 turns of the round-robin sequence, spread all over
// it and elsewhere each time. So with n members of the same weight each is looked at at least once in n/12 picks, 32/n
// times a pick on average; a member of a larger weight more often, as its weight says. So late a pick learns that a
// member has fewer connections now; that it has more, at once. And a member that comes new gets 32/n of all picks at
// most until it has as many connections as the others, not all of them.
//
// All schedulers that look at the load send a member without any connection its share by turns, or by chance, where all
// are idle; see least.
//
// TwoChoices and Hash are as even as chance is. Of the 65,536 parts that the keys fall into, a tenth of the members have
// a tenth to within 1 % or so, but one of 100 members has a hundredth to within 4 % (a standard deviation), and one of
// 1,000 its thousandth to within 12 %. The load factor holds against uneven keys, too: no pick takes a member above
// ceil(factor x share of all connections, the new one included). With more than 16 members the count of all connections is
// up to n/4 picks old and takes for granted that nothing has ended since: so a member may be above by factor/4 connections
// if all weights are equal. And n loops that pick at once may add n-1, as above.
//
// # Members that come and go
//
// A reload, a change of health, and each step of a slow start make a new scheduler, off the loops, in about 10 ms for
// 1,000 members. Turns go on where they were. LeastConnections sends what is new all connections until it has as many as
// the others, for that is what least connections means: whoever does not want that gives it a weight that grows.
package balance
