package hot

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"
)

const benchRecord = 250

// benchGroups makes batches of records of about 250 bytes that look like game
// events; each goes to one of a number of datasets.
func benchGroups(bytes, perGroup, datasets int) []Group {
	rng := rand.New(rand.NewPCG(1, 1))
	var out []Group
	ms := int64(1_700_000_000_000)
	for total := 0; total < bytes; {
		g := Group{Table: "battle", Dataset: fmt.Sprintf("user-%06d", rng.IntN(datasets))}
		for range perGroup {
			ms += int64(rng.IntN(20))
			start := len(g.Data)
			g.Data = fmt.Appendf(g.Data,
				`{"timestamp":%d,"battle_id":"%016x","map":"arena-%02d","mode":"ranked","result":"%s","kills":%d,"deaths":%d,"damage":%.2f,"duration_ms":%d,"hero":{"id":%d,"level":%d,"skin":"default"},"ping":[%d,%d,%d]`,
				ms, rng.Uint64(), rng.IntN(12), []string{"win", "loss", "draw"}[rng.IntN(3)], rng.IntN(30), rng.IntN(20),
				rng.Float64()*10000, rng.IntN(1_800_000), rng.IntN(120), rng.IntN(60), rng.IntN(200), rng.IntN(200), rng.IntN(200))
			for len(g.Data)-start < benchRecord-2 {
				g.Data = append(g.Data, ' ')
			}
			g.Data = append(g.Data, '}')
			g.Times = append(g.Times, ms)
			g.Ends = append(g.Ends, uint32(len(g.Data)))
		}
		total += len(g.Data)
		out = append(out, g)
	}
	return out
}

func fillMemory(groups []Group, seq uint64) *Memory {
	m := NewMemory()
	for _, g := range groups {
		m.Add(g, seq)
		seq += uint64(len(g.Times))
	}
	return m
}

func BenchmarkMemoryAdd(b *testing.B) {
	for _, perGroup := range []int{1, 100} {
		groups := benchGroups(16<<20, perGroup, 1000)
		b.Run(fmt.Sprintf("group=%d", perGroup), func(b *testing.B) {
			b.ReportAllocs()
			var n, bytes int
			for b.Loop() {
				m := fillMemory(groups, 1)
				n += int(m.Records())
				bytes = int(m.Records()) * benchRecord
			}
			b.SetBytes(int64(bytes))
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rec/s")
		})
	}
}

func BenchmarkViewAppend(b *testing.B) {
	m := fillMemory(benchGroups(64<<20, 20, 100), 1)
	var buf []Record
	b.Run("whole dataset", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			v := m.View("battle", "user-000050")
			buf = v.Append(buf[:0], math.MinInt64, math.MaxInt64, 0)
			n += len(buf)
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rec/s")
	})
	b.Run("last hundred", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v := m.View("battle", "user-000050")
			buf = v.Append(buf[:0], v.MaxTime()-100_000, v.MaxTime(), 0)
		}
	})
}

func BenchmarkApply(b *testing.B) {
	for _, c := range []struct{ datasets, perGroup int }{{1, 100}, {1000, 100}, {100_000, 5}} {
		m := fillMemory(benchGroups(64<<20, c.perGroup, c.datasets), 1)
		b.Run(fmt.Sprintf("datasets=%d", c.datasets), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(m.Records()) * benchRecord)
			dir := b.TempDir()
			n, i, size := 0, 0, int64(0)
			for b.Loop() {
				b.StopTimer()
				path := filepath.Join(dir, fmt.Sprint(i))
				i++
				g, err := CreateGeneration(path, ID(i), GenerationOptions{})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if err := g.Apply(m, nil, 1); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				n += int(m.Records())
				size = g.Bytes()
				if err := g.Close(); err != nil {
					b.Fatal(err)
				}
				if err := Remove(path); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rec/s")
			b.ReportMetric(float64(size)/float64(m.Records()*benchRecord), "file/raw")
		})
	}
}

// benchGeneration holds four runs of 16 MiB over a thousand datasets.
func benchGeneration(b *testing.B) *Generation {
	g, err := CreateGeneration(filepath.Join(b.TempDir(), "g"), 1, GenerationOptions{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = g.Close() })
	groups := benchGroups(64<<20, 100, 1000)
	seq := uint64(1)
	for i := range 4 {
		part := groups[i*len(groups)/4 : (i+1)*len(groups)/4]
		if err := g.Apply(fillMemory(part, seq), nil, 1); err != nil {
			b.Fatal(err)
		}
		seq += 1 << 20
	}
	return g
}

func BenchmarkWalk(b *testing.B) {
	g := benchGeneration(b)
	b.ReportAllocs()
	n, bytes := 0, 0
	for b.Loop() {
		tx, err := g.Begin()
		if err != nil {
			b.Fatal(err)
		}
		bytes = 0
		err = tx.Walk(func(string, int32, string) error { return nil }, func(r Record) error {
			n++
			bytes += len(r.JSON)
			return nil
		})
		tx.Close()
		if err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(bytes))
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rec/s")
}

func BenchmarkReadDataset(b *testing.B) {
	g := benchGeneration(b)
	b.ReportAllocs()
	var buf []byte
	var recs []Record
	n, i := 0, 0
	for b.Loop() {
		i++
		tx, err := g.Begin()
		if err != nil {
			b.Fatal(err)
		}
		err = tx.Chunks("battle", fmt.Sprintf("user-%06d", i%1000), math.MinInt32, math.MaxInt32, func(ref ChunkRef) (err error) {
			recs, buf, err = tx.Load(ref, buf, recs[:0])
			n += len(recs)
			return err
		})
		tx.Close()
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rec/s")
}

func BenchmarkLoad(b *testing.B) {
	g := benchGeneration(b)
	tx, err := g.Begin()
	if err != nil {
		b.Fatal(err)
	}
	defer tx.Close()
	var ref ChunkRef
	err = tx.Chunks("battle", "user-000001", math.MinInt32, math.MaxInt32, func(r ChunkRef) error {
		ref = r
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(ref.RawBytes))
	var buf []byte
	var recs []Record
	for b.Loop() {
		if recs, buf, err = tx.Load(ref, buf, recs[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKeysGet(b *testing.B) {
	k := openKeys(b, filepath.Join(b.TempDir(), "keys.db"), KeysOptions{})
	const now = 1_700_000_000_000
	for hour := range int64(72) {
		entries := make([]KeyEntry, 2000)
		for i := range entries {
			entries[i] = keyEntry(uint64(hour)<<32|uint64(i), now-hour*millisPerHour)
		}
		if err := k.Put(entries); err != nil {
			b.Fatal(err)
		}
	}
	for name, key := range map[string][]byte{"newest": keyEntry(5, 0).Key, "unknown": []byte("scope\x00key-x")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := k.Get(key, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
