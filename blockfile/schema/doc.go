// Package schema knows what the records of a table look like, writes that down as an Avro
// schema, and turns JSON records into Avro records and back, straight between bytes.
//
// # Nouns
//
// A Tree is what is known of one table: which kinds of values were seen at every place of
// its records. A Schema is one version of it as Avro: an exact text with a fingerprint. An
// Encoder and a Decoder belong to one Schema. A record type is the type of the objects at
// one place; its fields are keys. The own members are the top-level keys dataset_id, table
// and timestamp: they may say again what the record is stored under.
//
// # How one record travels
//
//	JSON ─► jsonscan.Scanner.Record ─► shape; CompareOwn, OwnShape ─► seen before? ──yes──┐
//	                                                       │ no                            │
//	                                                       ▼                               │
//	                                  Tree.Add: widened, Version + 1                       │
//	                                                       │ Tree.Schema                   ▼
//	        JSON ◄─ Decoder.AppendJSON ◄─ block file ◄─ Encoder.Append ◄──────────────── JSON
//
// # From shapes to types
//
// A Tree only widens. What it saw at a place gives the type there:
//
//	null                          null
//	true, false                   boolean
//	integers of 64 bits           long
//	other numbers, losslessly     double (which also holds the integers, while all are within 2^53;
//	                              else a union of long and double)
//	strings                       string
//	arrays                        array of what the elements are, all together; of null while there were none
//	objects                       record, also of no fields; never a map
//	anything else                 Json: a record with the JSON text
//
// Several of these make a union, in the order null, boolean, long, double, string, array,
// record, Json. Text is kept for numbers that no double holds, for arrays and objects below
// MaxLevels levels of types, and in the member _rest, a map, for keys past MaxKeys in a record
// type or MaxTableKeys in the table, for keys longer than MaxKeyBytes, and for values that
// would take far more room than their text.
//
// A schema is widened by a new field with the default null, by making a field nullable, by a
// new branch of a union, and by turning long into double: so Avro readers read old blocks
// with any later schema. Fields keep their order; only _firn, see below, is put in front of
// them.
//
// # Layout of a schema
//
//	record <table>   namespace firn, properties firn.format, firn.table, firn.version
//	  dataset_id     string
//	  timestamp      long, timestamp-millis
//	  [_firn]        null or array of int
//	  fields         in the order in which their keys were first seen, [_rest] among them
//
// Nested record types are named by path, in the same namespace; they have an optional _firn
// and fields. Names are made of [A-Za-z0-9_] and differ by more than case, within a record
// type and among record types. A field has these properties where they say something:
//
//	firn.key    the JSON key, where it is not the name
//	firn.null   "value": Avro null means that the value is null. Otherwise, that the key is absent
//	firn.own    "same" (on the two columns, and on the table's record for the member table): the
//	            records carry this own member, and its value is that of the column. "other": the
//	            field holds values of the own member firn.key that differ from ours: strings and
//	            integers as such, anything else, null too, as Json. Avro null means that there is none
//
// What firn.null and firn.own say holds for every record but those that list the field in
// _firn, where the opposite holds. _firn lists numbers in ascending order: a field's number
// is how many fields stand before it in the record type, _firn not counted, and so never
// changes; -1 is the member table, 0 and 1 are the columns. An own member whose value is in
// a column of its own counts as not carried.
//
// The first nullness that is seen decides firn.null, the first record firn.own; a record
// type gets _firn in the version that first needs it. Array elements that are null are
// explicit.
//
// A Tree whose schema would be longer than MaxSchemaBytes has the fallback schema from then
// on: dataset_id, timestamp and json, the whole record as text (property firn.layout).
//
// # Promises
//
// Reading gives the JSON value that was written: the same keys and nesting, numbers equal in
// value (the sign of minus zero is kept), strings equal, null told from absent. The order of
// keys, white space, escapes and the spelling of numbers may differ.
//
// After Tree.Add, Encoder.Append of the Tree's Schema cannot fail on that record, nor on
// any other of the same OwnShape. Records of an older version are read with its Schema,
// which Parse makes of the text in their block file; every text ever written stays readable.
//
// An encoded record is shorter than eight times its text and 16 KiB: where arrays of sparse
// objects would grow beyond that, the field that holds them goes to _rest as text, for which
// the Tree makes it nullable in time.
//
// A Decoder takes any bytes: what is no record of its schema is a DecodeError. Depth is
// bounded by MaxLevels, work and memory by the bytes present and by MaxRecordBytes.
//
// # Concurrency
//
// A Schema is immutable and may be shared. Trees, Encoders and Decoders belong to one
// goroutine at a time.
package schema
