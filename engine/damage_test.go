package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/firndb/firn/engine/storelog"
)

// TestDamagedBlock flips a byte in the middle of a block file: a read that needs the block fails
// and says where, a partial read says exactly what is missing, other reads go on.
func TestDamagedBlock(t *testing.T) {
	for _, caches := range []bool{true, false} {
		dir := t.TempDir()
		db := openTest(t, dir, func(o *Options) {
			o.Block.TargetBytes = 2 << 10
			if !caches {
				o.Cache = CacheOptions{-1, -1, -1}
			}
		})
		for u := range 3 {
			var recs []string
			for i := range 200 {
				recs = append(recs, fmt.Sprintf(`{"timestamp":%d,"text":"record %d, %x"}`, i*1000, i, (i+1)*2654435761))
			}
			ingest(t, db, "logs", fmt.Sprintf("u%d", u), recs...)
		}
		archive(t, db)
		q := Query{Table: "logs", Dataset: "u1"}
		plan, err := db.Explain(context.Background(), q)
		if err != nil || len(plan.Blocks) < 3 {
			t.Fatalf("%d blocks, %v", len(plan.Blocks), err)
		}
		hit := plan.Blocks[1]
		path := filepath.Join(dir, storeFolder, filepath.FromSlash(hit.File))
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[hit.Offset+hit.Length/2] ^= 0x10
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}

		n := 0
		for _, err = range db.Read(context.Background(), q) {
			if err == nil {
				n++
			}
		}
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.File != hit.File || corrupt.Offset != hit.Offset {
			t.Errorf("the read ended with %v, want damage in %s at %d", err, hit.File, hit.Offset)
		}
		if uint32(n) != plan.Blocks[0].Records {
			t.Errorf("%d records before the damage, want %d", n, plan.Blocks[0].Records)
		}
		for _, desc := range []bool{false, true} {
			q.AllowPartial, q.Descending = true, desc
			rows, err := db.Query(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			for n = 0; rows.Next(); n++ {
				if tm := rows.Record().Time; tm >= hit.First && tm <= hit.Last {
					t.Errorf("a record of the damaged block: %s", rows.Record().JSON)
				}
			}
			missing := rows.Missing()
			if rows.Err() != nil || n != 200-int(hit.Records) || len(missing) != 1 ||
				missing[0].From != hit.First || missing[0].To != hit.Last || missing[0].Records != uint64(hit.Records) {
				t.Errorf("partial: %d records, %v, missing %+v", n, rows.Err(), missing)
			}
			rows.Close()
			// The same as an Avro file.
			rows, err = db.Query(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			if err := rows.WriteOCF(context.Background(), &file); err != nil || len(rows.Missing()) != 1 {
				t.Errorf("partial Avro file: %v, missing %+v", err, rows.Missing())
			}
			rows.Close()
		}
		if got := readAll(t, db, Query{Table: "logs", Dataset: "u2"}); len(got) == 0 {
			t.Error("another dataset cannot be read")
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStale counts by time of acceptance, over memory and generations.
func TestStale(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	db := openTest(t, t.TempDir(), func(o *Options) { o.now = func() time.Time { return now } })
	defer db.Close()
	ingest(t, db, "a", "u1", `{}`, `{}`)
	now = now.Add(time.Hour)
	ingest(t, db, "a", "u1", `{}`)
	ingest(t, db, "b", "u1", `{}`)
	now = now.Add(90 * time.Minute)
	check := func(when string) {
		t.Helper()
		for _, c := range []struct {
			older time.Duration
			count uint64
			rows  int
		}{{2 * time.Hour, 2, 1}, {time.Hour, 4, 2}, {3 * time.Hour, 0, 0}, {0, 4, 2}} {
			count, rows, err := db.Stale(context.Background(), c.older)
			if err != nil || count != c.count || len(rows) != c.rows {
				t.Errorf("%s, older than %v: %d in %+v, %v, want %d in %d", when, c.older, count, rows, err, c.count, c.rows)
			}
		}
	}
	check("in memory")
	db.freeze()
	if err := db.applyFrozen(); err != nil {
		t.Fatal(err)
	}
	check("in the open generation")
	if err := db.sealAll(); err != nil {
		t.Fatal(err)
	}
	check("in a sealed generation")
	archive(t, db)
	if count, _, err := db.Stale(context.Background(), 0); err != nil || count != 0 {
		t.Errorf("archived: %d, %v", count, err)
	}
}

// TestFenced lets another writer take the next log entry: archiving stops, ingest is refused and
// says who, reads go on, and so it is after a restart.
func TestFenced(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir, nil)
	ingest(t, db, "a", "u1", `{"timestamp":1}`)
	archive(t, db)
	ingest(t, db, "a", "u1", `{"timestamp":2}`)
	next, err := db.logNext()
	if err != nil {
		t.Fatal(err)
	}
	takeOver(t, db, next)
	if _, err := db.Archive(context.Background()); !errors.Is(err, ErrReadOnly) {
		t.Errorf("archive: %v", err)
	}
	check := func(db *DB) {
		t.Helper()
		_, err := db.Ingest(context.Background(), Batch{Table: "a", Dataset: "u1", Records: [][]byte{[]byte(`{}`)}})
		if !errors.Is(err, ErrReadOnly) || !bytes.Contains([]byte(err.Error()), []byte("another-writer")) {
			t.Errorf("ingest: %v", err)
		}
		if got := readAll(t, db, Query{Table: "a", Dataset: "u1"}); got != "cold 1 {\"timestamp\":1}\nhot 2 {\"timestamp\":2}\n" {
			t.Errorf("read %q", got)
		}
		if r := db.Ready(); r.Ready {
			t.Error("ready")
		}
	}
	check(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir, nil)
	defer db.Close()
	check(db)
}

// takeOver puts the entry of another writer into the store's log.
func takeOver(t *testing.T, db *DB, n uint64) {
	t.Helper()
	_, ours, err := storelog.Put(context.Background(), db.store, storelog.Entry{
		N: n, Kind: storelog.KindTakeover, WriterID: "another-writer", Epoch: 2, Time: "2026-01-01T00:00:00Z",
	})
	if err != nil || !ours {
		t.Fatalf("take over: %v, %v", ours, err)
	}
}

// TestSecondFolder refuses a fresh folder on a store that has a writer, and names what helps.
func TestSecondFolder(t *testing.T) {
	shared := "file://" + filepath.ToSlash(t.TempDir())
	db := openTest(t, t.TempDir(), func(o *Options) { o.Store = shared })
	defer db.Close()
	_, err := Open(context.Background(), t.TempDir(), Options{Store: shared, Manual: true})
	if !errors.Is(err, ErrRestore) || !bytes.Contains([]byte(err.Error()), []byte("firn restore")) {
		t.Errorf("a second folder: %v", err)
	}
	if _, err := Open(context.Background(), db.dir, Options{Store: shared, Manual: true}); !errors.Is(err, ErrLocked) {
		t.Errorf("the same folder: %v", err)
	}
}
