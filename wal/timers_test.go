package wal

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestIdleFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, mode := range []SyncMode{SyncAlways, SyncInterval} {
			fs := newMemFiles()
			var n atomic.Int64
			o := Options{SegmentBytes: 8192, IdleAfter: 50 * time.Millisecond, Sync: mode, SyncInterval: time.Hour, files: fs,
				IdleFill: func(dst []byte) []byte { return fmt.Appendf(dst, "idle %d", n.Add(1)) }}
			l, _, _ := reopen(t, o)
			time.Sleep(time.Hour)
			synctest.Wait()
			if n.Load() != 0 {
				t.Fatalf("mode %d: %d idle frames in a log that nothing was appended to", mode, n.Load())
			}
			appendText(t, l, "a")
			time.Sleep(49 * time.Millisecond)
			appendText(t, l, "b")
			time.Sleep(49 * time.Millisecond)
			synctest.Wait()
			if n.Load() != 0 {
				t.Fatalf("mode %d: idle frame too early", mode)
			}
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			time.Sleep(time.Hour)
			if n.Load() != 1 {
				t.Fatalf("mode %d: %d idle frames, want 1", mode, n.Load())
			}
			if err := l.Sync(); err != nil { // is no reason for another one
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if n.Load() != 1 {
				t.Fatalf("mode %d: an idle frame after an idle frame", mode)
			}
			// The power goes: the idle frame makes "b" durable in both modes, and proves it.
			fs = fs.crash(rngOf(1))
			l.Close()
			flipped := fs.clone()
			o.files = fs
			l, rec, got := reopen(t, o)
			wantClean(t, rec)
			wantTexts(t, got, "a", "b", "idle 1")
			l.Close()
			flipped.content(segmentName(1))[segmentHeaderBytes+48+frameHeaderBytes] ^= 1 // the b
			o.files = flipped
			l, rec, got = reopen(t, o)
			if len(rec.Damage) != 1 || got[0] != "a" || got[1] != "idle 1" {
				t.Fatalf("mode %d: %q, %+v", mode, got, rec)
			}
			l.Close()
		}
	})
}

func TestSyncInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFiles()
		o := Options{SegmentBytes: 8192, Sync: SyncInterval, IdleAfter: 24 * time.Hour, files: fs}
		l, _, _ := reopen(t, o)
		syncs := func() uint64 { return l.Stats().Syncs }
		base := syncs()
		for range 10 {
			appendText(t, l, "x")
			time.Sleep(10 * time.Millisecond)
		}
		if syncs() != base {
			t.Fatal("a sync before the interval is over")
		}
		time.Sleep(101 * time.Millisecond)
		synctest.Wait()
		if syncs() != base+1 {
			t.Fatalf("%d syncs after the interval, want 1", syncs()-base)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if syncs() != base+1 {
			t.Fatal("a sync with nothing to sync")
		}
		appendText(t, l, "y")
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		crashed := fs.crash(rngOf(7))
		if syncs() != base+2 {
			t.Fatalf("%d syncs, want 2", syncs()-base)
		}
		l.Close()
		o.files = crashed
		l, _, got := reopen(t, o)
		if len(got) != 11 || got[10] != "y" {
			t.Fatalf("after Sync and a power cut: %q", got)
		}
		l.Close()
	})
}
