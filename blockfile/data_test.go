package blockfile

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/schema"
	"github.com/firndb/firn/blockfile/store"
)

// testData finds the folder of real data: FIRN_TEST_DATA, or shared/data
// beside a parent folder.
func testData(t testing.TB) string {
	if dir := os.Getenv("FIRN_TEST_DATA"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if found := filepath.Join(dir, "shared", "data"); isDir(found) {
			return found
		}
	}
	t.Skip("no real data: set FIRN_TEST_DATA")
	return ""
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

type realRecord struct {
	Timestamp int64  `json:"timestamp"`
	Dataset   string `json:"dataset_id"`
	Table     string `json:"table"`
	text      []byte
}

func readRecords(t testing.TB, path string) []realRecord {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var records []realRecord
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		r := realRecord{text: bytes.Clone(lines.Bytes())}
		if err := json.Unmarshal(r.text, &r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return records
}

// encodeBlocks makes blocks of a table's records as an archive run does: by
// dataset and day, in time order, 64 KiB raw at most unless one record is more.
func encodeBlocks(t testing.TB, records []realRecord) (*schema.Schema, []testBlock) {
	t.Helper()
	tree := schema.NewTree(records[0].Table)
	for _, r := range records {
		tree.Add(r.Dataset, r.Timestamp, r.text)
	}
	s := tree.Schema()
	slices.SortStableFunc(records, func(a, b realRecord) int {
		return cmp.Or(cmp.Compare(DayOf(a.Timestamp), DayOf(b.Timestamp)), cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.Timestamp, b.Timestamp))
	})
	enc := s.NewEncoder()
	var blocks []testBlock
	for i := range records {
		r := &records[i]
		raw, err := enc.Append(nil, r.Dataset, r.Timestamp, r.text)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(blocks) - 1; n < 0 || blocks[n].dataset != r.Dataset || blocks[n].day != DayOf(r.Timestamp) || len(blocks[n].raw)+len(raw) > 64<<10 {
			blocks = append(blocks, testBlock{dataset: r.Dataset, day: DayOf(r.Timestamp), first: r.Timestamp})
		}
		b := &blocks[len(blocks)-1]
		b.raw, b.last = append(b.raw, raw...), r.Timestamp
		b.records++
	}
	return s, blocks
}

// Real records through the whole way: encode, write, put into a store, plan,
// read by ranges, check, decompress. Every dataset comes back whole and alone,
// and costs little more than its bytes.
func TestRealData(t *testing.T) {
	dir := testData(t)
	var paths []string
	for _, part := range []string{"battle-rows", "logs"} {
		found, err := filepath.Glob(filepath.Join(dir, part, "*.ndjson.gz"))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		t.Skip("no real records in", dir)
	}
	for i, path := range paths {
		tables := map[string][]realRecord{}
		for _, r := range readRecords(t, path) {
			tables[r.Table] = append(tables[r.Table], r)
		}
		name := codec.Names[i%len(codec.Names)]
		for table, records := range tables {
			t.Run(filepath.Base(path)+"/"+table+"/"+name, func(t *testing.T) { throughStore(t, name, table, records) })
		}
	}
}

func throughStore(t *testing.T, codec, table string, records []realRecord) {
	s, blocks := encodeBlocks(t, records)
	f := Family{Table: table, Schema: s.Text(), Codec: codec}
	file, refs, sum := writeFile(t, f, blocks)
	info, rebuilt, err := rebuild(t, bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	wantInfo(t, info, f.Sidecar(sum))
	wantRefs(t, rebuilt, refs)
	if _, got, err := readSidecar(bytes.NewReader(writeSidecar(t, info, refs))); err != nil || !slices.Equal(got, refs) {
		t.Errorf("sidecar: %v, or other references", err)
	}

	mem := store.NewCounting(store.NewMemory())
	key := Name{Table: table, Day: blocks[0].day, Run: 1}.BlockKey()
	if err := mem.PutIfAbsent(t.Context(), key, file); err != nil {
		t.Fatal(err)
	}
	datasets := map[string][]int{}
	for i, r := range refs {
		datasets[r.Dataset] = append(datasets[r.Dataset], i)
	}
	fr := f.Frame()
	var read uint64
	for dataset, indexes := range datasets {
		var wants []Want
		var needed int64
		for _, i := range indexes {
			wants = append(wants, Want{Key: key, Ref: refs[i]})
			needed += int64(refs[i].Length)
		}
		before := mem.Counts()
		for _, rng := range Plan(wants, PlanOptions{}) {
			buf := make([]byte, rng.Length)
			if err := mem.ReadRange(t.Context(), rng.Key, rng.Offset, buf); err != nil {
				t.Fatal(err)
			}
			for _, w := range rng.Blocks {
				ref := wants[w].Ref
				at := ref.Offset - rng.Offset
				raw, err := fr.ReadBlock(nil, buf[at:at+int64(ref.Length)], ref)
				if err != nil || !bytes.Equal(raw, blocks[indexes[w]].raw) {
					t.Fatalf("dataset %q: %v, or other bytes", dataset, err)
				}
				read += uint64(ref.Records)
			}
		}
		spent := mem.Counts()
		if n := spent.ReadBytes - before.ReadBytes; n > needed+needed/10 {
			t.Errorf("dataset %q: %d bytes read for %d", dataset, n, needed)
		}
		if n := spent.Requests() - before.Requests(); n > int64(len(wants)) {
			t.Errorf("dataset %q: %d requests for %d blocks", dataset, n, len(wants))
		}
	}
	if read != uint64(len(records)) {
		t.Errorf("%d records read, %d written", read, len(records))
	}
	t.Logf("%d records, %d datasets, %d blocks, %d raw bytes, ratio %.2f", len(records), len(datasets), len(refs), sum.RawBytes, float64(sum.RawBytes)/float64(sum.Size))
}
