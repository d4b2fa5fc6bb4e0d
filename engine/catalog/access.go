package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
)

// protect runs fn, which calls into bbolt, and turns what a damaged file does
// to it into an error: bbolt panics where page contents make no sense, and a
// page number beyond the file faults. It wraps calls into bbolt alone, never a
// caller's function, so that a fault elsewhere is not taken for damage.
func protect(path, bucket string, key []byte, fn func()) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			err = &CorruptError{File: path, Bucket: bucket, Key: bytes.Clone(key), Reason: fmt.Sprintf("bbolt: %v", p)}
		}
	}()
	fn()
	return nil
}

// floorName names the empty bucket that every bucket holds as its lowest entry.
//
// bbolt keeps a small bucket within its parent's page, and copies such a page to
// the heap where it is not aligned. Were it damaged, bbolt would hand out slices
// that point anywhere into the heap, which kills the process at the next garbage
// collection: no recover helps. A bucket that holds another one always has pages
// of its own, in the mapped file, where a wild slice is a fault that protect
// turns into an error.
var floorName = []byte{0}

func isFloor(k, v []byte) bool { return v == nil && bytes.Equal(k, floorName) }

// aboveFloor gives no row where there is only the floor.
func aboveFloor(k, v []byte) ([]byte, []byte) {
	if isFloor(k, v) {
		return nil, nil
	}
	return k, v
}

// createBucket makes a bucket with its floor.
func createBucket(create func(name []byte) (*bolt.Bucket, error), name []byte) (*bolt.Bucket, error) {
	b, err := create(name)
	if err != nil {
		return nil, err
	}
	_, err = b.CreateBucket(floorName)
	return b, err
}

// rows is the way to the file's rows under one transaction: every value is
// copied out of the mapped file and its checksum compared before anything looks
// at it. Like bbolt's transactions, it is for one goroutine at a time.
type rows struct {
	path    string
	btx     *bolt.Tx
	buckets [bucketCount]*bolt.Bucket
	tables  map[string]*bolt.Bucket // of bktRefs; a nil one is known to be absent
}

// bucket gives a top-level bucket. Every catalog file has all of them.
func (r *rows) bucket(id bucketID) (*bolt.Bucket, error) {
	if r.btx == nil {
		return nil, ErrClosed
	}
	if r.buckets[id] != nil {
		return r.buckets[id], nil
	}
	name := bucketNames[id]
	err := protect(r.path, name, nil, func() { r.buckets[id] = r.btx.Bucket([]byte(name)) })
	if err == nil && r.buckets[id] == nil {
		err = &CorruptError{File: r.path, Bucket: name, Reason: "the bucket is missing"}
	}
	return r.buckets[id], err
}

// refBucket gives the bucket of a table's references, nil when it has none.
func (r *rows) refBucket(table string) (*bolt.Bucket, error) {
	if b, ok := r.tables[table]; ok {
		return b, nil
	}
	refs, err := r.bucket(bktRefs)
	if err != nil || table == "" {
		return nil, err
	}
	var b *bolt.Bucket
	if err := protect(r.path, bucketNames[bktRefs], []byte(table), func() { b = refs.Bucket([]byte(table)) }); err != nil {
		return nil, err
	}
	if r.tables == nil {
		r.tables = map[string]*bolt.Bucket{}
	}
	r.tables[table] = b
	return b, nil
}

// get gives a row's body: a copy. ok is false when there is no such row.
func (r *rows) get(id bucketID, key []byte) (body []byte, ok bool, err error) {
	b, err := r.bucket(id)
	if err != nil {
		return nil, false, err
	}
	var value []byte
	if err := protect(r.path, bucketNames[id], key, func() {
		if v := b.Get(key); v != nil {
			ok = true
			if len(v) <= maxRowValue {
				value = bytes.Clone(v)
			}
		}
	}); err != nil {
		return nil, false, err
	}
	if !ok {
		return nil, false, r.absent(id, b, key)
	}
	body, err = openSealed(key, value)
	if err != nil {
		return nil, false, r.damage(id, key, err)
	}
	return body, true, nil
}

// absent makes sure that a row was not merely overlooked. See cursor.seek.
func (r *rows) absent(id bucketID, b *bolt.Bucket, key []byte) error {
	c, err := r.scan(id, b)
	if err != nil {
		return err
	}
	if ok, err := c.seek(key); err != nil || !ok || !bytes.Equal(c.key, key) {
		return err
	}
	return r.damage(id, key, errors.New("the row is found by one way and not by another"))
}

// damage is the error of a row that makes no sense.
func (r *rows) damage(id bucketID, key []byte, err error) error {
	var c *CorruptError
	if errors.As(err, &c) {
		return err
	}
	return &CorruptError{File: r.path, Bucket: bucketNames[id], Key: bytes.Clone(key), Reason: err.Error()}
}

// cursor walks the rows of a bucket. key and body are the cursor's memory. With
// keep unset they are valid until the next step; with keep set they stay valid
// for good, cut from slabs.
//
// bbolt's pages have no checksum, so a key that rotted misleads its binary
// search, and rows would be left out in silence. It misleads it to a place
// beside itself, though: the search ends between a row it took for smaller and
// one it took for larger, and the rotten key is one of the two, or in a branch
// page, which shows in the two being out of order. So a search checks both
// neighbours of the place it ended at, and every step checks that keys rise.
type cursor struct {
	r    *rows
	id   bucketID // for errors
	c    *bolt.Cursor
	keep bool

	key, body []byte
	slab      []byte
	last      []byte // key of the row before, to see that they are in order
	started   bool   // key is that of a row
}

// Slabs begin small, since most look-ups find little, and double.
const (
	minSlab = 1 << 10
	maxSlab = 64 << 10
)

var errOrder = errors.New("rows out of order")

// scan makes a cursor over b, which may be nil: then it has no rows.
func (r *rows) scan(id bucketID, b *bolt.Bucket) (*cursor, error) {
	c := &cursor{r: r, id: id}
	if b == nil {
		return c, nil
	}
	return c, protect(r.path, bucketNames[id], nil, func() { c.c = b.Cursor() })
}

func (r *rows) scanBucket(id bucketID) (*cursor, error) {
	b, err := r.bucket(id)
	if err != nil {
		return nil, err
	}
	return r.scan(id, b)
}

// seek goes to the first row whose key is at or above key; ok is false when
// there is none.
func (c *cursor) seek(key []byte) (ok bool, err error) {
	c.started = false
	var neighbour error
	ok, err = c.step(func() (k, v []byte) {
		k, v = c.before(key)
		switch {
		case k == nil:
			k, v = c.first()
		case bytes.Compare(k, key) >= 0:
			neighbour = c.r.damage(c.id, k, errOrder)
		default:
			if _, err := openSealed(k, v); err != nil {
				neighbour = c.r.damage(c.id, k, err)
			}
			k, v = c.c.Next()
		}
		if k != nil && bytes.Compare(k, key) < 0 && neighbour == nil {
			neighbour = c.r.damage(c.id, k, errOrder)
		}
		return k, v
	})
	if err == nil {
		err = neighbour
	}
	return ok && err == nil, err
}

// seekBelow goes to the last row whose key is below key; nil means the end.
func (c *cursor) seekBelow(key []byte) (ok bool, err error) {
	c.started = false
	var neighbour error
	ok, err = c.step(func() (k, v []byte) {
		if key == nil {
			return aboveFloor(c.c.Last())
		}
		if k, v = c.c.Seek(key); k != nil {
			if _, err := openSealed(k, v); err != nil {
				neighbour = c.r.damage(c.id, k, err)
			} else if bytes.Compare(k, key) < 0 {
				neighbour = c.r.damage(c.id, k, errOrder)
			}
		}
		k, v = c.before(key)
		if k != nil && bytes.Compare(k, key) >= 0 && neighbour == nil {
			neighbour = c.r.damage(c.id, k, errOrder)
		}
		return k, v
	})
	if err == nil {
		err = neighbour
	}
	return ok && err == nil, err
}

// before moves bbolt's cursor to the row before the place where key is or would be.
func (c *cursor) before(key []byte) (k, v []byte) {
	if k, _ := c.c.Seek(key); k == nil {
		return aboveFloor(c.c.Last())
	}
	return aboveFloor(c.c.Prev())
}

// first moves bbolt's cursor to the first row.
func (c *cursor) first() (k, v []byte) {
	if k, v = c.c.First(); isFloor(k, v) {
		return c.c.Next()
	}
	return k, v
}

// next goes to the row after this one.
func (c *cursor) next() (ok bool, err error) { return c.onwards(c.c.Next, 1) }

// prev goes to the row before this one.
func (c *cursor) prev() (ok bool, err error) {
	return c.onwards(func() ([]byte, []byte) { return aboveFloor(c.c.Prev()) }, -1)
}

func (c *cursor) onwards(move func() (k, v []byte), direction int) (ok bool, err error) {
	compare := c.started
	ok, err = c.step(move)
	if ok && compare && bytes.Compare(c.key, c.last) != direction {
		return false, c.r.damage(c.id, c.key, errOrder)
	}
	return ok, err
}

func (c *cursor) step(move func() (k, v []byte)) (ok bool, err error) {
	if c.c == nil {
		return false, nil
	}
	if c.r.btx == nil {
		return false, ErrClosed
	}
	if c.started {
		c.last = append(c.last[:0], c.key...)
	}
	var value []byte
	err = protect(c.r.path, bucketNames[c.id], c.key, func() {
		k, v := move()
		if k == nil {
			return
		}
		ok = true
		if len(k) > maxRowKey || len(v) > maxRowValue {
			k, v = k[:min(len(k), maxRowKey)], nil // which openSealed refuses
		}
		need := len(k) + len(v)
		switch {
		case !c.keep:
			c.slab = c.slab[:0]
		case cap(c.slab)-len(c.slab) < need:
			c.slab = make([]byte, 0, max(minSlab, min(2*cap(c.slab), maxSlab), need))
		}
		from := len(c.slab)
		c.slab = append(append(c.slab, k...), v...)
		c.key = c.slab[from : from+len(k) : from+len(k)]
		value = c.slab[from+len(k) : len(c.slab) : len(c.slab)]
	})
	if err != nil || !ok {
		return false, err
	}
	c.body, err = openSealed(c.key, value)
	if c.started = err == nil; !c.started {
		return false, c.r.damage(c.id, c.key, err)
	}
	return true, nil
}

// drop gives the memory of the row back that was read last, for a caller that
// does not keep it after all.
func (c *cursor) drop() { c.slab = c.slab[:len(c.slab)-len(c.key)-crcSize-len(c.body)] }

// each calls fn for the rows of a bucket whose keys begin with prefix, in key
// order. The slices are valid until fn returns.
func (r *rows) each(id bucketID, prefix []byte, fn func(key, body []byte) error) error {
	c, err := r.scanBucket(id)
	if err != nil {
		return err
	}
	for ok, err := c.seek(prefix); ; ok, err = c.next() {
		if err != nil || !ok || !bytes.HasPrefix(c.key, prefix) {
			return err
		}
		if err := fn(c.key, c.body); err != nil {
			return err
		}
	}
}
