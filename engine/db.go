package engine

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firndb/firn/blockfile/store"
	"github.com/firndb/firn/engine/catalog"
	"github.com/firndb/firn/engine/storelog"
	"github.com/firndb/firn/wal"
)

// DB is an open database: one data folder, owned by this process, and the store behind it. Safe
// for concurrent use.
type DB struct {
	dir    string
	opts   Options
	logger *slog.Logger
	now    func() time.Time

	lock     *folderLock
	identity identity
	store    *store.Counting
	info     storelog.StoreInfo
	cat      *catalog.Catalog
	keys     keyTable
	log      *wal.Log
	recovery *wal.Recovery
	gaps     []gap // what the log lacks and no accepted loss explains
	tables   tableSet
	cache    *caches

	// seq is the last sequence number given. It belongs to the log's lock.
	seq uint64

	// jobs is held by whatever changes the set of block files.
	jobs jobLock

	mu struct {
		sync.Mutex
		active  *memTable
		frozen  []*memTable  // oldest first; each waits to be applied
		gens    []*genHandle // oldest first; the last one is open
		visible uint64       // last sequence number that reads see

		acceptance acceptance // when the hot records came

		// changed is closed and replaced whenever frozen or gens change.
		changed chan struct{}
	}

	// apply is held by whoever applies memory tables or seals a generation: one at a time.
	apply sync.Mutex

	started  time.Time
	losses   lossList
	counters counters
	hotBytes atomic.Int64 // of generation files
	diskFull atomic.Bool  // see full.go
	logFull  atomic.Bool
	fenced   atomic.Bool
	due      atomic.Bool // the archiver is asked to seal what is hot
	state    struct {
		sync.Mutex
		readOnly  string // why, empty while writing is allowed
		storeAway string // why the last job could not reach the store
		lastError string
		openJob   bool // a job of an earlier life could not be settled yet
	}

	// The background: ctx tells it to stop, background counts it. calls counts the API calls under
	// way, which Close waits for.
	ctx        context.Context
	cancel     context.CancelFunc
	closeOnce  sync.Once
	closeErr   error
	background sync.WaitGroup
	wake       struct{ apply, archive chan struct{} }
	calls      struct {
		sync.RWMutex
		closed bool
		wg     sync.WaitGroup
	}
}

// counters count since Open.
type counters struct {
	ingested, ingestedBytes, batches, duplicates atomic.Uint64
	applies, archiveRuns, archived, reads        atomic.Uint64
	lastArchive                                  atomic.Int64 // ms, 0 for never
}

// enter begins an API call; leave ends it. After Close no call begins.
func (db *DB) enter() error {
	db.calls.RLock()
	defer db.calls.RUnlock()
	if db.calls.closed {
		return ErrClosed
	}
	db.calls.wg.Add(1)
	return nil
}

func (db *DB) leave() { db.calls.wg.Done() }

// turnReadOnly refuses writes from now on. The first reason stays.
func (db *DB) turnReadOnly(reason string) {
	db.state.Lock()
	defer db.state.Unlock()
	if db.state.readOnly == "" {
		db.state.readOnly = reason
		db.logger.Error("read-only from now on", "reason", reason)
	}
}

func (db *DB) readOnlyReason() string {
	db.state.Lock()
	defer db.state.Unlock()
	return db.state.readOnly
}

// noteError keeps the last misfortune of the background work for Stats and the log. A nil error
// says that it went well again.
func (db *DB) noteError(what string, err error) {
	db.state.Lock()
	defer db.state.Unlock()
	if err == nil {
		db.state.lastError = ""
		return
	}
	db.state.lastError = what + ": " + err.Error()
	db.logger.Error(what, "error", err)
}

// Ready says whether records can be accepted, and what is away though they can.
func (db *DB) Ready() Readiness {
	var r Readiness
	if db.enter() != nil {
		r.Reasons = append(r.Reasons, "closed")
		return r
	}
	defer db.leave()
	db.state.Lock()
	if db.state.readOnly != "" {
		r.Reasons = append(r.Reasons, "read-only: "+db.state.readOnly)
	}
	if db.state.storeAway != "" || db.state.openJob {
		r.Degraded = append(r.Degraded, "store")
	}
	db.state.Unlock()
	if db.diskFull.Load() || db.logFull.Load() {
		r.Reasons = append(r.Reasons, "disk is full")
	}
	r.Ready = len(r.Reasons) == 0
	return r
}

// every runs f at the pace of a ticker until the database closes.
func (db *DB) every(d time.Duration, f func()) {
	db.background.Go(func() {
		t := time.NewTicker(d)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				f()
			case <-db.ctx.Done():
				return
			}
		}
	})
}

// jobLock is a lock for which a caller may wait as long as its context lasts: what holds it can take
// minutes.
type jobLock chan struct{}

func (l jobLock) lock(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l jobLock) unlock() { <-l }

// nudge wakes a background loop; one that is awake already is left alone.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
