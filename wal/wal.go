package wal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
)

// Entry is one frame to append. Its methods are called by the log and must not call back into it.
type Entry interface {
	// Size returns an upper bound of the payload in bytes. It is called once, by Append, before anything
	// else, so that room in the log is certain before Fill runs.
	Size() int
	// Fill appends the payload, at most Size bytes, to dst and returns the result. Calls come one at a
	// time in log order, from the appender: this is the place to take a sequence number. dst has the
	// capacity that is needed and is not to be kept. An entry that breaks this contract fails the log.
	Fill(dst []byte) []byte
	// Durable is called once the entry's group is on disk (written, with SyncInterval) and before Append
	// returns; one at a time, in log order. It is not called when Append returns an error. pos and end
	// are where the frame begins and where the next one will.
	Durable(pos, end Position)
}

// Frame is one frame as Open reads it.
type Frame struct {
	Pos, End Position
	Kind     Kind
	// Payload is valid during the callback only.
	Payload []byte
}

// Log is an open log. All methods may be called from any number of goroutines.
type Log struct {
	dir    string
	o      Options
	files  fileSystem
	logger *slog.Logger

	// end is the position after the last frame that was built and written.
	end atomic.Uint64

	wake chan struct{} // capacity 1: the queue has something
	quit chan struct{} // closed by Close
	done chan struct{} // closed when the appender has ended

	mu struct {
		sync.Mutex
		queue   []*request
		refuse  error // what Append answers without queueing; nil while the appender runs
		failure error // the first failed write or fsync
		closed  bool
	}

	// holder is the lists of files; see segments.go.
	holder holder

	// trimming is held while Trim works, so that files are freed oldest first.
	trimming sync.Mutex
	// accepting is held while AcceptDamage works; pending is what Open left to it.
	accepting sync.Mutex
	pending   *tail

	counters counters
	requests sync.Pool // of *request
}

// Append writes one frame and returns when it is on disk (written, with SyncInterval). Whatever else
// is waiting meanwhile shares its write and its fdatasync. ctx is looked at until the entry is taken
// into a group, not while the group is being written.
//
// Errors: ErrNotWritten comes with every error that proves that the entry left no trace and Fill did
// not run: ErrClosed, ErrDamaged, ErrTooLarge, ErrNoSpace, the error of ctx, a next segment that could
// not be made. ErrFailed without ErrNotWritten means that the outcome is unknown until the next Open.
func (l *Log) Append(ctx context.Context, e Entry) error {
	size := e.Size()
	if size < 0 || size > l.o.MaxFrameBytes {
		return notWritten(ErrTooLarge, fmt.Errorf("%d bytes, at most %d", size, l.o.MaxFrameBytes))
	}
	return l.submit(l.newRequest(ctx, e, int64(size)))
}

// Sync returns when everything whose Append returned before the call is on disk. With SyncAlways that
// is already so.
func (l *Log) Sync() error {
	if l.o.Sync == SyncAlways {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.mu.failure != nil {
			return l.mu.failure
		}
		if l.mu.closed {
			return ErrClosed
		}
		return nil
	}
	return l.submit(l.newRequest(context.Background(), nil, 0))
}

// submit queues a request and waits for its answer.
func (l *Log) submit(r *request) error {
	l.mu.Lock()
	if err := l.mu.refuse; err != nil {
		l.mu.Unlock()
		l.release(r)
		return err
	}
	l.mu.queue = append(l.mu.queue, r)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // the appender will look at the queue anyway
	}
	<-r.answered
	err := r.err
	l.release(r)
	return err
}

// End returns the position after the last frame, the idle and closing ones included.
func (l *Log) End() Position { return Position(l.end.Load()) }

// Failed returns the error that made the log fail, matching ErrFailed, or nil.
func (l *Log) Failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.failure
}

// Close answers what was queued before it, writes the closing frame, syncs, and waits for everything
// the log started. Calls that come later get ErrClosed. A log that failed, or whose damage is not
// accepted, gets no closing frame. Close returns the failure of the log, if any; a second Close waits
// for the first and returns nil.
func (l *Log) Close() error {
	l.accepting.Lock() // AcceptDamage starts the appender; it must not do so behind Close
	l.mu.Lock()
	closed := l.mu.closed
	l.mu.closed = true
	l.mu.refuse = notWritten(ErrClosed, nil)
	l.mu.Unlock()
	if !closed {
		close(l.quit)
		if l.pending != nil {
			l.pending = nil
			close(l.done)
		}
	}
	l.accepting.Unlock()
	<-l.done
	if closed {
		return nil
	}
	return l.Failed()
}

// fail makes err the answer to everything that is not yet written, for good. It returns what the
// frames of unknown outcome get.
func (l *Log) fail(cause error) error {
	unknown := &refusal{kind: ErrFailed, cause: cause}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.failure == nil {
		l.mu.failure = unknown
		l.logger.Error("write-ahead log has failed and takes nothing more until it is opened again", "dir", l.dir, "err", cause)
	}
	if !l.mu.closed {
		l.mu.refuse = notWritten(ErrFailed, cause)
	}
	return l.mu.failure
}

// refusal returns what Append answers without queueing.
func (l *Log) refusal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.refuse
}

// request is one caller waiting for the appender.
type request struct {
	ctx      context.Context
	entry    Entry // nil: a Sync
	payload  int64 // bound of the payload
	pos, end Position
	err      error
	answered chan struct{} // capacity 1, so that the appender never waits for a caller
}

// newRequest takes a request that was used before, so that Append allocates nothing.
func (l *Log) newRequest(ctx context.Context, e Entry, payload int64) *request {
	r, _ := l.requests.Get().(*request)
	if r == nil {
		r = &request{answered: make(chan struct{}, 1)}
	}
	r.ctx, r.entry, r.payload = ctx, e, payload
	return r
}

func (l *Log) release(r *request) {
	*r = request{answered: r.answered}
	l.requests.Put(r)
}

func (r *request) answer(err error) {
	r.err = err
	r.answered <- struct{}{}
}

var errContract = errors.New("an entry filled in less than nothing or more than its Size")
