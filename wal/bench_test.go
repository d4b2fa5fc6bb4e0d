package wal

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// blob is an entry without work of its own.
type blob []byte

func (e *blob) Size() int              { return len(*e) }
func (e *blob) Fill(dst []byte) []byte { return append(dst, *e...) }
func (e *blob) Durable(_, _ Position)  {}

// BenchmarkAppend trims as an engine would, so that segments are reused. B.N counts entries.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{256, 250_000} {
		for _, callers := range []int{1, 8, 64} {
			for _, mode := range []SyncMode{SyncAlways, SyncInterval} {
				name := fmt.Sprintf("bytes=%d/callers=%d/sync=%s", size, callers, []string{"always", "interval"}[mode])
				b.Run(name, func(b *testing.B) {
					l, _, err := Open(b.TempDir(), Options{Sync: mode}, func(Frame) error { return nil })
					if err != nil {
						b.Fatal(err)
					}
					defer l.Close()
					b.SetBytes(int64(size))
					b.ReportAllocs()
					var next atomic.Int64
					wait := sync.WaitGroup{}
					before := l.Stats()
					b.ResetTimer()
					for range callers {
						wait.Go(func() {
							e := blob(make([]byte, size))
							for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
								if err := l.Append(context.Background(), &e); err != nil {
									b.Error(err)
									return
								}
								if n%256 == 0 {
									if err := l.Trim(l.End()); err != nil {
										b.Error(err)
									}
								}
							}
						})
					}
					wait.Wait()
					b.StopTimer()
					after := l.Stats()
					b.ReportMetric(float64(after.Syncs-before.Syncs)/float64(b.N), "syncs/op")
					b.ReportMetric(float64(after.WrittenBytes-before.WrittenBytes)/float64(after.PayloadBytes-before.PayloadBytes), "written/payload")
				})
			}
		}
	}
}

func BenchmarkReplay(b *testing.B) {
	for _, size := range []int{256, 250_000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			dir := b.TempDir()
			o := Options{Sync: SyncInterval, SyncInterval: time.Hour}
			l, _, err := Open(dir, o, func(Frame) error { return nil })
			if err != nil {
				b.Fatal(err)
			}
			e := blob(make([]byte, size))
			total := 0
			for ; total < 64<<20; total += size {
				if err := l.Append(context.Background(), &e); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(total))
			b.ReportAllocs()
			for b.Loop() {
				l, rec, err := Open(dir, o, func(Frame) error { return nil })
				if err != nil || rec.Frames*size != total {
					b.Fatal(err, rec)
				}
				l.Close()
			}
		})
	}
}

// TestAppendDoesNotAllocate counts what one append costs, the appender's side included.
func TestAppendDoesNotAllocate(t *testing.T) {
	o := Options{SegmentBytes: 1 << 20, IdleAfter: time.Hour, files: discard{}}
	l, _, err := Open(memDir, o, func(Frame) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e := blob(make([]byte, 1000))
	got := testing.AllocsPerRun(500, func() {
		if err := l.Append(context.Background(), &e); err != nil {
			t.Fatal(err)
		}
	})
	if got >= 1 {
		t.Fatalf("%v allocations an append", got)
	}
}

// TestReplayMemoryIsBounded replays 16 MiB in small frames and allows a fraction of that.
func TestReplayMemoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	o := Options{SegmentBytes: 1 << 20, Sync: SyncInterval}
	l, _, err := Open(dir, o, func(Frame) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	e := blob(make([]byte, 10_000))
	const frames = 1600
	for range frames {
		if err := l.Append(context.Background(), &e); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	l, rec, err := Open(dir, o, func(Frame) error { return nil })
	runtime.ReadMemStats(&after)
	if err != nil || rec.Frames != frames {
		t.Fatal(err, rec)
	}
	l.Close()
	if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
		t.Fatalf("replay of 16 MiB allocated %d bytes", got)
	}
}

// discard is a disk that takes everything and keeps nothing.
type discard struct{}

func (discard) MkdirAll(string) error            { return nil }
func (discard) ReadDir(string) ([]string, error) { return nil, nil }
func (discard) Open(string) (file, error)        { return nil, errDisk }
func (discard) Create(string) (file, error)      { return discardFile{}, nil }
func (discard) Rename(_, _ string) error         { return nil }
func (discard) Remove(string) error              { return nil }
func (discard) SyncDir(string) error             { return nil }

type discardFile struct{ file }

func (discardFile) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
func (discardFile) Fdatasync() error                       { return nil }
func (discardFile) Allocate(int64) error                   { return nil }
func (discardFile) Close() error                           { return nil }
