package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/firndb/firn/blockfile"
)

// manyRefs is what a daily file of many datasets has: one block of each.
func manyRefs(datasets int, day int32) []blockfile.Ref {
	refs := make([]blockfile.Ref, 0, datasets)
	offset := int64(900)
	for i := range datasets {
		r := blockfile.Ref{Dataset: fmt.Sprintf("user-%06d", i), Day: day, Offset: offset, Length: uint32(9_000 + i%5000), RawLength: uint32(90_000 + i%30_000),
			Records: uint32(300 + i%100), CRC: uint32(i) * 2654435761}
		r.First = blockfile.DayStart(day) + int64(i*7919%3_600_000)
		r.Last = r.First + 80_000_000
		offset = r.End()
		refs = append(refs, r)
	}
	return refs
}

// benchOpen opens a catalog that syncs, as the daemon does.
func benchOpen(b *testing.B) *Catalog {
	b.Helper()
	c, err := Open(filepath.Join(b.TempDir(), "catalog.db"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	update(b, c, func(tx *Tx) error { return tx.SetIdentity(Identity{StoreID: "s", Epoch: 1, LogNext: 1}) })
	return c
}

// stageLarge stages a file in transactions of at most 8 MiB and commits it.
func stageLarge(b testing.TB, c *Catalog, n int, refs []blockfile.Ref) {
	b.Helper()
	var job Job
	var id FileID
	update(b, c, func(tx *Tx) (err error) {
		if job, err = tx.BeginJob(KindArchive, nil, 1); err != nil {
			return err
		}
		id, err = tx.StageFile(fileRow(job, n, "battle", refs))
		return err
	})
	for len(refs) > 0 {
		update(b, c, func(tx *Tx) error {
			for len(refs) > 0 && tx.Bytes() < 8<<20 {
				k := min(len(refs), 4096)
				if err := tx.StageRefs(id, refs[:k]); err != nil {
					return err
				}
				refs = refs[k:]
			}
			return nil
		})
	}
	update(b, c, func(tx *Tx) error { return tx.Commit(Commit{Run: job.Run, Position: tx.Identity().LogNext}) })
}

func BenchmarkStage100kRefs(b *testing.B) {
	c := benchOpen(b)
	refs := manyRefs(100_000, day0)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		stageLarge(b, c, n, refs)
	}
	b.ReportMetric(float64(len(refs))*float64(n)/b.Elapsed().Seconds(), "refs/s")
}

// One dataset and day out of ever more references: the time must stay.
func BenchmarkLookup(b *testing.B) {
	for _, days := range []int{1, 10} {
		b.Run(fmt.Sprintf("refs=%d", days*100_000), func(b *testing.B) {
			c := benchOpen(b)
			for day := range days {
				stageLarge(b, c, day, manyRefs(100_000, day0+int32(day)))
			}
			st, err := os.Stat(c.Path())
			if err != nil {
				b.Fatal(err)
			}
			var dst []blockfile.Ref
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i++
				s, err := c.View()
				if err != nil {
					b.Fatal(err)
				}
				dst = dst[:0]
				if err := s.Refs("battle", fmt.Sprintf("user-%06d", i*7919%100_000), day0, day0, func(g RefGroup) (err error) {
					dst, err = g.Decode(dst)
					return err
				}); err != nil || len(dst) != 1 {
					b.Fatal(err, len(dst))
				}
				s.Close()
			}
			b.ReportMetric(float64(st.Size())/float64(days*100_000), "file-bytes/ref")
		})
	}
}

// Bytes a reference takes in the file, by how many blocks a dataset has in a
// file and day, and what unpacking costs.
func BenchmarkGroup(b *testing.B) {
	for _, blocks := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("blocks=%d", blocks), func(b *testing.B) {
			refs := manyRefs(blocks, day0)
			for i := range refs {
				refs[i].Dataset = "user-000001"
				refs[i].First = blockfile.DayStart(day0) + int64(i*80_000)
				refs[i].Last = refs[i].First + 79_000
			}
			body := packRefs(nil, refs, refs[0].First)
			dst := make([]blockfile.Ref, 0, blocks)
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if dst, err = unpackRefs(dst[:0], body, "user-000001", day0, refs[0].First); err != nil {
					b.Fatal(err)
				}
			}
			key := len(appendRefKey(nil, "user-000001", day0, refs[0].First, 1, 0))
			b.ReportMetric(float64(len(body)+crcSize+key)/float64(blocks), "bytes/ref")
		})
	}
}

func BenchmarkDatasets(b *testing.B) {
	c := benchOpen(b)
	stageLarge(b, c, 1, manyRefs(100_000, day0))
	s := view(b, c)
	defer s.Close()
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if err := s.Datasets("battle", "", func(string, uint64, int64, int64, int64) error { n++; return nil }); err != nil || n != 100_000 {
			b.Fatal(err, n)
		}
	}
}
