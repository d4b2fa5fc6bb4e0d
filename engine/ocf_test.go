package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// TestOCFCursors cuts answers at every place a limit and a cursor can cut them, over blocks that can
// be spliced and blocks that cannot: as an Avro file they hold as many records as otherwise, and
// lead to the same next cursor.
func TestOCFCursors(t *testing.T) {
	db := openTest(t, t.TempDir(), func(o *Options) { o.Block.TargetBytes = 1 << 10 })
	defer db.Close()
	add := func(from, to int) {
		b := Batch{Table: "a", Dataset: "u"}
		for i := from; i < to; i++ {
			b.Records = append(b.Records, fmt.Appendf(nil, `{"timestamp":%d,"serial":%d,"pad":"%s"}`, i/3, i, strings.Repeat("x", 100)))
		}
		if _, err := db.Ingest(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	add(0, 60)
	archive(t, db)
	add(60, 90)
	add(30, 40) // overlaps what is cold
	archive(t, db)
	add(90, 100)
	for _, desc := range []bool{false, true} {
		base := Query{Table: "a", Dataset: "u", Descending: desc}
		settled := base
		if err := settled.settle(); err != nil {
			t.Fatal(err)
		}
		for _, limit := range []int{0, 1, 2, 7, 8, 9, 10, 25, 60} {
			for at := int64(0); at < 34; at++ {
				for given := range uint64(3) {
					q := base
					q.Limit, q.Cursor = limit, cursor{at, given}.encode(&settled)
					one, err := db.Query(context.Background(), q)
					if err != nil {
						t.Fatal(err)
					}
					n := uint64(0)
					for one.Next() {
						n++
					}
					other, err := db.Query(context.Background(), q)
					if err != nil {
						t.Fatal(err)
					}
					var file bytes.Buffer
					if err := other.WriteOCF(context.Background(), &file); err != nil {
						t.Fatal(err)
					}
					hot, cold := other.Counts()
					if inFile := countOCF(t, file.Bytes()); inFile != n || hot+cold != n || other.NextCursor() != one.NextCursor() {
						t.Errorf("descending %v, limit %d from %d after %d: %d records in the file, %d counted, want %d; cursor %q, want %q",
							desc, q.Limit, at, given, inFile, hot+cold, n, other.NextCursor(), one.NextCursor())
					}
					one.Close()
					other.Close()
					if t.Failed() {
						return
					}
				}
			}
		}
	}
}

// countOCF adds up the record counts of a file's blocks.
func countOCF(t *testing.T, file []byte) (n uint64) {
	t.Helper()
	b, ok := bytes.CutPrefix(file, []byte("Obj\x01"))
	long := func() int64 {
		v, size := binary.Varint(b)
		if size <= 0 {
			t.Fatal("the file breaks off")
		}
		b = b[size:]
		return v
	}
	skip := func(n int64) {
		if n < 0 || n > int64(len(b)) {
			t.Fatal("the file breaks off")
		}
		b = b[n:]
	}
	for pairs := long(); ok && pairs > 0; pairs = long() {
		for range 2 * pairs {
			skip(long())
		}
	}
	skip(16)
	for len(b) > 0 {
		n += uint64(long())
		skip(long())
		skip(16)
	}
	return n
}
