package foreign

import (
	"errors"
	"fmt"

	"github.com/firndb/firn/blockfile/container"
)

var (
	// ErrNotRecord is wrapped when the file's top type is no record, so that it has no records to give.
	ErrNotRecord = errors.New("foreign: the file's top type is no record")
	// ErrSchema is wrapped when the file's schema is no Avro schema, or larger or deeper than allowed.
	ErrSchema = errors.New("foreign: the file's schema is not usable")
	// ErrRecordTooLarge is wrapped by a RecordError about JSON longer than Options.MaxRecordBytes.
	ErrRecordTooLarge = errors.New("foreign: record is too large")
	// ErrMalformed is wrapped by all errors about bytes that are no proper Avro file: framing, compression
	// and records.
	ErrMalformed = container.ErrMalformed
)

// CorruptError says that the bytes of a block are not the records that schema and block promise. It wraps
// [ErrMalformed].
type CorruptError struct {
	Offset int64 // where the block begins in the file
	Index  int64 // the record, counted from 0 through the file
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%v: block at offset %d: record %d: %s", ErrMalformed, e.Offset, e.Index, e.Reason)
}

// Unwrap gives ErrMalformed.
func (e *CorruptError) Unwrap() error { return ErrMalformed }

// RecordError says that a well-formed record cannot become JSON: NaN, text that is not UTF-8, a key twice, too
// deep, too large.
type RecordError struct {
	Index  int64 // the record, counted from 0 through the file
	Reason string
	Err    error // ErrRecordTooLarge or nil
}

func (e *RecordError) Error() string { return fmt.Sprintf("foreign: record %d: %s", e.Index, e.Reason) }

// Unwrap gives ErrRecordTooLarge where that is what happened.
func (e *RecordError) Unwrap() error { return e.Err }

// valueError is an error within a record, on its way out. It gathers the path to the value.
type valueError struct {
	path     string // "a.b[3]", empty for the record itself
	reason   string
	refused  bool // well-formed Avro, but no JSON
	tooLarge bool
}

func (e *valueError) Error() string {
	if e.path == "" {
		return e.reason
	}
	return e.path + ": " + e.reason
}

// maxPath bounds the path in messages; recursive data can be a thousand levels deep.
const maxPath = 200

// under puts a step in front of the error's path.
func (e *valueError) under(step string) *valueError {
	if len(e.path) < maxPath {
		switch {
		case e.path == "" || e.path[0] == '[':
			e.path = step + e.path
		default:
			e.path = step + "." + e.path
		}
	}
	return e
}

func badData(format string, args ...any) *valueError {
	return &valueError{reason: fmt.Sprintf(format, args...)}
}

func refused(format string, args ...any) *valueError {
	return &valueError{reason: fmt.Sprintf(format, args...), refused: true}
}

func schemaError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSchema, fmt.Sprintf(format, args...))
}
