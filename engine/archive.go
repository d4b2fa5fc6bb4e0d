package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/firndb/firn/blockfile/schema"
	"github.com/firndb/firn/engine/catalog"
	"github.com/firndb/firn/engine/hot"
	"github.com/firndb/firn/engine/storelog"
)

// Archive moves everything acknowledged before the call into block files and returns when it is
// cold. It waits for a run under way. Errors: ErrStoreAway; ErrFull; ErrCorrupt when a hot chunk is damaged;
// either way what was not archived stays hot and readable.
func (db *DB) Archive(ctx context.Context) (ArchiveReport, error) {
	if err := db.enter(); err != nil {
		return ArchiveReport{}, err
	}
	defer db.leave()
	return db.archiveAll(ctx)
}

// archiveAll archives the generations that are sealed already, then seals what is hot and archives
// that. In this order a store that is away does not make every try leave one more generation.
func (db *DB) archiveAll(ctx context.Context) (report ArchiveReport, err error) {
	start := time.Now()
	if err := db.jobs.lock(ctx); err != nil {
		return report, err
	}
	defer db.jobs.unlock()
	if err = db.archiveSealedLocked(ctx, &report); err == nil {
		if err = db.sealAll(); err == nil {
			err = db.archiveSealedLocked(ctx, &report)
		}
	}
	if db.opts.Manual {
		if err := db.keys.expire(db.now().UnixMilli()); err != nil {
			db.noteError("expire idempotency keys", err)
		}
	}
	report.Duration = time.Since(start)
	return report, orFull(err)
}

// archiveSealed archives the generations that are sealed already.
func (db *DB) archiveSealed(ctx context.Context) error {
	var report ArchiveReport
	if err := db.jobs.lock(ctx); err != nil {
		return err
	}
	defer db.jobs.unlock()
	return db.archiveSealedLocked(ctx, &report)
}

// sealAll applies every acknowledged record and seals the generation they are in.
func (db *DB) sealAll() error {
	if db.damaged() {
		return fmt.Errorf("%w: %s", ErrReadOnly, db.readOnlyReason())
	}
	db.freeze()
	db.apply.Lock()
	defer db.apply.Unlock()
	if err := db.applyFrozenLocked(); err != nil {
		return err
	}
	return db.sealLocked()
}

// archiveSealedLocked does so for a caller that holds db.jobs, and adds to its report.
func (db *DB) archiveSealedLocked(ctx context.Context, report *ArchiveReport) error {
	if err := db.settleJobs(ctx, db.opts.storePatience); err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h := db.oldestSealed()
		if h == nil {
			return nil
		}
		if reason := db.readOnlyReason(); db.fenced.Load() {
			db.unpin(h)
			return fmt.Errorf("%w: %s", ErrReadOnly, reason)
		}
		err := db.archiveGeneration(ctx, h, report)
		db.unpin(h)
		db.noteStore(err)
		if err != nil {
			return err
		}
	}
}

// oldestSealed pins the generation to archive next, nil when there is none.
func (db *DB) oldestSealed() *genHandle {
	db.mu.Lock()
	defer db.mu.Unlock()
	if h := db.mu.gens[0]; h.sealed {
		h.pinLocked()
		return h
	}
	return nil
}

// errWidened says that a record did not fit the schema its generation was given: its shape was
// taken for a known one (a collision of two 64-bit hashes). The tree is wide enough now.
var errWidened = errors.New("a tree had to be widened during archiving")

// maxWidenings bounds the repeats of one archive. One is already beyond belief.
const maxWidenings = 100

// archiveGeneration makes one generation cold: steps 1 to 7 of ARCHIVE in docs/protocol.md.
func (db *DB) archiveGeneration(ctx context.Context, h *genHandle, report *ArchiveReport) error {
	for range maxWidenings {
		err := db.tryArchive(ctx, h, report)
		if !errors.Is(err, errWidened) {
			return err
		}
	}
	return errWidened
}

func (db *DB) tryArchive(ctx context.Context, h *genHandle, report *ArchiveReport) (err error) {
	// 1. The job is on record before its first object is in the store.
	job, err := db.beginJob(h)
	if err != nil {
		return err
	}
	db.opts.step("archive 1")
	run := &archiveRun{db: db, ctx: ctx, h: h, job: job}
	// A job that fails before its log entry was sent takes its objects back.
	sent := false
	defer func() {
		if err != nil && !sent {
			run.abandon()
			if dropErr := db.dropJob(context.WithoutCancel(ctx), job, nil); dropErr != nil {
				db.noteError("drop failed job", dropErr)
			}
		}
	}()
	// 2 and 3. Encode, upload, read back, stage.
	if err := run.write(); err != nil {
		return err
	}
	db.opts.step("archive 3")
	// 4. The ledger must balance before anything moves.
	if err := run.balance(); err != nil {
		return err
	}
	// 5. The commit in the store.
	entry := run.entry()
	sent = true
	putCtx, cancel := db.patient(ctx, db.opts.storePatience)
	defer cancel()
	there, ours, err := storelog.Put(putCtx, db.store, entry)
	if err != nil {
		db.setOpenJob()
		return fmt.Errorf("%w: %w", ErrStoreAway, err)
	}
	if !ours {
		db.fence(there)
		return fmt.Errorf("%w: %s", ErrReadOnly, db.readOnlyReason())
	}
	db.opts.step("archive 5")
	// 6. The commit for readers.
	if err := db.commitRun(job, entry); err != nil {
		db.setOpenJob()
		return err
	}
	db.opts.step("archive 6")
	if _, err := storelog.Checkpoint(ctx, db.store, entry.N+1); err != nil {
		db.logger.Warn("checkpoint of the store's log", "error", err) // a short cut for a restore, no more
	}
	// 7. The generation is unlinked when the last reader lets go of it.
	db.retire(h, entry.ArchivedSeq)
	report.Files += len(run.files)
	for i := range run.files {
		f := &run.files[i]
		report.Records += f.row.Records
		report.RawBytes += f.row.RawBytes
		report.Bytes += f.row.Size
		db.counters.archived.Add(f.row.Records)
	}
	db.counters.archiveRuns.Add(1)
	db.counters.lastArchive.Store(db.now().UnixMilli())
	db.logger.Info("archived", "generation", h.id, "run", job.Run, "files", len(run.files))
	return nil
}

// putPatience is how long a run waits for the store to show its log entry. After that the job stays
// open and is settled later; its generation stays hot meanwhile.
const putPatience = time.Minute

// retire takes an archived generation away from new views.
func (db *DB) retire(h *genHandle, archived uint64) {
	db.mu.Lock()
	for i, g := range db.mu.gens {
		if g == h {
			db.mu.gens = append(append([]*genHandle(nil), db.mu.gens[:i]...), db.mu.gens[i+1:]...)
			break
		}
	}
	h.gone = true
	db.mu.acceptance.forget(archived)
	db.changedLocked()
	db.mu.Unlock()
	db.refreshHotBytes()
}

// balance is the ledger's check for each table: what was accepted between the generation before
// and the end of this one = what was written + what was found lost.
func (a *archiveRun) balance() error {
	meta, err := a.h.meta()
	if err != nil {
		return err
	}
	snap, err := a.db.cat.View()
	if err != nil {
		return err
	}
	defer snap.Close()
	a.meta, a.logNext = meta, snap.Identity().LogNext
	a.counters = make(map[string]catalog.Counters)
	a.lost = make(map[string]uint64)
	for table, total := range meta.Totals {
		row, _, err := snap.Table(table)
		if err != nil {
			return err
		}
		var written uint64
		if t := a.tables[table]; t != nil {
			written = t.records
		}
		c := row.Counters
		lost := a.db.losses.between(table, snap.Identity().ArchivedSeq, meta.Applied)
		if total != c.Accepted+written+lost {
			return &CorruptError{File: a.h.path, Offset: -1, Reason: fmt.Sprintf(
				"table %q: %d records accepted since the generation before, but %d written and %d lost",
				table, total-c.Accepted, written, lost)}
		}
		c.Accepted, c.Cold, c.Lost = total, c.Cold+written, c.Lost+lost
		a.counters[table] = c
		if lost > 0 {
			a.lost[table] = lost
		}
	}
	for table, t := range a.tables {
		if _, ok := meta.Totals[table]; !ok && t.records > 0 {
			return &CorruptError{File: a.h.path, Offset: -1, Reason: fmt.Sprintf("table %q has records but no total", table)}
		}
	}
	return nil
}

// treesOf reads the trees of a generation's tables.
func treesOf(gen *hot.Generation) (map[string]*schema.Tree, error) {
	stored, err := gen.Trees()
	if err != nil {
		return nil, hotDamage(err)
	}
	trees := make(map[string]*schema.Tree, len(stored))
	for table, b := range stored {
		tree, err := schema.ParseTree(b)
		if err != nil {
			return nil, &CorruptError{File: gen.Path(), Offset: -1, Reason: fmt.Sprintf("tree of table %q: %v", table, err)}
		}
		trees[table] = tree
	}
	return trees, nil
}
