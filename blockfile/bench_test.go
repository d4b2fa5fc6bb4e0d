package blockfile

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/firndb/firn/blockfile/codec"
)

// benchBlock is 64 KiB of records with some text and some chance in them.
func benchBlock() testBlock {
	rnd := rand.New(rand.NewPCG(1, 1))
	b := testBlock{dataset: "user-4711", day: 19_844, first: DayStart(19_844)}
	for len(b.raw) < 64<<10 {
		b.last = b.first + int64(b.records)*731
		b.raw = appendRecord(b.raw, b.dataset, b.last, rnd.Int64N(100_000), fmt.Sprintf("request to /v1/items/%d took %d ms", rnd.IntN(5000), rnd.IntN(90)))
		b.records++
	}
	return b
}

func BenchmarkWriter(b *testing.B) {
	block := benchBlock()
	for _, name := range codec.Names {
		b.Run("codec="+name, func(b *testing.B) {
			w, err := NewWriter(io.Discard, testFamily(name))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(block.raw)))
			for b.Loop() {
				if _, err := w.appendBlock(block); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReadBlock(b *testing.B) {
	block := benchBlock()
	for _, name := range codec.Names {
		b.Run("codec="+name, func(b *testing.B) {
			f := testFamily(name)
			file, refs, _ := writeFile(b, f, []testBlock{block})
			fr, stored := f.Frame(), stored(file, refs[0])
			buf := make([]byte, 0, len(block.raw))
			b.ReportAllocs()
			b.SetBytes(int64(len(block.raw)))
			for b.Loop() {
				if _, err := fr.ReadBlock(buf, stored, refs[0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSplice(b *testing.B) {
	f := testFamily(codec.Deflate)
	file, refs, _ := writeFile(b, f, []testBlock{benchBlock()})
	w, err := NewWriter(io.Discard, f)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(refs[0].Length))
	for b.Loop() {
		if _, err := w.AppendStored(refs[0], stored(file, refs[0])); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprintf("wants=%d", n), func(b *testing.B) {
			var wants []Want
			for i := range n {
				wants = append(wants, want(fmt.Sprintf("battle/date=2024-05-%02d/f.avro", i%30), int64(i/30)*25_000, 20_000))
			}
			b.ReportAllocs()
			for b.Loop() {
				Plan(wants, PlanOptions{})
			}
		})
	}
}

func BenchmarkSidecar(b *testing.B) {
	const n = 10_000
	info, seq := manyRefs(testFamily(codec.Deflate), n)
	var side bytes.Buffer
	if _, err := WriteSidecar(&side, info, seq); err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := WriteSidecar(io.Discard, info, seq); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		b.ReportMetric(float64(side.Len())/n, "bytes/row")
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ReadSidecar(bytes.NewReader(side.Bytes()), func(Ref) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
	})
}

func BenchmarkRebuildSidecar(b *testing.B) {
	f := testFamily(codec.Deflate)
	block := benchBlock()
	var blocks []testBlock
	for range 64 {
		blocks = append(blocks, block)
	}
	file, _, sum := writeFile(b, f, blocks)
	b.ReportAllocs()
	b.SetBytes(sum.RawBytes)
	for b.Loop() {
		if _, err := RebuildSidecar(b.Context(), bytes.NewReader(file), func(Ref) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
