package container

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/hamba/avro/v2"
)

var update = flag.Bool("update", false, "write the golden files anew")

var testSync = [SyncSize]byte{'s', 'y', 'n', 'c', 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xFF}

func testMeta() []Meta {
	return []Meta{{SchemaKey, []byte(`"long"`)}, {CodecKey, []byte("null")}, {"firn.x", []byte{0, 1, 255}}}
}

// testFile is a file of three blocks, of which the second is empty.
func testFile() []byte {
	b := AppendHeader(nil, testMeta(), testSync)
	b = AppendBlock(b, 2, []byte{2, 4}, testSync)
	b = AppendBlock(b, 0, nil, testSync)
	return AppendBlock(b, 300, bytes.Repeat([]byte{6}, 300), testSync)
}

func headerSize(file []byte) int { return bytes.Index(file, testSync[:]) + SyncSize }

// readAll returns what a Reader gives before its error; the error of a whole file is nil.
func readAll(r io.Reader) (Header, []Block, error) {
	cr, err := NewReader(r)
	if err != nil {
		return Header{}, nil, err
	}
	var blocks []Block
	for {
		b, err := cr.Next()
		if err == io.EOF {
			_, again := cr.Next()
			if again != io.EOF {
				err = fmt.Errorf("after the end: %w", again)
			} else {
				err = nil
			}
			return cr.Header(), blocks, err
		}
		if err != nil {
			if _, again := cr.Next(); again != err {
				err = fmt.Errorf("the error did not stay: %v, then %v", err, again)
			}
			return cr.Header(), blocks, err
		}
		b.Data = bytes.Clone(b.Data)
		blocks = append(blocks, b)
	}
}

func TestGolden(t *testing.T) {
	file := testFile()
	const path = "testdata/three-blocks.avro"
	if *update {
		if err := os.WriteFile(path, file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, want) {
		t.Errorf("written\n%swant\n%s", hex.Dump(file), hex.Dump(want))
	}
}

func TestRead(t *testing.T) {
	file := testFile()
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r },
		"bytes": iotest.OneByteReader, "half": iotest.HalfReader, "eof with data": iotest.DataErrReader,
	} {
		h, blocks, err := readAll(wrap(bytes.NewReader(file)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if string(h.Schema) != `"long"` || h.Codec != "null" || h.Sync != testSync || h.Size != int64(headerSize(file)) || len(h.Meta) != 3 {
			t.Errorf("%s: header %+v", name, h)
		}
		if v, ok := h.Lookup("firn.x"); !ok || !bytes.Equal(v, []byte{0, 1, 255}) {
			t.Errorf("%s: firn.x is %v", name, v)
		}
		if len(blocks) != 3 {
			t.Fatalf("%s: %d blocks", name, len(blocks))
		}
		off := h.Size
		for i, b := range blocks {
			count, data, n, err := ParseBlock(file[b.Offset:], testSync)
			if err != nil {
				t.Fatalf("%s: block %d: %v", name, i, err)
			}
			if b.Offset != off || int64(n) != b.Length || count != b.Count || !bytes.Equal(data, b.Data) {
				t.Errorf("%s: block %d: %+v, by its offset %d records in %d bytes", name, i, b, count, n)
			}
			off += b.Length
		}
		if off != int64(len(file)) {
			t.Errorf("%s: blocks end at %d of %d", name, off, len(file))
		}
	}
}

// TestAgainstWriter: header and blocks are what the Avro library's own primitives give.
func TestAgainstWriter(t *testing.T) {
	w := avro.NewWriter(nil, 64)
	for _, count := range []int64{0, 1, 63, 64, 8191, 8192, 1 << 40, 1<<63 - 1} {
		for _, n := range []int{0, 1, 64, 8192, 100_000} {
			comp := bytes.Repeat([]byte{'c'}, n)
			w.Reset(nil)
			w.WriteLong(count)
			w.WriteBytes(comp)
			w.Write(testSync[:])
			if got := AppendBlock([]byte("x"), count, comp, testSync); !bytes.Equal(got[1:], w.Buffer()) {
				t.Fatalf("block of %d records, %d bytes differs", count, n)
			}
			if len(w.Buffer()) > n+MaxBlockOverhead {
				t.Fatalf("block of %d records, %d bytes takes more than the overhead", count, n)
			}
		}
	}
}

func TestHeaderForms(t *testing.T) {
	long := func(v int64) string { return string(binary.AppendVarint(nil, v)) }
	str := func(s string) string { return long(int64(len(s))) + s }
	sync := string(testSync[:])
	schema := str(SchemaKey) + str(`"int"`)
	for _, row := range []struct {
		name, header string
		want         string // in the error; empty if the header is good
	}{
		{"one chunk", "Obj\x01" + long(1) + schema + "\x00" + sync, ""},
		{"two chunks", "Obj\x01" + long(1) + schema + long(1) + str("a") + str("b") + "\x00" + sync, ""},
		{"chunk with its size", "Obj\x01" + long(-1) + long(int64(len(schema))) + schema + "\x00" + sync, ""},
		{"chunk with a wrong size", "Obj\x01" + long(-1) + long(int64(len(schema))+1) + schema + "\x00" + sync, "more than it says"},
		{"chunk with a negative size", "Obj\x01" + long(-1) + long(-1) + schema + "\x00" + sync, "metadata of -1 bytes"},
		{"chunk with a vast size", "Obj\x01" + long(-1) + long(1<<62) + schema + "\x00" + sync, "metadata of"},
		{"no metadata", "Obj\x01\x00" + sync, "no avro.schema"},
		{"no schema", "Obj\x01" + long(1) + str("a") + str("b") + "\x00" + sync, "no avro.schema"},
		{"empty schema", "Obj\x01" + long(1) + str(SchemaKey) + str("") + "\x00" + sync, ""},
		{"key twice", "Obj\x01" + long(2) + schema + schema + "\x00" + sync, "comes twice"},
		{"key not UTF-8", "Obj\x01" + long(2) + schema + str("\xff") + str("") + "\x00" + sync, "not UTF-8"},
		{"codec too long", "Obj\x01" + long(2) + schema + str(CodecKey) + str(strings.Repeat("z", 65)) + "\x00" + sync, "no proper avro.codec"},
		{"codec not UTF-8", "Obj\x01" + long(2) + schema + str(CodecKey) + str("\xff") + "\x00" + sync, "no proper avro.codec"},
		{"too many entries", "Obj\x01" + long(1001) + schema, "more than 1000"},
		{"2^62 entries", "Obj\x01" + long(1<<62) + schema, "more than 1000"},
		{"-2^63 entries", "Obj\x01" + long(-1<<63) + long(10) + schema, "more than 1000"},
		{"too many entries in two chunks", "Obj\x01" + long(1) + schema + long(1000), "more than 1000"},
		{"negative key length", "Obj\x01" + long(1) + long(-5), "key of -5 bytes"},
		{"vast key length", "Obj\x01" + long(1) + long(1<<50), "key of"},
		{"negative value length", "Obj\x01" + long(1) + str("a") + long(-5), "value of -5 bytes"},
		{"header too long", "Obj\x01" + long(2) + str("a") + str(strings.Repeat("z", MaxHeaderBytes-100)) + str("b") + str(strings.Repeat("z", 100)), "longer than"},
		{"endless number", "Obj\x01" + strings.Repeat("\xff", 20), "no number"},
		{"number past 64 bits", "Obj\x01" + strings.Repeat("\xff", 9) + "\x02", "no number"},
		{"other version", "Obj\x02" + long(1) + schema + "\x00" + sync, "begins with"},
		{"not Avro", "PAR1 and so on", "begins with"},
		{"empty file", "", "ends within"},
	} {
		h, err := ReadHeader(bufio.NewReader(strings.NewReader(row.header + "\x00\x00")))
		var fe *FormatError
		switch {
		case row.want == "" && err != nil:
			t.Errorf("%s: %v", row.name, err)
		case row.want == "" && (h.Size != int64(len(row.header)) || h.Codec != "null" || h.Sync != testSync):
			t.Errorf("%s: %+v", row.name, h)
		case row.want != "" && (!errors.As(err, &fe) || !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), row.want)):
			if row.name == "empty file" && errors.Is(err, ErrMalformed) {
				continue // the two bytes behind it are no magic number either
			}
			t.Errorf("%s: error %v, want one with %q", row.name, err, row.want)
		}
	}
}

func TestBlockForms(t *testing.T) {
	long := func(v int64) string { return string(binary.AppendVarint(nil, v)) }
	head := string(AppendHeader(nil, testMeta(), testSync))
	sync := string(testSync[:])
	good := long(1) + long(1) + "\x02" + sync
	for _, row := range []struct {
		name, block string
		want        string
		truncated   bool
	}{
		{"negative count", long(-1) + long(1) + "\x02" + sync, "block of -1 records", false},
		{"smallest count", long(-1<<63) + long(1) + "\x02" + sync, "records", false},
		{"negative size", long(1) + long(-1) + "\x02" + sync, "block of -1 bytes", false},
		{"size 2^40", long(1) + long(1<<40) + "\x02" + sync, "at most", false},
		{"size 2 GiB, 3 bytes present", long(1) + long(2<<30) + "abc", "at most", false},
		{"one byte past the maximum", long(1) + long(MaxBlockBytes+1) + "abc", "at most", false},
		{"the maximum, 3 bytes present", long(1) + long(MaxBlockBytes) + "abc", "ends within", true},
		{"size one too large", long(1) + long(2) + "\x02" + sync, "ends within", true},
		{"size one too small", long(1) + long(1) + "\x02\x02" + sync, "no sync marker", false},
		{"other sync marker", long(1) + long(1) + "\x02" + strings.Repeat("x", SyncSize), "no sync marker", false},
		{"stray byte", good + "\x02", "ends within", true},
		{"stray newline", good + "\n", "ends within", true},
		{"stray zeros", good + "\x00\x00\x00", "ends within", true},
		{"endless count", strings.Repeat("\x80", 11), "no number", false},
		{"endless size", "\x02" + strings.Repeat("\x80", 11), "no number", false},
	} {
		_, _, err := readAll(strings.NewReader(head + row.block))
		var fe *FormatError
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), row.want) || fe.Truncated != row.truncated ||
			errors.Is(err, io.ErrUnexpectedEOF) != row.truncated || !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want one with %q", row.name, err, row.want)
		}
		if fe != nil && fe.Offset < int64(len(head)) {
			t.Errorf("%s: offset %d lies in the header", row.name, fe.Offset)
		}
		if strings.HasPrefix(row.block, good) {
			continue
		}
		if _, _, _, err := ParseBlock([]byte(row.block), testSync); !errors.As(err, &fe) || fe.Truncated != row.truncated {
			t.Errorf("%s: ParseBlock: error %v", row.name, err)
		}
	}
}

// TestTruncated cuts a file at every byte: only the ends of blocks are ends of a file.
func TestTruncated(t *testing.T) {
	file := testFile()
	_, blocks, err := readAll(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	ends := map[int64]int{int64(headerSize(file)): 0}
	for i, b := range blocks {
		ends[b.Offset+b.Length] = i + 1
	}
	for n := range file {
		_, got, err := readAll(bytes.NewReader(file[:n]))
		want, whole := ends[int64(n)]
		if whole && (err != nil || len(got) != want) {
			t.Errorf("%d bytes: %d blocks, error %v", n, len(got), err)
		}
		var fe *FormatError
		if !whole && (!errors.As(err, &fe) || !fe.Truncated || fe.Offset != int64(n)) {
			t.Errorf("%d bytes: %d blocks, error %v", n, len(got), err)
		}
	}
	for i, b := range blocks {
		for n := range b.Length {
			if _, _, _, err := ParseBlock(file[b.Offset:b.Offset+n], testSync); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("block %d cut to %d bytes: error %v", i, n, err)
			}
		}
	}
}

// TestReaderErrors: an error of the underlying reader is not damage.
func TestReaderErrors(t *testing.T) {
	file := testFile()
	broken := errors.New("disk on fire")
	for n := range len(file) + 1 {
		_, _, err := readAll(io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) || errors.Is(err, ErrMalformed) {
			t.Fatalf("after %d bytes: error %v", n, err)
		}
	}
}

// TestMemory: memory follows the bytes that are there, not the length that they claim.
func TestMemory(t *testing.T) {
	file := AppendHeader(nil, testMeta(), testSync)
	file = binary.AppendVarint(file, 1)
	file = binary.AppendVarint(file, MaxBlockBytes)
	file = append(file, make([]byte, 1000)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := readAll(bytes.NewReader(file))
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes allocated for a block of 1000", used)
	}
}

func TestAppendKeepsDst(t *testing.T) {
	h := AppendHeader([]byte("front"), nil, testSync)
	if want := "frontObj\x01\x00" + string(testSync[:]); string(h) != want {
		t.Errorf("%q, want %q", h, want)
	}
	dst := make([]byte, 0, 200_000)
	comp := make([]byte, 100_000)
	if n := testing.AllocsPerRun(10, func() { AppendBlock(dst, 5, comp, testSync) }); n != 0 {
		t.Errorf("AppendBlock makes %v allocations", n)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(testFile())
	f.Add(testFile()[:60])
	f.Add([]byte("Obj\x01\x00"))
	f.Fuzz(func(t *testing.T, file []byte) {
		h, blocks, err := readAll(bytes.NewReader(file))
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("unmarked error %v", err)
		}
		off := h.Size
		for _, b := range blocks {
			count, data, n, err := ParseBlock(file[off:], h.Sync)
			if err != nil || off != b.Offset || int64(n) != b.Length || count != b.Count || !bytes.Equal(data, b.Data) {
				t.Fatalf("block at %d: %+v, by its offset %d records, %d bytes, %v", off, b, count, n, err)
			}
			off += b.Length
		}
		if h.Size > 0 && err == nil && off != int64(len(file)) {
			t.Fatalf("the blocks end at %d of %d", off, len(file))
		}
		if h.Size > 0 {
			// Written again, the entries read the same.
			again, err := ReadHeader(bufio.NewReader(bytes.NewReader(AppendHeader(nil, h.Meta, h.Sync))))
			if err != nil || !bytes.Equal(again.Schema, h.Schema) || again.Codec != h.Codec || len(again.Meta) != len(h.Meta) {
				t.Fatalf("written again: %+v, %v", again, err)
			}
		}
	})
}

func BenchmarkReader(b *testing.B) {
	file := AppendHeader(nil, testMeta(), testSync)
	block := make([]byte, 32<<10)
	for len(file) < 8<<20 {
		file = AppendBlock(file, 500, block, testSync)
	}
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(file))
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = r.Next()
		}
		if err != io.EOF {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseBlock(b *testing.B) {
	block := AppendBlock(nil, 500, make([]byte, 32<<10), testSync)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := ParseBlock(block, testSync); err != nil {
			b.Fatal(err)
		}
	}
}
