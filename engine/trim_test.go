package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestTrim applies a memory table while the next one has filled some segments of the log: those stay,
// and a kill then loses nothing; the older ones go.
func TestTrim(t *testing.T) {
	dir := t.TempDir()
	small := func(o *Options) {
		o.Manual = false
		o.Archive.Schedule = scheduleOff
		o.Hot.MemoryAge = time.Hour
		o.WAL.SegmentBytes = 64 << 10
	}
	db := openTest(t, dir, small)
	defer db.Close()
	q := Query{Table: "a", Dataset: "u"}
	var want strings.Builder
	add := func() {
		for range 10 {
			r := fmt.Sprintf(`{"timestamp":%d,"pad":"%s"}`, want.Len(), strings.Repeat("x", 30<<10))
			ingest(t, db, q.Table, q.Dataset, r)
			want.WriteString(r + "\n")
		}
	}
	add()
	db.apply.Lock()
	db.freeze()
	add()
	full := db.log.Stats().DiskBytes
	db.apply.Unlock()
	for applied := false; !applied; {
		db.mu.Lock()
		applied = len(db.mu.frozen) == 0
		changed := db.mu.changed
		db.mu.Unlock()
		if !applied {
			<-changed
		}
	}
	db.apply.Lock() // the applier has trimmed
	now := db.log.Stats().DiskBytes
	killed := copyFolder(t, dir)
	db.apply.Unlock()
	if now >= full {
		t.Errorf("the log has %d bytes, %d before the apply", now, full)
	}
	after := openTest(t, killed, small)
	defer after.Close()
	if got := readJSON(t, after, q); got != want.String() {
		t.Errorf("%d records after a kill, want 20", strings.Count(got, "\n"))
	}
	if r := after.Ready(); !r.Ready {
		t.Errorf("%+v", r)
	}
}
