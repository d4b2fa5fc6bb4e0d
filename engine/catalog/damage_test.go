package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/firndb/firn/blockfile"
)

// fill makes the rows that the golden file holds: every kind of them.
func fill(t testing.TB, c *Catalog) {
	t.Helper()
	update(t, c, func(tx *Tx) error {
		return tx.SetIdentity(Identity{StoreID: "store", WriterID: "writer", Epoch: 2, LogNext: 1})
	})
	g := openGeneration(t, c)
	job, g := beginJob(t, c, g)
	refs := []blockfile.Ref{block("u1", day0, 10, 5, 0), block("u1", day0, 20, 6, 100), block("u1", day0+1, 5, 6, 250), block("u2\x00", -1, 86_000_000, 7, 300)}
	var ids [2]FileID
	update(t, c, func(tx *Tx) (err error) {
		for i := range ids {
			if ids[i], err = tx.StageFile(fileRow(job, i, "battle", refs)); err != nil {
				return err
			}
			if err := tx.StageRefs(ids[i], refs); err != nil {
				return err
			}
		}
		return errors.Join(tx.SetSettings("battle", Settings{Codec: "zstandard", Partition: "date", TimeField: "at"}),
			tx.PutSchema("battle", 1, 1000, []byte(`{"type":"record"}`), []byte{1, 2, 3}))
	})
	update(t, c, func(tx *Tx) error {
		return tx.Commit(Commit{Run: job.Run, Position: 1, ArchivedSeq: 50, Counters: map[string]Counters{"battle": {Accepted: 50, Cold: 48, Lost: 2}}})
	})
	job, g = beginJob(t, c, g)
	update(t, c, func(tx *Tx) error { return tx.Commit(Commit{Run: job.Run, Position: 2, Dead: ids[:1]}) })
	job, _ = beginJob(t, c, g)
	update(t, c, func(tx *Tx) error {
		id, err := tx.StageFile(fileRow(job, 0, "logs", refs[:1]))
		return errors.Join(err, tx.StageRefs(id, refs[:1]))
	})
}

// everything reads whatever the interface gives, as text.
func everything(s *Snapshot) (string, error) {
	var b strings.Builder
	var errs []error
	add := func(what string, v any, err error) {
		if err != nil {
			errs = append(errs, err)
			return
		}
		fmt.Fprintf(&b, "%s %+v\n", what, v)
	}
	add("identity", s.Identity(), nil)
	generations, err := s.Generations()
	add("generations", generations, err)
	retired, err := s.Retired()
	add("retired", retired, err)
	jobs, err := s.Jobs()
	add("jobs", jobs, err)
	tables, err := s.Tables()
	add("tables", tables, err)
	for _, table := range []string{"battle", "logs"} {
		schema, _, err := s.Newest(table)
		add("newest "+table, schema, err)
		err = s.FilesOf(table, func(f FileRow) error { add("file of "+table, f, nil); return nil })
		add("files of", table, err)
		for _, dataset := range []string{"u1", "u2\x00"} {
			for _, at := range []uint64{0, 2} {
				q := all(table, dataset)
				q.At = at
				err := s.QueryRefs(q, func(g RefGroup) error {
					refs, err := g.Decode(nil)
					add("refs of "+g.Key(), refs, err)
					return nil
				})
				add("refs", q, err)
			}
		}
		err = s.Datasets(table, "", func(dataset string, records uint64, stored int64, first, last int64) error {
			add("dataset", fmt.Sprint(dataset, records, stored, first, last), nil)
			return nil
		})
		add("datasets", table, err)
	}
	for _, run := range jobs {
		err = s.FilesOfRun(run.Run, func(f FileRow) error { add("staged", f, nil); return nil })
		add("files of run", run, err)
	}
	add("dead", "", s.DeadFiles(func(f FileRow) error { add("dead", f, nil); return nil }))
	add("files", "", s.Files("", func(f FileRow) error { add("file", f, nil); return nil }))
	return b.String(), errors.Join(errs...)
}

// filled gives the path of a closed catalog with every kind of row, and what is
// read from it.
func filled(t *testing.T) (path, want string) {
	t.Helper()
	c := open(t, filepath.Join(t.TempDir(), "c.db"), Options{})
	fill(t, c)
	s := view(t, c)
	want, err := everything(s)
	s.Close()
	if err := errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	return c.Path(), want
}

// Every flipped byte of a row is found: never other data, and never a crash.
func TestFlippedBytesOfRows(t *testing.T) {
	path, want := filled(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, row := range dump(t, path) {
		// bbolt keeps key and value side by side; older pages hold older copies,
		// and all of them are flipped.
		cell := append(bytes.Clone(row.key), row.value...)
		var at []int64
		for from := 0; ; {
			i := bytes.Index(whole[from:], cell)
			if i < 0 {
				break
			}
			at = append(at, int64(from+i))
			from += i + 1
		}
		if len(at) == 0 {
			t.Fatalf("row %x of %s is not in the file", row.key, row.bucket)
		}
		for i := range cell {
			tried++
			flipped := make([]int64, len(at))
			for k := range at {
				flipped[k] = at[k] + int64(i)
			}
			problem := readDamaged(t, path, want, whole, 1<<(i%8), flipped...)
			var corrupt *CorruptError
			if !errors.As(problem, &corrupt) || !errors.Is(problem, ErrCorrupt) {
				t.Fatalf("byte %d of row %x of %s was flipped: %v", i, row.key, row.bucket, problem)
			}
		}
	}
	if tried < 1000 {
		t.Fatalf("only %d flips tried", tried)
	}
}

// What bbolt itself keeps in a page has no checksum. A flip there must not
// crash or hang; what was read must be right, or something must have complained.
func TestFlippedBytesOfPages(t *testing.T) {
	path, want := filled(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The first two pages are bbolt's metadata, with checksums: when one is
	// invalid the other one counts, which is the state one transaction before.
	found := 0
	end := len(bytes.TrimRight(whole, "\x00")) // the file grows ahead of what it holds
	for i := 2 * os.Getpagesize(); i < end; i++ {
		if whole[i] == 0 && i%64 != 0 {
			continue // mostly unused room
		}
		if readDamaged(t, path, want, whole, 1<<(i%8), int64(i)) != nil {
			found++
		}
	}
	if found < 1000 {
		t.Errorf("only %d flips were found", found)
	}
}

// readDamaged reads everything of a catalog in which bits of some bytes are
// flipped, and returns the first problem that opening, reading or checking
// found. Without a problem, what was read must be what was written. The file is
// whole again afterwards.
func readDamaged(t *testing.T, path, want string, whole []byte, mask byte, at ...int64) error {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, i := range at {
		if _, err := f.WriteAt([]byte{whole[i] ^ mask}, i); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		for _, i := range at {
			if _, err := f.WriteAt(whole[i:i+1], i); err != nil {
				t.Fatal(err)
			}
		}
	}()
	c, err := Open(path, Options{NoSync: true})
	if errors.Is(err, berrors.ErrTimeout) {
		t.Fatalf("an earlier handle is still open: %v", err)
	}
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := c.View()
	if err != nil {
		return err
	}
	defer s.Close()
	var problem error
	if err := s.Check(func(err error) { problem = errors.Join(problem, err) }); err != nil {
		problem = errors.Join(problem, err)
	}
	got, err := everything(s)
	if problem = errors.Join(problem, err); problem == nil && got != want {
		t.Fatalf("other data without an error after a flip at %d:\n%s\nwant\n%s", at, got, want)
	}
	return problem
}

type dumpedRow struct {
	bucket     string
	key, value []byte
}

// dump reads all rows past the package's own code.
func dump(t testing.TB, path string) (rows []dumpedRow) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var walk func(name string, b *bolt.Bucket) error
	walk = func(name string, b *bolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			if v == nil {
				return walk(name+"/"+string(k), b.Bucket(k))
			}
			rows = append(rows, dumpedRow{name, bytes.Clone(k), bytes.Clone(v)})
			return nil
		})
	}
	if err := db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error { return walk(string(name), b) })
	}); err != nil {
		t.Fatal(err)
	}
	return rows
}

// In a tree of several levels a flipped bit can hide rows from a look-up; Check
// must find whatever a look-up does not, and neither may crash.
func TestFlippedBytesOfBranches(t *testing.T) {
	const datasets, files = 600, 3
	c := newCatalog(t)
	for n := range files {
		var refs []blockfile.Ref
		for i := range datasets {
			refs = append(refs, block(fmt.Sprintf("u%05d", i), day0, int64(n), 1, int64(i)*100))
		}
		stageLive(t, c, n, "t", refs)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(c.Path())
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	rng := rand.New(rand.NewPCG(11, 12))
	try := func(i int) {
		mask := byte(1) << rng.IntN(8)
		f, err := os.OpenFile(c.Path(), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte{whole[i] ^ mask}, int64(i)); err != nil {
			t.Fatal(err)
		}
		defer f.WriteAt(whole[i:i+1], int64(i))
		c, err := Open(c.Path(), Options{NoSync: true})
		if err != nil {
			return
		}
		defer c.Close()
		s, err := c.View()
		if err != nil {
			return
		}
		defer s.Close()
		problems := 0
		if err := s.Check(func(error) { problems++ }); err != nil || problems > 0 {
			problems++
		}
		for n := 0; n < datasets; n += 7 {
			found := 0
			err := s.Refs("t", fmt.Sprintf("u%05d", n), day0, day0, func(RefGroup) error { found++; return nil })
			if err == nil && found != files && problems == 0 {
				t.Fatalf("%d of %d groups and no complaint after a flip at %d", found, files, i)
			}
		}
	}
	end := len(bytes.TrimRight(whole, "\x00"))
	for p := 2 * page; p < end-page; p += page {
		for o := 8; o < 12; o++ { // flags and count
			try(p + o)
		}
		for range 6 {
			try(p + 16 + rng.IntN(1200)) // elements
		}
	}
}
