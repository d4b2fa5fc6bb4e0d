package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// TestCachedBlocksLater reads one record of a dataset whose blocks are all cached as they are stored:
// only what is asked for is decoded.
func TestCachedBlocksLater(t *testing.T) {
	db := openTest(t, t.TempDir(), func(o *Options) {
		o.Block.TargetBytes = 16 << 10
		o.Cache.RawBytes = -1
	})
	defer db.Close()
	rng := rand.New(rand.NewPCG(3, 4))
	b := Batch{Table: "a", Dataset: "u"}
	const records, size = 4000, 2 << 10
	for i := range records {
		pad := make([]byte, size)
		for j := range pad {
			pad[j] = byte('a' + rng.IntN(16))
		}
		b.Records = append(b.Records, fmt.Appendf(nil, `{"timestamp":%d,"pad":"%s"}`, i, pad))
	}
	if _, err := db.Ingest(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	archive(t, db)
	q := Query{Table: "a", Dataset: "u"}
	for range 20 { // the cache takes what it likes
		readJSON(t, db, q)
	}
	plan, err := db.Explain(context.Background(), q)
	if err != nil || plan.Cold.CachedBlocks < plan.Cold.Blocks*9/10 {
		t.Fatalf("%d of %d blocks are cached, %v", plan.Cold.CachedBlocks, plan.Cold.Blocks, err)
	}
	for _, desc := range []bool{false, true} {
		q.Descending, q.Limit = desc, 1
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := readJSON(t, db, q)
		runtime.ReadMemStats(&after)
		if len(got) < size {
			t.Errorf("read %d bytes", len(got))
		}
		if spent := after.TotalAlloc - before.TotalAlloc; spent > records*size/8 {
			t.Errorf("descending %v: one of %d MB took %d KB of memory", desc, records*size>>20, spent>>10)
		}
	}
}
