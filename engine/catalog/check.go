package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/engine/hot"
)

// fileSum is what a check has seen of one file.
type fileSum struct {
	row             FileRow
	byKey, byTable  int
	byState         int // rows in staged or dead
	groups, listed  uint64
	keySum, listSum uint64 // of checksums of the keys: tells a lost group from another one
	blocks, records uint64
}

// Check reads every row and reports what is wrong: rows that are damaged or out
// of order, indexes that disagree with the files, groups of references that are
// missing or of no file, totals that do not add up. It goes on after a report
// where it can; the error is for what ended it. It takes time and memory in
// proportion to the number of rows and of files.
func (r *Reader) Check(report func(error)) error {
	if r.btx == nil {
		return ErrClosed
	}
	c := &checker{r: r, report: report, files: map[FileID]*fileSum{}}
	c.rows(bktMeta, func(key, _ []byte) error {
		if k := string(key); k != string(keyFormat) && k != string(keyState) {
			return errors.New("no row of this name is known")
		}
		return nil
	})
	c.rows(bktFiles, func(key, body []byte) error {
		id, err := exact64(key)
		if err != nil {
			return err
		}
		f, err := decodeFile(FileID(id), body)
		if err == nil {
			c.files[f.ID] = &fileSum{row: f}
		}
		return err
	})
	c.indexes()
	c.references()
	c.lists()
	c.schemas()
	c.generations()
	c.totals()
	return c.fatal
}

type checker struct {
	r      *Reader
	report func(error)
	fatal  error
	files  map[FileID]*fileSum
}

func (c *checker) problem(id bucketID, key []byte, format string, args ...any) {
	c.report(c.r.damage(id, key, fmt.Errorf(format, args...)))
}

// rows walks a top-level bucket; an error of fn is a problem of the row.
func (c *checker) rows(id bucketID, fn func(key, body []byte) error) {
	b, err := c.r.bucket(id)
	if err != nil {
		c.fatal = errors.Join(c.fatal, err)
		return
	}
	if n, whole := c.walk(id, b, fn); whole && id.counted() && n != c.r.state.counts[id] {
		c.report(c.r.miscounted(id, n))
	}
}

// walk gives the number of rows, damaged ones too, and whether it came to the end.
func (c *checker) walk(id bucketID, b *bolt.Bucket, fn func(key, body []byte) error) (n uint64, whole bool) {
	cur, err := c.r.scan(id, b)
	if err != nil {
		c.fatal = errors.Join(c.fatal, err)
		return 0, false
	}
	var last []byte
	started := false
	for ok, err := cur.seek(nil); ; ok, err = cur.next() {
		var damage *CorruptError
		switch {
		case errors.As(err, &damage) && bytes.Equal(damage.Key, cur.key) && (!started || !bytes.Equal(cur.key, last)):
			c.report(err) // this row's; the walk can go on behind it
		case err != nil:
			c.fatal = errors.Join(c.fatal, err)
			return n, false
		case !ok:
			return n, true
		default:
			if err := fn(cur.key, cur.body); err != nil {
				c.problem(id, cur.key, "%w", err)
			}
		}
		n++
		last, started = append(last[:0], cur.key...), true
	}
}

// file is the row a key or body names; absence is the naming row's problem.
func (c *checker) file(id FileID) (*fileSum, error) {
	if f := c.files[id]; f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("it names file %d, which is missing", id)
}

func (c *checker) indexes() {
	c.rows(bktKeys, func(key, body []byte) error {
		id, err := decodeFileID(body)
		if err != nil {
			return err
		}
		f, err := c.file(id)
		if err != nil {
			return err
		}
		if f.byKey++; f.row.Key != string(key) {
			return fmt.Errorf("file %d has key %q", id, f.row.Key)
		}
		return nil
	})
	index := func(bucket bucketID, want func(f *fileSum) []byte, seen func(f *fileSum)) {
		c.rows(bucket, func(key, _ []byte) error {
			id, err := cut64(key)
			if err != nil {
				return err
			}
			f, err := c.file(FileID(id))
			if err != nil {
				return err
			}
			if seen(f); !bytes.Equal(want(f), key) {
				return fmt.Errorf("file %d does not belong there", id)
			}
			return nil
		})
	}
	byState := func(f *fileSum) { f.byState++ }
	index(bktByTable, func(f *fileSum) []byte { return nameKey64(f.row.Table, uint64(f.row.ID)) }, func(f *fileSum) { f.byTable++ })
	index(bktStaged, func(f *fileSum) []byte {
		if f.row.State != FileStaged {
			return nil
		}
		return key64x2(uint64(f.row.Run), uint64(f.row.ID))
	}, byState)
	index(bktDead, func(f *fileSum) []byte {
		if f.row.State != FileDead {
			return nil
		}
		return key64x2(f.row.DeadFrom, uint64(f.row.ID))
	}, byState)
	next := c.r.state.nextFile
	for id, f := range c.files {
		states := 0
		if f.row.State != FileLive {
			states = 1
		}
		if f.byKey != 1 || f.byTable != 1 || f.byState != states || id >= next {
			c.problem(bktFiles, key64(uint64(id)), "%v file with %d, %d and %d index rows, while the next id is %d",
				f.row.State, f.byKey, f.byTable, f.byState, next)
		}
	}
}

func (c *checker) references() {
	tables := map[string]bool{}
	for _, f := range c.files {
		tables[f.row.Table] = true
	}
	var refs []blockfile.Ref
	for table := range tables {
		b, err := c.r.refBucket(table)
		if err != nil {
			c.fatal = errors.Join(c.fatal, err)
			continue
		}
		c.walk(bktRefs, b, func(key, body []byte) error {
			name, parts, err := splitRefKey(key)
			if err != nil {
				return err
			}
			dataset, err := cutDataset(name)
			if err != nil {
				return err
			}
			if refs, err = unpackRefs(refs[:0], body, dataset, parts.day, parts.first); err != nil {
				return err
			}
			f, err := c.file(parts.file)
			if err != nil {
				return err
			}
			if f.row.Table != table {
				return fmt.Errorf("file %d is of table %q", parts.file, f.row.Table)
			}
			f.groups++
			f.keySum += uint64(crc32.Checksum(key, castagnoli))
			f.blocks += uint64(len(refs))
			for i := range refs {
				f.records += uint64(refs[i].Records)
			}
			return nil
		})
	}
}

func (c *checker) lists() {
	c.rows(bktLists, func(key, body []byte) error {
		if len(key) != 12 {
			return errRow
		}
		id, _ := exact64(key[:8])
		f, err := c.file(FileID(id))
		if err != nil {
			return err
		}
		return walkList(body, FileID(id), func(key []byte) error {
			f.listed++
			f.listSum += uint64(crc32.Checksum(key, castagnoli))
			return nil
		})
	})
	for id, f := range c.files {
		key := key64(uint64(id))
		if f.groups != f.listed || f.keySum != f.listSum {
			c.problem(bktFiles, key, "it lists %d groups of references, %d are there", f.listed, f.groups)
		}
		// References of a staged or dead file may be dropped in part.
		if f.row.State == FileLive && (f.blocks != f.row.RefBlocks || f.records != f.row.RefRecords) {
			c.problem(bktFiles, key, "its references are %d blocks with %d records, %d with %d are there",
				f.row.RefBlocks, f.row.RefRecords, f.blocks, f.records)
		}
		if f.row.State == FileLive && (f.row.RefBlocks != f.row.Blocks || f.row.RefRecords != f.row.Records) {
			c.problem(bktFiles, key, "it has %d blocks with %d records, its references %d with %d",
				f.row.Blocks, f.row.Records, f.row.RefBlocks, f.row.RefRecords)
		}
	}
}

func (c *checker) schemas() {
	versions := map[[32]byte]int{}
	c.rows(bktVersions, func(key, body []byte) error {
		table, rest, err := hot.CutKeyName(key)
		if err != nil {
			return errRow
		}
		n, err := exact64(rest)
		if err != nil {
			return err
		}
		v, err := decodeVersion(n, body)
		if err != nil {
			return err
		}
		versions[v.Fingerprint]++
		s, ok, err := c.r.Schema(v.Fingerprint)
		if err == nil && (!ok || s.Table != table || s.Version != n) {
			err = errors.New("its schema is missing or another one's")
		}
		return err
	})
	c.rows(bktSchemas, func(key, body []byte) error {
		if len(key) != 32 {
			return errRow
		}
		if _, err := decodeSchema([32]byte(key), body); err != nil {
			return err
		}
		if n := versions[[32]byte(key)]; n != 1 {
			return fmt.Errorf("%d versions name it", n)
		}
		return nil
	})
}

func (c *checker) generations() {
	sealed := map[hot.ID]bool{}
	c.rows(bktGenerations, func(key, body []byte) error {
		id, err := exact64(key)
		if err != nil {
			return err
		}
		g, err := decodeGeneration(hot.ID(id), body)
		sealed[g.ID] = err == nil && g.State == GenerationSealed
		return err
	})
	c.rows(bktRetired, func(key, _ []byte) error {
		id, err := exact64(key)
		if _, both := sealed[hot.ID(id)]; err == nil && both {
			err = errors.New("it is among the generations too")
		}
		return err
	})
	jobs := map[hot.ID]bool{}
	c.rows(bktJobs, func(key, body []byte) error {
		run, err := exact64(key)
		if err != nil {
			return err
		}
		j, err := decodeJob(hot.ID(run), body)
		if err != nil {
			return err
		}
		jobs[j.Run] = true
		for _, id := range j.Generations {
			if !sealed[id] {
				return fmt.Errorf("its generation %v is not sealed", id)
			}
		}
		return nil
	})
	for id, f := range c.files {
		if f.row.State == FileStaged && !jobs[f.row.Run] {
			c.problem(bktFiles, key64(uint64(id)), "it is staged by run %v, which has no job", f.row.Run)
		}
	}
}

func (c *checker) totals() {
	cold := map[string]uint64{}
	for _, f := range c.files {
		if f.row.State == FileLive {
			cold[f.row.Table] += f.row.Records
		}
	}
	c.rows(bktTables, func(key, body []byte) error {
		t, err := decodeTable(string(key), body)
		if err != nil {
			return err
		}
		files := cold[t.Name]
		delete(cold, t.Name)
		if t.Counters.Cold != files {
			return fmt.Errorf("it counts %d cold records, its files hold %d", t.Counters.Cold, files)
		}
		return nil
	})
	for table := range cold {
		c.problem(bktTables, []byte(table), "the row is missing")
	}
}
