package blockfile

import (
	"errors"
	"fmt"
)

var (
	// ErrCorrupt is wrapped by every error about bytes that are not what was
	// written.
	ErrCorrupt = errors.New("damaged")
	// ErrMarker says that the bytes of a block contain the file's sync marker.
	// Nothing was written and the writer can still be used; the block belongs
	// into a file of the family with the next Marker.
	ErrMarker = errors.New("block file: the block contains the sync marker")
	// ErrTooLarge says that a block is larger than MaxRawBytes or, compressed,
	// than MaxBlockBytes. Nothing was written and the writer can still be
	// used.
	ErrTooLarge = errors.New("block file: block too large")
	// ErrForeign says that a file is a well-formed Avro file but none of
	// firn's.
	ErrForeign = errors.New("not written by firn")
	// ErrVersion says that a file has a version that this package does not
	// know.
	ErrVersion = errors.New("unknown format version")
	// ErrWriterClosed says that a Writer was used after Close.
	ErrWriterClosed = errors.New("block file: writer is closed")
)

// CorruptError says where stored bytes are not what was written. It wraps
// ErrCorrupt and, where there is one, the error that showed it.
type CorruptError struct {
	File   string // key of the object, empty where the reader was not told
	Offset int64  // in bytes from the start of the file
	Reason string
	Err    error // may be nil
}

// Error names file, offset and reason.
func (e *CorruptError) Error() string {
	file := e.File
	if file == "" {
		file = "block file"
	}
	return fmt.Sprintf("%s: damaged at offset %d: %s", file, e.Offset, e.Reason)
}

// Unwrap gives ErrCorrupt and the cause.
func (e *CorruptError) Unwrap() []error {
	if e.Err != nil {
		return []error{ErrCorrupt, e.Err}
	}
	return []error{ErrCorrupt}
}

func corruptf(offset int64, format string, args ...any) *CorruptError {
	return &CorruptError{Offset: offset, Reason: fmt.Sprintf(format, args...)}
}
