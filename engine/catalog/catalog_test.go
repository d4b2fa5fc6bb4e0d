package catalog

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/engine/hot"
)

// open opens a catalog that need not survive, and checks it whole at the end.
func open(t testing.TB, path string, o Options) *Catalog {
	t.Helper()
	o.NoSync = true
	c, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.mu.closed {
			return
		}
		checkClean(t, c)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func newCatalog(t testing.TB) *Catalog {
	t.Helper()
	c := open(t, filepath.Join(t.TempDir(), "catalog.db"), Options{})
	update(t, c, func(tx *Tx) error {
		return tx.SetIdentity(Identity{StoreID: "s1", WriterID: "w1", Epoch: 1, LogNext: 1})
	})
	return c
}

func checkClean(t testing.TB, c *Catalog) {
	t.Helper()
	s := view(t, c)
	defer s.Close()
	if err := s.Check(func(err error) { t.Errorf("check: %v", err) }); err != nil {
		t.Errorf("check: %v", err)
	}
}

func update(t testing.TB, c *Catalog, fn func(*Tx) error) {
	t.Helper()
	if err := c.Update(fn); err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, c *Catalog) *Snapshot {
	t.Helper()
	s, err := c.View()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// must gives v of a call that must not fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// beginJob seals the open generation g, opens another, and begins a job.
func beginJob(t testing.TB, c *Catalog, g hot.ID) (job Job, next hot.ID) {
	t.Helper()
	update(t, c, func(tx *Tx) (err error) {
		if next, err = tx.NewID(); err != nil {
			return err
		}
		return tx.SealAndOpen(g, GenerationRow{ID: next, CreatedAt: 5})
	})
	update(t, c, func(tx *Tx) (err error) {
		job, err = tx.BeginJob(KindArchive, []hot.ID{g}, 1234)
		return err
	})
	return job, next
}

func openGeneration(t testing.TB, c *Catalog) (g hot.ID) {
	t.Helper()
	update(t, c, func(tx *Tx) (err error) {
		if g, err = tx.NewID(); err != nil {
			return err
		}
		return tx.PutGeneration(GenerationRow{ID: g, State: GenerationOpen, CreatedAt: 1})
	})
	return g
}

// fileRow is a row whose totals fit refs.
func fileRow(job Job, n int, table string, refs []blockfile.Ref) FileRow {
	f := FileRow{Key: fmt.Sprintf("%s/date=2026-01-02/%v-%06d.avro", table, job.Run, n), Run: job.Run, Table: table, Date: "2026-01-02",
		Size: 4096, RawBytes: 8192, CRC: 7, SidecarCRC: 8, SidecarSize: 512, FirstSeq: uint64(n), LastSeq: uint64(n) + 9,
		Schema: sha256.Sum256([]byte(table)), Codec: "deflate", Marker: uint32(n), JobStart: job.StartedAt, Lineage: []string{job.Run.String()},
		Blocks: uint64(len(refs))}
	for i, r := range refs {
		f.Records += uint64(r.Records)
		if i == 0 || r.First < f.First {
			f.First = r.First
		}
		if i == 0 || r.Last > f.Last {
			f.Last = r.Last
		}
	}
	return f
}

const day0 = 20455 // 2026-01-02

// block makes a reference of n records at ms of a day.
func block(dataset string, day int32, ms int64, n uint32, offset int64) blockfile.Ref {
	first := blockfile.DayStart(day) + ms
	return blockfile.Ref{Dataset: dataset, Day: day, Offset: offset, Length: 40 + n, RawLength: 100 * n, Records: n,
		First: first, Last: first + int64(n), CRC: uint32(offset) * 2654435761}
}

func refsOf(t testing.TB, s *Snapshot, q RefQuery) []blockfile.Ref {
	t.Helper()
	var out []blockfile.Ref
	if err := s.QueryRefs(q, func(g RefGroup) (err error) {
		if g.Blocks() == 0 {
			return errors.New("a group without blocks")
		}
		out, err = g.Decode(out)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func all(table, dataset string) RefQuery {
	return RefQuery{Table: table, Dataset: dataset, FromDay: blockfile.MinDay, ToDay: blockfile.MaxDay}
}

func TestJobFromSealToCollect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c := open(t, path, Options{})
	if !c.Created() {
		t.Fatal("a new catalog does not say so")
	}
	update(t, c, func(tx *Tx) error { return tx.SetIdentity(Identity{StoreID: "s", WriterID: "w", Epoch: 3, LogNext: 8}) })
	g1 := openGeneration(t, c)
	if g1 != hot.MakeID(3, 1) {
		t.Fatalf("the first id is %v", g1)
	}
	job, g2 := beginJob(t, c, g1)

	refs := []blockfile.Ref{block("u1", day0, 10, 5, 0), block("u1", day0, 20, 6, 100), block("u2", day0, 0, 7, 300)}
	var id FileID
	update(t, c, func(tx *Tx) (err error) {
		if id, err = tx.StageFile(fileRow(job, 1, "battle", refs)); err != nil {
			return err
		}
		if tx.Bytes() == 0 {
			t.Error("nothing was written")
		}
		return tx.StageRefs(id, refs[:2])
	})
	update(t, c, func(tx *Tx) error { return tx.StageRefs(id, refs[2:]) })

	before := view(t, c)
	if got := refsOf(t, before, all("battle", "u1")); got != nil {
		t.Fatalf("a staged file is seen: %+v", got)
	}
	if err := c.Update(func(tx *Tx) error { return tx.Commit(Commit{Run: job.Run, Position: 9}) }); !errors.Is(err, ErrState) {
		t.Fatalf("commit at a wrong position: %v", err)
	}
	done := make(chan error)
	go func() {
		done <- c.Update(func(tx *Tx) error {
			return tx.Commit(Commit{Run: job.Run, Position: 8, ArchivedSeq: 18, Counters: map[string]Counters{"battle": {Accepted: 20, Cold: 18, Lost: 2}}})
		})
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := refsOf(t, before, all("battle", "u1")); got != nil {
		t.Fatalf("a snapshot moved: %+v", got)
	}
	before.Close()

	after := view(t, c)
	if got := refsOf(t, after, all("battle", "u1")); !slices.Equal(got, refs[:2]) {
		t.Fatalf("u1 has %+v", got)
	}
	if got, want := after.Identity(), (Identity{StoreID: "s", WriterID: "w", Epoch: 3, NextID: 4, LogNext: 9, ArchivedSeq: 18}); got != want {
		t.Fatalf("identity %+v, want %+v", got, want)
	}
	if got, want := must(after.Generations()), []GenerationRow{{ID: g2, State: GenerationOpen, CreatedAt: 5}}; !slices.Equal(got, want) {
		t.Fatalf("generations %+v, want %+v", got, want)
	}
	if got := must(after.Retired()); !slices.Equal(got, []hot.ID{g1}) {
		t.Fatalf("retired %v", got)
	}
	if got := must(after.Jobs()); got != nil {
		t.Fatalf("jobs %v", got)
	}
	want := fileRow(job, 1, "battle", refs)
	want.ID, want.State, want.LiveFrom, want.RefBlocks, want.RefRecords = id, FileLive, 8, 3, 18
	file, ok, err := after.File(id)
	if err != nil || !ok || !reflect.DeepEqual(file, want) {
		t.Fatalf("file %+v %v %v, want %+v", file, ok, err, want)
	}
	after.Close()

	// Another run replaces the file; the first one is collected.
	job2, g3 := beginJob(t, c, g2)
	var id2 FileID
	update(t, c, func(tx *Tx) (err error) {
		if id2, err = tx.StageFile(fileRow(job2, 1, "battle", refs)); err != nil {
			return err
		}
		return tx.StageRefs(id2, refs)
	})
	update(t, c, func(tx *Tx) error { return tx.Commit(Commit{Run: job2.Run, Position: 9, Dead: []FileID{id}}) })
	s := view(t, c)
	var dead []FileRow
	if err := s.DeadFiles(func(f FileRow) error { dead = append(dead, f); return nil }); err != nil || len(dead) != 1 || dead[0].ID != id || dead[0].DeadFrom != 9 {
		t.Fatalf("dead files %+v, %v", dead, err)
	}
	old := all("battle", "u2")
	old.At = 9 // what the view after the first run saw
	for _, q := range []RefQuery{old, all("battle", "u2")} {
		if got := refsOf(t, s, q); !slices.Equal(got, refs[2:]) {
			t.Fatalf("u2 at %d has %+v", q.At, got)
		}
	}
	var keys []FileID
	if err := s.QueryRefs(old, func(g RefGroup) error { keys = append(keys, g.File); return nil }); err != nil || !slices.Equal(keys, []FileID{id}) {
		t.Fatalf("the older view sees files %v, %v", keys, err)
	}
	table, _, err := s.Table("battle")
	if err != nil || table.Counters != (Counters{Accepted: 20, Cold: 18, Lost: 2}) {
		t.Fatalf("counters %+v, %v", table.Counters, err)
	}
	s.Close()
	update(t, c, func(tx *Tx) error {
		done, err := tx.DropDead(id, 1<<20)
		if !done {
			t.Error("DropDead left something")
		}
		return errors.Join(err, tx.ForgetRetired(g1), tx.ForgetRetired(g2))
	})
	checkClean(t, c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}

	c = open(t, path, Options{})
	if c.Created() {
		t.Fatal("a catalog with an identity calls itself new")
	}
	s = view(t, c)
	defer s.Close()
	if got := must(s.Generations()); len(got) != 1 || got[0].ID != g3 {
		t.Fatalf("generations %v", got)
	}
	if got := must(s.Retired()); got != nil {
		t.Fatalf("retired %v", got)
	}
	if _, ok, err := s.File(id); ok || err != nil {
		t.Fatalf("the dead file is still there, %v", err)
	}
	if got := refsOf(t, s, all("battle", "u2")); !slices.Equal(got, refs[2:]) {
		t.Fatalf("u2 has %+v", got)
	}
	var files []string
	if err := s.Files("", func(f FileRow) error { files = append(files, f.Key); return nil }); err != nil || !slices.Equal(files, []string{fileRow(job2, 1, "battle", nil).Key}) {
		t.Fatalf("files %v, %v", files, err)
	}
}

func TestAbortedJob(t *testing.T) {
	c := newCatalog(t)
	g := openGeneration(t, c)
	job, _ := beginJob(t, c, g)
	const files, groups = 3, 5000
	for n := range files {
		var refs []blockfile.Ref
		for i := range groups {
			refs = append(refs, block(fmt.Sprintf("u%05d", i), day0, 0, 1, int64(i)*100))
		}
		update(t, c, func(tx *Tx) error {
			id, err := tx.StageFile(fileRow(job, n, "t", refs))
			if err != nil {
				return err
			}
			return tx.StageRefs(id, refs)
		})
	}
	if err := c.Update(func(tx *Tx) error { return tx.CloseJob(job.Run, 2) }); !errors.Is(err, ErrState) {
		t.Fatalf("a job with staged rows was closed: %v", err)
	}
	const limit = 1 << 20
	steps := 0
	for done := false; !done; steps++ {
		update(t, c, func(tx *Tx) (err error) {
			done, err = tx.DropStaged(job.Run, limit)
			// A step may pass the limit by what one list row names.
			if tx.Bytes() > limit+512<<10 {
				t.Errorf("one step dropped %d bytes", tx.Bytes())
			}
			return err
		})
		checkClean(t, c)
	}
	if steps < 3 {
		t.Errorf("everything was dropped in %d steps", steps)
	}
	update(t, c, func(tx *Tx) error { return tx.CloseJob(job.Run, 2) })
	s := view(t, c)
	defer s.Close()
	if jobs := must(s.Jobs()); jobs != nil || s.Identity().LogNext != 2 {
		t.Fatalf("jobs %v, log position %d", jobs, s.Identity().LogNext)
	}
	for _, id := range []bucketID{bktFiles, bktKeys, bktByTable, bktStaged, bktLists} {
		if err := s.each(id, nil, func(key, _ []byte) error { return fmt.Errorf("%s still has %x", bucketNames[id], key) }); err != nil {
			t.Error(err)
		}
	}
	b := must(s.refBucket("t"))
	if cur := must(s.scan(bktRefs, b)); must(cur.seek(nil)) {
		t.Errorf("reference %x is still there", cur.key)
	}
	if got := must(s.Generations()); len(got) != 2 || got[0].State != GenerationSealed {
		t.Errorf("generations %v", got)
	}
	if err := c.Update(func(tx *Tx) error { return tx.CloseJob(job.Run, 3) }); !errors.Is(err, ErrNoJob) {
		t.Errorf("closed twice: %v", err)
	}
}

func TestStepsThatDoNotAddUp(t *testing.T) {
	c := newCatalog(t)
	g := openGeneration(t, c)
	job, g2 := beginJob(t, c, g)
	refs := []blockfile.Ref{block("u", day0, 0, 3, 0), block("u", day0, 9, 3, 100)}
	stage := func(tx *Tx, n int, change func(*FileRow), refs ...blockfile.Ref) (FileID, error) {
		row := fileRow(job, n, "t", refs)
		if change != nil {
			change(&row)
		}
		id, err := tx.StageFile(row)
		if err != nil {
			return 0, err
		}
		return id, tx.StageRefs(id, refs)
	}
	commit := func(tx *Tx, c Commit) error {
		c.Run, c.Position = job.Run, tx.Identity().LogNext
		return tx.Commit(c)
	}
	bad := refs[0]
	bad.Last = blockfile.DayStart(day0 + 1)
	for name, test := range map[string]struct {
		want error
		fn   func(tx *Tx) error
	}{
		"references missing": {ErrState, func(tx *Tx) error {
			if _, err := stage(tx, 1, func(f *FileRow) { f.Blocks++ }, refs...); err != nil {
				return errors.New("staged wrongly")
			}
			return commit(tx, Commit{})
		}},
		"records differ": {ErrState, func(tx *Tx) error {
			if _, err := stage(tx, 1, func(f *FileRow) { f.Records-- }, refs...); err != nil {
				return errors.New("staged wrongly")
			}
			return commit(tx, Commit{})
		}},
		"no references at all": {ErrState, func(tx *Tx) error {
			if _, err := tx.StageFile(fileRow(job, 1, "t", refs)); err != nil {
				return errors.New("staged wrongly")
			}
			return commit(tx, Commit{})
		}},
		"wrong cold": {ErrState, func(tx *Tx) error {
			if _, err := stage(tx, 1, nil, refs...); err != nil {
				return errors.New("staged wrongly")
			}
			return commit(tx, Commit{Counters: map[string]Counters{"t": {Accepted: 6, Cold: 5}}})
		}},
		"accepted falls": {ErrState, func(tx *Tx) error {
			if err := tx.SetCounters("x", Counters{Accepted: 3}); err != nil {
				return errors.New("set wrongly")
			}
			return commit(tx, Commit{Counters: map[string]Counters{"x": {Accepted: 2}}})
		}},
		"dead file not live": {ErrState, func(tx *Tx) error {
			id, err := stage(tx, 1, nil, refs...)
			if err != nil {
				return errors.New("staged wrongly")
			}
			return commit(tx, Commit{Dead: []FileID{id}})
		}},
		"dead file unknown": {ErrState, func(tx *Tx) error { return commit(tx, Commit{Dead: []FileID{99}}) }},
		"commit of no job":  {ErrNoJob, func(tx *Tx) error { return tx.Commit(Commit{Run: 77, Position: 1}) }},
		"file of no job":    {ErrNoJob, func(tx *Tx) error { _, err := tx.StageFile(FileRow{Key: "k", Table: "t", Run: 77}); return err }},
		"key twice":         {ErrState, func(tx *Tx) error { stage(tx, 1, nil); _, err := stage(tx, 1, nil); return err }},
		"key empty":         {ErrLimit, func(tx *Tx) error { _, err := stage(tx, 1, func(f *FileRow) { f.Key = "" }); return err }},
		"key too long": {ErrLimit, func(tx *Tx) error {
			_, err := stage(tx, 1, func(f *FileRow) { f.Key = string(make([]byte, MaxKeyBytes+1)) })
			return err
		}},
		"size negative":            {ErrLimit, func(tx *Tx) error { _, err := stage(tx, 1, func(f *FileRow) { f.Size = -1 }); return err }},
		"reference leaves its day": {ErrLimit, func(tx *Tx) error { _, err := stage(tx, 1, nil, bad); return err }},
		"sealed twice":             {ErrState, func(tx *Tx) error { return tx.SealAndOpen(g, GenerationRow{ID: 99}) }},
		"opened twice":             {ErrState, func(tx *Tx) error { return tx.SealAndOpen(g2, GenerationRow{ID: g}) }},
		"job on open generation":   {ErrState, func(tx *Tx) error { _, err := tx.BeginJob(KindArchive, []hot.ID{g2}, 1); return err }},
		"generation in two jobs":   {ErrState, func(tx *Tx) error { _, err := tx.BeginJob(KindArchive, []hot.ID{g}, 1); return err }},
		"epoch goes back": {ErrState, func(tx *Tx) error {
			return tx.SetIdentity(Identity{StoreID: "s1", WriterID: "w1", LogNext: 1, NextID: 9})
		}},
		"log goes back": {ErrState, func(tx *Tx) error { return tx.SetLogNext(0) }},
		"epoch too high": {ErrLimit, func(tx *Tx) error {
			return tx.SetIdentity(Identity{StoreID: "s1", Epoch: hot.MaxEpoch + 1, LogNext: 1})
		}},
		"table without name": {ErrLimit, func(tx *Tx) error { return tx.SetSettings("", Settings{}) }},
		"setting too long":   {ErrLimit, func(tx *Tx) error { return tx.SetSettings("t", Settings{Codec: string(make([]byte, MaxNameBytes+1))}) }},
		"version taken": {ErrState, func(tx *Tx) error {
			return errors.Join(tx.PutSchema("t", 1, 5, []byte("a"), nil), tx.PutSchema("t", 1, 5, []byte("b"), nil))
		}},
		"schema of another table": {ErrState, func(tx *Tx) error {
			return errors.Join(tx.PutSchema("t", 1, 5, []byte("a"), nil), tx.PutSchema("u", 1, 5, []byte("a"), nil))
		}},
		"schema too large": {ErrLimit, func(tx *Tx) error { return tx.PutSchema("t", 1, 5, make([]byte, MaxSchemaBytes+1), nil) }},
		"live file dropped": {ErrState, func(tx *Tx) error {
			id, err := stage(tx, 1, nil, refs...)
			if err != nil {
				return errors.New("staged wrongly")
			}
			_, err = tx.DropDead(id, 1)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.Update(func(tx *Tx) error {
				err := test.fn(tx)
				// Whoever overlooks the error is stopped all the same.
				if err := tx.SetSettings("late", Settings{}); err == nil {
					t.Error("the transaction goes on after a failed step")
				}
				_ = err
				return nil
			})
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
		})
	}
	s := view(t, c)
	defer s.Close()
	if tables := must(s.Tables()); len(tables) != 0 {
		t.Errorf("something of the refused steps stayed: %+v", tables)
	}
	if jobs := must(s.Jobs()); len(jobs) != 1 || !reflect.DeepEqual(jobs[0], job) {
		t.Errorf("jobs %+v, want %+v", jobs, job)
	}
}

func TestTablesAndSchemas(t *testing.T) {
	c := newCatalog(t)
	update(t, c, func(tx *Tx) error {
		return errors.Join(
			tx.SetSettings("a\x00", Settings{Codec: "zstandard"}),
			tx.SetSettings("a", Settings{Codec: "null", Partition: "month", TimeField: "ts"}),
			tx.PutSchema("a", 2, 20, []byte("two"), []byte("tree2")),
			tx.PutSchema("a", 1, 10, []byte("one"), []byte("tree1")),
			tx.PutSchema("a", 10, 30, []byte("ten"), nil),
			tx.PutSchema("a\x00", 7, 70, []byte("other"), []byte("t")),
			tx.AddLost("a", 3), tx.AddLost("a", 4))
	})
	update(t, c, func(tx *Tx) error { return tx.PutSchema("a", 1, 99, []byte("one"), []byte("tree1b")) })
	s := view(t, c)
	defer s.Close()
	version := func(n uint64, created int64, text string) SchemaVersion {
		return SchemaVersion{Version: n, Created: created, Fingerprint: sha256.Sum256([]byte(text))}
	}
	want := []TableRow{
		{Name: "a", Settings: Settings{Codec: "null", Partition: "month", TimeField: "ts"}, Counters: Counters{Lost: 7},
			Schemas: []SchemaVersion{version(1, 10, "one"), version(2, 20, "two"), version(10, 30, "ten")}},
		{Name: "a\x00", Settings: Settings{Codec: "zstandard"}, Schemas: []SchemaVersion{version(7, 70, "other")}},
	}
	if got := must(s.Tables()); !reflect.DeepEqual(got, want) {
		t.Fatalf("tables %+v\nwant %+v", got, want)
	}
	if got, ok, err := s.Newest("a"); err != nil || !ok || got.Version != 10 || string(got.Text) != "ten" || len(got.Tree) != 0 {
		t.Fatalf("newest of a: %+v %v %v", got, ok, err)
	}
	if _, ok, err := s.Newest("b"); ok || err != nil {
		t.Fatalf("newest of a table that is not there: %v %v", ok, err)
	}
	if _, ok, err := s.Newest(""); ok || err != nil {
		t.Fatalf("newest of no table: %v %v", ok, err)
	}
	if got, ok, err := s.Schema(sha256.Sum256([]byte("one"))); err != nil || !ok || got.Table != "a" || got.Version != 1 || got.Created != 10 || string(got.Tree) != "tree1b" {
		t.Fatalf("schema one: %+v %v %v", got, ok, err)
	}
	if _, ok, err := s.Schema([32]byte{1}); ok || err != nil {
		t.Fatalf("an unknown schema: %v %v", ok, err)
	}
	if _, ok, err := s.Table("none"); ok || err != nil {
		t.Fatalf("an unknown table: %v %v", ok, err)
	}
}

func TestCloseAndUse(t *testing.T) {
	c := newCatalog(t)
	s := view(t, c)
	closed := make(chan error)
	go func() { closed <- c.Close() }()
	if _, err := s.Generations(); err != nil {
		t.Errorf("a snapshot ends when Close is called: %v", err)
	}
	s.Close()
	s.Close()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if _, err := s.Generations(); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed snapshot: %v", err)
	}
	if err := s.Refs("t", "d", 0, 1, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("references of a closed snapshot: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := c.View(); !errors.Is(err, ErrClosed) {
		t.Errorf("View: %v", err)
	}
	if err := c.Update(func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("Update: %v", err)
	}
}

func TestTransactionsThatFail(t *testing.T) {
	c := newCatalog(t)
	mine := errors.New("mine")
	var kept *Tx
	if err := c.Update(func(tx *Tx) error {
		kept = tx
		return errors.Join(tx.SetSettings("t", Settings{}), mine)
	}); !errors.Is(err, mine) {
		t.Fatalf("Update: %v", err)
	}
	if err := kept.SetSettings("t", Settings{}); !errors.Is(err, ErrClosed) {
		t.Errorf("a Tx after its end: %v", err)
	}
	func() {
		defer func() {
			if p := recover(); p != mine {
				t.Errorf("the caller's panic became %v", p)
			}
		}()
		c.Update(func(tx *Tx) error { tx.SetSettings("t", Settings{}); panic(mine) })
	}()
	update(t, c, func(tx *Tx) error { return tx.SetSettings("u", Settings{}) })
	s := view(t, c)
	defer s.Close()
	if tables := must(s.Tables()); len(tables) != 1 || tables[0].Name != "u" {
		t.Errorf("tables %+v", tables)
	}
}

func TestUnknownOutcome(t *testing.T) {
	eio := errors.New("input/output error")
	for name, test := range map[string]struct {
		commit func(*bolt.Tx) error
		landed bool
	}{
		"nothing landed":    {func(*bolt.Tx) error { return eio }, false},
		"everything landed": {func(tx *bolt.Tx) error { return errors.Join(tx.Commit(), eio) }, true},
		"panic":             {func(*bolt.Tx) error { panic("page 7 makes no sense") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			arm := false
			o := Options{commit: func(tx *bolt.Tx) error {
				if arm {
					arm = false
					return test.commit(tx)
				}
				return tx.Commit()
			}}
			c := open(t, filepath.Join(t.TempDir(), "c.db"), o)
			update(t, c, func(tx *Tx) error { return tx.SetIdentity(Identity{StoreID: "s", LogNext: 1}) })
			old := view(t, c)
			arm = true
			failed := make(chan error)
			go func() { failed <- c.Update(func(tx *Tx) error { return tx.SetLogNext(2) }) }()
			if old.Identity().LogNext != 1 {
				t.Error("the old snapshot moved")
			}
			if got := must(old.Generations()); len(got) != 0 {
				t.Error("the old snapshot cannot be read")
			}
			old.Close() // the reopening waits for it
			var unknown *UnknownOutcomeError
			if err := <-failed; !errors.As(err, &unknown) || unknown.Reopen != nil {
				t.Fatalf("Update: %v", err)
			}
			s := view(t, c)
			want := uint64(1)
			if test.landed {
				want = 2
			}
			if got := s.Identity().LogNext; got != want {
				t.Errorf("log position %d, want %d", got, want)
			}
			s.Close()
			update(t, c, func(tx *Tx) error { return tx.SetLogNext(3) })
		})
	}
}

func TestReopeningFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.db")
	away := filepath.Join(dir, "away")
	arm := false
	c := open(t, path, Options{commit: func(tx *bolt.Tx) error {
		if arm {
			arm = false
			return errors.Join(tx.Commit(), os.Rename(path, away), errors.New("gone"))
		}
		return tx.Commit()
	}})
	arm = true
	var unknown *UnknownOutcomeError
	if err := c.Update(func(tx *Tx) error { return tx.SetLogNext(2) }); !errors.As(err, &unknown) || !errors.Is(unknown.Reopen, os.ErrNotExist) {
		t.Fatalf("Update: %v", err)
	}
	if _, err := c.View(); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("View: %v", err)
	}
	if err := c.Update(func(tx *Tx) error { return nil }); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("Update: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("an empty file took its place: %v", err)
	}
	if err := os.Rename(away, path); err != nil {
		t.Fatal(err)
	}
	s := view(t, c)
	defer s.Close()
	if s.Identity().LogNext != 2 {
		t.Error("what was written is gone")
	}
}

func TestOneProcessAtATime(t *testing.T) {
	c := newCatalog(t)
	if _, err := Open(c.Path(), Options{Timeout: 1}); err == nil {
		t.Fatal("opened twice")
	}
	path := c.Path()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := Open(path, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := Open(path, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	checkClean(t, b)
	if err := a.Update(func(*Tx) error { return nil }); err == nil {
		t.Error("a read-only catalog was updated")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none"), Options{ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file, read-only: %v", err)
	}
}
