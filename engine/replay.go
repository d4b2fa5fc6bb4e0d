package engine

import (
	"fmt"

	"github.com/firndb/firn/blockfile/jsonscan"
	"github.com/firndb/firn/blockfile/schema"
	"github.com/firndb/firn/wal"
)

// replayer takes the frames of the log at the start. Memory is bounded: a memory table that fills
// up is applied on the spot.
type replayer struct {
	db      *DB
	applied uint64       // what generations and archive hold already
	done    wal.Position // the frames before it are not needed
	pending bool         // a frame was taken into memory
	gaps    gapFinder
	scanner *jsonscan.Scanner
}

func (db *DB) newReplayer() (*replayer, error) {
	snap, err := db.cat.View()
	if err != nil {
		return nil, err
	}
	r := &replayer{
		db: db, applied: snap.Identity().ArchivedSeq,
		scanner: jsonscan.NewScanner(jsonscan.Options{MaxDepth: maxStoredDepth}),
	}
	snap.Close()
	r.gaps.totals = make(map[string]uint64)
	for _, t := range db.tables.all() {
		r.gaps.totals[t.name] = t.total
	}
	for _, h := range db.mu.gens {
		meta, err := h.meta()
		if err != nil {
			return nil, hotDamage(err)
		}
		r.applied = max(r.applied, meta.Applied)
		for table, total := range meta.Totals {
			r.gaps.totals[table] = max(r.gaps.totals[table], total)
		}
		if meta.Applied > 0 {
			db.mu.acceptance.note(meta.Applied, meta.OldestAccepted)
		}
		// Generations are in order, so the last tree of a table is its widest.
		trees, err := treesOf(h.gen)
		if err != nil {
			return nil, err
		}
		for table, tree := range trees {
			state, err := db.tables.make(table)
			if err != nil {
				return nil, err
			}
			state.mu.tree = tree
		}
	}
	r.gaps.lastSeq = r.applied
	db.seq, db.mu.visible = r.applied, r.applied
	return r, nil
}

// maxStoredDepth is the nesting that records in the log can have: whatever the limit was when they
// were accepted, see Options.Validate.
const maxStoredDepth = 10_000

// frame takes one frame.
func (r *replayer) frame(f wal.Frame) error {
	batch, state, err := parseFrame(f.Payload)
	if err != nil {
		return &CorruptError{File: walFolder, Offset: -1, Reason: fmt.Sprintf("position %d: %v", f.Pos, err)}
	}
	if state != nil {
		r.gaps.sequence(uint64(f.Pos), state.lastSeq+1, state.lastSeq)
		for _, t := range state.totals {
			r.gaps.total(t.table, t.total, 0)
			if t.total > 0 && r.pending {
				r.db.mu.active.SetTotal(t.table, t.total)
			}
		}
		r.db.seq = max(r.db.seq, state.lastSeq)
		return nil
	}
	last := batch.firstSeq + uint64(batch.records) - 1
	r.gaps.sequence(uint64(f.Pos), batch.firstSeq, last)
	counted := make(map[string]uint64)
	for i := range batch.groups {
		counted[batch.groups[i].Table] += uint64(len(batch.groups[i].Times))
	}
	for _, t := range batch.totals {
		r.gaps.total(t.table, t.total, counted[t.table])
	}
	r.db.seq = max(r.db.seq, last)
	if last <= r.applied {
		if !r.pending {
			r.done = f.End
		}
		return nil
	}
	r.pending = true
	if err := r.widen(batch); err != nil {
		return err
	}
	if batch.key != "" {
		r.db.keys.keep(batch.keyEntry())
	}
	r.db.remember(batch, f.End)
	return r.db.applyFrozen()
}

// widen makes the tables' trees fit the records of a batch, as accepting them did.
func (r *replayer) widen(f *batchFrame) error {
	for i := range f.groups {
		g := &f.groups[i]
		state, err := r.db.tables.make(g.Table)
		if err != nil {
			return err
		}
		start := uint32(0)
		for j, end := range g.Ends {
			rec := g.Data[start:end]
			start = end
			s, err := r.scanner.Record(rec)
			if err != nil {
				return &CorruptError{File: walFolder, Offset: -1, Reason: fmt.Sprintf("record %d of the batch at %d: %v", j, f.firstSeq, err)}
			}
			d, t, ts := schema.CompareOwn(s, rec, g.Dataset, g.Table, g.Times[j])
			if shape := schema.OwnShape(s.Shape, d, t, ts); !state.knows(shape) {
				state.widen(shape, g.Dataset, g.Times[j], rec)
			}
		}
	}
	return nil
}

// finish brings the running totals up to what the log said.
func (r *replayer) finish() {
	for table, total := range r.gaps.totals {
		if state, err := r.db.tables.make(table); err == nil {
			state.total = max(state.total, total)
		}
	}
}

// fillState is the payload of the frames that an idle or closing log writes: they prove, by the
// totals, what must lie before them.
func (db *DB) fillState(dst []byte) []byte {
	f := stateFrame{lastSeq: db.seq}
	for _, t := range db.tables.all() {
		if t.dirty {
			t.dirty = false
			f.totals = append(f.totals, tableTotal{t.name, t.total})
		}
	}
	return f.appendTo(dst)
}
