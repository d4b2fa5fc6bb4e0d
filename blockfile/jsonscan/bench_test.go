package jsonscan

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// logRecords are flat records of ten members and about 250 bytes.
func logRecords(n int) [][]byte {
	rng := rand.New(rand.NewPCG(7, 8))
	records := make([][]byte, n)
	for i := range records {
		records[i] = fmt.Appendf(nil, `{"timestamp":%d,"level":"%s","service":"checkout-%d","host":"ip-10-0-%d-%d","trace":"%016x%016x",`+
			`"duration":%.3f,"status":%d,"ok":%v,"path":"/api/v1/orders/%d/items","message":"request finished after %d tries, cache miss"}`,
			1_700_000_000_000+int64(i)*37, []string{"info", "warn", "error"}[rng.IntN(3)], rng.IntN(9), rng.IntN(256), rng.IntN(256), rng.Uint64(), rng.Uint64(),
			rng.Float64()*900, 200+rng.IntN(300), rng.IntN(2) == 0, rng.IntN(1_000_000), rng.IntN(9))
	}
	return records
}

func benchRecords(b *testing.B, records [][]byte) {
	total := 0
	for _, r := range records {
		total += len(r)
	}
	b.Run("Record", func(b *testing.B) {
		s := NewScanner(Options{})
		b.SetBytes(int64(total / len(records)))
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if _, err := s.Record(records[i]); err != nil {
				b.Fatal(err)
			}
			if i++; i == len(records) {
				i = 0
			}
		}
	})
	b.Run("SkipValue", func(b *testing.B) {
		b.SetBytes(int64(total / len(records)))
		i := 0
		for b.Loop() {
			if SkipValue(records[i], 0) < 2 {
				b.Fatal("nothing skipped")
			}
			if i++; i == len(records) {
				i = 0
			}
		}
	})
}

func BenchmarkLog(b *testing.B) { benchRecords(b, logRecords(1000)) }

func BenchmarkHostile(b *testing.B) {
	var keys, shapes []byte
	for i := range 100_000 {
		keys = fmt.Appendf(keys, `,"k%d":0`, i)
		shapes = fmt.Appendf(shapes, `,{"k%d":0}`, i)
	}
	keys[0] = '{'
	for _, c := range []struct {
		name string
		rec  []byte
	}{
		{"keys=100000", append(keys, '}')},
		{"shapes=100000", fmt.Appendf(nil, `{"a":[%s]}`, shapes[1:])},
	} {
		b.Run(c.name, func(b *testing.B) { benchRecords(b, [][]byte{c.rec}) })
	}
}

// BenchmarkData reads real records where they are at hand.
func BenchmarkData(b *testing.B) {
	root := testData()
	if root == "" {
		b.Skip("no test data: set FIRN_TEST_DATA")
	}
	for _, name := range []string{"logs/HDFS", "logs/apache-access", "battle-rows/ship", "events/zeek-dns", "events/quakes", "events/win-rdp", "events/github", "battle/api_port.port"} {
		b.Run(name, func(b *testing.B) {
			records := readRecords(b, filepath.Join(root, filepath.FromSlash(name)+".ndjson.gz"))
			benchRecords(b, records)
		})
	}
}

// testData is the folder of real records, or "".
func testData() string {
	if dir := os.Getenv("FIRN_TEST_DATA"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "shared", "data", "FILES.tsv")); err == nil {
			return filepath.Join(dir, "shared", "data")
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// readRecords reads up to 4 MiB of lines.
func readRecords(tb testing.TB, path string) [][]byte {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 8<<20)
	var records [][]byte
	for total := 0; total < 4<<20 && lines.Scan(); total += len(lines.Bytes()) {
		records = append(records, bytes.Clone(lines.Bytes()))
	}
	if err := lines.Err(); err != nil {
		tb.Fatal(err)
	}
	return records
}

func TestDataIsAccepted(t *testing.T) {
	root := testData()
	if root == "" {
		t.Skip("no test data: set FIRN_TEST_DATA")
	}
	files, err := filepath.Glob(filepath.Join(root, "*", "*.ndjson.gz"))
	if err != nil || len(files) == 0 {
		t.Skip("no records in ", root)
	}
	s := NewScanner(Options{})
	for _, path := range files {
		shapes := map[uint64]bool{}
		records := readRecords(t, path)
		for i, rec := range records {
			r, err := s.Record(rec)
			if err != nil {
				t.Fatalf("%s, record %d: %v", path, i, err)
			}
			if _, err := ParseTime(r.Timestamp.Of(rec)); err != nil || !r.Dataset.Present() || !r.Table.Present() {
				t.Fatalf("%s, record %d: %+v, %v", path, i, r, err)
			}
			if end := SkipValue(rec, 0); end != len(rec) {
				t.Fatalf("%s, record %d: skipped %d of %d bytes", path, i, end, len(rec))
			}
			shapes[r.Shape] = true
		}
		if len(shapes) > len(records)/2+10 {
			t.Errorf("%s: %d shapes in %d records", path, len(shapes), len(records))
		}
	}
}
