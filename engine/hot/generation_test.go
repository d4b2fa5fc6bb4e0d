package hot

import (
	"bytes"
	"errors"
	"math"
	"os"
	"testing"

	"go.etcd.io/bbolt"
)

// Several runs, reopened in between, read and walked against a plain list.
func TestGenerationAgainstList(t *testing.T) {
	m := newModel(t, 21)
	g := newGeneration(t, testOptions())
	for run := range 6 {
		mem := m.memory(150, 12)
		trees := map[string][]byte{"battle": bytes.Repeat([]byte{byte(run)}, 100)}
		if err := g.Apply(mem, trees, int64(5000+run)); err != nil {
			t.Fatal(err)
		}
		if run%2 == 1 {
			g = reopen(t, g)
		}
		checkAll(t, g, m)
		got, err := g.Trees()
		if err != nil || len(got) != 1 || !bytes.Equal(got["battle"], trees["battle"]) {
			t.Fatalf("trees %v, %v", got, err)
		}
	}
	meta, err := g.Meta()
	if err != nil {
		t.Fatal(err)
	}
	if meta.OldestAccepted != 5000 || meta.Run != 6 || meta.ID != MakeID(1, 7) || meta.FirstSeq != m.recs[0].Seq {
		t.Errorf("meta %+v", meta)
	}
	if g.Bytes() < 4096 {
		t.Errorf("%d bytes in use", g.Bytes())
	}
}

// checkAll compares everything a generation says with what was put in.
func checkAll(t *testing.T, g *Generation, m *model) {
	t.Helper()
	tx := begin(t, g)
	defer tx.Close()
	if tx.Applied() != m.seq {
		t.Fatalf("applied %d, want %d", tx.Applied(), m.seq)
	}
	for _, table := range m.tables {
		for _, dataset := range m.names {
			all := m.want(table, dataset, math.MinInt64, math.MaxInt64, 0, m.seq)
			got, err := readAll(tx, table, dataset, math.MinInt64, math.MaxInt64)
			if err != nil {
				t.Fatal(err)
			}
			sameRecords(t, "all of a dataset", got, all)
			from := (m.rng.Int64N(m.days+2) - m.days/2 - 1) * millisPerDay
			to := from + m.rng.Int64N(2*millisPerDay)
			if got, err = readAll(tx, table, dataset, from, to); err != nil {
				t.Fatal(err)
			}
			sameRecords(t, "a part of a dataset", got, m.want(table, dataset, from, to, 0, m.seq))
			last := uint64(0)
			for _, r := range all {
				last = max(last, r.Seq)
			}
			if seq, ok := tx.LastSeq(table, dataset); seq != last || ok != (len(all) > 0) {
				t.Fatalf("last seq of %q %q is %d, %v, want %d", table, dataset, seq, ok, last)
			}
		}
	}
	if got, err := readAll(tx, "battl", "u1", math.MinInt64, math.MaxInt64); err != nil || len(got) != 0 {
		t.Fatalf("an unknown table has %d records, %v", len(got), err)
	}
	if _, ok := tx.LastSeq("battle", "nobody"); ok {
		t.Fatal("an unknown dataset has a last seq")
	}
	got, err := walkAll(tx)
	if err != nil {
		t.Fatal(err)
	}
	sameWalk(t, got, m.wantWalk(m.seq))

	meta, err := tx.Meta()
	if err != nil {
		t.Fatal(err)
	}
	raw := map[string]int64{}
	for _, r := range m.recs {
		raw[r.table] += int64(len(r.JSON))
	}
	for table, n := range m.accepted {
		if meta.Counts[table] != n || meta.Totals[table] != n || meta.RawBytes[table] != raw[table] {
			t.Fatalf("table %q: counts %d, total %d, bytes %d, want %d and %d", table,
				meta.Counts[table], meta.Totals[table], meta.RawBytes[table], n, raw[table])
		}
	}
	if meta.Records() != uint64(len(m.recs)) {
		t.Fatalf("%d records, want %d", meta.Records(), len(m.recs))
	}
	var before SeriesInfo
	n := 0
	err = tx.Series(func(s SeriesInfo) error {
		all := m.want(s.Table, s.Dataset, math.MinInt64, math.MaxInt64, 0, m.seq)
		var bytes uint64
		for _, r := range all {
			bytes += uint64(len(r.JSON))
		}
		if s.Records != uint64(len(all)) || s.MinTime != all[0].Time || s.MaxTime != all[len(all)-1].Time || s.Bytes != bytes {
			t.Errorf("series says %+v, want %d records, %d bytes", s, len(all), bytes)
		}
		if n > 0 && (s.Table < before.Table || s.Table == before.Table && s.Dataset <= before.Dataset) {
			t.Errorf("series %q %q comes behind %q %q", s.Table, s.Dataset, before.Table, before.Dataset)
		}
		before = s
		n++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	one := 0
	err = tx.SeriesOf("logs", func(s SeriesInfo) error {
		if s.Table != "logs" {
			t.Errorf("series of another table %q", s.Table)
		}
		one++
		return nil
	})
	datasets, all := map[string]bool{}, map[string]bool{}
	for _, r := range m.recs {
		all[r.table+"|"+r.dataset] = true
		if r.table == "logs" {
			datasets[r.dataset] = true
		}
	}
	if err != nil || one != len(datasets) || n != len(all) {
		t.Fatalf("%d series of one table, want %d; %d of all, want %d; %v", one, len(datasets), n, len(all), err)
	}
}

func TestApplyTwiceIsApplyOnce(t *testing.T) {
	m := newModel(t, 22)
	g := newGeneration(t, testOptions())
	mem := m.memory(50, 10)
	for range 2 {
		if err := g.Apply(mem, nil, 1); err != nil {
			t.Fatal(err)
		}
	}
	g = reopen(t, g)
	if err := g.Apply(mem, nil, 1); err != nil {
		t.Fatal(err)
	}
	checkAll(t, g, m)
	if meta, _ := g.Meta(); meta.Run != 1 {
		t.Fatalf("%d runs", meta.Run)
	}
	if err := g.Apply(NewMemory(), nil, 1); err != nil {
		t.Fatal(err)
	}
}

// Part of what the table holds was applied already: applying it would double that.
func TestApplyRefusesOverlap(t *testing.T) {
	m := newModel(t, 23)
	g := newGeneration(t, testOptions())
	if err := g.Apply(m.memory(5, 10), nil, 1); err != nil {
		t.Fatal(err)
	}
	mem := NewMemory()
	mem.Add(Group{Table: "t", Dataset: "d", Times: []int64{1, 2}, Ends: []uint32{1, 2}, Data: []byte("12")}, m.seq)
	if err := g.Apply(mem, nil, 1); err == nil {
		t.Fatal("applied")
	}
	checkAll(t, g, m)
}

// Numbers without records advance a generation too, and totals without records count.
func TestApplyWithoutRecords(t *testing.T) {
	g := newGeneration(t, testOptions())
	mem := NewMemory()
	mem.Advance(77)
	mem.SetTotal("t", 5)
	if err := g.Apply(mem, nil, 9); err != nil {
		t.Fatal(err)
	}
	meta, err := g.Meta()
	if err != nil || meta.Applied != 77 || meta.Totals["t"] != 5 || meta.Records() != 0 || meta.FirstSeq != 0 || meta.OldestAccepted != 0 {
		t.Fatalf("%+v, %v", meta, err)
	}
}

func TestRecordsOfEverySize(t *testing.T) {
	o := testOptions()
	o.ChunkBytes, o.TxBytes = 1<<10, 1<<20
	g := newGeneration(t, o)
	mem := NewMemory()
	var want []Record
	for i, n := range []int{0, 1, 1023, 1024, 1025, 3 << 20, 8 << 20, 2, 9 << 20} {
		data := bytes.Repeat([]byte{byte('a' + i)}, n)
		want = append(want, Record{Time: int64(i), Seq: uint64(i + 1), JSON: data})
		mem.Add(Group{Table: "t", Dataset: "d", Times: []int64{int64(i)}, Ends: []uint32{uint32(n)}, Data: data}, uint64(i+1))
	}
	if err := g.Apply(mem, nil, 1); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(begin(t, g), "t", "d", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	sameRecords(t, "large and small", got, want)

	mem = NewMemory()
	n := MaxRecordBytes + 1
	mem.Add(Group{Table: "t", Dataset: "d", Times: []int64{1}, Ends: []uint32{uint32(n)}, Data: make([]byte, n)}, 100)
	if err := g.Apply(mem, nil, 1); !errors.Is(err, ErrRecordTooLarge) {
		t.Fatalf("a record above the limit: %v", err)
	}
	mem = NewMemory()
	mem.Add(Group{Table: "t", Dataset: "d", Times: []int64{1}, Ends: []uint32{uint32(n - 1)}, Data: make([]byte, n-1)}, 100)
	if err := g.Apply(mem, nil, 1); err != nil {
		t.Fatalf("a record at the limit: %v", err)
	}
}

func TestTimesFarOut(t *testing.T) {
	g := newGeneration(t, testOptions())
	mem := NewMemory()
	times := []int64{math.MaxInt64, math.MinInt64, 0, -1, 1, math.MinInt64 + 1, math.MaxInt64 - 1, math.MinInt64}
	var want []Record
	for i, ms := range times {
		mem.Add(Group{Table: "t", Dataset: "d", Times: []int64{ms}, Ends: []uint32{2}, Data: []byte("{}")}, uint64(i+1))
		want = append(want, Record{Time: ms, Seq: uint64(i + 1), JSON: []byte("{}")})
	}
	if err := g.Apply(mem, nil, 1); err != nil {
		t.Fatal(err)
	}
	tx := begin(t, g)
	got, err := readAll(tx, "t", "d", math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	want = (&model{recs: func() (out []modelRecord) {
		for _, r := range want {
			out = append(out, modelRecord{"t", "d", r})
		}
		return out
	}()}).want("t", "d", math.MinInt64, math.MaxInt64, 0, math.MaxUint64)
	sameRecords(t, "far out", got, want)
	// One that is not there, with keys of another before and behind the last day.
	if got, err := readAll(tx, "t", "c", math.MinInt64, math.MaxInt64); err != nil || len(got) != 0 {
		t.Fatalf("found %v, %v", got, err)
	}
	walk, err := walkAll(tx)
	if err != nil || len(walk) != len(times) {
		t.Fatalf("walked %d, %v", len(walk), err)
	}
}

func TestCreateAndOpenRefuse(t *testing.T) {
	g := newGeneration(t, testOptions())
	path := g.Path()
	if _, err := CreateGeneration(path, 1, testOptions()); !errors.Is(err, os.ErrExist) {
		t.Errorf("created over another: %v", err)
	}
	o := testOptions()
	o.Timeout = 1
	if _, err := OpenGeneration(path, o); !errors.Is(err, ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	for _, o := range []GenerationOptions{{MaxBytes: 1}, {MaxBytes: -1}, {ChunkBytes: -1}, {ChunkBytes: 1 << 30}, {TxBytes: -1}} {
		if _, err := OpenGeneration(path, o); err == nil {
			t.Errorf("opened with %+v", o)
		}
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := g.Begin(); !errors.Is(err, ErrClosed) {
		t.Errorf("begun after Close: %v", err)
	}
	if err := g.PutTree("t", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("written after Close: %v", err)
	}
	if err := os.WriteFile(path+"0", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenGeneration(path+"0", testOptions()); !errors.Is(err, ErrNotCreated) {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := OpenGeneration(path+"none", testOptions()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := os.Stat(path + "none"); !errors.Is(err, os.ErrNotExist) {
		t.Error("opening made a file")
	}
	if err := os.WriteFile(path+"junk", bytes.Repeat([]byte("junk"), 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	var damage *CorruptError
	if _, err := OpenGeneration(path+"junk", testOptions()); !errors.As(err, &damage) || damage.File != path+"junk" {
		t.Errorf("junk: %v", err)
	}
	// What a create that was cut off left behind is in nobody's way.
	if err := os.WriteFile(path+"1"+TempSuffix, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := CreateGeneration(path+"1", 2, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	_ = h.Close()
	if err := Remove(path + "1"); err != nil {
		t.Fatal(err)
	}
	if err := Remove(path + "1"); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
	db, err := bbolt.Open(path+"2", 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	if _, err := OpenGeneration(path+"2", testOptions()); !errors.Is(err, ErrNotCreated) {
		t.Errorf("a bbolt file without buckets: %v", err)
	}
}

func TestOpenRefusesAnotherVersion(t *testing.T) {
	g := newGeneration(t, testOptions())
	err := g.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(keyFormat, []byte("firn hot 2\n"))
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = g.Close()
	if _, err := OpenGeneration(g.Path(), testOptions()); !errors.Is(err, ErrVersion) {
		t.Fatalf("%v", err)
	}
}

func TestPutTree(t *testing.T) {
	g := newGeneration(t, testOptions())
	if err := g.PutTree("a", []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := g.PutTree("b", nil); err != nil {
		t.Fatal(err)
	}
	if err := g.PutTree("a", []byte("two")); err != nil {
		t.Fatal(err)
	}
	g = reopen(t, g)
	trees, err := g.Trees()
	if err != nil || len(trees) != 2 || string(trees["a"]) != "two" || len(trees["b"]) != 0 {
		t.Fatalf("%q, %v", trees, err)
	}
	if meta, err := g.Meta(); err != nil || meta.Applied != 0 {
		t.Fatalf("%+v, %v", meta, err)
	}
}

// Close waits for views that are open.
func TestCloseWaitsForViews(t *testing.T) {
	m := newModel(t, 30)
	g := newGeneration(t, testOptions())
	if err := g.Apply(m.memory(20, 10), nil, 1); err != nil {
		t.Fatal(err)
	}
	tx := begin(t, g)
	closing, closed := make(chan struct{}), make(chan error, 1)
	go func() {
		close(closing)
		closed <- g.Close()
	}()
	<-closing
	for { // until Close has begun
		late, err := g.Begin()
		if err != nil {
			break
		}
		late.Close()
	}
	got, err := walkAll(tx)
	if err != nil {
		t.Fatal(err)
	}
	sameWalk(t, got, m.wantWalk(m.seq))
	select {
	case err := <-closed:
		t.Fatalf("closed under a reader: %v", err)
	default:
	}
	tx.Close()
	tx.Close()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
}
