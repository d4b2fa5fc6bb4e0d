package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// openTest opens a database without background work in a folder of the test.
func openTest(t testing.TB, dir string, change func(*Options)) *DB {
	t.Helper()
	o := Options{Manual: true}
	if change != nil {
		change(&o)
	}
	db, err := Open(context.Background(), dir, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return db
}

func ingest(t testing.TB, db *DB, table, dataset string, records ...string) {
	t.Helper()
	b := Batch{Table: table, Dataset: dataset}
	for _, r := range records {
		b.Records = append(b.Records, []byte(r))
	}
	ack, err := db.Ingest(context.Background(), b)
	if err != nil {
		t.Fatalf("ingest: %v", err)
	}
	if ack.Accepted != len(records) || ack.Duplicate {
		t.Fatalf("ingest: %+v, want %d accepted", ack, len(records))
	}
}

// readAll gives the records of a query, and whether each was cold, as one text.
func readAll(t testing.TB, db *DB, q Query) string {
	t.Helper()
	var b strings.Builder
	for r, err := range db.Read(context.Background(), q) {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		tier := "hot"
		if r.Cold {
			tier = "cold"
		}
		fmt.Fprintf(&b, "%s %d %s\n", tier, r.Time, r.JSON)
	}
	return b.String()
}

func archive(t testing.TB, db *DB) ArchiveReport {
	t.Helper()
	report, err := db.Archive(context.Background())
	if err != nil {
		t.Fatalf("archive: %v", err)
	}
	return report
}

// TestOneRecord takes one record through every stage, with restarts in between.
func TestOneRecord(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir, nil)
	const record = `{"timestamp":1700000000000,"v":1}`
	ingest(t, db, "battle", "u1", record)
	q := Query{Table: "battle", Dataset: "u1"}
	hot := "hot 1700000000000 " + record + "\n"
	if got := readAll(t, db, q); got != hot {
		t.Fatalf("from memory: %q, want %q", got, hot)
	}
	if err := db.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	db = openTest(t, dir, nil)
	if got := readAll(t, db, q); got != hot {
		t.Fatalf("after a restart: %q, want %q", got, hot)
	}
	if err := db.sealAll(); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, db, q); got != hot {
		t.Fatalf("from a generation: %q, want %q", got, hot)
	}
	report := archive(t, db)
	if report.Records != 1 || report.Files != 1 || report.RawBytes != int64(len(record)) {
		t.Fatalf("report %+v", report)
	}
	cold := "cold 1700000000000 " + record + "\n"
	if got := readAll(t, db, q); got != cold {
		t.Fatalf("from a block file: %q, want %q", got, cold)
	}
	if err := db.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	db = openTest(t, dir, nil)
	defer db.Close()
	if got := readAll(t, db, q); got != cold {
		t.Fatalf("from a block file after a restart: %q, want %q", got, cold)
	}
	if got := readAll(t, db, Query{Table: "battle", Dataset: "u2"}); got != "" {
		t.Fatalf("another dataset has %q", got)
	}
	if report := archive(t, db); report.Records != 0 || report.Files != 0 {
		t.Fatalf("nothing to do, but %+v", report)
	}
}

// TestRefusedQuery refuses queries and lets the database close: a refused read holds nothing.
func TestRefusedQuery(t *testing.T) {
	db := openTest(t, t.TempDir(), nil)
	ingest(t, db, "battle", "u1", `{"timestamp":1}`, `{"timestamp":2}`)
	rows, err := db.Query(context.Background(), Query{Table: "battle", Dataset: "u1", Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
	}
	cursor := rows.NextCursor()
	rows.Close()
	for _, q := range []Query{
		{Table: "battle", Dataset: "u1", Cursor: "junk"},
		{Table: "battle", Dataset: "u2", Cursor: cursor},
		{Table: "battle", Dataset: "u1", Cursor: cursor, Descending: true},
		{Table: "battle", Dataset: "u1", From: 2, To: 1},
		{Table: "battle", Dataset: ""},
		{Table: "ba\x00ttle", Dataset: "u1"},
		{Table: "battle", Dataset: "u1", Limit: -1},
	} {
		if _, err := db.Query(context.Background(), q); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
