package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/engine/hot"
)

// A key that rotted misleads searches. A look-up must not take the rows it then
// misses for absent ones: it fails, or gives everything.
func TestLookupsPastRottenKeys(t *testing.T) {
	const datasets = 200
	c := newCatalog(t)
	var refs []blockfile.Ref
	for i := range datasets {
		refs = append(refs, block(fmt.Sprintf("u%03d", i), day0, 0, 1, int64(i)*100), block(fmt.Sprintf("u%03d", i), day0+1, 0, 1, int64(i)*100+50))
	}
	id := stageLive(t, c, 1, "t", refs)
	for n := range 20 {
		stageLive(t, c, 2+n, fmt.Sprint("table", n), nil)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(c.Path())
	if err != nil {
		t.Fatal(err)
	}
	whole = bytes.TrimRight(whole, "\x00") // the file grows ahead of what it holds
	failed := 0
	for i, row := range dump(t, c.Path()) {
		if row.bucket != "refs/t" && row.bucket != "files" && row.bucket != "tables" && row.bucket != "keys" || row.bucket == "refs/t" && i%5 != 0 {
			continue
		}
		cell := append(bytes.Clone(row.key), row.value...)
		for _, flip := range []int{0, min(2, len(row.key)-1), len(row.key) - 1} {
			f, err := os.OpenFile(c.Path(), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			for from := 0; ; { // every copy of it
				k := bytes.Index(whole[from:], cell)
				if k < 0 {
					break
				}
				if _, err := f.WriteAt([]byte{row.key[flip] ^ 0x48}, int64(from+k+flip)); err != nil {
					t.Fatal(err)
				}
				from += k + 1
			}
			failed += lookups(t, c.Path(), datasets, id)
			if _, err := f.WriteAt(whole, 0); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
	if failed < 300 {
		t.Errorf("only %d look-ups met the damage", failed)
	}
}

// lookups makes sure that what can be looked up is there, and counts what fails.
func lookups(t *testing.T, path string, datasets int, id FileID) (failed int) {
	t.Helper()
	c, err := Open(path, Options{NoSync: true})
	if err != nil {
		return 1
	}
	defer c.Close()
	s := view(t, c)
	defer s.Close()
	expect := func(what string, ok bool, err error) {
		var corrupt *CorruptError
		switch {
		case errors.As(err, &corrupt):
			failed++
		case err != nil || !ok:
			t.Fatalf("%s: found %v, %v", what, ok, err)
		}
	}
	for n := range datasets {
		found := 0
		err := s.Refs("t", fmt.Sprintf("u%03d", n), day0, day0+1, func(RefGroup) error { found++; return nil })
		expect(fmt.Sprint("references of dataset ", n), found == 2, err)
		found = 0
		err = s.QueryRefs(RefQuery{Table: "t", Dataset: fmt.Sprintf("u%03d", n), FromDay: day0, ToDay: day0 + 1, Desc: true}, func(RefGroup) error { found++; return nil })
		expect(fmt.Sprint("references of dataset, backwards, ", n), found == 2, err)
	}
	for n := range FileID(21) {
		f, ok, err := s.File(id + n)
		expect(fmt.Sprint("file ", n), ok, err)
		if err == nil {
			_, ok, err = s.FileByKey(f.Key)
			expect("file by key "+f.Key, ok, err)
			_, ok, err = s.Table(f.Table)
			expect("table "+f.Table, ok, err)
		}
	}
	return failed
}

// Rows taken out behind the catalog's back: lists that must be whole say so.
func TestListsThatMissRows(t *testing.T) {
	path, _ := filled(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for id, list := range map[bucketID]func(s *Snapshot) error{
		bktGenerations: func(s *Snapshot) error { _, err := s.Generations(); return err },
		bktRetired:     func(s *Snapshot) error { _, err := s.Retired(); return err },
		bktJobs:        func(s *Snapshot) error { _, err := s.Jobs(); return err },
		bktTables:      func(s *Snapshot) error { _, err := s.Tables(); return err },
		bktDead:        func(s *Snapshot) error { return s.DeadFiles(func(FileRow) error { return nil }) },
	} {
		c := tampered(t, whole, func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte(bucketNames[id]))
			k, _ := b.Cursor().Last()
			return b.Delete(k)
		})
		s := view(t, c)
		if err := list(s); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s without its last row: %v", bucketNames[id], err)
		}
		s.Close()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// tampered opens a copy of a catalog that was changed past the package.
func tampered(t *testing.T, whole []byte, change func(tx *bolt.Tx) error) *Catalog {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.db")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
	c, err := Open(path, Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Rows with right checksums that do not belong together.
func TestCheckFindsWhatDoesNotBelong(t *testing.T) {
	path, _ := filled(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bucket := func(tx *bolt.Tx, id bucketID) *bolt.Bucket { return tx.Bucket([]byte(bucketNames[id])) }
	put := func(b *bolt.Bucket, key, body []byte) error { return b.Put(key, appendSealed(nil, key, body)) }
	changeFile := func(change func(*FileRow)) func(tx *bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			key := key64(2) // the live one
			body, err := openSealed(key, bucket(tx, bktFiles).Get(key))
			if err != nil {
				return err
			}
			f, err := decodeFile(2, body)
			if err != nil {
				return err
			}
			change(&f)
			if body, err = f.append(nil); err != nil {
				return err
			}
			return put(bucket(tx, bktFiles), key, body)
		}
	}
	for name, change := range map[string]func(tx *bolt.Tx) error{
		"a group is gone": func(tx *bolt.Tx) error {
			b := bucket(tx, bktRefs).Bucket([]byte("battle"))
			k, _ := b.Cursor().Last()
			return b.Delete(k)
		},
		"a group of a dead file is gone": func(tx *bolt.Tx) error {
			b := bucket(tx, bktRefs).Bucket([]byte("battle"))
			return b.Delete(appendRefKey(nil, "u1", day0, blockfile.DayStart(day0)+10, 1, 0))
		},
		"a group stands elsewhere": func(tx *bolt.Tx) error {
			b := bucket(tx, bktRefs).Bucket([]byte("battle"))
			key, to := appendRefKey(nil, "u1", day0, blockfile.DayStart(day0)+10, 2, 0), appendRefKey(nil, "u9", day0, blockfile.DayStart(day0)+10, 2, 0)
			body, err := openSealed(key, b.Get(key))
			return errors.Join(err, b.Delete(key), put(b, to, bytes.Clone(body)))
		},
		"a list names another group": func(tx *bolt.Tx) error {
			var w listWriter
			w.add("other", day0, blockfile.DayStart(day0), 0)
			w.add("other", day0, blockfile.DayStart(day0), 1)
			w.add("other", day0, blockfile.DayStart(day0), 2)
			return put(bucket(tx, bktLists), append(key64(2), 0, 0, 0, 0), w.take())
		},
		"a group of no file": func(tx *bolt.Tx) error {
			refs := []blockfile.Ref{block("u1", day0, 0, 1, 0)}
			return put(bucket(tx, bktRefs).Bucket([]byte("battle")), appendRefKey(nil, "u1", day0, refs[0].First, 77, 0), packRefs(nil, refs, refs[0].First))
		},
		"the table's references are gone": func(tx *bolt.Tx) error { return bucket(tx, bktRefs).DeleteBucket([]byte("battle")) },
		"a file's blocks":                 changeFile(func(f *FileRow) { f.Blocks++ }),
		"a file's references":             changeFile(func(f *FileRow) { f.RefRecords++; f.Records++ }),
		"a file's records": changeFile(func(f *FileRow) {
			f.Records++
		}),
		"a file's table": changeFile(func(f *FileRow) { f.Table = "logs" }),
		"a file's key":   changeFile(func(f *FileRow) { f.Key += "x" }),
		"a file is dead": changeFile(func(f *FileRow) { f.State, f.DeadFrom = FileDead, 2 }),
		"a file is staged by no job": changeFile(func(f *FileRow) {
			f.State = FileStaged
		}),
		"an index row too many": func(tx *bolt.Tx) error { return put(bucket(tx, bktStaged), key64x2(1, 2), nil) },
		"an index row too few":  func(tx *bolt.Tx) error { return bucket(tx, bktDead).Delete(key64x2(2, 1)) },
		"two keys of one file":  func(tx *bolt.Tx) error { return put(bucket(tx, bktKeys), []byte("z"), appendFileID(nil, 2)) },
		"a schema is gone": func(tx *bolt.Tx) error {
			k, _ := bucket(tx, bktSchemas).Cursor().Last()
			return bucket(tx, bktSchemas).Delete(k)
		},
		"a version is gone": func(tx *bolt.Tx) error { return bucket(tx, bktVersions).Delete(nameKey64("battle", 1)) },
		"a version too many": func(tx *bolt.Tx) error {
			return put(bucket(tx, bktVersions), nameKey64("battle", 2), SchemaVersion{}.append(nil))
		},
		"a generation is both":   func(tx *bolt.Tx) error { return put(bucket(tx, bktRetired), key64(uint64(hot.MakeID(2, 4))), nil) },
		"a job's generation":     func(tx *bolt.Tx) error { return bucket(tx, bktGenerations).Delete(key64(uint64(hot.MakeID(2, 4)))) },
		"a table is gone":        func(tx *bolt.Tx) error { return bucket(tx, bktTables).Delete([]byte("battle")) },
		"a table without a file": func(tx *bolt.Tx) error { return bucket(tx, bktTables).Delete([]byte("logs")) },
		"cold records": func(tx *bolt.Tx) error {
			body, err := TableRow{Counters: Counters{Cold: 25}}.append(nil)
			return errors.Join(err, put(bucket(tx, bktTables), []byte("battle"), body))
		},
		"an unknown row": func(tx *bolt.Tx) error { return put(bucket(tx, bktMeta), []byte("x"), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			c := tampered(t, whole, change)
			defer c.Close()
			s := view(t, c)
			defer s.Close()
			var found []error
			if err := s.Check(func(err error) { found = append(found, err) }); err != nil || len(found) == 0 {
				t.Fatalf("Check: %v, reports %v", err, found)
			}
			for _, err := range found {
				if !errors.Is(err, ErrCorrupt) {
					t.Errorf("a report of another kind: %v", err)
				}
			}
		})
	}
}

// A look-up in a table whose references were lost as a whole must not find
// nothing.
func TestTableWithoutItsReferences(t *testing.T) {
	path, _ := filled(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := tampered(t, whole, func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(bucketNames[bktRefs])).DeleteBucket([]byte("battle"))
	})
	defer c.Close()
	s := view(t, c)
	defer s.Close()
	if err := s.Refs("battle", "u1", day0, day0, func(RefGroup) error { return nil }); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Refs: %v", err)
	}
	if err := s.Datasets("battle", "", func(string, uint64, int64, int64, int64) error { return nil }); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Datasets: %v", err)
	}
	if err := s.Refs("none", "u1", day0, day0, func(RefGroup) error { return nil }); err != nil {
		t.Errorf("a table that is not there: %v", err)
	}
}

// Every bucket has pages of its own: see floorName.
func TestNoBucketWithinAPage(t *testing.T) {
	path, _ := filled(t)
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bolt.Tx) error {
		for _, name := range bucketNames {
			if tx.Bucket([]byte(name)).Root() == 0 {
				t.Errorf("%s lies within another page", name)
			}
		}
		for _, table := range []string{"battle", "logs"} {
			if tx.Bucket([]byte(bucketNames[bktRefs])).Bucket([]byte(table)).Root() == 0 {
				t.Errorf("references of %s lie within another page", table)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// A branch page that names one child twice makes a walk come by again: it must
// end with an error, not go round or give rows twice.
func TestWalkThatComesByAgain(t *testing.T) {
	c := newCatalog(t)
	var refs []blockfile.Ref
	for i := range 600 {
		refs = append(refs, block(fmt.Sprintf("u%03d", i), day0, 0, 1, int64(i)*100))
	}
	stageLive(t, c, 1, "t", refs)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(c.Path(), 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var root int64
	if err := db.View(func(tx *bolt.Tx) error {
		root = int64(tx.Bucket([]byte(bucketNames[bktRefs])).Bucket([]byte("t")).Root())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	root *= int64(db.Info().PageSize)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	// A branch page: 16 bytes of header, then for each child pos 4, key size 4, page 8.
	f, err := os.OpenFile(c.Path(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 8)
	if _, err := f.ReadAt(page, root+16+1*16+8); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(page, root+16+3*16+8); err != nil {
		t.Fatal(err)
	}
	if c, err = Open(c.Path(), Options{NoSync: true}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := view(t, c)
	defer s.Close()
	last := ""
	if err := s.Datasets("t", "", func(dataset string, _ uint64, _ int64, _, _ int64) error {
		if dataset <= last {
			return fmt.Errorf("dataset %s after %s", dataset, last)
		}
		last = dataset
		return nil
	}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Datasets: %v", err)
	}
}
