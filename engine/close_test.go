package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firndb/firn/blockfile/store"
)

// TestCloseMeanwhile closes databases in the middle of ingests, reads and archive runs, some over a
// store that has just stopped answering: every call ends, with what it promises or with ErrClosed, no
// goroutine stays, and what was acknowledged is there afterwards.
func TestCloseMeanwhile(t *testing.T) {
	for round := range 4 {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) { closeMeanwhile(t, round) })
	}
}

func closeMeanwhile(t *testing.T, round int) {
	before := runtime.NumGoroutine()
	dir := t.TempDir()
	var s strikes
	storeAway := round%2 == 1
	open := func() *DB {
		return openTest(t, dir, func(o *Options) {
			o.Manual = false
			o.Archive.Schedule = scheduleOff
			o.Hot.MemoryBytes, o.Hot.MemoryAge = 4<<10, time.Millisecond
			o.wrapStore = func(inner store.Store) store.Store { return faultyStore{inner, &s, new(atomic.Bool)} }
		})
	}
	db := open()
	var wg sync.WaitGroup
	var acked [2]atomic.Int64
	ctx := context.Background()
	enough := make(chan struct{})
	var once sync.Once
	for i := range acked {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(round), uint64(i)))
			for {
				n := acked[i].Load()
				b := Batch{Table: "s", Dataset: fmt.Sprint("u", i)}
				for range 1 + rng.IntN(30) {
					b.Records = append(b.Records, fmt.Appendf(nil, `{"timestamp":%d,"n":%d,"x":1}`, n/3*864_000, n))
					n++
				}
				if _, err := db.Ingest(ctx, b); errors.Is(err, ErrClosed) {
					return
				} else if err != nil {
					t.Error(err)
					return
				}
				if acked[i].Store(n); n > int64(80*(1+round)) {
					once.Do(func() { close(enough) })
				}
			}
		})
	}
	for i := range 2 {
		wg.Go(func() { // reads, half of them left unread
			for {
				rows, err := db.Query(ctx, Query{Table: "s", Dataset: "u0"})
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				for n := 0; rows.Next() && (i == 0 || n < 10); n++ {
				}
				if err := rows.Err(); err != nil && !errors.Is(err, ErrStoreAway) {
					t.Error(err)
				}
				rows.Close()
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for {
				_, err := db.Archive(ctx)
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil && !errors.Is(err, ErrStoreAway) {
					t.Error(err)
					return
				}
			}
		})
	}
	<-enough
	if storeAway {
		s.arm(1, 1<<40)
	}
	for range 3 {
		wg.Go(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if r := db.Ready(); r.Ready {
		t.Error("ready after Close")
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after Close:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
	}
	s.arm(1, 0)
	db = open()
	for i := range acked {
		checkSequence(t, db, Query{Table: "s", Dataset: fmt.Sprint("u", i)}, acked[i].Load(), "after another start")
	}
	archive(t, db)
	for i := range acked {
		checkSequence(t, db, Query{Table: "s", Dataset: fmt.Sprint("u", i)}, acked[i].Load(), "archived")
	}
	checkNoOrphans(t, db, "at the end")
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestIntervalSync takes records through a database that syncs its log by the clock: a clean stop
// keeps them all, and so does every archive; what leaves memory is synced before, so that the log never
// ends before what a generation holds.
func TestIntervalSync(t *testing.T) {
	dir := t.TempDir()
	interval := func(o *Options) { o.WAL.Interval = time.Hour }
	db := openTest(t, dir, interval)
	var w wholeness
	for range 3 {
		w.add(t, db, 3)
		syncs := db.Stats().WALSyncs
		archive(t, db)
		if db.Stats().WALSyncs == syncs {
			t.Error("applied without a sync of the log")
		}
		w.add(t, db, 2)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openTest(t, dir, interval)
		w.check(t, db, "after a restart")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
