package wal

import (
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenLog writes a fixed input with fixed salts: a life with two data frames and a closing one; a life
// with a frame that fills the segment, a roll, a frame of every padding, an idle frame.
func goldenLog(t *testing.T) *memFiles {
	fs := newMemFiles()
	salt := uint32(0xa0a0a000)
	o := Options{
		SegmentBytes: 4096, IdleAfter: 50 * time.Millisecond, files: fs,
		IdleFill: func(dst []byte) []byte { return append(dst, "totals"...) },
		salt:     func() uint32 { salt++; return salt },
	}
	l, _, _ := reopen(t, o)
	appendText(t, l, "the first frame", "")
	l.Close()
	l, _, _ = reopen(t, o)
	appendText(t, l, "third", strings.Repeat("fills the segment. ", 200), "1", "12345678", strings.Repeat("x", 15))
	time.Sleep(time.Second)
	synctest.Wait()
	crashed := fs.crash(rngOf(1))
	l.Close()
	return crashed
}

// goldenCases are made from the golden log: good and damaged ones side by side.
var goldenCases = map[string]func(files map[string][]byte){
	"sound": func(map[string][]byte) {},
	"torn": func(files map[string][]byte) { // the idle frame was not written and the frame before it only in part
		clear(files["0000000003.wal"][64+45:])
	},
	"damaged": func(files map[string][]byte) { files["0000000002.wal"][200] ^= 1 },
	"missing": func(files map[string][]byte) { delete(files, "0000000002.wal") },
}

func TestGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := goldenLog(t)
		for name, corrupt := range goldenCases {
			dir := filepath.Join("testdata", name)
			files := map[string][]byte{}
			for n, f := range fs.names {
				files[filepath.Base(n)] = slices.Clone(f.live)
			}
			corrupt(files)
			if *update {
				writeGolden(t, dir, files)
			}
			kept := readGolden(t, dir)
			want := maps.Clone(kept)
			maps.DeleteFunc(want, func(n string, _ []byte) bool { return strings.HasSuffix(n, ".txt") })
			for _, n := range slices.Sorted(maps.Keys(files)) {
				if string(files[n]) != string(want[n]) {
					t.Errorf("%s/%s: a fixed input no longer gives these bytes", name, n)
				}
			}
			if len(files) != len(want) {
				t.Errorf("%s: %d files written, %d kept", name, len(files), len(want))
			}
			if got := dump(want); got != string(kept["dump.txt"]) {
				t.Errorf("%s: the kept bytes are\n%s\nbut dump.txt says\n%s", name, got, kept["dump.txt"])
			}
			if got := recoveryOf(t, want); got != string(kept["recovery.txt"]) {
				t.Errorf("%s: the kept bytes are read as\n%s\nbut recovery.txt says\n%s", name, got, kept["recovery.txt"])
			}
		}
	})
}

func writeGolden(t *testing.T, dir string, files map[string][]byte) {
	out := maps.Clone(files)
	out["dump.txt"], out["recovery.txt"] = []byte(dump(files)), []byte(recoveryOf(t, files))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for n, b := range out {
		if err := os.WriteFile(filepath.Join(dir, n), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func readGolden(t *testing.T, dir string) map[string][]byte {
	names, err := (disk{}).ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, n := range names {
		if files[n], err = os.ReadFile(filepath.Join(dir, n)); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func memOf(files map[string][]byte) *memFiles {
	fs := newMemFiles()
	for n, b := range files {
		name := filepath.Join(memDir, n)
		fs.change(nameChange{add: name, file: &memFile{fs: fs, live: slices.Clone(b), disk: slices.Clone(b)}})
	}
	fs.durable, fs.pending = maps.Clone(fs.names), nil
	return fs
}

// recoveryOf says what a replay of the files gives.
func recoveryOf(t *testing.T, files map[string][]byte) string {
	var b strings.Builder
	l, rec, err := Open(memDir, quiet(memOf(files)), func(f Frame) error {
		fmt.Fprintf(&b, "%v to %v %v %.20q (%d bytes)\n", f.Pos, f.End, f.Kind, f.Payload, len(f.Payload))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fmt.Fprintf(&b, "%d data frames of %d bytes, clean %v\n", rec.Frames, rec.Bytes, rec.Clean)
	for _, c := range rec.Cuts {
		fmt.Fprintf(&b, "cut: %v\n", c)
	}
	for _, d := range rec.Damage {
		fmt.Fprintf(&b, "damage: %v\n", d)
	}
	return b.String()
}

// dump explains every byte of segments without the package's own reader, as a second opinion.
func dump(files map[string][]byte) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		b := files[name]
		le := binary.LittleEndian
		line := func(off, n int, format string, args ...any) {
			fmt.Fprintf(&out, "%6d  %-48s %s\n", off, hex(b[off:off+n]), fmt.Sprintf(format, args...))
		}
		fmt.Fprintf(&out, "%s, %d bytes\n", name, len(b))
		line(0, 8, "magic %q", b[:8])
		line(8, 4, "version %d", le.Uint32(b[8:]))
		line(12, 4, "segment id %d", le.Uint32(b[12:]))
		line(16, 8, "before %d:%d", le.Uint32(b[20:]), le.Uint32(b[16:]))
		line(24, 4, "salt %08x", le.Uint32(b[24:]))
		line(28, 32, "zero")
		line(60, 4, "CRC-32C")
		off := 64
		for off+40 <= len(b) && b[off+8] != 0 {
			n := int(le.Uint32(b[off+4:]))
			end := min((off+40+n+7)/8*8, len(b))
			fmt.Fprintf(&out, "        frame of %d bytes\n", end-off)
			line(off, 4, "CRC-32C")
			line(off+4, 4, "payload of %d bytes", n)
			line(off+8, 1, "kind %d", b[off+8])
			line(off+9, 3, "zero")
			line(off+12, 4, "salt %08x", le.Uint32(b[off+12:]))
			line(off+16, 8, "position %d:%d", le.Uint32(b[off+20:]), le.Uint32(b[off+16:]))
			line(off+24, 8, "durable_upto %d:%d", le.Uint32(b[off+28:]), le.Uint32(b[off+24:]))
			line(off+32, 8, "before %d:%d", le.Uint32(b[off+36:]), le.Uint32(b[off+32:]))
			if n > 0 {
				line(off+40, n, "payload %.16q", b[off+40:off+40+n])
			}
			if pad := end - off - 40 - n; pad > 0 {
				line(end-pad, pad, "padding")
			}
			off = end
		}
		fmt.Fprintf(&out, "%6d  %d zeros\n", off, strings.Count(string(b[off:]), "\x00"))
	}
	return out.String()
}

func hex(b []byte) string {
	if len(b) > 16 {
		return fmt.Sprintf("% x ..", b[:15])
	}
	return fmt.Sprintf("% x", b)
}

func TestUnknownVersionIsAnErrorOfItsOwn(t *testing.T) {
	fs, _ := twoLives(t)
	b := fs.content("0000000002.wal")
	binary.LittleEndian.PutUint32(b[8:], 2)
	binary.LittleEndian.PutUint32(b[60:], 0x12345678) // whatever version 2 checks
	before := fs.clone()
	_, _, err := Open(memDir, quiet(fs), func(Frame) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "0000000002.wal: wal: unknown format version 2, this program knows 1") {
		t.Fatalf("%v", err)
	}
	wantSameFiles(t, before, fs)
}
