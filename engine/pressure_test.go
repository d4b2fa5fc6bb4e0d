package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firndb/firn/blockfile/store"
)

// TestHotLimit keeps a small limit of hot bytes though the size of a generation was left at its
// default: archiving makes room by itself.
func TestHotLimit(t *testing.T) {
	db := openTest(t, t.TempDir(), func(o *Options) {
		o.Manual = false
		o.Archive.Schedule = scheduleOff
		o.Hot.LimitBytes, o.Hot.MemoryBytes = 4<<20, 256<<10
	})
	defer db.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	pad := make([]byte, 32<<10)
	for n, refused := 0, 0; n < 400; {
		for i := range pad {
			pad[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[rng.IntN(64)]
		}
		_, err := db.Ingest(context.Background(), Batch{Table: "a", Dataset: "u", Records: [][]byte{fmt.Appendf(nil, `{"timestamp":%d,"pad":"%s"}`, n, pad)}})
		switch {
		case err == nil:
			n++
			refused = 0
		case !errors.Is(err, ErrBackpressure):
			t.Fatal(err)
		default:
			if refused++; refused > 1000 {
				t.Fatalf("no room after %d records: %v, %+v", n, err, db.Stats())
			}
			db.mu.Lock()
			changed := db.mu.changed
			db.mu.Unlock()
			select {
			case <-changed:
			case <-time.After(10 * time.Millisecond): // room can have come before this call looked
			}
		}
	}
	if got := strings.Count(readJSON(t, db, Query{Table: "a", Dataset: "u"}), "\n"); got != 400 {
		t.Errorf("%d records", got)
	}
}

// TestBackpressure fills the hot tier of a database whose store is away: ingest refuses and says so,
// tries to archive leave no pile of generations behind, and when the store is back room comes again.
func TestBackpressure(t *testing.T) {
	var s strikes
	db := openTest(t, t.TempDir(), func(o *Options) {
		o.wrapStore = func(inner store.Store) store.Store { return faultyStore{inner, &s, new(atomic.Bool)} }
		o.Hot.LimitBytes, o.Hot.MemoryBytes = 1<<20, 64<<10
		o.storePatience = time.Millisecond
	})
	defer db.Close()
	s.arm(1, 1<<40)
	pad := make([]byte, 40<<10)
	rng := rand.New(rand.NewPCG(1, 2))
	n := 0
	add := func() error {
		for i := range pad {
			pad[i] = byte('a' + rng.IntN(26))
		}
		_, err := db.Ingest(context.Background(), Batch{Table: "a", Dataset: "u", Records: [][]byte{fmt.Appendf(nil, `{"timestamp":%d,"pad":"%s"}`, n, pad)}})
		if err == nil {
			n++
		}
		return err
	}
	for err := error(nil); !errors.Is(err, ErrBackpressure); err = add() {
		if err != nil || n > 1000 {
			t.Fatalf("after %d records: %v", n, err)
		}
		if _, err := db.Archive(context.Background()); n > 0 && !errors.Is(err, ErrStoreAway) {
			t.Fatalf("archive: %v", err)
		}
	}
	if g := db.Stats().Generations; g > 8 {
		t.Errorf("%d generations", g)
	}
	if r := db.Ready(); !r.Ready || len(r.Degraded) != 1 {
		t.Errorf("%+v", r)
	}
	s.arm(1, 0)
	db.opts.storePatience = putPatience
	archive(t, db)
	if err := add(); err != nil {
		t.Errorf("when the store is back: %v", err)
	}
	if got := strings.Count(readJSON(t, db, Query{Table: "a", Dataset: "u"}), "\n"); got != n {
		t.Errorf("%d records, want %d", got, n)
	}
	if r := db.Ready(); !r.Ready || len(r.Degraded) != 0 {
		t.Errorf("%+v", r)
	}
}

// TestArchiveGivenUp gives up waiting for a run under way, and a run under way; Close does not wait
// for what its own background began.
func TestArchiveGivenUp(t *testing.T) {
	db := openTest(t, t.TempDir(), nil)
	defer db.Close()
	if err := db.jobs.lock(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := db.Archive(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("archive: %v", err)
	}
	if _, err := db.SetTable(ctx, "a", TableSettings{Codec: "null"}); !errors.Is(err, context.Canceled) {
		t.Errorf("set table: %v", err)
	}
	db.jobs.unlock()
	var w wholeness
	for i := range 12 {
		w.add(t, db, 2)
		ctx, cancel := context.WithCancel(context.Background())
		at := 0
		db.opts.step = func(string) {
			if at++; at == i {
				cancel()
			}
		}
		_, err := db.Archive(ctx)
		db.opts.step = func(string) {}
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("given up at step %d: %v", i, err)
		}
		w.check(t, db, fmt.Sprint("given up at step ", i))
		archive(t, db)
		checkNoOrphans(t, db, fmt.Sprint("given up at step ", i))
		cancel()
	}
	if r := db.Ready(); !r.Ready || len(r.Degraded) != 0 {
		t.Errorf("%+v", r)
	}
}

// TestSchedules refuses what never comes.
func TestSchedules(t *testing.T) {
	for expr, ok := range map[string]bool{
		"off": true, "0 * * * *": true, "0 0 29 2 *": true, "0 0 30 2 *": false, "": false, "* * *": false, "61 * * * *": false,
	} {
		if _, err := parseSchedule(expr); (err == nil) != ok || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", expr, err)
		}
	}
}

// TestOpenStoreAway starts with a job under way and a store that does not answer: everything is
// readable and records are accepted; when the store is back, the job is settled by the background.
func TestOpenStoreAway(t *testing.T) {
	dir := t.TempDir()
	var s strikes
	change := func(o *Options) {
		o.wrapStore = func(inner store.Store) store.Store { return faultyStore{inner, &s, new(atomic.Bool)} }
		o.storePatience = 100 * time.Millisecond
		o.Archive.Schedule = scheduleOff
	}
	db := openTest(t, dir, change)
	var w wholeness
	w.add(t, db, 2)
	db.opts.step = func(name string) {
		if name == "archive 3" {
			s.arm(1, 1<<40)
		}
	}
	if _, err := db.Archive(context.Background()); !errors.Is(err, ErrStoreAway) {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir, func(o *Options) { change(o); o.Manual = false })
	defer db.Close()
	w.check(t, db, "started while the store is away")
	w.add(t, db, 1)
	if r := db.Ready(); !r.Ready || len(r.Degraded) != 1 {
		t.Errorf("%+v", r)
	}
	s.arm(1, 0)
	for len(db.Ready().Degraded) > 0 {
		time.Sleep(5 * time.Millisecond)
	}
	w.check(t, db, "when the store is back")
	archive(t, db)
	checkNoOrphans(t, db, "at the end")
}

// TestGenerationFull lets memory tables not fit into the generation's file: the commit fails, the file
// is opened again under the reads that use it, and the table goes into the next one.
func TestGenerationFull(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir, func(o *Options) {
		o.Hot.MemoryBytes, o.generationMost = 300<<10, 1<<20
	})
	defer func() { db.Close() }()
	rng := rand.New(rand.NewPCG(5, 6))
	pad := make([]byte, 20<<10)
	var want strings.Builder
	q := Query{Table: "a", Dataset: "u"}
	var rows []*Rows
	for n := range 150 {
		for i := range pad {
			pad[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[rng.IntN(64)]
		}
		r := fmt.Sprintf(`{"timestamp":%d,"pad":"%s"}`, n/4, pad)
		ingest(t, db, q.Table, q.Dataset, r)
		want.WriteString(r + "\n")
		if n%40 == 5 {
			r, err := db.Query(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, r)
		}
	}
	if s := db.Stats(); s.Generations < 3 || s.LastError != "" || s.MemoryRecords > 40 {
		t.Errorf("%+v", s)
	}
	for i, r := range rows {
		if got := collect(t, r); strings.Count(got, "\n") != 40*i+6 || !strings.HasPrefix(want.String(), got) {
			t.Errorf("a read begun after %d records gives %d", 40*i+6, strings.Count(got, "\n"))
		}
	}
	check := func(when string) {
		t.Helper()
		if got := readJSON(t, db, q); got != want.String() {
			t.Errorf("%s: %d records", when, strings.Count(got, "\n"))
		}
	}
	check("hot")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir, nil)
	check("after a restart")
	archive(t, db)
	check("cold")
	checkNoOrphans(t, db, "at the end")
}
