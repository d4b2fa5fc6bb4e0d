// Package keyenc writes names and numbers into bbolt keys so that comparing
// the bytes of two keys compares what they stand for.
//
// A key is a row of parts written one after another. Names may hold any bytes
// and have any length, so a name part is escaped and ended by a terminator
// that sorts below everything a longer name could go on with:
//
//	byte of the name    written as
//	00                  00 FF
//	01..FF              itself
//	end of the name     00 01
//
// "a" therefore sorts before "ab", "a\x00" and "a\x01" sort between the two,
// and no encoded name is a prefix of another one: a scan over the keys that
// begin with an encoded name meets that name alone.
//
// Numbers are big endian; a signed one has its sign bit flipped, so that
// negative days come before 1970.
//
// The functions are pure and safe for concurrent use.
package keyenc
