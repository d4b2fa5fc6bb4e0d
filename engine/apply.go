package engine

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/firndb/firn/engine/catalog"
	"github.com/firndb/firn/engine/hot"
	"github.com/firndb/firn/wal"
)

// memTable is a memory table with what has to become durable together with it.
type memTable struct {
	*hot.Memory
	keys       []hot.KeyEntry
	end        wal.Position // behind its last frame
	keyBytes   int64        // what keys costs
	acceptedAt int64        // ms, its first batch
}

// keyOverhead is what a key costs beside its bytes: its entry here and the one in keyTable.pending.
const keyOverhead = 256

// size is what the table holds in memory.
func (m *memTable) size() int64 { return m.Bytes() + m.keyBytes }

// genHandle is an open generation file and who uses it. Its number of pins and the two flags
// belong to DB.mu.
type genHandle struct {
	id     hot.ID
	path   string
	pins   int
	sealed bool
	gone   bool // out of the catalog: the last pin closes and unlinks the file

	// reopen is held for writing while the file is closed and opened again after a commit whose
	// outcome is unknown.
	reopen  sync.RWMutex
	gen     *hot.Generation
	options hot.GenerationOptions

	trees map[string]uint64 // version of each table's tree in the file; belongs to DB.apply
}

func (db *DB) newGenHandle(gen *hot.Generation, sealed bool) *genHandle {
	return &genHandle{
		id: gen.ID(), path: gen.Path(), gen: gen, options: db.generationOptions(), sealed: sealed,
		trees: make(map[string]uint64),
	}
}

// begin opens a read transaction; keep it short. Between a failed commit and the applier's second
// look at the file its handle reads nothing, so who meets it first opens the file again.
func (h *genHandle) begin() (*hot.Tx, error) {
	for {
		gen := h.file()
		tx, err := gen.Begin()
		var unknown *hot.UnknownOutcomeError
		switch {
		case errors.Is(err, hot.ErrClosed) && h.file() != gen:
			continue // opened again meanwhile
		case !errors.As(err, &unknown):
			return tx, err
		}
		if err := h.openAgain(gen); err != nil {
			return nil, err
		}
	}
}

// file is the handle of the moment.
func (h *genHandle) file() *hot.Generation {
	h.reopen.RLock()
	defer h.reopen.RUnlock()
	return h.gen
}

// openAgain closes and opens the file of a handle that failed, unless somebody has done so.
// Readers wait meanwhile.
func (h *genHandle) openAgain(failed *hot.Generation) error {
	h.reopen.Lock()
	defer h.reopen.Unlock()
	if h.gen != failed {
		return nil
	}
	_ = h.gen.Close() // it failed already; what counts is whether the file can be opened
	gen, err := hot.OpenGeneration(h.path, h.options)
	if err != nil {
		return err
	}
	h.gen = gen
	return nil
}

func (h *genHandle) meta() (hot.Meta, error) {
	tx, err := h.begin()
	if err != nil {
		return hot.Meta{}, err
	}
	defer tx.Close()
	return tx.Meta()
}

func (h *genHandle) bytes() int64 {
	h.reopen.RLock()
	defer h.reopen.RUnlock()
	return h.gen.Bytes()
}

// remember puts a durable batch into the memory table and freezes that when it is full. It is
// called in log order.
func (db *DB) remember(f *batchFrame, end wal.Position) {
	db.mu.Lock()
	defer db.mu.Unlock()
	m := db.mu.active
	if m.acceptedAt == 0 {
		m.acceptedAt = f.acceptedAt
	}
	seq := f.firstSeq
	for i := range f.groups {
		m.Add(f.groups[i], seq)
		seq += uint64(len(f.groups[i].Times))
	}
	for _, t := range f.totals {
		m.SetTotal(t.table, t.total)
	}
	if f.key != "" {
		m.keys = append(m.keys, f.keyEntry())
		m.keyBytes += keyOverhead + 2*int64(len(f.key))
	}
	m.end = end
	db.mu.visible = seq - 1
	db.mu.acceptance.note(seq-1, f.acceptedAt)
	if m.size() >= db.opts.Hot.MemoryBytes {
		db.freezeLocked()
	}
}

// freezeLocked ends the active memory table at a batch boundary and begins the next.
func (db *DB) freezeLocked() {
	if db.mu.active.Empty() {
		return
	}
	db.mu.frozen = append(db.mu.frozen, db.mu.active)
	db.mu.active = &memTable{Memory: hot.NewMemory()}
	db.changedLocked()
	nudge(db.wake.apply)
}

func (db *DB) changedLocked() {
	close(db.mu.changed)
	db.mu.changed = make(chan struct{})
}

// freeze ends the active memory table so that it can be applied.
func (db *DB) freeze() {
	db.mu.Lock()
	db.freezeLocked()
	db.mu.Unlock()
}

// applier is the goroutine that moves frozen memory tables into the open generation.
func (db *DB) applier() {
	retry := time.NewTimer(0)
	defer retry.Stop()
	failed := false
	for {
		select {
		case <-db.ctx.Done():
			return
		case <-db.wake.apply:
		case <-retry.C:
		}
		err := db.applyFrozen()
		if full := isDiskFull(err); full != db.diskFull.Load() {
			db.diskFull.Store(full)
			db.logger.Warn("disk", "full", full)
		}
		if err != nil {
			db.noteError("apply memory table", err)
			retry.Reset(time.Second)
		} else if failed {
			db.noteError("apply memory table", nil)
		}
		failed = err != nil
	}
}

// isDiskFull tells whether an error comes from a disk without room.
func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, wal.ErrNoSpace)
}

// applyFrozen applies every frozen memory table, oldest first. Each step is safe to repeat.
func (db *DB) applyFrozen() error {
	db.apply.Lock()
	defer db.apply.Unlock()
	return db.applyFrozenLocked()
}

func (db *DB) applyFrozenLocked() error {
	if db.damaged() {
		return nil // what lies behind the damage stays where the start that accepts it looks for it
	}
	for {
		db.mu.Lock()
		if len(db.mu.frozen) == 0 {
			db.mu.Unlock()
			return nil
		}
		m := db.mu.frozen[0]
		h := db.mu.gens[len(db.mu.gens)-1]
		db.mu.Unlock()
		if db.log != nil { // during replay the frames are synced already
			if err := db.log.Sync(); err != nil {
				return err
			}
		}
		if err := db.applyOne(h, m); err != nil {
			return err
		}
		db.opts.step("apply 2")
		db.mu.Lock()
		db.mu.frozen = slices.Delete(db.mu.frozen, 0, 1) // and with it, its memory
		db.changedLocked()
		db.mu.Unlock()
		db.counters.applies.Add(1)
		db.refreshHotBytes()
		if db.log != nil {
			if err := db.log.Trim(m.end); err != nil {
				return err
			}
		}
		db.opts.step("apply 4")
		if h.bytes() >= db.opts.generationBytes() {
			if err := db.sealLocked(); err != nil {
				return err
			}
			nudge(db.wake.archive)
		}
	}
}

// applyOne makes a memory table durable outside the log: first its keys, then its records.
func (db *DB) applyOne(h *genHandle, m *memTable) error {
	if err := db.keys.settle(m.keys); err != nil {
		return err
	}
	db.opts.step("apply 1")
	trees := make(map[string][]byte)
	versions := make(map[string]uint64)
	for table := range m.Totals() {
		state := db.tables.get([]byte(table))
		tree, version := state.treeSince(h.trees[table])
		if tree != nil {
			trees[table] = tree
		}
		versions[table] = version
	}
	gen := h.file()
	err := gen.Apply(m.Memory, trees, m.acceptedAt)
	var unknown *hot.UnknownOutcomeError
	if errors.As(err, &unknown) {
		var meta hot.Meta
		reopenErr := h.openAgain(gen)
		if reopenErr == nil {
			meta, reopenErr = h.meta()
		}
		if reopenErr != nil {
			db.turnReadOnly("a generation could not be reopened: " + reopenErr.Error())
			return fmt.Errorf("%w: %w", err, reopenErr)
		}
		if meta.Applied >= m.LastSeq() {
			err = nil
		}
	}
	if errors.Is(err, hot.ErrFull) {
		// The file is at its limit: the table goes into the next one.
		if err := db.sealLocked(); err != nil {
			return err
		}
		nudge(db.wake.archive)
		db.mu.Lock()
		next := db.mu.gens[len(db.mu.gens)-1]
		db.mu.Unlock()
		if next == h {
			return err
		}
		return db.applyOne(next, m)
	}
	if err != nil {
		return err
	}
	for table, version := range versions {
		h.trees[table] = version
	}
	return nil
}

func (db *DB) generationOptions() hot.GenerationOptions {
	// A generation is sealed after the apply that passes its size; what that may still add, with
	// the pages bbolt keeps beside it, must fit below the hard limit.
	// A memory table has its size and one batch more.
	table := db.opts.Hot.MemoryBytes + 2*int64(db.opts.Limits.BatchBytes)
	most := 2*db.opts.generationBytes() + 4*table + 64<<20
	return hot.GenerationOptions{MaxBytes: cmp.Or(db.opts.generationMost, most)}
}

func (db *DB) generationPath(id hot.ID) string {
	return filepath.Join(db.dir, "hot", "gen-"+id.String()+".bolt")
}

// sealLocked ends the open generation, so that it can be archived, and opens the next. A generation
// without records stays open. The caller holds db.apply.
func (db *DB) sealLocked() error {
	db.mu.Lock()
	old := db.mu.gens[len(db.mu.gens)-1]
	db.mu.Unlock()
	meta, err := old.meta()
	if err != nil {
		return err
	}
	if meta.Applied == 0 {
		return nil
	}
	id, err := db.newID()
	if err != nil {
		return err
	}
	gen, err := hot.CreateGeneration(db.generationPath(id), id, db.generationOptions())
	if err != nil {
		return err
	}
	db.opts.step("seal 1")
	err = db.update(func(tx *catalog.Tx) error {
		return tx.SealAndOpen(old.id, catalog.GenerationRow{
			ID: id, State: catalog.GenerationOpen, CreatedAt: db.now().UnixMilli(),
		})
	})
	if err != nil {
		named, lookErr := db.looksNamed(id, err)
		if lookErr != nil {
			// Whether reads will be sent to the new file is unknown: it stays, empty.
			db.turnReadOnly("the catalog cannot be opened again: " + lookErr.Error())
			return errors.Join(err, lookErr, gen.Close())
		}
		if !named {
			// The new file holds nothing: a later start removes it if this fails.
			_ = gen.Close()
			_ = hot.Remove(gen.Path())
			return err
		}
	}
	db.opts.step("seal 2")
	db.mu.Lock()
	old.sealed = true
	db.mu.gens = append(db.mu.gens, db.newGenHandle(gen, false))
	db.changedLocked()
	db.mu.Unlock()
	return nil
}

// looksNamed tells whether a transaction that failed with err made the catalog name a generation.
func (db *DB) looksNamed(id hot.ID, err error) (bool, error) {
	var unknown *catalog.UnknownOutcomeError
	if !errors.As(err, &unknown) {
		return false, nil
	}
	snap, err := db.cat.View()
	if err != nil {
		return false, err
	}
	defer snap.Close()
	rows, err := snap.Generations()
	return names(rows, id), err
}

// pinLocked keeps a generation's file open.
func (h *genHandle) pinLocked() { h.pins++ }

// unpin lets go of a generation; the last one to let go of a retired one removes its file.
func (db *DB) unpin(h *genHandle) {
	db.mu.Lock()
	h.pins--
	remove := h.gone && h.pins == 0
	db.mu.Unlock()
	if remove {
		db.removeGeneration(h)
	}
}

// removeGeneration closes and unlinks the file of a retired generation and forgets it.
func (db *DB) removeGeneration(h *genHandle) {
	err := h.gen.Close()
	if err == nil {
		if err = hot.Remove(h.path); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		db.opts.step("archive 7, unlinked")
		err = db.update(func(tx *catalog.Tx) error { return tx.ForgetRetired(h.id) })
	}
	if err != nil { // the next start does it
		db.noteError("remove retired generation", err)
	}
}

// refreshHotBytes adds up the generation files.
func (db *DB) refreshHotBytes() {
	db.mu.Lock()
	gens := db.pinAllLocked()
	db.mu.Unlock()
	defer db.unpinAll(gens)
	var n int64
	for _, h := range gens {
		n += h.bytes()
	}
	db.hotBytes.Store(n)
}
