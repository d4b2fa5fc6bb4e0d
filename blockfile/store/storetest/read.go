package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/firndb/firn/blockfile/store"
)

func testGetBound(t *testing.T, s store.Store) {
	put(t, s, "k", "0123456789")
	for _, max := range []int64{10, 11, 1 << 40} {
		if b, err := s.Get(t.Context(), "k", max); err != nil || string(b) != "0123456789" {
			t.Errorf("Get at most %d: %q, %v", max, b, err)
		}
	}
	for _, max := range []int64{9, 0, -1} {
		if b, err := s.Get(t.Context(), "k", max); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("Get at most %d: %q, %v; want ErrTooLarge", max, b, err)
		}
	}
	put(t, s, "empty", "")
	if b, err := s.Get(t.Context(), "empty", 0); err != nil || len(b) != 0 {
		t.Errorf("Get of an empty object at most 0: %q, %v", b, err)
	}
}

// numbered is data in which every offset can be told.
func numbered(n int) []byte {
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%08x", b.Len())
	}
	return b.Bytes()[:n]
}

func testReadRange(t *testing.T, s store.Store) {
	data := numbered(100_000)
	put(t, s, "k", string(data))
	for _, r := range [][2]int{{0, 1}, {0, 100_000}, {1, 99_999}, {99_999, 1}, {50_000, 123}, {65_536, 4_096}} {
		p := make([]byte, r[1])
		if err := s.ReadRange(t.Context(), "k", int64(r[0]), p); err != nil {
			t.Fatalf("ReadRange at %d of %d: %v", r[0], r[1], err)
		}
		if !bytes.Equal(p, data[r[0]:r[0]+r[1]]) {
			t.Fatalf("ReadRange at %d of %d: wrong bytes", r[0], r[1])
		}
	}
	if err := s.ReadRange(t.Context(), "k", 5, nil); err != nil {
		t.Errorf("empty ReadRange: %v", err)
	}
	if err := s.ReadRange(t.Context(), "k", -1, make([]byte, 2)); err == nil {
		t.Errorf("ReadRange at -1: no error")
	}
}

func testReadRangeShort(t *testing.T, s store.Store) {
	put(t, s, "k", "0123456789")
	put(t, s, "empty", "")
	for _, tc := range []struct {
		key         string
		off, length int
		got         int64
	}{{"k", 0, 11, 10}, {"k", 9, 2, 1}, {"k", 10, 1, 0}, {"k", 1000, 5, 0}, {"empty", 0, 1, 0}} {
		err := s.ReadRange(t.Context(), tc.key, int64(tc.off), make([]byte, tc.length))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s at %d of %d: %v; want io.ErrUnexpectedEOF", tc.key, tc.off, tc.length, err)
			continue
		}
		var short *store.ShortReadError
		if !errors.As(err, &short) {
			t.Errorf("%s at %d of %d: %v; want a ShortReadError", tc.key, tc.off, tc.length, err)
			continue
		}
		want := store.ShortReadError{Key: tc.key, Offset: int64(tc.off), Want: int64(tc.length), Got: tc.got}
		if *short != want {
			t.Errorf("short read %+v, want %+v", *short, want)
		}
	}
}

func testReadRangesAtOnce(t *testing.T, s store.Store) {
	data := numbered(1 << 20)
	put(t, s, "k", string(data))
	var done sync.WaitGroup
	for w := range 8 {
		done.Go(func() {
			p := make([]byte, 10_000)
			for i := range 20 {
				off := (w*131_071 + i*50_021) % (len(data) - len(p))
				if err := s.ReadRange(t.Context(), "k", int64(off), p); err != nil || !bytes.Equal(p, data[off:off+len(p)]) {
					t.Errorf("at %d: %v, or wrong bytes", off, err)
				}
			}
		})
	}
	done.Wait()
}

func testMissing(t *testing.T, s store.Store) {
	wantMissing(t, s, "k")
	wantList(t, s, "", "")
	put(t, s, "a/b", "x")
	wantMissing(t, s, "a")     // a folder is no object
	wantMissing(t, s, "a/b/c") // nor is an object a folder
	wantMissing(t, s, "a/B")
	wantMissing(t, s, "a/bb")
}

func testListOrder(t *testing.T, s store.Store) {
	// In ascending byte order; '-' and '.' come before '/', '0' after it.
	sorted := []string{
		"_firn/log/0000000001", "_firn/log/0000000002", "_firn/store",
		"a!/z", "a-b/x", "a.b", "a/x-y/z", "a/x.avro", "a/x/y", "a/y", "a0", "aa/0",
		"b/date=2024-01-01/f", "b/date=2024-01-02/f", "~",
	}
	for i := range sorted {
		put(t, s, sorted[(i*7)%len(sorted)], "x")
	}
	wantList(t, s, "", "", sorted...)
	for i, key := range sorted {
		wantList(t, s, "", key, sorted[i+1:]...)
	}
}

func testListPrefixAndAfter(t *testing.T, s store.Store) {
	keys := []string{"log/01", "log/02", "log/03", "log/10", "logs/x", "t/date=1/a", "t/date=1/b", "t/date=2/a"}
	for _, k := range keys {
		put(t, s, k, k)
	}
	wantList(t, s, "log/", "", keys[:4]...)
	wantList(t, s, "log/", "log/02", keys[2:4]...)
	wantList(t, s, "log/", "log/025", keys[2:4]...)
	wantList(t, s, "log/0", "", keys[:3]...)
	wantList(t, s, "log", "", keys[:5]...)
	wantList(t, s, "log/01", "", "log/01")
	wantList(t, s, "log/01", "log/01")
	wantList(t, s, "log/", "t")
	wantList(t, s, "t/date=", "t/date=1", keys[5:]...)
	wantList(t, s, "t/date=", "t/date=1/", keys[5:]...)
	wantList(t, s, "t/date=", "t/date=1/a", keys[6:]...)
	wantList(t, s, "t/date=", "t/date=1/c", keys[7:]...)
	wantList(t, s, "t/date=", "a", keys[5:]...)
	wantList(t, s, "none/", "")
	wantList(t, s, "t/date=1/a/", "")
	wantList(t, s, "", "zzz")
	err := s.List(t.Context(), "t/", "", func(key string, size int64) error {
		if size != int64(len(key)) {
			t.Errorf("%s: size %d, want %d", key, size, len(key))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func testListEndsOnError(t *testing.T, s store.Store) {
	for _, k := range []string{"a/1", "a/2", "b/1"} {
		put(t, s, k, "x")
	}
	stop := errors.New("enough")
	var seen []string
	err := s.List(t.Context(), "", "", func(key string, _ int64) error {
		seen = append(seen, key)
		if key == "a/2" {
			return stop
		}
		return nil
	})
	if err != stop {
		t.Errorf("List = %v, want the error of fn itself", err)
	}
	if len(seen) != 2 {
		t.Errorf("seen %q, want two keys", seen)
	}
}

// More objects than one page of a bucket's listing holds.
func testListMany(t *testing.T, s store.Store) {
	const n = 1100
	var want []string
	var done sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range n {
		key := fmt.Sprintf("_firn/log/%010d", i)
		want = append(want, key)
		slots <- struct{}{}
		done.Go(func() {
			defer func() { <-slots }()
			if err := s.PutIfAbsent(t.Context(), key, []byte(key)); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	wantList(t, s, "_firn/", "", want...)
	wantList(t, s, "_firn/log/", want[n-5], want[n-4:]...)
}

func testKeysThatAreRefused(t *testing.T, s store.Store) {
	bad := []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/.", "./a",
		"a\x00b", "a\nb", "\x7f", "a\xff", "\xe9\xaa", `a\b`, ".firn-tmp", "a/.firn-tmp-x",
		strings.Repeat("s", store.MaxSegmentBytes+1),
		strings.Repeat("k/", store.MaxKeyBytes/2) + "k",
	}
	for _, key := range bad {
		check := func(call string, err error) {
			if !errors.Is(err, store.ErrInvalidKey) {
				t.Errorf("%s(%.40q) = %v, want ErrInvalidKey", call, key, err)
			}
		}
		_, err := s.Create(t.Context(), key)
		check("Create", err)
		check("PutIfAbsent", s.PutIfAbsent(t.Context(), key, []byte("x")))
		_, err = s.Get(t.Context(), key, 10)
		check("Get", err)
		check("ReadRange", s.ReadRange(t.Context(), key, 0, make([]byte, 1)))
		_, err = s.Size(t.Context(), key)
		check("Size", err)
		check("Delete", s.Delete(t.Context(), key))
	}
	wantList(t, s, "", "")
}

func testKeysThatAreAllowed(t *testing.T, s store.Store) {
	names := []string{"", ".", "..", "a/b", "_firn", "date=x", "naïve", "雪", "a b", "%41", "\x00\xff", "+&?#", strings.Repeat("é", 40), "CON", "x."}
	for _, name := range names {
		key := store.EscapeSegment(name) + "/date=2024-05-01/f.avro"
		put(t, s, key, name)
		wantObject(t, s, key, []byte(name))
		wantList(t, s, store.EscapeSegment(name)+"/", "", key)
	}
	if got := list(t, s, "", ""); len(got) != len(names) {
		t.Errorf("%d keys listed, %d put", len(got), len(names))
	}
	seg := strings.Repeat("s", store.MaxSegmentBytes)
	key := seg + "/" + seg + "/" + seg
	key = key[:store.MaxKeyBytes-2] + "/k"
	put(t, s, key, "deep")
	wantObject(t, s, key, []byte("deep"))
}

func testCancelledContext(t *testing.T, s store.Store) {
	put(t, s, "k", "x")
	u := create(t, s, "upload")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	check := func(call string, err error) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v", call, err)
		}
	}
	_, err := s.Create(ctx, "new")
	check("Create", err)
	check("PutIfAbsent", s.PutIfAbsent(ctx, "new", nil))
	_, err = s.Get(ctx, "k", 10)
	check("Get", err)
	check("ReadRange", s.ReadRange(ctx, "k", 0, make([]byte, 1)))
	_, err = s.Size(ctx, "k")
	check("Size", err)
	check("List", s.List(ctx, "", "", func(string, int64) error { return nil }))
	check("Delete", s.Delete(ctx, "k"))
	check("Commit", u.Commit(ctx))
	wantList(t, s, "", "", "k")
}

func testClose(t *testing.T, s store.Store) {
	put(t, s, "k", "x")
	u := create(t, s, "upload")
	write(t, u, []byte("x"))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	check := func(call string, err error) {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s after Close: %v; want ErrClosed", call, err)
		}
	}
	_, err := s.Create(t.Context(), "new")
	check("Create", err)
	check("PutIfAbsent", s.PutIfAbsent(t.Context(), "new", nil))
	_, err = s.Get(t.Context(), "k", 10)
	check("Get", err)
	check("ReadRange", s.ReadRange(t.Context(), "k", 0, make([]byte, 1)))
	_, err = s.Size(t.Context(), "k")
	check("Size", err)
	check("List", s.List(t.Context(), "", "", func(string, int64) error { return nil }))
	check("Delete", s.Delete(t.Context(), "k"))
	check("Commit", u.Commit(t.Context()))
	if err := u.Abort(); err != nil {
		t.Errorf("Abort after Close: %v", err)
	}
}
