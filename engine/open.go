package engine

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/firndb/firn/blockfile/store"
	"github.com/firndb/firn/engine/catalog"
	"github.com/firndb/firn/engine/hot"
	"github.com/firndb/firn/engine/storelog"
	"github.com/firndb/firn/wal"
)

// Names in a data folder, beside LOCK, firn.json and losses.json.
const (
	walFolder   = "wal"
	hotFolder   = "hot"
	storeFolder = "store" // the default store
	catalogName = "catalog.db"
	keysName    = "keys.db"
)

// ErrRestore is wrapped by errors of Open that `firn restore` mends: a fresh folder on a store that
// has a writer, or a folder that lost its catalog.
var ErrRestore = errors.New("engine: needs firn restore")

// Open opens the database in a folder, which is made when it is not there, and brings back
// everything acknowledged. ctx bounds opening, not the database. The steps are those of START in
// docs/protocol.md. A failing Open gives everything back.
func Open(ctx context.Context, dir string, o Options) (db *DB, err error) {
	o = o.Defaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	schedule, err := parseSchedule(o.Archive.Schedule)
	if err != nil {
		return nil, err
	}
	db = newDB(dir, o)
	defer func(opening *DB) {
		if err != nil {
			opening.cancel()
			err = errors.Join(err, opening.giveBack())
		}
	}(db)
	for _, d := range []string{dir, filepath.Join(dir, walFolder), filepath.Join(dir, hotFolder)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	// 1. The folder is ours.
	if db.lock, err = lockFolder(dir); err != nil {
		return nil, err
	}
	// 2. Who we are, the store, the catalog.
	if err := db.openStore(); err != nil {
		return nil, err
	}
	if err := db.openCatalog(ctx); err != nil {
		return nil, err
	}
	if err := db.checkFenced(ctx); err != nil {
		return nil, err
	}
	if db.cache, err = openCaches(o.Cache); err != nil {
		return nil, err
	}
	if db.losses, err = readLosses(dir); err != nil {
		return nil, err
	}
	// 3. Jobs that were under way. A store that is away, or a full disk, leaves them for later.
	if !db.fenced.Load() {
		if err := db.settleJobs(ctx, min(db.opts.storePatience, openPatience)); err != nil && !errors.Is(err, ErrStoreAway) && !isDiskFull(err) && !db.fenced.Load() {
			return nil, err
		}
	}
	// 4. The generations.
	if err := db.openGenerations(); err != nil {
		return nil, err
	}
	db.keys.open = func() (*hot.Keys, error) {
		return hot.OpenKeys(filepath.Join(dir, keysName), hot.KeysOptions{TTL: o.IdempotencyTTL})
	}
	if db.keys.durable, err = db.keys.open(); err != nil {
		return nil, err
	}
	// 5. The log.
	if err := db.replay(); err != nil {
		return nil, err
	}
	db.refreshHotBytes()
	if !o.Manual {
		if db.state.openJob || db.mu.gens[0].sealed {
			nudge(db.wake.archive) // what the life before left over
		}
		db.background.Go(db.applier)
		db.background.Go(func() { db.archiver(schedule) })
		db.every(min(o.Hot.MemoryAge, ageCheck), db.watchAges)
	}
	return db, nil
}

// openPatience is how long Open waits for the store to settle a job. Later it is settled in the
// background.
const openPatience = 5 * time.Second

func newDB(dir string, o Options) *DB {
	db := &DB{dir: dir, opts: o, logger: o.Logger, now: o.now, started: o.now()}
	db.ctx, db.cancel = context.WithCancel(context.Background())
	db.tables.byName = make(map[string]*tableState)
	db.keys.inFlight = make(map[string]*keyFlight)
	db.keys.pending = make(map[string]hot.KeyEntry)
	db.mu.active = &memTable{Memory: hot.NewMemory()}
	db.mu.changed = make(chan struct{})
	db.jobs = make(jobLock, 1)
	db.wake.apply = make(chan struct{}, 1)
	db.wake.archive = make(chan struct{}, 1)
	return db
}

// openStore opens the store an option names.
func (db *DB) openStore() error {
	root := filepath.Join(db.dir, storeFolder)
	if db.opts.Store != "" {
		u, err := url.Parse(db.opts.Store)
		switch {
		case err != nil:
			return invalid("store %q: %v", db.opts.Store, err)
		case u.Scheme != "file" || u.Host != "" && u.Host != "localhost" || !filepath.IsAbs(u.Path) || u.RawQuery != "":
			return invalid("store %q is not of the form file:///absolute/folder", db.opts.Store)
		}
		root = filepath.FromSlash(u.Path)
	}
	local, err := store.OpenLocal(root)
	if err != nil {
		return away(err)
	}
	db.store = store.NewCounting(db.opts.wrapStore(local))
	return nil
}

// openCatalog settles who writes the store and opens the catalog, made for a fresh folder.
func (db *DB) openCatalog(ctx context.Context) error {
	id, found, err := readIdentity(db.dir)
	if err != nil {
		return err
	}
	path := filepath.Join(db.dir, catalogName)
	_, statErr := os.Stat(path)
	haveCatalog := statErr == nil
	if !found {
		if left, err := db.leftovers(haveCatalog); err != nil || left != "" {
			if err == nil {
				err = fmt.Errorf("%w: %s is missing, but the folder holds %s", ErrRestore, identityName, left)
			}
			return err
		}
		if id, err = db.claimStore(ctx); err != nil {
			return err
		}
	}
	db.identity = id
	db.info = storelog.StoreInfo{ID: id.StoreID, Salt: [16]byte(id.Salt)}
	if info, err := storelog.Info(ctx, db.store); err == nil && info.ID != id.StoreID {
		return fmt.Errorf("the store is %s, but the folder belongs to store %s", info.ID, id.StoreID)
	} else if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("the store has no _firn/store: it is not the store %s that the folder belongs to", id.StoreID)
	}

	if db.cat, err = catalog.Open(path, catalog.Options{}); err != nil {
		return err
	}
	snap, err := db.cat.View()
	if err != nil {
		return err
	}
	have := snap.Identity()
	snap.Close()
	if have.StoreID == "" {
		return db.initCatalog(ctx)
	}
	if have.StoreID != id.StoreID || have.WriterID != id.WriterID || have.Epoch != id.Epoch {
		return &CorruptError{File: catalogName, Offset: -1, Reason: "belongs to another writer than " + identityName + " names"}
	}
	return nil
}

// leftovers names something in a folder without identity that a fresh one does not have.
func (db *DB) leftovers(haveCatalog bool) (string, error) {
	if haveCatalog {
		return catalogName, nil
	}
	for _, sub := range []string{walFolder, hotFolder} {
		entries, err := os.ReadDir(filepath.Join(db.dir, sub))
		if err != nil {
			return "", err
		}
		if len(entries) > 0 {
			return filepath.Join(sub, entries[0].Name()), nil
		}
	}
	return "", nil
}

// claimStore makes a fresh folder the writer of a store that has none.
func (db *DB) claimStore(ctx context.Context) (identity, error) {
	info, err := storelog.Init(ctx, db.store)
	if err != nil {
		return identity{}, away(err)
	}
	writer, _, _, err := storelog.Writer(ctx, db.store)
	if err != nil {
		return identity{}, away(err)
	}
	if writer != "" {
		return identity{}, fmt.Errorf("%w: the store has a writer already, %s; to take it over run firn restore", ErrRestore, writer)
	}
	id := identity{Format: folderFormat, WriterID: newWriterID(), Epoch: 1, StoreID: info.ID, Salt: info.Salt[:]}
	return id, id.write(db.dir)
}

// initCatalog puts the first entry of the store's log and fills the identity of a new catalog. A
// crash between any two steps of a first start comes back here.
func (db *DB) initCatalog(ctx context.Context) error {
	left, err := db.leftovers(false)
	if err != nil {
		return err
	}
	entry := storelog.Entry{
		N: 0, Kind: storelog.KindTakeover, WriterID: db.identity.WriterID, Epoch: db.identity.Epoch,
		Time: db.started.UTC().Format(time.RFC3339Nano),
	}
	writer, epoch, next, err := storelog.Writer(ctx, db.store)
	switch {
	case err != nil:
		return away(err)
	case writer == "":
		there, _, err := storelog.Put(ctx, db.store, entry)
		if err != nil {
			return away(err)
		}
		if there.WriterID != db.identity.WriterID {
			return fmt.Errorf("%w: the store has a writer already, %s; to take it over run firn restore", ErrRestore, there.WriterID)
		}
		next = 1
	case writer != db.identity.WriterID || epoch != db.identity.Epoch:
		return fmt.Errorf("%w: %s is gone and the store is written by %s; to take it over run firn restore", ErrRestore, catalogName, writer)
	case next != 1 || left != "":
		return fmt.Errorf("%w: %s is gone; firn restore builds it from the store", ErrRestore, catalogName)
	}
	return db.update(func(tx *catalog.Tx) error {
		return tx.SetIdentity(catalog.Identity{
			StoreID: db.identity.StoreID, WriterID: db.identity.WriterID, Epoch: db.identity.Epoch,
			NextID: 1, LogNext: next,
		})
	})
}

// checkFenced looks whether another writer has taken over since.
func (db *DB) checkFenced(ctx context.Context) error {
	next, err := db.logNext()
	if err != nil {
		return err
	}
	e, err := storelog.Get(ctx, db.store, next)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case errors.Is(err, storelog.ErrCorrupt):
		return err
	case err != nil: // away: the next job meets whatever is there
		db.noteStore(away(err))
		return nil
	}
	if e.WriterID != db.identity.WriterID {
		db.fence(e)
	}
	return nil
}

// openGenerations opens what the catalog names, removes what is retired or never held a record, and
// makes sure that one generation is open.
func (db *DB) openGenerations() error {
	snap, err := db.cat.View()
	if err != nil {
		return err
	}
	rows, err := snap.Generations()
	if err == nil {
		err = db.loadTables(snap)
	}
	retired, retiredErr := snap.Retired()
	snap.Close()
	if err = errors.Join(err, retiredErr); err != nil {
		return err
	}
	known := make(map[string]bool)
	open := false
	for _, row := range rows {
		path := db.generationPath(row.ID)
		known[filepath.Base(path)] = true
		gen, err := hot.OpenGeneration(path, db.generationOptions())
		if err != nil {
			return hotDamage(fmt.Errorf("generation %s: %w", row.ID, err))
		}
		if open {
			return &CorruptError{File: catalogName, Offset: -1, Reason: "a generation behind the open one"}
		}
		open = row.State == catalog.GenerationOpen
		db.mu.gens = append(db.mu.gens, db.newGenHandle(gen, !open))
	}
	for _, id := range retired {
		if err := hot.Remove(db.generationPath(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		err := db.update(func(tx *catalog.Tx) error { return tx.ForgetRetired(id) })
		if err != nil && !isDiskFull(err) { // a later start forgets it
			return err
		}
	}
	if err := db.removeStrays(known); err != nil {
		return err
	}
	if !open {
		return db.openFirstGeneration()
	}
	return nil
}

// removeStrays removes generation files that a crash left before the catalog named them. They hold
// nothing; one that does is nothing to remove.
func (db *DB) removeStrays(known map[string]bool) error {
	entries, err := os.ReadDir(filepath.Join(db.dir, hotFolder))
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(db.dir, hotFolder, e.Name())
		if strings.HasSuffix(e.Name(), hot.TempSuffix) {
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		if known[e.Name()] || !strings.HasSuffix(e.Name(), ".bolt") {
			continue
		}
		gen, err := hot.OpenGeneration(path, db.generationOptions())
		if err != nil && !errors.Is(err, hot.ErrNotCreated) {
			return hotDamage(fmt.Errorf("generation the catalog does not know: %w", err))
		}
		if err == nil {
			meta, err := gen.Meta()
			if err = errors.Join(err, gen.Close()); err != nil {
				return err
			}
			if meta.Applied > 0 {
				return fmt.Errorf("%w: %s holds records and the catalog does not know it", ErrRestore, path)
			}
		}
		if err := hot.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) openFirstGeneration() error {
	id, err := db.newID()
	if err != nil {
		return err
	}
	gen, err := hot.CreateGeneration(db.generationPath(id), id, db.generationOptions())
	if err != nil {
		return err
	}
	db.mu.gens = append(db.mu.gens, db.newGenHandle(gen, false))
	return db.update(func(tx *catalog.Tx) error {
		return tx.PutGeneration(catalog.GenerationRow{ID: id, State: catalog.GenerationOpen, CreatedAt: db.now().UnixMilli()})
	})
}

// loadTables brings back settings, totals and trees as of the last archive. Younger ones follow
// from the generations and the log.
func (db *DB) loadTables(snap *catalog.Snapshot) error {
	rows, err := snap.Tables()
	if err != nil {
		return err
	}
	for _, row := range rows {
		tree, err := newestTree(snap, row.Name)
		if err != nil {
			return fmt.Errorf("tree of table %q: %w", row.Name, err)
		}
		state := newTableState(row.Name, tree, TableSettings(row.Settings))
		state.total = row.Counters.Accepted
		db.tables.byName[row.Name] = state
	}
	return nil
}

// replay brings the log's frames that are in no generation back into memory and opens the log for
// new ones.
func (db *DB) replay() error {
	r, err := db.newReplayer()
	if err != nil {
		return err
	}
	log, recovery, err := wal.Open(filepath.Join(db.dir, walFolder), wal.Options{
		SegmentBytes: db.opts.WAL.SegmentBytes, MaxFrameBytes: maxFrameBytes,
		Sync: db.syncMode(), SyncInterval: db.opts.WAL.Interval,
		IdleFill: db.fillState, Logger: db.logger,
	}, r.frame)
	if err != nil {
		return err
	}
	db.log, db.recovery = log, recovery
	if err := r.finish(); err != nil {
		return err
	}
	for _, c := range recovery.Cuts {
		db.logger.Warn("cut a torn tail off the log: it was never acknowledged", "file", c.File, "offset", c.Offset, "bytes", c.Bytes)
	}
	db.gaps = r.gaps.gaps
	if len(recovery.Damage) > 0 {
		db.turnReadOnly(describeDamage(recovery.Damage, db.gaps))
	} else if len(db.gaps) > 0 {
		db.turnReadOnly(fmt.Sprintf("the log lacks %s; firn doctor --accept-loss lets it write again", db.gaps[0]))
	}
	if r.done > 0 {
		return log.Trim(r.done)
	}
	return nil
}

// maxFrameBytes bounds a frame: the largest batch with what surrounds each of its records.
const maxFrameBytes = 1 << 30

func (db *DB) syncMode() wal.SyncMode {
	if db.opts.WAL.Interval > 0 {
		return wal.SyncInterval
	}
	return wal.SyncAlways
}

func describeDamage(damage []wal.Damage, gaps []gap) string {
	var b strings.Builder
	b.WriteString("the log is damaged: ")
	for i, d := range damage {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(d.String())
	}
	for _, g := range gaps {
		b.WriteString("; lost: " + g.String())
	}
	b.WriteString("; firn doctor --accept-loss lets it write again")
	return b.String()
}
