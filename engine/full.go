package engine

import (
	"fmt"

	"github.com/firndb/firn/wal"
)

// A disk without room refuses writes and nothing else: reads go on, so does the process, and a start
// leaves undone what needs room. There are two places that notice. The applier cannot move a memory
// table out of memory; it tries again on its own (diskFull). The log has no next segment, which only a
// call that needs one can find out (logFull): until one does, a probe asks for room now and then, so
// that whoever waits for DB.Ready before it sends records again does not wait for ever.

// noteFull remembers whether the log had room.
func (db *DB) noteFull(full bool) {
	if db.logFull.CompareAndSwap(!full, full) {
		db.logger.Warn("room for the log", "full", full)
	}
}

// probeRoom looks whether a log that had no room has some again.
func (db *DB) probeRoom() {
	if db.logFull.Load() {
		_ = db.append(db.ctx, roomProbe{db}) // notes what it finds
	}
}

// roomProbe is a log entry without records that takes as much room as a batch of common size.
type roomProbe struct{ db *DB }

// probeBytes is more than the totals of maxTables tables take.
const probeBytes = 1 << 20

// Size implements wal.Entry.
func (roomProbe) Size() int { return probeBytes }

// Fill implements wal.Entry: what an idle log would say, which replay takes from any frame.
func (p roomProbe) Fill(dst []byte) []byte { return p.db.fillState(dst) }

// Durable implements wal.Entry.
func (roomProbe) Durable(_, _ wal.Position) {}

// orFull says ErrFull of an error that comes from a disk without room.
func orFull(err error) error {
	if isDiskFull(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
