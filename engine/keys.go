package engine

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/firndb/firn/engine/hot"
)

const maxKeyBytes = 256

// keyTable admits idempotency keys. A key lives in three places one after the other: in flight
// while its batch is on the way to the disk, pending while the batch is in a memory table (its
// durable copy is the batch's frame in the log), and in keys.db.
type keyTable struct {
	open    func() (*hot.Keys, error)
	durable *hot.Keys  // exchanged under mu by who holds writing
	writing sync.Mutex // held by whoever writes keys.db
	broken  bool       // a commit of durable failed: it must be opened again; belongs to writing

	mu       sync.Mutex
	inFlight map[string]*keyFlight
	pending  map[string]hot.KeyEntry
}

// keyFlight is one call under way; those with the same key wait for done.
type keyFlight struct {
	hash [32]byte
	done chan struct{}
}

// admit decides what a call with a key is: answered already (known), or to be carried out, and
// then landed with land. It waits while another call with the same key is under way.
func (k *keyTable) admit(ctx context.Context, key string, hash [32]byte, now int64) (ack Ack, known bool, err error) {
	if len(key) > maxKeyBytes {
		return Ack{}, false, invalid("idempotency key has %d bytes, more than %d", len(key), maxKeyBytes)
	}
	for {
		k.mu.Lock()
		flight, waits := k.inFlight[key]
		if !waits {
			break
		}
		k.mu.Unlock()
		if flight.hash != hash {
			return Ack{}, false, ErrIdempotencyMismatch
		}
		select {
		case <-flight.done: // landed: pending if it was kept, else ours to try
		case <-ctx.Done():
			return Ack{}, false, ctx.Err()
		}
	}
	defer k.mu.Unlock()
	entry, ok := k.pending[key]
	if !ok {
		if entry, ok, err = k.durable.Get([]byte(key), now); err != nil {
			return Ack{}, false, err
		}
	}
	if ok {
		if entry.Hash != hash {
			return Ack{}, false, ErrIdempotencyMismatch
		}
		return Ack{Accepted: int(entry.Accepted), Duplicate: true}, true, nil
	}
	if k.durable.Full() {
		return Ack{}, false, fmt.Errorf("%w: idempotency keys are at their byte limit", ErrBackpressure)
	}
	k.inFlight[key] = &keyFlight{hash: hash, done: make(chan struct{})}
	return Ack{}, false, nil
}

// keep remembers a key whose batch is durable.
func (k *keyTable) keep(e hot.KeyEntry) {
	k.mu.Lock()
	k.pending[string(e.Key)] = e
	k.mu.Unlock()
}

// land ends a call that admit let through.
func (k *keyTable) land(key string) {
	k.mu.Lock()
	flight := k.inFlight[key]
	delete(k.inFlight, key)
	k.mu.Unlock()
	close(flight.done)
}

// settle makes keys durable on their own; their frames may then leave the log.
func (k *keyTable) settle(entries []hot.KeyEntry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := k.write(func(d *hot.Keys) error { return d.Put(entries) }); err != nil {
		return err
	}
	k.mu.Lock()
	for _, e := range entries {
		delete(k.pending, string(e.Key))
	}
	k.mu.Unlock()
	return nil
}

// expire forgets keys that are too old.
func (k *keyTable) expire(now int64) error {
	return k.write(func(d *hot.Keys) error {
		_, err := d.Expire(now)
		return err
	})
}

// write changes keys.db. A failed commit, of a full disk say, leaves a handle that is of no more use:
// the next write opens the file again.
func (k *keyTable) write(change func(*hot.Keys) error) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	if k.broken {
		k.mu.Lock() // nobody looks a key up meanwhile
		_ = k.durable.Close()
		fresh, err := k.open()
		if err == nil {
			k.durable = fresh
		}
		k.mu.Unlock()
		if err != nil {
			return err
		}
		k.broken = false
	}
	err := change(k.durable)
	var unknown *hot.UnknownOutcomeError
	k.broken = errors.As(err, &unknown)
	return err
}

// hashBatches is the content of a call for which its caller gave no hash.
func hashBatches(batches []Batch) [32]byte {
	h := sha256.New()
	var n [8]byte
	part := func(b []byte) {
		binary.LittleEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	for i := range batches {
		b := &batches[i]
		for _, s := range []string{b.Dataset, b.Table, b.TimeField, b.DatasetField, b.TableField} {
			part([]byte(s))
		}
		binary.LittleEndian.PutUint64(n[:], uint64(len(b.Records)))
		h.Write(n[:])
		for _, r := range b.Records {
			part(r)
		}
	}
	return [32]byte(h.Sum(nil))
}
