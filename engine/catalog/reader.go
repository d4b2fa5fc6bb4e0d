package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/firndb/firn/engine/hot"
)

// Reader reads the catalog's rows; Snapshot and Tx both are one. What it
// returns is copied out of the file and stays valid. Errors are *CorruptError
// for damage and ErrClosed after the transaction ended. Functions passed in end
// a walk by returning an error, which is then returned as it is. Not safe for
// concurrent use.
type Reader struct {
	rows
	state state
	live  map[FileID]bool // at Identity().LogNext; nil in a Tx, whose rows change
}

// Identity says whose catalog this is; the zero one until it was set.
func (r *Reader) Identity() Identity { return r.state.identity }

func (r *Reader) loadState() error {
	body, ok, err := r.get(bktMeta, keyState)
	if err == nil && !ok {
		err = r.damage(bktMeta, keyState, errors.New("the row is missing"))
	}
	if err != nil {
		return err
	}
	if r.state, err = decodeState(body); err != nil {
		return r.damage(bktMeta, keyState, err)
	}
	return nil
}

// whole walks all rows of a bucket, and makes sure that none was left out.
func (r *Reader) whole(id bucketID, fn func(key, body []byte) error) error {
	n := uint64(0)
	err := r.each(id, nil, func(key, body []byte) error {
		n++
		return fn(key, body)
	})
	if err == nil && n != r.state.counts[id] {
		err = r.miscounted(id, n)
	}
	return err
}

func (r *Reader) miscounted(id bucketID, n uint64) error {
	return &CorruptError{File: r.path, Bucket: bucketNames[id], Reason: fmt.Sprintf("%d rows are found, %d were written", n, r.state.counts[id])}
}

// Generations are the open and sealed ones, by id.
func (r *Reader) Generations() ([]GenerationRow, error) {
	var out []GenerationRow
	err := r.whole(bktGenerations, func(key, body []byte) error {
		id, err := exact64(key)
		if err == nil {
			var g GenerationRow
			if g, err = decodeGeneration(hot.ID(id), body); err == nil {
				out = append(out, g)
				return nil
			}
		}
		return r.damage(bktGenerations, key, err)
	})
	return out, err
}

// Retired are the generations that were archived and whose files may still be
// there, by id.
func (r *Reader) Retired() ([]hot.ID, error) {
	var out []hot.ID
	err := r.whole(bktRetired, func(key, _ []byte) error {
		id, err := exact64(key)
		if err != nil {
			return r.damage(bktRetired, key, err)
		}
		out = append(out, hot.ID(id))
		return nil
	})
	return out, err
}

// Jobs are the open ones, by run id.
func (r *Reader) Jobs() ([]Job, error) {
	var out []Job
	err := r.whole(bktJobs, func(key, body []byte) error {
		id, err := exact64(key)
		if err == nil {
			var j Job
			if j, err = decodeJob(hot.ID(id), body); err == nil {
				out = append(out, j)
				return nil
			}
		}
		return r.damage(bktJobs, key, err)
	})
	return out, err
}

func (r *Reader) job(run hot.ID) (Job, bool, error) {
	key := key64(uint64(run))
	body, ok, err := r.get(bktJobs, key)
	if err != nil || !ok {
		return Job{}, false, err
	}
	j, err := decodeJob(run, body)
	if err != nil {
		return Job{}, false, r.damage(bktJobs, key, err)
	}
	return j, true, nil
}

// Tables are all tables with their schema versions, by name.
func (r *Reader) Tables() ([]TableRow, error) {
	var out []TableRow
	err := r.whole(bktTables, func(key, body []byte) error {
		t, err := decodeTable(string(key), body)
		if err != nil {
			return r.damage(bktTables, key, err)
		}
		out = append(out, t)
		return nil
	})
	for i := range out {
		if err != nil {
			break
		}
		out[i].Schemas, err = r.versions(out[i].Name)
	}
	return out, err
}

// Table is one table with its schema versions.
func (r *Reader) Table(name string) (TableRow, bool, error) {
	t, ok, err := r.table(name)
	if err != nil || !ok {
		return TableRow{}, false, err
	}
	t.Schemas, err = r.versions(name)
	return t, err == nil, err
}

// table is a table's own row.
func (r *Reader) table(name string) (TableRow, bool, error) {
	body, ok, err := r.get(bktTables, []byte(name))
	if err != nil || !ok {
		return TableRow{}, false, err
	}
	t, err := decodeTable(name, body)
	if err != nil {
		return TableRow{}, false, r.damage(bktTables, []byte(name), err)
	}
	return t, true, nil
}

func (r *Reader) versions(table string) ([]SchemaVersion, error) {
	var out []SchemaVersion
	prefix := nameKey(table)
	err := r.each(bktVersions, prefix, func(key, body []byte) error {
		n, err := exact64(key[len(prefix):])
		if err == nil {
			var v SchemaVersion
			if v, err = decodeVersion(n, body); err == nil {
				out = append(out, v)
				return nil
			}
		}
		return r.damage(bktVersions, key, err)
	})
	return out, err
}

// Schema is the schema of a fingerprint. Its slices are the caller's.
func (r *Reader) Schema(fingerprint [32]byte) (SchemaRow, bool, error) {
	body, ok, err := r.get(bktSchemas, fingerprint[:])
	if err != nil || !ok {
		return SchemaRow{}, false, err
	}
	s, err := decodeSchema(fingerprint, body)
	if err != nil {
		return SchemaRow{}, false, r.damage(bktSchemas, fingerprint[:], err)
	}
	return s, true, nil
}

// Newest is the highest version of a table's schema; ok is false when it has
// none.
func (r *Reader) Newest(table string) (s SchemaRow, ok bool, err error) {
	c, err := r.scanBucket(bktVersions)
	if err != nil {
		return SchemaRow{}, false, err
	}
	prefix := nameKey(table)
	if ok, err = c.seekBelow(keyAfter(prefix)); err != nil || !ok || !belongs(c.key, prefix) {
		return SchemaRow{}, false, err
	}
	n, err := exact64(c.key[len(prefix):])
	if err != nil {
		return SchemaRow{}, false, r.damage(bktVersions, c.key, err)
	}
	v, err := decodeVersion(n, c.body)
	if err != nil {
		return SchemaRow{}, false, r.damage(bktVersions, c.key, err)
	}
	s, ok, err = r.Schema(v.Fingerprint)
	if err == nil && !ok {
		err = r.damage(bktVersions, c.key, errors.New("the schema it names is missing"))
	}
	return s, ok, err
}

// File is one block file.
func (r *Reader) File(id FileID) (FileRow, bool, error) {
	key := key64(uint64(id))
	body, ok, err := r.get(bktFiles, key)
	if err != nil || !ok {
		return FileRow{}, false, err
	}
	f, err := decodeFile(id, body)
	if err != nil {
		return FileRow{}, false, r.damage(bktFiles, key, err)
	}
	return f, true, nil
}

// FileByKey is the block file of an object key.
func (r *Reader) FileByKey(key string) (FileRow, bool, error) {
	body, ok, err := r.get(bktKeys, []byte(key))
	if err != nil || !ok {
		return FileRow{}, false, err
	}
	id, err := decodeFileID(body)
	if err != nil {
		return FileRow{}, false, r.damage(bktKeys, []byte(key), err)
	}
	f, err := r.mustFile(bktKeys, []byte(key), id)
	return f, err == nil, err
}

// mustFile is the file that another row names.
func (r *Reader) mustFile(from bucketID, key []byte, id FileID) (FileRow, error) {
	f, ok, err := r.File(id)
	if err == nil && !ok {
		err = r.damage(from, key, errors.New("the file it names is missing"))
	}
	return f, err
}

func decodeFileID(body []byte) (FileID, error) {
	r := rowReader{b: body}
	id := r.uvarint()
	if id > maxFileID {
		r.fail()
	}
	return FileID(id), r.end()
}

// Files calls fn for every block file, of whatever state, whose object key is
// above after, in order of keys.
func (r *Reader) Files(after string, fn func(FileRow) error) error {
	c, err := r.scanBucket(bktKeys)
	if err != nil {
		return err
	}
	// The first key above after is after with a zero byte behind it.
	for ok, err := c.seek(append([]byte(after), 0)); ; ok, err = c.next() {
		if err != nil || !ok {
			return err
		}
		id, err := decodeFileID(c.body)
		if err != nil {
			return r.damage(bktKeys, c.key, err)
		}
		f, err := r.mustFile(bktKeys, c.key, id)
		if err != nil {
			return err
		}
		if err := fn(f); err != nil {
			return err
		}
	}
}

// FilesOf calls fn for every block file of a table, of whatever state, by id.
func (r *Reader) FilesOf(table string, fn func(FileRow) error) error {
	return r.filesBy(bktByTable, nameKey(table), fn)
}

// FilesOfRun calls fn for the files an open job has staged, by id.
func (r *Reader) FilesOfRun(run hot.ID, fn func(FileRow) error) error {
	return r.filesBy(bktStaged, key64(uint64(run)), fn)
}

// DeadFiles calls fn for the dead files that were not collected yet, those that
// died first before the others.
func (r *Reader) DeadFiles(fn func(FileRow) error) error {
	return r.whole(bktDead, func(key, _ []byte) error { return r.fileBy(bktDead, key, fn) })
}

// filesBy walks an index whose keys end with a file id.
func (r *Reader) filesBy(index bucketID, prefix []byte, fn func(FileRow) error) error {
	return r.each(index, prefix, func(key, _ []byte) error { return r.fileBy(index, key, fn) })
}

func (r *Reader) fileBy(index bucketID, key []byte, fn func(FileRow) error) error {
	id, err := cut64(key)
	if err != nil {
		return r.damage(index, key, err)
	}
	f, err := r.mustFile(index, key, FileID(id))
	if err != nil {
		return err
	}
	return fn(f)
}

// liveAt tells whether a view at position next sees the file a reference names.
func (r *Reader) liveAt(id FileID, next uint64) (bool, error) {
	current := next == r.state.identity.LogNext && r.live != nil
	if current {
		if live, ok := r.live[id]; ok {
			return live, nil
		}
	}
	key := key64(uint64(id))
	f, err := r.mustFile(bktFiles, key, id)
	if err != nil {
		return false, err
	}
	live := f.LiveAt(next)
	if current {
		r.live[id] = live
	}
	return live, nil
}

func appendFileID(dst []byte, id FileID) []byte { return binary.AppendUvarint(dst, uint64(id)) }
