package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/blockfile/schema"
	"github.com/firndb/firn/engine/catalog"
	"github.com/firndb/firn/engine/hot"
	"github.com/firndb/firn/engine/storelog"
)

// stageTxBytes bounds a transaction that stages or drops rows: larger ones get slower than their
// size says, and hold up the log of other commits.
const stageTxBytes = 8 << 20

// update is one catalog transaction. After a *catalog.UnknownOutcomeError it may have happened: the
// caller looks, or leaves everything so that either is right.
func (db *DB) update(fn func(*catalog.Tx) error) error {
	return db.opts.update(func() error { return db.cat.Update(fn) })
}

// closePatience is how long Close lets a job wait for a store that does not answer.
const closePatience = 2 * time.Second

// patient bounds how long a job waits for the store to show its log entry.
func (db *DB) patient(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	stop := context.AfterFunc(db.ctx, func() {
		timer := time.NewTimer(closePatience)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() { stop(); cancel() }
}

// newID takes an id for a generation.
func (db *DB) newID() (id hot.ID, err error) {
	err = db.update(func(tx *catalog.Tx) error {
		id, err = tx.NewID()
		return err
	})
	return id, err
}

// beginJob puts an archive run on record.
func (db *DB) beginJob(h *genHandle) (job catalog.Job, err error) {
	now := db.now().UnixMilli()
	err = db.update(func(tx *catalog.Tx) error {
		job, err = tx.BeginJob(catalog.KindArchive, []hot.ID{h.id}, now)
		return err
	})
	return job, err
}

// stage writes the row of an uploaded file and its references.
func (db *DB) stage(row *catalog.FileRow, refs []blockfile.Ref) error {
	const some = 4096 // references between two looks at the transaction's size
	staged := false
	for !staged || len(refs) > 0 {
		err := db.update(func(tx *catalog.Tx) (err error) {
			if !staged {
				if row.ID, err = tx.StageFile(*row); err != nil {
					return err
				}
				staged = true
			}
			for len(refs) > 0 && tx.Bytes() < stageTxBytes {
				n := min(some, len(refs))
				if err := tx.StageRefs(row.ID, refs[:n]); err != nil {
					return err
				}
				refs = refs[n:]
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// entry is the log entry that commits a run.
func (a *archiveRun) entry() storelog.Entry {
	e := storelog.Entry{
		N: a.logNext, Kind: storelog.KindRun, WriterID: a.db.identity.WriterID, Epoch: a.db.identity.Epoch,
		Time: a.db.now().UTC().Format(time.RFC3339Nano), Run: a.job.Run.String(),
		ArchivedSeq: a.meta.Applied, Counters: make(map[string]storelog.Counters),
	}
	for _, id := range a.job.Generations {
		e.Retired = append(e.Retired, id.String())
	}
	for i := range a.files {
		e.Added = append(e.Added, logFile(&a.files[i].row))
	}
	for table, c := range a.counters {
		e.Counters[table] = storelog.Counters(c)
	}
	for _, t := range a.tables {
		s := t.schema
		e.Schemas = append(e.Schemas, storelog.SchemaDef{
			Table: t.name, Version: s.Version(), Fingerprint: s.Fingerprint(),
			Created: a.job.StartedAt, Text: string(s.Text()), Tree: t.tree.AppendTo(nil),
		})
		if state := a.db.tables.get([]byte(t.name)); state != nil {
			if set := *state.settings.Load(); set != (TableSettings{}) {
				if e.Tables == nil {
					e.Tables = make(map[string]storelog.Settings)
				}
				e.Tables[t.name] = storelog.Settings(set)
			}
		}
	}
	return e
}

func fingerprintText(fp [32]byte) string { return fmt.Sprintf("%x", fp[:]) }

func logFile(f *catalog.FileRow) storelog.File {
	return storelog.File{
		Key: f.Key, Table: f.Table, Date: f.Date, Size: f.Size, Records: f.Records, Blocks: f.Blocks,
		RawBytes: f.RawBytes, FirstSeq: f.FirstSeq, LastSeq: f.LastSeq, First: f.First, Last: f.Last,
		Lineage: f.Lineage, CRC: f.CRC, SidecarCRC: f.SidecarCRC, SidecarSize: f.SidecarSize,
		Schema: f.Schema, Codec: f.Codec, Marker: f.Marker, JobStart: f.JobStart,
	}
}

// commitRun is the commit for readers: one small transaction. It is repeated after a crash from the
// log entry alone.
func (db *DB) commitRun(job catalog.Job, e storelog.Entry) error {
	commit := catalog.Commit{
		Run: job.Run, Position: e.N, ArchivedSeq: e.ArchivedSeq, Counters: make(map[string]catalog.Counters),
	}
	for table, c := range e.Counters {
		commit.Counters[table] = catalog.Counters(c)
	}
	err := db.update(func(tx *catalog.Tx) error {
		for _, s := range e.Schemas {
			if err := tx.PutSchema(s.Table, s.Version, s.Created, []byte(s.Text), s.Tree); err != nil {
				return err
			}
		}
		return tx.Commit(commit)
	})
	var unknown *catalog.UnknownOutcomeError
	if !errors.As(err, &unknown) {
		return err
	}
	// The outcome shows in whether the job is still there.
	open, lookErr := db.openJobs()
	if lookErr != nil {
		return errors.Join(err, lookErr)
	}
	for _, j := range open {
		if j.Run == job.Run {
			return err
		}
	}
	return nil
}

func (db *DB) openJobs() ([]catalog.Job, error) {
	snap, err := db.cat.View()
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	return snap.Jobs()
}

// dropJob takes back what a job brought into the store and the catalog. It must be certain that no
// log entry of the job exists or can still arrive; ended is the entry that says so, nil when none
// was ever sent.
func (db *DB) dropJob(ctx context.Context, job catalog.Job, ended *storelog.Entry) error {
	// Objects first: their keys are found by the run id they begin with, also those whose row was
	// never staged.
	var keys []string
	err := db.store.List(ctx, "", "", func(key string, _ int64) error {
		if name, _, err := blockfile.ParseKey(key); err == nil && hot.ID(name.Run) == job.Run {
			keys = append(keys, key)
		}
		return nil
	})
	if err != nil {
		return away(err)
	}
	for _, key := range keys {
		if err := db.store.Delete(ctx, key); err != nil {
			return away(err)
		}
	}
	for done := false; !done; {
		err := db.update(func(tx *catalog.Tx) (err error) {
			done, err = tx.DropStaged(job.Run, stageTxBytes)
			return err
		})
		if err != nil {
			return err
		}
	}
	return db.update(func(tx *catalog.Tx) error {
		next := tx.Identity().LogNext
		if ended != nil {
			next = ended.N + 1
		}
		return tx.CloseJob(job.Run, next)
	})
}

// settleJobs ends the jobs of an earlier life, or of a log entry whose outcome stayed unknown:
// finished where the store's log has their commit, else aborted. While the store is away they stay
// open, their generations stay hot, and no new job begins; for each it is given so much patience. The
// caller holds db.jobs.
func (db *DB) settleJobs(ctx context.Context, patience time.Duration) error {
	jobs, err := db.openJobs()
	if err != nil {
		return err
	}
	for _, job := range jobs {
		if err := db.settleJob(ctx, job, patience); err != nil {
			if errors.Is(err, ErrStoreAway) || isDiskFull(err) {
				db.setOpenJob()
			}
			return err
		}
	}
	if err := db.retireArchived(); err != nil {
		return err
	}
	db.state.Lock()
	db.state.openJob = false
	if len(jobs) > 0 {
		db.state.storeAway = "" // it has just answered
	}
	db.state.Unlock()
	return nil
}

func (db *DB) setOpenJob() {
	db.state.Lock()
	db.state.openJob = true
	db.state.Unlock()
}

// settleJob puts an abort where the job's entry would be. What is there afterwards decides: an
// entry of the dead run that was still on its way can no longer land.
func (db *DB) settleJob(ctx context.Context, job catalog.Job, patience time.Duration) error {
	next, err := db.logNext()
	if err != nil {
		return err
	}
	putCtx, cancel := db.patient(ctx, patience)
	defer cancel()
	there, _, err := storelog.Put(putCtx, db.store, storelog.Entry{
		N: next, Kind: storelog.KindAbort, WriterID: db.identity.WriterID, Epoch: db.identity.Epoch,
		Time: db.now().UTC().Format(time.RFC3339Nano), Run: job.Run.String(),
	})
	if err != nil && ctx.Err() != nil {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStoreAway, err) // also when only patience ended
	}
	mine := there.WriterID == db.identity.WriterID && there.Run == job.Run.String()
	switch {
	case mine && there.Kind == storelog.KindRun:
		if err := db.commitRun(job, there); err != nil {
			return err
		}
		db.logger.Info("finished an archive run of an earlier life", "run", job.Run)
		return nil
	case mine && there.Kind == storelog.KindAbort:
		db.logger.Info("aborted an archive run of an earlier life", "run", job.Run)
		return db.dropJob(ctx, job, &there)
	}
	db.fence(there)
	return fmt.Errorf("%w: %s", ErrReadOnly, db.readOnlyReason())
}

// retireArchived takes away the generations that the catalog does not name any more: their commit
// was made by settling a job, or its outcome was unknown when it was made.
func (db *DB) retireArchived() error {
	snap, err := db.cat.View()
	if err != nil {
		return err
	}
	rows, err := snap.Generations()
	archived := snap.Identity().ArchivedSeq
	snap.Close()
	if err != nil {
		return err
	}
	var gone []*genHandle
	db.mu.Lock()
	for _, h := range db.mu.gens {
		if h.sealed && !names(rows, h.id) {
			h.pinLocked()
			gone = append(gone, h)
		}
	}
	db.mu.Unlock()
	for _, h := range gone {
		db.retire(h, archived)
		db.unpin(h)
	}
	return nil
}

// logNext is the position of the next log entry.
func (db *DB) logNext() (uint64, error) {
	snap, err := db.cat.View()
	if err != nil {
		return 0, err
	}
	defer snap.Close()
	return snap.Identity().LogNext, nil
}

// fence ends writing: another writer has taken over the store.
func (db *DB) fence(e storelog.Entry) {
	db.fenced.Store(true)
	db.turnReadOnly(fmt.Sprintf("another writer, %s, wrote entry %d of the store's log at %s", e.WriterID, e.N, e.Time))
}

// noteStore remembers whether the last job reached the store.
func (db *DB) noteStore(err error) {
	db.state.Lock()
	defer db.state.Unlock()
	switch {
	case err == nil:
		db.state.storeAway = ""
	case errors.Is(err, ErrStoreAway):
		db.state.storeAway = err.Error()
	}
}

// newestTree is the tree of a table's newest archived schema, nil when it has none.
func newestTree(snap *catalog.Snapshot, table string) (*schema.Tree, error) {
	row, ok, err := snap.Newest(table)
	if err != nil || !ok {
		return nil, err
	}
	return schema.ParseTree(row.Tree)
}
