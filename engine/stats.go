package engine

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/blockfile/jsonscan"
	"github.com/firndb/firn/engine/catalog"
	"github.com/firndb/firn/engine/hot"
)

// Stats are counters since Open and sizes now.
func (db *DB) Stats() Stats {
	if db.enter() != nil {
		return Stats{}
	}
	defer db.leave()
	c := &db.counters
	s := Stats{
		StartedAt: db.started,
		Ingested:  c.ingested.Load(), IngestedBytes: c.ingestedBytes.Load(),
		Batches: c.batches.Load(), Duplicates: c.duplicates.Load(),
		Applies: c.applies.Load(), ArchiveRuns: c.archiveRuns.Load(), Archived: c.archived.Load(),
		Reads: c.reads.Load(), HotBytes: db.hotBytes.Load(),
		CacheHits: db.cache.hits.Load(), CacheMisses: db.cache.misses.Load(),
		DamagedRanges: len(db.recovery.Damage),
	}
	if ms := c.lastArchive.Load(); ms != 0 {
		s.LastArchive = time.UnixMilli(ms)
	}
	w := db.log.Stats()
	s.WALFrames, s.WALSyncs, s.WALBytes = w.Frames, w.Syncs, w.DiskBytes
	counts := db.store.Counts()
	s.StoreRequests, s.StoreBytes = uint64(counts.Requests()), uint64(counts.ReadBytes)
	db.mu.Lock()
	s.Generations, s.LastSeq = len(db.mu.gens), db.mu.visible
	for _, m := range append(db.mu.frozen[:len(db.mu.frozen):len(db.mu.frozen)], db.mu.active) {
		s.MemoryRecords += m.Records()
		s.MemoryBytes += m.Bytes()
	}
	db.mu.Unlock()
	db.state.Lock()
	s.LastError = db.state.lastError
	db.state.Unlock()
	if snap, err := db.cat.View(); err == nil {
		s.ArchivedSeq = snap.Identity().ArchivedSeq
		snap.Close()
	}
	return s
}

// memorySeries is what a memory table holds of each dataset, copied under the lock.
type memorySeries struct {
	lastSeq uint64
	series  []hot.SeriesInfo
}

// hotSeries adds up the hot records of every dataset (of one table, when table is not empty), each
// record once, and calls fn with the snapshot that goes with them.
func (db *DB) hotSeries(table string, fn func(*catalog.Snapshot, map[hotKey]*DatasetInfo) error) error {
	var memory []memorySeries
	v := &view{db: db}
	v.collect = func(tables []*memTable) {
		memory = memory[:0]
		for _, m := range tables {
			s := memorySeries{lastSeq: m.LastSeq()}
			m.Series(func(i hot.SeriesInfo) {
				if table == "" || i.Table == table {
					s.series = append(s.series, i)
				}
			})
			memory = append(memory, s)
		}
	}
	snap, err := v.takeFirm()
	if err != nil {
		return err
	}
	defer v.release()
	defer snap.Close()
	sums := make(map[hotKey]*DatasetInfo)
	for i := range v.gens {
		// A generation could have been applied to since the view was taken; then the memory table
		// counted again is the newer one. Counts of the same moment come from one transaction.
		tx, err := v.gens[i].h.begin()
		if err != nil {
			return err
		}
		v.floor = max(v.floor, tx.Applied())
		err = tx.Series(func(s hot.SeriesInfo) error {
			if table == "" || s.Table == table {
				addHot(sums, s)
			}
			return nil
		})
		tx.Close()
		if err != nil {
			return hotDamage(err)
		}
	}
	for _, m := range memory {
		if m.lastSeq > v.floor {
			for _, s := range m.series {
				addHot(sums, s)
			}
		}
	}
	return fn(snap, sums)
}

type hotKey struct{ table, dataset string }

func addHot(sums map[hotKey]*DatasetInfo, s hot.SeriesInfo) {
	info := datasetInfo(sums, s.Table, s.Dataset)
	info.HotRecords += s.Records
	info.HotBytes += int64(s.Bytes)
	info.widen(s.MinTime, s.MaxTime)
}

func datasetInfo(sums map[hotKey]*DatasetInfo, table, dataset string) *DatasetInfo {
	k := hotKey{table, dataset}
	info := sums[k]
	if info == nil {
		info = &DatasetInfo{Table: table, Dataset: dataset, Oldest: jsonscan.MaxTime, Newest: jsonscan.MinTime}
		sums[k] = info
	}
	return info
}

func (d *DatasetInfo) widen(oldest, newest int64) {
	d.Oldest, d.Newest = min(d.Oldest, oldest), max(d.Newest, newest)
}

// Datasets gives the datasets of a table in byte order, with what each has hot and cold.
func (db *DB) Datasets(ctx context.Context, table string) iter.Seq2[DatasetInfo, error] {
	return db.datasets(ctx, table)
}

// HotCold gives every dataset of every table, in byte order of table, then dataset.
func (db *DB) HotCold(ctx context.Context) iter.Seq2[DatasetInfo, error] {
	return db.datasets(ctx, "")
}

// datasets adds up both tiers. The sums are held in memory: about 200 bytes a dataset.
func (db *DB) datasets(ctx context.Context, table string) iter.Seq2[DatasetInfo, error] {
	return func(yield func(DatasetInfo, error) bool) {
		if err := db.enter(); err != nil {
			yield(DatasetInfo{}, err)
			return
		}
		defer db.leave()
		var list []*DatasetInfo
		err := db.hotSeries(table, func(snap *catalog.Snapshot, sums map[hotKey]*DatasetInfo) error {
			tables, err := snap.Tables()
			if err != nil {
				return err
			}
			for _, t := range tables {
				if table != "" && t.Name != table {
					continue
				}
				err := snap.Datasets(t.Name, "", func(dataset string, records uint64, bytes int64, first, last int64) error {
					info := datasetInfo(sums, t.Name, dataset)
					info.ColdRecords += records
					info.ColdBytes += bytes
					info.widen(first, last)
					return ctx.Err()
				})
				if err != nil {
					return err
				}
			}
			for _, info := range sums {
				list = append(list, info)
			}
			return nil
		})
		if err != nil {
			yield(DatasetInfo{}, err)
			return
		}
		slices.SortFunc(list, func(a, b *DatasetInfo) int {
			return cmp.Or(strings.Compare(a.Table, b.Table), strings.Compare(a.Dataset, b.Dataset))
		})
		for _, info := range list {
			if !yield(*info, nil) {
				return
			}
		}
	}
}

// Files gives the live block files by path, as of the first step. Nothing is held between two steps.
func (db *DB) Files(ctx context.Context) iter.Seq2[FileInfo, error] {
	return func(yield func(FileInfo, error) bool) {
		if err := db.enter(); err != nil {
			yield(FileInfo{}, err)
			return
		}
		defer db.leave()
		var next uint64 // the log position that says which files are live
		for after := ""; ; {
			page, err := db.filePage(ctx, after, &next)
			for i := range page {
				if !yield(page[i], nil) {
					return
				}
				after = page[i].Path
			}
			if err != nil {
				yield(FileInfo{}, err)
			}
			if err != nil || len(page) < filesPerPage {
				return
			}
		}
	}
}

// filesPerPage is how many files a listing looks up at a time.
const filesPerPage = 64

// filePage gives the next live files after a path; less than filesPerPage only at the end. The first
// call, with next 0, settles next.
func (db *DB) filePage(ctx context.Context, after string, next *uint64) (page []FileInfo, err error) {
	snap, err := db.cat.View()
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	if *next == 0 {
		*next = snap.Identity().LogNext
	}
	err = snap.Files(after, func(f catalog.FileRow) error {
		if f.LiveAt(*next) {
			page = append(page, fileInfo(&f))
		}
		if len(page) == filesPerPage {
			return errPage
		}
		return ctx.Err()
	})
	if errors.Is(err, errPage) {
		err = nil
	}
	return page, err
}

// errPage ends the look at a page of files.
var errPage = errors.New("page is full")

func fileInfo(f *catalog.FileRow) FileInfo {
	return FileInfo{
		Path: f.Key, Table: f.Table, Date: f.Date, Records: f.Records, RawBytes: f.RawBytes, FileBytes: f.Size,
		Ratio: float64(f.RawBytes) / float64(max(f.Size, 1)), Blocks: f.Blocks, Codec: f.Codec, CRC: f.CRC,
	}
}

// FilesByRatio gives the live block files, best compressed first.
func (db *DB) FilesByRatio(ctx context.Context) ([]FileInfo, error) {
	var files []FileInfo
	for f, err := range db.Files(ctx) {
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	slices.SortStableFunc(files, func(a, b FileInfo) int { return cmp.Compare(b.Ratio, a.Ratio) })
	return files, nil
}

// liveFile finds a live block file by its path, or by that of its sidecar.
func (db *DB) liveFile(path string) (row catalog.FileRow, sidecar bool, err error) {
	snap, err := db.cat.View()
	if err != nil {
		return row, false, err
	}
	defer snap.Close()
	name, kind, err := blockfile.ParseKey(path)
	if err != nil {
		return row, false, ErrNotFound
	}
	sidecar = kind == blockfile.KindSidecar
	key := name.BlockKey()
	row, ok, err := snap.FileByKey(key)
	if err == nil && (!ok || !row.LiveAt(snap.Identity().LogNext)) {
		err = ErrNotFound
	}
	return row, sidecar, err
}

// File describes a live block file or its sidecar, whose size and CRC then stand in FileBytes and
// CRC. ErrNotFound when there is none.
func (db *DB) File(ctx context.Context, path string) (FileInfo, error) {
	if err := db.enter(); err != nil {
		return FileInfo{}, err
	}
	defer db.leave()
	row, sidecar, err := db.liveFile(path)
	if err != nil {
		return FileInfo{}, err
	}
	info := fileInfo(&row)
	if sidecar {
		info.Path, info.FileBytes, info.CRC = path, row.SidecarSize, row.SidecarCRC
	}
	return info, nil
}

// ReadFile fills p with the bytes of a live block file, or its sidecar, from off on.
func (db *DB) ReadFile(ctx context.Context, path string, off int64, p []byte) error {
	if err := db.enter(); err != nil {
		return err
	}
	defer db.leave()
	if _, _, err := db.liveFile(path); err != nil {
		return err
	}
	if err := db.store.ReadRange(ctx, path, off, p); err != nil {
		return storeDamage(path, off, err)
	}
	return nil
}
