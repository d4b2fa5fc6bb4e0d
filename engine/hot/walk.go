package hot

import (
	"bytes"
	"cmp"
	"container/heap"
)

// Walk reads the whole generation in one pass, in order of (table, day, dataset):
// start is called at the beginning of each such group, then rec for each of its
// records in order of (Time, Seq). JSON is valid until rec returns. An error of
// either ends the walk and is returned.
//
// Memory: of one group what describes its chunks (some 100 bytes each), and
// unpacked one chunk of every run whose times overlap. At the end the records of
// each table are counted against the generation's own count; a difference is a
// *CorruptError, as is any damaged chunk.
func (tx *Tx) Walk(start func(table string, day int32, dataset string) error, rec func(Record) error) error {
	return tx.WalkPast(start, rec, nil)
}

// WalkPast is Walk that can go on past damage: damaged is told of each chunk that
// cannot be read, with the error as its Damage, and may return nil to leave it
// out. Only tables none of whose chunks were left out are counted at the end.
func (tx *Tx) WalkPast(
	start func(table string, day int32, dataset string) error,
	rec func(Record) error,
	damaged func(ChunkRef) error,
) error {
	return protect(tx.g.path, func(g *guard) error {
		w := walker{tx: tx, g: g, start: start, rec: rec, damaged: damaged, counts: map[string]*walkCount{}}
		return w.walk()
	})
}

type walker struct {
	tx      *Tx
	g       *guard
	start   func(string, int32, string) error
	rec     func(Record) error
	damaged func(ChunkRef) error

	counts map[string]*walkCount
	group  chunkKey     // table, day and dataset walked now
	count  *walkCount   // of its table
	chunks []walkChunk  // the group's visible ones, in key order
	runs   runHeap      // runs of the group that have records left
	free   []*runReader // to be used again
}

type walkCount struct {
	records uint64
	left    bool // a chunk was left out
}

// walkChunk is a chunk whose header is good. Its slices are bbolt's.
type walkChunk struct {
	key, value []byte
	run        uint64
	h          chunkHeader
}

func (w *walker) walk() error {
	var prefix []byte
	err := each(w.tx.g.path, w.tx.tx.Bucket(bucketChunks), nil, func(k, v []byte) error {
		if prefix == nil || len(k) != len(prefix)+chunkKeyTail || !bytes.HasPrefix(k, prefix) {
			if err := w.merge(); err != nil {
				return err
			}
			key, err := parseChunkKey(k)
			if err != nil {
				return w.tx.g.corrupt(k, "chunk key", err)
			}
			w.begin(key)
			prefix = k[:len(k)-chunkKeyTail]
		}
		run, _, err := cutChunkTail(k[len(prefix):])
		if err != nil {
			return w.tx.g.corrupt(k, "chunk key", err)
		}
		if run > w.tx.limit {
			return nil
		}
		h, err := parseHeader(k, v)
		if err != nil {
			return w.leaveOut(k, v, run, err)
		}
		w.chunks = append(w.chunks, walkChunk{key: k, value: v, run: run, h: h})
		return nil
	})
	if err != nil {
		return err
	}
	if err := w.merge(); err != nil {
		return err
	}
	return w.balance()
}

func (w *walker) begin(k chunkKey) {
	w.chunks = w.chunks[:0]
	if w.count == nil || k.table != w.group.table {
		if w.count = w.counts[k.table]; w.count == nil {
			w.count = new(walkCount)
			w.counts[k.table] = w.count
		}
	}
	w.group = k
}

// leaveOut asks whether the walk may go on without a chunk.
func (w *walker) leaveOut(key, value []byte, run uint64, cause error) error {
	ref := w.tx.ref(key, value, w.group.table, w.group.dataset, w.group.day, run)
	if ref.Damage == nil {
		ref.Damage = w.tx.g.corrupt(key, "chunk", cause)
	}
	if w.damaged == nil {
		return ref.Damage
	}
	w.count.left = true
	return w.g.call(func() error { return w.damaged(ref) })
}

// runReader hands out one run's chunks of a group. A chunk is unpacked when its
// first record is due, not before.
type runReader struct {
	chunks []walkChunk // those not unpacked yet
	recs   []Record    // left of the chunk unpacked last
	all    []Record
	buf    []byte
	time   int64 // of the next record
	seq    uint64
}

// due sets what the next record is; false when there is none.
func (r *runReader) due() bool {
	switch {
	case len(r.recs) > 0:
		r.time, r.seq = r.recs[0].Time, r.recs[0].Seq
	case len(r.chunks) > 0:
		r.time, r.seq = r.chunks[0].h.first, r.chunks[0].h.firstSeq
	default:
		return false
	}
	return true
}

type runHeap []*runReader

func (h runHeap) Len() int           { return len(h) }
func (h runHeap) Less(i, j int) bool { return h[i].before(h[j].time, h[j].seq) }
func (h runHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)        { *h = append(*h, x.(*runReader)) }
func (h *runHeap) Pop() any {
	old := *h
	r := old[len(old)-1]
	*h = old[:len(old)-1]
	return r
}

func (r *runReader) before(time int64, seq uint64) bool {
	return cmp.Or(cmp.Compare(r.time, time), cmp.Compare(r.seq, seq)) < 0
}

// merge hands out the records of the group collected in chunks.
func (w *walker) merge() error {
	if len(w.chunks) == 0 {
		return nil
	}
	k := w.group
	if err := w.g.call(func() error { return w.start(k.table, k.day, k.dataset) }); err != nil {
		return err
	}
	for rest := w.chunks; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].run == rest[0].run {
			n++
		}
		r := w.reader()
		r.chunks, r.recs = rest[:n], nil
		r.due()
		w.runs = append(w.runs, r)
		rest = rest[n:]
	}
	heap.Init(&w.runs)
	for len(w.runs) > 0 {
		r := w.runs[0]
		if err := w.emit(r); err != nil {
			return err
		}
		if r.due() {
			heap.Fix(&w.runs, 0)
		} else {
			heap.Pop(&w.runs)
			w.free = append(w.free, r)
		}
	}
	w.chunks = w.chunks[:0]
	return nil
}

func (w *walker) reader() *runReader {
	if n := len(w.free); n > 0 {
		r := w.free[n-1]
		w.free = w.free[:n-1]
		return r
	}
	return new(runReader)
}

// emit hands out the records of the first run that come before any other run's,
// at most one chunk of them.
func (w *walker) emit(r *runReader) error {
	if len(r.recs) == 0 {
		c := r.chunks[0]
		r.chunks = r.chunks[1:]
		var err error
		if r.all, r.buf, err = loadChunk(c.key, c.value, r.buf, r.all[:0]); err != nil {
			return w.leaveOut(c.key, c.value, c.run, err)
		}
		r.recs = r.all
	}
	// The second smallest of a heap is one of the first's children.
	n := len(r.recs)
	if len(w.runs) > 1 {
		other := w.runs[1]
		if len(w.runs) > 2 && w.runs[2].before(other.time, other.seq) {
			other = w.runs[2]
		}
		n = 1 // the first is due, or r would not be first
		for n < len(r.recs) && cmp.Or(cmp.Compare(r.recs[n].Time, other.time), cmp.Compare(r.recs[n].Seq, other.seq)) < 0 {
			n++
		}
	}
	due := r.recs[:n]
	r.recs = r.recs[n:]
	w.count.records += uint64(n)
	return w.g.call(func() error {
		for i := range due {
			if err := w.rec(due[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// balance compares what was walked with what the generation counted when it was
// written.
func (w *walker) balance() error {
	if w.tx.limit != w.tx.st.run {
		return nil // the count is that of all runs
	}
	return each(w.tx.g.path, w.tx.tx.Bucket(bucketTables), nil, func(k, v []byte) error {
		row, err := parseTableRow(k, v)
		if err != nil {
			return w.tx.g.corrupt(k, "table row", err)
		}
		name, _, err := CutKeyName(k)
		if err != nil {
			return w.tx.g.corrupt(k, "table key", err)
		}
		got := w.counts[name]
		if got == nil {
			got = new(walkCount)
		}
		delete(w.counts, name)
		if got.records != row.records && !got.left {
			return w.tx.g.corrupt(k, "chunks of the table are missing or too many", nil)
		}
		return nil
	})
}

var _ heap.Interface = (*runHeap)(nil)
