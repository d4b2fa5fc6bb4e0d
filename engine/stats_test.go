package engine

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestFiles lists more files than one page holds, and lets the caller archive, read files and look at
// tables between two steps: nothing it holds can wait for what it does.
func TestFiles(t *testing.T) {
	db := openTest(t, t.TempDir(), nil)
	defer db.Close()
	const days = filesPerPage + 30
	b := Batch{Table: "a", Dataset: "u"}
	for day := range days {
		b.Records = append(b.Records, fmt.Appendf(nil, `{"timestamp":%d}`, int64(day)*24*time.Hour.Milliseconds()))
	}
	if _, err := db.Ingest(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	archive(t, db)
	var paths []string
	for f, err := range db.Files(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if len(paths)%40 == 0 {
			ingest(t, db, "a", "u", `{"timestamp":-1}`)
			archive(t, db)
			if err := db.ReadFile(context.Background(), f.Path, 0, make([]byte, 4)); err != nil {
				t.Error(err)
			}
		}
		paths = append(paths, f.Path)
	}
	if len(paths) != days || !slices.IsSorted(paths) || len(slices.Compact(paths)) != days {
		t.Errorf("%d files, sorted %v", len(paths), slices.IsSorted(paths))
	}
	n := 0
	for range db.Files(context.Background()) {
		n++
		break
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range db.Files(ctx) {
		if err == nil {
			n++
		}
	}
	if n > 2 {
		t.Errorf("%d files after giving up", n)
	}
}
