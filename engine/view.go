package engine

import (
	"fmt"
	"runtime"

	"github.com/firndb/firn/engine/catalog"
	"github.com/firndb/firn/engine/hot"
)

// view is what one read sees: every record acknowledged when it was taken, each exactly once,
// whatever is applied, archived or removed meanwhile. It pins generations until it is released.
//
// Why once: a record is in memory, then also in a generation, then also in a block file, then in
// the block file alone. Memory tables and generations are taken under one lock before the catalog
// is looked at. A generation that the catalog names and the lock did not show was sealed in
// between: the view starts over. One that the lock showed and the catalog does not name any more is
// archived: its files are in the catalog's answer, so it is let go. A memory table that was applied
// in between is told by sequence number: memory gives only what lies above everything applied.
type view struct {
	db          *DB
	table       string
	dataset     string
	memory      []hot.MemoryView // oldest first
	gens        []genView        // oldest first
	floor       uint64           // memory gives only sequence numbers above it
	logNext     uint64           // the file set: live before this log position
	archivedSeq uint64
	lastHot     uint64 // highest sequence number of the dataset's hot records, 0 for none

	// archived are generations that the catalog does not name any more. They are let go of with
	// letGo, when the snapshot is closed: the last to let go of one writes to the catalog.
	archived []*genHandle

	// collect, when set, is called under the lock with all memory tables, oldest first, instead of
	// taking one dataset's part of each. It must start over when it is called again.
	collect func(tables []*memTable)
}

// genView is a pinned generation up to what was applied when the view was taken.
type genView struct {
	h       *genHandle
	applied uint64
	run     uint64
}

// takeView pins what a read of one dataset needs. The caller releases the view, and closes the
// snapshot as soon as it has copied what it needs from it.
func (db *DB) takeView(table, dataset string) (*view, *catalog.Snapshot, error) {
	v := &view{db: db, table: table, dataset: dataset}
	snap, err := v.takeFirm()
	return v, snap, err
}

// takeFirm tries until no generation is sealed in between. Between the catalog and the list of
// generations a seal takes no time worth mentioning; a view that never comes to an end would be a
// fault elsewhere, and is an error rather than a read that hangs.
func (v *view) takeFirm() (*catalog.Snapshot, error) {
	for range maxViewTries {
		snap, again, err := v.take()
		if err == nil && !again {
			return snap, nil
		}
		v.release()
		if err != nil {
			return nil, err
		}
		runtime.Gosched()
	}
	return nil, fmt.Errorf("%w: the catalog names a generation that is not open", ErrCorrupt)
}

// maxViewTries is seconds of trying.
const maxViewTries = 100_000

// take is one try; again says that a generation was sealed in between.
func (v *view) take() (snap *catalog.Snapshot, again bool, err error) {
	db := v.db
	db.mu.Lock()
	if v.collect != nil {
		v.collect(append(db.mu.frozen[:len(db.mu.frozen):len(db.mu.frozen)], db.mu.active))
	} else {
		for _, m := range db.mu.frozen {
			v.memory = append(v.memory, m.View(v.table, v.dataset))
		}
		v.memory = append(v.memory, db.mu.active.View(v.table, v.dataset))
	}
	for _, h := range db.pinAllLocked() {
		v.gens = append(v.gens, genView{h: h})
	}
	db.mu.Unlock()
	db.opts.step("read 1")

	snap, err = db.cat.View()
	if err != nil {
		return nil, false, err
	}
	defer func() {
		if err != nil || again {
			snap.Close()
			snap = nil
		}
	}()
	named, err := snap.Generations()
	if err != nil {
		return snap, false, err
	}
	for _, row := range named {
		if !v.pins(row.ID) {
			return snap, true, nil
		}
	}
	kept := v.gens[:0]
	for _, g := range v.gens {
		if !names(named, g.h.id) {
			v.archived = append(v.archived, g.h)
			continue
		}
		kept = append(kept, g)
	}
	v.gens = kept

	id := snap.Identity()
	v.logNext, v.archivedSeq, v.floor = id.LogNext, id.ArchivedSeq, id.ArchivedSeq
	for i := range v.gens {
		g := &v.gens[i]
		tx, err := g.h.begin()
		if err != nil {
			return snap, false, err
		}
		g.applied, g.run = tx.Applied(), tx.Run()
		if seq, ok := tx.LastSeq(v.table, v.dataset); ok {
			v.lastHot = max(v.lastHot, seq)
		}
		tx.Close()
		v.floor = max(v.floor, g.applied)
	}
	for _, m := range v.memory {
		if m.Len() > 0 && m.LastSeq() > v.floor {
			v.lastHot = max(v.lastHot, m.LastSeq())
		}
	}
	return snap, false, nil
}

func (v *view) pins(id hot.ID) bool {
	for _, g := range v.gens {
		if g.h.id == id {
			return true
		}
	}
	return false
}

func names(rows []catalog.GenerationRow, id hot.ID) bool {
	for _, r := range rows {
		if r.ID == id {
			return true
		}
	}
	return false
}

// sees tells whether a file belongs to the view's file set.
func (v *view) sees(f *catalog.FileRow) bool {
	return f.LiveAt(v.logNext)
}

// letGo lets go of what the read does not need. The caller holds no snapshot.
func (v *view) letGo() {
	v.db.unpinAll(v.archived)
	v.archived = nil
}

// release lets go of everything. The caller holds no snapshot. It may be called again.
func (v *view) release() {
	v.letGo()
	for _, g := range v.gens {
		v.db.unpin(g.h)
	}
	v.gens, v.memory = nil, nil
}
