package engine

import (
	"cmp"
	"fmt"
	"math"
	"slices"

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
	full    bool         // the disk has no room to apply what is replayed
	gaps    gapFinder
	losses  lossList // accepted ones that are not applied, in order of their sequence numbers
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
	for _, l := range db.losses {
		if l.LastSeq > r.applied {
			r.losses = append(r.losses, l)
		}
	}
	slices.SortStableFunc(r.losses, func(a, b LostRange) int { return cmp.Compare(a.LastSeq, b.LastSeq) })
	return r, nil
}

// pass takes the accepted losses up to a sequence number, as if they were frames: they fill their
// gap, and their records count as accepted, in the memory table that will carry the totals past them.
func (r *replayer) pass(upTo uint64) error {
	for len(r.losses) > 0 && r.losses[0].LastSeq <= upTo {
		l := r.losses[0]
		r.losses = r.losses[1:]
		r.gaps.sequence(l.Position, l.FirstSeq, l.LastSeq)
		for table, n := range l.Records {
			if _, err := r.db.tables.make(table); err != nil {
				return err
			}
			r.gaps.totals[table] += n
			r.db.mu.active.SetTotal(table, r.gaps.totals[table])
		}
		r.db.mu.active.Advance(l.LastSeq)
		r.db.seq = max(r.db.seq, l.LastSeq)
	}
	return nil
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
		if err := r.pass(state.lastSeq); err != nil {
			return err
		}
		r.gaps.sequence(uint64(f.Pos), state.lastSeq+1, state.lastSeq)
		for _, t := range state.totals {
			r.gaps.total(t.table, t.total, 0)
		}
		r.db.seq = max(r.db.seq, state.lastSeq)
		return nil
	}
	last := batch.firstSeq + uint64(batch.records) - 1
	if err := r.pass(batch.firstSeq - 1); err != nil {
		return err
	}
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
	if len(r.gaps.gaps) > 0 {
		// Applied, these records would hide the gap from the start that is to accept it. The log holds
		// no more than memory tables did, so memory has room for it.
		return nil
	}
	if r.full {
		return nil
	}
	if err := r.db.applyFrozen(); !isDiskFull(err) {
		return err
	}
	r.full = true // the log holds no more than memory did, so it all fits; the applier tries again
	return nil
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
func (r *replayer) finish() error {
	if err := r.pass(math.MaxUint64); err != nil {
		return err
	}
	for table, total := range r.gaps.totals {
		if state, err := r.db.tables.make(table); err == nil {
			state.total = max(state.total, total)
		}
	}
	return nil
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
