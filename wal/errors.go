package wal

import "errors"

var (
	// ErrClosed is returned by calls on a closed log.
	ErrClosed = errors.New("wal: log is closed")
	// ErrDamaged is returned by Append while damage that Open found is not accepted.
	ErrDamaged = errors.New("wal: log is damaged and the damage is not accepted")
	// ErrFailed is returned when a write or an fsync failed, together with the cause. Whether the frames
	// of that group are on disk is unknown until the next Open. It is final: nothing is tried again,
	// because after a failed fsync the kernel may report success for pages that were lost.
	ErrFailed = errors.New("wal: log has failed")
	// ErrNotWritten says, beside another error, that nothing of this entry will ever be replayed: Fill
	// was not called.
	ErrNotWritten = errors.New("wal: entry was not written")
	// ErrNoSpace is returned when there is no room for the next segment. It comes with ErrNotWritten, and
	// passes when there is room again.
	ErrNoSpace = errors.New("wal: no space for the next segment")
	// ErrTooLarge is returned for an entry larger than Options.MaxFrameBytes. It comes with ErrNotWritten.
	ErrTooLarge = errors.New("wal: entry is larger than a frame may be")
	// ErrVersion is returned by Open for a segment of a format version this program does not know.
	ErrVersion = errors.New("wal: unknown format version")
)

// A refusal is one of the errors above, whether the entry was left unwritten, and why.
type refusal struct {
	kind       error
	notWritten bool
	cause      error
}

func (r *refusal) Error() string {
	s := r.kind.Error()
	if r.cause != nil {
		s += ": " + r.cause.Error()
	}
	return s
}

func (r *refusal) Unwrap() []error {
	errs := []error{r.kind}
	if r.notWritten {
		errs = append(errs, ErrNotWritten)
	}
	if r.cause != nil {
		errs = append(errs, r.cause)
	}
	return errs
}

func notWritten(kind, cause error) error {
	return &refusal{kind: kind, notWritten: true, cause: cause}
}
