package engine

import (
	"context"
	"fmt"
	"testing"
)

// TestOddNames keeps tables and datasets apart whose names differ in odd bytes only, hot, cold and
// after a restart, with one set of fields and one codec.
func TestOddNames(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir, nil)
	tables := []string{"a.b", "a_b", "a-b", "a b", "A_B", "a/b", "a%2Fb", "..", ".", "_firn", "date=2020-01-01", "\u00fc", "u\u0308", "\u200b", "a\\b", "con"}
	datasets := []string{"u", "U", "u/1", "u|1", "..", "\u00e9", "e\u0301"}
	var want []struct {
		q    Query
		json string
	}
	for _, table := range tables {
		for _, dataset := range datasets {
			r := fmt.Sprintf(`{"timestamp":%d,"serial":%d}`, len(want)%3, len(want))
			ingest(t, db, table, dataset, r)
			want = append(want, struct {
				q    Query
				json string
			}{Query{Table: table, Dataset: dataset}, r + "\n"})
		}
	}
	check := func(when string) {
		t.Helper()
		for _, w := range want {
			if got := readJSON(t, db, w.q); got != w.json {
				t.Errorf("%s: %q/%q reads %swant %s", when, w.q.Table, w.q.Dataset, got, w.json)
			}
		}
	}
	check("hot")
	archive(t, db)
	check("cold")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir, nil)
	defer db.Close()
	check("after a restart")
	infos, err := db.Tables(context.Background())
	if err != nil || len(infos) != len(tables) {
		t.Errorf("%d tables, %v", len(infos), err)
	}
	for _, bad := range []string{"", "a\x00", "a\n", "a\x7f", "a\u0085", "\xff", string(make([]byte, 81))} {
		if _, err := db.Ingest(context.Background(), Batch{Table: bad, Dataset: "u", Records: [][]byte{[]byte(`{}`)}}); err == nil {
			t.Errorf("table %q was taken", bad)
		}
	}
}
