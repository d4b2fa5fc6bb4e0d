package storelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/firndb/firn/blockfile/store"
)

// UnknownOutcomeError is returned by Put when it had to stop before it learned
// what lies at the position: the entry may be there now or appear later. The
// same entry must be put again until Put succeeds; until then nothing that it
// names may be deleted.
type UnknownOutcomeError struct {
	N   uint64
	Err error // the last failure
}

func (e *UnknownOutcomeError) Error() string {
	return fmt.Sprintf("storelog: what entry %d holds is unknown: %v", e.N, e.Err)
}

// Unwrap gives the last failure.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// A put without an answer is repeated after firstPause, and then ever more
// slowly up to lastPause: an outage should neither be hammered at nor be noticed
// long after it is over.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Put puts entry e at its position if none is there, and returns the entry that
// is there then. ours says that it is e, byte for byte; when it is not, the
// caller looks whose it is.
//
// A failure of the store settles nothing, so Put goes on, with pauses, until an
// entry can be read or ctx ends: then it returns *UnknownOutcomeError. Any other
// error means that nothing was sent (ErrInvalid, a store that is closed, ctx
// over before the first attempt), or that what lies there is damaged.
func Put(ctx context.Context, st store.Store, e Entry) (there Entry, ours bool, err error) {
	data, err := Encode(e)
	if err != nil {
		return Entry{}, false, err
	}
	if err := ctx.Err(); err != nil {
		return Entry{}, false, err
	}
	key := Key(e.N)
	pause := firstPause
	for sent := false; ; sent = true {
		err := st.PutIfAbsent(ctx, key, data)
		if err == nil {
			return e, true, nil
		}
		if !sent && (errors.Is(err, store.ErrInvalidKey) || errors.Is(err, store.ErrClosed)) {
			return Entry{}, false, fmt.Errorf("storelog: %w", err)
		}
		b, getErr := st.Get(ctx, key, MaxEntryBytes)
		if getErr == nil {
			there, err := Decode(e.N, b)
			return there, err == nil && bytes.Equal(b, data), err
		}
		if errors.Is(getErr, store.ErrTooLarge) {
			return Entry{}, false, corrupt(key, getErr)
		}
		// That no entry can be read is no answer: a delayed put may still land.
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return Entry{}, false, &UnknownOutcomeError{N: e.N, Err: errors.Join(err, getErr, ctx.Err())}
		case <-timer.C:
		}
		pause = min(2*pause, lastPause)
	}
}

// Get reads entry n; store.ErrNotFound when it is not there.
func Get(ctx context.Context, st store.Store, n uint64) (Entry, error) {
	b, err := st.Get(ctx, Key(n), MaxEntryBytes)
	if errors.Is(err, store.ErrTooLarge) {
		return Entry{}, corrupt(Key(n), err)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("storelog: entry %d: %w", n, err)
	}
	return Decode(n, b)
}

// Read calls fn for the entries from position from to the end of the log, in
// order, and returns the position after the last one. It asks for one entry
// after the other until one is missing, and never lists. An error of fn ends it
// and is returned as it is; next is then the entry's own position.
func Read(ctx context.Context, st store.Store, from uint64, fn func(Entry) error) (next uint64, err error) {
	for n := from; ; n++ {
		e, err := Get(ctx, st, n)
		if errors.Is(err, store.ErrNotFound) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if err := fn(e); err != nil {
			return n, err
		}
	}
}
