package catalog

import (
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/engine/hot"
)

// StageFile adds the row of a block file that an open job wrote; its references
// follow by StageRefs. The catalog gives the id and sets State; the object key
// must be new.
func (t *Tx) StageFile(row FileRow) (FileID, error) {
	err := t.step(func() error {
		if _, ok, err := t.job(row.Run); err != nil {
			return err
		} else if !ok {
			return fmt.Errorf("%w: run %v", ErrNoJob, row.Run)
		}
		row.State, row.LiveFrom, row.DeadFrom = FileStaged, 0, 0
		if err := t.addFile(&row); err != nil {
			return err
		}
		return t.put(bktStaged, key64x2(uint64(row.Run), uint64(row.ID)), nil)
	})
	return row.ID, err
}

// PutLiveFile adds the row of a block file that the log says is live since
// row.LiveFrom. It is for building a catalog from the log, and needs no job.
func (t *Tx) PutLiveFile(row FileRow) (FileID, error) {
	err := t.step(func() error {
		row.State, row.DeadFrom = FileLive, 0
		return t.addFile(&row)
	})
	return row.ID, err
}

func (t *Tx) addFile(row *FileRow) error {
	id := t.state.nextFile
	if id >= maxFileID {
		return limitErrorf("no file ids left")
	}
	row.ID, row.RefBlocks, row.RefRecords = id, 0, 0
	if _, ok, err := t.get(bktKeys, []byte(row.Key)); err != nil {
		return err
	} else if ok {
		return stateErrorf("a file with key %q is there already", row.Key)
	}
	table, err := t.tableOrNew(row.Table)
	if err != nil {
		return err
	}
	if err := t.putTable(table); err != nil {
		return err
	}
	if err := t.putFile(row); err != nil {
		return err
	}
	t.state.nextFile = id + 1
	if err := t.put(bktKeys, []byte(row.Key), appendFileID(nil, id)); err != nil {
		return err
	}
	return t.put(bktByTable, nameKey64(row.Table, uint64(id)), nil)
}

func (t *Tx) putFile(row *FileRow) error {
	body, err := row.append(nil)
	if err != nil {
		return err
	}
	return t.put(bktFiles, key64(uint64(row.ID)), body)
}

// StageRefs adds references of a staged file, or of one that PutLiveFile added.
// Those of one dataset and day should stand together, in the order of their
// blocks; they become a group. Give many at a time, some thousands, and begin
// another transaction when Bytes says so. refs is not kept.
func (t *Tx) StageRefs(id FileID, refs []blockfile.Ref) error {
	return t.step(func() error {
		file, ok, err := t.File(id)
		if err != nil {
			return err
		}
		if !ok || file.State == FileDead {
			return stateErrorf("file %d takes no references", id)
		}
		bucket, err := t.makeRefBucket(file.Table)
		if err != nil {
			return err
		}
		number, err := t.nextList(id)
		if err != nil {
			return err
		}
		var list listWriter
		flush := func() error {
			if list.n == 0 {
				return nil
			}
			key := binary.BigEndian.AppendUint32(key64(uint64(id)), number)
			number++
			return t.put(bktLists, key, list.take())
		}
		var key, body []byte
		for len(refs) > 0 {
			n := groupEnd(refs)
			group := refs[:n]
			refs = refs[n:]
			first := group[0].First
			for i := range group {
				if err := checkRef(&group[i]); err != nil {
					return err
				}
				first = min(first, group[i].First)
				file.RefBlocks++
				file.RefRecords += uint64(group[i].Records)
			}
			dataset, day := group[0].Dataset, group[0].Day
			part := -1
			for taken := true; taken; {
				if part++; part > maxPart {
					return limitErrorf("too many groups of dataset %q at %d", dataset, first)
				}
				key = appendRefKey(key[:0], dataset, day, first, id, uint16(part))
				if perr := protect(t.path, bucketNames[bktRefs], key, func() { taken = bucket.Get(key) != nil }); perr != nil {
					return perr
				}
			}
			body = packRefs(body[:0], group, first)
			if err := t.putIn(bktRefs, bucket, key, body); err != nil {
				return err
			}
			list.add(dataset, day, first, uint16(part))
			if list.full() {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if err := flush(); err != nil {
			return err
		}
		return t.putFile(&file)
	})
}

func (t *Tx) makeRefBucket(table string) (*bolt.Bucket, error) {
	b, err := t.refBucket(table)
	if err != nil || b != nil {
		return b, err
	}
	refs, err := t.bucket(bktRefs)
	if err != nil {
		return nil, err
	}
	if perr := protect(t.path, bucketNames[bktRefs], []byte(table), func() { b, err = createBucket(refs.CreateBucket, []byte(table)) }); perr != nil {
		return nil, perr
	}
	if err == nil {
		t.tables[table] = b
	}
	return b, err
}

// nextList is the number of the file's next list row.
func (t *Tx) nextList(id FileID) (uint32, error) {
	c, err := t.scanBucket(bktLists)
	if err != nil {
		return 0, err
	}
	prefix := key64(uint64(id))
	ok, err := c.seekBelow(key64(uint64(id) + 1))
	if err != nil || !ok || !belongs(c.key, prefix) {
		return 0, err
	}
	if len(c.key) != 12 {
		return 0, t.damage(bktLists, c.key, errRow)
	}
	return binary.BigEndian.Uint32(c.key[8:]) + 1, nil
}

// DropStaged drops rows of the files a job has staged, until about maxBytes are
// dropped; done says that none is left. Call it in one transaction after the
// other, then CloseJob. The objects must have been deleted before: their keys
// are not known afterwards.
func (t *Tx) DropStaged(run hot.ID, maxBytes int64) (done bool, err error) {
	err = t.step(func() error {
		limit := t.bytes + max(maxBytes, 1)
		prefix := key64(uint64(run))
		for t.bytes < limit {
			id, ok, err := t.firstOf(bktStaged, prefix)
			if err != nil || !ok {
				done = err == nil
				return err
			}
			if err := t.dropFile(id, FileStaged, limit); err != nil {
				return err
			}
		}
		_, left, err := t.firstOf(bktStaged, prefix)
		done = err == nil && !left
		return err
	})
	return done, err
}

// DropDead drops rows of a dead file, until about maxBytes are dropped; done
// says that none is left. The object must have been deleted before.
func (t *Tx) DropDead(id FileID, maxBytes int64) (done bool, err error) {
	err = t.step(func() error {
		if err := t.dropFile(id, FileDead, t.bytes+max(maxBytes, 1)); err != nil {
			return err
		}
		_, left, err := t.get(bktFiles, key64(uint64(id)))
		done = err == nil && !left
		return err
	})
	return done, err
}

// firstOf is the first file of an index with keys beginning with prefix.
func (t *Tx) firstOf(index bucketID, prefix []byte) (FileID, bool, error) {
	c, err := t.scanBucket(index)
	if err != nil {
		return 0, false, err
	}
	ok, err := c.seek(prefix)
	if err != nil || !ok || !belongs(c.key, prefix) {
		return 0, false, err
	}
	id, err := cut64(c.key)
	if err != nil {
		return 0, false, t.damage(index, c.key, err)
	}
	return FileID(id), true, nil
}

// dropFile drops a file's references, a list row at a time so that bounded work
// is done, and when none is left the file's own rows.
func (t *Tx) dropFile(id FileID, want FileState, limit int64) error {
	file, ok, err := t.File(id)
	if err != nil {
		return err
	}
	if !ok || file.State != want {
		return stateErrorf("file %d is not %v", id, want)
	}
	refs, err := t.refBucket(file.Table)
	if err != nil {
		return err
	}
	prefix := key64(uint64(id))
	for t.bytes < limit {
		lists, err := t.scanBucket(bktLists)
		if err != nil {
			return err
		}
		ok, err := lists.seek(prefix)
		if err != nil {
			return err
		}
		if !ok || !belongs(lists.key, prefix) {
			return t.removeFile(&file)
		}
		if err := walkList(lists.body, id, func(key []byte) error {
			if refs == nil {
				return errRow
			}
			t.bytes += refShare
			return t.removeIn(bktRefs, refs, key)
		}); err != nil {
			return t.damage(bktLists, lists.key, err)
		}
		t.bytes += int64(len(lists.body))
		if err := t.remove(bktLists, lists.key); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) removeFile(file *FileRow) error {
	index, indexKey := bktStaged, key64x2(uint64(file.Run), uint64(file.ID))
	if file.State == FileDead {
		index, indexKey = bktDead, key64x2(file.DeadFrom, uint64(file.ID))
	}
	if err := t.remove(index, indexKey); err != nil {
		return err
	}
	if err := t.remove(bktByTable, nameKey64(file.Table, uint64(file.ID))); err != nil {
		return err
	}
	if err := t.remove(bktKeys, []byte(file.Key)); err != nil {
		return err
	}
	return t.remove(bktFiles, key64(uint64(file.ID)))
}
