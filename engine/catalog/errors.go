package catalog

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("catalog: closed")

	// ErrCorrupt is wrapped by every *CorruptError.
	ErrCorrupt = errors.New("catalog: damaged")

	// ErrNoJob is wrapped when a transaction names a run that has no open job:
	// it was committed or closed before, or never begun.
	ErrNoJob = errors.New("catalog: no such job")

	// ErrState is wrapped when a transaction asks for a step that the rows do
	// not allow: a generation sealed twice, a file that is no longer live made
	// dead again, a commit at another log position than the next one, totals
	// that do not add up. The transaction must be given up; nothing changed.
	ErrState = errors.New("catalog: step not allowed")

	// ErrLimit is wrapped when a row or a reference holds a value larger than
	// the format allows.
	ErrLimit = errors.New("catalog: value out of range")
)

// CorruptError names a damaged place of the catalog file. What it covers is
// never returned as data. The catalog is a cache of the store's log, so the
// remedy is to rebuild it from there.
type CorruptError struct {
	File   string // path of the catalog file
	Bucket string // "" when the damage is not within one row
	Key    []byte // the row's key, nil when not known
	Reason string
}

func (e *CorruptError) Error() string {
	switch {
	case e.Bucket == "":
		return fmt.Sprintf("catalog: %s is damaged: %s", e.File, e.Reason)
	case e.Key == nil:
		return fmt.Sprintf("catalog: %s is damaged: %s: %s", e.File, e.Bucket, e.Reason)
	}
	return fmt.Sprintf("catalog: %s is damaged: %s row %x: %s", e.File, e.Bucket, e.Key, e.Reason)
}

// Unwrap gives ErrCorrupt.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// UnknownOutcomeError is returned by Update when the commit failed: the
// transaction may or may not be in the file. The catalog was closed and opened
// anew before this was returned, so a View taken afterwards tells which: compare
// Identity.LogNext, or the rows the transaction would have written. When opening
// anew failed too, Reopen is set, and the next call tries again.
type UnknownOutcomeError struct {
	Err    error // why the commit failed
	Reopen error // why the file could not be opened again; nil when it was
}

func (e *UnknownOutcomeError) Error() string {
	if e.Reopen != nil {
		return fmt.Sprintf("catalog: commit failed, outcome unknown: %v; opening again failed: %v", e.Err, e.Reopen)
	}
	return fmt.Sprintf("catalog: commit failed, outcome unknown: %v", e.Err)
}

// Unwrap gives the reasons.
func (e *UnknownOutcomeError) Unwrap() []error {
	if e.Reopen != nil {
		return []error{e.Err, e.Reopen}
	}
	return []error{e.Err}
}

func stateErrorf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrState, fmt.Sprintf(format, args...))
}

func limitErrorf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrLimit, fmt.Sprintf(format, args...))
}
