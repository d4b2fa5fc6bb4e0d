package catalog

import (
	"crypto/sha256"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/firndb/firn/engine/hot"
)

// How full bbolt leaves a page that it splits; it forgets this with the handle.
// Most rows are added behind the last one, so pages should be left nearly full.
// Groups of references are not: each run adds some between those of all other
// days, and pages left nearly full would fall apart into scraps. Measured over
// ten days of 100,000 datasets: 42 % of the pages' bytes in use with 0.9, 74 %
// with 0.6, 37 % with 1.0, 69 % with 0.5.
const (
	fillRows = 0.9
	fillRefs = 0.6
)

// refShare is what a group of references counts in Tx.Bytes besides its own
// bytes: its share of the page it falls into, which is written anew. Without it
// a transaction of 8 MiB of groups writes hundreds of MiB of pages, and the file
// keeps as many free ones.
const refShare = 512

// Tx is a write transaction: what Update hands to its function. Reads through
// it see its own writes. After the first failed step every further one returns
// the same error, and Update gives the whole transaction up. For one goroutine.
type Tx struct {
	Reader
	err   error
	was   state // at the beginning
	bytes int64
	slab  []byte // values: bbolt keeps the slices until the commit
}

// Bytes is about how much was written and deleted so far: bytes of keys and
// values, and for references the pages they fall into. Transactions of at most
// 8 MiB commit fast, need little memory, and leave few free pages behind.
func (t *Tx) Bytes() int64 { return t.bytes }

// step runs one change, unless an earlier one failed.
func (t *Tx) step(fn func() error) error {
	switch {
	case t.btx == nil:
		return ErrClosed
	case t.err != nil:
		return t.err
	}
	t.err = fn()
	return t.err
}

// finish writes what is kept back until the end.
func (t *Tx) finish() error {
	return t.step(func() error {
		if t.state == t.was {
			return nil
		}
		body, err := t.state.append(nil)
		if err != nil {
			return err
		}
		return t.put(bktMeta, keyState, body)
	})
}

// put writes a row.
func (t *Tx) put(id bucketID, key, body []byte) error {
	b, err := t.bucket(id)
	if err != nil {
		return err
	}
	return t.putIn(id, b, key, body)
}

func (t *Tx) putIn(id bucketID, b *bolt.Bucket, key, body []byte) error {
	need := crcSize + len(body)
	if cap(t.slab)-len(t.slab) < need {
		t.slab = make([]byte, 0, max(64<<10, need))
	}
	from := len(t.slab)
	t.slab = appendSealed(t.slab, key, body)
	value := t.slab[from:len(t.slab):len(t.slab)]
	t.bytes += int64(len(key) + len(value))
	b.FillPercent = fillRows
	if id == bktRefs {
		b.FillPercent = fillRefs
		t.bytes += refShare
	}
	var err error
	added := false
	if perr := protect(t.path, bucketNames[id], key, func() {
		added = id.counted() && b.Get(key) == nil
		err = b.Put(key, value)
	}); perr != nil {
		return perr
	}
	if added {
		t.state.counts[id]++
	}
	return err
}

// remove deletes a row; an absent one is fine.
func (t *Tx) remove(id bucketID, key []byte) error {
	b, err := t.bucket(id)
	if err != nil {
		return err
	}
	return t.removeIn(id, b, key)
}

func (t *Tx) removeIn(id bucketID, b *bolt.Bucket, key []byte) error {
	t.bytes += int64(len(key))
	var err error
	removed := false
	if perr := protect(t.path, bucketNames[id], key, func() {
		removed = id.counted() && b.Get(key) != nil
		err = b.Delete(key)
	}); perr != nil {
		return perr
	}
	if removed {
		t.state.counts[id]--
	}
	return err
}

// SetIdentity replaces the identity row. Epoch, log position and archived
// sequence number of one store never go back.
func (t *Tx) SetIdentity(id Identity) error {
	return t.step(func() error {
		if was := t.state.identity; was.StoreID == id.StoreID && (id.Epoch < was.Epoch || id.LogNext < was.LogNext ||
			id.ArchivedSeq < was.ArchivedSeq || id.Epoch == was.Epoch && id.NextID < was.NextID) {
			return stateErrorf("identity would go back from %+v to %+v", was, id)
		}
		if err := id.check(); err != nil {
			return err
		}
		t.state.identity = id
		return nil
	})
}

// SetLogNext says that the catalog holds what the log says below position next.
func (t *Tx) SetLogNext(next uint64) error {
	id := t.state.identity
	id.LogNext = next
	return t.SetIdentity(id)
}

// NewID gives an id for a generation or run that was never given before, in the
// writer's epoch.
func (t *Tx) NewID() (hot.ID, error) {
	var out hot.ID
	err := t.step(func() error {
		n := max(t.state.identity.NextID, 1) // the zero id names nothing
		if n >= hot.MaxCounter {
			return limitErrorf("epoch %d has no ids left", t.state.identity.Epoch)
		}
		out = hot.MakeID(t.state.identity.Epoch, n)
		t.state.identity.NextID = n + 1
		return nil
	})
	return out, err
}

// PutGeneration writes a generation's row, new or not.
func (t *Tx) PutGeneration(g GenerationRow) error {
	return t.step(func() error { return t.putGeneration(g) })
}

func (t *Tx) putGeneration(g GenerationRow) error {
	body, err := g.append(nil)
	if err != nil {
		return err
	}
	return t.put(bktGenerations, key64(uint64(g.ID)), body)
}

func (t *Tx) generation(id hot.ID) (GenerationRow, bool, error) {
	key := key64(uint64(id))
	body, ok, err := t.get(bktGenerations, key)
	if err != nil || !ok {
		return GenerationRow{}, false, err
	}
	g, err := decodeGeneration(id, body)
	if err != nil {
		return GenerationRow{}, false, t.damage(bktGenerations, key, err)
	}
	return g, true, nil
}

// SealAndOpen seals an open generation and opens its successor in one step.
func (t *Tx) SealAndOpen(sealed hot.ID, opened GenerationRow) error {
	return t.step(func() error {
		g, ok, err := t.generation(sealed)
		if err != nil {
			return err
		}
		if !ok || g.State != GenerationOpen {
			return stateErrorf("generation %v cannot be sealed: it is not open", sealed)
		}
		if _, ok, err := t.generation(opened.ID); err != nil || ok {
			if ok {
				err = stateErrorf("generation %v is there already", opened.ID)
			}
			return err
		}
		g.State, opened.State = GenerationSealed, GenerationOpen
		if err := t.putGeneration(g); err != nil {
			return err
		}
		return t.putGeneration(opened)
	})
}

// DropGeneration takes a generation away that never held a record, without
// retiring it.
func (t *Tx) DropGeneration(id hot.ID) error {
	return t.step(func() error { return t.remove(bktGenerations, key64(uint64(id))) })
}

// ForgetRetired drops the row of a retired generation, once its file is gone.
func (t *Tx) ForgetRetired(id hot.ID) error {
	return t.step(func() error { return t.remove(bktRetired, key64(uint64(id))) })
}

// SetSettings replaces the settings of a table, which is made when absent.
func (t *Tx) SetSettings(table string, s Settings) error {
	return t.changeTable(table, func(row *TableRow) error { row.Settings = s; return nil })
}

// SetCounters replaces the counters of a table, which is made when absent. It
// is for rebuilding a catalog; otherwise they change in Commit and AddLost.
func (t *Tx) SetCounters(table string, c Counters) error {
	return t.changeTable(table, func(row *TableRow) error { row.Counters = c; return nil })
}

// AddLost counts records of a table that were accepted and are lost.
func (t *Tx) AddLost(table string, records uint64) error {
	return t.changeTable(table, func(row *TableRow) error { row.Counters.Lost += records; return nil })
}

func (t *Tx) changeTable(name string, change func(*TableRow) error) error {
	return t.step(func() error {
		row, err := t.tableOrNew(name)
		if err != nil {
			return err
		}
		if err := change(&row); err != nil {
			return err
		}
		return t.putTable(row)
	})
}

func (t *Tx) tableOrNew(name string) (TableRow, error) {
	if name == "" || len(name) > MaxTableBytes {
		return TableRow{}, limitErrorf("table name of %d bytes, want 1 to %d", len(name), MaxTableBytes)
	}
	row, ok, err := t.table(name)
	if !ok {
		row = TableRow{Name: name}
	}
	return row, err
}

func (t *Tx) putTable(row TableRow) error {
	body, err := row.append(nil)
	if err != nil {
		return err
	}
	return t.put(bktTables, []byte(row.Name), body)
}

// PutSchema adds a version of a table's schema; the table is made when absent.
// The fingerprint is computed. Putting the same text again replaces the tree
// alone; another text for a version that is there is refused.
func (t *Tx) PutSchema(table string, version uint64, created int64, text, tree []byte) error {
	return t.step(func() error {
		row, err := t.tableOrNew(table)
		if err != nil {
			return err
		}
		s := SchemaRow{Table: table, Text: text, Tree: tree,
			SchemaVersion: SchemaVersion{Version: version, Fingerprint: sha256.Sum256(text), Created: created}}
		was, ok, err := t.Schema(s.Fingerprint)
		if err != nil {
			return err
		}
		if ok && (was.Table != table || was.Version != version) {
			return stateErrorf("the schema is version %d of table %q already", was.Version, was.Table)
		}
		if ok {
			s.Created = was.Created
		}
		versions, err := t.versions(table)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(versions, func(v SchemaVersion) bool { return v.Version == version }); i >= 0 && versions[i].Fingerprint != s.Fingerprint {
			return stateErrorf("version %d of table %q is another schema", version, table)
		}
		body, err := s.append(nil)
		if err != nil {
			return err
		}
		if err := t.put(bktSchemas, s.Fingerprint[:], body); err != nil {
			return err
		}
		if err := t.put(bktVersions, nameKey64(table, version), s.SchemaVersion.append(nil)); err != nil {
			return err
		}
		return t.putTable(row)
	})
}
