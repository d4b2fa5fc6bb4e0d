package hot

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
)

// Apply writes a frozen memory table to the generation, durably, as one run.
//
// Chunks are written in key order, then the series rows, in commits of at most
// TxBytes each; all carry a run one above the published one, so nobody sees them.
// The last commit publishes the run: what is applied, counts and totals per table,
// and trees, opaque bytes per table that are kept as given. acceptedAt is the time
// of acceptance of the oldest record in m, in milliseconds.
//
// Applying a table that the generation has already reached does nothing, so an
// Apply may be repeated after any crash or error. One goroutine helps with packing
// chunks and is gone when Apply returns. Beside m it needs up to 16 bytes a record
// and three times TxBytes.
//
// Errors: *UnknownOutcomeError when a commit failed; the handle is then of no more
// use. It wraps ErrFull where MaxBytes was the reason. After any other error, such
// as ErrRecordTooLarge, nothing is published.
func (g *Generation) Apply(m *Memory, trees map[string][]byte, acceptedAt int64) error {
	g.write.Lock()
	defer g.write.Unlock()
	if err := g.usable(); err != nil {
		return err
	}
	var st state
	err := g.view(func(tx *bbolt.Tx) (err error) {
		st, err = g.state(tx)
		return err
	})
	if err != nil {
		return err
	}
	if m.LastSeq() <= st.applied {
		return nil
	}
	if !m.Empty() && m.FirstSeq() <= st.applied {
		return fmt.Errorf("hot: %s has applied up to record %d, a memory table of %d to %d would double some",
			g.path, st.applied, m.FirstSeq(), m.LastSeq())
	}
	if g.leftovers {
		if err := g.dropLeftovers(); err != nil {
			return err
		}
	}
	a := apply{g: g, m: m, st: st, run: st.run + 1}
	if err := a.chunks(); err != nil {
		return err
	}
	if err := a.seriesRows(); err != nil {
		return err
	}
	return a.publish(trees, acceptedAt)
}

// apply is one Apply under way. What does not fill a commit by itself waits in
// pending for the next one, so a small memory table costs a single commit.
type apply struct {
	g   *Generation
	m   *Memory
	st  state
	run uint64

	pending []func(tx *bbolt.Tx) error
	keys    int
	bytes   int
}

// put adds a step to the current commit, and commits first if it is full.
func (a *apply) put(keys, bytes int, step func(tx *bbolt.Tx) error) error {
	if len(a.pending) > 0 && (a.keys+keys > txKeys || a.bytes+bytes > a.g.o.TxBytes) {
		if err := a.flush(); err != nil {
			return err
		}
	}
	a.pending = append(a.pending, step)
	a.keys += keys
	a.bytes += bytes
	return nil
}

// flush commits what is pending, none of which is visible yet.
func (a *apply) flush() error {
	err := a.g.update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if err := meta.Put(keyBegun, binary.LittleEndian.AppendUint64(nil, a.run)); err != nil {
			return err
		}
		return a.steps(tx)
	})
	if err == nil {
		a.g.leftovers = true
		a.pending, a.keys, a.bytes = a.pending[:0], 0, 0
	}
	return err
}

func (a *apply) steps(tx *bbolt.Tx) error {
	for _, step := range a.pending {
		if err := step(tx); err != nil {
			return err
		}
	}
	return nil
}

// chunks writes the records.
func (a *apply) chunks() error {
	p := newPacker(a.m, a.run, a.g.o.ChunkBytes, a.g.o.TxBytes)
	defer p.stop()
	for {
		b, err := p.next()
		if err != nil || b == nil {
			return err
		}
		err = a.put(len(b.ends), len(b.data), func(tx *bbolt.Tx) error {
			bucket := tx.Bucket(bucketChunks)
			bucket.FillPercent = fillPercent
			return b.each(bucket.Put)
		})
		if err != nil {
			return err
		}
	}
}

// seriesRows brings the sum of every series in the memory table up to date.
func (a *apply) seriesRows() error {
	const rowsPerStep = 2048
	order := sortedSeries(a.m)
	for part := range slices.Chunk(order, rowsPerStep) {
		// A row may touch a page of its own; that is the share of a commit it gets.
		err := a.put(len(part), len(part)*seriesRowBytes, func(tx *bbolt.Tx) error {
			return a.putSeries(tx.Bucket(bucketSeries), part)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const seriesRowBytes = 256

func (a *apply) putSeries(bucket *bbolt.Bucket, part []uint32) error {
	bucket.FillPercent = fillPercent
	var key []byte
	for _, i := range part {
		s := &a.m.series[i]
		key = appendSeriesKey(key[:0], s.name.table, s.name.dataset)
		var row seriesRow
		if old := bucket.Get(key); old != nil {
			var err error
			if row, err = parseSeriesRow(key, old); err != nil {
				return a.g.corrupt(key, "series row", err)
			}
		}
		row.add(a.st.run, a.run, s)
		if err := bucket.Put(key, row.append(nil, key)); err != nil {
			return err
		}
	}
	return nil
}

// publish makes the run visible, in one commit with what is still pending.
func (a *apply) publish(trees map[string][]byte, acceptedAt int64) error {
	err := a.g.settle(func(tx *bbolt.Tx) error {
		if err := a.steps(tx); err != nil {
			return err
		}
		tables := tx.Bucket(bucketTables)
		for i := range a.m.tables {
			if err := a.putTable(tables, &a.m.tables[i]); err != nil {
				return err
			}
		}
		names := make([]string, 0, len(trees))
		for name := range trees {
			names = append(names, name)
		}
		slices.Sort(names)
		bucket := tx.Bucket(bucketTrees)
		for _, name := range names {
			if err := putTree(bucket, name, trees[name]); err != nil {
				return err
			}
		}
		st := a.st
		st.applied, st.run = a.m.LastSeq(), a.run
		if !a.m.Empty() {
			if st.firstSeq == 0 {
				st.firstSeq = a.m.FirstSeq()
			}
			if st.oldestAccepted == 0 {
				st.oldestAccepted = acceptedAt
			}
		}
		meta := tx.Bucket(bucketMeta)
		if err := meta.Delete(keyBegun); err != nil {
			return err
		}
		return meta.Put(keyState, st.row(keyState))
	})
	if err == nil {
		a.g.leftovers = false
	}
	return err
}

func (a *apply) putTable(bucket *bbolt.Bucket, t *memTable) error {
	key := AppendKeyName(nil, t.name)
	var row tableRow
	if old := bucket.Get(key); old != nil {
		var err error
		if row, err = parseTableRow(key, old); err != nil {
			return a.g.corrupt(key, "table row", err)
		}
	}
	if t.hasTotal {
		row.accepted = t.accepted
	}
	row.records += t.records
	row.bytes += t.bytes
	return bucket.Put(key, row.row(key))
}

// sortedSeries is the memory table's series in order of (table, dataset).
func sortedSeries(m *Memory) []uint32 {
	order := make([]uint32, len(m.series))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int {
		x, y := &m.series[a].name, &m.series[b].name
		if c := cmp.Compare(x.table, y.table); c != 0 {
			return c
		}
		return cmp.Compare(x.dataset, y.dataset)
	})
	return order
}

// dropLeftovers removes what runs above the published one left behind, in bounded
// commits. The caller holds write.
func (g *Generation) dropLeftovers() error {
	var st state
	err := g.view(func(tx *bbolt.Tx) (err error) {
		st, err = g.state(tx)
		return err
	})
	for _, bucket := range [][]byte{bucketChunks, bucketSeries} {
		for from := []byte{}; from != nil && err == nil; {
			err = g.update(func(tx *bbolt.Tx) (err error) {
				from, err = g.dropSome(tx.Bucket(bucket), string(bucket) == string(bucketSeries), from, st.run)
				return err
			})
		}
	}
	if err != nil {
		return err
	}
	err = g.update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Delete(keyBegun) })
	if err == nil {
		g.leftovers = false
	}
	return err
}

// dropSome looks at keys from a given one on, drops up to txKeys of them, and
// returns where to go on, nil at the end.
func (g *Generation) dropSome(b *bbolt.Bucket, series bool, from []byte, run uint64) ([]byte, error) {
	type change struct{ key, value []byte }
	var changes []change
	order := ascending{file: g.path}
	c := b.Cursor()
	k, v := c.Seek(from)
	// A cursor must not be used on while its bucket changes, so changes wait.
	for ; k != nil && len(changes) < txKeys; k, v = c.Next() {
		if err := order.next(k); err != nil {
			return nil, err
		}
		if !series {
			key, err := parseChunkKey(k)
			if err != nil {
				return nil, g.corrupt(k, "chunk key", err)
			}
			if key.run > run {
				changes = append(changes, change{key: slices.Clone(k)})
			}
			continue
		}
		row, err := parseSeriesRow(k, v)
		if err != nil {
			return nil, g.corrupt(k, "series row", err)
		}
		if changed, left := row.forget(run); changed {
			key := slices.Clone(k)
			if !left {
				changes = append(changes, change{key: key})
			} else {
				changes = append(changes, change{key, row.append(nil, key)})
			}
		}
	}
	next := slices.Clone(k)
	for _, ch := range changes {
		var err error
		if ch.value == nil {
			err = b.Delete(ch.key)
		} else {
			err = b.Put(ch.key, ch.value)
		}
		if err != nil {
			return nil, err
		}
	}
	return next, nil
}
