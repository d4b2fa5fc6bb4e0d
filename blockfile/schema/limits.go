package schema

// Limits of what is typed. Past them a value is kept as JSON text: nothing is refused
// or lost for its shape.
const (
	// MaxKeys is how many keys a record type has as fields. Further keys go to its
	// member _rest. Readers load every field of a type, and a record type that grows
	// without end is usually a map in disguise.
	MaxKeys = 256

	// MaxTableKeys is the same for all record types of a table together.
	MaxTableKeys = 4096

	// MaxKeyBytes is the longest key that becomes a field, in bytes after unescaping.
	MaxKeyBytes = 1024

	// MaxLevels is how many arrays and records may be nested as types, counting the
	// record itself. Other readers recurse per level, and some stop early.
	MaxLevels = 32

	// MaxSchemaBytes is the longest schema text. It stands in the header of every
	// block file; a table that needs more gets the fallback schema.
	MaxSchemaBytes = 1 << 20

	// MaxTreeBytes is the longest durable form of a Tree that ParseTree reads: no Tree
	// whose schema text is within MaxSchemaBytes comes near it.
	MaxTreeBytes = 8 << 20

	// MaxRecordBytes is the longest JSON text of a record that a decoder gives back. It bounds
	// what damaged bytes can make of a few bytes; records must be written shorter.
	MaxRecordBytes = 256 << 20

	// MaxVersion keeps versions exact in readers whose JSON numbers are doubles.
	MaxVersion = 1 << 53
)

// Records in arrays can have many keys of which each element has few. Every missing key
// takes a byte there, so that a text could grow a hundredfold: the field that holds such an
// array may then go to _rest as text, in records where that is shorter by far. Doubles, the
// next worst, grow from 2 bytes to 9.
const (
	// wideFields is how many fields of a record type inside an array may be null before
	// the field that holds it can go to _rest.
	wideFields = 16

	// escapeFactor and escapeSlack say when it goes there: when its encoding is longer than so
	// many times its text and so many bytes. In a record type that stands in an array
	// itself there may be many such values in a record.
	escapeFactor       = 6
	escapeSlack        = 1024
	escapeSlackInArray = 16
)

const (
	// maxName is where a name made from a key or a path is cut, before a number makes
	// it unique. Long enough to be read, short enough for every catalogue.
	maxName = 96

	// maxTableBytes bounds the table name in a durable tree. The engine allows less.
	maxTableBytes = 4096

	// maxSchemaDepth bounds the JSON nesting of a schema text: four levels of JSON for a
	// record type, two for an array type, and some for the innermost field.
	maxSchemaDepth = 4*MaxLevels + 16
)
