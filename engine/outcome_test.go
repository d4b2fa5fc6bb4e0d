package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/firndb/firn/engine/catalog"
)

// TestCatalogOutcomeUnknown fails the catalog's commits of an archive run one after the other, each
// time with the commit carried out and not. Reads go on, and the next run makes everything right.
func TestCatalogOutcomeUnknown(t *testing.T) {
	for _, carriedOut := range []bool{false, true} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("carried out %v, restart %v", carriedOut, restart), func(t *testing.T) {
				t.Parallel()
				failCatalog(t, carriedOut, restart)
			})
		}
	}
}

func failCatalog(t *testing.T, carriedOut, restart bool) {
	var s strikes
	change := func(o *Options) {
		o.update = func(do func() error) error {
			if !s.struck() {
				return do()
			}
			if carriedOut {
				if err := do(); err != nil {
					return err
				}
			}
			return &catalog.UnknownOutcomeError{Err: errStruck}
		}
	}
	db := openTest(t, t.TempDir(), change)
	defer func() { db.Close() }()
	var w wholeness
	w.add(t, db, 3)
	archive(t, db)
	for i := int64(1); ; i++ {
		when := fmt.Sprintf("commit %d", i)
		w.add(t, db, 2)
		s.arm(i, i)
		_, err := db.Archive(context.Background())
		calls := s.at.Load()
		s.arm(1, 0)
		if err != nil && !errors.Is(err, errStruck) {
			t.Errorf("%s: %v", when, err)
		}
		w.check(t, db, when+", after the failure")
		w.add(t, db, 1)
		if restart {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = openTest(t, db.dir, change)
			w.check(t, db, when+", after a restart")
		}
		archive(t, db)
		w.check(t, db, when+", after the next run")
		for _, q := range wholeQueries {
			for r, err := range db.Read(context.Background(), q) {
				if err != nil || !r.Cold {
					t.Errorf("%s: still hot after the next run: %s, %v", when, r.JSON, err)
				}
			}
		}
		if calls < i || t.Failed() {
			t.Logf("%d commits", calls)
			return // every one had its turn
		}
	}
}

// TestGenerationUnlinked archives a generation that two reads hold: they go on, and when the last of
// them ends its file goes.
func TestGenerationUnlinked(t *testing.T) {
	db := openTest(t, t.TempDir(), nil)
	defer db.Close()
	var w wholeness
	w.add(t, db, 5)
	rows, err := db.Query(context.Background(), wholeQueries[0])
	if err != nil {
		t.Fatal(err)
	}
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	var removed atomic.Bool
	db.opts.step = func(name string) { removed.Store(removed.Load() || name == "archive 7, unlinked") }
	if err := db.sealAll(); err != nil {
		t.Fatal(err)
	}
	pinned, err := db.Query(context.Background(), wholeQueries[0])
	if err != nil {
		t.Fatal(err)
	}
	archive(t, db)
	if removed.Load() {
		t.Error("unlinked under a read")
	}
	if got := collect(t, pinned); got != w.want[wholeQueries[0]] {
		t.Errorf("the read under way gives\n%swant\n%s", got, w.want[wholeQueries[0]])
	}
	if removed.Load() {
		t.Error("unlinked under the other read")
	}
	if got := string(rows.Record().JSON) + "\n" + collect(t, rows); got != w.want[wholeQueries[0]] {
		t.Errorf("the older read gives\n%swant\n%s", got, w.want[wholeQueries[0]])
	}
	if !removed.Load() {
		t.Error("not unlinked when the last read ended")
	}
	checkNoOrphans(t, db, "at the end")
}

// collect gives the rest of a read and closes it.
func collect(t testing.TB, rows *Rows) string {
	t.Helper()
	var got []byte
	for rows.Next() {
		got = append(append(got, rows.Record().JSON...), '\n')
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Errorf("read: %v", err)
	}
	return string(got)
}
