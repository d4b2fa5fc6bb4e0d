// Package container reads and writes the framing of Avro Object Container Files: what the Avro standard fixes,
// and nothing that firn adds.
//
// A container file is a header followed by blocks. The header holds metadata, among it the schema and the name
// of the codec, and a sync marker of 16 bytes. A block holds a number of records, encoded one after the other
// and compressed together; it ends with the sync marker. format.go draws the bytes.
//
// This package knows neither schemas nor codecs: a block's data goes in and comes out compressed, and the schema
// is a text. Package codec decompresses; what the records are is for those who decode them.
//
// # Writing
//
// [AppendHeader] and [AppendBlock] append bytes to a slice, so that a writer always knows the offset at which a
// block begins and how long it is. Equal arguments give equal bytes.
//
// # Reading
//
// [Reader] walks a file from its beginning, [ParseBlock] takes one block apart that was read by its offset. Both
// are made for bytes of unknown origin: every length is compared with a named maximum before memory is made for
// it, memory grows with what was really read and not with what was announced, sync markers are checked, negative
// counts and sizes are refused, and a file that was cut short is told from one that ends. A byte behind the last
// block is an error. Errors are [*FormatError] with the offset, unless the underlying reader failed.
//
// # Concurrency
//
// A Reader belongs to one goroutine. The functions hold no state.
package container
