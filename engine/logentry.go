package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/firndb/firn/engine/hot"
	"github.com/firndb/firn/wal"
)

// append takes an entry through the log and says what its failure means to the caller.
func (db *DB) append(ctx context.Context, e wal.Entry) error {
	err := db.log.Append(ctx, e)
	switch {
	case err == nil:
		db.noteFull(false)
		return nil
	case errors.Is(err, wal.ErrNoSpace):
		db.noteFull(true)
		return fmt.Errorf("%w: %w", ErrFull, err)
	case errors.Is(err, wal.ErrClosed):
		return ErrClosed
	case errors.Is(err, wal.ErrTooLarge):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.Is(err, wal.ErrDamaged):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	case errors.Is(err, wal.ErrFailed):
		db.turnReadOnly("the log failed: " + err.Error())
		if errors.Is(err, wal.ErrNotWritten) {
			return fmt.Errorf("%w: %w", ErrReadOnly, err)
		}
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	// Not written: the caller gave up in the queue, or the next segment could not be made this time.
	return err
}

// tableCount is how many records of a table a batch has.
type tableCount struct {
	state   *tableState
	records int
}

// logEntry takes a batch through the log into the memory table.
type logEntry struct {
	db     *DB
	frame  batchFrame
	counts []tableCount
}

func (e *logEntry) count(state *tableState, records int) {
	for i := range e.counts {
		if e.counts[i].state == state {
			e.counts[i].records += records
			return
		}
	}
	e.counts = append(e.counts, tableCount{state, records})
}

// Size implements wal.Entry.
func (e *logEntry) Size() int {
	n := e.frame.sizeBound()
	for _, c := range e.counts {
		n += 20 + len(c.state.name)
	}
	return n
}

// Fill implements wal.Entry: under the log's lock the records get their place in the order of
// acceptance.
func (e *logEntry) Fill(dst []byte) []byte {
	db := e.db
	e.frame.firstSeq = db.seq + 1
	db.seq += uint64(e.frame.records)
	e.frame.totals = make([]tableTotal, len(e.counts))
	for i, c := range e.counts {
		c.state.total += uint64(c.records)
		c.state.dirty = true
		e.frame.totals[i] = tableTotal{c.state.name, c.state.total}
	}
	return e.frame.appendTo(dst)
}

// Durable implements wal.Entry: the batch is on disk and becomes readable.
func (e *logEntry) Durable(_, end wal.Position) {
	if e.frame.key != "" {
		e.db.keys.keep(e.frame.keyEntry())
	}
	e.db.remember(&e.frame, end)
}

func (f *batchFrame) keyEntry() hot.KeyEntry {
	return hot.KeyEntry{Key: []byte(f.key), Hash: f.hash, Accepted: uint64(f.records), At: f.acceptedAt}
}

// admitBytes lets a call pass while there is room for what it brings: it waits a moment for memory
// tables to be applied and refuses when too much waits to be archived.
func (db *DB) admitBytes(ctx context.Context) error {
	if reason := db.readOnlyReason(); reason != "" {
		return fmt.Errorf("%w: %s", ErrReadOnly, reason)
	}
	if hotBytes := db.hotBytes.Load(); hotBytes > db.opts.Hot.LimitBytes {
		return fmt.Errorf("%w: %d hot bytes, more than %d", ErrBackpressure, hotBytes, db.opts.Hot.LimitBytes)
	}
	if db.opts.Manual {
		return nil
	}
	var timeout <-chan time.Time
	for {
		db.mu.Lock()
		full, changed := len(db.mu.frozen) > db.opts.Hot.MemoryTables, db.mu.changed
		db.mu.Unlock()
		if !full {
			return nil
		}
		if db.diskFull.Load() {
			return fmt.Errorf("%w: memory tables cannot be applied", ErrFull)
		}
		if timeout == nil {
			timer := time.NewTimer(applyPatience)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-changed:
		case <-timeout:
			return fmt.Errorf("%w: %d memory tables wait to be applied", ErrBackpressure, db.opts.Hot.MemoryTables)
		case <-ctx.Done():
			return ctx.Err()
		case <-db.ctx.Done():
			return ErrClosed
		}
	}
}

// applyPatience is how long a call waits for room in memory. Long enough for the slowest apply of
// a healthy disk, short enough that a client's own time-out does not come first.
const applyPatience = 5 * time.Second
