package schema

import (
	"errors"
	"strconv"
)

// ErrNotCovered says that a schema has no place for something in a record: it needs the
// schema of a Tree to which the record was added.
var ErrNotCovered = errors.New("schema: the record does not fit this version of the schema")

// DecodeError says why bytes are not a record of the schema they were decoded with.
type DecodeError struct {
	Offset  int    // bytes before the place of the fault, in the slice that was passed
	Reason  string // what is wrong there
	TooLong bool   // the record's JSON is longer than the decoder's limit
}

// Error gives the reason with its position.
func (e *DecodeError) Error() string {
	return "schema: " + e.Reason + " at byte " + strconv.Itoa(e.Offset)
}
