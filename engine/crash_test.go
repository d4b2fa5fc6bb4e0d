package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// copyFolder copies a data folder as a killed process would leave it: what was written, whether or
// not it was synced.
func copyFolder(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a temporary file that was renamed meanwhile
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
	if err != nil {
		t.Fatalf("copy %s: %v", from, err)
	}
	return to
}

// TestCrashAtEachStep stops at every step of the crash table, opens what a kill there would leave,
// and looks whether every acknowledged record is there once, readable again after a further
// archive, with the ledger in balance and no object in the store that no log entry names.
func TestCrashAtEachStep(t *testing.T) {
	dir := t.TempDir()
	type stop struct{ name, dir string }
	var stops []stop
	var armed bool
	db := openTest(t, dir, func(o *Options) {
		o.step = func(name string) {
			if armed {
				stops = append(stops, stop{name, copyFolder(t, dir)})
			}
		}
	})
	want := make(map[Query]string)
	queries := []Query{{Table: "battle", Dataset: "u1"}, {Table: "battle", Dataset: "u2"}, {Table: "logs", Dataset: "u1"}}
	serial := 0
	add := func(q Query, n int) {
		for range n {
			serial++
			r := fmt.Sprintf(`{"timestamp":%d,"serial":%d}`, 1_700_000_000_000+int64(serial)*3_600_000, serial)
			ingest(t, db, q.Table, q.Dataset, r)
			want[q] += r + "\n"
		}
	}
	add(queries[0], 30)
	add(queries[1], 5)
	archive(t, db)
	add(queries[0], 20)
	add(queries[2], 40)
	key := Batch{Table: "battle", Dataset: "u2", IdempotencyKey: "k", Records: [][]byte{[]byte(`{"timestamp":5,"serial":0}`)}}
	if _, err := db.Ingest(context.Background(), key); err != nil {
		t.Fatal(err)
	}
	want[queries[1]] = `{"timestamp":5,"serial":0}` + "\n" + want[queries[1]]

	armed = true
	archive(t, db)
	armed = false
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, s := range stops {
		seen[s.name] = true
		t.Run(s.name, func(t *testing.T) { checkAfterCrash(t, s.dir, queries, want, key) })
	}
	for _, name := range []string{
		"apply 1", "apply 2", "apply 4", "seal 1", "seal 2", "archive 1", "archive 2, without sidecar",
		"archive 2, uploaded", "archive 3", "archive 5", "archive 6", "archive 7, unlinked",
	} {
		if !seen[name] {
			t.Errorf("never stopped at %q", name)
		}
	}
}

func checkAfterCrash(t *testing.T, dir string, queries []Query, want map[Query]string, key Batch) {
	db := openTest(t, dir, nil)
	defer db.Close()
	check := func(when string) {
		t.Helper()
		var total uint64
		for _, q := range queries {
			var got strings.Builder
			for r, err := range db.Read(context.Background(), q) {
				if err != nil {
					t.Fatalf("%s: %v", when, err)
				}
				got.Write(r.JSON)
				got.WriteByte('\n')
				total++
			}
			if got.String() != want[q] {
				t.Errorf("%s: %s/%s reads\n%swant\n%s", when, q.Table, q.Dataset, got.String(), want[q])
			}
		}
		infos, err := db.Tables(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range infos {
			if i.Accepted != i.HotRecords+i.ColdRecords {
				t.Errorf("%s: ledger of %s: %d accepted, %d hot, %d cold", when, i.Name, i.Accepted, i.HotRecords, i.ColdRecords)
			}
			total -= i.Accepted
		}
		if total != 0 {
			t.Errorf("%s: %d records more read than accepted", when, int64(total))
		}
		ack, err := db.Ingest(context.Background(), key)
		if err != nil || !ack.Duplicate {
			t.Errorf("%s: repeated key: %+v, %v", when, ack, err)
		}
	}
	check("after the crash")
	archive(t, db)
	check("after a further archive")
	named := make(map[string]bool)
	for f, err := range db.Files(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		named[f.Path] = true
		named[strings.TrimSuffix(f.Path, ".avro")+".idx"] = true
	}
	err := db.store.List(context.Background(), "", "", func(k string, _ int64) error {
		if !strings.HasPrefix(k, "_firn/") && !named[k] {
			t.Errorf("object that nothing names: %s", k)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
