package engine

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/firndb/firn/blockfile/store"
)

// TestLedgerRefuses lets a table's running total disagree with what its generation holds: the archive
// fails and names the table, and nothing moves.
func TestLedgerRefuses(t *testing.T) {
	for _, off := range []int{-1, 1} {
		db := openTest(t, t.TempDir(), nil)
		var w wholeness
		w.add(t, db, 2)
		archive(t, db)
		w.add(t, db, 2)
		db.mu.active.SetTotal("a", uint64(int(db.mu.active.Totals()["a"])+off))
		var corrupt *CorruptError
		if _, err := db.Archive(context.Background()); !errors.As(err, &corrupt) || !strings.Contains(err.Error(), `table "a"`) {
			t.Errorf("off by %d: %v", off, err)
		}
		for _, q := range wholeQueries {
			if got := readJSON(t, db, q); got != w.want[q] {
				t.Errorf("off by %d: %s/%s reads\n%s", off, q.Table, q.Dataset, got)
			}
		}
		checkNoOrphans(t, db, "after the refusal")
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// lyingStore gives back other bytes than were written, of objects whose key ends with suffix.
type lyingStore struct {
	store.Store
	suffix *string
}

func (l lyingStore) ReadRange(ctx context.Context, key string, off int64, p []byte) error {
	err := l.Store.ReadRange(ctx, key, off, p)
	if *l.suffix != "" && strings.HasSuffix(key, *l.suffix) {
		p[len(p)/2] ^= 1
	}
	return err
}

// TestReadBack archives into a store that keeps other bytes than it was given: the run fails before
// anything relies on them, and takes its objects back.
func TestReadBack(t *testing.T) {
	suffix := ""
	db := openTest(t, t.TempDir(), func(o *Options) {
		o.wrapStore = func(inner store.Store) store.Store { return lyingStore{inner, &suffix} }
	})
	defer db.Close()
	var w wholeness
	for _, suffix = range []string{".avro", ".idx"} {
		w.add(t, db, 2)
		var corrupt *CorruptError
		if _, err := db.Archive(context.Background()); !errors.As(err, &corrupt) || !strings.HasSuffix(corrupt.File, suffix) {
			t.Errorf("%s: %v", suffix, err)
		}
		checkNoOrphans(t, db, suffix)
		suffix = ""
		w.check(t, db, "after the refusal")
		archive(t, db)
		w.check(t, db, "archived")
	}
}
