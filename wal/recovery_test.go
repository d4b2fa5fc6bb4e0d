package wal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func rngOf(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

// twoLives is a log of three segments: 1 holds a0.. and a closing frame, 2 (full) and 3 hold b0.. .
// Frames are 1000 bytes long. It was not closed and has no idle frame.
func twoLives(t testing.TB) (fs *memFiles, want []string) {
	fs = newMemFiles()
	l, _, _ := reopen(t, quiet(fs))
	fill := func(l *Log, c byte, n int) {
		for i := range n {
			s := fmt.Sprintf("%c%d", c, i)
			s += strings.Repeat(string(c), 960-len(s))
			want = append(want, s)
			appendText(t, l, s)
		}
	}
	fill(l, 'a', 3)
	l.Close()
	l, _, _ = reopen(t, quiet(fs))
	fill(l, 'b', 11)
	crashed := fs.clone()
	l.Close()
	return crashed, want
}

// offsetOf is where frame i of a segment begins when all are 1000 bytes long.
func offsetOf(i int) int64 { return segmentHeaderBytes + 1000*int64(i) }

func TestTornTailOrDamage(t *testing.T) {
	const seg1, seg2, seg3 = "0000000001.wal", "0000000002.wal", "0000000003.wal"
	at := func(id uint32, frame int) Position { return position(id, offsetOf(frame)) }
	flip := func(name string, off int64) func(*memFiles) {
		return func(fs *memFiles) { fs.content(name)[off] ^= 0x10 }
	}
	for _, c := range []struct {
		name    string
		corrupt func(*memFiles)
		lost    []int // of the 14 frames: 0-2 in segment 1, 3-10 in segment 2, 11-13 in segment 3
		cuts    []Cut
		damage  []Damage // Reason not compared
	}{
		{name: "nothing", corrupt: func(*memFiles) {}},
		{
			name: "last frame, never proven: torn", corrupt: flip(seg3, offsetOf(2)+500),
			lost: []int{13}, cuts: []Cut{{seg3, offsetOf(2), 1000}},
		},
		{
			name: "length of the last frame", corrupt: flip(seg3, offsetOf(2)+7),
			lost: []int{13}, cuts: []Cut{{seg3, offsetOf(2), 8192 - offsetOf(2)}},
		},
		{
			name: "last frame but one: proven by the last", corrupt: flip(seg3, offsetOf(1)+500),
			lost: []int{12}, damage: []Damage{{File: seg3, Offset: offsetOf(1), Bytes: 1000, From: at(3, 1), To: at(3, 2)}},
		},
		{
			name: "both", corrupt: func(fs *memFiles) { flip(seg3, offsetOf(1))(fs); flip(seg3, offsetOf(2))(fs) },
			lost: []int{12, 13}, cuts: []Cut{{seg3, offsetOf(1), 1000}},
		},
		{
			name: "in the middle of a full segment", corrupt: flip(seg2, offsetOf(3)+20),
			lost: []int{6}, damage: []Damage{{File: seg2, Offset: offsetOf(3), Bytes: 1000, From: at(2, 3), To: at(2, 4)}},
		},
		{
			name: "two in a row and one apart",
			corrupt: func(fs *memFiles) {
				flip(seg2, offsetOf(1))(fs)
				flip(seg2, offsetOf(2))(fs)
				flip(seg2, offsetOf(5))(fs)
			},
			lost: []int{4, 5, 8},
			damage: []Damage{
				{File: seg2, Offset: offsetOf(1), Bytes: 2000, From: at(2, 1), To: at(2, 3)},
				{File: seg2, Offset: offsetOf(5), Bytes: 1000, From: at(2, 5), To: at(2, 6)},
			},
		},
		{
			name: "last frame of a full segment", corrupt: flip(seg2, offsetOf(7)+999),
			lost: []int{10}, damage: []Damage{{File: seg2, Offset: offsetOf(7), Bytes: 1000, From: at(2, 7), To: at(2, 8)}},
		},
		{
			name: "slack of a full segment", corrupt: flip(seg2, offsetOf(8)+50),
		},
		{
			name: "closing frame of an earlier life", corrupt: flip(seg1, offsetOf(3)+9),
			damage: []Damage{{File: seg1, Offset: offsetOf(3), Bytes: 40, From: at(1, 3), To: at(1, 3) + 40}},
		},
		{
			name: "header", corrupt: flip(seg2, 20),
			damage: []Damage{{File: seg2, Offset: 0, Bytes: 64, From: position(2, 0), To: position(2, 64)}},
		},
		{
			name: "version", corrupt: flip(seg2, 8),
			damage: []Damage{{File: seg2, Offset: 0, Bytes: 64, From: position(2, 0), To: position(2, 64)}},
		},
		{
			name: "first page of a segment", corrupt: func(fs *memFiles) { clear(fs.content(seg2)[:4096]) },
			lost: []int{3, 4, 5, 6, 7},
			damage: []Damage{
				{File: seg2, Offset: 0, Bytes: 64, From: position(2, 0), To: position(2, 64)},
				{File: seg2, Offset: 64, Bytes: 5000, From: at(2, 0), To: at(2, 5)},
			},
		},
		{
			name: "a whole segment", corrupt: func(fs *memFiles) { clear(fs.content(seg2)) },
			lost:   []int{3, 4, 5, 6, 7, 8, 9, 10},
			damage: []Damage{{File: seg2, Bytes: offsetOf(8), From: at(1, 3) + 40, To: at(2, 8)}},
		},
		{
			name: "the oldest segment", corrupt: func(fs *memFiles) { clear(fs.content(seg1)) },
			lost:   []int{0, 1, 2},
			damage: []Damage{{File: seg1, Offset: 64, Bytes: offsetOf(3) + 40 - 64, From: at(1, 0), To: at(1, 3) + 40}},
		},
		{
			name: "missing in the middle", corrupt: func(fs *memFiles) { fs.remove(seg2) },
			lost:   []int{3, 4, 5, 6, 7, 8, 9, 10},
			damage: []Damage{{File: seg2, From: at(1, 3) + 40, To: at(2, 8)}},
		},
		{
			name: "missing at the front: trimmed, for all the log knows", corrupt: func(fs *memFiles) { fs.remove(seg1) },
			lost: []int{0, 1, 2},
		},
		{
			name: "shortened inside a frame", corrupt: func(fs *memFiles) { fs.shorten(seg2, offsetOf(4)+100) },
			lost:   []int{7, 8, 9, 10},
			damage: []Damage{{File: seg2, Offset: offsetOf(4), Bytes: 4000, From: at(2, 4), To: at(2, 8)}},
		},
		{
			name: "shortened between frames", corrupt: func(fs *memFiles) { fs.shorten(seg1, offsetOf(2)) },
			lost:   []int{2},
			damage: []Damage{{File: seg1, Offset: offsetOf(2), Bytes: 1040, From: at(1, 2), To: at(1, 3) + 40}},
		},
		{
			name: "shortened to nothing", corrupt: func(fs *memFiles) { fs.shorten(seg1, 0) },
			lost:   []int{0, 1, 2},
			damage: []Damage{{File: seg1, Offset: 64, Bytes: 0, From: at(1, 0), To: at(1, 3) + 40}},
		},
		{
			name: "last segment shortened inside a frame", corrupt: func(fs *memFiles) { fs.shorten(seg3, offsetOf(2)+100) },
			lost: []int{13}, cuts: []Cut{{seg3, offsetOf(2), 100}},
		},
		{
			name: "last segment shortened inside a frame header", corrupt: func(fs *memFiles) { fs.shorten(seg3, offsetOf(2)+30) },
			lost: []int{13}, cuts: []Cut{{seg3, offsetOf(2), 30}},
		},
		{
			name: "a frame in the place of another", lost: []int{5},
			corrupt: func(fs *memFiles) { b := fs.content(seg2); copy(b[offsetOf(2):], b[offsetOf(1):offsetOf(2)]) },
			damage:  []Damage{{File: seg2, Offset: offsetOf(2), Bytes: 1000, From: at(2, 2), To: at(2, 3)}},
		},
		{
			name: "a segment under another's name", lost: []int{3, 4, 5, 6, 7, 8, 9, 10},
			corrupt: func(fs *memFiles) { copy(fs.content(seg2), fs.content(seg3)) },
			damage:  []Damage{{File: seg2, Bytes: offsetOf(8), From: at(1, 3) + 40, To: at(2, 8)}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs, frames := twoLives(t)
			c.corrupt(fs)
			var want []string
			for i, s := range frames {
				if !slices.Contains(c.lost, i) {
					want = append(want, s)
				}
			}
			before := fs.clone()
			l, rec, got := reopen(t, quiet(fs))
			wantTexts(t, got, want...)
			if !slices.Equal(rec.Cuts, c.cuts) {
				t.Errorf("cuts %v\nwant %v", rec.Cuts, c.cuts)
			}
			wantDamage(t, rec, c.damage...)
			if rec.Frames != len(want) || rec.Bytes != 960*int64(len(want)) {
				t.Errorf("recovery counts %d frames, %d bytes", rec.Frames, rec.Bytes)
			}
			if len(c.damage) == 0 {
				appendText(t, l, "more")
				l.Close()
				_, rec, got := reopen(t, quiet(fs))
				wantClean(t, rec)
				wantTexts(t, got, append(want, "more")...)
				return
			}
			// Damaged: nothing is taken and nothing is changed, not even by Close.
			err := l.Append(context.Background(), &text{s: "more"})
			if !errors.Is(err, ErrDamaged) || !errors.Is(err, ErrNotWritten) {
				t.Fatalf("append to a damaged log: %v", err)
			}
			if err := l.Trim(l.End()); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			wantSameFiles(t, before, fs)
			// Accepted: it takes frames, and later lives see the same frames and no damage.
			l, _, _ = reopen(t, quiet(fs))
			if err := l.AcceptDamage(); err != nil {
				t.Fatal(err)
			}
			appendText(t, l, "more")
			crashed := fs.crash(rngOf(3))
			l.Close()
			for _, fs := range []*memFiles{fs, crashed} {
				for range 2 {
					l, rec, got := reopen(t, quiet(fs))
					wantClean(t, rec)
					wantTexts(t, got, append(want, "more")...)
					l.Close()
				}
			}
			// Trimmed at last: the damaged file is gone and not reused.
			l, _, _ = reopen(t, quiet(fs))
			if err := l.Trim(l.End()); err != nil {
				t.Fatal(err)
			}
			for _, d := range c.damage {
				id, _ := parseName(d.File, segmentSuffix)
				for _, n := range filesOf(fs) {
					if n == freeName(id) || n == segmentName(id) {
						t.Errorf("%s is still there", n)
					}
				}
			}
			l.Close()
			_, rec, got = reopen(t, quiet(fs))
			wantClean(t, rec)
			wantTexts(t, got)
		})
	}
}

func wantDamage(t testing.TB, rec *Recovery, want ...Damage) {
	t.Helper()
	got := slices.Clone(rec.Damage)
	for i := range got {
		if got[i].Reason == "" {
			t.Errorf("no reason in %v", got[i])
		}
		got[i].Reason = ""
	}
	if !slices.Equal(got, want) {
		t.Errorf("damage %v\nwant %v", rec.Damage, want)
	}
}

// TestEveryFlip flips each byte of a log that ends with an idle frame. A flip below that frame must be
// damage, one in it a cut that loses no data, one in bytes that hold nothing must not matter.
func TestEveryFlip(t *testing.T) {
	build := newMemFiles()
	small := func(fs *memFiles) Options {
		o := quiet(fs)
		o.SegmentBytes = 4096
		return o
	}
	l, _, _ := reopen(t, small(build))
	appendText(t, l, "first")
	l.Close()
	l, _, _ = reopen(t, small(build))
	appendText(t, l, "second", "the third one", strings.Repeat("4", 1900), strings.Repeat("5", 1900), "sixth")
	want := []string{"first", "second", "the third one", strings.Repeat("4", 1900), strings.Repeat("5", 1900), "sixth"}
	end := l.End()
	l.Close() // the closing frame stands for the idle one
	for name, f := range build.names {
		id, ok := parseName(name[len(memDir)+1:], segmentSuffix)
		if !ok {
			continue
		}
		for off := range f.live {
			fs := build.clone()
			fs.names[name].live[off] ^= 1 << (off % 8)
			var got []string
			l, rec, err := Open(memDir, small(fs), func(f Frame) error { got = append(got, string(f.Payload)); return nil })
			if err != nil {
				t.Fatalf("%s byte %d: %v", name, off, err)
			}
			used := off < segmentHeaderBytes+offsetUsed(f.live)
			switch pos := position(id, int64(off)); {
			case len(rec.Damage) > 0:
				if pos >= end || !used {
					t.Fatalf("%s byte %d: damage %v where nothing was", name, off, rec.Damage)
				}
				d := rec.Damage[0]
				if len(rec.Damage) != 1 || pos < d.From || pos >= d.To || !subsequence(got, want) {
					t.Fatalf("%s byte %d: %v, replayed %.40q", name, off, rec.Damage, got)
				}
			case len(rec.Cuts) > 0:
				if pos < end || pos >= end+frameHeaderBytes || !slices.Equal(got, want) {
					t.Fatalf("%s byte %d: cut %v, replayed %.40q", name, off, rec.Cuts, got)
				}
			default:
				if used && pos < end+frameHeaderBytes || !slices.Equal(got, want) {
					t.Fatalf("%s byte %d: not noticed, replayed %.40q", name, off, got)
				}
			}
			l.Close()
		}
	}
}

// offsetUsed is how many bytes of frames follow the header.
func offsetUsed(b []byte) int {
	n := 0
	for off := segmentHeaderBytes; off+frameHeaderBytes <= len(b) && b[off+8] != 0; {
		size := int(frameBytes(int64(binary.LittleEndian.Uint32(b[off+4:]))))
		n, off = n+size, off+size
	}
	return n
}

func subsequence(got, want []string) bool {
	for _, s := range got {
		i := slices.Index(want, s)
		if i < 0 {
			return false
		}
		want = want[i+1:]
	}
	return true
}

// TestOpenProvesWhatItReplayed: a last group that nothing proves is replayed; from then on the header of
// the segment that Open began proves it.
func TestOpenProvesWhatItReplayed(t *testing.T) {
	for seed := range uint64(16) {
		fs, want := twoLives(t)
		_, rec, got := reopen(t, quiet(fs)) // and nothing is appended
		wantClean(t, rec)
		wantTexts(t, got, want...)
		fs = fs.crash(rngOf(seed))
		fs.content("0000000003.wal")[offsetOf(2)+100] ^= 1
		_, rec, got = reopen(t, quiet(fs))
		wantTexts(t, got, want[:13]...)
		if len(rec.Damage) != 1 || len(rec.Cuts) != 0 {
			t.Fatalf("seed %d: %+v", seed, rec)
		}
	}
}

// TestFramesOfAnotherLog: ids begin at 1 again when a folder was emptied by hand. What is left on the
// disk of the log before has the same positions, but not the same salt.
func TestFramesOfAnotherLog(t *testing.T) {
	old, _ := twoLives(t)
	fs, want := twoLives(t)
	copy(fs.content("0000000002.wal")[offsetOf(3):offsetOf(5)], old.content("0000000002.wal")[offsetOf(3):])
	copy(fs.content("0000000003.wal")[offsetOf(2):], old.content("0000000003.wal")[offsetOf(2):])
	_, rec, got := reopen(t, quiet(fs))
	wantTexts(t, got, slices.Concat(want[:6], want[8:13])...)
	wantDamage(t, rec, Damage{
		File: "0000000002.wal", Offset: offsetOf(3), Bytes: 2000,
		From: position(2, offsetOf(3)), To: position(2, offsetOf(5)),
	})
}

func TestHeadersThatMakeNoSense(t *testing.T) {
	pos := position(5, 64)
	good := frameHeader{kind: KindData, salt: 7, pos: pos, payload: 100, durableUpto: pos, before: position(5, 0)}
	if err := good.validate(pos, 7, 144); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*frameHeader){
		"position":            func(h *frameHeader) { h.pos += 8 },
		"salt":                func(h *frameHeader) { h.salt = 8 },
		"no salt":             func(h *frameHeader) { h.salt = 0 },
		"kind 0":              func(h *frameHeader) { h.kind = 0 },
		"kind 5":              func(h *frameHeader) { h.kind = 5 },
		"longer than room":    func(h *frameHeader) { h.payload = 105 },
		"longer than allowed": func(h *frameHeader) { h.payload = maxPayloadBytes + 1 },
		"durable_upto":        func(h *frameHeader) { h.durableUpto = pos + 1 },
		"before":              func(h *frameHeader) { h.before = position(5, 1) },
	} {
		h := good
		change(&h)
		if err := h.validate(pos, 7, 144); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for name, h := range map[string]segmentHeader{
		"no salt": {id: 5}, "before": {id: 5, salt: 1, before: position(5, 1)}, "id": {id: 6, salt: 1},
	} {
		if _, err := parseSegmentHeader(appendSegmentHeader(nil, h), 5); err == nil {
			t.Errorf("segment header, %s: taken", name)
		}
	}
}

func TestAcceptedRangeThatMakesNoSenseIsIgnored(t *testing.T) {
	fs, want := twoLives(t)
	fs.content("0000000002.wal")[offsetOf(2)+100] ^= 1
	l, _, _ := reopen(t, quiet(fs))
	if err := l.AcceptDamage(); err != nil {
		t.Fatal(err)
	}
	name := segmentName(l.End().segment())
	l.Close()
	b := fs.content(name)
	clear(b[segmentHeaderBytes+frameHeaderBytes:][:8])
	for i := range 8 {
		b[segmentHeaderBytes+frameHeaderBytes+8+i] = 0xff // everything, for ever
	}
	resealAll(b)
	_, rec, got := reopen(t, quiet(fs))
	wantTexts(t, got, slices.Concat(want[:5], want[6:])...)
	if len(rec.Damage) != 1 {
		t.Fatalf("%+v", rec)
	}
}
