package hot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

func openKeys(t testing.TB, path string, o KeysOptions) *Keys {
	t.Helper()
	o.NoSync = true
	k, err := OpenKeys(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func keyEntry(n uint64, at int64) KeyEntry {
	e := KeyEntry{Key: fmt.Appendf(nil, "scope\x00key-%d", n), Accepted: n, At: at}
	binary.LittleEndian.PutUint64(e.Hash[5:], n)
	return e
}

func TestKeysPutAndGet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	k := openKeys(t, path, KeysOptions{})
	const now = 1_700_000_000_000
	var entries []KeyEntry
	for n := range uint64(300) {
		entries = append(entries, keyEntry(n, now-int64(n)*millisPerHour/2))
	}
	for range 2 { // putting again changes nothing
		if err := k.Put(entries); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Put(nil); err != nil {
		t.Fatal(err)
	}
	check := func(k *Keys) {
		t.Helper()
		for _, e := range entries {
			got, found, err := k.Get(e.Key, now)
			if err != nil {
				t.Fatal(err)
			}
			young := e.At > now-72*millisPerHour
			if found != young {
				t.Fatalf("key of %d is found: %v", (now-e.At)/millisPerHour, found)
			}
			if found && (!bytes.Equal(got.Key, e.Key) || got.Hash != e.Hash || got.Accepted != e.Accepted || got.At != e.At) {
				t.Fatalf("got %+v, want %+v", got, e)
			}
			if !found && got.Key != nil {
				t.Fatalf("an expired key gives %+v", got)
			}
		}
		if _, found, err := k.Get([]byte("nobody's"), now); found || err != nil {
			t.Fatalf("unknown key: %v, %v", found, err)
		}
		if _, found, err := k.Get([]byte("scope"), now); found || err != nil {
			t.Fatalf("beginning of a key: %v, %v", found, err)
		}
	}
	check(k)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Get(entries[0].Key, now); !errors.Is(err, ErrClosed) {
		t.Fatalf("Get after Close: %v", err)
	}
	if err := k.Put(entries); !errors.Is(err, ErrClosed) {
		t.Fatalf("Put after Close: %v", err)
	}
	if _, err := k.Expire(now); !errors.Is(err, ErrClosed) {
		t.Fatalf("Expire after Close: %v", err)
	}
	k = openKeys(t, path, KeysOptions{})
	check(k)

	// 300 keys over 150 hours: whole hours older than 72 h go, no key that still counts.
	hours, err := k.Expire(now)
	if err != nil || hours < 76 || hours > 78 {
		t.Fatalf("%d hours expired, %v", hours, err)
	}
	check(k)
	if hours, err = k.Expire(now); err != nil || hours != 0 {
		t.Fatalf("%d hours expired again, %v", hours, err)
	}
	if hours, err = k.Expire(now + 73*millisPerHour); err != nil || hours < 70 {
		t.Fatalf("%d hours expired in the end, %v", hours, err)
	}
	if _, found, err := k.Get(entries[0].Key, now); found || err != nil {
		t.Fatalf("a dropped key: %v, %v", found, err)
	}
}

// A key used again after its time answers with the newer use; within its time the
// entry put last counts.
func TestKeysUsedAgain(t *testing.T) {
	k := openKeys(t, filepath.Join(t.TempDir(), "keys.db"), KeysOptions{TTL: time.Hour})
	const now = -5 * millisPerHour // before 1970 is a time like any other
	old, young := keyEntry(1, now-2*millisPerHour), keyEntry(1, now-1)
	young.Accepted = 9
	if err := k.Put([]KeyEntry{young, old}); err != nil {
		t.Fatal(err)
	}
	if e, found, err := k.Get(old.Key, now); err != nil || !found || e.Accepted != 9 {
		t.Fatalf("%+v, %v, %v", e, found, err)
	}
	if e, found, err := k.Get(old.Key, now+millisPerHour-2); err != nil || !found {
		t.Fatalf("just within its time: %+v, %v, %v", e, found, err)
	}
	if e, found, err := k.Get(old.Key, now+millisPerHour-1); err != nil || found {
		t.Fatalf("just behind its time: %+v, %v, %v", e, found, err)
	}
}

func TestKeysRefuse(t *testing.T) {
	dir := t.TempDir()
	k := openKeys(t, filepath.Join(dir, "keys.db"), KeysOptions{Timeout: 1})
	for _, key := range [][]byte{nil, make([]byte, MaxKeyBytes+1)} {
		if err := k.Put([]KeyEntry{keyEntry(1, 1), {Key: key}}); !errors.Is(err, ErrKeyTooLarge) {
			t.Errorf("put a key of %d bytes: %v", len(key), err)
		}
		if _, _, err := k.Get(key, 1); !errors.Is(err, ErrKeyTooLarge) {
			t.Errorf("got a key of %d bytes: %v", len(key), err)
		}
	}
	if _, found, _ := k.Get(keyEntry(1, 1).Key, 1); found {
		t.Error("part of a refused Put is there")
	}
	longest := KeyEntry{Key: bytes.Repeat([]byte{0xff}, MaxKeyBytes), At: 1}
	if err := k.Put([]KeyEntry{longest}); err != nil {
		t.Error(err)
	}
	if _, err := OpenKeys(filepath.Join(dir, "keys.db"), KeysOptions{Timeout: 1}); !errors.Is(err, ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	if _, err := OpenKeys(filepath.Join(dir, "other"), KeysOptions{TTL: -1}); err == nil {
		t.Error("opened with a negative TTL")
	}
	var damage *CorruptError
	if err := os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeys(filepath.Join(dir, "empty"), KeysOptions{}); !errors.As(err, &damage) {
		t.Errorf("an emptied file: %v", err)
	}
	g := newGeneration(t, testOptions())
	_ = g.Close()
	if _, err := OpenKeys(g.Path(), KeysOptions{}); !errors.Is(err, ErrVersion) {
		t.Errorf("a generation: %v", err)
	}
}

// Full is reached by what is kept, goes away with it, and never stops a Put.
func TestKeysFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	o := KeysOptions{MaxBytes: 1 << 20}
	k := openKeys(t, path, o)
	const now = 1_700_000_000_000
	n := uint64(0)
	fill := func(at int64) {
		t.Helper()
		for range 100 {
			var entries []KeyEntry
			for range 500 {
				n++
				entries = append(entries, keyEntry(n, at))
			}
			if err := k.Put(entries); err != nil {
				t.Fatal(err)
			}
			if k.Full() {
				return
			}
		}
		t.Fatalf("%d keys in %d bytes, and not full", n, k.Bytes())
	}
	fill(now)
	if err := k.Put([]KeyEntry{keyEntry(1<<40, now)}); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	k = openKeys(t, path, o)
	if !k.Full() {
		t.Fatalf("not full after opening: %d bytes", k.Bytes())
	}
	if hours, err := k.Expire(now + 80*millisPerHour); err != nil || hours != 1 {
		t.Fatalf("%d hours, %v", hours, err)
	}
	if k.Full() {
		t.Fatalf("full with nothing kept: %d bytes", k.Bytes())
	}
	_ = k.Close()
	k = openKeys(t, path, o)
	if k.Full() {
		t.Fatalf("full with nothing kept after opening: %d bytes", k.Bytes())
	}
	before := fileSize(t, path)
	fill(now + 80*millisPerHour)
	if after := fileSize(t, path); after > before+8<<20 {
		t.Errorf("the file grew from %d to %d: pages are not used again", before, after)
	}
}

func fileSize(t testing.TB, path string) int64 {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Size()
}

func TestKeysUnknownOutcome(t *testing.T) {
	for _, effect := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "keys.db")
		k := openKeys(t, path, KeysOptions{})
		entries := []KeyEntry{keyEntry(1, 5), keyEntry(2, 5)}
		k.commit = func(tx *bbolt.Tx) error {
			if effect {
				if err := tx.Commit(); err != nil {
					return err
				}
			}
			return syscall.EIO
		}
		var unknown *UnknownOutcomeError
		if err := k.Put(entries); !errors.As(err, &unknown) || !errors.Is(err, syscall.EIO) {
			t.Fatalf("%v", err)
		}
		k.commit = (*bbolt.Tx).Commit
		if err := k.Put(entries); !errors.As(err, &unknown) {
			t.Fatalf("a failed handle goes on: %v", err)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		k = openKeys(t, path, KeysOptions{})
		if _, found, err := k.Get(entries[0].Key, 5); err != nil || found != effect {
			t.Fatalf("found %v, %v", found, err)
		}
		if err := k.Put(entries); err != nil {
			t.Fatal(err)
		}
		if e, found, err := k.Get(entries[1].Key, 5); err != nil || !found || e.Accepted != 2 {
			t.Fatalf("%+v, %v, %v", e, found, err)
		}
	}
}

func TestEveryFlippedByteOfAKeyIsFound(t *testing.T) {
	k := openKeys(t, filepath.Join(t.TempDir(), "keys.db"), KeysOptions{})
	e := keyEntry(7, 5)
	if err := k.Put([]KeyEntry{e}); err != nil {
		t.Fatal(err)
	}
	value := e.row()
	for i := range value {
		bad := bytes.Clone(value)
		bad[i] ^= 0x10
		err := k.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(AppendKeyTime(nil, 0)).Put(e.Key, bad) })
		if err != nil {
			t.Fatal(err)
		}
		var damage *CorruptError
		if got, found, err := k.Get(e.Key, 5); !errors.As(err, &damage) || found {
			t.Fatalf("byte %d changed: %+v, %v, %v", i, got, found, err)
		}
	}
}

func TestKeysFromManyGoroutines(t *testing.T) {
	k := openKeys(t, filepath.Join(t.TempDir(), "keys.db"), KeysOptions{TTL: 2 * time.Hour})
	var all sync.WaitGroup
	for w := range uint64(4) {
		all.Go(func() {
			for i := range uint64(30) {
				e := keyEntry(w<<32|i, int64(i)*millisPerHour/10)
				if err := k.Put([]KeyEntry{e}); err != nil {
					t.Error(err)
				}
				if got, found, err := k.Get(e.Key, e.At); err != nil || !found || got.Accepted != e.Accepted {
					t.Errorf("%+v, %v, %v", got, found, err)
				}
				if i%10 == 0 {
					if _, err := k.Expire(0); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
}
