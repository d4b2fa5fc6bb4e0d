package wal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// text is an entry that remembers where it went.
type text struct {
	s        string
	pos, end Position
	filled   func()
	durable  func()
}

func (e *text) Size() int { return len(e.s) }

func (e *text) Fill(dst []byte) []byte {
	if e.filled != nil {
		e.filled()
	}
	return append(dst, e.s...)
}

func (e *text) Durable(pos, end Position) {
	e.pos, e.end = pos, end
	if e.durable != nil {
		e.durable()
	}
}

func appendText(t testing.TB, l *Log, texts ...string) (last *text) {
	t.Helper()
	for _, s := range texts {
		last = &text{s: s}
		if err := l.Append(context.Background(), last); err != nil {
			t.Fatalf("append %.20q: %v", s, err)
		}
	}
	return last
}

// quiet are options under which nothing happens by itself: no idle frames, one small segment size.
func quiet(fs *memFiles) Options {
	return Options{SegmentBytes: 8192, IdleAfter: time.Hour, files: fs}
}

// reopen opens a log and returns the payloads it replayed.
func reopen(t testing.TB, o Options) (*Log, *Recovery, []string) {
	t.Helper()
	var got []string
	l, rec, err := Open(memDir, o, func(f Frame) error {
		got = append(got, string(f.Payload))
		return nil
	})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, rec, got
}

func wantClean(t testing.TB, rec *Recovery) {
	t.Helper()
	if len(rec.Cuts)+len(rec.Damage) > 0 {
		t.Fatalf("cuts %v, damage %v in a sound log", rec.Cuts, rec.Damage)
	}
}

func wantTexts(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("replayed %.60q\nwant %.60q", got, want)
	}
}

func TestLivesOnDisk(t *testing.T) {
	dir, want := filepath.Join(t.TempDir(), "a", "log"), 0
	for life := range 4 {
		var got []string
		l, rec, err := Open(dir, Options{SegmentBytes: 16384}, func(f Frame) error {
			got = append(got, string(f.Payload))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		wantClean(t, rec)
		if len(got) != want || rec.Frames != want || rec.Clean != (life > 0) {
			t.Fatalf("life %d: replayed %d frames, %+v, want %d", life, len(got), rec, want)
		}
		for i, s := range got {
			if want := fmt.Sprintf("%06d%0*d", i, i%977, 0); s != want {
				t.Fatalf("life %d: frame %d is %.20q, want %.20q", life, i, s, want)
			}
		}
		for range 60 {
			appendText(t, l, fmt.Sprintf("%06d%0*d", want, want%977, 0))
			want++
		}
		if s := l.Stats(); s.Frames != 60 || s.Syncs < s.Groups || s.End != l.End() {
			t.Fatalf("stats %+v", s)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPositions(t *testing.T) {
	fs := newMemFiles()
	l, _, _ := reopen(t, quiet(fs))
	var ends []Position
	for i := range 40 {
		e := appendText(t, l, strings.Repeat("x", i*37))
		if e.end <= e.pos || e.end != l.End() || (len(ends) > 0 && e.pos < ends[len(ends)-1]) {
			t.Fatalf("frame %d: %v to %v, end %v", i, e.pos, e.end, l.End())
		}
		ends = append(ends, e.end)
	}
	l.Close()
	var replayed []Position
	l2, _, err := Open(memDir, quiet(fs), func(f Frame) error { replayed = append(replayed, f.End); return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer l2.Close()
	if !slices.Equal(ends, replayed) {
		t.Fatalf("appended frames end at %v, replayed ones at %v", ends, replayed)
	}
	if e := appendText(t, l2, "next"); e.pos < ends[len(ends)-1] {
		t.Fatalf("position %v after a restart, before it %v", e.pos, ends[len(ends)-1])
	}
}

func TestSegmentIsFilledToItsEnd(t *testing.T) {
	// Frames whose last one ends exactly where the segment does, and one byte more.
	room := 8192 - segmentHeaderBytes - 2*frameHeaderBytes
	for _, extra := range []int{-8, -1, 0, 1, 8} {
		fs := newMemFiles()
		l, _, _ := reopen(t, quiet(fs))
		a, b, c := strings.Repeat("a", 4000), strings.Repeat("b", room-4000+extra), "c"
		appendText(t, l, a, b, c)
		if n := l.Stats().Segments; n < 2 {
			t.Fatalf("extra %d: %d segments", extra, n)
		}
		l.Close()
		_, rec, got := reopen(t, quiet(fs))
		wantClean(t, rec)
		wantTexts(t, got, a, b, c)
	}
}

func TestFrameLargerThanSegment(t *testing.T) {
	fs := newMemFiles()
	l, _, _ := reopen(t, quiet(fs))
	want := []string{"a", strings.Repeat("b", 50_000), "c", strings.Repeat("d", 8192), strings.Repeat("e", 100_001)}
	appendText(t, l, want...)
	l.Close()
	_, rec, got := reopen(t, quiet(fs))
	wantClean(t, rec)
	wantTexts(t, got, want...)
}

// TestFirstFrameLargerThanTheFirstSegment leaves segments that were begun and got no frame.
func TestFirstFrameLargerThanTheFirstSegment(t *testing.T) {
	fs := newMemFiles()
	var want []string
	for i := range 3 {
		l, rec, got := reopen(t, quiet(fs))
		wantClean(t, rec)
		wantTexts(t, got, want...)
		s := strings.Repeat(string(rune('a'+i)), 20_000)
		appendText(t, l, s, "small")
		want = append(want, s, "small")
		_, rec, got = reopen(t, quiet(fs.crash(rngOf(uint64(i)))))
		wantClean(t, rec)
		wantTexts(t, got, want...)
		l.Close()
	}
}

func TestGroupIsSplitAtTheSegmentEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFiles()
		l, _, _ := reopen(t, quiet(fs))
		release := blockSyncs(fs)
		var want []string
		wait := sync.WaitGroup{}
		for i := range 30 {
			s := fmt.Sprintf("%02d%s", i, strings.Repeat("x", 1500))
			want = append(want, s)
			wait.Go(func() { appendText(t, l, s) })
			synctest.Wait() // so that they queue in this order
		}
		close(release)
		wait.Wait()
		l.Close()
		_, rec, got := reopen(t, quiet(fs))
		wantClean(t, rec)
		wantTexts(t, got, want...)
	})
}

// blockSyncs lets the appender's syncs wait until the returned channel is closed.
func blockSyncs(fs *memFiles) chan struct{} {
	release := make(chan struct{})
	fs.hook(func(op, _ string) error {
		if op == "sync" {
			<-release
		}
		return nil
	})
	return release
}

func TestGroupCommitSharesSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFiles()
		l, _, _ := reopen(t, Options{SegmentBytes: 1 << 20, IdleAfter: time.Hour, files: fs})
		release := blockSyncs(fs)
		before := l.Stats()
		var order []int
		wait := sync.WaitGroup{}
		put := func(i int) {
			wait.Go(func() {
				e := &text{s: "x", durable: func() { order = append(order, i) }}
				if err := l.Append(context.Background(), e); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		put(0) // is being synced
		for i := 1; i <= 64; i++ {
			put(i) // wait for it
		}
		if len(order) != 0 {
			t.Fatalf("%d entries durable before a sync", len(order))
		}
		close(release)
		wait.Wait()
		after := l.Stats()
		if syncs, groups := after.Syncs-before.Syncs, after.Groups-before.Groups; syncs != 2 || groups != 2 {
			t.Fatalf("65 appends took %d syncs in %d groups, want 2", syncs, groups)
		}
		if len(order) != 65 || !slices.IsSorted(order) {
			t.Fatalf("Durable was called in the order %v", order)
		}
		l.Close()
	})
}

func TestOrderOfFillAndDurableIsTheLogs(t *testing.T) {
	fs := newMemFiles()
	l, _, _ := reopen(t, Options{SegmentBytes: 64 << 10, files: fs, IdleAfter: time.Millisecond})
	var mu sync.Mutex
	seq, filled, durable := 0, []string{}, []string{}
	wait := sync.WaitGroup{}
	for w := range 8 {
		wait.Go(func() {
			for i := range 100 {
				e := &numbered{worker: w, i: i, seq: &seq, filled: &filled, durable: &durable, mu: &mu}
				if err := l.Append(context.Background(), e); err != nil {
					t.Error(err)
				}
				mu.Lock()
				seen := slices.Contains(durable, e.text)
				mu.Unlock()
				if !seen {
					t.Errorf("Append returned before Durable of %q", e.text)
				}
			}
		})
	}
	wait.Wait()
	l.Close()
	if !slices.Equal(filled, durable) {
		t.Fatal("Durable was called in another order than Fill")
	}
	_, rec, got := reopen(t, quiet(fs))
	wantClean(t, rec)
	wantTexts(t, got, filled...)
}

// numbered takes a sequence number in Fill, as an engine does.
type numbered struct {
	worker, i       int
	seq             *int
	filled, durable *[]string
	mu              *sync.Mutex
	text            string
}

func (e *numbered) Size() int { return 64 }

func (e *numbered) Fill(dst []byte) []byte {
	*e.seq++ // Fill runs one at a time: the race detector would tell
	e.text = fmt.Sprintf("%d: %d of worker %d", *e.seq, e.i, e.worker)
	*e.filled = append(*e.filled, e.text)
	return append(dst, e.text...)
}

func (e *numbered) Durable(_, _ Position) {
	e.mu.Lock()
	defer e.mu.Unlock()
	*e.durable = append(*e.durable, e.text)
}

func TestRefusals(t *testing.T) {
	fs := newMemFiles()
	o := quiet(fs)
	o.MaxFrameBytes = 100
	l, _, _ := reopen(t, o)
	never := func() { t.Error("Fill was called for an entry that was refused") }
	err := l.Append(context.Background(), &text{s: strings.Repeat("x", 101), filled: never})
	if !errors.Is(err, ErrTooLarge) || !errors.Is(err, ErrNotWritten) {
		t.Errorf("too large: %v", err)
	}
	appendText(t, l, strings.Repeat("x", 100))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Append(ctx, &text{s: "x", filled: never}); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrNotWritten) {
		t.Errorf("cancelled: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(context.Background(), &text{s: "x", filled: never}); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrNotWritten) {
		t.Errorf("closed: %v", err)
	}
	for what, err := range map[string]error{"sync": l.Sync(), "trim": l.Trim(l.End()), "accept": l.AcceptDamage()} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s of a closed log: %v", what, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestEntryThatBreaksItsSizeFailsTheLog(t *testing.T) {
	fs := newMemFiles()
	l, _, _ := reopen(t, quiet(fs))
	appendText(t, l, "good")
	if err := l.Append(context.Background(), liar{}); !errors.Is(err, ErrFailed) || errors.Is(err, ErrNotWritten) {
		t.Fatalf("an entry larger than its size: %v", err)
	}
	l.Close()
	_, rec, got := reopen(t, quiet(fs))
	wantClean(t, rec)
	wantTexts(t, got, "good")
}

type liar struct{}

func (liar) Size() int              { return 3 }
func (liar) Fill(dst []byte) []byte { return append(dst, "four"...) }
func (liar) Durable(_, _ Position)  {}

func TestReplayErrorEndsOpen(t *testing.T) {
	fs := newMemFiles()
	l, _, _ := reopen(t, quiet(fs))
	appendText(t, l, "a", "b")
	l.Close()
	before := fs.clone()
	stop := errors.New("stop")
	_, _, err := Open(memDir, quiet(fs), func(Frame) error { return stop })
	if err != stop {
		t.Fatalf("Open returned %v, want the error of replay", err)
	}
	wantSameFiles(t, before, fs)
}

func wantSameFiles(t testing.TB, before, after *memFiles) {
	t.Helper()
	if len(before.names) != len(after.names) {
		t.Fatalf("%d files before, %d after", len(before.names), len(after.names))
	}
	for n, f := range before.names {
		if after.names[n] == nil || string(after.names[n].live) != string(f.live) {
			t.Fatalf("%s changed", n)
		}
	}
}

func TestOptionsOutOfBounds(t *testing.T) {
	_, _, err := Open(t.TempDir(), Options{SegmentBytes: 100, MaxFrameBytes: -1, Sync: 7, SyncInterval: -1, IdleAfter: -1}, nil)
	for _, field := range []string{"SegmentBytes", "MaxFrameBytes", "Sync ", "SyncInterval", "IdleAfter"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("no word of %s in %v", field, err)
		}
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	foreign := []string{"README", "1.wal", "0000000000.wal", "99999999999.wal", "000000000x.wal", "0000000001.wal.bak"}
	for _, n := range foreign {
		if err := os.WriteFile(filepath.Join(dir, n), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		l, rec, err := Open(dir, Options{SegmentBytes: 8192}, func(Frame) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		wantClean(t, rec)
		appendText(t, l, "x")
		if err := l.Trim(l.End()); err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	for _, n := range foreign {
		if b, err := os.ReadFile(filepath.Join(dir, n)); err != nil || string(b) != "mine" {
			t.Errorf("%s: %q, %v", n, b, err)
		}
	}
}

func TestGroupsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFiles()
		l, _, _ := reopen(t, Options{SegmentBytes: 32 << 20, IdleAfter: time.Hour, files: fs})
		release := blockSyncs(fs)
		e := blob(make([]byte, 1<<20))
		wait := sync.WaitGroup{}
		for range 1 + 20 {
			wait.Go(func() {
				if err := l.Append(context.Background(), &e); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		close(release)
		wait.Wait()
		if n := l.Stats().Groups; n != 1+3 { // 7 MiB of frames each, since 8 do not fit with their headers
			t.Fatalf("%d groups", n)
		}
		l.Close()
	})
}
