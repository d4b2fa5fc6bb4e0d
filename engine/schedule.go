package engine

import (
	"context"
	"errors"
	"time"

	"github.com/netresearch/go-cron"
)

// scheduleOff is the schedule of a database that archives by size, age and hand only.
const scheduleOff = "off"

// parseSchedule reads a cron expression of five fields, or "off" (a nil schedule).
func parseSchedule(expr string) (cron.Schedule, error) {
	if expr == scheduleOff {
		return nil, nil
	}
	s, err := cron.ParseStandard(expr)
	if err != nil {
		return nil, invalid("archive schedule %q: %v", expr, err)
	}
	if s.Next(time.Unix(0, 0).UTC()).IsZero() {
		return nil, invalid("archive schedule %q never comes", expr)
	}
	return s, nil
}

const (
	ageCheck        = 10 * time.Second // how often ages are looked at
	archiveRetryMin = time.Second
	archiveRetryMax = 5 * time.Minute
)

// archiver is the goroutine that archives: by the schedule, when a generation was sealed for its
// size, and when the oldest hot record is too old. After a failure it waits ever longer, since what
// fails an archive is the store being away.
func (db *DB) archiver(schedule cron.Schedule) {
	ctx := db.ctx
	var retry time.Duration
	for {
		wait := time.Duration(1<<63 - 1)
		if schedule != nil {
			now := db.now().UTC()
			if next := schedule.Next(now); !next.IsZero() {
				wait = next.Sub(now)
			}
		}
		if retry > 0 {
			wait = min(wait, retry)
		}
		timer := time.NewTimer(wait)
		sealedOnly := false
		select {
		case <-timer.C:
		case <-db.wake.archive:
			sealedOnly = true
		case <-db.ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
		var err error
		if sealedOnly && retry == 0 && !db.due.Swap(false) {
			err = db.archiveSealed(ctx)
		} else {
			_, err = db.archiveAll(ctx)
		}
		switch {
		case err == nil:
			retry = 0
			db.noteError("archive", nil)
		case errors.Is(err, context.Canceled):
			return
		default:
			db.noteError("archive", err)
			retry = min(max(2*retry, archiveRetryMin), archiveRetryMax)
		}
	}
}

// watchAges applies a memory table that is old enough and begins archiving when the oldest hot
// record is.
func (db *DB) watchAges() {
	db.probeRoom()
	now := db.now()
	db.mu.Lock()
	if at := db.mu.active.acceptedAt; at != 0 && now.Sub(time.UnixMilli(at)) >= db.opts.Hot.MemoryAge {
		db.freezeLocked()
	}
	db.mu.Unlock()
	if err := db.keys.expire(now.UnixMilli()); err != nil {
		db.noteError("expire idempotency keys", err)
	}
	if age := db.opts.Archive.MaxAge; age > 0 {
		oldest, err := db.oldestAccepted()
		if err != nil {
			db.noteError("look at ages", err)
		} else if oldest != 0 && now.Sub(time.UnixMilli(oldest)) >= age {
			db.due.Store(true)
			nudge(db.wake.archive)
		}
	}
}

// oldestAccepted is when the oldest hot record was accepted, ms; 0 when nothing is hot.
func (db *DB) oldestAccepted() (int64, error) {
	var oldest int64
	earlier := func(at int64) {
		if at != 0 && (oldest == 0 || at < oldest) {
			oldest = at
		}
	}
	db.mu.Lock()
	earlier(db.mu.active.acceptedAt)
	for _, m := range db.mu.frozen {
		earlier(m.acceptedAt)
	}
	gens := db.pinAllLocked()
	db.mu.Unlock()
	defer db.unpinAll(gens)
	for _, h := range gens {
		meta, err := h.meta()
		if err != nil {
			return 0, err
		}
		earlier(meta.OldestAccepted)
	}
	return oldest, nil
}

// pinAllLocked pins every generation, oldest first.
func (db *DB) pinAllLocked() []*genHandle {
	gens := append([]*genHandle(nil), db.mu.gens...)
	for _, h := range gens {
		h.pinLocked()
	}
	return gens
}

func (db *DB) unpinAll(gens []*genHandle) {
	for _, h := range gens {
		db.unpin(h)
	}
}
