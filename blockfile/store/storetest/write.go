package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/firndb/firn/blockfile/store"
)

func testPutAndGet(t *testing.T, s store.Store) {
	put(t, s, "top", "at the root")
	put(t, s, "_firn/store", "format 1")
	put(t, s, "battle/date=2024-05-01/0000-000001.avro", "bytes\x00\xff")
	put(t, s, "empty", "")
	wantObject(t, s, "top", []byte("at the root"))
	wantObject(t, s, "_firn/store", []byte("format 1"))
	wantObject(t, s, "battle/date=2024-05-01/0000-000001.avro", []byte("bytes\x00\xff"))
	wantObject(t, s, "empty", nil)
}

func testPutIfAbsentKeepsTheFirst(t *testing.T, s store.Store) {
	put(t, s, "log/1", "first")
	for _, data := range []string{"second", "first", ""} {
		if err := s.PutIfAbsent(t.Context(), "log/1", []byte(data)); !errors.Is(err, store.ErrExists) {
			t.Fatalf("second PutIfAbsent of %q: %v; want ErrExists", data, err)
		}
	}
	wantObject(t, s, "log/1", []byte("first"))
}

// race runs n writers of one key and checks that exactly one won and that the
// object is the winner's.
func race(t *testing.T, s store.Store, key string, write func(i int, data []byte) error) {
	t.Helper()
	const writers = 8
	var (
		start   sync.WaitGroup
		done    sync.WaitGroup
		results [writers]error
		data    [writers][]byte
	)
	start.Add(1)
	for i := range writers {
		data[i] = bytes.Repeat([]byte{byte('a' + i)}, 1000+i)
		done.Go(func() {
			start.Wait()
			results[i] = write(i, data[i])
		})
	}
	start.Done()
	done.Wait()
	winner := -1
	for i, err := range results {
		switch {
		case err == nil && winner >= 0:
			t.Fatalf("writers %d and %d of %s both won", winner, i, key)
		case err == nil:
			winner = i
		case !errors.Is(err, store.ErrExists):
			t.Fatalf("writer %d: %v; want ErrExists", i, err)
		}
	}
	if winner < 0 {
		t.Fatalf("nobody won %s", key)
	}
	wantObject(t, s, key, data[winner])
}

func testOneWinnerOfManyPuts(t *testing.T, s store.Store) {
	for round := range 10 {
		key := fmt.Sprintf("log%d/entry", round)
		race(t, s, key, func(_ int, data []byte) error {
			return s.PutIfAbsent(t.Context(), key, data)
		})
	}
}

func testOneWinnerOfManyCommits(t *testing.T, s store.Store) {
	for round := range 5 {
		key := fmt.Sprintf("t/date=%d/file.avro", round)
		race(t, s, key, func(i int, data []byte) error {
			if i == 0 { // a small object takes part
				return s.PutIfAbsent(t.Context(), key, data)
			}
			u, err := s.Create(t.Context(), key)
			if err != nil {
				return err
			}
			defer u.Abort()
			if _, err := u.Write(data); err != nil {
				return err
			}
			return u.Commit(t.Context())
		})
	}
}

func testUploadInvisibleBeforeCommit(t *testing.T, s store.Store) {
	put(t, s, "t/other", "x")
	u := create(t, s, "t/date=1/a.avro")
	write(t, u, bytes.Repeat([]byte("block"), 1000))
	wantMissing(t, s, "t/date=1/a.avro")
	wantList(t, s, "", "", "t/other")
	if err := u.Commit(t.Context()); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	wantObject(t, s, "t/date=1/a.avro", bytes.Repeat([]byte("block"), 1000))
	wantList(t, s, "", "", "t/date=1/a.avro", "t/other")
}

func testUploadOfManyWrites(t *testing.T, s store.Store) {
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, seed))
	u := create(t, s, "big")
	var want []byte
	for len(want) < 12<<20 { // several parts of a multipart upload
		p := make([]byte, rnd.IntN(300_000))
		for i := range p {
			p[i] = byte(rnd.Uint32())
		}
		write(t, u, p)
		want = append(want, p...)
	}
	if err := u.Commit(t.Context()); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	wantObject(t, s, "big", want)
}

func testUploadOfNothing(t *testing.T, s store.Store) {
	u := create(t, s, "nothing")
	write(t, u, nil)
	if err := u.Commit(t.Context()); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	wantObject(t, s, "nothing", nil)
}

func testUploadAborted(t *testing.T, s store.Store) {
	u := create(t, s, "t/dropped")
	write(t, u, []byte("dropped"))
	for range 2 {
		if err := u.Abort(); err != nil {
			t.Fatalf("Abort: %v", err)
		}
	}
	wantMissing(t, s, "t/dropped")
	wantList(t, s, "", "")
	put(t, s, "t/dropped", "the key is still free")
}

func testUploadFinishedIsFinished(t *testing.T, s store.Store) {
	u := create(t, s, "k")
	write(t, u, []byte("kept"))
	if err := u.Commit(t.Context()); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	if _, err := u.Write([]byte("more")); !errors.Is(err, store.ErrUploadDone) {
		t.Errorf("Write after Commit: %v; want ErrUploadDone", err)
	}
	if err := u.Commit(t.Context()); !errors.Is(err, store.ErrUploadDone) {
		t.Errorf("second Commit: %v; want ErrUploadDone", err)
	}
	if err := u.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	wantObject(t, s, "k", []byte("kept"))

	u = create(t, s, "dropped")
	u.Abort()
	if _, err := u.Write([]byte("more")); !errors.Is(err, store.ErrUploadDone) {
		t.Errorf("Write after Abort: %v; want ErrUploadDone", err)
	}
	if err := u.Commit(t.Context()); !errors.Is(err, store.ErrUploadDone) {
		t.Errorf("Commit after Abort: %v; want ErrUploadDone", err)
	}
	wantMissing(t, s, "dropped")
}

func testUploadToTakenKey(t *testing.T, s store.Store) {
	put(t, s, "t/k", "first")
	u, err := s.Create(t.Context(), "t/k")
	if err == nil {
		write(t, u, []byte("second, and longer"))
		err = u.Commit(t.Context())
		if err := u.Abort(); err != nil {
			t.Errorf("Abort after a failed Commit: %v", err)
		}
	}
	if !errors.Is(err, store.ErrExists) {
		t.Fatalf("upload to a taken key: %v; want ErrExists", err)
	}
	wantObject(t, s, "t/k", []byte("first"))
	wantList(t, s, "", "", "t/k")
}

func testUploadEndsWithItsContext(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	u, err := s.Create(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Abort()
	write(t, u, []byte("before"))
	cancel()
	if err := u.Commit(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit of a cancelled upload: %v; want context.Canceled", err)
	}
	if err := u.Abort(); err != nil {
		t.Errorf("Abort of a cancelled upload: %v", err)
	}
	wantMissing(t, s, "k")
	wantList(t, s, "", "")
}

func testCallersBuffersAreTheirs(t *testing.T, s store.Store) {
	data := []byte("as it was")
	if err := s.PutIfAbsent(t.Context(), "put", data); err != nil {
		t.Fatal(err)
	}
	u := create(t, s, "upload")
	write(t, u, data)
	copy(data, "scribbled")
	if err := u.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"put", "upload"} {
		b, err := s.Get(t.Context(), key, maxObject)
		if err != nil {
			t.Fatal(err)
		}
		copy(b, "scribbled")
		wantObject(t, s, key, []byte("as it was"))
	}
}

func testDelete(t *testing.T, s store.Store) {
	put(t, s, "t/date=1/a", "a")
	put(t, s, "t/date=1/b", "b")
	for range 2 {
		if err := s.Delete(t.Context(), "t/date=1/a"); err != nil {
			t.Fatalf("Delete: %v", err)
		}
	}
	wantMissing(t, s, "t/date=1/a")
	wantObject(t, s, "t/date=1/b", []byte("b"))
	if err := s.Delete(t.Context(), "never/was"); err != nil {
		t.Fatalf("Delete of an absent key: %v", err)
	}
	// The name of a folder is no object.
	if err := s.Delete(t.Context(), "t/date=1"); err != nil {
		t.Fatalf("Delete of a folder's name: %v", err)
	}
	wantList(t, s, "", "", "t/date=1/b")
}

// Folders come and go with their objects; that must never be seen.
func testDeleteThenPut(t *testing.T, s store.Store) {
	for i := range 3 {
		put(t, s, "t/date=1/a", fmt.Sprint(i))
		wantObject(t, s, "t/date=1/a", []byte(fmt.Sprint(i)))
		if err := s.Delete(t.Context(), "t/date=1/a"); err != nil {
			t.Fatal(err)
		}
		wantList(t, s, "", "")
	}
	var done sync.WaitGroup
	for w := range 4 {
		done.Go(func() {
			for i := range 20 {
				key := fmt.Sprintf("t/date=1/%d-%d", w, i)
				if err := s.PutIfAbsent(t.Context(), key, []byte(key)); err != nil {
					t.Errorf("put %s: %v", key, err)
					return
				}
				if b, err := s.Get(t.Context(), key, maxObject); err != nil || string(b) != key {
					t.Errorf("get %s: %q, %v", key, b, err)
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Errorf("delete %s: %v", key, err)
				}
			}
		})
	}
	done.Wait()
	wantList(t, s, "", "")
}
