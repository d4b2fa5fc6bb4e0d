package storetest

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/firndb/firn/blockfile/store"
)

const maxObject = 64 << 20

func put(t *testing.T, s store.Store, key, data string) {
	t.Helper()
	if err := s.PutIfAbsent(t.Context(), key, []byte(data)); err != nil {
		t.Fatalf("PutIfAbsent(%q): %v", key, err)
	}
}

func create(t *testing.T, s store.Store, key string) store.Upload {
	t.Helper()
	u, err := s.Create(t.Context(), key)
	if err != nil {
		t.Fatalf("Create(%q): %v", key, err)
	}
	t.Cleanup(func() { u.Abort() })
	return u
}

func write(t *testing.T, u store.Upload, data []byte) {
	t.Helper()
	if n, err := u.Write(data); err != nil || n != len(data) {
		t.Fatalf("Write of %d bytes: %d, %v", len(data), n, err)
	}
}

// wantObject checks an object by every way of reading.
func wantObject(t *testing.T, s store.Store, key string, want []byte) {
	t.Helper()
	got, err := s.Get(t.Context(), key, maxObject)
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("Get(%q) = %d bytes, differ from the %d written", key, len(got), len(want))
	}
	if n, err := s.Size(t.Context(), key); err != nil || n != int64(len(want)) {
		t.Fatalf("Size(%q) = %d, %v; want %d", key, n, err, len(want))
	}
	p := make([]byte, len(want))
	if err := s.ReadRange(t.Context(), key, 0, p); err != nil || !bytes.Equal(p, want) {
		t.Fatalf("ReadRange(%q) of everything: %v, equal %v", key, err, bytes.Equal(p, want))
	}
}

func wantMissing(t *testing.T, s store.Store, key string) {
	t.Helper()
	if b, err := s.Get(t.Context(), key, maxObject); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get(%q) = %d bytes, %v; want ErrNotFound", key, len(b), err)
	}
	if n, err := s.Size(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Size(%q) = %d, %v; want ErrNotFound", key, n, err)
	}
	if err := s.ReadRange(t.Context(), key, 0, make([]byte, 1)); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("ReadRange(%q): %v; want ErrNotFound", key, err)
	}
}

func list(t *testing.T, s store.Store, prefix, after string) []string {
	t.Helper()
	var keys []string
	err := s.List(t.Context(), prefix, after, func(key string, size int64) error {
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		t.Fatalf("List(%q, %q): %v", prefix, after, err)
	}
	return keys
}

func wantList(t *testing.T, s store.Store, prefix, after string, want ...string) {
	t.Helper()
	if got := list(t, s, prefix, after); !slices.Equal(got, want) {
		t.Fatalf("List(%q, %q)\n got %q\nwant %q", prefix, after, got, want)
	}
}
