package engine

import (
	"fmt"
	"testing"

	"github.com/firndb/firn/blockfile/schema"
)

// TestTreesTravel applies records of ever new shapes to one generation, over a restart: it has the tree
// that fits all of them, so its archive takes one run.
func TestTreesTravel(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir, nil)
	runs, want := 0, ""
	for i := range 4 {
		r := fmt.Sprintf(`{"timestamp":%d,"field%d":%d}`, i, i, i)
		ingest(t, db, "a", "u", r)
		want += r + "\n"
		db.freeze()
		if err := db.applyFrozen(); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = openTest(t, dir, nil)
		}
	}
	defer func() { db.Close() }()
	db.opts.step = func(name string) {
		if name == "archive 1" {
			runs++
		}
	}
	archive(t, db)
	if runs != 1 {
		t.Errorf("%d runs for one generation", runs)
	}
	if got := readJSON(t, db, Query{Table: "a", Dataset: "u"}); got != want {
		t.Errorf("read\n%swant\n%s", got, want)
	}
}

// TestCollision takes a shape for known that the tree does not fit, as two shapes with one hash would
// be: the archive finds out, widens the tree, and begins again.
func TestCollision(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir, nil)
	ingest(t, db, "a", "u", `{"timestamp":1,"x":1}`, `{"timestamp":2,"y":"text"}`)
	state := db.tables.get([]byte("a"))
	state.mu.tree = schema.NewTree("a")
	state.mu.tree.Add("u", 1, []byte(`{"timestamp":1,"z":1}`))
	want := `{"timestamp":1,"x":1}` + "\n" + `{"timestamp":2,"y":"text"}` + "\n"
	report := archive(t, db)
	if report.Records != 2 || report.Files != 1 {
		t.Errorf("%+v", report)
	}
	q := Query{Table: "a", Dataset: "u"}
	if got := readJSON(t, db, q); got != want {
		t.Errorf("read\n%s", got)
	}
	checkNoOrphans(t, db, "after the archive")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir, nil)
	defer db.Close()
	ingest(t, db, "a", "u", `{"timestamp":3,"x":2}`)
	archive(t, db)
	if got := readJSON(t, db, q); got != want+`{"timestamp":3,"x":2}`+"\n" {
		t.Errorf("read\n%s", got)
	}
}
