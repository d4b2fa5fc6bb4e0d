package schema

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// dataDir finds the folder of real data: FIRN_TEST_DATA, or shared/data beside the
// repository. It skips the test without.
func dataDir(t testing.TB) string {
	dir := findData()
	if dir == "" {
		t.Skip("no real data: set FIRN_TEST_DATA to its folder")
	}
	return dir
}

func findData() string {
	if dir := os.Getenv("FIRN_TEST_DATA"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if found := filepath.Join(dir, "shared", "data"); isDir(found) {
			return found
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// stored is one record as the engine would store it.
type stored struct {
	dataset, table string
	time           int64
	rec            []byte
}

// readRecords calls fn for every line of a packed NDJSON file.
func readRecords(t testing.TB, path string, fn func(stored)) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var head struct {
			Timestamp int64  `json:"timestamp"`
			Dataset   string `json:"dataset_id"`
			Table     string `json:"table"`
		}
		// Only the first members, which every line begins with: decoding all of it is slow.
		line := append([]byte(nil), lines.Bytes()...)
		if err := decodeHead(line, &head); err != nil {
			t.Fatalf("%s: %v in %.200s", path, err, line)
		}
		fn(stored{dataset: head.Dataset, table: head.Table, time: head.Timestamp, rec: line})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

func decodeHead(line []byte, head any) error {
	commas := 0
	for i, c := range line {
		if c == '}' {
			return json.Unmarshal(line, head)
		}
		if c == ',' {
			if commas++; commas == 3 {
				return json.Unmarshal(append(append([]byte(nil), line[:i]...), '}'), head)
			}
		}
	}
	return fmt.Errorf("no own members")
}

func TestRealData(t *testing.T) {
	dir := dataDir(t)
	for _, part := range []string{"battle", "battle-rows", "logs", "events"} {
		t.Run(part, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(dir, part, "*.ndjson.gz"))
			if err != nil || len(files) == 0 {
				t.Skipf("no data in %s", part)
			}
			records, text, encoded, largest := 0, 0, 0, 0
			for _, path := range files {
				// The dearest part is the independent comparison: with -short one record in
				// seven is compared, the others only encoded and decoded.
				tables := map[string][]stored{}
				readRecords(t, path, func(s stored) { tables[s.table] = append(tables[s.table], s) })
				for table, recs := range tables {
					tree := NewTree(table)
					for _, s := range recs {
						tree.Add(s.dataset, s.time, s.rec)
					}
					for _, s := range recs {
						if tree.Add(s.dataset, s.time, s.rec) {
							t.Fatalf("%s: adding a second time changed the tree", path)
						}
					}
					schema := tree.Schema()
					if schema.Fallback() {
						t.Errorf("%s: table %s needs the fallback schema", path, table)
					}
					largest = max(largest, len(schema.Text()))
					e, d := schema.NewEncoder(), schema.NewDecoder()
					var b, out []byte
					for i, s := range recs {
						if i%7 == 0 || !testing.Short() {
							if err := checkRecord(schema, e, d, s.dataset, s.time, s.rec); err != nil {
								t.Fatalf("%s line %d: %v", path, i+1, err)
							}
						}
						if b, err = e.Append(b[:0], s.dataset, s.time, s.rec); err != nil {
							t.Fatalf("%s line %d: %v", path, i+1, err)
						}
						var n int
						if out, n, err = d.AppendJSON(out[:0], b); err != nil || n != len(b) {
							t.Fatalf("%s line %d: %d of %d bytes, %v", path, i+1, n, len(b), err)
						}
						records++
						text += len(s.rec)
						encoded += len(b)
					}
				}
			}
			t.Logf("%d records, %d bytes of JSON, %d bytes of Avro, longest schema %d bytes", records, text, encoded, largest)
		})
	}
}
