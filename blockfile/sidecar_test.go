package blockfile

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/container"
)

func wantInfo(t *testing.T, got, want SidecarInfo) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("description\n%+v, want\n%+v", got, want)
	}
}

func wantRefs(t *testing.T, got, want []Ref) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d references, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("reference %d\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
}

func readSidecar(r io.Reader) (SidecarInfo, []Ref, error) {
	var refs []Ref
	info, err := ReadSidecar(r, func(r Ref) error { refs = append(refs, r); return nil })
	return info, refs, err
}

// manyRefs is a file of n blocks that nobody wrote.
func manyRefs(f Family, n int) (SidecarInfo, iter.Seq[Ref]) {
	start := int64(len(f.Header()))
	at := func(i int) Ref {
		day := int32(i / 1000)
		return Ref{
			Dataset: "user-" + RunID(i%1000*2654435761).String(), Day: day, Offset: start + int64(i)*500, Length: 500, RawLength: 2000, Records: 9,
			First: DayStart(day) + int64(i%1000), Last: DayStart(day) + int64(i%1000) + 3_600_000, CRC: uint32(i * 2654435761),
		}
	}
	info := f.Sidecar(Summary{
		Size: start + int64(n)*500, CRC: 7, Records: uint64(n) * 9, Blocks: uint64(n), RawBytes: int64(n) * 2000, First: at(0).First, Last: at(n - 1).Last,
	})
	info.FirstSeq, info.LastSeq = 1, math.MaxUint64
	return info, func(yield func(Ref) bool) {
		for i := range n {
			if !yield(at(i)) {
				return
			}
		}
	}
}

func TestSidecar(t *testing.T) {
	eachCodec(t, func(t *testing.T, name string) {
		f := testFamily(name)
		_, refs, sum := writeFile(t, f, testBlocks)
		info := testInfo(f, sum)
		side := writeSidecar(t, info, refs)
		for _, wrap := range []func(io.Reader) io.Reader{
			func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader,
		} {
			gotInfo, got, err := readSidecar(wrap(bytes.NewReader(side)))
			if err != nil {
				t.Fatal(err)
			}
			wantInfo(t, gotInfo, info)
			wantRefs(t, got, refs)
		}
	})
}

func TestSidecarOfEmptyFile(t *testing.T) {
	f := testFamily(codec.Deflate)
	_, _, sum := writeFile(t, f, nil)
	info := f.Sidecar(sum)
	gotInfo, refs, err := readSidecar(bytes.NewReader(writeSidecar(t, info, nil)))
	if err != nil || len(refs) > 0 {
		t.Fatalf("%d references, %v", len(refs), err)
	}
	wantInfo(t, gotInfo, info)
}

// Many blocks of rows; neither writing nor reading holds them all.
func TestSidecarOfManyBlocks(t *testing.T) {
	const n = 50_000
	info, seq := manyRefs(testFamily(codec.Deflate), n)
	var out bytes.Buffer
	if _, err := WriteSidecar(&out, info, seq); err != nil {
		t.Fatal(err)
	}
	next, stop := iter.Pull(seq)
	defer stop()
	gotInfo, err := ReadSidecar(&out, func(r Ref) error {
		if want, ok := next(); !ok || r != want {
			t.Fatalf("%+v, want %+v", r, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, more := next(); more {
		t.Error("references are missing")
	}
	wantInfo(t, gotInfo, info)
}

func TestSidecarRefusesWhatDoesNotFit(t *testing.T) {
	f := testFamily(codec.Deflate)
	_, refs, sum := writeFile(t, f, testBlocks)
	type both struct {
		info SidecarInfo
		refs []Ref
	}
	for name, change := range map[string]func(b *both){
		"a block missing at the end":   func(b *both) { b.refs = b.refs[:4] },
		"a block missing at the start": func(b *both) { b.refs = b.refs[1:] },
		"a block missing between":      func(b *both) { b.refs = slices.Delete(b.refs, 2, 3) },
		"a block twice":                func(b *both) { b.refs = slices.Insert(b.refs, 2, b.refs[2]) },
		"another order":                func(b *both) { b.refs[1], b.refs[2] = b.refs[2], b.refs[1] },
		"a gap": func(b *both) {
			for i := 2; i < len(b.refs); i++ {
				b.refs[i].Offset++
			}
			b.info.FileSize++
		},
		"an overlap": func(b *both) {
			for i := 2; i < len(b.refs); i++ {
				b.refs[i].Offset--
			}
			b.info.FileSize--
		},
		"no blocks":                  func(b *both) { b.refs = nil },
		"blocks counted":             func(b *both) { b.info.Blocks++ },
		"records counted":            func(b *both) { b.info.Records-- },
		"raw bytes counted":          func(b *both) { b.info.RawBytes++ },
		"first time":                 func(b *both) { b.info.First++ },
		"last time":                  func(b *both) { b.info.Last++ },
		"file shorter":               func(b *both) { b.info.FileSize-- },
		"file longer":                func(b *both) { b.info.FileSize++ },
		"file of no size":            func(b *both) { b.info.FileSize = -1 },
		"table longer":               func(b *both) { b.info.Table += "x" },
		"an impossible reference":    func(b *both) { b.refs[1].Records = 0 },
		"sequence numbers backwards": func(b *both) { b.info.FirstSeq = b.info.LastSeq + 1 },
		"lineage of no run":          func(b *both) { b.info.Lineage = []string{"run 1"} },
		"lineage too long":           func(b *both) { b.info.Lineage = slices.Repeat([]string{RunID(1).String()}, MaxLineage+1) },
		"codec unknown":              func(b *both) { b.info.Codec = "lzma" },
		"schema missing":             func(b *both) { b.info.Schema = nil },
	} {
		b := both{testInfo(f, sum), slices.Clone(refs)}
		change(&b)
		if _, err := WriteSidecar(io.Discard, b.info, slices.Values(b.refs)); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

func TestSidecarLongestLineage(t *testing.T) {
	f := testFamily(codec.Deflate)
	f.Schema = bytes.Repeat([]byte("s"), MaxSchemaBytes)
	_, refs, sum := writeFile(t, f, testBlocks[:1])
	info := testInfo(f, sum)
	info.Lineage = slices.Repeat([]string{RunID(math.MaxUint64).String()}, MaxLineage)
	gotInfo, _, err := readSidecar(bytes.NewReader(writeSidecar(t, info, refs)))
	if err != nil {
		t.Fatal(err)
	}
	wantInfo(t, gotInfo, info)
}

func TestSidecarFailsAnywhere(t *testing.T) {
	f := testFamily(codec.Deflate)
	_, refs, sum := writeFile(t, f, testBlocks)
	side := writeSidecar(t, testInfo(f, sum), refs)
	for room := range len(side) {
		if _, err := WriteSidecar(&failingWriter{room: room}, testInfo(f, sum), slices.Values(refs)); !errors.Is(err, errDisk) {
			t.Fatalf("room for %d of %d bytes: %v", room, len(side), err)
		}
	}
	for n := range side {
		if _, _, err := readSidecar(bytes.NewReader(side[:n])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(side), err)
		}
		broken := io.MultiReader(bytes.NewReader(side[:n]), iotest.ErrReader(errDisk))
		if _, _, err := readSidecar(broken); !errors.Is(err, errDisk) || errors.Is(err, ErrCorrupt) {
			t.Fatalf("reading fails at %d of %d bytes: %v", n, len(side), err)
		}
	}
	stop := errors.New("enough")
	if _, err := ReadSidecar(bytes.NewReader(side), func(Ref) error { return stop }); !errors.Is(err, stop) || errors.Is(err, ErrCorrupt) {
		t.Errorf("fn fails: %v", err)
	}
}

// A flip is an error, or shows in what was read, or (in compressed rows, in
// bits that do not count) changes nothing; in the header it is always an error,
// since the marker behind it is its hash. The checksum in the log entry finds
// all of them.
func TestSidecarFlips(t *testing.T) {
	f := testFamily(codec.Deflate)
	_, refs, sum := writeFile(t, f, testBlocks)
	info := testInfo(f, sum)
	side := writeSidecar(t, info, refs)
	header, _ := sidecarHeader(info.meta())
	crc := Checksum(side)
	for i := range side {
		for bit := range 8 {
			side[i] ^= 1 << bit
			_, _, err := readSidecar(bytes.NewReader(side))
			if err == nil && i < len(header) {
				t.Fatalf("byte %d, bit %d flipped in the header: no error", i, bit)
			}
			if err == nil && Checksum(side) == crc {
				t.Fatalf("byte %d, bit %d flipped: same checksum", i, bit)
			}
			side[i] ^= 1 << bit
		}
	}
}

func TestSidecarsThatAreRefused(t *testing.T) {
	f := testFamily(codec.Deflate)
	file, refs, sum := writeFile(t, f, testBlocks)
	info := testInfo(f, sum)
	if _, _, err := readSidecar(bytes.NewReader(file)); !errors.Is(err, ErrForeign) {
		t.Errorf("a block file: %v, want ErrForeign", err)
	}
	if _, _, err := readSidecar(strings.NewReader("PAR1")); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no Avro file: %v, want ErrCorrupt", err)
	}
	if _, _, err := readSidecar(strings.NewReader("")); !errors.Is(err, ErrCorrupt) {
		t.Errorf("nothing: %v, want ErrCorrupt", err)
	}

	// Forged ones: the header's hash is right, the entries are not.
	forge := func(change func(m []container.Meta) []container.Meta, rows ...[]byte) []byte {
		meta := info.meta()
		if change != nil {
			meta = change(meta)
		}
		out, sync := sidecarHeader(meta)
		c, err := codec.NewCompressor(codec.Deflate)
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range rows {
			comp, err := c.Append(nil, raw)
			if err != nil {
				t.Fatal(err)
			}
			out = container.AppendBlock(out, 5, comp, sync)
		}
		return out
	}
	var rows []byte
	for _, r := range refs {
		rows = appendRow(rows, r)
	}
	if _, got, err := readSidecar(bytes.NewReader(forge(nil, rows))); err != nil || !slices.Equal(got, refs) {
		t.Fatalf("the unchanged one: %v", err)
	}
	set := func(key, value string) func(m []container.Meta) []container.Meta {
		return func(m []container.Meta) []container.Meta {
			for i := range m {
				if m[i].Key == key {
					m[i].Value = []byte(value)
				}
			}
			return m
		}
	}
	comp, err := codec.NewCompressor(codec.Deflate)
	if err != nil {
		t.Fatal(err)
	}
	nothing, err := comp.Append(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sync := sidecarHeader(info.meta())
	cases := map[string][]byte{
		"empty block of no rows":  container.AppendBlock(forge(nil, rows), 0, nothing, sync),
		"fewer rows than counted": forge(nil, rows[:len(rows)-1]),
		"rows with bytes behind":  forge(nil, append(slices.Clone(rows), 0)),
		"no rows":                 forge(nil),
		"empty block":             forge(nil, rows, nil),
		"rows twice":              forge(nil, rows, rows),
		"vast dataset":            forge(nil, append([]byte{0xfe, 0xff, 0xff, 0xff, 0x0f}, rows...)),
		"negative dataset":        forge(nil, append([]byte{1}, rows...)),
		"bomb":                    forge(nil, make([]byte, 64<<20)),
		"codec of rows":           forge(set(container.CodecKey, "null"), rows),
		"schema of rows":          forge(set(container.SchemaKey, `"int"`), rows),
		"lineage of commas":       forge(set(keyLineage, ",,,"), rows),
		"lineage upper case":      forge(set(keyLineage, "00000000000000AA"), rows),
		"unknown codec":           forge(set(keyCodec, "lzma"), rows),
		"table ..":                forge(set(keyTable, strings.Repeat(".", 300)), rows),
	}
	for _, key := range []string{keyMarker, keySize, keyRecords, keyBlocks, keyRaw, keyFirst, keyLast, keyFirstSeq, keyLastSeq, keyCRC} {
		cases[key+" empty"] = forge(set(key, ""), rows)
		cases[key+" no number"] = forge(set(key, "x"), rows)
		cases[key+" vast"] = forge(set(key, strings.Repeat("9", 30)), rows)
		cases[key+" padded"] = forge(set(key, "007"), rows)
		cases[key+" missing"] = forge(func(m []container.Meta) []container.Meta {
			return slices.DeleteFunc(m, func(e container.Meta) bool { return e.Key == key })
		}, rows)
	}
	for name, b := range cases {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := readSidecar(bytes.NewReader(b))
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
			t.Errorf("%s: %d bytes of memory", name, used)
		}
	}
	if _, _, err := readSidecar(bytes.NewReader(forge(set(keySidecar, "2"), rows))); !errors.Is(err, ErrVersion) {
		t.Errorf("version 2: %v, want ErrVersion", err)
	}
}

func FuzzReadSidecar(f *testing.F) {
	family := testFamily(codec.Deflate)
	_, refs, sum := writeFile(f, family, testBlocks)
	f.Add(writeSidecar(f, testInfo(family, sum), refs))
	_, refs, sum = writeFile(f, family, nil)
	f.Add(writeSidecar(f, family.Sidecar(sum), refs))
	f.Add([]byte("Obj\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		info, refs, err := readSidecar(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrVersion) {
				t.Fatalf("unmarked error %v", err)
			}
			return
		}
		again, refsAgain, err := readSidecar(bytes.NewReader(writeSidecar(t, info, refs)))
		if err != nil || !reflect.DeepEqual(again, info) || !slices.Equal(refsAgain, refs) {
			t.Fatalf("written again: %v, or something else", err)
		}
	})
}

// Rows are read from raw bytes of any kind; this gets past the compression.
func FuzzParseRow(f *testing.F) {
	_, refs, _ := writeFile(f, testFamily(codec.Null), testBlocks)
	for _, r := range refs {
		f.Add(appendRow(nil, r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := parseRow(b)
		if err != nil {
			return
		}
		if n > len(b) || n < 9 {
			t.Fatalf("%d of %d bytes", n, len(b))
		}
		if again, _, err := parseRow(appendRow(nil, r)); err != nil || again != r {
			t.Fatalf("%+v, written again %+v, %v", r, again, err)
		}
	})
}
