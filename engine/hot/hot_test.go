package hot

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// modelRecord is a record as the tests remember it.
type modelRecord struct {
	table, dataset string
	Record
}

// model makes random groups and remembers every record, in order of seq.
type model struct {
	rng      *rand.Rand
	seq      uint64
	names    []string // datasets
	tables   []string
	days     int64 // how many days times spread over
	recs     []modelRecord
	accepted map[string]uint64
}

func newModel(t testing.TB, seed uint64) *model {
	t.Helper()
	t.Logf("seed %d", seed)
	return &model{
		rng:      rand.New(rand.NewPCG(seed, 1)),
		seq:      1000,
		names:    []string{"u1", "u2", "", "a", "a\x00", "a\x00b", "ab", "\x00", "\xff\xff", "ü", strings.Repeat("x", 512)},
		tables:   []string{"battle", "log\x00s", "logs", strings.Repeat("t", 80)},
		days:     5,
		accepted: map[string]uint64{},
	}
}

// group makes a group of up to n records and remembers them.
func (m *model) group(n int) (Group, uint64) {
	g := Group{
		Table:   m.tables[m.rng.IntN(len(m.tables))],
		Dataset: m.names[m.rng.IntN(len(m.names))],
	}
	m.seq += 1 + uint64(m.rng.IntN(3)) // frames without records take numbers too
	first := m.seq
	sorted := m.rng.IntN(2) == 0
	for range 1 + m.rng.IntN(n) {
		// A few distinct times a day, around 1970, so that many are equal.
		ms := (m.rng.Int64N(m.days)-m.days/2)*millisPerDay + m.rng.Int64N(50)
		g.Times = append(g.Times, ms)
	}
	if sorted {
		slices.Sort(g.Times)
	}
	for i, ms := range g.Times {
		j := fmt.Sprintf(`{"n":%d,"t":%d,"pad":%q}`, first+uint64(i), ms, strings.Repeat("y", m.rng.IntN(60)))
		g.Data = append(g.Data, j...)
		g.Ends = append(g.Ends, uint32(len(g.Data)))
		m.recs = append(m.recs, modelRecord{g.Table, g.Dataset, Record{Time: ms, Seq: first + uint64(i), JSON: []byte(j)}})
	}
	m.seq = first + uint64(len(g.Times)) - 1
	m.accepted[g.Table] += uint64(len(g.Times))
	return g, first
}

// memory makes a memory table of some random groups.
func (m *model) memory(groups, n int) *Memory {
	mem := NewMemory()
	for range groups {
		g, first := m.group(n)
		mem.Add(g, first)
		mem.SetTotal(g.Table, m.accepted[g.Table])
	}
	return mem
}

// want is what a read must give.
func (m *model) want(table, dataset string, from, to int64, after, upTo uint64) []Record {
	var out []Record
	for _, r := range m.recs {
		if r.table == table && r.dataset == dataset && r.Time >= from && r.Time <= to && r.Seq > after && r.Seq <= upTo {
			out = append(out, r.Record)
		}
	}
	slices.SortFunc(out, compareRecords)
	return out
}

func sameRecords(t testing.TB, what string, got, want []Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d records, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i].Time != want[i].Time || got[i].Seq != want[i].Seq || !bytes.Equal(got[i].JSON, want[i].JSON) {
			t.Fatalf("%s: record %d is %d/%d %s, want %d/%d %s", what, i,
				got[i].Time, got[i].Seq, got[i].JSON, want[i].Time, want[i].Seq, want[i].JSON)
		}
	}
}

// testOptions make many small chunks and commits.
func testOptions() GenerationOptions {
	return GenerationOptions{NoSync: true, ChunkBytes: 300, TxBytes: 2000, MaxBytes: 64 << 20, Check: true}
}

func newGeneration(t testing.TB, o GenerationOptions) *Generation {
	t.Helper()
	id := MakeID(1, 7)
	g, err := CreateGeneration(filepath.Join(t.TempDir(), FileName(id)), id, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

func reopen(t testing.TB, g *Generation) *Generation {
	t.Helper()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g, err := OpenGeneration(g.Path(), g.o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

func begin(t testing.TB, g *Generation) *Tx {
	t.Helper()
	tx, err := g.Begin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tx.Close)
	return tx
}

// readAll reads a dataset the way the engine does: chunk by chunk, copied.
func readAll(tx *Tx, table, dataset string, from, to int64) ([]Record, error) {
	var out, recs []Record
	var buf []byte
	err := tx.Chunks(table, dataset, DayOf(from), DayOf(to), func(ref ChunkRef) (err error) {
		if recs, buf, err = tx.Load(ref, buf, recs[:0]); err != nil {
			return err
		}
		if int(ref.Records) != len(recs) || ref.First != recs[0].Time || ref.Last != recs[len(recs)-1].Time {
			return fmt.Errorf("reference %+v does not describe its chunk", ref)
		}
		for _, r := range recs {
			if r.Seq > ref.LastSeq {
				return fmt.Errorf("record %d above %d", r.Seq, ref.LastSeq)
			}
			if r.Time >= from && r.Time <= to {
				r.JSON = bytes.Clone(r.JSON)
				out = append(out, r)
			}
		}
		return nil
	})
	slices.SortFunc(out, compareRecords)
	return out, err
}

type walked struct {
	table   string
	day     int32
	dataset string
	Record
}

func walkAll(tx *Tx) ([]walked, error) {
	var out []walked
	var at walked
	groups := 0
	err := tx.Walk(func(table string, day int32, dataset string) error {
		at = walked{table: table, day: day, dataset: dataset}
		groups++
		return nil
	}, func(r Record) error {
		r.JSON = bytes.Clone(r.JSON)
		at.Record = r
		out = append(out, at)
		return nil
	})
	return out, err
}

// wantWalk is what a walk over everything up to a number must give.
func (m *model) wantWalk(upTo uint64) []walked {
	var out []walked
	for _, r := range m.recs {
		if r.Seq <= upTo {
			out = append(out, walked{r.table, DayOf(r.Time), r.dataset, r.Record})
		}
	}
	slices.SortFunc(out, func(a, b walked) int {
		return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.day, b.day), cmp.Compare(a.dataset, b.dataset),
			compareRecords(a.Record, b.Record))
	})
	return out
}

func sameWalk(t testing.TB, got, want []walked) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("walked %d records, want %d", len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		if g.table != w.table || g.day != w.day || g.dataset != w.dataset {
			t.Fatalf("record %d is in %q %d %q, want %q %d %q", i, g.table, g.day, g.dataset, w.table, w.day, w.dataset)
		}
		sameRecords(t, "walk", []Record{g.Record}, []Record{w.Record})
	}
}
