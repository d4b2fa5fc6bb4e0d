package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/blockfile/schema"
	"github.com/firndb/firn/engine/catalog"
)

// caches hold immutable things only, under keys that are never given twice, so nothing in them can
// be stale: the decoded references of one catalog key, blocks as they lie in the store, and blocks
// decoded. Which files are live is never cached; it is read from the snapshot each time. Anything
// may be missing at any time (ristretto drops what comes too fast), so a miss is always answered
// from the catalog or the store. What a cache returns is shared: read only.
type caches struct {
	refs    *ristretto.Cache[string, *cachedRefs]
	stored  *ristretto.Cache[string, *cachedBlock]
	decoded *ristretto.Cache[string, *cachedRows]

	hits, misses atomic.Uint64

	mu       sync.Mutex
	families map[familyKey]*family
}

// Each cached value carries its key: ristretto tells keys apart by hash.
type cachedRefs struct {
	key  string
	refs []blockfile.Ref
}

type cachedBlock struct {
	key   string
	block []byte
}

type cachedRows struct {
	key  string
	rows *rows
}

func openCaches(o CacheOptions) (*caches, error) {
	c := &caches{families: make(map[familyKey]*family)}
	var errs [3]error
	c.refs, errs[0] = openCache[*cachedRefs](o.ReferenceBytes, 4<<10)
	c.stored, errs[1] = openCache[*cachedBlock](o.BlockBytes, 16<<10)
	c.decoded, errs[2] = openCache[*cachedRows](o.RawBytes, 64<<10)
	return c, errors.Join(errs[:]...)
}

// openCache makes a cache of so many bytes for items of about the given size; none for a negative
// number. ristretto wants ten counters for each item it will hold.
func openCache[V any](bytes, item int64) (*ristretto.Cache[string, V], error) {
	if bytes < 0 {
		return nil, nil
	}
	return ristretto.NewCache(&ristretto.Config[string, V]{
		NumCounters: max(1000, 10*bytes/item), MaxCost: bytes, BufferItems: 64,
	})
}

func (c *caches) close() {
	if c.refs != nil {
		c.refs.Close()
	}
	if c.stored != nil {
		c.stored.Close()
	}
	if c.decoded != nil {
		c.decoded.Close()
	}
}

func (c *caches) count(hit bool) {
	if hit {
		c.hits.Add(1)
	} else {
		c.misses.Add(1)
	}
}

// references gives the decoded references of one catalog key.
func (c *caches) references(g catalog.RefGroup) ([]blockfile.Ref, error) {
	if c.refs == nil {
		return g.Decode(nil)
	}
	key := g.Key()
	if v, ok := c.refs.Get(key); ok && v.key == key {
		c.count(true)
		return v.refs, nil
	}
	c.count(false)
	refs, err := g.Decode(nil)
	if err != nil {
		return nil, err
	}
	const refBytes = 96
	c.refs.Set(key, &cachedRefs{key, refs}, int64(len(refs)*refBytes+len(key)))
	return refs, nil
}

// blockKey is the whole identity of a block: file ids are never given twice.
func blockKey(file catalog.FileID, offset int64) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(file))
	binary.BigEndian.PutUint64(b[8:], uint64(offset))
	return string(b[:])
}

func (c *caches) decodedBlock(key string) *rows {
	if c.decoded == nil {
		return nil
	}
	v, ok := c.decoded.Get(key)
	if !ok || v.key != key {
		return nil
	}
	return v.rows
}

func (c *caches) storedBlock(key string) []byte {
	if c.stored == nil {
		return nil
	}
	v, ok := c.stored.Get(key)
	if !ok || v.key != key {
		return nil
	}
	return v.block
}

func (c *caches) keepDecoded(key string, r *rows) {
	if c.decoded != nil {
		c.decoded.Set(key, &cachedRows{key, r}, r.bytes())
	}
}

func (c *caches) keepStored(key string, block []byte) {
	if c.stored != nil {
		c.stored.Set(key, &cachedBlock{key, append([]byte(nil), block...)}, int64(len(block)))
	}
}

// has tells whether a block can be had without asking the store.
func (c *caches) has(key string) bool {
	return c.decodedBlock(key) != nil || c.storedBlock(key) != nil
}

// family is a family of block files with what reading them takes.
type family struct {
	blockfile.Family
	schema *schema.Schema
	frame  blockfile.Frame
	id     [32]byte
}

type familyKey struct {
	fingerprint [32]byte
	codec       string
	marker      uint32
}

// maxFamilies bounds the remembered families; past it they are made anew.
const maxFamilies = 4096

// family returns the family of a file, whose schema is in the catalog.
func (c *caches) family(snap *catalog.Snapshot, salt [16]byte, f *catalog.FileRow) (*family, error) {
	key := familyKey{f.Schema, f.Codec, f.Marker}
	c.mu.Lock()
	fam := c.families[key]
	c.mu.Unlock()
	if fam != nil {
		return fam, nil
	}
	row, ok, err := snap.Schema(f.Schema)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: the catalog has no schema for %s", ErrCorrupt, f.Key)
	}
	s, err := schema.Parse(row.Text)
	if err != nil {
		return nil, fmt.Errorf("%w: schema of %s: %w", ErrCorrupt, f.Key, err)
	}
	return c.keepFamily(newFamily(salt, f.Table, s, f.Codec, f.Marker)), nil
}

func newFamily(salt [16]byte, table string, s *schema.Schema, codec string, marker uint32) *family {
	f := &family{
		Family: blockfile.Family{Salt: salt, Table: table, Schema: s.Text(), Codec: codec, Marker: marker},
		schema: s,
	}
	f.id, f.frame = f.ID(), f.Frame()
	return f
}

func (c *caches) keepFamily(f *family) *family {
	key := familyKey{f.schema.Fingerprint(), f.Codec, f.Marker}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.families[key]; known != nil {
		return known
	}
	if len(c.families) >= maxFamilies {
		clear(c.families)
	}
	c.families[key] = f
	return f
}
