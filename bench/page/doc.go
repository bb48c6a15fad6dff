// Package page is what the benchmarks of ordinary requests ask for, and what they get: documents of any size, of which
// each is known from its size and a number alone. The backend writes them and the generator compares them; neither
// keeps more than one pattern.
//
//	GET /bytes/125?00000000000000ff
//
// asks for 125 bytes, and their first 16 are the number, as it was asked for. So an answer that belongs to another
// request is noticed, as is one that a cache kept.
package page
