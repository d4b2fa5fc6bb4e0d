package hot

import (
	"math"
	"sync"
	"testing"
)

// Whatever is asked of whatever view gives what a plain list gives.
func TestMemoryAgainstList(t *testing.T) {
	m := newModel(t, 11)
	mem := NewMemory()
	type taken struct {
		table, dataset string
		upTo           uint64
		view           MemoryView
	}
	var views []taken
	for i := range 600 {
		g, first := m.group(1 + i%40)
		mem.Add(g, first)
		if i%10 == 0 {
			for _, table := range m.tables {
				for _, dataset := range m.names {
					views = append(views, taken{table, dataset, m.seq, mem.View(table, dataset)})
				}
			}
		}
	}
	// Views are read after everything was added: none may have changed.
	prefix := []Record{{Time: 99}}
	for _, v := range views {
		all := m.want(v.table, v.dataset, math.MinInt64, math.MaxInt64, 0, v.upTo)
		if v.view.Len() != len(all) {
			t.Fatalf("%q %q: a view of %d records, want %d", v.table, v.dataset, v.view.Len(), len(all))
		}
		got := v.view.Append(prefix[:1:1], math.MinInt64, math.MaxInt64, 0)
		sameRecords(t, "everything", got[1:], all)
		if got[0].Time != 99 {
			t.Fatal("Append changed what was there")
		}
		if len(all) > 0 {
			last := uint64(0)
			for _, r := range all {
				last = max(last, r.Seq)
			}
			if v.view.MinTime() != all[0].Time || v.view.MaxTime() != all[len(all)-1].Time || v.view.LastSeq() != last {
				t.Fatalf("%q %q: view says %d to %d, seq %d", v.table, v.dataset, v.view.MinTime(), v.view.MaxTime(), v.view.LastSeq())
			}
		}
		from := (m.rng.Int64N(m.days) - m.days/2) * millisPerDay
		to := from + m.rng.Int64N(2*millisPerDay)
		if len(all) > 0 && m.rng.IntN(2) == 0 { // both ends are part of the range
			from = all[m.rng.IntN(len(all))].Time
			to = max(from, all[m.rng.IntN(len(all))].Time)
		}
		after := 1000 + uint64(m.rng.Int64N(int64(m.seq-900)))
		sameRecords(t, "a part", v.view.Append(nil, from, to, after), m.want(v.table, v.dataset, from, to, after, v.upTo))
		sameRecords(t, "an empty range", v.view.Append(nil, to, from-1, 0), nil)
	}

	if mem.Records() != uint64(len(m.recs)) || mem.FirstSeq() != m.recs[0].Seq || mem.LastSeq() != m.seq || mem.Empty() {
		t.Fatalf("%d records, %d to %d", mem.Records(), mem.FirstSeq(), mem.LastSeq())
	}
	var sum uint64
	var raw int64
	mem.Series(func(s SeriesInfo) {
		all := m.want(s.Table, s.Dataset, math.MinInt64, math.MaxInt64, 0, m.seq)
		sum += s.Records
		raw += int64(s.Bytes)
		if s.Records != uint64(len(all)) || s.MinTime != all[0].Time || s.MaxTime != all[len(all)-1].Time {
			t.Errorf("series says %+v", s)
		}
	})
	if sum != mem.Records() {
		t.Errorf("series hold %d records of %d", sum, mem.Records())
	}
	if mem.Bytes() < raw+int64(sum)*recordOverhead {
		t.Errorf("%d bytes reported for %d bytes of JSON", mem.Bytes(), raw)
	}
	for table, n := range mem.Counts() {
		if n != m.accepted[table] {
			t.Errorf("table %q counts %d, want %d", table, n, m.accepted[table])
		}
	}
}

func TestMemoryTotals(t *testing.T) {
	m := NewMemory()
	if !m.Empty() || m.LastSeq() != 0 || len(m.Totals()) != 0 {
		t.Fatal("a new memory table is not empty")
	}
	m.Add(Group{Table: "a", Dataset: "d", Times: []int64{5}, Ends: []uint32{2}, Data: []byte("{}")}, 10)
	m.SetTotal("a", 41)
	m.SetTotal("a", 42)
	m.SetTotal("b", 7)
	m.Advance(12)
	m.Advance(11)
	if got := m.Totals(); len(got) != 2 || got["a"] != 42 || got["b"] != 7 {
		t.Fatalf("totals %v", got)
	}
	if got := m.Counts(); len(got) != 1 || got["a"] != 1 {
		t.Fatalf("counts %v", got)
	}
	if m.LastSeq() != 12 || m.FirstSeq() != 10 {
		t.Fatalf("%d to %d", m.FirstSeq(), m.LastSeq())
	}
}

func TestMemoryRefusesContradictions(t *testing.T) {
	good := Group{Table: "a", Dataset: "d", Times: []int64{5, 6}, Ends: []uint32{2, 4}, Data: []byte("{}{}")}
	for name, c := range map[string]struct {
		group Group
		seq   uint64
	}{
		"seq 0":             {good, 0},
		"seq seen before":   {good, 11},
		"ends for more":     {Group{Times: []int64{5}, Ends: []uint32{2, 4}, Data: []byte("{}{}")}, 20},
		"data left over":    {Group{Times: []int64{5}, Ends: []uint32{2}, Data: []byte("{}{}")}, 20},
		"ends not in order": {Group{Times: []int64{5, 6, 7}, Ends: []uint32{4, 2, 4}, Data: []byte("{}{}")}, 20},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMemory()
			m.Add(good, 10)
			defer func() {
				if recover() == nil {
					t.Error("added")
				}
			}()
			m.Add(c.group, c.seq)
		})
	}
	m := NewMemory()
	m.Add(Group{Table: "a", Dataset: "d"}, 10)
	if !m.Empty() {
		t.Error("a group without records left something behind")
	}
}

// Readers use views while the writer adds; the race detector watches.
func TestMemoryViewsWhileAdding(t *testing.T) {
	m := newModel(t, 5)
	m.tables, m.names = m.tables[:1], m.names[:2]
	mem := NewMemory()
	var mu sync.Mutex // the engine's lock
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			var buf []Record
			for {
				mu.Lock()
				v := mem.View("battle", "u1")
				mu.Unlock()
				buf = v.Append(buf[:0], math.MinInt64, math.MaxInt64, 0)
				if len(buf) != v.Len() {
					t.Errorf("%d records of %d", len(buf), v.Len())
				}
				for i, r := range buf {
					if r.JSON[0] != '{' || i > 0 && compareRecords(buf[i-1], r) >= 0 {
						t.Errorf("record %d is out of order or not itself", i)
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for range 3000 {
		g, first := m.group(5)
		mu.Lock()
		mem.Add(g, first)
		mu.Unlock()
	}
	close(done)
	readers.Wait()
	sameRecords(t, "in the end", mem.View("battle", "u1").Append(nil, math.MinInt64, math.MaxInt64, 0),
		m.want("battle", "u1", math.MinInt64, math.MaxInt64, 0, m.seq))
}

func TestMemoryAddAllocatesNothingPerRecord(t *testing.T) {
	mem := NewMemory()
	g := Group{Table: "battle", Dataset: "u1", Data: make([]byte, 250*100)}
	for i := range 100 {
		g.Times = append(g.Times, int64(i))
		g.Ends = append(g.Ends, uint32(250*(i+1)))
	}
	seq := uint64(1)
	per := testing.AllocsPerRun(2000, func() {
		mem.Add(g, seq)
		seq += 100
	})
	if per > 1 { // a group of 100 records; chunks come once in 160 groups
		t.Errorf("%v allocations a group of 100", per)
	}
}
