package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/engine/catalog"
	"github.com/firndb/firn/engine/hot"
)

// Tables describes every table, by name.
func (db *DB) Tables(ctx context.Context) ([]TableInfo, error) {
	if err := db.enter(); err != nil {
		return nil, err
	}
	defer db.leave()
	return db.tableInfos(ctx, "")
}

// Table describes one table; ErrNotFound when there is none of this name.
func (db *DB) Table(ctx context.Context, name string) (TableInfo, error) {
	if err := db.enter(); err != nil {
		return TableInfo{}, err
	}
	defer db.leave()
	return db.tableInfo(ctx, name)
}

func (db *DB) tableInfo(ctx context.Context, name string) (TableInfo, error) {
	infos, err := db.tableInfos(ctx, name)
	if err != nil {
		return TableInfo{}, err
	}
	if len(infos) == 0 {
		return TableInfo{}, fmt.Errorf("%w: table %q", ErrNotFound, name)
	}
	return infos[0], nil
}

// tableInfos adds up tables (or the one named) over memory, generations and catalog, each record
// once.
func (db *DB) tableInfos(ctx context.Context, only string) ([]TableInfo, error) {
	sums := make(map[string]*TableInfo)
	sum := func(name string) *TableInfo {
		t := sums[name]
		if t == nil {
			t = &TableInfo{Name: name}
			sums[name] = t
		}
		return t
	}
	type memoryCounts struct {
		lastSeq uint64
		records map[string]uint64
		bytes   map[string]int64
		totals  map[string]uint64
	}
	var memory []memoryCounts
	v := &view{db: db}
	v.collect = func(tables []*memTable) {
		memory = memory[:0]
		for _, m := range tables {
			c := memoryCounts{m.LastSeq(), m.Counts(), make(map[string]int64), m.Totals()}
			m.Series(func(s hot.SeriesInfo) { c.bytes[s.Table] += int64(s.Bytes) })
			memory = append(memory, c)
		}
	}
	snap, err := v.takeFirm()
	if err != nil {
		return nil, err
	}
	defer v.release()
	defer snap.Close()
	rows, err := snap.Tables()
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		t := sum(row.Name)
		t.Settings = TableSettings(row.Settings)
		t.Accepted, t.ColdRecords, t.Lost = row.Counters.Accepted, row.Counters.Cold, row.Counters.Lost
		if n := len(row.Schemas); n > 0 {
			t.SchemaVersion = row.Schemas[n-1].Version
		}
	}
	for i := range v.gens {
		meta, err := v.gens[i].h.meta()
		if err != nil {
			return nil, hotDamage(err)
		}
		v.floor = max(v.floor, meta.Applied)
		for name, n := range meta.Counts {
			sum(name).HotRecords += n
			sum(name).HotBytes += meta.RawBytes[name]
		}
		for name, total := range meta.Totals {
			sum(name).Accepted = max(sum(name).Accepted, total)
		}
	}
	for _, m := range memory {
		if m.lastSeq <= v.floor {
			continue
		}
		for name, n := range m.records {
			sum(name).HotRecords += n
			sum(name).HotBytes += m.bytes[name]
		}
		for name, total := range m.totals {
			sum(name).Accepted = max(sum(name).Accepted, total)
		}
	}
	// Losses accepted by hand are in the catalog once a generation behind them is archived; until then
	// they count from the list, as soon as the running totals have passed them.
	for _, m := range memory {
		v.floor = max(v.floor, m.lastSeq)
	}
	for name, t := range sums {
		t.Lost += db.losses.between(name, snap.Identity().ArchivedSeq, v.floor)
	}
	next := snap.Identity().LogNext
	var list []TableInfo
	for name, t := range sums {
		if only != "" && name != only {
			continue
		}
		err := snap.FilesOf(name, func(f catalog.FileRow) error {
			if f.LiveAt(next) {
				t.Files++
				t.ColdBytes += f.Size
				t.RawBytes += f.RawBytes
			}
			return ctx.Err()
		})
		if err != nil {
			return nil, err
		}
		t.Settings.Codec = cmp.Or(t.Settings.Codec, db.opts.Block.Codec)
		t.Settings.Partition = cmp.Or(t.Settings.Partition, blockfile.ByDay.String())
		t.Settings.TimeField = cmp.Or(t.Settings.TimeField, "timestamp")
		list = append(list, *t)
	}
	slices.SortFunc(list, func(a, b TableInfo) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// SetTable changes settings of a table, which is made when there is none. Codec and partition hold
// for files written from then on; the time field for records that come from then on.
func (db *DB) SetTable(ctx context.Context, name string, s TableSettings) (TableInfo, error) {
	if err := db.enter(); err != nil {
		return TableInfo{}, err
	}
	defer db.leave()
	if err := checkName("table", []byte(name), maxTableName); err != nil {
		return TableInfo{}, err
	}
	if s.Codec != "" && !codec.Valid(s.Codec) {
		return TableInfo{}, invalid("codec %q is none of %v", s.Codec, codec.Names)
	}
	if s.Partition != "" {
		if _, err := blockfile.ParsePartition(s.Partition); err != nil {
			return TableInfo{}, invalid("%v", err)
		}
	}
	if s.TimeField != "" {
		if err := checkName("time_field", []byte(s.TimeField), maxDatasetName); err != nil {
			return TableInfo{}, err
		}
	}
	if reason := db.readOnlyReason(); reason != "" {
		return TableInfo{}, fmt.Errorf("%w: %s", ErrReadOnly, reason)
	}
	state, err := db.tables.make(name)
	if err != nil {
		return TableInfo{}, err
	}
	// An archive run sees one setting from its start to its end.
	if err := db.jobs.lock(ctx); err != nil {
		return TableInfo{}, err
	}
	defer db.jobs.unlock()
	set := *state.settings.Load()
	set.Codec = cmp.Or(s.Codec, set.Codec)
	set.Partition = cmp.Or(s.Partition, set.Partition)
	set.TimeField = cmp.Or(s.TimeField, set.TimeField)
	err = db.update(func(tx *catalog.Tx) error {
		return tx.SetSettings(name, catalog.Settings(set))
	})
	if err != nil {
		return TableInfo{}, err
	}
	state.settings.Store(&set)
	return db.tableInfo(ctx, name)
}

// Schemas gives the versions of a table's schema, oldest first; none before its first archive.
// ErrNotFound when there is no such table.
func (db *DB) Schemas(ctx context.Context, table string) ([]SchemaVersion, error) {
	if err := db.enter(); err != nil {
		return nil, err
	}
	defer db.leave()
	snap, err := db.cat.View()
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	row, ok, err := snap.Table(table)
	if err != nil {
		return nil, err
	}
	if !ok {
		if db.tables.get([]byte(table)) == nil {
			return nil, fmt.Errorf("%w: table %q", ErrNotFound, table)
		}
		return nil, nil
	}
	var list []SchemaVersion
	for _, v := range row.Schemas {
		s, ok, err := snap.Schema(v.Fingerprint)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("%w: schema version %d of table %q is not in the catalog", ErrCorrupt, v.Version, table)
		}
		list = append(list, SchemaVersion{
			Version: v.Version, Fingerprint: fingerprintText(v.Fingerprint), Created: v.Created,
			Text: slices.Clone(s.Text),
		})
	}
	return list, nil
}
