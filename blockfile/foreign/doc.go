// Package foreign turns Avro files of any writer into JSON records: for the import of files, and for Avro sent
// over HTTP.
//
// A file's own schema says how its bytes are to be read. NewReader reads the header, parses the schema into a
// tree of nodes, and refuses at once what can never give records: a codec that nobody here knows, a schema that
// is none, a top type that is no record. Next then walks block after block (package container), decompresses
// each (package codec), decodes record after record by the tree and appends the JSON text to one buffer, which
// is handed out. Nothing is built in between: no maps, no values.
//
// # Files of firn's own
//
// A file whose header says that firn wrote it, a block file or an answer with format=ocf, and whose schema
// has firn's properties (package schema), gives the JSON records that were once sent, not its columns. The
// column dataset_id is then not seen: a record has a member of that name only if it always had one.
//
// # What becomes of each type
//
//	| Avro type | logical type | JSON | example |
//	| --- | --- | --- | --- |
//	| null | | null | `null` |
//	| boolean | | boolean | `true` |
//	| int, long | | number, all digits | `9007199254740993` |
//	| float, double | | number: the shortest decimal that reads back as the same value of that width; NaN and infinities are refused | `0.1` |
//	| string | | string; must be valid UTF-8, else refused | `"Zoë"` |
//	| bytes, fixed | | string: base64, standard alphabet, padded (RFC 4648, 4) | `"AQID"` |
//	| enum | | string: the symbol | `"SPADES"` |
//	| array | | array | `[1,2]` |
//	| map | | object; a key that comes twice is refused | `{"a":1}` |
//	| record, error | | object with the field names as keys, in the schema's order | `{"id":7}` |
//	| union | | the value of the branch, without a wrapper | `null`, `7` |
//	| bytes, fixed | decimal | number with all digits, and as many behind the point as the scale says | `-12.340` |
//	| string | uuid | string as it is | `"0e5b..."` |
//	| fixed (16) | uuid | string: 8-4-4-4-12 hexadecimal digits, small letters | `"00112233-4455-6677-8899-aabbccddeeff"` |
//	| int | date | string YYYY-MM-DD | `"2024-02-29"` |
//	| int | time-millis | string hh:mm:ss.sss | `"23:59:59.999"` |
//	| long | time-micros | string hh:mm:ss.ssssss | `"23:59:59.999999"` |
//	| long | timestamp-millis | number: milliseconds since 1970 UTC | `1700000000123` |
//	| long | timestamp-micros | string: RFC 3339, UTC, 6 digits | `"2023-11-14T22:13:20.123456Z"` |
//	| long | timestamp-nanos | string: RFC 3339, UTC, 9 digits | `"2023-11-14T22:13:20.123456789Z"` |
//	| long | local-timestamp-millis, -micros, -nanos | string: the same without zone, 3, 6 or 9 digits | `"2023-11-14T22:13:20.123"` |
//	| fixed (12) | duration | object of three numbers | `{"months":1,"days":2,"milliseconds":3}` |
//
// Nothing that the file says is lost in these, but the choice of the union branch and the difference between
// two types with the same text. A field `timestamp` of type timestamp-millis, -micros or -nanos is thus the
// record's time without further ado. A time of day outside the day, and a date outside the years 1 to 9999,
// have no such text and stay the plain number. Unknown logical types, logical types on a type they do not
// belong to, and decimals without a proper precision and scale are ignored, as the Avro standard wants it:
// the value is that of the plain type. So is a decimal of more than 1,000 digits.
//
// Defaults, aliases and field order only matter to readers with a schema of their own, and are not looked at.
// Names may have letters that Avro does not allow, since many writers do not check them.
//
// # Promises
//
// Bytes that are no Avro file give an error, never a panic and never a wrong record: all that package container
// and package codec check, and that the records of a block are exactly as many as the block says and use exactly
// its bytes. A value that Avro allows but JSON has no text for is a [*RecordError], which names the record and
// the field.
//
// Memory is bounded by [Options]: one compressed block, one raw block, one JSON record. Time is bounded by the
// bytes read and the JSON given: array items and records that take no bytes are counted against a maximum. But
// JSON can be far longer than the Avro it came from, since names and symbols repeat in it; who keeps more than
// one record has to count for himself.
//
// # Concurrency
//
// A Reader belongs to one goroutine.
package foreign
