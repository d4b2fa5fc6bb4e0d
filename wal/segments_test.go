package wal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

func filesOf(fs *memFiles) []string {
	names, _ := fs.ReadDir(memDir)
	slices.Sort(names)
	return names
}

// fillSegments appends n frames of which four fit in a segment.
func fillSegments(t testing.TB, l *Log, n int) (texts []string, ends []Position) {
	for i := range n {
		e := appendText(t, l, fmt.Sprintf("%02d%s", i, strings.Repeat("x", 1950)))
		texts, ends = append(texts, e.s), append(ends, e.end)
	}
	return texts, ends
}

func TestTrimFreesOldestFirst(t *testing.T) {
	fs := newMemFiles()
	l, _, _ := reopen(t, quiet(fs))
	texts, ends := fillSegments(t, l, 26) // two in the last one, not half full: no next one is made
	all := []string{
		"0000000001.wal", "0000000002.wal", "0000000003.wal", "0000000004.wal",
		"0000000005.wal", "0000000006.wal", "0000000007.wal",
	}
	free := []string{"0000000001.free", "0000000002.free"}
	for _, c := range []struct {
		upTo Position
		want []string
		left int
	}{
		{0, all, 26},
		{ends[3] - 1, all, 26},
		{ends[3], append(slices.Clone(free[:1]), all[1:]...), 22},
		{ends[15], append(slices.Clone(free), all[4:]...), 10},
		{l.End(), append(slices.Clone(free), all[6]), 2}, // the segment in use stays
		{^Position(0), append(slices.Clone(free), all[6]), 2},
	} {
		if err := l.Trim(c.upTo); err != nil {
			t.Fatal(err)
		}
		if got := filesOf(fs); !slices.Equal(got, c.want) {
			t.Fatalf("trimmed to %v: files %q, want %q", c.upTo, got, c.want)
		}
		_, rec, got := reopen(t, quiet(fs.crash(rngOf(uint64(c.upTo)))))
		wantClean(t, rec)
		wantTexts(t, got, texts[26-c.left:]...)
	}
	if s := l.Stats(); s.Segments != 1 || s.FreeSegments != 2 || s.DiskBytes != 3*8192 {
		t.Fatalf("%+v", s)
	}
}

func TestKeepNoSegments(t *testing.T) {
	fs := newMemFiles()
	o := quiet(fs)
	o.KeepSegments = -1
	l, _, _ := reopen(t, o)
	fillSegments(t, l, 26)
	if err := l.Trim(l.End()); err != nil {
		t.Fatal(err)
	}
	if got := filesOf(fs); !slices.Equal(got, []string{"0000000007.wal"}) {
		t.Fatalf("files %q", got)
	}
}

// TestSegmentOfMarksAloneIsFreed: idle and closing frames are of no use once the data is elsewhere.
func TestSegmentOfMarksAloneIsFreed(t *testing.T) {
	fs := newMemFiles()
	var data Position
	for i := range 5 {
		l, _, _ := reopen(t, quiet(fs))
		if i == 0 {
			data = appendText(t, l, "x").end
		}
		l.Close()
	}
	l, _, _ := reopen(t, quiet(fs))
	if err := l.Trim(data - 1); err != nil {
		t.Fatal(err)
	}
	if n := l.Stats().Segments; n != 6 {
		t.Fatalf("%d segments before", n)
	}
	if err := l.Trim(data); err != nil {
		t.Fatal(err)
	}
	if n := l.Stats().Segments; n != 1 {
		t.Fatalf("%d segments after: %q", n, filesOf(fs))
	}
}

// TestReusedSegmentsHoldStaleFrames fills segments, trims them, and goes on in the same files, with
// frames of the same size: every stale frame stands where a frame could be. None may come back, with and
// without a torn tail.
func TestReusedSegmentsHoldStaleFrames(t *testing.T) {
	fs := newMemFiles()
	l, _, _ := reopen(t, quiet(fs))
	fillSegments(t, l, 9)
	if err := l.Trim(l.End()); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l, _, _ = reopen(t, quiet(fs)) // begins in a reused file
	for i := 0; ; i++ {
		s := strings.Repeat(string(rune('a'+i)), 1952)
		at := appendText(t, l, s)
		if len(filesOf(fs)) == 0 || i == 6 {
			break
		}
		stale := fs.content(segmentName(at.end.segment()))[at.end.offset():]
		if i == 0 && !strings.Contains(string(stale), "xxxxxxxx") {
			t.Fatal("the file in use holds nothing stale: the test tests nothing")
		}
		page := stale[:roundToPage(at.end.offset())-at.end.offset()]
		if strings.Trim(string(page), "\x00") != "" {
			t.Fatalf("%d: the last page of the group was not filled up with zeros", i)
		}
		crashed := fs.clone()
		_, rec, got := reopen(t, quiet(crashed))
		wantClean(t, rec)
		if len(got) == 0 || got[len(got)-1] != s || strings.HasPrefix(got[len(got)-1], "0") {
			t.Fatalf("%d: replayed %.10q", i, got)
		}
		torn := fs.clone()
		torn.content(segmentName(at.pos.segment()))[at.pos.offset()+1000] ^= 1
		_, rec, got = reopen(t, quiet(torn))
		if len(rec.Cuts) != 1 || len(rec.Damage) > 0 || slices.Contains(got, s) {
			t.Fatalf("%d torn: %+v, replayed %.10q", i, rec, got)
		}
	}
	l.Close()
}

func TestNextSegmentIsMadeAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFiles()
		l, _, _ := reopen(t, quiet(fs))
		release := make(chan struct{})
		fs.hook(func(op, name string) error {
			if op == "allocate" {
				<-release
			}
			return nil
		})
		fillSegments(t, l, 4) // fills the first segment while the second is being made
		synctest.Wait()
		if got := filesOf(fs); !slices.Equal(got, []string{"0000000001.wal", tempName}) {
			t.Fatalf("files %q", got)
		}
		done := make(chan error, 1)
		go func() {
			done <- l.Append(context.Background(), &text{s: strings.Repeat("y", 1950)})
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("an entry that needs the next segment returned %v", err)
		default:
		}
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		l.Close()
		_, rec, got := reopen(t, quiet(fs))
		wantClean(t, rec)
		if len(got) != 5 {
			t.Fatalf("%d frames", len(got))
		}
	})
}

func TestMakingAheadMayFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFiles()
		l, _, _ := reopen(t, quiet(fs))
		failOn(fs, syscall.ENOSPC, isOp("allocate"))
		texts, _ := fillSegments(t, l, 4)
		synctest.Wait()
		fs.hook(nil)
		more, _ := fillSegments(t, l, 4) // made when it is needed
		l.Close()
		_, rec, got := reopen(t, quiet(fs))
		wantClean(t, rec)
		wantTexts(t, got, append(texts, more...)...)
	})
}

func TestRestartsDoNotFillTheDisk(t *testing.T) {
	fs := newMemFiles()
	l, _, _ := reopen(t, quiet(fs))
	appendText(t, l, "x")
	for range 50 {
		fs = fs.crash(rngOf(1)) // each Open begins a segment; none is left behind
		l, _, _ = reopen(t, quiet(fs))
	}
	if s := l.Stats(); s.DiskBytes > 4*8192 || s.Segments > 3 {
		t.Fatalf("after 50 restarts: %d segments, %d bytes, %q", s.Segments, s.DiskBytes, filesOf(fs))
	}
}

func TestUnreadablePages(t *testing.T) {
	build, want := twoLives(t)
	for _, c := range []struct {
		name string
		file string
		from int64 // of the pages that cannot be read
		lost []int
	}{
		{"a page of a full segment", "0000000002.wal", 4096, []int{7, 8, 9, 10}},
		{"the first page", "0000000002.wal", 0, []int{3, 4, 5, 6, 7}},
		{"the tail, which might have been acknowledged", "0000000003.wal", 0, []int{11, 12, 13}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := build.clone()
			var left []string
			for i, s := range want {
				if !slices.Contains(c.lost, i) {
					left = append(left, s)
				}
			}
			files := unreadable{memFiles: fs, name: c.file, from: c.from, to: c.from + 4096}
			o := quiet(fs)
			o.files = files
			l, rec, got := reopen(t, o)
			wantTexts(t, got, left...)
			if len(rec.Damage) == 0 || len(rec.Cuts) > 0 {
				t.Fatalf("%+v", rec)
			}
			if err := l.AcceptDamage(); err != nil {
				t.Fatal(err)
			}
			appendText(t, l, "more")
			l.Close()
			left = append(left, "more")
			_, rec, got = reopen(t, o)
			wantClean(t, rec)
			wantTexts(t, got, left...)
			// Given up is given up, also when the disk can read it again.
			_, rec, got = reopen(t, quiet(fs))
			wantClean(t, rec)
			wantTexts(t, got, left...)
		})
	}
}

// unreadable fails reads that touch a range of one file.
type unreadable struct {
	*memFiles
	name     string
	from, to int64
}

func (u unreadable) Open(name string) (file, error) {
	f, err := u.memFiles.Open(name)
	if err == nil && filepath.Base(name) == u.name {
		return unreadableFile{f, u}, nil
	}
	return f, err
}

type unreadableFile struct {
	file
	u unreadable
}

func (f unreadableFile) ReadAt(b []byte, off int64) (int, error) {
	if off < f.u.to && f.u.from < off+int64(len(b)) {
		return 0, errDisk
	}
	return f.file.ReadAt(b, off)
}

// TestUnreadableTail: the last page, with the last frames in it, cannot be read and nothing proves them.
func TestUnreadableTail(t *testing.T) {
	fs := newMemFiles()
	l, _, _ := reopen(t, quiet(fs))
	texts := []string{}
	for i := range 7 {
		texts = append(texts, strings.Repeat(string(rune('a'+i)), 960))
	}
	appendText(t, l, texts...)
	crashed := fs.clone()
	o := quiet(crashed)
	o.files = unreadable{memFiles: crashed, name: segmentName(1), from: 4096, to: 8192}
	l, rec, got := reopen(t, o)
	wantTexts(t, got, texts[:4]...)
	if len(rec.Cuts) != 0 || len(rec.Damage) != 1 || !strings.Contains(rec.Damage[0].Reason, "cannot read") {
		t.Fatalf("%+v", rec)
	}
	if err := l.AcceptDamage(); err != nil {
		t.Fatal(err)
	}
	appendText(t, l, "more")
	l.Close()
	for _, files := range []fileSystem{o.files, crashed} {
		o.files = files
		_, rec, got = reopen(t, o)
		wantClean(t, rec)
		wantTexts(t, got, append(slices.Clone(texts[:4]), "more")...)
	}
}

// TestReusedFileOfAnotherVersion: the header of the life before is gone before a file is a segment.
func TestReusedFileOfAnotherVersion(t *testing.T) {
	fs := newMemFiles()
	l, _, _ := reopen(t, quiet(fs))
	fillSegments(t, l, 9)
	if err := l.Trim(l.End()); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"0000000001.free", "0000000002.free"} {
		b := fs.content(n)
		b[8] = 9
		clear(b[60:64])
	}
	fillSegments(t, l, 3) // makes the next segment ahead, from one of them
	l.Close()
	_, rec, _ := reopen(t, quiet(fs.clone()))
	wantClean(t, rec)
}

func TestAcceptDamageMayFailAndBeTriedAgain(t *testing.T) {
	for _, op := range []string{"allocate", "truncate", "rename", "syncdir", "create"} {
		fs, want := twoLives(t)
		fs.content("0000000002.wal")[offsetOf(2)+100] ^= 1
		fs.content("0000000003.wal")[offsetOf(2)+100] ^= 1 // and a torn tail
		want = slices.Concat(want[:5], want[6:13])
		l, rec, got := reopen(t, quiet(fs))
		wantTexts(t, got, want...)
		if len(rec.Damage) != 1 || len(rec.Cuts) != 1 {
			t.Fatalf("%+v", rec)
		}
		failOn(fs, syscall.ENOSPC, isOp(op))
		if err := l.AcceptDamage(); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("%s: %v", op, err)
		}
		if err := l.Append(context.Background(), &text{s: "x"}); !errors.Is(err, ErrDamaged) {
			t.Fatalf("%s: append: %v", op, err)
		}
		fs.hook(nil)
		if err := l.AcceptDamage(); err != nil {
			t.Fatalf("%s: second try: %v", op, err)
		}
		if err := l.AcceptDamage(); err != nil {
			t.Fatalf("%s: nothing left to accept: %v", op, err)
		}
		appendText(t, l, "more")
		l.Close()
		_, rec, got = reopen(t, quiet(fs))
		wantClean(t, rec)
		wantTexts(t, got, append(want, "more")...)
	}
}

func TestFreshDamageAfterAcceptedDamageIsReported(t *testing.T) {
	fs, want := twoLives(t)
	fs.content("0000000002.wal")[offsetOf(2)+100] ^= 1
	l, _, _ := reopen(t, quiet(fs))
	if err := l.AcceptDamage(); err != nil {
		t.Fatal(err)
	}
	l.Close()
	fs.content("0000000002.wal")[offsetOf(3)+100] ^= 1 // the neighbour
	fs.content("0000000002.wal")[offsetOf(2)+200] ^= 1 // inside what was accepted
	_, rec, got := reopen(t, quiet(fs))
	wantTexts(t, got, slices.Concat(want[:5], want[7:])...)
	wantDamage(t, rec, Damage{
		File: "0000000002.wal", Offset: offsetOf(3), Bytes: 1000,
		From: position(2, offsetOf(3)), To: position(2, offsetOf(4)),
	})
}

func TestCloseWhileDamaged(t *testing.T) {
	fs, _ := twoLives(t)
	fs.content("0000000002.wal")[offsetOf(2)+100] ^= 1
	l, _, _ := reopen(t, quiet(fs))
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.AcceptDamage(); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}
