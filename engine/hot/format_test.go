package hot

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a dump with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Fatalf("%s differs; written now:\n%s", name, got)
	}
}

// dump writes fields of an annotated length, a line each. It fails when they do
// not add up.
func dump(t *testing.T, out *strings.Builder, data []byte, fields ...any) {
	t.Helper()
	for i := 0; i < len(fields); i += 2 {
		n, name := fields[i].(int), fields[i+1].(string)
		if n < 0 {
			n = len(data)
		}
		fmt.Fprintf(out, "%-26s %s\n", name, hex.EncodeToString(data[:n]))
		data = data[n:]
	}
	if len(data) != 0 {
		t.Fatalf("%d bytes are not described", len(data))
	}
}

// packed packs groups and returns the keys and values that Apply would put.
func packed(t testing.TB, chunkBytes int, run uint64, groups ...Group) (keys, values [][]byte) {
	t.Helper()
	mem := NewMemory()
	seq := uint64(0x1122)
	for _, g := range groups {
		mem.Add(g, seq)
		seq += uint64(len(g.Times))
	}
	p := newPacker(mem, run, chunkBytes, 1<<20)
	defer p.stop()
	for {
		b, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			return keys, values
		}
		_ = b.each(func(k, v []byte) error {
			keys, values = append(keys, bytes.Clone(k)), append(values, bytes.Clone(v))
			return nil
		})
	}
}

func groupOf(table, dataset string, times []int64, records ...string) Group {
	g := Group{Table: table, Dataset: dataset, Times: times}
	for _, r := range records {
		g.Data = append(g.Data, r...)
		g.Ends = append(g.Ends, uint32(len(g.Data)))
	}
	return g
}

func TestChunkGolden(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the compressor makes other bytes on", runtime.GOARCH, "- TestChunkGoldenReads reads the ones of amd64")
	}
	long := `{"battle":` + strings.Repeat("1234567890", 20) + `}`
	keys, values := packed(t, 1000, 3,
		groupOf("t\x00", "u\xff", []int64{-1, -3, -3}, `{"a":1}`, `{}`, ``),
		groupOf("battle", "u1", []int64{1700000000000, 1700000000001}, long, long),
	)
	var out strings.Builder
	for i, k := range keys {
		v := values[i]
		table, dataset := 8, 4
		if i == 1 {
			table, dataset = 5, 4
		}
		fmt.Fprintf(&out, "chunk %d\n", i)
		dump(t, &out, k, table, "key: table", 4, "key: day", dataset, "key: dataset", 8, "key: run", 4, "key: number")
		fields := []any{1, "version", 1, "codec", 2, "zero", 4, "records", 4, "JSON bytes", 4, "body bytes",
			8, "first time", 8, "last time", 8, "seq of the first", 8, "highest seq", 4, "CRC of stored", 4, "CRC of key and header"}
		if v[1] == codecPlain {
			fields = append(fields, 3, "times", 3, "seqs", 3, "lengths", -1, "JSON")
		} else {
			fields = append(fields, -1, "stored")
		}
		dump(t, &out, v, fields...)
		recs, body, err := loadChunk(k, v, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "body unpacked              %s\n", hex.EncodeToString(body))
		for _, r := range recs {
			fmt.Fprintf(&out, "record                     %d %d %s\n", r.Time, r.Seq, r.JSON)
		}
		out.WriteString("\n")
	}
	golden(t, "chunk.txt", out.String())
}

// Chunks come in the order of their keys, so that bbolt only ever appends within
// what is new, and no chunk is above its size.
func TestChunksAreInOrder(t *testing.T) {
	m := newModel(t, 50)
	var groups []Group
	for range 300 {
		g, _ := m.group(10)
		groups = append(groups, g)
	}
	keys, values := packed(t, 500, 1, groups...)
	for i, k := range keys {
		if i > 0 && bytes.Compare(keys[i-1], k) >= 0 {
			t.Fatalf("key %d comes behind a larger one", i)
		}
		h, err := parseHeader(k, values[i])
		if err != nil || h.raw > 500 && h.records > 1 {
			t.Fatalf("chunk %d: %+v, %v", i, h, err)
		}
	}
}

// Chunks written by this version's first release stay readable, whatever the
// compressor makes of them now.
func TestChunkGoldenReads(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("testdata", "chunk.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(strings.TrimSpace(string(file)), "\n\n") {
		var key, value []byte
		var want, got []string
		for _, line := range strings.Split(part, "\n")[1:] {
			name, text := strings.TrimSpace(line[:26]), line[27:]
			switch {
			case name == "record":
				want = append(want, text)
			case name == "body unpacked":
			default:
				b, err := hex.DecodeString(text)
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(name, "key: ") {
					key = append(key, b...)
				} else {
					value = append(value, b...)
				}
			}
		}
		recs, _, err := loadChunk(key, value, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range recs {
			got = append(got, fmt.Sprintf("%d %d %s", r.Time, r.Seq, r.JSON))
		}
		if len(want) == 0 || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("read\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestRowsGolden(t *testing.T) {
	var out strings.Builder
	st := state{id: MakeID(1, 2), applied: 0x0304, run: 5, firstSeq: 6, oldestAccepted: -7}
	row := st.row(keyState)
	out.WriteString("state\n")
	dump(t, &out, row, 8, "id", 8, "applied", 8, "run", 8, "first seq", 8, "oldest accepted", 4, "CRC")
	if back, err := parseState(keyState, row); err != nil || back != st {
		t.Fatalf("%+v, %v", back, err)
	}

	key := AppendKeyName(nil, "battle")
	tr := tableRow{accepted: 1, records: 2, bytes: 3}
	row = tr.row(key)
	out.WriteString("table\n")
	dump(t, &out, row, 8, "accepted", 8, "records", 8, "JSON bytes", 4, "CRC")
	if back, err := parseTableRow(key, row); err != nil || back != tr {
		t.Fatalf("%+v, %v", back, err)
	}

	key = appendSeriesKey(nil, "battle", "u1")
	sr := seriesRow{{}, {run: 3, records: 300, bytes: 70000, min: -2, max: 1, lastSeq: 9}}
	row = sr.append(nil, key)
	out.WriteString("series\n")
	dump(t, &out, row, 1, "first sum: none", 1, "run", 2, "records", 3, "JSON bytes", 1, "min time", 1, "max - min", 1, "last seq", 4, "CRC")
	if back, err := parseSeriesRow(key, row); err != nil || back != sr {
		t.Fatalf("%+v, %v", back, err)
	}

	e := KeyEntry{Key: []byte("k"), Accepted: 4, At: 5}
	for i := range e.Hash {
		e.Hash[i] = byte(i)
	}
	row = e.row()
	out.WriteString("idempotency key\n")
	dump(t, &out, row, 32, "hash", 8, "accepted", 8, "at", 4, "CRC")
	if back, err := parseKeyRow(e.Key, row); err != nil || back.Hash != e.Hash || back.Accepted != 4 || back.At != 5 {
		t.Fatalf("%+v, %v", back, err)
	}
	golden(t, "rows.txt", out.String())
}

// Two sums in a row: whoever may see run n gets the sum of the highest run not
// above it, and an unpublished one can be forgotten.
func TestSeriesRowSums(t *testing.T) {
	var row seriesRow
	row.add(4, 5, &series{records: 10, bytes: 100, min: 5, max: 9, lastSeq: 50})
	if s := row.at(4); s.run != 0 {
		t.Fatalf("before it was published: %+v", s)
	}
	row.add(5, 6, &series{records: 1, bytes: 7, min: -5, max: 3, lastSeq: 60})
	if s := row.at(5); s.records != 10 || s.lastSeq != 50 || s.min != 5 || s.max != 9 {
		t.Fatalf("sum of run 5: %+v", s)
	}
	want := seriesSum{run: 6, records: 11, bytes: 107, min: -5, max: 9, lastSeq: 60}
	if s := row.at(7); s != want {
		t.Fatalf("sum of run 6: %+v", s)
	}
	cut := row
	if changed, left := cut.forget(5); !changed || !left || cut.at(9).run != 5 {
		t.Fatalf("forgotten: %v, %v, %+v", changed, left, cut)
	}
	if changed, left := cut.forget(4); !changed || left {
		t.Fatalf("forgotten: %v, %v, %+v", changed, left, cut)
	}
	if changed, left := row.forget(6); changed || !left {
		t.Fatalf("nothing to forget: %v, %v", changed, left)
	}
}

// What a chunk claims is checked before it costs memory.
func TestChunkClaims(t *testing.T) {
	keys, values := packed(t, 1000, 3, groupOf("t", "d", []int64{1, 2}, `{"a":1}`, `{"a":1}`))
	key, value := keys[0], values[0]
	good, err := parseHeader(key, value)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(h *chunkHeader){
		"no records":          func(h *chunkHeader) { h.records = 0 },
		"too many records":    func(h *chunkHeader) { h.records = maxChunkRecords + 1; h.body = 1 << 20 },
		"more than the body":  func(h *chunkHeader) { h.records = 5 },
		"body above any":      func(h *chunkHeader) { h.body = maxChunkBody + 1 },
		"body of another":     func(h *chunkHeader) { h.body++; h.raw++ },
		"JSON above the body": func(h *chunkHeader) { h.raw = h.body },
		"JSON of another":     func(h *chunkHeader) { h.raw-- },
		"codec unknown":       func(h *chunkHeader) { h.codec = 2 },
		"codec of another":    func(h *chunkHeader) { h.codec ^= 1 },
		"times turned round":  func(h *chunkHeader) { h.first, h.last = h.last, h.first },
		"times of another":    func(h *chunkHeader) { h.last++ },
		"seqs of another":     func(h *chunkHeader) { h.lastSeq = h.firstSeq },
	} {
		h := good
		change(&h)
		bad := append(h.append(nil, key), value[chunkHeaderLen:]...)
		if recs, _, err := loadChunk(key, bad, nil, nil); err == nil || len(recs) != 0 {
			t.Errorf("%s: %d records, %v", name, len(recs), err)
		}
	}
	header := chunkHeader{codec: codecS2, records: maxChunkRecords + 1, body: 1 << 20, first: 1, last: 2, firstSeq: 1, lastSeq: 2}
	if _, err := parseHeader(key, header.append(nil, key)); !errors.Is(err, errChunkCounts) {
		t.Errorf("a header of too many records: %v", err)
	}
	// The compressor's own idea of the length is no more to be trusted.
	bomb := binary.AppendUvarint(nil, 1<<31)
	h := good
	h.codec, h.storedCRC = codecS2, crcOf(bomb)
	if _, buf, err := loadChunk(key, append(h.append(nil, key), bomb...), nil, nil); !errors.Is(err, errChunkCounts) || cap(buf) != 0 {
		t.Errorf("a claim of 2 GiB: %d bytes set aside, %v", cap(buf), err)
	}
	// Lengths that leave JSON over, and lengths that reach beyond it.
	for _, lengths := range [][]byte{{1, 1}, {2, 2}, {3, 1}, {4, 0}} {
		body := append([]byte{0, 0, 0, 0}, append(lengths, "{}{"...)...)
		h := chunkHeader{records: 2, raw: 3, body: uint32(len(body)), firstSeq: 1, lastSeq: 1, storedCRC: crcOf(body)}
		recs, _, err := loadChunk(key, append(h.append(nil, key), body...), nil, nil)
		if !errors.Is(err, errChunkColumns) || len(recs) != 0 {
			t.Errorf("lengths %v of three bytes: %v, %v", lengths, recs, err)
		}
	}
	again := append(good.append(nil, key), value[chunkHeaderLen:]...)
	if !bytes.Equal(again, value) {
		t.Error("the header is not written as it was read")
	}
	bad := bytes.Clone(value)
	bad[0] = 2
	if _, err := parseHeader(key, bad); !errors.Is(err, ErrVersion) {
		t.Errorf("another version: %v", err)
	}
}

// FuzzLoadChunk gives the decoder bodies whose checksums are right: nothing but
// its own checks stands between them and memory.
func FuzzLoadChunk(f *testing.F) {
	_, values := packed(f, 1000, 3,
		groupOf("t", "d", []int64{1, 2, 2}, `{"a":1}`, `{}`, ``),
		groupOf("t", "e", []int64{-5}, strings.Repeat("x", 300)))
	for _, v := range values {
		f.Add(v[:chunkHeaderLen], v[chunkHeaderLen:])
	}
	key := []byte("key")
	f.Fuzz(func(t *testing.T, header, stored []byte) {
		if len(header) < chunkHeaderLen || len(header) > chunkHeaderLen {
			return
		}
		v := append(bytes.Clone(header), stored...)
		if _, _, err := loadChunk(key, v, nil, nil); err == nil {
			t.Fatal("a checksum fits by chance")
		}
		h := chunkHeader{codec: header[1] & 1, records: uint32(header[4])}
		h.raw = uint32(header[8]) | uint32(header[9])<<8
		h.body = uint32(header[12]) | uint32(header[13])<<8
		h.first, h.last = int64(int8(header[16])), int64(int8(header[24]))
		h.firstSeq, h.lastSeq = uint64(header[32]), uint64(header[40])
		if h.codec == codecS2 && header[2]&1 == 0 {
			stored = s2.Encode(nil, stored)
		}
		h.storedCRC = crcOf(stored)
		v = append(h.append(nil, key), stored...)
		recs, _, err := loadChunk(key, v, nil, nil)
		if err != nil {
			if len(recs) != 0 {
				t.Fatal("records beside an error")
			}
			return
		}
		n := 0
		for i, r := range recs {
			if r.Time < h.first || r.Time > h.last || r.Seq > h.lastSeq || i > 0 && r.Time < recs[i-1].Time {
				t.Fatalf("record %d: %+v", i, r)
			}
			n += len(r.JSON)
		}
		if n != int(h.raw) || len(recs) != int(h.records) {
			t.Fatalf("%d records of %d bytes, header %+v", len(recs), n, h)
		}
	})
}
