package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestStress lets ingesters, an applier with a tiny memory table, an archiver in a loop and readers
// of every kind loose on each other. Each dataset has one ingester, so what a read must give is known
// exactly: records 0 to n-1, each once, in order, where n is at least what was acknowledged before the
// read began. Run it with -race.
func TestStress(t *testing.T) {
	before := runtime.NumGoroutine()
	dir := t.TempDir()
	open := func() *DB {
		return openTest(t, dir, func(o *Options) {
			o.Manual = false
			o.Archive.Schedule = scheduleOff
			o.Hot.MemoryBytes, o.Hot.MemoryAge = 8<<10, 5*time.Millisecond
			o.Block.TargetBytes, o.Block.FileBytes = 1<<10, 64<<10
			o.Cache.BlockBytes, o.Cache.RawBytes = 64<<10, -1
		})
	}
	db := open()
	const ingesters = 3
	var acked [ingesters]atomic.Int64
	run := 800 * time.Millisecond
	if testing.Short() {
		run = 300 * time.Millisecond
	}
	for life := range 2 {
		stress(t, db, run, uint64(life), &acked)
		if t.Failed() {
			break
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open()
	}
	archive(t, db)
	for i := range ingesters {
		checkSequence(t, db, Query{Table: "s", Dataset: fmt.Sprint("u", i)}, acked[i].Load(), "at the end")
	}
	checkNoOrphans(t, db, "at the end")
	infos, err := db.Tables(context.Background())
	if err != nil || len(infos) != 1 || infos[0].Accepted != infos[0].ColdRecords || infos[0].HotRecords != 0 {
		t.Errorf("ledger: %+v, %v", infos, err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after Close:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
	}
}

func stress(t *testing.T, db *DB, run time.Duration, seed uint64, acked *[3]atomic.Int64) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	loop := func(f func(rng *rand.Rand, i int)) {
		seed += 2
		rng := rand.New(rand.NewPCG(seed, 7))
		wg.Go(func() {
			for i := 0; !stop.Load() && !t.Failed(); i++ {
				f(rng, i)
			}
		})
	}
	ctx := context.Background()
	for i := range acked {
		dataset := fmt.Sprint("u", i)
		loop(func(rng *rand.Rand, _ int) {
			n := acked[i].Load()
			b := Batch{Table: "s", Dataset: dataset, IdempotencyKey: fmt.Sprint(dataset, "-", n)}
			for range 1 + rng.IntN(20) {
				// Few records share a time; a day has about 300.
				b.Records = append(b.Records, fmt.Appendf(nil, `{"timestamp":%d,"n":%d,"pad":"%s"}`, n/3*864_000, n, strings.Repeat("x", rng.IntN(40))))
				n++
			}
			ack, err := db.Ingest(ctx, b)
			if errors.Is(err, ErrBackpressure) {
				return
			}
			if err != nil || ack.Accepted != len(b.Records) || ack.Duplicate {
				t.Errorf("ingest: %+v, %v", ack, err)
			}
			acked[i].Store(n)
			if rng.IntN(10) == 0 {
				if ack, err := db.Ingest(ctx, b); err != nil || !ack.Duplicate || ack.Accepted != len(b.Records) {
					t.Errorf("the same key again: %+v, %v", ack, err)
				}
			}
		})
	}
	loop(func(rng *rand.Rand, _ int) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if rng.IntN(3) == 0 {
			time.AfterFunc(time.Duration(rng.IntN(20))*time.Millisecond, cancel)
		}
		if _, err := db.Archive(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("archive: %v", err)
		}
	})
	for range 2 {
		loop(func(rng *rand.Rand, i int) {
			d := rng.IntN(len(acked))
			atLeast := acked[d].Load()
			q := Query{Table: "s", Dataset: fmt.Sprint("u", d)}
			switch i % 4 {
			case 0:
				q.Limit = 1 + rng.IntN(200)
			case 1:
				q.Descending = true
			}
			checkSequence(t, db, q, atLeast, "meanwhile")
		})
	}
	loop(func(rng *rand.Rand, _ int) { // reads that stay open across archives, some never finished
		d := rng.IntN(len(acked))
		rows, err := db.Query(ctx, Query{Table: "s", Dataset: fmt.Sprint("u", d)})
		if err != nil {
			t.Errorf("query: %v", err)
			return
		}
		defer rows.Close()
		atLeast := acked[d].Load()
		_ = atLeast
		for i, stopAt := 0, rng.IntN(3000); i < stopAt && rows.Next(); i++ {
			if i%100 == 0 {
				time.Sleep(time.Millisecond)
			}
			if want := fmt.Appendf(nil, `"n":%d,`, i); !bytes.Contains(rows.Record().JSON, want) {
				t.Errorf("long read: record %d is %s", i, rows.Record().JSON)
				return
			}
		}
		if err := rows.Err(); err != nil {
			t.Errorf("long read: %v", err)
		}
	})
	loop(func(rng *rand.Rand, _ int) { // everything that looks at both tiers at once
		infos, err := db.Tables(ctx)
		for _, i := range infos {
			if i.Accepted != i.HotRecords+i.ColdRecords {
				t.Errorf("ledger meanwhile: %+v", i)
			}
		}
		var sum uint64
		for d, dErr := range db.HotCold(ctx) {
			err = errors.Join(err, dErr)
			sum += d.HotRecords + d.ColdRecords
		}
		least := uint64(0)
		if len(infos) > 0 {
			least = infos[0].Accepted
		}
		if sum < least {
			t.Errorf("%d records in all datasets, %d accepted before", sum, least)
		}
		_, _, staleErr := db.Stale(ctx, 0)
		_, explainErr := db.Explain(ctx, Query{Table: "s", Dataset: "u0"})
		db.Stats()
		db.Ready()
		files := 0
		for _, fErr := range db.Files(ctx) {
			err = errors.Join(err, fErr)
			files++
		}
		var ocf bytes.Buffer
		rows, qErr := db.Query(ctx, Query{Table: "s", Dataset: "u1", Limit: 1 + rng.IntN(500)})
		if qErr == nil {
			qErr = errors.Join(rows.WriteOCF(ctx, &ocf), rows.Close())
		}
		if err := errors.Join(err, staleErr, explainErr, qErr); err != nil {
			t.Error(err)
		}
	})
	time.Sleep(run)
	stop.Store(true)
	wg.Wait()
}

// checkSequence reads a dataset, in pages when the query has a limit, and checks that it gives
// records 0 to n-1 in order, n at least what was acknowledged before.
func checkSequence(t *testing.T, db *DB, q Query, atLeast int64, when string) {
	t.Helper()
	var got []int64
	for {
		rows, err := db.Query(context.Background(), q)
		if err != nil {
			t.Errorf("%s: %v", when, err)
			return
		}
		for rows.Next() {
			var at, n int64
			if _, err := fmt.Sscanf(string(rows.Record().JSON), `{"timestamp":%d,"n":%d,`, &at, &n); err != nil || at != rows.Record().Time {
				t.Errorf("%s: %s: %v", when, rows.Record().JSON, err)
			}
			got = append(got, n)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Errorf("%s: %v", when, err)
			return
		}
		if q.Cursor = rows.NextCursor(); q.Cursor == "" {
			break
		}
	}
	if int64(len(got)) < atLeast {
		t.Errorf("%s: %+v gives %d records, %d were acknowledged before", when, q, len(got), atLeast)
	}
	for i, n := range got {
		want := int64(i)
		if q.Descending { // groups of three of one time, each in order of acceptance
			r := int64(len(got)) - 1 - int64(i)
			group := r / 3 * 3
			last := min(group+2, int64(len(got))-1)
			want = group + last - r
		}
		if n != want {
			t.Errorf("%s: %+v gives record %d at place %d, want %d", when, q, n, i, want)
			return
		}
	}
}
