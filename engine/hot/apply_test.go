package hot

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"
)

// Commits fail at every step in turn, before or after they took effect. Whatever
// happened, a reopened generation has applied all or nothing of the table, what is
// read is right, and applying it again gives all of it, once.
func TestApplyFailingAtEveryCommit(t *testing.T) {
	for _, effect := range []bool{false, true} {
		published := 0 // the commit that published
		for nth := 1; ; nth++ {
			m := newModel(t, 24)
			g := newGeneration(t, testOptions())
			if err := g.Apply(m.memory(20, 10), nil, 1); err != nil {
				t.Fatal(err)
			}
			before := m.seq
			mem := m.memory(60, 10)
			commits := 0
			g.commit = func(tx *bbolt.Tx) error {
				commits++
				if commits != nth {
					return tx.Commit()
				}
				if effect {
					if err := tx.Commit(); err != nil {
						return err
					}
				} else if err := tx.Rollback(); err != nil {
					return err
				}
				return syscall.EIO
			}
			err := g.Apply(mem, map[string][]byte{"battle": {1}}, 1)
			if commits < nth {
				if err != nil {
					t.Fatal(err)
				}
				if commits < 5 || published != commits-1 {
					t.Fatalf("of %d commits the %dth published", commits, published)
				}
				break
			}
			var unknown *UnknownOutcomeError
			if !errors.As(err, &unknown) || !errors.Is(err, syscall.EIO) || unknown.File != g.Path() {
				t.Fatalf("commit %d failed, Apply says %v", nth, err)
			}
			if err := g.Apply(mem, nil, 1); !errors.As(err, &unknown) {
				t.Fatalf("a failed handle goes on: %v", err)
			}
			if _, err := g.Begin(); !errors.As(err, &unknown) {
				t.Fatalf("a failed handle is read: %v", err)
			}
			g = reopen(t, g)
			meta, err := g.Meta()
			if err != nil {
				t.Fatal(err)
			}
			if meta.Applied != before && meta.Applied != m.seq {
				t.Fatalf("applied %d, want %d or %d", meta.Applied, before, m.seq)
			}
			if meta.Applied == m.seq && published == 0 {
				published = nth
				if !effect {
					published-- // found with the one after it, which did not happen
				}
			}
			tx := begin(t, g)
			got, err := walkAll(tx)
			if err != nil {
				t.Fatal(err)
			}
			sameWalk(t, got, m.wantWalk(meta.Applied))
			noRunAbove(t, tx)
			tx.Close()
			if err := g.Apply(mem, nil, 1); err != nil {
				t.Fatal(err)
			}
			checkAll(t, g, m)
			_ = g.Close()
		}
	}
}

// noRunAbove looks at the raw keys: nothing of an unpublished run is left.
func noRunAbove(t *testing.T, tx *Tx) {
	t.Helper()
	err := tx.tx.Bucket(bucketChunks).ForEach(func(k, _ []byte) error {
		key, err := parseChunkKey(k)
		if err == nil && key.run > tx.st.run {
			t.Errorf("a chunk of run %d is left, %d are published", key.run, tx.st.run)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = tx.tx.Bucket(bucketSeries).ForEach(func(k, v []byte) error {
		row, err := parseSeriesRow(k, v)
		if err == nil && (row[0].run > tx.st.run || row[1].run > tx.st.run || row[0].run+row[1].run == 0) {
			t.Errorf("series row of runs %d and %d is left, %d are published", row[0].run, row[1].run, tx.st.run)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if tx.tx.Bucket(bucketMeta).Get(keyBegun) != nil {
		t.Error("a run is marked as begun")
	}
}

// A run that was cut off is invisible while it lies there, is gone after opening,
// and does not show in the sums of a later run of the same number that holds
// other datasets.
func TestLeftoverRun(t *testing.T) {
	m := newModel(t, 25)
	g := newGeneration(t, testOptions())
	if err := g.Apply(m.memory(30, 10), nil, 1); err != nil {
		t.Fatal(err)
	}
	lost := newModel(t, 26)
	lost.seq = m.seq
	lost.names = append(lost.names[:3:3], "only in the lost run")
	a := apply{g: g, m: lost.memory(60, 10), st: state{run: 1, applied: m.seq}, run: 2}
	if err := a.chunks(); err != nil {
		t.Fatal(err)
	}
	if err := a.seriesRows(); err != nil {
		t.Fatal(err)
	}
	if err := a.flush(); err != nil {
		t.Fatal(err)
	}
	checkAll(t, g, m) // the same handle sees nothing of it
	g = reopen(t, g)
	tx := begin(t, g)
	noRunAbove(t, tx)
	tx.Close()
	checkAll(t, g, m)
	if err := g.Apply(m.memory(30, 10), nil, 1); err != nil {
		t.Fatal(err)
	}
	checkAll(t, g, m)
}

// The same, when removing the rest of the run fails on opening: it stays
// invisible, the generation is readable, and the next Apply removes it.
func TestLeftoverRunOnAFullDisk(t *testing.T) {
	m := newModel(t, 27)
	g := newGeneration(t, testOptions())
	if err := g.Apply(m.memory(30, 10), nil, 1); err != nil {
		t.Fatal(err)
	}
	lost := newModel(t, 28)
	lost.seq = m.seq
	a := apply{g: g, m: lost.memory(60, 10), st: state{run: 1, applied: m.seq}, run: 2}
	if err := errors.Join(a.chunks(), a.seriesRows(), a.flush()); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g, err := open(g.Path(), g.o) // as OpenGeneration does after the removal failed
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Close() }()
	if !g.leftovers {
		t.Fatal("the rest of the run went unnoticed")
	}
	checkAll(t, g, m)
	if err := g.Apply(m.memory(30, 10), nil, 1); err != nil {
		t.Fatal(err)
	}
	checkAll(t, g, m)
	tx := begin(t, g)
	noRunAbove(t, tx)
	tx.Close()
}

func TestGenerationAtItsLimit(t *testing.T) {
	o := testOptions()
	o.MaxBytes = 6 << 20
	o.ChunkBytes, o.TxBytes = 32<<10, 1<<20
	m := newModel(t, 29)
	g := newGeneration(t, o)
	if err := g.Apply(m.memory(5, 10), nil, 1); err != nil {
		t.Fatal(err)
	}
	mem := NewMemory()
	noise := make([]byte, 64<<10)
	seq := m.seq
	for range 200 {
		for i := range noise {
			noise[i] = byte(m.rng.Uint32())
		}
		seq++
		mem.Add(Group{Table: "t", Dataset: "d", Times: []int64{1}, Ends: []uint32{uint32(len(noise))}, Data: bytes.Clone(noise)}, seq)
	}
	err := g.Apply(mem, nil, 1)
	var unknown *UnknownOutcomeError
	if !errors.Is(err, ErrFull) || !errors.As(err, &unknown) {
		t.Fatalf("Apply above the limit says %v", err)
	}
	g = reopen(t, g)
	checkAll(t, g, m)
	fi, err := os.Stat(g.Path())
	if err != nil || fi.Size() > o.MaxBytes {
		t.Fatalf("file of %d bytes, %v", fi.Size(), err)
	}
	if err := g.Apply(m.memory(5, 10), nil, 1); err != nil {
		t.Fatal(err)
	}
	checkAll(t, g, m)
}

// An Apply that fails between commits for a reason of its own leaves a part of its
// run in the file. The same handle's next Apply takes the same number and must not
// publish that part.
func TestApplyAfterAHalfApply(t *testing.T) {
	m := newModel(t, 41)
	g := newGeneration(t, testOptions())
	if err := g.Apply(m.memory(20, 8), nil, 1); err != nil {
		t.Fatal(err)
	}
	bad := newModel(t, 42)
	bad.seq = m.seq
	mem := bad.memory(60, 8)
	n := MaxRecordBytes + 1
	mem.Add(Group{Table: "zzz", Dataset: "d", Times: []int64{1}, Ends: []uint32{uint32(n)}, Data: make([]byte, n)}, bad.seq+1)
	if err := g.Apply(mem, nil, 1); !errors.Is(err, ErrRecordTooLarge) {
		t.Fatalf("%v", err)
	}
	checkAll(t, g, m)
	if err := g.Apply(m.memory(20, 8), nil, 1); err != nil {
		t.Fatal(err)
	}
	checkAll(t, g, m)
	tx := begin(t, g)
	noRunAbove(t, tx)
	tx.Close()
}

// Readers come and go while runs are applied: each sees whole runs, and always the
// same ones while its view is open.
func TestReadingWhileApplying(t *testing.T) {
	m := newModel(t, 40)
	o := testOptions()
	o.MaxBytes = 1 << 20 << 10
	g := newGeneration(t, o)
	const runs = 8
	var tables []*Memory
	ends := map[uint64][]walked{0: nil}
	for range runs {
		tables = append(tables, m.memory(30, 8))
		ends[m.seq] = m.wantWalk(m.seq)
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for last := uint64(0); ; {
				tx, err := g.Begin()
				if err != nil {
					t.Error(err)
					return
				}
				want, ok := ends[tx.Applied()]
				if !ok || tx.Applied() < last {
					t.Errorf("a view at %d after one at %d", tx.Applied(), last)
				}
				last = tx.Applied()
				for range 2 {
					got, err := walkAll(tx)
					if err != nil || len(got) != len(want) {
						t.Errorf("walked %d records, want %d, %v", len(got), len(want), err)
					}
				}
				tx.Close()
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for _, mem := range tables {
		if err := g.Apply(mem, nil, 1); err != nil {
			t.Error(err)
		}
	}
	close(done)
	readers.Wait()
	checkAll(t, g, m)
}
