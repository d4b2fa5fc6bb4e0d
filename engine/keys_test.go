package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/firndb/firn/engine/hot"
)

// TestKeysOutcomeUnknown lets a commit of keys.db fail, as a full disk does: records and keys stay in
// memory, and the next apply goes on with the file opened again.
func TestKeysOutcomeUnknown(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir, nil)
	defer func() { db.Close() }()
	keyed := Batch{Table: "a", Dataset: "u1", IdempotencyKey: "k", Records: [][]byte{[]byte(`{"timestamp":1}`)}}
	if _, err := db.Ingest(context.Background(), keyed); err != nil {
		t.Fatal(err)
	}
	old := db.keys.durable
	err := db.keys.write(func(*hot.Keys) error { return &hot.UnknownOutcomeError{File: keysName, Err: errStruck} })
	if !errors.Is(err, errStruck) {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil { // what a failed commit leaves is as good as closed
		t.Fatal(err)
	}
	again := func(when string) {
		t.Helper()
		if ack, err := db.Ingest(context.Background(), keyed); err != nil || !ack.Duplicate {
			t.Errorf("%s, the same key: %+v, %v", when, ack, err)
		}
	}
	again("after a failed commit")
	archive(t, db)
	again("after the archive")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir, nil)
	again("after a restart")
	if got := readAll(t, db, Query{Table: "a", Dataset: "u1"}); got != "cold 1 {\"timestamp\":1}\n" {
		t.Errorf("read %q", got)
	}
}

// TestKeysExpire lets keys grow old in a database that does nothing by itself.
func TestKeysExpire(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	db := openTest(t, t.TempDir(), func(o *Options) { o.now = func() time.Time { return now } })
	defer db.Close()
	b := Batch{Table: "a", Dataset: "u1", IdempotencyKey: "k", Records: [][]byte{[]byte(`{"timestamp":1}`)}}
	for i, c := range []struct {
		after     time.Duration
		duplicate bool
	}{{0, false}, {71 * time.Hour, true}, {2 * time.Hour, false}, {time.Hour, true}} {
		now = now.Add(c.after)
		ack, err := db.Ingest(context.Background(), b)
		if err != nil || ack.Duplicate != c.duplicate || ack.Accepted != 1 {
			t.Errorf("call %d: %+v, %v, want duplicate %v", i, ack, err, c.duplicate)
		}
		archive(t, db)
	}
}
