package wal

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// FuzzReplay feeds arbitrary bytes to Open as two segments. Whatever they are: no panic, nothing replayed
// out of order, a second Open of an undamaged log sees the same, and damage can be accepted.
func FuzzReplay(f *testing.F) {
	for name := range goldenCases {
		one, _ := os.ReadFile(filepath.Join("testdata", name, "0000000002.wal"))
		two, _ := os.ReadFile(filepath.Join("testdata", name, "0000000003.wal"))
		for _, reseal := range []bool{false, true} {
			f.Add(one, two, uint16(0), byte(0), reseal)
			f.Add(one, two, uint16(130), byte(7), reseal)
			f.Add(two, one, uint16(4100), byte(255), reseal)
		}
	}
	f.Fuzz(func(t *testing.T, one, two []byte, at uint16, mask byte, reseal bool) {
		if len(one)+len(two) > 1<<16 {
			return
		}
		one, two = slices.Clone(one), slices.Clone(two)
		if int(at) < len(one) {
			one[at] ^= mask
		} else if i := int(at) - len(one); i < len(two) {
			two[i] ^= mask
		}
		if reseal {
			resealAll(one)
			resealAll(two)
		}
		fs := memOf(map[string][]byte{"0000000002.wal": one, "0000000003.wal": two})
		o := quiet(fs)
		open := func() (*Log, *Recovery, []string, error) {
			var got []string
			last := Position(0)
			l, rec, err := Open(memDir, o, func(f Frame) error {
				if f.Pos < last || f.End <= f.Pos {
					t.Fatalf("frame from %v to %v after %v", f.Pos, f.End, last)
				}
				last = f.End
				got = append(got, string(f.Payload))
				return nil
			})
			return l, rec, got, err
		}
		l, rec, got, err := open()
		if err != nil {
			return
		}
		if reseal {
			// Valid checksums over nonsense: no disk makes these, so nothing more is promised than an end.
			_ = l.AcceptDamage()
			l.Close()
			if l, _, _, err = open(); err == nil {
				l.Close()
			}
			return
		}
		if len(rec.Damage) > 0 {
			if err := l.AcceptDamage(); err != nil {
				t.Fatalf("accept: %v", err)
			}
		}
		appendText(t, l, "more")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, rec, again, err := open()
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if len(rec.Cuts)+len(rec.Damage) > 0 || !slices.Equal(again, append(got, "more")) {
			t.Fatalf("first %.20q, then %.20q, %+v", got, again, rec)
		}
	})
}

// resealAll makes all checksums of a segment right, as far as its lengths lead from frame to frame.
func resealAll(b []byte) {
	le := binary.LittleEndian
	if len(b) < segmentHeaderBytes {
		return
	}
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	for off := segmentHeaderBytes; off+frameHeaderBytes <= len(b); {
		size := frameBytes(int64(le.Uint32(b[off+4:])))
		if size > int64(len(b)-off) {
			return
		}
		le.PutUint32(b[off:], crc32.Checksum(b[off+4:off+int(size)], castagnoli))
		off += int(size)
	}
}

// TestRandomDamage breaks a log in several places at once. Whatever breaks: what is replayed was
// written, in order; a frame that is missing before one that is there is reported; and what one Open saw
// the next one sees.
func TestRandomDamage(t *testing.T) {
	build, want := twoLives(t)
	kinds := map[string]int{}
	for seed := range uint64(600) {
		rng := rngOf(seed)
		fs := build.clone()
		for range 1 + rng.IntN(4) {
			names := filesOf(fs)
			name := names[rng.IntN(len(names))]
			b := fs.content(name)
			if len(b) == 0 {
				continue
			}
			at := rng.IntN(len(b))
			page := b[at/512*512 : min(at/512*512+512, len(b))]
			switch rng.IntN(7) {
			case 0:
				fs.shorten(name, int64(at))
			case 1:
				if len(names) > 1 {
					fs.remove(name)
				}
			case 2:
				clear(page)
			case 3: // a page of another segment: a write that went astray
				other := fs.content(names[rng.IntN(len(names))])
				copy(page, other[min(at/512*512, len(other)):])
			default:
				b[at] ^= 1 << rng.IntN(8)
			}
		}
		l, rec, got := reopen(t, quiet(fs))
		if !subsequence(got, want) {
			t.Fatalf("seed %d: replayed %.8q", seed, got)
		}
		switch {
		case len(rec.Damage) > 0:
			kinds["damage"]++
			if err := l.AcceptDamage(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		case len(got) > 0 && !contiguous(got, want):
			t.Fatalf("seed %d: %.8q is missing something in silence", seed, got)
		case len(rec.Cuts) > 0:
			kinds["cut"]++
		default:
			kinds["nothing"]++
		}
		appendText(t, l, "more")
		crashed := fs.crash(rng)
		l.Close()
		for _, fs := range []*memFiles{fs, crashed} {
			_, rec, again := reopen(t, quiet(fs))
			if len(rec.Cuts)+len(rec.Damage) > 0 || !slices.Equal(again, append(slices.Clone(got), "more")) {
				t.Fatalf("seed %d: first %.8q, then %.8q, %+v", seed, got, again, rec)
			}
		}
	}
	if kinds["damage"] < 100 || kinds["cut"] < 10 || kinds["nothing"] < 10 {
		t.Fatalf("%v: the damage is not varied enough", kinds)
	}
}

// contiguous tells whether got is a stretch of want: only the front, which may have been trimmed, and
// the tail may be missing.
func contiguous(got, want []string) bool {
	i := slices.Index(want, got[0])
	return i >= 0 && i+len(got) <= len(want) && slices.Equal(got, want[i:i+len(got)])
}
