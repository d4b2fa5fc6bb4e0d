package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/engine/hot"
)

// model is what a catalog should hold, kept the simple way.
type model struct {
	next     uint64 // log position
	archived uint64
	open     hot.ID
	sealed   []hot.ID // not in a job
	retired  []hot.ID
	live     map[string][]blockfile.Ref // by object key
	table    map[string]string
	dead     []string
	accepted map[string]uint64
}

// content is what a reader sees of the model: dataset → its references.
func (m *model) content(table string) map[string][]blockfile.Ref {
	out := map[string][]blockfile.Ref{}
	for key, refs := range m.live {
		if m.table[key] != table {
			continue
		}
		for _, r := range refs {
			out[r.Dataset] = append(out[r.Dataset], r)
		}
	}
	return out
}

var simTables = []string{"battle", "logs"}

func checkModel(t *testing.T, s *Snapshot, m *model) {
	t.Helper()
	id := s.Identity()
	if id.LogNext != m.next || id.ArchivedSeq != m.archived {
		t.Fatalf("identity %+v, want log position %d, archived %d", id, m.next, m.archived)
	}
	for _, table := range simTables {
		want := m.content(table)
		cold := uint64(0)
		seen := 0
		if err := s.Datasets(table, "", func(dataset string, records uint64, _ int64, _, _ int64) error {
			seen++
			for _, r := range want[dataset] {
				records -= uint64(r.Records)
				cold += uint64(r.Records)
			}
			if records != 0 {
				return fmt.Errorf("dataset %q has %d records too many", dataset, int64(records))
			}
			return nil
		}); err != nil || seen != len(want) {
			t.Fatalf("%v, %d datasets of %d", err, seen, len(want))
		}
		for dataset, refs := range want {
			got := refsOf(t, s, all(table, dataset))
			sortRefs(got)
			sortRefs(refs)
			if !slices.Equal(got, refs) {
				t.Fatalf("%s of %s: %d references, want %d", dataset, table, len(got), len(refs))
			}
		}
		row, ok, err := s.Table(table)
		if err != nil || ok && row.Counters != (Counters{Accepted: m.accepted[table], Cold: cold, Expired: m.accepted[table] - cold}) {
			t.Fatalf("%s counts %+v, want %d accepted and %d cold, %v", table, row.Counters, m.accepted[table], cold, err)
		}
	}
	var generations []hot.ID
	for _, g := range must(s.Generations()) {
		if (g.State == GenerationOpen) != (g.ID == m.open) {
			t.Fatalf("generation %v is %v", g.ID, g.State)
		}
		generations = append(generations, g.ID)
	}
	if want := append(slices.Clone(m.sealed), m.open); !slices.Equal(generations, want) {
		t.Fatalf("generations %v, want %v", generations, want)
	}
	if got := must(s.Retired()); !slices.Equal(got, m.retired) {
		t.Fatalf("retired %v, want %v", got, m.retired)
	}
}

// crash copies the file as it is and goes on with the copy, as a process that
// starts after another one was killed.
func crash(t *testing.T, c *Catalog, generation int) *Catalog {
	t.Helper()
	path := filepath.Join(filepath.Dir(c.Path()), fmt.Sprintf("after-crash-%d.db", generation))
	src, err := os.Open(c.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	b, err := io.ReadAll(src)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.TrimRight(b, "\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(b))); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, path, Options{})
}

// Jobs that stage, commit, are given up or die half-way, in any order: what
// readers see is the model's content after every step, and views that are held
// meanwhile do not move.
func TestRandomJobs(t *testing.T) {
	const seed, steps = 41, 120
	rng := rand.New(rand.NewPCG(seed, 0))
	c := newCatalog(t)
	m := &model{next: 1, live: map[string][]blockfile.Ref{}, table: map[string]string{}, accepted: map[string]uint64{}}
	m.open = openGeneration(t, c)
	datasets := []string{"u1", "u2", "\x00", "zürich", "u10"}
	days := []int32{day0, day0 + 1, -1}
	crashes, aborts, commits := 0, 0, 0

	// giveUp is what a start does with a job it finds open.
	giveUp := func(run hot.ID, entry bool) {
		for done := false; !done; {
			update(t, c, func(tx *Tx) (err error) { done, err = tx.DropStaged(run, 2000); return err })
			if rng.IntN(5) == 0 {
				c = crash(t, c, crashes)
				crashes++
			}
		}
		if entry {
			m.next++
		}
		update(t, c, func(tx *Tx) error { return tx.CloseJob(run, m.next) })
		aborts++
	}

	for step := range steps {
		held := view(t, c)
		before := &model{next: m.next, archived: m.archived, open: m.open, sealed: slices.Clone(m.sealed), retired: slices.Clone(m.retired),
			live: maps.Clone(m.live), table: m.table, accepted: maps.Clone(m.accepted)}

		// One job, in another goroutine: this one holds a view.
		var wg sync.WaitGroup
		crashed := false
		wg.Go(func() {
			update(t, c, func(tx *Tx) error {
				id, err := tx.NewID()
				if err != nil {
					return err
				}
				if err := tx.SealAndOpen(m.open, GenerationRow{ID: id}); err != nil {
					return err
				}
				m.sealed, m.open = append(m.sealed, m.open), id
				return nil
			})
			var job Job
			update(t, c, func(tx *Tx) (err error) { job, err = tx.BeginJob(KindArchive, m.sealed, int64(step)); return err })
			staged := map[string][]blockfile.Ref{}
			tables := map[string]string{}
			for n := range rng.IntN(3) {
				table := simTables[rng.IntN(2)]
				refs := randomRefs(rng, datasets, days, 3)
				row := fileRow(job, n, table, refs)
				staged[row.Key], tables[row.Key] = refs, table
				var id FileID
				update(t, c, func(tx *Tx) (err error) { id, err = tx.StageFile(row); return err })
				for len(refs) > 0 {
					k := 1 + rng.IntN(len(refs))
					update(t, c, func(tx *Tx) error { return tx.StageRefs(id, refs[:k]) })
					refs = refs[k:]
				}
			}
			switch rng.IntN(4) {
			case 0:
				giveUpLater := rng.IntN(2) == 0
				if giveUpLater {
					crashed = true // the view must be let go first; see below
				} else {
					held.Close()
					giveUp(job.Run, false)
				}
			default:
				var dead []FileID
				for _, key := range slices.Sorted(maps.Keys(m.live)) {
					if rng.IntN(6) == 0 {
						dead = append(dead, must(findFile(c, key)).ID)
						m.dead = append(m.dead, key)
						delete(m.live, key)
					}
				}
				for key, refs := range staged {
					m.live[key], m.table[key] = refs, tables[key]
					for _, r := range refs {
						m.accepted[tables[key]] += uint64(r.Records)
					}
				}
				counters := map[string]Counters{}
				for _, table := range simTables {
					cold := uint64(0)
					for _, refs := range m.content(table) {
						for _, r := range refs {
							cold += uint64(r.Records)
						}
					}
					counters[table] = Counters{Accepted: m.accepted[table], Cold: cold, Expired: m.accepted[table] - cold}
				}
				m.archived = max(m.archived, uint64(step)*10)
				update(t, c, func(tx *Tx) error {
					return tx.Commit(Commit{Run: job.Run, Position: m.next, ArchivedSeq: uint64(step) * 10, Dead: dead, Counters: counters})
				})
				m.next++
				m.retired, m.sealed = append(m.retired, m.sealed...), nil
				commits++
			}
		})
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
		if held.btx != nil {
			checkModel(t, held, before)
			held.Close()
		}
		if crashed {
			c = crash(t, c, crashes)
			crashes++
			s := view(t, c)
			jobs := must(s.Jobs())
			s.Close()
			if len(jobs) != 1 {
				t.Fatalf("step %d: jobs %v", step, jobs)
			}
			giveUp(jobs[0].Run, true)
		}
		if rng.IntN(3) == 0 { // collect
			for _, key := range m.dead {
				id := must(findFile(c, key)).ID
				for done := false; !done; {
					update(t, c, func(tx *Tx) (err error) { done, err = tx.DropDead(id, 500); return err })
				}
			}
			m.dead = nil
			for _, id := range m.retired {
				update(t, c, func(tx *Tx) error { return tx.ForgetRetired(id) })
			}
			m.retired = nil
		}
		after := view(t, c)
		checkModel(t, after, m)
		after.Close()
		if step%10 == 0 {
			checkClean(t, c)
		}
	}
	if crashes < 10 || aborts < 10 || commits < 50 || len(m.live) < 5 {
		t.Errorf("a dull run: %d crashes, %d aborts, %d commits, %d files live", crashes, aborts, commits, len(m.live))
	}
	checkClean(t, c)
}

func findFile(c *Catalog, key string) (FileRow, error) {
	s, err := c.View()
	if err != nil {
		return FileRow{}, err
	}
	defer s.Close()
	f, ok, err := s.FileByKey(key)
	if err == nil && !ok {
		err = errors.New("no file " + key)
	}
	return f, err
}

// Readers and the writer at once: every view sees whole commits. Each commit
// replaces the file by one whose blocks all carry the commit's number.
func TestViewsWhileCommitting(t *testing.T) {
	const commits, readers = 60, 3
	c := newCatalog(t)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			last := uint64(0)
			for {
				select {
				case <-done:
					return
				default:
				}
				s, err := c.View()
				if err != nil {
					t.Error(err)
					return
				}
				var groups []RefGroup
				for _, dataset := range []string{"a", "b", "c"} {
					if err := s.Refs("t", dataset, day0, day0, func(g RefGroup) error { groups = append(groups, g); return nil }); err != nil {
						t.Error(err)
					}
				}
				next := s.Identity().LogNext
				s.Close()
				if next < last {
					t.Errorf("the log position went back from %d to %d", last, next)
				}
				last = next
				if next == 1 {
					continue
				}
				if len(groups) != 3 {
					t.Errorf("%d groups at log position %d", len(groups), next)
					return
				}
				for _, g := range groups {
					refs, err := g.Decode(nil)
					if err != nil || len(refs) != 2 || refs[0].CRC != uint32(next-1) || refs[1].CRC != uint32(next-1) {
						t.Errorf("at %d: %+v, %v", next, refs, err)
						return
					}
				}
			}
		})
	}
	var old []FileID
	for n := range uint64(commits) {
		update(t, c, func(tx *Tx) error {
			job, err := tx.BeginJob(KindArchive, nil, 1)
			if err != nil {
				return err
			}
			var refs []blockfile.Ref
			for i, dataset := range []string{"a", "a", "b", "b", "c", "c"} {
				r := block(dataset, day0, int64(i), 1, int64(i)*100)
				r.CRC = uint32(n + 1)
				refs = append(refs, r)
			}
			id, err := tx.StageFile(fileRow(job, 0, "t", refs))
			if err != nil {
				return err
			}
			if err := tx.StageRefs(id, refs); err != nil {
				return err
			}
			dead := old
			old = []FileID{id}
			return tx.Commit(Commit{Run: job.Run, Position: n + 1, Dead: dead})
		})
	}
	close(done)
	wg.Wait()
}
