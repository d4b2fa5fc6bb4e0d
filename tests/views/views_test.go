// Package views checks reads against an in-memory oracle under random histories: batches,
// archives, restarts, cursors in both directions, reads under way while their generation is
// archived.
package views

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/firndb/firn/engine"
	"pgregory.net/rapid"
)

// kept is a record as the oracle knows it, in order of acceptance.
type kept struct {
	table, dataset string
	time           int64
	json           string
}

// history is a database and the oracle beside it.
type history struct {
	dir     string
	options engine.Options
	db      *engine.DB
	records []kept
	serial  int
	keys    map[string]keyed // idempotency keys given so far

	// A read under way while other things happen.
	rows     *engine.Rows
	expected []kept
	given    int

	// A read cut into pages.
	query  engine.Query
	pages  []kept // what the pages gave so far
	paging bool
}

type keyed struct {
	batch engine.Batch
	count int
}

var (
	tables   = []string{"battle", "a/../b", "Logs", "logs"}
	datasets = []string{"u1", "u2", "..", "ü/ä", "u"}
)

const day = 24 * 60 * 60 * 1000

func newHistory(t *rapid.T) *history {
	dir, err := os.MkdirTemp("", "firn-views-")
	if err != nil {
		t.Fatal(err)
	}
	h := &history{dir: dir, keys: make(map[string]keyed)}
	o := &h.options
	o.Manual = true
	o.Block.Codec = rapid.SampledFrom([]string{"deflate", "zstandard", "snappy", "null"}).Draw(t, "codec")
	if rapid.Bool().Draw(t, "cachesOff") {
		o.Cache.ReferenceBytes, o.Cache.BlockBytes, o.Cache.RawBytes = -1, -1, -1
	}
	o.Block.TargetBytes = rapid.SampledFrom([]int{1 << 10, 4 << 10, 96 << 10}).Draw(t, "block")
	o.Block.FileBytes = rapid.SampledFrom([]int64{64 << 10, 128 << 20}).Draw(t, "file")
	o.Hot.MemoryBytes = rapid.SampledFrom([]int64{1 << 10, 8 << 10, 64 << 20}).Draw(t, "memory")
	h.open(t)
	return h
}

func (h *history) open(t *rapid.T) {
	db, err := engine.Open(context.Background(), h.dir, h.options)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	h.db = db
}

func (h *history) close(t *rapid.T) {
	if h.rows != nil {
		h.rows.Close()
		h.rows = nil
	}
	if err := h.db.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func (h *history) batch(t *rapid.T) engine.Batch {
	b := engine.Batch{
		Table:   rapid.SampledFrom(tables).Draw(t, "table"),
		Dataset: rapid.SampledFrom(datasets).Draw(t, "dataset"),
	}
	// Few different times, so that ties are many; some days, negative ones too.
	base := rapid.SampledFrom([]int64{-3 * day, -1, 0, 1_700_000_000_000}).Draw(t, "base")
	n := rapid.IntRange(1, 40).Draw(t, "records")
	pad := rapid.SampledFrom([]int{0, 10, 300}).Draw(t, "pad")
	for range n {
		at := base + rapid.Int64Range(0, 6).Draw(t, "at")*rapid.SampledFrom([]int64{1, day / 3}).Draw(t, "step")
		h.serial++
		var extra string
		switch rapid.IntRange(0, 5).Draw(t, "shape") {
		case 1:
			extra = `,"x":null`
		case 2:
			extra = `,"x":"text","X":1.5`
		case 3:
			extra = `,"id.orig":[1,"a",{"b":[]}],"x":9007199254740993`
		case 4:
			extra = fmt.Sprintf(`,"dataset_id":%q,"table":"other"`, b.Dataset)
		case 5:
			extra = `,"deep":{"a":{"b":{"c":true}}},"x":0.1`
		}
		b.Records = append(b.Records, fmt.Appendf(nil, `{"timestamp":%d,"serial":%d,"pad":"%s"%s}`, at, h.serial, bytes.Repeat([]byte("p"), pad), extra))
	}
	return b
}

func (h *history) keep(b engine.Batch) {
	for _, r := range b.Records {
		var v struct{ Timestamp int64 }
		if err := json.Unmarshal(r, &v); err != nil {
			panic(err)
		}
		h.records = append(h.records, kept{b.Table, b.Dataset, v.Timestamp, string(r)})
	}
}

func (h *history) ingest(t *rapid.T) {
	b := h.batch(t)
	ack, err := h.db.Ingest(context.Background(), b)
	if err != nil || ack.Accepted != len(b.Records) || ack.Duplicate {
		t.Fatalf("ingest: %+v, %v", ack, err)
	}
	h.keep(b)
}

func (h *history) ingestKeyed(t *rapid.T) {
	key := fmt.Sprintf("key-%d", rapid.IntRange(0, 3).Draw(t, "key"))
	if known, ok := h.keys[key]; ok {
		ack, err := h.db.Ingest(context.Background(), known.batch)
		if err != nil || !ack.Duplicate || ack.Accepted != known.count {
			t.Fatalf("repeated key: %+v, %v", ack, err)
		}
		return
	}
	b := h.batch(t)
	b.IdempotencyKey = key
	ack, err := h.db.Ingest(context.Background(), b)
	if err != nil || ack.Duplicate {
		t.Fatalf("keyed ingest: %+v, %v", ack, err)
	}
	h.keys[key] = keyed{b, len(b.Records)}
	h.keep(b)
}

// refused sends a batch whose last record is wrong: nothing of it may be kept.
func (h *history) refused(t *rapid.T) {
	b := h.batch(t)
	bad := rapid.SampledFrom([]string{`{`, `[1]`, `{"a":1,"a":2}`, `{"timestamp":"yesterday"}`, "{\"a\":\"\xff\"}"}).Draw(t, "bad")
	b.Records = append(b.Records, []byte(bad))
	if _, err := h.db.Ingest(context.Background(), b); err == nil {
		t.Fatalf("%q was accepted", bad)
	}
}

func (h *history) archive(t *rapid.T) {
	if _, err := h.db.Archive(context.Background()); err != nil {
		t.Fatalf("archive: %v", err)
	}
}

func (h *history) restart(t *rapid.T) {
	h.close(t)
	h.open(t)
}

func (h *history) drawQuery(t *rapid.T) engine.Query {
	q := engine.Query{
		Table:      rapid.SampledFrom(tables).Draw(t, "table"),
		Dataset:    rapid.SampledFrom(datasets).Draw(t, "dataset"),
		Descending: rapid.Bool().Draw(t, "desc"),
	}
	if rapid.Bool().Draw(t, "bounded") {
		q.Bounded = true
		q.From = rapid.SampledFrom([]int64{-4 * day, -1, 0, 3, 1_700_000_000_002, 1_700_000_000_000 + day/3}).Draw(t, "from")
		q.To = q.From + rapid.SampledFrom([]int64{0, 2, day, 5 * day, 1_800_000_000_000}).Draw(t, "span")
	}
	return q
}

// want is what the oracle gives for a query.
func (h *history) want(q engine.Query) []kept {
	var list []kept
	for _, r := range h.records {
		if r.table == q.Table && r.dataset == q.Dataset && (!q.Bounded || r.time >= q.From && r.time <= q.To) {
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(a, b kept) int {
		c := 0
		switch {
		case a.time < b.time:
			c = -1
		case a.time > b.time:
			c = 1
		}
		if q.Descending {
			c = -c
		}
		return c
	})
	return list
}

func same(t *rapid.T, what string, got engine.Record, want kept) {
	if got.Time != want.time || !equalJSON(t, got.JSON, []byte(want.json)) {
		t.Fatalf("%s: got %d %s, want %d %s", what, got.Time, got.JSON, want.time, want.json)
	}
}

func equalJSON(t *rapid.T, a, b []byte) bool {
	return canonical(t, a) == canonical(t, b)
}

// canonical sorts keys and keeps numbers as they are spelled, of which these records have only
// ones that come back as they were.
func canonical(t *rapid.T, b []byte) string {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func (h *history) read(t *rapid.T) {
	q := h.drawQuery(t)
	want := h.want(q)
	i := 0
	for r, err := range h.db.Read(context.Background(), q) {
		if err != nil {
			t.Fatalf("read %+v: %v", q, err)
		}
		if i == len(want) {
			t.Fatalf("read %+v: more than %d records: %s", q, len(want), r.JSON)
		}
		same(t, fmt.Sprintf("read %+v: record %d", q, i), r, want[i])
		i++
	}
	if i != len(want) {
		t.Fatalf("read %+v: %d records, want %d", q, i, len(want))
	}
}

// longRead opens a read, or takes some steps of the one that is open: it must go on giving what was
// there when it began, each record once, whatever was archived since.
func (h *history) longRead(t *rapid.T) {
	if h.rows == nil {
		q := h.drawQuery(t)
		rows, err := h.db.Query(context.Background(), q)
		if err != nil {
			t.Fatalf("query: %v", err)
		}
		h.rows, h.expected, h.given = rows, h.want(q), 0
	}
	for range rapid.IntRange(0, 30).Draw(t, "steps") {
		if !h.rows.Next() {
			if err := h.rows.Err(); err != nil {
				t.Fatalf("long read: %v", err)
			}
			if h.given != len(h.expected) {
				t.Fatalf("long read: %d records, want %d", h.given, len(h.expected))
			}
			h.rows.Close()
			h.rows = nil
			return
		}
		if h.given == len(h.expected) {
			t.Fatalf("long read: more than %d records", len(h.expected))
		}
		same(t, "long read", h.rows.Record(), h.expected[h.given])
		h.given++
	}
}

// page reads the next page of a read that goes on over archives and restarts. Records that come
// meanwhile may or may not be seen; those that were there before the first page must be, in order.
func (h *history) page(t *rapid.T) {
	if !h.paging {
		h.query = h.drawQuery(t)
		h.pages, h.paging = nil, true
	}
	q := h.query
	q.Limit = rapid.IntRange(1, 25).Draw(t, "limit")
	rows, err := h.db.Query(context.Background(), q)
	if err != nil {
		t.Fatalf("page: %v", err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		r := rows.Record()
		h.pages = append(h.pages, kept{h.query.Table, h.query.Dataset, r.Time, canonical(t, r.JSON)})
		n++
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("page: %v", err)
	}
	if n > q.Limit {
		t.Fatalf("page of %d records, limit %d", n, q.Limit)
	}
	h.query.Cursor = rows.NextCursor()
	if h.query.Cursor != "" {
		if n != q.Limit {
			t.Fatalf("page of %d records with a next cursor, limit %d", n, q.Limit)
		}
		return
	}
	h.paging = false
	seen := make(map[string]bool)
	for i, r := range h.pages {
		if seen[r.json] {
			t.Fatalf("record twice in pages: %s", r.json)
		}
		seen[r.json] = true
		if i > 0 && (r.time < h.pages[i-1].time) != q.Descending && r.time != h.pages[i-1].time {
			t.Fatalf("pages out of order at %d", i)
		}
	}
}

// ocf reads a query as an Avro file and imports it into a database of its own, where it must read
// the same.
func (h *history) ocf(t *rapid.T) {
	q := h.drawQuery(t)
	want := h.want(q)
	rows, err := h.db.Query(context.Background(), q)
	if err != nil {
		t.Fatalf("query: %v", err)
	}
	defer rows.Close()
	var file bytes.Buffer
	if err := rows.WriteOCF(context.Background(), &file); err != nil {
		t.Fatalf("ocf of %+v: %v", q, err)
	}
	checkOCF(t, file.Bytes(), q, want)
}

func (h *history) stats(t *rapid.T) {
	counts := make(map[[2]string]uint64)
	for _, r := range h.records {
		counts[[2]string{r.table, r.dataset}]++
	}
	for row, err := range h.db.HotCold(context.Background()) {
		if err != nil {
			t.Fatalf("hot-cold: %v", err)
		}
		k := [2]string{row.Table, row.Dataset}
		if row.HotRecords+row.ColdRecords != counts[k] {
			t.Fatalf("%v: %d hot and %d cold, want %d in all", k, row.HotRecords, row.ColdRecords, counts[k])
		}
		delete(counts, k)
	}
	if len(counts) != 0 {
		t.Fatalf("datasets without a row: %v", counts)
	}
	infos, err := h.db.Tables(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		var n uint64
		for _, r := range h.records {
			if r.table == info.Name {
				n++
			}
		}
		if info.Accepted != n || info.HotRecords+info.ColdRecords != n {
			t.Fatalf("table %+v, want %d accepted", info, n)
		}
	}
}

func TestViews(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t)
		defer os.RemoveAll(h.dir)
		defer h.close(t)
		t.Repeat(map[string]func(*rapid.T){
			"ingest":   h.ingest,
			"ingest2":  h.ingest,
			"keyed":    h.ingestKeyed,
			"refused":  h.refused,
			"archive":  h.archive,
			"restart":  h.restart,
			"read":     h.read,
			"read2":    h.read,
			"longRead": h.longRead,
			"page":     h.page,
			"ocf":      h.ocf,
			"stats":    h.stats,
		})
		h.read(t)
	})
}
