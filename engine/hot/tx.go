package hot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"

	"go.etcd.io/bbolt"
)

// Tx is a read view of a generation: what had been applied when it was begun.
// One goroutine at a time may use it. It keeps pages from being reused, so it is
// closed soon; a long read closes it and goes on with a new one and Limit.
type Tx struct {
	g     *Generation
	tx    *bbolt.Tx
	st    state
	limit uint64 // highest run that is seen
	apply uint64 // highest seq that is seen
}

// Begin opens a read view. After Close it returns ErrClosed, after a commit of
// unknown outcome that commit's error.
func (g *Generation) Begin() (*Tx, error) {
	g.mu.Lock()
	switch {
	case g.closed:
		g.mu.Unlock()
		return nil, ErrClosed
	case g.failed != nil:
		defer g.mu.Unlock()
		return nil, g.failed
	}
	g.open++
	g.mu.Unlock()

	btx, err := g.db.Begin(false)
	if err != nil {
		g.leave()
		return nil, err
	}
	tx := &Tx{g: g, tx: btx}
	err = protect(g.path, func(*guard) (err error) {
		tx.st, err = g.state(btx)
		return err
	})
	if err != nil {
		tx.Close()
		return nil, err
	}
	tx.limit, tx.apply = tx.st.run, tx.st.applied
	return tx, nil
}

func (g *Generation) leave() {
	g.mu.Lock()
	g.open--
	if g.open == 0 {
		g.idle.Broadcast()
	}
	g.mu.Unlock()
}

// Close ends the view. Closing twice does nothing.
func (tx *Tx) Close() {
	if tx.tx == nil {
		return
	}
	tx.g.rollback(tx.tx)
	tx.tx = nil
	tx.g.leave()
}

// Applied is the highest seq the view can see: every record with a number at or
// below it that was ever given to this generation is in it.
func (tx *Tx) Applied() uint64 { return tx.apply }

// Run is the number of runs the view can see.
func (tx *Tx) Run() uint64 { return tx.limit }

// Limit narrows the view to what an earlier one saw, given what that one returned
// from Applied and Run. Chunks and Walk leave out the runs that came since; Load
// loads what it is told. Meta, Series, SeriesOf, LastSeq and Trees are not
// narrowed.
func (tx *Tx) Limit(applied, run uint64) {
	tx.apply, tx.limit = min(applied, tx.apply), min(run, tx.limit)
}

// Meta reads what the generation held when the view was begun. The maps are the
// caller's.
func (tx *Tx) Meta() (Meta, error) {
	m := Meta{
		ID: tx.st.id, Applied: tx.st.applied, Run: tx.st.run,
		FirstSeq: tx.st.firstSeq, OldestAccepted: tx.st.oldestAccepted,
		Totals: map[string]uint64{}, Counts: map[string]uint64{}, RawBytes: map[string]int64{},
	}
	err := protect(tx.g.path, func(*guard) error {
		return each(tx.g.path, tx.tx.Bucket(bucketTables), nil, func(k, v []byte) error {
			name, rest, err := CutKeyName(k)
			if err != nil || len(rest) != 0 {
				return tx.g.corrupt(k, "table key", err)
			}
			row, err := parseTableRow(k, v)
			if err != nil {
				return tx.g.corrupt(k, "table row", err)
			}
			if row.accepted != 0 {
				m.Totals[name] = row.accepted
			}
			if row.records != 0 {
				m.Counts[name] = row.records
				m.RawBytes[name] = int64(row.bytes)
			}
			return nil
		})
	})
	return m, err
}

// Trees returns what was last given to Apply or PutTree for every table. Map and
// bytes are the caller's.
func (tx *Tx) Trees() (map[string][]byte, error) {
	out := map[string][]byte{}
	err := protect(tx.g.path, func(*guard) error {
		return each(tx.g.path, tx.tx.Bucket(bucketTrees), nil, func(k, v []byte) error {
			name, rest, err := CutKeyName(k)
			if err != nil || len(rest) != 0 {
				return tx.g.corrupt(k, "tree key", err)
			}
			if len(v) < 4 || keyedCRC(k, v[4:]) != binary.LittleEndian.Uint32(v) {
				return tx.g.corrupt(k, "tree", errRowChecksum)
			}
			out[name] = bytes.Clone(v[4:])
			return nil
		})
	})
	return out, err
}

// ChunkRef says where a chunk lies and what is in it, without unpacking it.
type ChunkRef struct {
	Key            []byte // a copy; in this generation
	Table, Dataset string
	Day            int32
	Run            uint64
	Records        uint32
	First, Last    int64  // milliseconds, both inclusive
	LastSeq        uint64 // highest in the chunk
	RawBytes       uint32 // of JSON
	StoredBytes    uint32

	// Damage is not nil where the chunk's header cannot be trusted. Then First
	// and Last bound the day, Records is 0 because nobody knows, and Load
	// returns this error.
	Damage error
}

// Chunks calls fn for the chunks of one dataset of one table, in order of (day,
// run, number), which within a run is the order of (time, seq). Days the dataset
// has nothing in are passed over by seeking, so the widest range costs no more
// than what the generation holds of the table's days.
//
// A damaged header is no error here but a ChunkRef with Damage, so that a reader
// can go on without it. When the range covers all the dataset has and chunks are
// missing, that is a *CorruptError after the last fn. An error of fn ends it and
// is returned.
func (tx *Tx) Chunks(table, dataset string, fromDay, toDay int32, fn func(ChunkRef) error) error {
	return protect(tx.g.path, func(g *guard) error {
		sum, known := tx.sum(table, dataset)
		whole := false
		if known {
			first, last := DayOf(sum.min), DayOf(sum.max)
			whole = fromDay <= first && last <= toDay && tx.limit == tx.st.run
			fromDay, toDay = max(fromDay, first), min(toDay, last)
		}
		var records uint64
		damaged := false
		err := tx.seekChunks(table, dataset, fromDay, toDay, func(key, value []byte, day int32, run uint64) error {
			ref := tx.ref(key, value, table, dataset, day, run)
			records += uint64(ref.Records)
			damaged = damaged || ref.Damage != nil
			return g.call(func() error { return fn(ref) })
		})
		if err != nil {
			return err
		}
		if whole && !damaged && records != sum.records {
			return &CorruptError{
				File: tx.g.path, Key: appendSeriesKey(nil, table, dataset),
				Reason: "chunks of the dataset are missing",
			}
		}
		return nil
	})
}

// sum is the series row of a dataset. known is false where there is none, or none
// that can be trusted; then the chunks are looked for wherever they may be.
func (tx *Tx) sum(table, dataset string) (sum seriesSum, known bool) {
	key := appendSeriesKey(nil, table, dataset)
	value := tx.tx.Bucket(bucketSeries).Get(key)
	if value == nil {
		return sum, false
	}
	row, err := parseSeriesRow(key, value)
	if err != nil {
		return sum, false
	}
	sum = row.at(tx.st.run)
	return sum, sum.run != 0
}

// seekChunks finds the visible chunks of a dataset. Key and value are bbolt's.
func (tx *Tx) seekChunks(table, dataset string, from, to int32, fn func(key, value []byte, day int32, run uint64) error) error {
	prefix := AppendKeyName(nil, table)
	name := AppendKeyName(nil, dataset)
	group := make([]byte, 0, len(prefix)+4+len(name))
	order := ascending{file: tx.g.path}
	c := tx.tx.Bucket(bucketChunks).Cursor()
	for day := from; day <= to; {
		group = append(AppendKeyDay(append(group[:0], prefix...), day), name...)
		k, v := c.Seek(group)
		for ; k != nil && bytes.HasPrefix(k, group); k, v = c.Next() {
			run, _, err := cutChunkTail(k[len(group):])
			if err != nil {
				return tx.g.corrupt(k, "chunk key", err)
			}
			if err := order.next(k); err != nil {
				return err
			}
			if run > tx.limit {
				continue
			}
			if err := fn(k, v, day, run); err != nil {
				return err
			}
		}
		if k == nil || !bytes.HasPrefix(k, prefix) {
			return nil
		}
		// The key found is the first of the table behind this day's group. Its
		// day is the next that can hold anything, unless its dataset is behind
		// ours already.
		found, rest, err := CutKeyDay(k[len(prefix):])
		if err != nil {
			return tx.g.corrupt(k, "chunk key", err)
		}
		if found < day {
			return tx.g.corrupt(k, "chunk key out of order", nil)
		}
		if found == day || bytes.Compare(rest, name) > 0 && !bytes.HasPrefix(rest, name) {
			if found == math.MaxInt32 {
				return nil
			}
			found++
		}
		day = found
	}
	return nil
}

// ref describes the chunk under key, which it copies.
func (tx *Tx) ref(key, value []byte, table, dataset string, day int32, run uint64) ChunkRef {
	ref := ChunkRef{
		Key: bytes.Clone(key), Table: table, Dataset: dataset, Day: day, Run: run,
		StoredBytes: uint32(len(value)),
	}
	h, err := parseHeader(key, value)
	if err != nil {
		ref.Damage = tx.g.corrupt(key, "chunk", err)
		ref.First = int64(day) * millisPerDay
		ref.Last = ref.First + millisPerDay - 1
		return ref
	}
	ref.Records, ref.RawBytes = h.records, h.raw
	ref.First, ref.Last, ref.LastSeq = h.first, h.last, h.lastSeq
	return ref
}

var errChunkGone = errors.New("there is no chunk under this key")

// Load unpacks one chunk into buf, grown as needed and returned, and appends its
// records to dst, sorted by (Time, Seq). JSON aliases buf: it is valid until buf
// is used again, also after the view is closed. ref may come from another view of
// the same generation. Damage is a *CorruptError, and dst then as it was.
func (tx *Tx) Load(ref ChunkRef, buf []byte, dst []Record) ([]Record, []byte, error) {
	err := protect(tx.g.path, func(*guard) (err error) {
		value := tx.tx.Bucket(bucketChunks).Get(ref.Key)
		if value == nil {
			return tx.g.corrupt(ref.Key, "chunk", errChunkGone)
		}
		if dst, buf, err = loadChunk(ref.Key, value, buf, dst); err != nil {
			return tx.g.corrupt(ref.Key, "chunk", err)
		}
		return nil
	})
	return dst, buf, err
}

// LastSeq is the highest seq a dataset has in a table, false when it has nothing.
func (tx *Tx) LastSeq(table, dataset string) (seq uint64, ok bool) {
	err := protect(tx.g.path, func(*guard) error {
		if sum, known := tx.sum(table, dataset); known {
			seq, ok = sum.lastSeq, true
			return nil
		}
		return tx.seekChunks(table, dataset, math.MinInt32, math.MaxInt32,
			func(key, value []byte, _ int32, _ uint64) error {
				ok = true
				if h, err := parseHeader(key, value); err == nil {
					seq = max(seq, h.lastSeq)
				}
				return nil
			})
	})
	if err != nil {
		// Something is there and cannot be told: nothing above Applied is.
		return tx.st.applied, true
	}
	return seq, ok
}

// Series calls fn for every dataset of every table in order of (table, dataset).
// An error of fn ends it and is returned; a damaged row is a *CorruptError.
func (tx *Tx) Series(fn func(SeriesInfo) error) error { return tx.seriesFrom(nil, fn) }

// SeriesOf is Series for one table.
func (tx *Tx) SeriesOf(table string, fn func(SeriesInfo) error) error {
	return tx.seriesFrom(AppendKeyName(nil, table), fn)
}

func (tx *Tx) seriesFrom(prefix []byte, fn func(SeriesInfo) error) error {
	return protect(tx.g.path, func(g *guard) error {
		return each(tx.g.path, tx.tx.Bucket(bucketSeries), prefix, func(k, v []byte) error {
			row, err := parseSeriesRow(k, v)
			if err != nil {
				return tx.g.corrupt(k, "series row", err)
			}
			s := row.at(tx.st.run)
			if s.run == 0 {
				return nil
			}
			info := SeriesInfo{Records: s.records, Bytes: s.bytes, MinTime: s.min, MaxTime: s.max, LastSeq: s.lastSeq}
			rest := k
			if info.Table, rest, err = CutKeyName(rest); err == nil {
				info.Dataset, rest, err = CutKeyName(rest)
			}
			if err != nil || len(rest) != 0 {
				return tx.g.corrupt(k, "series key", err)
			}
			return g.call(func() error { return fn(info) })
		})
	})
}
