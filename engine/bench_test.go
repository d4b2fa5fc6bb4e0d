package engine

import (
	"context"
	"fmt"
	"testing"
)

// benchRecord makes a record of about 250 bytes with ten members, like a line of an access log.
func benchRecord(dst []byte, i int) []byte {
	return fmt.Appendf(dst, `{"timestamp":%d,"host":"10.47.%d.%d","method":"GET","path":"/api/v1/items/%d","status":%d,"bytes":%d,"duration":%d.%03d,"agent":"Mozilla/5.0 (X11; Linux x86_64) firn-bench/1.0","trace":"%08x%08x","ok":%t,"region":"eu-west-%d"}`,
		1_700_000_000_000+int64(i)*7, i%256, i%251, i%5000, 200+i%5, i*37%100_000, i%40, i%1000, i*2654435761, i*40503, i%7 != 0, i%3)
}

func benchBatch(n, from int) Batch {
	b := Batch{Table: "access", Dataset: "u1"}
	var all []byte
	var ends []int
	for i := range n {
		all = benchRecord(all, from+i)
		ends = append(ends, len(all))
	}
	start := 0
	for _, end := range ends {
		b.Records = append(b.Records, all[start:end:end])
		start = end
	}
	return b
}

func batchBytes(b Batch) (n int64) {
	for _, r := range b.Records {
		n += int64(len(r))
	}
	return n
}

// BenchmarkIngest is the way of a batch of 1,000 records to the acknowledgement: scanning, log,
// fdatasync, memory table. Applying is not in it (the memory table is dropped when it is full).
func BenchmarkIngest(b *testing.B) {
	db := openTest(b, b.TempDir(), func(o *Options) { o.Hot.MemoryBytes = 1 << 30 })
	defer db.Close()
	batch := benchBatch(1000, 0)
	b.SetBytes(batchBytes(batch))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := db.Ingest(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkScan is the validation of 1,000 records alone.
func BenchmarkScan(b *testing.B) {
	db := openTest(b, b.TempDir(), nil)
	defer db.Close()
	batch := benchBatch(1000, 0)
	b.SetBytes(batchBytes(batch))
	b.ReportAllocs()
	r := Request{Batches: []Batch{batch}}
	for b.Loop() {
		s := scratchPool.Get().(*ingestScratch)
		s.reset(db)
		if err := s.scan(0, &batch); err != nil {
			b.Fatal(err)
		}
		if _, err := s.build(&r); err != nil {
			b.Fatal(err)
		}
		s.release()
	}
}

// BenchmarkApply moves a memory table of 64 MiB into a generation.
func BenchmarkApply(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		db := openTest(b, b.TempDir(), func(o *Options) { o.Hot.MemoryBytes = 1 << 30 })
		n := fillTest(b, db, 64<<20)
		b.SetBytes(n)
		b.StartTimer()
		db.freeze()
		if err := db.applyFrozen(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		db.Close()
		b.StartTimer()
	}
}

// fillTest ingests about so many bytes over 100 datasets.
func fillTest(b testing.TB, db *DB, bytes int64) (n int64) {
	for i := 0; n < bytes; i++ {
		batch := benchBatch(1000, i*1000)
		batch.Dataset = fmt.Sprintf("u%d", i%100)
		if _, err := db.Ingest(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
		n += batchBytes(batch)
	}
	return n
}

// BenchmarkArchive turns a sealed generation of 64 MiB of JSON into block files, by codec.
func BenchmarkArchive(b *testing.B) {
	for _, codec := range []string{"deflate", "zstandard", "snappy", "null"} {
		b.Run("codec="+codec, func(b *testing.B) {
			var report ArchiveReport
			for b.Loop() {
				b.StopTimer()
				db := openTest(b, b.TempDir(), func(o *Options) { o.Hot.MemoryBytes = 1 << 30; o.Block.Codec = codec })
				b.SetBytes(fillTest(b, db, 64<<20))
				if err := db.sealAll(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				var err error
				if report, err = db.Archive(context.Background()); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				db.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(report.Bytes)/float64(report.Records), "stored-bytes/record")
			b.ReportMetric(float64(report.RawBytes)/float64(report.Bytes), "ratio")
		})
	}
}

// BenchmarkRead reads about 800 records of one dataset: from memory, from a generation, from block
// files with the caches on and off.
func BenchmarkRead(b *testing.B) {
	for _, tier := range []string{"memory", "generation", "cold-cached", "cold"} {
		b.Run("from="+tier, func(b *testing.B) {
			db := openTest(b, b.TempDir(), func(o *Options) {
				o.Hot.MemoryBytes = 1 << 30
				if tier == "cold" {
					o.Cache.ReferenceBytes, o.Cache.BlockBytes, o.Cache.RawBytes = -1, -1, -1
				}
			})
			defer db.Close()
			fillTest(b, db, 32<<20)
			var err error
			switch tier {
			case "generation":
				err = db.sealAll()
			case "cold", "cold-cached":
				_, err = db.Archive(context.Background())
			}
			if err != nil {
				b.Fatal(err)
			}
			q := Query{Table: "access", Dataset: "u7", From: 1_700_000_000_000 + 7*7000, To: 1_700_000_000_000 + 7*7000 + 799*7}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n = 0
				for _, err := range db.Read(context.Background(), q) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			if n != 800 {
				b.Fatalf("%d records", n)
			}
			b.ReportMetric(float64(n), "records")
		})
	}
}
