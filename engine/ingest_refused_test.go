package engine

import (
	"context"
	"errors"
	"testing"
)

// TestIngestGivenUp gives up calls that wait: nothing of them is kept, their keys are free again, and
// the database goes on.
func TestIngestGivenUp(t *testing.T) {
	db := openTest(t, t.TempDir(), nil)
	defer db.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := Batch{Table: "a", Dataset: "u1", IdempotencyKey: "k", Records: [][]byte{[]byte(`{"timestamp":1}`)}}
	if _, err := db.Ingest(ctx, b); !errors.Is(err, context.Canceled) || errors.Is(err, ErrReadOnly) {
		t.Errorf("given up: %v, want the error of the context", err)
	}
	if r := db.Ready(); !r.Ready {
		t.Errorf("after a caller gave up: %+v", r)
	}
	if ack, err := db.Ingest(context.Background(), b); err != nil || ack.Duplicate || ack.Accepted != 1 {
		t.Errorf("again: %+v, %v", ack, err)
	}
	if got := readAll(t, db, Query{Table: "a", Dataset: "u1"}); got != "hot 1 {\"timestamp\":1}\n" {
		t.Errorf("read %q", got)
	}
}
