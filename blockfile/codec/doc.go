// Package codec compresses and decompresses the blocks of Avro Object Container Files, by the names that
// Avro gives its codecs.
//
// An Avro block is compressed whole and on its own: one call to [Compressor.Append] makes the stored bytes
// of a block, one call to [Decompress] gives its raw bytes back. Nothing is carried from one block to the
// next, so that a block can be read, moved and joined to other files without its neighbours.
//
//	name        written  read  stored bytes
//	null        yes      yes   the raw bytes
//	deflate     yes      yes   raw DEFLATE (RFC 1951), no header, no checksum
//	zstandard   yes      yes   one or more Zstandard frames (RFC 8878); firn writes one, with content size and checksum
//	snappy      yes      yes   Snappy block format, then the CRC-32 (IEEE) of the raw bytes, 4 bytes big-endian
//	bzip2       no       yes   one or more bzip2 streams
//	xz          no       yes   one xz stream (LZMA2 only)
//
// # Promises
//
// Decompress is meant for bytes of unknown origin. It never returns more than maxRaw bytes, never panics,
// and its memory is bounded by maxRaw and the length of the input, whatever lengths the input claims; an
// input that would inflate past maxRaw costs no more than inflating maxRaw bytes. The compressed stream must
// end where the input ends: bytes behind it are damage. There is one exception, the rest of an Adler-32
// behind deflate data, which the Python writers of Avro leave there (see deflate.go).
//
// What Avro does not check, this package cannot check either: null and deflate carry no checksum. firn keeps
// a CRC of every block beside it for that reason.
//
// # Concurrency
//
// A Compressor belongs to one goroutine at a time. Decompress may be called from any number of goroutines.
package codec
