package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// tiers fills a dataset in every tier at once, with many ties: two archives, a sealed generation, an
// open one, memory. It returns the serials in the order of a read upwards.
func tiers(t *testing.T, db *DB, q Query) []string {
	serial := 0
	var all [][2]int
	add := func() {
		b := Batch{Table: q.Table, Dataset: q.Dataset}
		for range 23 {
			at := serial * 7 % 11
			b.Records = append(b.Records, fmt.Appendf(nil, `{"timestamp":%d,"serial":%d,"pad":"%s"}`, at, serial, strings.Repeat("p", serial%50)))
			all = append(all, [2]int{at, serial})
			serial++
		}
		if _, err := db.Ingest(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	add()
	archive(t, db)
	add()
	archive(t, db)
	add()
	if err := db.sealAll(); err != nil {
		t.Fatal(err)
	}
	add()
	db.freeze()
	if err := db.applyFrozen(); err != nil {
		t.Fatal(err)
	}
	add()
	slices.SortStableFunc(all, func(a, b [2]int) int { return a[0] - b[0] })
	var order []string
	for _, r := range all {
		order = append(order, fmt.Sprint(r[1]))
	}
	return order
}

func serialsOf(t *testing.T, rows *Rows) (list []string) {
	t.Helper()
	defer rows.Close()
	for rows.Next() {
		var at, n int
		if _, err := fmt.Sscanf(string(rows.Record().JSON), `{"timestamp":%d,"serial":%d,`, &at, &n); err != nil {
			t.Errorf("%s: %v", rows.Record().JSON, err)
		}
		list = append(list, fmt.Sprint(n))
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
	return list
}

// TestPages reads in pages of every size, in both directions, within bounds and without, and archives
// in the middle: the pages are the whole read, and the last one leads nowhere.
func TestPages(t *testing.T) {
	q := Query{Table: "a", Dataset: "u"}
	for _, desc := range []bool{false, true} {
		db := openTest(t, t.TempDir(), func(o *Options) { o.Block.TargetBytes = 1 << 10 })
		order := tiers(t, db, q)
		if desc { // only time is reversed
			var down []string
			for at := 10; at >= 0; at-- {
				for _, s := range order {
					var n int
					fmt.Sscan(s, &n)
					if n*7%11 == at {
						down = append(down, s)
					}
				}
			}
			order = down
		}
		for _, limit := range []int{1, 2, 3, 10, 11, 22, 23, 57, len(order) - 1, len(order), len(order) + 1} {
			q := Query{Table: q.Table, Dataset: q.Dataset, Descending: desc, Limit: limit}
			var got []string
			for pages := 0; ; pages++ {
				if limit == 57 && pages == 1 {
					archive(t, db)
				}
				rows, err := db.Query(context.Background(), q)
				if err != nil {
					t.Fatal(err)
				}
				page := serialsOf(t, rows)
				got = append(got, page...)
				if q.Cursor = rows.NextCursor(); q.Cursor == "" {
					break
				}
				if len(page) != limit {
					t.Errorf("a page of %d records, limit %d, leads on", len(page), limit)
				}
			}
			if !slices.Equal(got, order) {
				t.Fatalf("descending %v, limit %d:\n%v\nwant\n%v", desc, limit, got, order)
			}
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestCursorRefused gives cursors to queries that they do not belong to.
func TestCursorRefused(t *testing.T) {
	db := openTest(t, t.TempDir(), nil)
	defer db.Close()
	q := Query{Table: "a", Dataset: "u", From: 1, To: 9, Limit: 1}
	ingest(t, db, q.Table, q.Dataset, `{"timestamp":1}`, `{"timestamp":1}`, `{"timestamp":5}`)
	rows, err := db.Query(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
	}
	good := rows.NextCursor()
	rows.Close()
	settled := q
	if err := settled.settle(); err != nil || good == "" {
		t.Fatal(err, good)
	}
	b, _ := base64.RawURLEncoding.DecodeString(good)
	with := func(i int, v byte) string {
		c := bytes.Clone(b)
		c[i] ^= v
		return base64.RawURLEncoding.EncodeToString(c)
	}
	try := func(change func(*Query)) error {
		q := q
		q.Cursor = good
		change(&q)
		rows, err := db.Query(context.Background(), q)
		if err == nil {
			rows.Close()
		}
		return err
	}
	for name, change := range map[string]func(*Query){
		"another dataset": func(q *Query) { q.Dataset = "v" }, "another table": func(q *Query) { q.Table = "b" },
		"the other direction": func(q *Query) { q.Descending = true }, "another from": func(q *Query) { q.From = 2 },
		"another to": func(q *Query) { q.To = 8 }, "no cursor": func(q *Query) { q.Cursor = "?" },
		"cut off": func(q *Query) { q.Cursor = good[:len(good)-2] }, "longer": func(q *Query) { q.Cursor += "AA" },
		"another version": func(q *Query) { q.Cursor = with(0, 3) }, "turned": func(q *Query) { q.Cursor = with(1, 1) },
		"another hash": func(q *Query) { q.Cursor = with(5, 1) }, "a time before": func(q *Query) { q.Cursor = cursor{0, 1}.encode(&settled) },
		"a time after": func(q *Query) { q.Cursor = cursor{10, 1}.encode(&settled) },
	} {
		var refused *CursorError
		if err := try(change); !errors.As(err, &refused) || !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Query){
		"as it is": func(*Query) {}, "another limit": func(q *Query) { q.Limit = 7 }, "partial": func(q *Query) { q.AllowPartial = true },
		"more than there are": func(q *Query) { q.Cursor = cursor{1, 1 << 63}.encode(&settled) },
	} {
		if err := try(change); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestETag holds a tag as long as the answer is the same, over restarts and whatever happens to other
// datasets, and no longer.
func TestETag(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir, nil)
	defer func() { db.Close() }()
	q := Query{Table: "a", Dataset: "u"}
	tag := func(change func(*Query)) string {
		t.Helper()
		q := q
		change(&q)
		rows, err := db.Query(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		return rows.ETag()
	}
	same := func(*Query) {}
	ingest(t, db, "a", "u", `{"timestamp":1}`)
	last := tag(same)
	for _, s := range []struct {
		what    string
		changes bool
		do      func()
	}{
		{"another look", false, func() {}},
		{"another dataset", false, func() { ingest(t, db, "a", "v", `{"timestamp":1}`); ingest(t, db, "b", "u", `{"timestamp":1}`) }},
		{"an apply", false, func() { db.freeze(); _ = db.applyFrozen() }},
		{"a restart", false, func() { db.Close(); db = openTest(t, dir, nil) }},
		{"one more in memory", true, func() { ingest(t, db, "a", "u", `{"timestamp":2}`) }},
		{"a seal", false, func() { _ = db.sealAll() }},
		{"one more beside it", true, func() { ingest(t, db, "a", "u", `{"timestamp":2}`) }},
		{"an archive", true, func() { archive(t, db) }}, // the file set is another
		{"another restart", false, func() { db.Close(); db = openTest(t, dir, nil) }},
		{"one more over cold ones", true, func() { ingest(t, db, "a", "u", `{"timestamp":2}`) }},
	} {
		s.do()
		now := tag(same)
		if (now != last) != s.changes {
			t.Errorf("%s: tag %s became %s", s.what, last, now)
		}
		last = now
	}
	seen := map[string]bool{last: true}
	for i, change := range []func(*Query){
		func(q *Query) { q.Limit = 1 }, func(q *Query) { q.Descending = true }, func(q *Query) { q.From = 1 }, func(q *Query) { q.To = 1 },
		func(q *Query) { q.Dataset = "v" }, func(q *Query) { q.Table = "b" }, func(q *Query) { q.AllowPartial = true },
	} {
		if now := tag(change); seen[now] {
			t.Errorf("query %d has the tag of another", i)
		} else {
			seen[now] = true
		}
	}
}

// TestLongRead reads a dataset of more blocks than a page holds, with records at the very begin and end
// of each day, in every way.
func TestLongRead(t *testing.T) {
	db := openTest(t, t.TempDir(), func(o *Options) {
		o.Block.TargetBytes, o.Block.Codec = 1<<10, "null"
		o.Cache = CacheOptions{-1, -1, -1}
	})
	defer db.Close()
	if _, err := db.SetTable(context.Background(), "a", TableSettings{Partition: "month"}); err != nil {
		t.Fatal(err)
	}
	const days, perDay = 12, 1500
	const day = 86_400_000
	b := Batch{Table: "a", Dataset: "u"}
	pad := strings.Repeat("x", 700) // one record a block
	for d := range days {
		for i := range perDay {
			at := d*day + i*1000
			if i == perDay-1 {
				at = (d+1)*day - 1
			}
			b.Records = append(b.Records, fmt.Appendf(nil, `{"timestamp":%d,"serial":%d,"pad":"%s"}`, at, len(b.Records), pad))
		}
	}
	if _, err := db.Ingest(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	archive(t, db)
	ingest(t, db, "a", "u", `{"timestamp":-1,"serial":-1,"pad":""}`, fmt.Sprintf(`{"timestamp":%d,"serial":%d,"pad":""}`, days*day, days*perDay))
	q := Query{Table: "a", Dataset: "u"}
	for _, desc := range []bool{false, true} {
		q.Descending = desc
		rows, err := db.Query(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows.pages) < 2 {
			t.Fatalf("%d pages: the test is too small", len(rows.pages))
		}
		got := serialsOf(t, rows)
		if desc {
			slices.Reverse(got)
		}
		if len(got) != days*perDay+2 {
			t.Errorf("descending %v: %d records, want %d", desc, len(got), days*perDay+2)
		}
		for i, s := range got {
			if s != fmt.Sprint(i-1) {
				t.Errorf("descending %v: record %d is %s", desc, i-1, s)
				break
			}
		}
		if rows, err = db.Query(context.Background(), q); err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := rows.WriteOCF(context.Background(), &file); err != nil || countOCF(t, file.Bytes()) != days*perDay+2 {
			t.Errorf("descending %v: as an Avro file: %v", desc, err)
		}
		rows.Close()
	}
}

// TestTiesAcrossFiles gives records of one time, which one run had to split over several files and
// many blocks, in the order in which they were accepted.
func TestTiesAcrossFiles(t *testing.T) {
	db := openTest(t, t.TempDir(), func(o *Options) {
		o.Block.TargetBytes, o.Block.FileBytes, o.Block.Codec = 4<<10, 64<<10, "null"
	})
	defer db.Close()
	var want []string
	add := func() {
		b := Batch{Table: "a", Dataset: "u"}
		for range 300 {
			b.Records = append(b.Records, fmt.Appendf(nil, `{"timestamp":5,"serial":%d,"pad":"%s"}`, len(want), strings.Repeat("x", 600)))
			want = append(want, fmt.Sprint(len(want)))
		}
		if _, err := db.Ingest(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		add()
		if files := archive(t, db).Files; files < 3 {
			t.Fatalf("%d files: the test is too small", files)
		}
	}
	add()
	for _, desc := range []bool{false, true} {
		rows, err := db.Query(context.Background(), Query{Table: "a", Dataset: "u", Descending: desc})
		if err != nil {
			t.Fatal(err)
		}
		if got := serialsOf(t, rows); !slices.Equal(got, want) {
			t.Errorf("descending %v: %v", desc, got)
		}
	}
}
