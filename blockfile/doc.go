// Package blockfile writes and reads block files: Avro Object Container Files
// in which every block holds records of one dataset and of one UTC day, sorted
// by time, so that a read of one dataset asks the store for nothing but the
// byte ranges of its blocks.
//
// # Nouns
//
//   - A block is one Avro block: a count, a length, compressed records, the sync
//     marker. It is read alone, by its reference, without the file's header.
//   - A block reference (Ref) says where a block lies and what it holds: offset,
//     length, record count, first and last time, CRC-32C.
//   - A family is what files share whose blocks can be moved between them as
//     bytes: the store's salt, table, schema, codec. Header and sync marker are
//     functions of the family.
//   - The sidecar of a block file is a file beside it with all its references,
//     and with what is known of the file as a whole.
//   - A range is one request to the store; the plan of a read is its ranges.
//
// # How one block travels
//
// The archiver encodes records of one dataset and day with a schema (package
// schema) and hands them to Writer.Append, which compresses them (package
// codec), frames them (package container), and gives back the reference. The
// references become the sidecar (WriteSidecar) and rows of the catalog. A read
// takes references from there, Plan coalesces them into ranges, the store
// (package store) gives the bytes, and Frame.ReadBlock checks every one of
// them before it decompresses.
//
//	records -> schema.Encoder -> Writer.Append -> object in the store
//	                                  |                  |
//	                                 Ref -> Plan -> ReadRange -> ReadBlock -> schema.Decoder -> records
//
// A lost sidecar is made again from its block file by RebuildSidecar, because
// dataset and time are columns of every record.
//
// # What is promised
//
//   - A block file opens in any Avro implementation, and two files of one family
//     begin with the same bytes.
//   - Equal input gives equal bytes: nothing here asks for the time or for
//     random numbers.
//   - Bytes that are not what was written give a *CorruptError, never records.
//   - Lengths from outside are compared with a named maximum before memory is
//     made for them; nothing panics on any bytes.
//
// # Concurrency
//
// Families, frames and references are values. A Writer belongs to one
// goroutine; everything else here keeps no state and is safe for concurrent
// use.
package blockfile
