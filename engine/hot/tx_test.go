package hot

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"

	"go.etcd.io/bbolt"
)

// A view sees what was applied when it was begun, and a later one can be narrowed
// to that.
func TestViewsAndLimits(t *testing.T) {
	m := newModel(t, 31)
	g := newGeneration(t, testOptions())
	type held struct {
		tx           *Tx
		applied, run uint64
	}
	var views []held
	for range 4 {
		if err := g.Apply(m.memory(40, 8), nil, 1); err != nil {
			t.Fatal(err)
		}
		tx := begin(t, g)
		views = append(views, held{tx, tx.Applied(), tx.Run()})
	}
	for i, v := range views {
		if v.run != uint64(i+1) {
			t.Fatalf("view %d sees %d runs", i, v.run)
		}
		got, err := walkAll(v.tx)
		if err != nil {
			t.Fatal(err)
		}
		sameWalk(t, got, m.wantWalk(v.applied))

		late := begin(t, g)
		late.Limit(v.applied, v.run)
		if late.Applied() != v.applied || late.Run() != v.run {
			t.Fatalf("limited to %d, %d", late.Applied(), late.Run())
		}
		if got, err = walkAll(late); err != nil {
			t.Fatal(err)
		}
		sameWalk(t, got, m.wantWalk(v.applied))
		for _, dataset := range m.names {
			recs, err := readAll(late, "battle", dataset, math.MinInt64, math.MaxInt64)
			if err != nil {
				t.Fatal(err)
			}
			sameRecords(t, "limited", recs, m.want("battle", dataset, math.MinInt64, math.MaxInt64, 0, v.applied))
		}
		late.Limit(math.MaxUint64, math.MaxUint64)
		if late.Run() != v.run {
			t.Fatal("a limit was lifted")
		}
	}
}

// A reference outlives its view, and records outlive the buffer's view.
func TestLoadFromALaterView(t *testing.T) {
	m := newModel(t, 32)
	g := newGeneration(t, testOptions())
	if err := g.Apply(m.memory(40, 8), nil, 1); err != nil {
		t.Fatal(err)
	}
	tx := begin(t, g)
	var refs []ChunkRef
	err := tx.Chunks("battle", "u1", math.MinInt32, math.MaxInt32, func(r ChunkRef) error {
		refs = append(refs, r)
		return nil
	})
	if err != nil || len(refs) < 3 {
		t.Fatalf("%d chunks, %v", len(refs), err)
	}
	tx.Close()
	if err := g.Apply(m.memory(40, 8), nil, 1); err != nil {
		t.Fatal(err)
	}
	g = reopen(t, g)
	tx = begin(t, g)
	var buf []byte
	var recs []Record
	for _, r := range refs {
		if recs, buf, err = tx.Load(r, buf, recs); err != nil {
			t.Fatal(err)
		}
		if cap(recs[0].JSON) != len(recs[0].JSON) {
			t.Fatal("appending to a record would write into the next")
		}
	}
	refs[0].Key = append(refs[0].Key, 1)
	var damage *CorruptError
	if _, _, err = tx.Load(refs[0], buf, nil); !errors.As(err, &damage) {
		t.Fatalf("a chunk that is not there: %v", err)
	}
}

func TestCallbackErrorsEndReading(t *testing.T) {
	m := newModel(t, 33)
	g := newGeneration(t, testOptions())
	if err := g.Apply(m.memory(40, 8), nil, 1); err != nil {
		t.Fatal(err)
	}
	tx := begin(t, g)
	stop := errors.New("stop")
	ok := func(string, int32, string) error { return nil }
	for name, err := range map[string]error{
		"chunks":     tx.Chunks("battle", "u1", math.MinInt32, math.MaxInt32, func(ChunkRef) error { return stop }),
		"series":     tx.Series(func(SeriesInfo) error { return stop }),
		"walk start": tx.Walk(func(string, int32, string) error { return stop }, func(Record) error { return nil }),
		"walk":       tx.Walk(ok, func(Record) error { return stop }),
	} {
		if !errors.Is(err, stop) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A panic of the callback's is not taken for damage.
	defer func() {
		if r := recover(); r != "mine" {
			t.Errorf("recovered %v", r)
		}
	}()
	_ = tx.Walk(ok, func(Record) error { panic("mine") })
}

// The widest range over very many days and datasets finds the few days of one
// dataset, whatever lies before, between and behind.
func TestChunksSeeks(t *testing.T) {
	o := testOptions()
	o.TxBytes = 1 << 20
	g := newGeneration(t, o)
	mem := NewMemory()
	seq := uint64(0)
	add := func(dataset string, day int64) {
		seq++
		mem.Add(Group{Table: "t", Dataset: dataset, Times: []int64{day*millisPerDay + 5}, Ends: []uint32{2}, Data: []byte("{}")}, seq)
	}
	for day := range int64(400) {
		for d := range 20 {
			if d != 10 || day%100 == 7 {
				add(fmt.Sprintf("d%02d", d), day-200)
			}
		}
	}
	if err := g.Apply(mem, nil, 1); err != nil {
		t.Fatal(err)
	}
	tx := begin(t, g)
	days := func(dataset string, from, to int32) (out []int32) {
		t.Helper()
		err := tx.Chunks("t", dataset, from, to, func(r ChunkRef) error {
			out = append(out, r.Day)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := fmt.Sprint(days("d10", math.MinInt32, math.MaxInt32)); got != "[-193 -93 7 107]" {
		t.Errorf("found %s", got)
	}
	if got := fmt.Sprint(days("d10", -193, 6)); got != "[-193 -93]" {
		t.Errorf("found %s", got)
	}
	if got := fmt.Sprint(days("d10", -192, -94)); got != "[]" {
		t.Errorf("found %s", got)
	}
	if got := len(days("d00", math.MinInt32, math.MaxInt32)) + len(days("d19", math.MinInt32, math.MaxInt32)); got != 800 {
		t.Errorf("first and last dataset have %d days", got)
	}
	// Without its series row a dataset is found all the same.
	tx.Close()
	err := g.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketSeries)
		return errors.Join(b.Delete(appendSeriesKey(nil, "t", "d10")), b.Put(appendSeriesKey(nil, "t", "d11"), []byte("damaged")))
	})
	if err != nil {
		t.Fatal(err)
	}
	tx = begin(t, g)
	if got := fmt.Sprint(days("d10", math.MinInt32, math.MaxInt32)); got != "[-193 -93 7 107]" {
		t.Errorf("found %s", got)
	}
	if got := len(days("d11", math.MinInt32, math.MaxInt32)); got != 400 {
		t.Errorf("found %d", got)
	}
	want := uint64(0)
	mem.Series(func(s SeriesInfo) {
		if s.Dataset == "d10" {
			want = s.LastSeq
		}
	})
	if got, ok := tx.LastSeq("t", "d10"); got != want || !ok {
		t.Errorf("last seq %d, %v, want %d", got, ok, want)
	}
}

// flipped opens one generation again and again, with one change in the value
// under a key.
type flipped struct {
	t      *testing.T
	g      *Generation
	bucket []byte
	key    []byte
	value  []byte
}

func (f *flipped) with(value []byte) *Tx {
	f.t.Helper()
	err := f.g.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(f.bucket).Put(f.key, value) })
	if err != nil {
		f.t.Fatal(err)
	}
	tx, err := f.g.Begin()
	if err != nil {
		f.t.Fatal(err)
	}
	return tx
}

// Whichever byte of a chunk is not what was written, reading and walking say so,
// and the records before it stay as they were. The rest of the dataset stays
// readable, and a walk that may leave the chunk out gives exactly the rest.
func TestEveryFlippedByteOfAChunkIsFound(t *testing.T) {
	m := newModel(t, 34)
	m.tables, m.names, m.days = m.tables[:1], m.names[:1], 1
	o := testOptions()
	o.TxBytes = 1 << 20
	g := newGeneration(t, o)
	if err := g.Apply(m.memory(4, 6), nil, 1); err != nil {
		t.Fatal(err)
	}
	tx := begin(t, g)
	var refs []ChunkRef
	err := tx.Chunks("battle", "u1", 0, 0, func(r ChunkRef) error {
		refs = append(refs, r)
		return nil
	})
	if err != nil || len(refs) < 3 {
		t.Fatalf("%d chunks, %v", len(refs), err)
	}
	whole, err := walkAll(tx)
	if err != nil {
		t.Fatal(err)
	}
	ref := refs[1]
	f := flipped{t: t, g: g, bucket: bucketChunks, key: ref.Key}
	f.value = bytes.Clone(tx.tx.Bucket(bucketChunks).Get(ref.Key))
	tx.Close()

	check := func(what string, value []byte) {
		t.Helper()
		tx := f.with(value)
		defer tx.Close()
		var damage *CorruptError
		dst := []Record{{Seq: 42}}
		dst, _, err := tx.Load(ref, nil, dst)
		if !errors.As(err, &damage) || len(dst) != 1 || dst[0].Seq != 42 {
			t.Fatalf("%s: loaded %d records, %v", what, len(dst)-1, err)
		}
		if !bytes.Equal(damage.Key, ref.Key) || damage.File != g.Path() {
			t.Fatalf("%s: names %+v", what, damage)
		}
		if _, err := readAll(tx, "battle", "u1", math.MinInt64, math.MaxInt64); !errors.As(err, &damage) {
			t.Fatalf("%s: read, %v", what, err)
		}
		if _, err := walkAll(tx); !errors.As(err, &damage) {
			t.Fatalf("%s: walked, %v", what, err)
		}
		n, left := 0, 0
		err = tx.WalkPast(func(string, int32, string) error { return nil }, func(r Record) error {
			n++
			return nil
		}, func(r ChunkRef) error {
			left++
			if r.Damage == nil || r.First > ref.First || r.Last < ref.Last || r.Table != "battle" || r.Dataset != "u1" {
				t.Fatalf("%s: left out %+v", what, r)
			}
			return nil
		})
		if err != nil || left != 1 || n != len(whole)-int(ref.Records) {
			t.Fatalf("%s: walked past %d chunks, %d records of %d, %v", what, left, n, len(whole), err)
		}
		seen := 0
		err = tx.Chunks("battle", "u1", 0, 0, func(r ChunkRef) error {
			if r.Damage == nil {
				seen++
			}
			return nil
		})
		if err != nil || seen < len(refs)-1 {
			t.Fatalf("%s: %d good references, %v", what, seen, err)
		}
	}
	for i := range f.value {
		for _, bit := range []byte{1, 0x80} {
			value := bytes.Clone(f.value)
			value[i] ^= bit
			check(fmt.Sprintf("byte %d xor %x", i, bit), value)
		}
		check(fmt.Sprintf("cut at %d", i), f.value[:i])
	}
	check("a byte more", append(bytes.Clone(f.value), 0))
	// The whole value of another chunk under this key.
	other := f.with(f.value)
	value := bytes.Clone(other.tx.Bucket(bucketChunks).Get(refs[0].Key))
	other.Close()
	check("a neighbour's value", value)

	f.with(f.value).Close()
	checkAll(t, g, m)
}

// A chunk that is gone altogether is missed by the sums.
func TestMissingChunkIsFound(t *testing.T) {
	m := newModel(t, 35)
	g := newGeneration(t, testOptions())
	if err := g.Apply(m.memory(40, 8), nil, 1); err != nil {
		t.Fatal(err)
	}
	var key []byte
	tx := begin(t, g)
	err := tx.Chunks("battle", "u1", math.MinInt32, math.MaxInt32, func(r ChunkRef) error {
		key = r.Key
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	tx.Close()
	if err := g.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketChunks).Delete(key) }); err != nil {
		t.Fatal(err)
	}
	tx = begin(t, g)
	var damage *CorruptError
	if _, err := readAll(tx, "battle", "u1", math.MinInt64, math.MaxInt64); !errors.As(err, &damage) {
		t.Errorf("read: %v", err)
	}
	if _, err := walkAll(tx); !errors.As(err, &damage) {
		t.Errorf("walked: %v", err)
	}
	if _, err := readAll(tx, "battle", "u2", math.MinInt64, math.MaxInt64); err != nil {
		t.Errorf("another dataset: %v", err)
	}
}

// Every flipped byte of a small row is found by whoever needs the row.
func TestEveryFlippedByteOfARowIsFound(t *testing.T) {
	m := newModel(t, 36)
	g := newGeneration(t, testOptions())
	if err := g.Apply(m.memory(10, 8), map[string][]byte{"battle": []byte("tree")}, 1); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		bucket []byte
		key    []byte
		use    func(*Generation) error
	}{
		{"table", bucketTables, AppendKeyName(nil, "battle"), func(g *Generation) error { _, err := g.Meta(); return err }},
		{"tree", bucketTrees, AppendKeyName(nil, "battle"), func(g *Generation) error { _, err := g.Trees(); return err }},
		{"state", bucketMeta, keyState, func(g *Generation) error {
			tx, err := g.Begin()
			if err == nil {
				tx.Close()
			}
			return err
		}},
		{"series", bucketSeries, nil, func(g *Generation) error {
			tx, err := g.Begin()
			if err != nil {
				return err
			}
			defer tx.Close()
			return tx.Series(func(SeriesInfo) error { return nil })
		}},
	} {
		var value []byte
		_ = g.db.View(func(tx *bbolt.Tx) error {
			if c.key == nil {
				k, _ := tx.Bucket(c.bucket).Cursor().First()
				c.key = bytes.Clone(k)
			}
			value = bytes.Clone(tx.Bucket(c.bucket).Get(c.key))
			return nil
		})
		if len(value) == 0 {
			t.Fatalf("%s: no row", c.name)
		}
		put := func(v []byte) {
			if err := g.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(c.bucket).Put(c.key, v) }); err != nil {
				t.Fatal(err)
			}
		}
		for i := range value {
			bad := bytes.Clone(value)
			bad[i] ^= 4
			put(bad)
			var damage *CorruptError
			if err := c.use(g); !errors.As(err, &damage) {
				t.Fatalf("%s: byte %d changed: %v", c.name, i, err)
			}
			put(value[:i])
			if err := c.use(g); !errors.As(err, &damage) {
				t.Fatalf("%s: cut at %d: %v", c.name, i, err)
			}
		}
		put(value)
		if err := c.use(g); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
}

// bbolt does not check its pages. Whatever byte of the file is changed, opening and
// reading end, with the right records or with an error that is no panic.
func TestFlippedPages(t *testing.T) {
	m := newModel(t, 37)
	o := testOptions()
	o.Check = false
	g := newGeneration(t, o)
	if err := g.Apply(m.memory(20, 8), nil, 1); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	damagedFile(t, m, g.Path(), o)
}
