package engine

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/firndb/firn/engine/hot"
)

// acceptance tells when sequence numbers were given, to a tenth of a second. Of what a
// generation held before the process began only the time of its oldest record is known; all of it
// counts as that old. It belongs to DB.mu; a copy of it stays as it is.
type acceptance struct {
	marks []mark // never written again
	last  mark   // grows until markEvery has passed; its seq is 0 when there is none
}

// mark says that the records up to seq were accepted at or before at.
type mark struct {
	seq uint64
	at  int64 // ms
}

// markEvery is the least time between two marks, in milliseconds: a day of them is 14 MB at
// most, and they are forgotten when what they stand for is archived.
const markEvery = 100

func (a *acceptance) note(seq uint64, at int64) {
	if a.last.seq != 0 {
		at = max(at, a.last.at)
		if n := len(a.marks); n == 0 || at-a.marks[n-1].at >= markEvery {
			a.marks = append(a.marks, a.last)
		}
	}
	a.last = mark{seq, at}
}

// forget drops what is archived.
func (a *acceptance) forget(archived uint64) {
	i := sort.Search(len(a.marks), func(i int) bool { return a.marks[i].seq > archived })
	a.marks = slices.Clone(a.marks[i:])
	if a.last.seq <= archived {
		a.last = mark{}
	}
}

// upTo is the last sequence number accepted at or before a moment.
func (a acceptance) upTo(at int64) uint64 {
	if a.last.seq != 0 && a.last.at <= at {
		return a.last.seq
	}
	i := sort.Search(len(a.marks), func(i int) bool { return a.marks[i].at > at })
	if i == 0 {
		return 0
	}
	return a.marks[i-1].seq
}

// at is when a sequence number was given.
func (a acceptance) at(seq uint64) int64 {
	if i := sort.Search(len(a.marks), func(i int) bool { return a.marks[i].seq >= seq }); i < len(a.marks) {
		return a.marks[i].at
	}
	if seq <= a.last.seq {
		return a.last.at
	}
	return 0
}

// Stale counts the hot records accepted longer ago than a duration, by table and dataset.
func (db *DB) Stale(ctx context.Context, olderThan time.Duration) (count uint64, rows []StaleRow, err error) {
	if err := db.enter(); err != nil {
		return 0, nil, err
	}
	defer db.leave()
	cutoff := db.now().Add(-olderThan).UnixMilli()
	var last uint64
	var acceptedAt func(seq uint64) int64
	sums := make(map[hotKey]*StaleRow)
	add := func(table, dataset string, n uint64, at int64) {
		if n == 0 {
			return
		}
		k := hotKey{table, dataset}
		row := sums[k]
		if row == nil {
			row = &StaleRow{Table: table, Dataset: dataset, Accepted: at}
			sums[k] = row
		}
		row.Records += n
		row.Accepted = min(row.Accepted, at)
	}
	type seen struct {
		view hot.MemoryView
		info hot.SeriesInfo
	}
	var memory []seen
	v := &view{db: db}
	v.collect = func(tables []*memTable) {
		memory = memory[:0]
		marks := db.mu.acceptance
		last = marks.upTo(cutoff)
		acceptedAt = marks.at
		for _, m := range tables {
			if m.Empty() || m.FirstSeq() > last {
				continue
			}
			m.Series(func(i hot.SeriesInfo) {
				memory = append(memory, seen{m.View(i.Table, i.Dataset), i})
			})
		}
	}
	snap, err := v.takeFirm()
	if err != nil {
		return 0, nil, err
	}
	snap.Close()
	defer v.release()
	for i := range v.gens {
		applied, err := v.gens[i].stale(ctx, last, acceptedAt, add)
		if err != nil {
			return 0, nil, hotDamage(err)
		}
		v.floor = max(v.floor, applied)
	}
	for _, m := range memory {
		if m.view.LastSeq() <= v.floor {
			continue
		}
		var n uint64
		first := uint64(math.MaxUint64)
		for _, r := range m.view.Append(nil, math.MinInt64, math.MaxInt64, v.floor) {
			if r.Seq <= last {
				n++
				first = min(first, r.Seq)
			}
		}
		add(m.info.Table, m.info.Dataset, n, acceptedAt(first))
	}
	for _, row := range sums {
		count += row.Records
		rows = append(rows, *row)
	}
	slices.SortFunc(rows, func(a, b StaleRow) int {
		return cmp.Or(strings.Compare(a.Table, b.Table), strings.Compare(a.Dataset, b.Dataset))
	})
	return count, rows, nil
}

// stale counts the records of a generation up to a sequence number. Chunks that hold none above it
// are counted by their headers.
func (g *genView) stale(ctx context.Context, last uint64, acceptedAt func(uint64) int64, add func(string, string, uint64, int64)) (applied uint64, err error) {
	tx, err := g.h.begin()
	if err != nil {
		return 0, err
	}
	defer tx.Close()
	meta, err := tx.Meta()
	if err != nil {
		return 0, err
	}
	if meta.FirstSeq == 0 || meta.FirstSeq > last {
		return tx.Applied(), nil
	}
	var buf []byte
	var recs []hot.Record
	err = tx.Series(func(s hot.SeriesInfo) error {
		if s.LastSeq <= last {
			add(s.Table, s.Dataset, s.Records, acceptedAt(meta.FirstSeq))
			return nil
		}
		var n uint64
		err := tx.Chunks(s.Table, s.Dataset, math.MinInt32, math.MaxInt32, func(c hot.ChunkRef) error {
			if c.LastSeq <= last {
				n += uint64(c.Records)
				return nil
			}
			var err error
			if recs, buf, err = tx.Load(c, buf, recs[:0]); err != nil {
				return err
			}
			for _, r := range recs {
				if r.Seq <= last {
					n++
				}
			}
			return ctx.Err()
		})
		add(s.Table, s.Dataset, n, acceptedAt(meta.FirstSeq))
		return err
	})
	return tx.Applied(), err
}
