package foreign

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/container"
)

const longSchema = `{"type":"record","name":"R","fields":[{"name":"v","type":"long"}]}`

func TestBlocks(t *testing.T) {
	for _, name := range append([]string{""}, codec.Names...) {
		file := fileOf(t, longSchema, name, block{3, "\x02\x04\x06"}, block{0, ""}, block{1, "\x08"})
		recs, err := readAll(iotest.OneByteReader(bytes.NewReader(file)), Options{})
		if want := `{"v":1} {"v":2} {"v":3} {"v":4}`; err != nil || strings.Join(recs, " ") != want {
			t.Errorf("codec %q: %v, %v", name, recs, err)
		}
	}
	if recs, err := readBytes(fileOf(t, longSchema, ""), Options{}); err != nil || len(recs) != 0 {
		t.Errorf("no blocks: %v, %v", recs, err)
	}
}

// TestHazards feeds what is known to break readers of Avro files. A record is only given once its block has
// proved whole up to there, and the last of a block only if the block ends with it.
func TestHazards(t *testing.T) {
	arrays := `{"type":"record","name":"R","fields":[{"name":"v","type":{"type":"array","items":"long"}}]}`
	nulls := `{"type":"record","name":"R","fields":[{"name":"v","type":{"type":"array","items":"null"}}]}`
	maps := `{"type":"record","name":"R","fields":[{"name":"v","type":{"type":"map","values":"null"}}]}`
	text := `{"type":"record","name":"R","fields":[{"name":"v","type":"string"}]}`
	raw := func(schema, b string) []byte { return append(fileOf(t, schema, ""), b...) }
	sync := string(testSync[:])
	three := fileOf(t, longSchema, "", block{3, "\x02\x04\x06"})
	for _, row := range []struct {
		name    string
		file    []byte
		records int
		want    string
		mark    error
	}{
		{"block size negative", raw(longSchema, long(1)+long(-1)+"\x02"+sync), 0, "block of -1 bytes", ErrMalformed},
		{"block size 2^40", raw(longSchema, long(1)+long(1<<40)+"\x02"+sync), 0, "at most", ErrMalformed},
		{"block size 2 GiB, 3 bytes present", raw(longSchema, long(1)+long(2<<30)+"\x02\x02\x02"), 0, "at most", ErrMalformed},
		{"negative block count", raw(longSchema, long(-1)+long(1)+"\x02"+sync), 0, "-1 records", ErrMalformed},
		{"block without records, with bytes", fileOf(t, longSchema, "", block{1, "\x02"}, block{0, "\x02"}), 1, "1 bytes in a block without records", ErrMalformed},
		{"count too small", fileOf(t, longSchema, "", block{2, "\x02\x04\x06"}, block{3, "\x02\x04\x06"}), 1, "1 bytes are left behind", ErrMalformed},
		{"count too big", fileOf(t, longSchema, "", block{4, "\x02\x04\x06"}), 0, "4 records in a block of 3 bytes", ErrMalformed},
		{"count too big by less", fileOf(t, longSchema, "", block{4, "\x02\x04\x80\x80\x00"}), 3, "ends within a number", ErrMalformed},
		{"count 2^62", fileOf(t, longSchema, "", block{1 << 62, "\x02"}), 0, "records in a block of 1 bytes", ErrMalformed},
		{"truncated in a block", three[:len(three)-container.SyncSize-1], 0, "ends within", io.ErrUnexpectedEOF},
		{"truncated in a sync marker", three[:len(three)-1], 0, "ends within", io.ErrUnexpectedEOF},
		{"wrong sync marker", append(bytes.Clone(three[:len(three)-1]), 'x'), 0, "no sync marker", ErrMalformed},
		{"stray byte behind the last block", append(bytes.Clone(three), '\n'), 3, "ends within", ErrMalformed},
		{"another file behind the last block", append(bytes.Clone(three), three...), 3, "", ErrMalformed},
		{"cut inside a varint field", fileOf(t, longSchema, "", block{1, "\x80"}), 0, "ends within a number", ErrMalformed},
		{"endless varint", fileOf(t, longSchema, "", block{1, strings.Repeat("\xff", 11)}), 0, "more than 64 bits", ErrMalformed},
		{"array count 2^62", fileOf(t, arrays, "", block{1, long(1<<62) + "\x02\x00"}), 0, "v: a chunk of 4611686018427387904 items in 2 bytes", ErrMalformed},
		{"array count 2^40, second chunk overflows", fileOf(t, arrays, "", block{1, long(1) + "\x02" + long(1<<40)}), 0, "a chunk of", ErrMalformed},
		{"array count -2^63", fileOf(t, arrays, "", block{1, long(-1<<63) + long(1) + "\x02\x00"}), 0, "2^63", ErrMalformed},
		{"array chunk size negative", fileOf(t, arrays, "", block{1, long(-1) + long(-1) + "\x02\x00"}), 0, "a chunk of -1 bytes", ErrMalformed},
		{"array chunk size 2^50", fileOf(t, arrays, "", block{1, long(-1) + long(1<<50) + "\x02\x00"}), 0, "bytes where 2 are left", ErrMalformed},
		{"array chunk size too small", fileOf(t, arrays, "", block{1, long(-2) + long(3) + "\x02\x04\x00"}), 0, "not have the length", ErrMalformed},
		{"array without end", fileOf(t, arrays, "", block{1, long(1) + "\x02"}), 0, "ends within", ErrMalformed},
		{"null array of 2^60", fileOf(t, nulls, "", block{1, long(1<<60) + "\x00"}), 0, "longer than 8388608 bytes", ErrRecordTooLarge},
		{"null array of 2^60 with a size", fileOf(t, nulls, "", block{1, long(-1<<60) + long(0) + "\x00"}), 0, "longer than", ErrRecordTooLarge},
		{"null map of 2^60", fileOf(t, maps, "", block{1, long(1<<60) + "\x00\x00"}), 0, "a chunk of", ErrMalformed},
		{"2^60 records without fields", fileOf(t, `{"type":"record","name":"R","fields":[]}`, "", block{1 << 60, ""}), 0, "may take no bytes", ErrMalformed},
		{"record within itself without end", fileOf(t, `{"type":"record","name":"R","fields":[{"name":"v","type":"R"}]}`, "", block{1, ""}), 0, "nested deeper than 1000", nil},
		{"string length 2^62", fileOf(t, text, "", block{1, long(1 << 62)}), 0, "a value of 4611686018427387904 bytes where 0 are left", ErrMalformed},
		{"string length negative", fileOf(t, text, "", block{1, long(-2) + "ab"}), 0, "a value of -2 bytes", ErrMalformed},
		{"string length one too large", fileOf(t, text, "", block{1, long(3) + "ab"}), 0, "a value of 3 bytes", ErrMalformed},
		{"union branch negative", fileOf(t, strings.Replace(longSchema, `"long"`, `["null","long"]`, 1), "", block{1, "\x01"}), 0, "branch -1 of a union of 2", ErrMalformed},
		{"union branch too large", fileOf(t, strings.Replace(longSchema, `"long"`, `["null","long"]`, 1), "", block{1, "\x04"}), 0, "branch 2 of a union of 2", ErrMalformed},
		{"enum symbol too large", fileOf(t, strings.Replace(longSchema, `"long"`, `{"type":"enum","name":"E","symbols":["A"]}`, 1), "", block{1, "\x02"}), 0, "symbol 1 of an enum of 1", ErrMalformed},
		{"enum symbol negative", fileOf(t, strings.Replace(longSchema, `"long"`, `{"type":"enum","name":"E","symbols":["A"]}`, 1), "", block{1, "\x01"}), 0, "symbol -1", ErrMalformed},
		{"int of 33 bits", fileOf(t, strings.Replace(longSchema, `"long"`, `"int"`, 1), "", block{1, long(1 << 31)}), 0, "int 2147483648", ErrMalformed},
		{"boolean 2", fileOf(t, strings.Replace(longSchema, `"long"`, `"boolean"`, 1), "", block{1, "\x02"}), 0, "boolean 0x2", ErrMalformed},
		{"double cut short", fileOf(t, strings.Replace(longSchema, `"long"`, `["double"]`, 1), "", block{1, "\x00\x00\x00\x00"}), 0, "ends within a value", ErrMalformed},
	} {
		recs, err := readBytes(row.file, Options{})
		if err == nil || !strings.Contains(err.Error(), row.want) || row.mark != nil && !errors.Is(err, row.mark) {
			t.Errorf("%s: error %v, want one with %q", row.name, err, row.want)
		}
		if len(recs) != row.records {
			t.Errorf("%s: %d records before the error, want %d", row.name, len(recs), row.records)
		}
	}
}

// TestErrorPlace: errors name the block and the record within the file.
func TestErrorPlace(t *testing.T) {
	schema := `{"type":"record","name":"R","fields":[{"name":"a","type":"double"}]}`
	nan := double(0)[:6] + "\xf8\x7f"
	_, err := readBytes(fileOf(t, schema, "deflate", block{2, double(1) + double(2)}, block{2, double(3) + nan}), Options{})
	var re *RecordError
	if !errors.As(err, &re) || re.Index != 3 {
		t.Errorf("NaN in the fourth record: %v", err)
	}
	file := fileOf(t, schema, "", block{2, double(1) + double(2)})
	offset := len(file)
	file = container.AppendBlock(file, 1, []byte(double(1)+"x"), testSync)
	_, err = readBytes(file, Options{})
	var ce *CorruptError
	if !errors.As(err, &ce) || ce.Index != 2 || ce.Offset != int64(offset) {
		t.Errorf("damage in the block at %d: %v", offset, err)
	}
}

func TestCodecs(t *testing.T) {
	header := func(name string) []byte {
		return container.AppendHeader(nil, []container.Meta{
			{Key: container.SchemaKey, Value: []byte(longSchema)}, {Key: container.CodecKey, Value: []byte(name)}}, testSync)
	}
	for _, name := range []string{"", "lzo", "DEFLATE", "zstd"} {
		if _, err := NewReader(bytes.NewReader(header(name)), Options{}); !errors.Is(err, codec.ErrUnknown) {
			t.Errorf("codec %q: error %v", name, err)
		}
	}
	for _, name := range []string{"deflate", "zstandard", "snappy", "bzip2", "xz"} {
		file := container.AppendBlock(header(name), 1, []byte("not compressed at all"), testSync)
		if _, err := readBytes(file, Options{}); !errors.Is(err, ErrMalformed) || !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("damaged %s: error %v", name, err)
		}
	}
}

// TestLimits: options bound a block and a record, at the exact byte.
func TestLimits(t *testing.T) {
	schema := `{"type":"record","name":"R","fields":[{"name":"v","type":"string"}]}`
	raw := str(strings.Repeat("x", 1000))
	for _, name := range codec.Names {
		file := fileOf(t, schema, name, block{1, raw})
		if _, err := readBytes(file, Options{MaxBlockRaw: len(raw)}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := readBytes(file, Options{MaxBlockRaw: len(raw) - 1}); !errors.Is(err, codec.ErrTooLarge) {
			t.Errorf("%s: block past the maximum: %v", name, err)
		}
		size := len(`{"v":""}`) + 1000
		if _, err := readBytes(file, Options{MaxRecordBytes: size}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, err := readBytes(file, Options{MaxRecordBytes: size - 1})
		var re *RecordError
		if !errors.Is(err, ErrRecordTooLarge) || !errors.As(err, &re) {
			t.Errorf("%s: record past the maximum: %v", name, err)
		}
	}
	if _, err := NewReader(bytes.NewReader(nil), Options{MaxRecordBytes: -1}); err == nil || errors.Is(err, ErrMalformed) {
		t.Errorf("negative limit: %v", err)
	}
}

// TestEmptyRecords: records that take no bytes are counted through the whole file.
func TestEmptyRecords(t *testing.T) {
	schema := `{"type":"record","name":"R","fields":[{"name":"v","type":"null"}]}`
	recs, err := readBytes(fileOf(t, schema, "", block{MaxEmptyRecords - 1, ""}, block{1, ""}), Options{})
	if err != nil || len(recs) != MaxEmptyRecords || recs[0] != `{"v":null}` {
		t.Errorf("%d records, %v", len(recs), err)
	}
	recs, err = readBytes(fileOf(t, schema, "", block{MaxEmptyRecords, ""}, block{1, ""}), Options{})
	if !errors.Is(err, ErrMalformed) || len(recs) != MaxEmptyRecords {
		t.Errorf("one too many: %d records, %v", len(recs), err)
	}
}

// TestDepth: recursive data is decoded to the maximum depth and refused past it.
func TestDepth(t *testing.T) {
	schema := `{"type":"record","name":"R","fields":[{"name":"v","type":["null","R"]}]}`
	for depth := MaxDepth - 1; depth <= MaxDepth+1; depth++ {
		_, err := readBytes(fileOf(t, schema, "", block{1, strings.Repeat("\x02", depth-1) + "\x00"}), Options{})
		var re *RecordError
		if tooDeep := depth > MaxDepth; tooDeep != errors.As(err, &re) || !tooDeep && err != nil {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
	// Depth is of nesting, not of number.
	wide := `{"type":"record","name":"R","fields":[{"name":"v","type":{"type":"array","items":{"type":"map","values":"int"}}}]}`
	raw := long(3*MaxDepth) + strings.Repeat("\x00", 3*MaxDepth) + "\x00"
	if _, err := readBytes(fileOf(t, wide, "", block{2, raw + raw}), Options{}); err != nil {
		t.Error(err)
	}
}

// TestMemory: what a hostile file makes the reader allocate is bounded by the options.
func TestMemory(t *testing.T) {
	o := Options{MaxRecordBytes: 1 << 20, MaxBlockRaw: 1 << 20}
	zeros := strings.Repeat("\x00", 32<<20)
	symbol := strings.Repeat("s", 500_000)
	for name, file := range map[string][]byte{
		"deflate bomb":   fileOf(t, longSchema, "deflate", block{1, zeros}),
		"zstandard bomb": fileOf(t, longSchema, "zstandard", block{1, zeros}),
		"snappy bomb":    fileOf(t, longSchema, "snappy", block{1, zeros}),
		"null array": fileOf(t, `{"type":"record","name":"R","fields":[{"name":"v","type":{"type":"array","items":"null"}}]}`, "",
			block{1, long(1<<60) + "\x00"}),
		"long symbols": fileOf(t, `{"type":"record","name":"R","fields":[{"name":"v","type":{"type":"array","items":{"type":"enum","name":"E","symbols":["`+symbol+`"]}}}]}`, "",
			block{1, long(100_000) + strings.Repeat("\x00", 100_001)}),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readBytes(file, o)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 24<<20 {
			t.Errorf("%s: %d bytes allocated", name, used)
		}
	}
}

// TestLongValues: a value longer than a record may be is refused before it is turned into JSON.
func TestLongValues(t *testing.T) {
	for _, typ := range []string{"string", "bytes"} {
		top, err := parseSchema([]byte(strings.Replace(longSchema, "long", typ, 1)))
		if err != nil {
			t.Fatal(err)
		}
		d := decoder{buf: []byte(str(strings.Repeat("x", 32<<20))), max: 1 << 20}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		bad := d.record(top)
		runtime.ReadMemStats(&after)
		if bad == nil || !bad.tooLarge {
			t.Errorf("%s: error %v", typ, bad)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
			t.Errorf("%s: %d bytes allocated", typ, used)
		}
	}
}

// TestReaderErrors: an error of the underlying reader comes through as itself.
func TestReaderErrors(t *testing.T) {
	file := fileOf(t, longSchema, "deflate", block{3, "\x02\x04\x06"})
	broken := errors.New("connection reset")
	for n := range len(file) + 1 {
		_, err := readAll(io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(broken)), Options{})
		if !errors.Is(err, broken) || errors.Is(err, ErrMalformed) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

// TestDamage flips every bit of a file with a codec that checks its bytes: no panic, and never other records.
func TestDamage(t *testing.T) {
	file := fileOf(t, longSchema, "zstandard", block{3, "\x02\x04\x06"})
	blocks := len(fileOf(t, longSchema, "zstandard"))
	for i := range len(file) * 8 {
		damaged := bytes.Clone(file)
		damaged[i/8] ^= 1 << (i % 8)
		recs, err := readBytes(damaged, Options{})
		// One bit of a Zstandard frame has no meaning.
		if i/8 >= blocks && err == nil && strings.Join(recs, " ") != `{"v":1} {"v":2} {"v":3}` {
			t.Fatalf("bit %d: %v without an error", i, recs)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	schema := `{"type":"record","name":"R","fields":[
		{"name":"a","type":["null","string"]},{"name":"b","type":{"type":"map","values":"double"}},
		{"name":"c","type":{"type":"array","items":"int"}},{"name":"d","type":{"type":"long","logicalType":"timestamp-micros"}},
		{"name":"e","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}}]}`
	rec := "\x02" + str("text\n") + long(2) + str("x") + double(1.5) + str("y") + double(2) + "\x00" + long(2) + "\x02\x04\x00" +
		long(1700000000123456) + str("\x04\xd2")
	const n = 1000
	r, err := NewReader(bytes.NewReader(fileOf(t, schema, "null", block{n, strings.Repeat(rec, n)})), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"a":"text\n","b":{"x":1.5,"y":2},"c":[1,2],"d":"2023-11-14T22:13:20.123456Z","e":12.34}`
	if got, err := r.Next(); err != nil || string(got) != want {
		t.Fatalf("%s, %v", got, err)
	}
	if allocs := testing.AllocsPerRun(n-10, func() { _, err = r.Next() }); allocs > 0 || err != nil {
		t.Errorf("%v allocations a record, error %v", allocs, err)
	}
}
