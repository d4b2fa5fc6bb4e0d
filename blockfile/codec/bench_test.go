package codec

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// benchBlock is 100 KiB of real records where they are present, else of made ones.
func benchBlock(b *testing.B) []byte {
	b.Helper()
	const size = 100 << 10
	if path, ok := findRecords(); ok {
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			b.Fatal(err)
		}
		raw := make([]byte, size)
		if _, err := io.ReadFull(z, raw); err != nil {
			b.Fatal(err)
		}
		return raw
	}
	b.Log("no real records: set FIRN_TEST_DATA to the folder that holds battle-rows/")
	var raw []byte
	for i := 0; len(raw) < size; i++ {
		raw = fmt.Appendf(raw, "u%d battle %d %d %x\n", i%7, 1700000000000+i*977, i*i%1000, i*2654435761)
	}
	return raw[:size]
}

func findRecords() (string, bool) {
	const file = "battle-rows/ship.ndjson.gz"
	if dir := os.Getenv("FIRN_TEST_DATA"); dir != "" {
		path := filepath.Join(dir, file)
		_, err := os.Stat(path)
		return path, err == nil
	}
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		path := filepath.Join(dir, "..", "shared", "data", file)
		if _, err := os.Stat(path); err == nil {
			return path, true
		}
		dir = filepath.Dir(dir)
	}
	return "", false
}

func BenchmarkCompress(b *testing.B) {
	raw := benchBlock(b)
	for _, name := range Names {
		b.Run("codec="+name, func(b *testing.B) {
			c, err := NewCompressor(name)
			if err != nil {
				b.Fatal(err)
			}
			comp, err := c.Append(nil, raw)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				comp, err = c.Append(comp[:0], raw)
			}
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(raw))/float64(len(comp)), "ratio")
		})
	}
}

func BenchmarkDecompress(b *testing.B) {
	raw := benchBlock(b)
	for _, name := range Names {
		b.Run("codec="+name, func(b *testing.B) {
			comp := mustCompress(b, name, raw)
			out := make([]byte, 0, len(raw))
			var err error
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				out, err = Decompress(name, out[:0], comp, len(raw))
			}
			if err != nil || !bytes.Equal(out, raw) {
				b.Fatal(err)
			}
		})
	}
}
