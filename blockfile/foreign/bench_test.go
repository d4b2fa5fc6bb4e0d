package foreign

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkRealFiles gives the speed in bytes of JSON.
func BenchmarkRealFiles(b *testing.B) {
	dir := dataDir(b)
	for _, file := range []string{
		"kylo/userdata1.avro", "goavro/quickstop-null.avro", "goavro/quickstop-deflate.avro",
		"pinot/test_sample_data.avro", "pinot/airlineStats_data_2014-01-05.avro",
	} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			b.Fatal(err)
		}
		b.Run("file="+filepath.Base(file), func(b *testing.B) {
			b.ReportAllocs()
			size, records := 0, int64(0)
			for b.Loop() {
				r, err := NewReader(bytes.NewReader(data), Options{})
				if err != nil {
					b.Fatal(err)
				}
				size = 0
				for {
					rec, err := r.Next()
					if err == io.EOF {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					size += len(rec)
				}
				records = r.Records()
			}
			b.SetBytes(int64(size))
			b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "rec/s")
		})
	}
}

// BenchmarkRecord decodes records alone, without framing and compression.
func BenchmarkRecord(b *testing.B) {
	top, err := parseSchema([]byte(`{"type":"record","name":"R","fields":[
		{"name":"id","type":"long"},{"name":"user","type":"string"},{"name":"score","type":["null","double"]},
		{"name":"tags","type":{"type":"array","items":"string"}},{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}}]}`))
	if err != nil {
		b.Fatal(err)
	}
	rec := long(123456789) + str("somebody@example.org") + "\x02" + double(17.25) + long(2) + str("red") + str("green") + "\x00" + long(1700000000123456)
	d := decoder{buf: []byte(rec), max: 1 << 20}
	b.ReportAllocs()
	for b.Loop() {
		d.pos = 0
		if err := d.record(top); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(d.out)))
}
