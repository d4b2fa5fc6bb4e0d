package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firndb/firn/blockfile/store"
)

var errStruck = errors.New("struck by the test")

// strikes decides which calls fail: those with the numbers from first to last, counted from 1.
type strikes struct{ at, first, last atomic.Int64 }

func (s *strikes) arm(first, last int64) {
	s.at.Store(0)
	s.first.Store(first)
	s.last.Store(last)
}

func (s *strikes) struck() bool {
	n := s.at.Add(1)
	return s.first.Load() <= n && n <= s.last.Load()
}

// faultyStore fails calls of the store it wraps; when after is set it carries them out first, as a
// store does whose answer is lost.
type faultyStore struct {
	store.Store
	*strikes
	after *atomic.Bool
}

func (f faultyStore) call(do func() error) error {
	if !f.struck() {
		return do()
	}
	if f.after.Load() {
		return errors.Join(errStruck, do())
	}
	return errStruck
}

func (f faultyStore) Create(ctx context.Context, key string) (u store.Upload, err error) {
	if err := f.call(func() (err error) { u, err = f.Store.Create(ctx, key); return err }); err != nil {
		if u != nil {
			err = errors.Join(err, u.Abort())
		}
		return nil, err
	}
	return faultyUpload{u, f}, nil
}

func (f faultyStore) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	return f.call(func() error { return f.Store.PutIfAbsent(ctx, key, data) })
}

func (f faultyStore) Get(ctx context.Context, key string, max int64) (b []byte, err error) {
	err = f.call(func() (err error) { b, err = f.Store.Get(ctx, key, max); return err })
	return b, err
}

func (f faultyStore) ReadRange(ctx context.Context, key string, off int64, p []byte) error {
	return f.call(func() error { return f.Store.ReadRange(ctx, key, off, p) })
}

func (f faultyStore) Size(ctx context.Context, key string) (n int64, err error) {
	err = f.call(func() (err error) { n, err = f.Store.Size(ctx, key); return err })
	return n, err
}

func (f faultyStore) List(ctx context.Context, prefix, after string, fn func(string, int64) error) error {
	return f.call(func() error { return f.Store.List(ctx, prefix, after, fn) })
}

func (f faultyStore) Delete(ctx context.Context, key string) error {
	return f.call(func() error { return f.Store.Delete(ctx, key) })
}

type faultyUpload struct {
	store.Upload
	f faultyStore
}

func (u faultyUpload) Write(p []byte) (n int, err error) {
	err = u.f.call(func() (err error) { n, err = u.Upload.Write(p); return err })
	return n, err
}

func (u faultyUpload) Commit(ctx context.Context) error {
	return u.f.call(func() error { return u.Upload.Commit(ctx) })
}

// wholeness ingests and checks that everything ever ingested is there once, that the ledger
// balances, and that the store holds nothing that no entry names.
type wholeness struct {
	serial int
	want   map[Query]string
}

var wholeQueries = []Query{{Table: "a", Dataset: "u1"}, {Table: "a", Dataset: "u2"}, {Table: "b", Dataset: "u1"}}

func (w *wholeness) add(t testing.TB, db *DB, n int) {
	t.Helper()
	if w.want == nil {
		w.want = make(map[Query]string)
	}
	for _, q := range wholeQueries {
		for range n {
			w.serial++
			r := fmt.Sprintf(`{"timestamp":%d,"serial":%d}`, 1_700_000_000_000+int64(w.serial)*3_600_000, w.serial)
			ingest(t, db, q.Table, q.Dataset, r)
			w.want[q] += r + "\n"
		}
	}
}

func (w *wholeness) check(t testing.TB, db *DB, when string) {
	t.Helper()
	for _, q := range wholeQueries {
		if got := readJSON(t, db, q); got != w.want[q] {
			t.Errorf("%s: %s/%s reads\n%swant\n%s", when, q.Table, q.Dataset, got, w.want[q])
		}
	}
	infos, err := db.Tables(context.Background())
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	for _, i := range infos {
		if i.Accepted != i.HotRecords+i.ColdRecords+i.Lost {
			t.Errorf("%s: ledger of %s: %+v", when, i.Name, i)
		}
	}
}

func readJSON(t testing.TB, db *DB, q Query) string {
	t.Helper()
	var got strings.Builder
	for r, err := range db.Read(context.Background(), q) {
		if err != nil {
			t.Fatalf("read %s/%s: %v", q.Table, q.Dataset, err)
		}
		got.Write(r.JSON)
		got.WriteByte('\n')
	}
	return got.String()
}

// checkNoOrphans looks for objects that nothing names, temporary files of the store, and generation
// files beside those in use.
func checkNoOrphans(t testing.TB, db *DB, when string) {
	t.Helper()
	named := make(map[string]bool)
	for f, err := range db.Files(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		named[f.Path] = true
		named[strings.TrimSuffix(f.Path, ".avro")+".idx"] = true
	}
	err := filepath.WalkDir(filepath.Join(db.dir, storeFolder), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		key, err := filepath.Rel(filepath.Join(db.dir, storeFolder), path)
		if key = filepath.ToSlash(key); err == nil && !named[key] && !strings.HasPrefix(key, "_firn/") {
			t.Errorf("%s: object that nothing names: %s", when, key)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(filepath.Join(db.dir, hotFolder))
	if n := db.Stats().Generations; err != nil || len(files) != n {
		t.Errorf("%s: %d generation files for %d generations, %v", when, len(files), n, err)
	}
}

// TestStoreFails fails the calls of an archive run to the store one after the other, before or after
// they were carried out, once or for good: the run fails, nothing is lost or doubled meanwhile, and
// the next run, or the next start, makes everything right by itself.
func TestStoreFails(t *testing.T) {
	for _, after := range []bool{false, true} {
		for _, for_ := range []struct {
			name    string
			n       int64
			restart bool
		}{{"once", 1, false}, {"for good", 1 << 40, false}, {"for good, then a restart", 1 << 40, true}} {
			t.Run(fmt.Sprintf("%s, carried out %v", for_.name, after), func(t *testing.T) {
				t.Parallel()
				failStore(t, after, for_.n, for_.restart)
			})
		}
	}
}

func failStore(t *testing.T, after bool, times int64, restart bool) {
	var s strikes
	var doneFirst atomic.Bool
	change := func(o *Options) {
		o.wrapStore = func(inner store.Store) store.Store { return faultyStore{inner, &s, &doneFirst} }
	}
	db := openTest(t, t.TempDir(), change)
	defer func() { db.Close() }()
	var w wholeness
	w.add(t, db, 3)
	archive(t, db)
	for i := int64(1); ; i++ {
		when := fmt.Sprintf("call %d", i)
		w.add(t, db, 2)
		if times > 1 {
			db.opts.storePatience = 60 * time.Millisecond
		}
		doneFirst.Store(after)
		s.arm(i, i+times-1)
		_, err := db.Archive(context.Background())
		calls := s.at.Load()
		s.arm(1, 0)
		db.opts.storePatience = putPatience
		if err == nil && calls < i {
			t.Logf("%d calls", calls)
			break // there is no such call: every one had its turn
		}
		if err != nil && !errors.Is(err, errStruck) && !errors.Is(err, ErrStoreAway) {
			t.Errorf("%s: %v", when, err)
		}
		w.check(t, db, when+", after the failure")
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
			if text := readAll(t, db, q); strings.Contains(text, "hot") {
				t.Errorf("%s: still hot after the next run: %s", when, text)
			}
		}
		checkNoOrphans(t, db, when)
		if r := db.Ready(); !r.Ready || len(r.Degraded) > 0 {
			t.Errorf("%s: %+v", when, r)
		}
		if t.Failed() {
			return
		}
	}
}
