package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
)

// failOn makes operations fail that match.
func failOn(fs *memFiles, err error, match func(op, name string) bool) {
	fs.hook(func(op, name string) error {
		if match(op, name) {
			return err
		}
		return nil
	})
}

func isOp(want string) func(op, name string) bool {
	return func(op, _ string) bool { return op == want }
}

func TestFailureIsFinal(t *testing.T) {
	for _, op := range []string{"write", "sync"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := newMemFiles()
				l, _, _ := reopen(t, quiet(fs))
				appendText(t, l, "acknowledged")
				reached, release := make(chan struct{}, 1), make(chan struct{})
				var once atomic.Bool
				fs.hook(func(o, _ string) error {
					if o == op && once.CompareAndSwap(false, true) {
						reached <- struct{}{}
						<-release
						return errDisk
					}
					return nil
				})
				unknown, later := make(chan error, 1), make(chan error, 3)
				go func() {
					unknown <- l.Append(context.Background(), &text{s: "unknown", durable: func() { t.Error("Durable after a failure") }})
				}()
				<-reached
				for range 3 {
					go func() {
						later <- l.Append(context.Background(), &text{s: "never", filled: func() { t.Error("Fill after a failure") }})
					}()
				}
				synctest.Wait() // they are queued
				close(release)
				if err := <-unknown; !errors.Is(err, ErrFailed) || !errors.Is(err, errDisk) || errors.Is(err, ErrNotWritten) {
					t.Errorf("the group that failed: %v", err)
				}
				for range 3 {
					if err := <-later; !errors.Is(err, ErrFailed) || !errors.Is(err, errDisk) || !errors.Is(err, ErrNotWritten) {
						t.Errorf("queued behind it: %v", err)
					}
				}
				if err := l.Append(context.Background(), &text{s: "never"}); !errors.Is(err, ErrFailed) || !errors.Is(err, ErrNotWritten) {
					t.Errorf("after it: %v", err)
				}
				if err := l.Failed(); !errors.Is(err, ErrFailed) || !errors.Is(err, errDisk) {
					t.Errorf("Failed: %v", err)
				}
				if err := l.Sync(); !errors.Is(err, ErrFailed) {
					t.Errorf("Sync: %v", err)
				}
				if err := l.Close(); !errors.Is(err, ErrFailed) {
					t.Errorf("Close: %v", err)
				}
				for seed := range uint64(8) {
					_, rec, got := reopen(t, quiet(fs.crash(rngOf(seed))))
					if len(rec.Damage) > 0 || len(got) == 0 || got[0] != "acknowledged" || slices.Contains(got, "never") {
						t.Errorf("after the failure: %q, %+v", got, rec)
					}
				}
			})
		})
	}
}

func TestIntervalSyncFailureIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFiles()
		o := quiet(fs)
		o.Sync = SyncInterval
		l, _, _ := reopen(t, o)
		appendText(t, l, "a")
		failOn(fs, errDisk, isOp("sync"))
		if err := l.Sync(); !errors.Is(err, ErrFailed) || errors.Is(err, ErrNotWritten) {
			t.Fatalf("Sync: %v", err)
		}
		if err := l.Append(context.Background(), &text{s: "b"}); !errors.Is(err, ErrNotWritten) {
			t.Fatalf("Append: %v", err)
		}
		l.Close()
	})
}

func TestNoSpace(t *testing.T) {
	for _, op := range []string{"allocate", "create", "rename", "sync"} {
		fs := newMemFiles()
		l, _, _ := reopen(t, quiet(fs))
		fs.hook(func(o, name string) error {
			if o == op && name == tempName {
				return syscall.ENOSPC
			}
			return nil
		})
		var want []string
		var err error
		for i := 0; err == nil && i < 100; i++ {
			s := fmt.Sprintf("%d%s", i, strings.Repeat("x", 1000))
			filled := false
			err = l.Append(context.Background(), &text{s: s, filled: func() { filled = true }})
			switch {
			case err == nil:
				want = append(want, s)
			case filled:
				t.Fatalf("%s: Fill was called", op)
			}
		}
		if !errors.Is(err, ErrNoSpace) || !errors.Is(err, ErrNotWritten) || !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrFailed) {
			t.Fatalf("%s: %v", op, err)
		}
		if len(want) != 7 {
			t.Fatalf("%s: %d entries fitted", op, len(want))
		}
		appendText(t, l, "small") // what fits in the segment is still taken
		if err := l.Append(context.Background(), &text{s: strings.Repeat("y", 2000)}); !errors.Is(err, ErrNoSpace) {
			t.Fatalf("%s: second try: %v", op, err)
		}
		crashed := fs.clone()
		fs.hook(nil)
		appendText(t, l, strings.Repeat("z", 2000)) // room again
		l.Close()
		crashed.hook(nil)
		_, rec, got := reopen(t, quiet(crashed))
		wantClean(t, rec)
		wantTexts(t, got, append(slices.Clone(want), "small")...)
		_, rec, got = reopen(t, quiet(fs))
		wantClean(t, rec)
		wantTexts(t, got, append(want, "small", strings.Repeat("z", 2000))...)
	}
}

func TestNoSpaceForAFrameLargerThanASegment(t *testing.T) {
	fs := newMemFiles()
	l, _, _ := reopen(t, quiet(fs))
	fs.hook(func(op, name string) error {
		if op == "allocate" && name == segmentName(2) {
			return syscall.EDQUOT
		}
		return nil
	})
	if err := l.Append(context.Background(), &text{s: strings.Repeat("x", 20_000)}); !errors.Is(err, ErrNoSpace) {
		t.Fatal(err)
	}
	appendText(t, l, "small")
	fs.hook(nil)
	appendText(t, l, strings.Repeat("x", 20_000))
	l.Close()
	_, rec, got := reopen(t, quiet(fs))
	wantClean(t, rec)
	wantTexts(t, got, "small", strings.Repeat("x", 20_000))
}

func TestOpenOnAFullDisk(t *testing.T) {
	fs := newMemFiles()
	l, _, _ := reopen(t, quiet(fs))
	last := appendText(t, l, "a", "b")
	l.Close()
	failOn(fs, syscall.ENOSPC, isOp("allocate"))
	if _, err := fs.Create(memDir + "/" + tempName); err != nil { // left by a crash, and taking up room
		t.Fatal(err)
	}
	for range 3 {
		l, rec, got := reopen(t, quiet(fs))
		wantClean(t, rec)
		wantTexts(t, got, "a", "b")
		if err := l.Append(context.Background(), &text{s: "c"}); !errors.Is(err, ErrNoSpace) {
			t.Fatal(err)
		}
		if l.Failed() != nil {
			t.Fatal(l.Failed())
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := filesOf(fs); slices.Contains(got, tempName) {
		t.Fatalf("files %q", got)
	}
	for range 2 { // even with everything trimmed the positions go on
		l, _, _ = reopen(t, quiet(fs))
		if err := l.Trim(l.End()); err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	fs.hook(nil)
	l, _, _ = reopen(t, quiet(fs))
	if e := appendText(t, l, "c"); e.pos < last.end {
		t.Fatalf("position %v after everything was trimmed, before it %v", e.pos, last.end)
	}
}

func TestSegmentThatCannotBeMadeIsNoFailure(t *testing.T) {
	fs := newMemFiles()
	l, _, _ := reopen(t, quiet(fs))
	failOn(fs, errDisk, isOp("create"))
	err := l.Append(context.Background(), &text{s: strings.Repeat("x", 9000)})
	if !errors.Is(err, ErrNotWritten) || !errors.Is(err, errDisk) || errors.Is(err, ErrFailed) || errors.Is(err, ErrNoSpace) {
		t.Fatal(err)
	}
	fs.hook(nil)
	appendText(t, l, strings.Repeat("x", 9000))
}

// TestEveryOperationFails runs one story once for each operation in it, with that operation failing,
// and then loses power. Whatever fails, what was acknowledged is there and what was refused is not.
func TestEveryOperationFails(t *testing.T) {
	failed := 0
	for n := 1; ; n++ {
		fs := newMemFiles()
		ops := atomic.Int64{}
		fs.hook(func(op, name string) error {
			if op != "read" && int(ops.Add(1)) == n {
				return errDisk
			}
			return nil
		})
		acked, refused := tellStory(fs)
		if int(ops.Load()) < n {
			break
		}
		failed++
		fs.hook(nil)
		for seed := range uint64(4) {
			_, rec, got := reopen(t, quiet(fs.crash(rngOf(seed))))
			if len(rec.Damage) > 0 {
				t.Fatalf("operation %d failing leaves damage %v", n, rec.Damage)
			}
			if !subsequence(acked, got) {
				t.Fatalf("operation %d: acknowledged %.20q\nreplayed %.20q", n, acked, got)
			}
			for _, s := range got {
				if slices.Contains(refused, s) {
					t.Fatalf("operation %d: %.20q was refused and is there", n, s)
				}
			}
		}
	}
	if failed < 60 {
		t.Fatalf("only %d operations in the story", failed)
	}
}

// tellStory opens, appends, trims and reopens, and goes on after errors. It returns what was
// acknowledged and not trimmed, and what was refused as not written.
func tellStory(fs *memFiles) (acked, refused []string) {
	n := 0
	for range 3 {
		l, _, err := Open(memDir, quiet(fs), func(Frame) error { return nil })
		if err != nil {
			continue
		}
		for range 14 {
			n++
			e := &text{s: fmt.Sprintf("%d%s", n, strings.Repeat("x", 1500))}
			switch err := l.Append(context.Background(), e); {
			case err == nil:
				acked = append(acked, e.s)
			case errors.Is(err, ErrNotWritten):
				refused = append(refused, e.s)
			}
			if n%10 == 0 {
				acked = acked[:0]
				_ = l.Trim(l.End())
			}
		}
		_ = l.Close()
	}
	return acked, refused
}

// TestPowerCuts loses power at a random operation, again and again, in the same folder, while several
// callers append and segments are trimmed and reused.
func TestPowerCuts(t *testing.T) {
	rounds := 400
	if testing.Short() {
		rounds = 50
	}
	for seed := range uint64(rounds) {
		rng := rngOf(seed)
		fs := newMemFiles()
		var next int // number of the next frame
		must := 0    // frames below it were trimmed or may be
		acked := 0   // frames below it are durable
		for life := range 4 {
			o := Options{SegmentBytes: 8192, files: fs, IdleAfter: 1}
			if seed%3 == 0 {
				o.Sync = SyncInterval // durable is then what a Sync covered
			}
			first, at := -1, -1
			l, rec, err := Open(memDir, o, func(f Frame) error {
				n := 0
				if _, err := fmt.Sscanf(string(f.Payload), "%d ", &n); err != nil {
					return fmt.Errorf("payload %.20q: %w", f.Payload, err)
				}
				if first < 0 {
					first = n
				} else if n != at+1 {
					return fmt.Errorf("frame %d follows %d", n, at)
				}
				at = n
				return nil
			})
			if err != nil || len(rec.Damage) > 0 {
				t.Fatalf("seed %d life %d: %v, %+v", seed, life, err, rec)
			}
			if acked > must && (first < 0 || first > must || at < acked-1) {
				t.Fatalf("seed %d life %d: replayed %d to %d, durable are %d to %d", seed, life, first, at, must, acked-1)
			}
			if at >= next {
				t.Fatalf("seed %d life %d: replayed %d, the last one ever filled was %d", seed, life, at, next-1)
			}
			next = max(at+1, acked) // all of them may have been trimmed
			acked = next            // Open has synced what it replayed
			var mu sync.Mutex
			var ends []Position // of the frames of this life
			base := next
			var crashed *memFiles
			var crashedAcked, crashedMust, crashedNext int
			countdown := rng.IntN(120)
			crashRNG := rngOf(seed<<8 + uint64(life))
			fs.hook(func(op, name string) error {
				mu.Lock()
				defer mu.Unlock()
				if countdown--; countdown == 0 {
					crashed = fs.crash(crashRNG)
					crashedAcked, crashedMust, crashedNext = acked, must, next
				}
				return nil
			})
			payload, written := strings.Repeat("x", rng.IntN(3000)), acked
			durable := &acked
			if o.Sync == SyncInterval {
				written, durable = next, &written
			}
			wait := sync.WaitGroup{}
			for range 3 {
				wait.Go(func() {
					for range 8 {
						e := &sequenced{pad: payload, mu: &mu, next: &next, durable: durable, ends: &ends}
						if err := l.Append(context.Background(), e); err != nil {
							t.Error(err)
						}
						if o.Sync == SyncAlways {
							continue
						}
						mu.Lock()
						n := written
						mu.Unlock()
						if err := l.Sync(); err != nil {
							t.Error(err)
						}
						mu.Lock()
						acked = max(acked, n)
						mu.Unlock()
					}
				})
			}
			wait.Go(func() {
				for range 4 {
					mu.Lock()
					n := len(ends)
					upTo := Position(0)
					if n > 0 {
						must, upTo = max(must, base+n), ends[n-1]
					}
					mu.Unlock()
					if err := l.Trim(upTo); err != nil {
						t.Error(err)
					}
				}
			})
			wait.Wait()
			if rng.IntN(2) == 0 {
				l.Close()
			}
			fs.hook(nil)
			mu.Lock()
			if crashed == nil {
				crashed = fs.crash(crashRNG)
				crashedAcked, crashedMust, crashedNext = acked, must, next
			}
			acked, must, next = crashedAcked, crashedMust, crashedNext
			mu.Unlock()
			l.Close()
			fs = crashed
		}
	}
}

// sequenced numbers its payload in Fill and counts what is durable.
type sequenced struct {
	pad     string
	mu      *sync.Mutex
	next    *int
	durable *int // frames whose Durable was called, all lives together
	ends    *[]Position
}

func (e *sequenced) Size() int { return len(e.pad) + 24 }

func (e *sequenced) Fill(dst []byte) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	dst = fmt.Appendf(dst, "%d %s", *e.next, e.pad)
	*e.next++
	return dst
}

func (e *sequenced) Durable(_, end Position) {
	e.mu.Lock()
	defer e.mu.Unlock()
	*e.durable++
	*e.ends = append(*e.ends, end)
}
