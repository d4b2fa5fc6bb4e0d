package engine

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/blockfile/store"
	"github.com/firndb/firn/engine/hot"
)

// fetchWindow is how many decoded bytes of a read may be on their way or wait for their turn.
// Large enough to keep every range request of a wave busy, small enough that a hundred reads fit
// in memory.
const fetchWindow = 32 << 20

// spending counts what a read asked of the store.
type spending struct {
	requests atomic.Int64
	bytes    atomic.Int64
}

// fetcher brings the blocks of one page: the ranges are known from the start and go out side by
// side, in the order their records will be needed, as far as the window reaches. What is needed
// before its turn is asked for at once, so waiting for it cannot stall.
type fetcher struct {
	r      *Rows
	blocks []*blockFetch
	jobs   []*rangeFetch

	mu       sync.Mutex
	next     int   // first job not looked at for starting
	underWay int   // requests
	ahead    int64 // decoded bytes started and not given yet
	horizon  int   // jobs from here on start only when needed: the limit may come first
}

// blockFetch is one block of the page.
type blockFetch struct {
	file   *coldFile
	ref    blockfile.Ref
	key    string
	span   *span
	rows   *rows  // decoded; set by the job, given up after the last visit
	stored []byte // the block as it lies in the store: for a splice, or from the cache
	splice bool
	err    error
	job    *rangeFetch
	bytes  int64
}

// rangeFetch is one range request.
type rangeFetch struct {
	rng     blockfile.Range
	blocks  []*blockFetch
	started bool // under fetcher.mu
	done    chan struct{}
}

func newFetcher(r *Rows) *fetcher { return &fetcher{r: r} }

// span makes the span of a block. The block is fetched only if it is visited.
func (f *fetcher) span(file *coldFile, ref blockfile.Ref) *span {
	b := &blockFetch{file: file, ref: ref, key: blockKey(file.row.ID, ref.Offset)}
	b.span = &span{
		first: ref.First, last: ref.Last, records: ref.Records, tie: uint64(ref.Offset),
		load: func() (*rows, error) { return f.load(b) }, block: b,
	}
	f.blocks = append(f.blocks, b)
	return b.span
}

// begin plans the ranges of all blocks that are not cached and starts the first of them.
func (f *fetcher) begin(limit int, skip uint64) {
	var wants []blockfile.Want
	var missing []*blockFetch
	var counted uint64
	enough := -1
	for _, b := range f.inOrder() {
		if limit > 0 && enough < 0 && counted >= uint64(limit)+skip+1 {
			enough = len(missing)
		}
		counted += uint64(b.ref.Records)
		if !b.splice {
			if b.rows = f.r.db.cache.decodedBlock(b.key); b.rows != nil {
				f.r.db.cache.count(true)
				continue
			}
		}
		if block := f.r.db.cache.storedBlock(b.key); block != nil {
			f.r.db.cache.count(true)
			b.stored = block // decoded when its turn comes
			continue
		}
		f.r.db.cache.count(false)
		wants = append(wants, blockfile.Want{Key: b.file.row.Key, Ref: b.ref})
		missing = append(missing, b)
	}
	if enough < 0 {
		enough = len(missing)
	}
	// Blocks that only a larger limit would need get ranges of their own, so that the first wave
	// does not bring them along.
	for _, part := range [][2]int{{0, enough}, {enough, len(missing)}} {
		if part[0] == part[1] {
			continue
		}
		for _, rng := range blockfile.Plan(wants[part[0]:part[1]], blockfile.PlanOptions{}) {
			j := &rangeFetch{rng: rng, done: make(chan struct{})}
			for _, i := range rng.Blocks {
				b := missing[part[0]+i]
				b.job = j
				j.blocks = append(j.blocks, b)
			}
			f.jobs = append(f.jobs, j)
		}
		if part[0] == 0 {
			f.horizon = len(f.jobs)
		}
	}
	f.mu.Lock()
	f.advanceLocked()
	f.mu.Unlock()
}

// inOrder sorts the blocks by the time they will be needed.
func (f *fetcher) inOrder() []*blockFetch {
	desc := f.r.query.Descending
	slices.SortStableFunc(f.blocks, func(a, b *blockFetch) int {
		if desc {
			return cmp.Compare(b.ref.Last, a.ref.Last)
		}
		return cmp.Compare(a.ref.First, b.ref.First)
	})
	return f.blocks
}

// advanceLocked starts jobs in order while the window has room.
func (f *fetcher) advanceLocked() {
	for f.next < f.horizon && f.underWay < f.r.db.opts.Limits.Parallel && f.ahead < fetchWindow {
		if j := f.jobs[f.next]; !j.started {
			f.startLocked(j)
		}
		f.next++
	}
}

func (f *fetcher) startLocked(j *rangeFetch) {
	j.started = true
	f.underWay++
	for _, b := range j.blocks {
		b.bytes = int64(b.ref.RawLength)
		f.ahead += b.bytes
	}
	f.r.asking.Go(func() {
		f.run(j)
		close(j.done)
		f.mu.Lock()
		f.underWay--
		f.advanceLocked()
		f.mu.Unlock()
	})
}

// run asks the store for a range, checks each block and decodes it.
func (f *fetcher) run(j *rangeFetch) {
	if err := f.r.ctx.Err(); err != nil {
		for _, b := range j.blocks {
			b.err = err
		}
		return
	}
	buf := make([]byte, j.rng.Length)
	f.r.spent.requests.Add(1)
	err := f.r.db.store.ReadRange(f.r.ctx, j.rng.Key, j.rng.Offset, buf)
	if err == nil {
		f.r.spent.bytes.Add(j.rng.Length)
	}
	for _, b := range j.blocks {
		if err != nil {
			b.err = storeDamage(j.rng.Key, j.rng.Offset, err)
			continue
		}
		at := b.ref.Offset - j.rng.Offset
		block := buf[at : at+int64(b.ref.Length)]
		if f.decode(b, block); b.err == nil && !b.splice {
			f.r.db.cache.keepStored(b.key, block)
		}
	}
}

// decode checks a block against its reference and makes its records readable.
func (f *fetcher) decode(b *blockFetch, block []byte) {
	if b.splice { // checked when it is appended to the answer
		b.stored = block
		return
	}
	raw, err := b.file.family.frame.ReadBlock(nil, block, b.ref)
	if err != nil {
		b.err = &CorruptError{File: b.file.row.Key, Offset: b.ref.Offset, Reason: err.Error()}
		return
	}
	r, reason := indexBlock(b.file.family, b.file.family.schema.NewDecoder(), raw, b.ref.Dataset, b.ref.Records, b.ref.First, b.ref.Last)
	if reason != "" {
		b.err = &CorruptError{File: b.file.row.Key, Offset: b.ref.Offset, Reason: reason}
		return
	}
	b.rows = r
	f.r.db.cache.keepDecoded(b.key, r)
}

// load gives a block whose turn has come.
func (f *fetcher) load(b *blockFetch) (*rows, error) {
	if err := f.await(b); err != nil {
		return nil, err
	}
	if b.rows == nil && b.err == nil && b.stored != nil {
		f.decode(b, b.stored)
		b.stored = nil
	}
	rows := b.rows
	if b.span.visitsLeft--; b.span.visitsLeft <= 0 {
		b.rows = nil
	}
	return rows, b.err
}

// await returns when a block is there, or its error.
func (f *fetcher) await(b *blockFetch) error {
	if b.job == nil {
		return nil
	}
	f.mu.Lock()
	if !b.job.started {
		f.startLocked(b.job)
	}
	f.mu.Unlock()
	select {
	case <-b.job.done:
	case <-f.r.ctx.Done():
		return f.r.ctx.Err()
	}
	f.mu.Lock()
	f.ahead -= b.bytes
	b.bytes = 0
	f.advanceLocked()
	f.mu.Unlock()
	return nil
}

// storeDamage says what a failed range request means: an object that is not what the catalog says
// is damage, anything else is a store that cannot be reached.
func storeDamage(key string, offset int64, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return &CorruptError{File: key, Offset: offset, Reason: "the object is missing"}
	}
	var short *store.ShortReadError
	if errors.As(err, &short) {
		return &CorruptError{File: key, Offset: offset, Reason: err.Error()}
	}
	return fmt.Errorf("%w: %w", ErrStoreAway, err)
}

// hotDamage gives damage found in a generation the engine's own words.
func hotDamage(err error) error {
	var c *hot.CorruptError
	if errors.As(err, &c) {
		return &CorruptError{File: c.File, Offset: -1, Reason: err.Error()}
	}
	return err
}
