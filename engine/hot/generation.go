package hot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

// GenerationOptions says how a generation is opened. The zero value is the default.
type GenerationOptions struct {
	// MaxBytes is the size the file cannot grow past; an Apply that does not
	// fit fails with ErrFull. That much address space is set aside from the
	// start, so that a commit never waits for readers to let a mapping go.
	// Default 4 GiB.
	MaxBytes int64
	// ChunkBytes is how much JSON goes into one chunk. Less compresses worse
	// and costs more keys, more makes a read unpack more than it asked for.
	// Default 32 KiB. A larger record has a chunk of its own.
	ChunkBytes int
	// TxBytes is how much is committed at once. Less rewrites the pages between
	// two commits more often, more makes a commit long and costs memory.
	// Default 8 MiB.
	TxBytes int
	// Timeout is how long opening waits for the lock of the file. Default 1 s.
	Timeout time.Duration
	// NoSync leaves out every fsync: what is applied may be lost with the power.
	// For tests and throw-away data.
	NoSync bool
	// Check reads all pages of the file on opening and refuses it when they
	// contradict each other. It costs the time to read keys and sizes, not values.
	Check bool
}

const (
	defaultMaxBytes   = 4 << 30
	defaultChunkBytes = 32 << 10
	maxChunkBytes     = 4 << 20
	defaultTxBytes    = 8 << 20
	minMaxBytes       = 1 << 20
)

func (o GenerationOptions) withDefaults() (GenerationOptions, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.ChunkBytes == 0 {
		o.ChunkBytes = defaultChunkBytes
	}
	if o.TxBytes == 0 {
		o.TxBytes = defaultTxBytes
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	var errs []error
	if o.MaxBytes < minMaxBytes {
		errs = append(errs, fmt.Errorf("hot: MaxBytes is %d, want at least %d", o.MaxBytes, minMaxBytes))
	}
	if o.ChunkBytes < 0 || o.ChunkBytes > maxChunkBytes {
		errs = append(errs, fmt.Errorf("hot: ChunkBytes is %d, want 1 to %d", o.ChunkBytes, maxChunkBytes))
	}
	if o.TxBytes < 0 {
		errs = append(errs, fmt.Errorf("hot: TxBytes is %d, want more than 0", o.TxBytes))
	}
	return o, errors.Join(errs...)
}

func (o GenerationOptions) bolt() boltOptions {
	return boltOptions{timeout: o.Timeout, maxBytes: o.MaxBytes, mmap: o.MaxBytes, noSync: o.NoSync}
}

// Generation is one bbolt file of hot records. Its methods may be called by any
// number of goroutines; Apply, PutTree and Close wait for each other.
type Generation struct {
	id   ID
	path string
	db   *bbolt.DB
	o    GenerationOptions
	size atomic.Int64

	write     sync.Mutex // held while the file is written
	leftovers bool       // runs above state.run may be in the file; guarded by write

	mu     sync.Mutex // guards what follows
	idle   sync.Cond  // open has fallen to 0
	open   int        // read views that are open
	closed bool
	failed error

	commit func(*bbolt.Tx) error // a seam: how tests make commits fail
}

var (
	bucketMeta   = []byte("meta")
	bucketChunks = []byte("chunks")
	bucketSeries = []byte("series")
	bucketTables = []byte("tables")
	bucketTrees  = []byte("trees")

	keyFormat = []byte("format")
	keyState  = []byte("state")
	keyBegun  = []byte("begun")

	buckets = [...][]byte{bucketMeta, bucketChunks, bucketSeries, bucketTables, bucketTrees}
)

// fillPercent suits keys that mostly come in order.
const fillPercent = 0.9

// CreateGeneration makes the file of a new generation, durably: the folder is
// synced when it returns. A file of that name must not exist.
func CreateGeneration(path string, id ID, o GenerationOptions) (*Generation, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	err = createBolt(path, o.bolt(), func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		if err := meta.Put(keyFormat, []byte(formatText)); err != nil {
			return err
		}
		st := state{id: id}
		return meta.Put(keyState, st.row(keyState))
	})
	if err != nil {
		return nil, err
	}
	return OpenGeneration(path, o)
}

// OpenGeneration opens the file of a generation and removes what runs left in it
// that were never published. Where that fails (a full disk) the generation opens
// all the same: such runs are invisible, and the next Apply tries again.
//
// Errors: *CorruptError, ErrNotCreated, ErrVersion, ErrLocked, or the system's.
func OpenGeneration(path string, o GenerationOptions) (*Generation, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := notCreated(path); err != nil {
		return nil, err
	}
	g, err := open(path, o)
	if err != nil || !g.leftovers || g.dropLeftovers() == nil {
		return g, err
	}
	// A handle is of no use after a failed commit, so reading takes a fresh one.
	if err := g.Close(); err != nil {
		return nil, err
	}
	return open(path, o)
}

func open(path string, o GenerationOptions) (*Generation, error) {
	db, err := openBolt(path, o.bolt())
	if err != nil {
		return nil, err
	}
	g := &Generation{path: path, db: db, o: o, commit: (*bbolt.Tx).Commit}
	g.idle.L = &g.mu
	if err := g.inspect(); err != nil {
		_ = db.Close()
		return nil, err
	}
	return g, nil
}

// inspect reads what a generation says of itself.
func (g *Generation) inspect() error {
	return g.view(func(tx *bbolt.Tx) error {
		if g.o.Check {
			for err := range tx.Check() {
				return &CorruptError{File: g.path, Reason: "pages contradict each other", Err: err}
			}
		}
		meta := tx.Bucket(bucketMeta)
		if meta == nil {
			return fmt.Errorf("%w: %s", ErrNotCreated, g.path)
		}
		if f := meta.Get(keyFormat); string(f) != formatText {
			return fmt.Errorf("%w: %s has %q, want %q", ErrVersion, g.path, f, formatText)
		}
		for _, name := range buckets {
			if tx.Bucket(name) == nil {
				return &CorruptError{File: g.path, Key: name, Reason: "bucket is missing"}
			}
		}
		st, err := g.state(tx)
		if err != nil {
			return err
		}
		g.id = st.id
		begun, err := begunRun(meta)
		if err != nil {
			return g.corrupt(keyBegun, "run is unreadable", err)
		}
		g.leftovers = begun > st.run
		g.size.Store(tx.Size())
		return nil
	})
}

// view runs fn in a read transaction of its own, without callbacks.
func (g *Generation) view(fn func(tx *bbolt.Tx) error) error {
	tx, err := g.db.Begin(false)
	if err != nil {
		return err
	}
	defer g.rollback(tx)
	return protect(g.path, func(*guard) error { return fn(tx) })
}

func (g *Generation) state(tx *bbolt.Tx) (state, error) {
	st, err := parseState(keyState, tx.Bucket(bucketMeta).Get(keyState))
	if err != nil {
		return st, g.corrupt(keyState, "what it has applied is unreadable", err)
	}
	return st, nil
}

func begunRun(meta *bbolt.Bucket) (uint64, error) {
	v := meta.Get(keyBegun)
	switch len(v) {
	case 0:
		return 0, nil
	case 8:
		return binary.LittleEndian.Uint64(v), nil
	}
	return 0, errRowShort
}

func (g *Generation) corrupt(key []byte, reason string, err error) error {
	return &CorruptError{File: g.path, Key: bytes.Clone(key), Reason: reason, Err: err}
}

// ID is the generation's id.
func (g *Generation) ID() ID { return g.id }

// Path is the file's path, as given.
func (g *Generation) Path() string { return g.path }

// Bytes is how much of the file is in use, pages free for reuse included, after
// the last commit. The file itself is up to 4 MiB longer.
func (g *Generation) Bytes() int64 { return g.size.Load() }

// Meta is what a generation holds and has reached.
type Meta struct {
	ID             ID
	Applied        uint64            // highest seq applied
	Run            uint64            // runs published
	Totals         map[string]uint64 // table → running total of accepted records that was reached
	Counts         map[string]uint64 // table → records in this file
	RawBytes       map[string]int64  // table → bytes of JSON in this file
	FirstSeq       uint64            // lowest seq in this file, 0 when there is no record
	OldestAccepted int64             // milliseconds, the acceptedAt of the first Apply with records, else 0
}

// Records is the number of records over all tables.
func (m Meta) Records() (n uint64) {
	for _, c := range m.Counts {
		n += c
	}
	return n
}

// Meta reads what the generation holds and has reached. The maps are the caller's.
func (g *Generation) Meta() (Meta, error) {
	tx, err := g.Begin()
	if err != nil {
		return Meta{}, err
	}
	defer tx.Close()
	return tx.Meta()
}

// Trees returns what was last given to Apply or PutTree for every table. Map and
// bytes are the caller's.
func (g *Generation) Trees() (map[string][]byte, error) {
	tx, err := g.Begin()
	if err != nil {
		return nil, err
	}
	defer tx.Close()
	return tx.Trees()
}

// PutTree replaces the bytes kept for a table, durably, also on a sealed
// generation. It returns as Apply does.
func (g *Generation) PutTree(table string, tree []byte) error {
	g.write.Lock()
	defer g.write.Unlock()
	return g.settle(func(tx *bbolt.Tx) error {
		return putTree(tx.Bucket(bucketTrees), table, tree)
	})
}

func putTree(b *bbolt.Bucket, table string, tree []byte) error {
	key := AppendKeyName(nil, table)
	value := make([]byte, 0, 4+len(tree))
	value = binary.LittleEndian.AppendUint32(value, keyedCRC(key, tree))
	value = append(value, tree...)
	if bytes.Equal(b.Get(key), value) {
		return nil
	}
	return b.Put(key, value)
}

// settle is update for what somebody relies on when it returns. bbolt has two
// first pages, written in turn, and on opening takes the one before where the last
// one is unreadable: a single flipped bit would quietly bring back the state
// before the last commit. A second, empty commit makes both pages lead to this one.
func (g *Generation) settle(fn func(tx *bbolt.Tx) error) error {
	if err := g.update(fn); err != nil {
		return err
	}
	return g.update(noChange)
}

func noChange(*bbolt.Tx) error { return nil }

// update runs fn in a write transaction and commits it. The caller holds write.
// An error of fn's rolls back and leaves the handle usable; one of the commit's
// is an *UnknownOutcomeError, and the handle has failed.
func (g *Generation) update(fn func(tx *bbolt.Tx) error) error {
	if err := g.usable(); err != nil {
		return err
	}
	tx, err := g.db.Begin(true)
	if err != nil {
		return err
	}
	defer g.rollback(tx) // after a commit it does nothing
	committing := false
	err = protect(g.path, func(*guard) error {
		if err := fn(tx); err != nil {
			return err
		}
		committing = true
		return g.commit(tx)
	})
	switch {
	case err == nil:
		if tx, err := g.db.Begin(false); err == nil {
			g.size.Store(tx.Size())
			g.rollback(tx)
		}
	case committing:
		err = commitError(g.path, err)
		g.mu.Lock()
		g.failed = err
		g.mu.Unlock()
	}
	return err
}

// rollback ends a transaction whatever state its pages are in: one that stayed
// open would hold up Close for ever.
func (g *Generation) rollback(tx *bbolt.Tx) {
	_ = protect(g.path, func(*guard) error { return tx.Rollback() })
}

func (g *Generation) usable() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	return g.failed
}

// Close waits for a running Apply and for every read view, then closes the file.
// Closing twice does nothing; views begun afterwards are ErrClosed.
func (g *Generation) Close() error {
	g.mu.Lock()
	g.closed = true
	for g.open > 0 {
		g.idle.Wait()
	}
	g.mu.Unlock()
	g.write.Lock()
	defer g.write.Unlock()
	return g.db.Close()
}
