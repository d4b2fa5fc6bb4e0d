package catalog

import (
	"bytes"
	"math"

	bolt "go.etcd.io/bbolt"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/engine/hot"
)

// RefQuery asks for the references of one dataset of a table.
type RefQuery struct {
	Table, Dataset string
	FromDay, ToDay int32 // days since 1970-01-01, both inclusive

	// At is the log position whose file set is wanted: Identity.LogNext of the
	// view that asks. Zero means this snapshot's own. An earlier one works as
	// long as the files that died since were not collected.
	At uint64

	// After goes on behind the group with this RowKey, in the walk's direction;
	// nil begins at the beginning. So a long read copies a page of groups,
	// closes its snapshot, and goes on in another one.
	After []byte

	Desc bool // from the last day to the first, keys in falling order
}

// Refs calls fn for the references of a dataset's days in live files, in order
// of (day, first time, file id). A look-up costs the same however many other
// datasets, days and files there are.
func (r *Reader) Refs(table, dataset string, fromDay, toDay int32, fn func(RefGroup) error) error {
	return r.QueryRefs(RefQuery{Table: table, Dataset: dataset, FromDay: fromDay, ToDay: toDay}, fn)
}

// QueryRefs calls fn for the groups a query asks for, in order of (day, first
// time, file id), or the reverse of it.
func (r *Reader) QueryRefs(q RefQuery, fn func(RefGroup) error) error {
	if q.FromDay > q.ToDay {
		return nil
	}
	at := q.At
	if at == 0 {
		at = r.state.identity.LogNext
	}
	b, err := r.liveRefs(q.Table)
	if err != nil {
		return err
	}
	c, err := r.scan(bktRefs, b)
	if err != nil {
		return err
	}
	c.keep = true
	prefix := hot.AppendKeyName(make([]byte, 0, len(q.Dataset)+2+refKeyTail), q.Dataset)

	step := c.next
	var ok bool
	if q.Desc {
		step = c.prev
		above := keyAfter(prefix)
		if q.ToDay < math.MaxInt32 {
			above = hot.AppendKeyDay(bytes.Clone(prefix), q.ToDay+1)
		}
		if q.After != nil && bytes.Compare(q.After, above) < 0 {
			above = q.After
		}
		ok, err = c.seekBelow(above)
	} else {
		from := hot.AppendKeyDay(bytes.Clone(prefix), q.FromDay)
		if q.After != nil && bytes.Compare(q.After, from) >= 0 {
			from = append(bytes.Clone(q.After), 0)
		}
		ok, err = c.seek(from)
	}
	for ; ok && err == nil; ok, err = step() {
		if !belongs(c.key, prefix) {
			return nil
		}
		_, parts, err := splitRefKey(c.key)
		if err != nil {
			return r.damage(bktRefs, c.key, err)
		}
		if q.Desc && parts.day < q.FromDay || !q.Desc && parts.day > q.ToDay {
			return nil
		}
		live, err := r.liveAt(parts.file, at)
		if err != nil {
			return err
		}
		if !live {
			c.drop()
			continue
		}
		g := RefGroup{File: parts.file, Table: q.Table, Dataset: q.Dataset, Day: parts.day, First: parts.first, Part: parts.part,
			key: c.key, packed: c.body, path: r.path}
		if err := fn(g); err != nil {
			return err
		}
	}
	return err
}

// Datasets calls fn for each dataset of a table that has references in live
// files and whose name is above after, in order of names: how many records it
// has there, the bytes of their blocks as stored, and the times of the first and
// the last of them. after "" begins with the first name; the dataset "" is only
// met so. It reads all references of the table.
func (r *Reader) Datasets(table, after string, fn func(dataset string, records uint64, bytes int64, first, last int64) error) error {
	b, err := r.liveRefs(table)
	if err != nil {
		return err
	}
	c, err := r.scan(bktRefs, b)
	if err != nil {
		return err
	}
	var from []byte
	if after != "" {
		from = keyAfter(hot.AppendKeyName(nil, after))
	}
	var (
		name        []byte // encoded; nil before the first
		dataset     string
		records     uint64
		stored      int64
		first, last int64
		refs        []blockfile.Ref
	)
	emit := func() error {
		if records == 0 {
			return nil
		}
		return fn(dataset, records, stored, first, last)
	}
	ok, err := c.seek(from)
	for ; ok && err == nil; ok, err = c.next() {
		prefix, parts, err := splitRefKey(c.key)
		if err != nil {
			return r.damage(bktRefs, c.key, err)
		}
		if name == nil || !bytes.Equal(prefix, name) {
			if err := emit(); err != nil {
				return err
			}
			name = append(name[:0], prefix...)
			if dataset, err = cutDataset(name); err != nil {
				return r.damage(bktRefs, c.key, err)
			}
			records, stored, first, last = 0, 0, math.MaxInt64, math.MinInt64
		}
		live, err := r.liveAt(parts.file, r.state.identity.LogNext)
		if err != nil {
			return err
		}
		if !live {
			continue
		}
		if refs, err = unpackRefs(refs[:0], c.body, dataset, parts.day, parts.first); err != nil {
			return r.damage(bktRefs, c.key, err)
		}
		for i := range refs {
			records += uint64(refs[i].Records)
			stored += int64(refs[i].Length)
			first, last = min(first, refs[i].First), max(last, refs[i].Last)
		}
	}
	if err != nil {
		return err
	}
	return emit()
}

// liveRefs gives the bucket of a table's references, nil when it has none. A
// table with cold records always has one.
func (r *Reader) liveRefs(table string) (*bolt.Bucket, error) {
	b, err := r.refBucket(table)
	if err != nil || b != nil {
		return b, err
	}
	row, ok, err := r.table(table)
	if err == nil && ok && row.Counters.Cold > 0 {
		err = &CorruptError{File: r.path, Bucket: bucketNames[bktRefs], Key: []byte(table), Reason: "the bucket is missing"}
	}
	return nil, err
}
