package blockfile

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/firndb/firn/blockfile/codec"
)

var update = flag.Bool("update", false, "write the golden files anew")

// testSchema is a text as package schema makes it; literal, so that golden
// files depend on this package alone.
const testSchema = `{"type":"record","name":"battle","namespace":"firn","firn.format":1,"firn.table":"battle","firn.version":1,"fields":[` +
	`{"name":"dataset_id","type":"string"},{"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}},` +
	`{"name":"score","type":"long"},{"name":"map","type":"string"}]}`

func testFamily(codec string) Family {
	return Family{Salt: [16]byte{1, 2, 3, 15: 16}, Table: "battle", Schema: []byte(testSchema), Codec: codec}
}

// appendRecord encodes one record of testSchema.
func appendRecord(dst []byte, dataset string, ms, score int64, place string) []byte {
	dst = append(binary.AppendVarint(dst, int64(len(dataset))), dataset...)
	dst = binary.AppendVarint(dst, ms)
	dst = binary.AppendVarint(dst, score)
	return append(binary.AppendVarint(dst, int64(len(place))), place...)
}

// testBlock is a block before it is written.
type testBlock struct {
	dataset     string
	day         int32
	raw         []byte
	records     uint32
	first, last int64
}

// makeBlock makes n records of a dataset, a second apart from the start of a day.
func makeBlock(dataset string, day int32, n int) testBlock {
	b := testBlock{dataset: dataset, day: day, records: uint32(n), first: DayStart(day)}
	for i := range n {
		b.last = b.first + int64(i)*1000
		b.raw = appendRecord(b.raw, dataset, b.last, int64(i*7919%1000), "glacier")
	}
	return b
}

func (w *Writer) appendBlock(b testBlock) (Ref, error) {
	return w.Append(b.dataset, b.day, b.raw, b.records, b.first, b.last)
}

var testBlocks = []testBlock{
	makeBlock("u1", 19_844, 3), makeBlock("u1", 19_845, 500), makeBlock("u2", 19_845, 1), makeBlock("", -1, 8_640), makeBlock("ü/..", MinDay, 2),
}

// writeFile writes the blocks and returns the file with its references.
func writeFile(t testing.TB, f Family, blocks []testBlock, options ...WriterOption) ([]byte, []Ref, Summary) {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, f, options...)
	if err != nil {
		t.Fatal(err)
	}
	var refs []Ref
	for i, b := range blocks {
		ref, err := w.appendBlock(b)
		if err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
		refs = append(refs, ref)
	}
	sum, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), refs, sum
}

func stored(file []byte, r Ref) []byte { return file[r.Offset:r.End()] }

// testInfo is the description of a file as an archive run would have it.
func testInfo(f Family, sum Summary) SidecarInfo {
	info := f.Sidecar(sum)
	info.FirstSeq, info.LastSeq = 1000, 1000+sum.Records-1
	info.Lineage = []string{RunID(1<<32 | 7).String(), RunID(1<<32 | 9).String()}
	return info
}

func writeSidecar(t testing.TB, info SidecarInfo, refs []Ref) []byte {
	t.Helper()
	var out bytes.Buffer
	sum, err := WriteSidecar(&out, info, slices.Values(refs))
	if err != nil {
		t.Fatal(err)
	}
	if sum.Size != int64(out.Len()) || sum.CRC != Checksum(out.Bytes()) {
		t.Fatalf("summary %+v of %d bytes with checksum %08x", sum, out.Len(), Checksum(out.Bytes()))
	}
	return out.Bytes()
}

// golden compares bytes with a file in testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		at := 0
		for at < len(got) && at < len(want) && got[at] == want[at] {
			at++
		}
		t.Errorf("%s: %d bytes, want %d; first difference at byte %d", name, len(got), len(want), at)
	}
}

func eachCodec(t *testing.T, run func(t *testing.T, name string)) {
	for _, name := range codec.Names {
		t.Run(name, func(t *testing.T) { run(t, name) })
	}
}

// failingWriter fails once it has taken room bytes.
type failingWriter struct {
	room  int
	short bool // takes less than it was given and says nothing
}

var errDisk = fmt.Errorf("input/output error")

func (f *failingWriter) Write(p []byte) (int, error) {
	if len(p) <= f.room {
		f.room -= len(p)
		return len(p), nil
	}
	n := f.room
	f.room = 0
	if f.short {
		return n, nil
	}
	return n, errDisk
}
