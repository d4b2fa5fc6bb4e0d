package blockfile

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/container"
)

// Each reference gives its block back, and an Avro reader that knows nothing
// of references finds the same blocks.
func TestWriteAndRead(t *testing.T) {
	eachCodec(t, func(t *testing.T, name string) {
		f := testFamily(name)
		file, refs, sum := writeFile(t, f, testBlocks)
		want := Summary{Size: int64(len(file)), CRC: Checksum(file), Blocks: uint64(len(testBlocks)), First: DayStart(MinDay)}
		for i, b := range testBlocks {
			want.Records += uint64(b.records)
			want.RawBytes += int64(len(b.raw))
			want.Last = max(want.Last, b.last)
			r := refs[i]
			if r.Dataset != b.dataset || r.Day != b.day || r.Records != b.records || r.First != b.first || r.Last != b.last || int(r.RawLength) != len(b.raw) {
				t.Errorf("block %d: reference %+v", i, r)
			}
			raw, err := ReadBlock([]byte("kept"), stored(file, r), r, f)
			if err != nil || !bytes.Equal(raw, append([]byte("kept"), b.raw...)) {
				t.Errorf("block %d: %v, or other bytes", i, err)
			}
		}
		if sum != want {
			t.Errorf("summary %+v\n   want %+v", sum, want)
		}
		cr, err := container.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range refs {
			b, err := cr.Next()
			if err != nil {
				t.Fatal(err)
			}
			raw, err := codec.Decompress(name, nil, b.Data, MaxRawBytes)
			if err != nil || !bytes.Equal(raw, testBlocks[i].raw) || b.Offset != r.Offset || b.Length != int64(r.Length) || b.Count != int64(r.Records) {
				t.Errorf("block %d: at %d of %d bytes with %d records, %v", i, b.Offset, b.Length, b.Count, err)
			}
		}
		if _, err := cr.Next(); err != io.EOF {
			t.Errorf("behind the last block: %v", err)
		}
	})
}

func TestWriterIsDeterministic(t *testing.T) {
	eachCodec(t, func(t *testing.T, name string) {
		c, err := codec.NewCompressor(name)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := writeFile(t, testFamily(name), testBlocks)
		for range 2 {
			again, _, _ := writeFile(t, testFamily(name), testBlocks, WithCompressor(c))
			if !bytes.Equal(first, again) {
				t.Fatal("the same blocks gave other bytes")
			}
		}
	})
}

func TestWriterRefusesOtherCompressor(t *testing.T) {
	c, err := codec.NewCompressor(codec.Snappy)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := NewWriter(&out, testFamily(codec.Deflate), WithCompressor(c)); err == nil || out.Len() > 0 {
		t.Errorf("%v, %d bytes written", err, out.Len())
	}
}

// A block with the sync marker in it is refused, whether the marker lies in
// the data or comes about at its edges; the writer goes on, and a file with
// the next marker takes the block.
func TestWriterMarker(t *testing.T) {
	f := testFamily(codec.Null)
	sync := f.Sync()
	hostile := func(f Family, place string) testBlock {
		sync := f.Sync()
		b := testBlock{dataset: "u1", day: 0, records: 1}
		b.raw = appendRecord(nil, "u1", 0, 0, place+string(sync[:]))
		return b
	}
	good := makeBlock("u1", 0, 10)
	var file bytes.Buffer
	w, err := NewWriter(&file, f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.appendBlock(good); err != nil {
		t.Fatal(err)
	}
	size := w.Size()
	for _, place := range []string{"", "x", "glacier"} {
		if ref, err := w.appendBlock(hostile(f, place)); !errors.Is(err, ErrMarker) {
			t.Fatalf("place %q: %+v, %v; want ErrMarker", place, ref, err)
		}
	}
	if w.Size() != size || int64(file.Len()) != size {
		t.Errorf("refused blocks moved the end from %d to %d (%d written)", size, w.Size(), file.Len())
	}
	if ref, err := w.appendBlock(good); err != nil || ref.Offset != size {
		t.Errorf("after a refused block: %+v, %v", ref, err)
	}
	if sum, err := w.Close(); err != nil || sum.Blocks != 2 || sum.CRC != Checksum(file.Bytes()) {
		t.Errorf("%+v, %v", sum, err)
	}
	if n := bytes.Count(file.Bytes(), sync[:]); n != 3 {
		t.Errorf("the marker occurs %d times, want 3: header and two blocks", n)
	}

	next := f
	next.Marker++
	if next.Sync() == sync {
		t.Fatal("the next marker is the same")
	}
	out, refs, _ := writeFile(t, next, []testBlock{hostile(f, "x")})
	if raw, err := ReadBlock(nil, stored(out, refs[0]), refs[0], next); err != nil || !bytes.Equal(raw, hostile(f, "x").raw) {
		t.Errorf("in the next file: %v, or other bytes", err)
	}
}

func TestContainsMarker(t *testing.T) {
	sync := [16]byte{'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a'}
	for _, tc := range []struct {
		data string
		want bool
	}{
		{"bcd", false},
		{"", false},
		{"aaaaaaaaaaaaaaab", false},
		{"b" + string(sync[:]) + "b", true},
		{"ba", true},      // an occurrence begins in the data and ends in the marker
		{"\x00aab", true}, // hidden behind nothing: see the prefix below
	} {
		prefix := []byte{9, 9}
		if tc.data == "\x00aab" {
			prefix = []byte{'a'} // the marker before and this byte make an occurrence
		}
		b := slices.Concat(sync[:], prefix, []byte(tc.data), sync[:])
		if got := containsMarker(b, sync); got != tc.want {
			t.Errorf("data %q: %v, want %v", tc.data, got, tc.want)
		}
	}
}

func TestWriterTooLarge(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, testFamily(codec.Deflate))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Append("u", 0, make([]byte, MaxRawBytes+1), 1, 0, 0); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v, want ErrTooLarge", err)
	}
	if _, err := w.appendBlock(makeBlock("u", 0, 1)); err != nil {
		t.Errorf("after a block too large: %v", err)
	}
}

func TestWriterTooLargeCompressed(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, testFamily(codec.Null))
	if err != nil {
		t.Fatal(err)
	}
	size := w.Size()
	if _, err := w.Append("u", 0, make([]byte, container.MaxBlockBytes+1), 1, 0, 0); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v, want ErrTooLarge", err)
	}
	if w.Size() != size {
		t.Error("something was written")
	}
}

// Blocks move between files of one family as bytes.
func TestWriterSplices(t *testing.T) {
	eachCodec(t, func(t *testing.T, name string) {
		f := testFamily(name)
		a, refsA, _ := writeFile(t, f, testBlocks[:3])
		b, refsB, _ := writeFile(t, f, testBlocks[3:])
		whole, wantRefs, wantSum := writeFile(t, f, testBlocks)
		var joined bytes.Buffer
		w, err := NewWriter(&joined, f)
		if err != nil {
			t.Fatal(err)
		}
		var refs []Ref
		for i, r := range slices.Concat(refsA, refsB) {
			file := a
			if i >= len(refsA) {
				file = b
			}
			ref, err := w.AppendStored(r, stored(file, r))
			if err != nil {
				t.Fatal(err)
			}
			refs = append(refs, ref)
		}
		sum, err := w.Close()
		if err != nil || sum != wantSum || !bytes.Equal(joined.Bytes(), whole) || !slices.Equal(refs, wantRefs) {
			t.Errorf("spliced: %v, bytes equal %v, references equal %v", err, bytes.Equal(joined.Bytes(), whole), slices.Equal(refs, wantRefs))
		}
	})
}

func TestWriterRefusesToSplice(t *testing.T) {
	f := testFamily(codec.Deflate)
	file, refs, _ := writeFile(t, f, testBlocks[:2])
	other := f
	other.Salt[0]++
	foreign, foreignRefs, _ := writeFile(t, other, testBlocks[:2])
	var out bytes.Buffer
	w, err := NewWriter(&out, f)
	if err != nil {
		t.Fatal(err)
	}
	size := w.Size()
	damaged := bytes.Clone(stored(file, refs[1]))
	damaged[20] ^= 4
	for name, tc := range map[string]struct {
		ref   Ref
		block []byte
	}{
		"damaged":          {refs[1], damaged},
		"cut":              {refs[1], stored(file, refs[1])[:10]},
		"empty":            {refs[1], nil},
		"another block":    {refs[1], stored(file, refs[0])},
		"another family":   {foreignRefs[1], stored(foreign, foreignRefs[1])},
		"impossible times": {func() Ref { r := refs[1]; r.Last += msPerDay; return r }(), stored(file, refs[1])},
	} {
		if _, err := w.AppendStored(tc.ref, tc.block); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
	if w.Size() != size {
		t.Error("something was written")
	}
	if _, err := w.AppendStored(refs[1], stored(file, refs[1])); err != nil {
		t.Errorf("a good block after refused ones: %v", err)
	}
}

func TestWriterRefusesWrongCalls(t *testing.T) {
	b := makeBlock("u1", 100, 5)
	for name, change := range map[string]func(b *testBlock){
		"nothing":          func(b *testBlock) { b.raw = nil },
		"no records":       func(b *testBlock) { b.records = 0 },
		"too many records": func(b *testBlock) { b.records = uint32(len(b.raw)) + 1 },
		"another day":      func(b *testBlock) { b.day++ },
		"into the next":    func(b *testBlock) { b.last = DayStart(101) },
		"from the last":    func(b *testBlock) { b.first = DayStart(100) - 1 },
		"backwards":        func(b *testBlock) { b.first, b.last = b.last, b.first },
		"long dataset":     func(b *testBlock) { b.dataset = string(make([]byte, MaxDatasetBytes+1)) },
	} {
		var out bytes.Buffer
		w, err := NewWriter(&out, testFamily(codec.Deflate))
		if err != nil {
			t.Fatal(err)
		}
		size := w.Size()
		bad := b
		change(&bad)
		_, first := w.appendBlock(bad)
		if first == nil || w.Size() != size || int64(out.Len()) != size {
			t.Errorf("%s: %v, %d bytes written", name, first, out.Len())
		}
		if _, err := w.appendBlock(b); err != first {
			t.Errorf("%s: then a good block: %v; the writer must stay broken", name, err)
		}
		if _, err := w.Close(); err != first {
			t.Errorf("%s: then Close: %v", name, err)
		}
	}
}

// Wherever the writes below fail, the writer says so and stays broken.
func TestWriterFailsAnywhere(t *testing.T) {
	f := testFamily(codec.Null)
	whole, _, _ := writeFile(t, f, testBlocks[:3])
	for _, short := range []bool{false, true} {
		for room := range len(whole) {
			w, err := NewWriter(&failingWriter{room: room, short: short}, f)
			for i := 0; err == nil && i < 3; i++ {
				_, err = w.appendBlock(testBlocks[i])
			}
			want := errDisk
			if short {
				want = io.ErrShortWrite
			}
			if !errors.Is(err, want) {
				t.Fatalf("room for %d of %d bytes: %v", room, len(whole), err)
			}
			if w == nil {
				continue
			}
			if _, again := w.appendBlock(testBlocks[0]); again != err {
				t.Fatalf("room for %d bytes: then %v, want %v again", room, again, err)
			}
			if _, again := w.AppendStored(Ref{}, nil); again != err {
				t.Fatalf("room for %d bytes: then %v, want %v again", room, again, err)
			}
			if _, again := w.Close(); again != err {
				t.Fatalf("room for %d bytes: Close %v, want %v again", room, again, err)
			}
		}
	}
}

func TestWriterClosed(t *testing.T) {
	var out bytes.Buffer
	w, err := NewWriter(&out, testFamily(codec.Deflate))
	if err != nil {
		t.Fatal(err)
	}
	first, err := w.Close()
	if err != nil || first.Size != int64(out.Len()) || first.CRC != Checksum(out.Bytes()) {
		t.Errorf("file without blocks: %+v, %v", first, err)
	}
	if again, err := w.Close(); err != nil || again != first {
		t.Errorf("second Close: %+v, %v", again, err)
	}
	if _, err := w.appendBlock(testBlocks[0]); !errors.Is(err, ErrWriterClosed) {
		t.Errorf("Append after Close: %v", err)
	}
	if _, err := w.AppendStored(Ref{}, nil); !errors.Is(err, ErrWriterClosed) {
		t.Errorf("AppendStored after Close: %v", err)
	}
}

func TestWriterMemory(t *testing.T) {
	c, err := codec.NewCompressor(codec.Deflate)
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(io.Discard, testFamily(codec.Deflate), WithCompressor(c))
	if err != nil {
		t.Fatal(err)
	}
	b := testBlocks[1]
	n := testing.AllocsPerRun(100, func() {
		if _, err := w.appendBlock(b); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations a block", n)
	}
}
