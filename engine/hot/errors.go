package hot

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// Errors of opening a generation or keys.db.
var (
	// ErrNotCreated says that a file was never finished being created. It
	// holds no record.
	ErrNotCreated = errors.New("hot: file was never finished being created")
	// ErrVersion says that a file was written in a form this program does not know.
	ErrVersion = errors.New("hot: unknown format version")
	// ErrLocked says that another process, or another handle of this one, has
	// the file open.
	ErrLocked = errors.New("hot: file is in use")
)

// Errors of using one.
var (
	// ErrClosed is returned when something is begun after Close.
	ErrClosed = errors.New("hot: closed")
	// ErrFull is wrapped by the error of an Apply that the generation's
	// MaxBytes left no room for. Nothing of it was published.
	ErrFull = errors.New("hot: generation is at its byte limit")
	// ErrRecordTooLarge is returned by Apply for a record above
	// MaxRecordBytes. Whoever accepts records refuses them before.
	ErrRecordTooLarge = errors.New("hot: record too large")
	// ErrKeyTooLarge is returned for an idempotency key that is empty or above
	// MaxKeyBytes.
	ErrKeyTooLarge = errors.New("hot: idempotency key is empty or too large")
)

// CorruptError says that bytes read from a file are not the bytes that were
// written. What is damaged is never handed out as data.
type CorruptError struct {
	File   string
	Key    []byte // the key in the file under which the damage lies, where there is one
	Reason string
	Err    error // what was met underneath, where there is something
}

func (e *CorruptError) Error() string {
	s := "hot: " + e.File + " is damaged"
	if len(e.Key) > 0 {
		s += fmt.Sprintf(" at key %q", e.Key)
	}
	s += ": " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *CorruptError) Unwrap() error { return e.Err }

// UnknownOutcomeError says that a commit failed at a point from which it cannot
// be told whether it happened: after a failed fsync the new state may or may not
// be on disk, and may even be read back. The handle takes no more work. Close it,
// open the file again and compare what it has applied.
type UnknownOutcomeError struct {
	File string
	Err  error
}

func (e *UnknownOutcomeError) Error() string {
	return "hot: " + e.File + ": outcome of the commit is unknown: " + e.Err.Error()
}

func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// guard tells a panic of ours and bbolt's from one of a callback.
type guard struct{ outside bool }

// call runs code of the caller's, whose panics are the caller's.
func (g *guard) call(fn func() error) error {
	g.outside = true
	err := fn()
	g.outside = false
	return err
}

// protect runs fn, which reads pages that bbolt maps into memory. bbolt trusts
// its pages: a damaged one can make it panic or reach beyond the file, which the
// machine answers with a fault. Both are damage, found late, and become a
// CorruptError instead of the end of the process.
func protect(file string, fn func(g *guard) error) (err error) {
	var g guard
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			if g.outside {
				panic(r)
			}
			cause, ok := r.(error)
			if !ok {
				cause = fmt.Errorf("%v", r)
			}
			err = &CorruptError{File: file, Reason: "reading a page failed", Err: cause}
		}
	}()
	return fn(&g)
}
