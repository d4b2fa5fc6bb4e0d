package codec

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"hash/adler32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// foreignStreams returns the files of testdata made by the reference implementations.
func foreignStreams(t testing.TB) (raw []byte, files map[string][]byte) {
	t.Helper()
	paths, err := filepath.Glob("testdata/*-*.bin")
	if err != nil {
		t.Fatal(err)
	}
	paths = append(paths, "testdata/deflate.bin", "testdata/bzip2.bin")
	files = map[string][]byte{}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(filepath.Base(p), ".bin")] = b
	}
	if len(files) < 12 {
		t.Fatalf("testdata holds only %d streams", len(files))
	}
	raw, err = os.ReadFile("testdata/raw.bin")
	if err != nil {
		t.Fatal(err)
	}
	return raw, files
}

func codecOf(file string) string { name, _, _ := strings.Cut(file, "-"); return name }

func samples() map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 70_000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	text := []byte(strings.Repeat(`{"dataset_id":"u1","hp":17}`+"\n", 4000))
	return map[string][]byte{
		"empty": {}, "one byte": {0}, "text": text, "noise": noise, "zeros": make([]byte, 300_000),
		"both": append(bytes.Clone(noise), text...),
	}
}

func mustCompress(t testing.TB, name string, raw []byte) []byte {
	t.Helper()
	c, err := NewCompressor(name)
	if err != nil {
		t.Fatal(err)
	}
	comp, err := c.Append(nil, raw)
	if err != nil {
		t.Fatal(err)
	}
	return comp
}

func TestRoundTrip(t *testing.T) {
	for _, name := range Names {
		c, err := NewCompressor(name)
		if err != nil {
			t.Fatal(err)
		}
		if c.Name() != name {
			t.Errorf("NewCompressor(%q).Name() = %q", name, c.Name())
		}
		for what, raw := range samples() {
			t.Run(name+"/"+what, func(t *testing.T) {
				for range 2 { // the second time with used buffers
					comp, err := c.Append([]byte("head"), raw)
					if err != nil {
						t.Fatal(err)
					}
					if string(comp[:4]) != "head" {
						t.Fatal("Append changed what dst held")
					}
					got, err := Decompress(name, []byte("front"), comp[4:], len(raw))
					if err != nil {
						t.Fatal(err)
					}
					if string(got[:5]) != "front" || !bytes.Equal(got[5:], raw) {
						t.Fatal("other bytes came back")
					}
				}
			})
		}
	}
}

func TestForeignStreams(t *testing.T) {
	raw, files := foreignStreams(t)
	for file, comp := range files {
		got, err := Decompress(codecOf(file), nil, comp, len(raw))
		if err != nil {
			t.Errorf("%s: %v", file, err)
		} else if !bytes.Equal(got, raw) {
			t.Errorf("%s: other bytes came back", file)
		}
	}
}

func TestMaxRaw(t *testing.T) {
	raw, files := foreignStreams(t)
	for _, name := range Names {
		files[name] = mustCompress(t, name, raw)
	}
	for file, comp := range files {
		for _, maxRaw := range []int{-1, 0, 1, len(raw) / 2, len(raw) - 1} {
			for _, dst := range [][]byte{nil, make([]byte, 3, 3+2*len(raw))} {
				got, err := Decompress(codecOf(file), dst, comp, maxRaw)
				if !errors.Is(err, ErrTooLarge) {
					t.Errorf("%s, at most %d bytes: error %v", file, maxRaw, err)
				}
				if len(got) != len(dst) {
					t.Errorf("%s, at most %d bytes: an error came with %d bytes", file, maxRaw, len(got))
				}
			}
		}
		if _, err := Decompress(codecOf(file), nil, comp, len(raw)+1); err != nil {
			t.Errorf("%s with room to spare: %v", file, err)
		}
	}
}

func TestTrailingBytes(t *testing.T) {
	raw, files := foreignStreams(t)
	for _, name := range Names {
		files[name] = mustCompress(t, name, raw)
	}
	for file, comp := range files {
		if codecOf(file) == Null {
			continue
		}
		for _, tail := range []string{"\x00", "x", "\x00\x00\x00", "abcd", "\x00\x00\x00\x00", string(comp[:len(comp)/2])} {
			if _, err := Decompress(codecOf(file), nil, append(bytes.Clone(comp), tail...), 1<<20); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s with %q behind it: error %v", file, tail, err)
			}
		}
	}
}

// TestAdlerRest: the leftovers of the Python writers are accepted only if they are the checksum of these bytes.
func TestAdlerRest(t *testing.T) {
	raw := []byte("some raw bytes")
	comp := mustCompress(t, Deflate, raw)
	a := adler32.Checksum(raw)
	sum := []byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}
	for n := range 5 {
		_, err := Decompress(Deflate, []byte("prefix"), append(bytes.Clone(comp), sum[:n]...), 100)
		if ok := n == 0 || n >= 3; ok != (err == nil) {
			t.Errorf("%d bytes of the checksum: error %v", n, err)
		}
	}
	sum[1] ^= 1
	if _, err := Decompress(Deflate, nil, append(comp, sum[:3]...), 100); !errors.Is(err, ErrCorrupt) {
		t.Errorf("wrong checksum: error %v", err)
	}
}

func TestTruncated(t *testing.T) {
	raw, files := foreignStreams(t)
	for _, name := range []string{Deflate, Zstandard, Snappy} {
		files[name] = mustCompress(t, name, raw)
	}
	for file, comp := range files {
		for n := range comp {
			got, err := Decompress(codecOf(file), nil, comp[:n], len(raw))
			switch {
			case err == nil && bytes.Equal(got, raw) && codecOf(file) == Deflate:
				// only the Adler-32 was cut
			case err == nil && strings.Contains(file, "two") && bytes.HasPrefix(raw, got) && len(got) == len(raw)/2:
				// cut exactly between two streams
			case !errors.Is(err, ErrCorrupt):
				t.Fatalf("%s cut to %d of %d bytes: error %v, %d bytes", file, n, len(comp), err, len(got))
			}
		}
	}
}

// TestDamage flips bits all over: nothing panics, and codecs with a checksum never return other bytes.
func TestDamage(t *testing.T) {
	raw, files := foreignStreams(t)
	for _, name := range []string{Deflate, Zstandard, Snappy} {
		files[name] = mustCompress(t, name, raw)
	}
	for file, comp := range files {
		checked := codecOf(file) != Deflate && file != "xz-none"
		step := 3                   // every bit position, in turns
		if codecOf(file) == Bzip2 { // its readers begin with megabytes of tables
			step = 13
		}
		if raceEnabled {
			step *= 17
		}
		for i := 0; i < len(comp)*8; i += step {
			damaged := bytes.Clone(comp)
			damaged[i/8] ^= 1 << (i % 8)
			got, err := Decompress(codecOf(file), nil, damaged, len(raw))
			if len(got) > len(raw) {
				t.Fatalf("%s: bit %d: %d bytes", file, i, len(got))
			}
			if checked && err == nil && !bytes.Equal(got, raw) {
				t.Fatalf("%s: bit %d: other bytes came back without an error", file, i)
			}
			if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("%s: bit %d: unmarked error %v", file, i, err)
			}
		}
	}
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestBombs: what inflates past the maximum, or says that it would, costs memory in the order of the maximum.
func TestBombs(t *testing.T) {
	const maxRaw = 1 << 20
	zeros := make([]byte, 16<<20)
	claim := func(name string, head ...byte) func() (string, []byte) {
		return func() (string, []byte) { return name, head }
	}
	zstdStream := func() (string, []byte) {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		w.Write(zeros)
		w.Close()
		return Zstandard, b.Bytes()
	}
	manyBlocks := func() (string, []byte) {
		// One xz block that names a dictionary of 4 GiB and holds nothing, 10,000 times.
		head := []byte{2, 0, xzFilterLZMA, 1, 40, 0, 0, 0}
		block := append(appendCRC(head), 0, 0, 0, 0) // end of LZMA2 data, padded
		b := append(bytes.Clone(xzMagic), appendCRC([]byte{0, 0})...)
		return XZ, append(b, bytes.Repeat(block, 10_000)...)
	}
	for what, bomb := range map[string]func() (string, []byte){
		"deflate":            func() (string, []byte) { return Deflate, mustCompress(t, Deflate, zeros) },
		"zstandard":          func() (string, []byte) { return Zstandard, mustCompress(t, Zstandard, zeros) },
		"zstandard stream":   zstdStream,
		"snappy":             func() (string, []byte) { return Snappy, mustCompress(t, Snappy, zeros) },
		"snappy claims 4GiB": claim(Snappy, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0, 0, 0, 0),
		"snappy claims 1MiB": claim(Snappy, 0x80, 0x80, 0x40, 0, 0, 0, 0, 0),
		"zstd claims 2^60":   claim(Zstandard, 0x28, 0xB5, 0x2F, 0xFD, 0xE0, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0),
		"zstd window 2^41":   claim(Zstandard, 0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xF8, 1, 0, 0),
		"xz dictionaries":    manyBlocks,
	} {
		name, comp := bomb()
		Decompress(name, nil, comp, 0) // so that pooled decoders are there
		var err error
		used := allocated(func() { _, err = Decompress(name, nil, comp, maxRaw) })
		if err == nil {
			t.Errorf("%s: no error", what)
		}
		limit := uint64(8 * maxRaw)
		if name == XZ {
			limit += 100 << 20
		}
		if used > limit {
			t.Errorf("%s: %d bytes allocated for at most %d", what, used, maxRaw)
		}
	}
}

// TestClaims: a length that the input cannot hold costs nothing, however large a block may be.
func TestClaims(t *testing.T) {
	const maxRaw = 64 << 20
	for what, row := range map[string]struct {
		name string
		comp []byte
	}{
		"snappy says 32 MiB": {Snappy, []byte{0x80, 0x80, 0x80, 0x10, 0, 0, 0, 0, 0}},
		// One frame with an 8-byte content size of 32 MiB and one last block of one byte as it is.
		"zstandard says 32 MiB": {Zstandard, []byte{0x28, 0xB5, 0x2F, 0xFD, 0xE0, 0, 0, 0, 2, 0, 0, 0, 0, 9, 0, 0, 'x'}},
	} {
		Decompress(row.name, nil, row.comp, maxRaw)
		var err error
		used := allocated(func() { _, err = Decompress(row.name, nil, row.comp, maxRaw) })
		if !errors.Is(err, ErrCorrupt) || used > 1<<20 {
			t.Errorf("%s: error %v, %d bytes allocated", what, err, used)
		}
	}
}

func TestUnknown(t *testing.T) {
	for _, name := range []string{"", "gzip", "Deflate", "zstd", "lzma", "deflate ", "null\x00"} {
		if _, err := NewCompressor(name); !errors.Is(err, ErrUnknown) {
			t.Errorf("NewCompressor(%q): %v", name, err)
		}
		if _, err := Decompress(name, nil, nil, 1); !errors.Is(err, ErrUnknown) {
			t.Errorf("Decompress(%q): %v", name, err)
		}
		if Valid(name) || Readable(name) {
			t.Errorf("%q is taken for a codec", name)
		}
	}
	for _, name := range []string{Bzip2, XZ} {
		if _, err := NewCompressor(name); !errors.Is(err, ErrUnknown) || Valid(name) || !Readable(name) {
			t.Errorf("%s is only for reading: %v", name, err)
		}
	}
	for _, name := range Names {
		if !Valid(name) || !Readable(name) {
			t.Errorf("%s is not valid", name)
		}
	}
	if Names[0] != Default {
		t.Error("the default is not the first name")
	}
}

// TestStandardReaders reads deflate with the standard library, an implementation of its own.
func TestStandardReaders(t *testing.T) {
	for what, raw := range samples() {
		var got bytes.Buffer
		if _, err := got.ReadFrom(flate.NewReader(bytes.NewReader(mustCompress(t, Deflate, raw)))); err != nil {
			t.Errorf("%s: %v", what, err)
		} else if !bytes.Equal(got.Bytes(), raw) {
			t.Errorf("%s: other bytes came back", what)
		}
	}
}

func TestConcurrent(t *testing.T) {
	raw, files := foreignStreams(t)
	var wg sync.WaitGroup
	errs := make(chan error, 100)
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				for file, comp := range files {
					bad := append(bytes.Clone(comp), 'x')
					if _, err := Decompress(codecOf(file), nil, bad, len(raw)); err == nil {
						errs <- fmt.Errorf("%d: %s: damage not seen", i, file)
						return
					}
					got, err := Decompress(codecOf(file), nil, comp, len(raw))
					if err != nil || !bytes.Equal(got, raw) {
						errs <- fmt.Errorf("%d: %s: %v", i, file, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

// TestNoAllocations: a reused compressor and a caller who knows the raw length pay for no memory per block.
func TestNoAllocations(t *testing.T) {
	raw := samples()["both"]
	for _, name := range Names {
		c, err := NewCompressor(name)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 0, 2*len(raw)+1024)
		if n := testing.AllocsPerRun(10, func() { _, err = c.Append(buf, raw) }); n != 0 || err != nil {
			t.Errorf("%s: %v allocations to compress, error %v", name, n, err)
		}
		if raceEnabled {
			continue
		}
		comp, _ := c.Append(nil, raw)
		out := make([]byte, 0, len(raw))
		if n := testing.AllocsPerRun(10, func() { _, err = Decompress(name, out, comp, len(raw)) }); n > 0.5 || err != nil {
			t.Errorf("%s: %v allocations to decompress, error %v", name, n, err)
		}
	}
}
