package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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

// TestKeyMismatch uses a key again with another content, in every place a key can be in.
func TestKeyMismatch(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir, nil)
	defer func() { db.Close() }()
	b := Batch{Table: "a", Dataset: "u", IdempotencyKey: "k", Records: [][]byte{[]byte(`{"timestamp":1}`), []byte(`{"timestamp":2}`)}}
	others := []Batch{b, b, b, b, b}
	others[0].Records = b.Records[:1]
	others[1].Records = [][]byte{b.Records[1], b.Records[0]}
	others[2].Table = "b"
	others[3].Dataset = "v"
	others[4].TimeField = "timestamp"
	check := func(when string) {
		t.Helper()
		if ack, err := db.Ingest(context.Background(), b); err != nil || !ack.Duplicate || ack.Accepted != 2 {
			t.Errorf("%s: %+v, %v", when, ack, err)
		}
		for i, other := range others {
			if _, err := db.Ingest(context.Background(), other); !errors.Is(err, ErrIdempotencyMismatch) {
				t.Errorf("%s, content %d: %v", when, i, err)
			}
		}
		if got := readJSON(t, db, Query{Table: "a", Dataset: "u"}); got != "{\"timestamp\":1}\n{\"timestamp\":2}\n" {
			t.Errorf("%s: %s", when, got)
		}
	}
	if ack, err := db.Ingest(context.Background(), b); err != nil || ack.Duplicate {
		t.Fatalf("%+v, %v", ack, err)
	}
	check("in memory")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir, nil)
	check("replayed")
	db.freeze()
	if err := db.applyFrozen(); err != nil {
		t.Fatal(err)
	}
	check("applied")
	archive(t, db)
	check("archived")
	b.IdempotencyKey = strings.Repeat("k", maxKeyBytes+1)
	if _, err := db.Ingest(context.Background(), b); !errors.Is(err, ErrInvalid) {
		t.Errorf("a key too long: %v", err)
	}
	// A refused batch leaves its key free.
	b.IdempotencyKey, b.Dataset = "refused", "w"
	bad := b
	bad.Records = [][]byte{[]byte(`{"timestamp":1}`), []byte(`{`)}
	if _, err := db.Ingest(context.Background(), bad); err == nil {
		t.Error("half an object was taken")
	}
	if ack, err := db.Ingest(context.Background(), b); err != nil || ack.Duplicate {
		t.Errorf("after a refusal: %+v, %v", ack, err)
	}
}

// TestKeyInFlight lets calls with one key meet: all but the first wait, one of another content does
// not, and when the first one fails the next has its turn.
func TestKeyInFlight(t *testing.T) {
	db := openTest(t, t.TempDir(), nil)
	defer db.Close()
	k := &db.keys
	hash := [32]byte{1}
	admit := func() (Ack, bool, error) { return k.admit(context.Background(), "k", hash, 0) }
	if _, known, err := admit(); known || err != nil {
		t.Fatal(known, err)
	}
	if _, _, err := k.admit(context.Background(), "k", [32]byte{2}, 0); !errors.Is(err, ErrIdempotencyMismatch) {
		t.Errorf("another content: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := k.admit(ctx, "k", hash, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	type result struct {
		ack   Ack
		known bool
		err   error
	}
	const calls = 5
	results := make(chan result, calls)
	for range calls {
		go func() {
			ack, known, err := admit()
			results <- result{ack, known, err}
		}()
	}
	k.land("k") // the first one failed: exactly one of the others has its turn
	if r := <-results; r.known || r.err != nil {
		t.Errorf("the next: %+v", r)
	}
	select {
	case r := <-results:
		t.Errorf("one more at the same time: %+v", r)
	default:
	}
	k.keep(hot.KeyEntry{Key: []byte("k"), Hash: hash, Accepted: 3})
	k.land("k")
	for range calls - 1 {
		if r := <-results; !r.known || r.err != nil || r.ack != (Ack{Accepted: 3, Duplicate: true}) {
			t.Errorf("a repeat: %+v", r)
		}
	}
}

// TestKeyStorm sends the same batches from many callers at once: each is kept once.
func TestKeyStorm(t *testing.T) {
	db := openTest(t, t.TempDir(), nil)
	defer db.Close()
	const callers, keys = 8, 10
	var wg sync.WaitGroup
	var kept atomic.Int64
	for range callers {
		wg.Go(func() {
			for n := range keys {
				b := Batch{Table: "a", Dataset: "u", IdempotencyKey: fmt.Sprint(n), Records: [][]byte{fmt.Appendf(nil, `{"timestamp":%d}`, n)}}
				ack, err := db.Ingest(context.Background(), b)
				if err != nil || ack.Accepted != 1 {
					t.Errorf("%+v, %v", ack, err)
				}
				if !ack.Duplicate {
					kept.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got := strings.Count(readJSON(t, db, Query{Table: "a", Dataset: "u"}), "\n"); got != keys || kept.Load() != keys {
		t.Errorf("%d records, %d accepted as new, want %d", got, kept.Load(), keys)
	}
}
