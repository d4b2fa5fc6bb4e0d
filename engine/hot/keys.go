package hot

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// KeysOptions says how idempotency keys are kept. The zero value is the default.
type KeysOptions struct {
	// TTL is how long a key is known. Default 72 h.
	TTL time.Duration
	// MaxBytes is how much of the file may be in use before Full says so.
	// Default 1 GiB. Put goes on above it: what it is given was acknowledged.
	MaxBytes int64
	// Timeout is how long opening waits for the lock of the file. Default 1 s.
	Timeout time.Duration
	// NoSync leaves out every fsync; for tests.
	NoSync bool
}

const (
	defaultKeysTTL   = 72 * time.Hour
	defaultKeysBytes = 1 << 30
	keysMmap         = 64 << 20

	// MaxKeyBytes is the longest idempotency key, with whatever scope the
	// engine puts before it.
	MaxKeyBytes = 4096

	millisPerHour = 3_600_000
)

// KeyEntry is what is known of one idempotency key.
type KeyEntry struct {
	Key      []byte
	Hash     [32]byte // of the request
	Accepted uint64   // records, for the answer to a repeat
	At       int64    // milliseconds; when it was accepted
}

// Keys is keys.db: the idempotency keys of batches that are in a generation or
// archived. Younger ones are in the write-ahead log with their batch. Its methods
// may be called by any number of goroutines.
//
// Keys lie in a bucket an hour, so that forgetting is dropping whole buckets,
// whose pages are used again, and so that a commit touches the pages of the last
// hour only. Bucket names are the hour since 1970, 8 bytes big endian with the
// sign bit flipped.
//
//	key    the key as given
//	value   0      32         40   48    52
//	       +------+----------+----+-----+
//	       | hash | accepted | at | CRC |
//	       +------+----------+----+-----+
//
// Integers are little endian; the CRC-32C is over key and value.
type Keys struct {
	path  string
	db    *bbolt.DB
	o     KeysOptions
	write sync.Mutex
	used  atomic.Int64

	mu     sync.Mutex
	closed bool
	failed error

	commit func(*bbolt.Tx) error // a seam: how tests make commits fail
}

const (
	keyRowLen      = 52
	keysFormatText = "firn keys 1\n"
)

var bucketKeysMeta = []byte("meta") // 4 bytes, so it is no hour

// OpenKeys opens keys.db, or makes it, durably.
//
// Errors: *CorruptError, ErrVersion, ErrLocked, or the system's.
func OpenKeys(path string, o KeysOptions) (*Keys, error) {
	if o.TTL == 0 {
		o.TTL = defaultKeysTTL
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultKeysBytes
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.TTL < 0 || o.MaxBytes < 0 {
		return nil, fmt.Errorf("hot: keys: TTL is %v, MaxBytes is %d, want more than 0", o.TTL, o.MaxBytes)
	}
	// There is no MaxSize: a key that cannot be written would hold up its batch.
	bo := boltOptions{timeout: o.Timeout, mmap: keysMmap, noSync: o.NoSync, stats: true}
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		err := createBolt(path, bo, func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket(bucketKeysMeta)
			if err != nil {
				return err
			}
			return b.Put(keyFormat, []byte(keysFormatText))
		})
		if err != nil {
			return nil, err
		}
	}
	if err := notCreated(path); err != nil {
		return nil, &CorruptError{File: path, Reason: "idempotency keys are gone", Err: err}
	}
	db, err := openBolt(path, bo)
	if err != nil {
		return nil, err
	}
	k := &Keys{path: path, db: db, o: o, commit: (*bbolt.Tx).Commit}
	err = k.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketKeysMeta)
		if b == nil {
			return &CorruptError{File: path, Key: bucketKeysMeta, Reason: "bucket is missing"}
		}
		if f := b.Get(keyFormat); string(f) != keysFormatText {
			return fmt.Errorf("%w: %s has %q, want %q", ErrVersion, path, f, keysFormatText)
		}
		return nil
	})
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	k.measure()
	return k, nil
}

func (k *Keys) view(fn func(tx *bbolt.Tx) error) error {
	k.mu.Lock()
	closed := k.closed
	k.mu.Unlock()
	if closed {
		return ErrClosed
	}
	tx, err := k.db.Begin(false)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed // while this call was on its way
	}
	if err != nil {
		return err
	}
	defer func() { _ = protect(k.path, func(*guard) error { return tx.Rollback() }) }()
	return protect(k.path, func(*guard) error { return fn(tx) })
}

// update is Generation.update for keys.db.
func (k *Keys) update(fn func(tx *bbolt.Tx) error) error {
	k.mu.Lock()
	err := k.failed
	if k.closed {
		err = ErrClosed
	}
	k.mu.Unlock()
	if err != nil {
		return err
	}
	tx, err := k.db.Begin(true)
	if err != nil {
		return err
	}
	defer func() { _ = protect(k.path, func(*guard) error { return tx.Rollback() }) }()
	committing := false
	err = protect(k.path, func(*guard) error {
		if err := fn(tx); err != nil {
			return err
		}
		committing = true
		return k.commit(tx)
	})
	if err != nil && committing {
		err = commitError(k.path, err)
		k.mu.Lock()
		k.failed = err
		k.mu.Unlock()
	}
	return err
}

// measure notes how much of the file is in use: what lies below its high-water
// mark and is not free.
func (k *Keys) measure() {
	tx, err := k.db.Begin(false)
	if err != nil {
		return
	}
	size := tx.Size()
	_ = tx.Rollback()
	st := k.db.Stats()
	k.used.Store(size - int64(st.FreePageN+st.PendingPageN)*pageSize)
}

// hourOf is the bucket of a time; it never falls as ms grows.
func hourOf(ms int64) int64 {
	h := ms / millisPerHour
	if ms%millisPerHour < 0 {
		h--
	}
	return h
}

func (e *KeyEntry) row() []byte {
	row := make([]byte, 0, keyRowLen)
	row = append(row, e.Hash[:]...)
	row = binary.LittleEndian.AppendUint64(row, e.Accepted)
	row = binary.LittleEndian.AppendUint64(row, uint64(e.At))
	return appendCRC(row, e.Key)
}

func parseKeyRow(key, row []byte) (e KeyEntry, err error) {
	f, err := checkCRC(key, row)
	if err != nil {
		return e, err
	}
	if len(row) != keyRowLen {
		return e, errRowShort
	}
	e.Key = bytes.Clone(key)
	copy(e.Hash[:], f)
	e.Accepted = binary.LittleEndian.Uint64(f[32:])
	e.At = int64(binary.LittleEndian.Uint64(f[40:]))
	return e, nil
}

// Put keeps entries, durably when it returns. Putting the same ones again changes
// nothing, so it may be repeated after any error. It keeps none of the slices.
//
// Errors: ErrKeyTooLarge before anything is written; *UnknownOutcomeError, after
// which some may be kept, and nothing more is until the file is opened again;
// ErrClosed.
func (k *Keys) Put(entries []KeyEntry) error {
	order := make([]*KeyEntry, len(entries))
	for i := range entries {
		if n := len(entries[i].Key); n == 0 || n > MaxKeyBytes {
			return fmt.Errorf("%w: %d bytes, at most %d", ErrKeyTooLarge, n, MaxKeyBytes)
		}
		order[i] = &entries[i]
	}
	// In order of hour and key, so that each page is touched once. Stable, so
	// that of two entries of one key the later stays.
	slices.SortStableFunc(order, func(a, b *KeyEntry) int {
		return cmp.Or(cmp.Compare(hourOf(a.At), hourOf(b.At)), bytes.Compare(a.Key, b.Key))
	})
	k.write.Lock()
	defer k.write.Unlock()
	for part := range slices.Chunk(order, txKeys) {
		if err := k.update(func(tx *bbolt.Tx) error { return putKeys(tx, part) }); err != nil {
			return err
		}
	}
	if len(order) == 0 {
		return nil
	}
	err := k.update(noChange) // see Generation.settle
	k.measure()
	return err
}

func putKeys(tx *bbolt.Tx, part []*KeyEntry) error {
	var bucket *bbolt.Bucket
	var hour int64
	for _, e := range part {
		if h := hourOf(e.At); bucket == nil || h != hour {
			var err error
			if bucket, err = tx.CreateBucketIfNotExists(AppendKeyTime(nil, h)); err != nil {
				return err
			}
			hour = h
		}
		if err := bucket.Put(e.Key, e.row()); err != nil {
			return err
		}
	}
	return nil
}

// Get returns what is known of a key, false when it is unknown or older than the
// TTL at now, a time in milliseconds. The entry is the caller's. A damaged entry
// is a *CorruptError: it must not be taken for unknown, or its batch is doubled.
func (k *Keys) Get(key []byte, now int64) (e KeyEntry, found bool, err error) {
	if n := len(key); n == 0 || n > MaxKeyBytes {
		return e, false, fmt.Errorf("%w: %d bytes, at most %d", ErrKeyTooLarge, n, MaxKeyBytes)
	}
	err = k.view(func(tx *bbolt.Tx) error {
		oldest := hourOf(now - k.o.TTL.Milliseconds())
		c := tx.Cursor()
		// The newest hour first: a key used again after its time has two entries.
		for name, v := c.Last(); name != nil; name, v = c.Prev() {
			hour, ok := parseHour(name, v)
			if !ok {
				continue
			}
			if hour < oldest {
				return nil
			}
			row := tx.Bucket(name).Get(key)
			if row == nil {
				continue
			}
			if e, err = parseKeyRow(key, row); err != nil {
				return &CorruptError{File: k.path, Key: bytes.Clone(key), Reason: "idempotency key", Err: err}
			}
			if found = !k.expired(e.At, now); !found {
				e = KeyEntry{}
			}
			return nil
		}
		return nil
	})
	return e, found, err
}

func (k *Keys) expired(at, now int64) bool { return at <= now-k.o.TTL.Milliseconds() }

// parseHour reads a bucket's name; false for what is no hour.
func parseHour(name, value []byte) (int64, bool) {
	if len(name) != 8 || value != nil {
		return 0, false
	}
	hour, _, err := CutKeyTime(name)
	return hour, err == nil
}

// Expire drops the hours all of whose keys are older than the TTL at now, a time
// in milliseconds, and returns how many. It returns as Put does.
func (k *Keys) Expire(now int64) (hours int, err error) {
	k.write.Lock()
	defer k.write.Unlock()
	var names [][]byte
	err = k.view(func(tx *bbolt.Tx) error {
		c := tx.Cursor()
		for name, v := c.First(); name != nil; name, v = c.Next() {
			if hour, ok := parseHour(name, v); ok && k.expired((hour+1)*millisPerHour-1, now) {
				names = append(names, bytes.Clone(name))
			}
		}
		return nil
	})
	for _, name := range names {
		if err == nil {
			err = k.update(func(tx *bbolt.Tx) error { return tx.DeleteBucket(name) })
		}
		if err != nil {
			break
		}
		hours++
	}
	if hours > 0 {
		k.measure()
	}
	return hours, err
}

// Full says that the byte limit is reached: no keyed batch should be accepted
// until Expire has made room.
func (k *Keys) Full() bool { return k.used.Load() >= k.o.MaxBytes }

// Bytes is how much of the file is in use.
func (k *Keys) Bytes() int64 { return k.used.Load() }

// Close waits for what is under way and closes the file. Closing twice does nothing.
func (k *Keys) Close() error {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.write.Lock()
	defer k.write.Unlock()
	return k.db.Close()
}
