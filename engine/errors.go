package engine

import (
	"errors"
	"fmt"
)

// Refusals of a whole database. Each is returned wrapped with what happened, so compare with
// errors.Is.
var (
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("engine: database is closed")

	// ErrReadOnly is returned by calls that write while the database may not: a failed fsync,
	// damage in the log that nobody accepted yet, or another writer that took over the store.
	// It stays until the process ends; DB.Ready says why.
	ErrReadOnly = errors.New("engine: database is read-only")

	// ErrFull is returned by Ingest while the disk has no room. It goes away by itself when
	// there is room again.
	ErrFull = errors.New("engine: disk is full")

	// ErrBackpressure is returned by Ingest when archiving cannot keep up: more hot bytes than
	// Options.HotLimitBytes, or memory tables that wait to be applied. Try again later.
	ErrBackpressure = errors.New("engine: too much waits to be archived")

	// ErrOutcomeUnknown is returned by Ingest when writing or syncing the log failed under the
	// batch: it may or may not be there after the next start. Repeat it then, with the same
	// idempotency key.
	ErrOutcomeUnknown = errors.New("engine: outcome unknown")
)

// Refusals of one call.
var (
	// ErrIdempotencyMismatch is returned when an idempotency key was used before with another
	// content.
	ErrIdempotencyMismatch = errors.New("engine: idempotency key was used with another content")

	// ErrTooLarge is wrapped by a RecordError whose record is larger than
	// Options.MaxRecordBytes, and returned for batches larger than Options.MaxBatchBytes.
	ErrTooLarge = errors.New("engine: too large")

	// ErrInvalid is wrapped by every error that says the caller's argument is wrong: a name, a
	// query, a cursor, a setting.
	ErrInvalid = errors.New("engine: invalid argument")

	// ErrNotFound is returned for a table, file or schema that does not exist. A read of an
	// unknown table or dataset is no error: it has no records.
	ErrNotFound = errors.New("engine: not found")

	// ErrStoreAway is wrapped when the store could not be reached.
	ErrStoreAway = errors.New("engine: store is away")

	// ErrCorrupt is wrapped by every *CorruptError.
	ErrCorrupt = errors.New("engine: damaged")
)

// invalidError is what a caller did wrong, in words for people; it wraps ErrInvalid.
type invalidError string

func invalid(format string, args ...any) error { return invalidError(fmt.Sprintf(format, args...)) }

func (e invalidError) Error() string { return string(e) }

func (e invalidError) Unwrap() error { return ErrInvalid }

// RecordError says which record of a call was refused and why. Nothing of the call was kept.
type RecordError struct {
	Batch  int    // index of the batch within the call
	Index  int    // index of the record within the batch
	Reason string // for people: names the offending part
	Err    error  // ErrTooLarge, ErrInvalid
}

func (e *RecordError) Error() string {
	if e.Batch > 0 {
		return fmt.Sprintf("batches[%d].records[%d]: %s", e.Batch, e.Index, e.Reason)
	}
	return fmt.Sprintf("records[%d]: %s", e.Index, e.Reason)
}

// Unwrap gives ErrTooLarge or ErrInvalid.
func (e *RecordError) Unwrap() error { return e.Err }

// CorruptError names a damaged place. What it covers is never returned as data.
type CorruptError struct {
	File   string // file or object key
	Offset int64  // bytes from its start; -1 where the place is not known
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("engine: damaged: %s at byte %d: %s", e.File, e.Offset, e.Reason)
}

// Unwrap gives ErrCorrupt.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }
