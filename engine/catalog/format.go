package catalog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/firndb/firn/engine/hot"
)

// The catalog is one bbolt file. Every number within a key is big endian, so
// that keys sort by it; names in keys are written by hot.AppendKeyName. Within
// values, u is an unsigned varint, v a zigzag varint, "text" u bytes and then
// so many, f a fingerprint of 32 bytes.
//
//	bucket       key                      body of the value
//	meta         "format"                 u version of this format
//	             "state"                  text store, text writer, u epoch, u next id, u log next, u archived seq,
//	                                      u next file id, then for each bucket below but refs, in this order, u number of rows
//	generations  id 8                     state 1, v created
//	retired      id 8                     (nothing)
//	jobs         run 8                    text kind, v started, u n, n x u generation
//	tables       table                    text codec, text partition, text time field, u accepted, cold, erased, expired, lost
//	versions     name table, version 8    f schema, v created
//	schemas      f                        text table, u version, v created, text text, text tree
//	files        file 8                   see FileRow.append
//	keys         object key               u file                (files in key order)
//	bytable      name table, file 8       (nothing)
//	staged       run 8, file 8            (nothing)
//	dead         dead from 8, file 8      (nothing)
//	refs         a bucket a table; in it: name dataset, day 4, ms 4, file 6, part 2 → packed references, see refs.go
//	lists        file 8, number 4         keys of the file's references, see refs.go
//
// Every value has a checksum of its own, because bbolt has none over what a
// page holds:
//
//	+---------------+------+
//	| CRC-32C 4, LE | body |        the CRC is over key, then body
//	+---------------+------+
//
// bbolt's pages have no checksum of their own, so a flipped bit in one can hide
// rows that are whole. The numbers of rows in "state", the totals in the rows of
// files, and the lists of their references tell.
//
// Every bucket also holds an empty bucket named 00, below all of its rows; it has
// a use but no meaning, see floorName.
//
// The row "format" is read before anything else and must be known. The file
// grows under a temporary name until its buckets and both rows of meta are
// there, so a file of the right name always has them.
const formatVersion = 1

const crcSize = 4

// What one row may take: bbolt's own limit of a key, and a schema with its tree,
// the largest row there is. A page that claims more is damaged.
const (
	maxRowKey   = 32 << 10
	maxRowValue = 2*MaxSchemaBytes + 4<<10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// bucketID is the index of a top-level bucket in bucketNames.
type bucketID int

const (
	bktMeta bucketID = iota
	bktGenerations
	bktRetired
	bktJobs
	bktTables
	bktVersions
	bktSchemas
	bktFiles
	bktKeys
	bktByTable
	bktStaged
	bktDead
	bktRefs
	bktLists
	bucketCount
)

var bucketNames = [bucketCount]string{"meta", "generations", "retired", "jobs", "tables", "versions", "schemas", "files",
	"keys", "bytable", "staged", "dead", "refs", "lists"}

// counted reports whether "state" keeps the number of the bucket's rows.
func (id bucketID) counted() bool { return id != bktMeta && id != bktRefs }

var (
	keyFormat = []byte("format")
	keyState  = []byte("state")
)

// appendSealed appends the value of a row: checksum and body.
func appendSealed(dst, key, body []byte) []byte {
	crc := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body)
	dst = binary.LittleEndian.AppendUint32(dst, crc)
	return append(dst, body...)
}

// openSealed checks a row's value and returns its body, aliasing value.
func openSealed(key, value []byte) ([]byte, error) {
	if len(value) < crcSize || len(key) > maxRowKey || len(value) > maxRowValue {
		return nil, fmt.Errorf("a key of %d bytes with a value of %d", len(key), len(value))
	}
	body := value[crcSize:]
	want := binary.LittleEndian.Uint32(value)
	if got := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body); got != want {
		return nil, fmt.Errorf("checksum is %08x, the row says %08x", got, want)
	}
	return body, nil
}

func key64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func key64x2(a, b uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(make([]byte, 0, 16), a), b)
}

// nameKey is an encoded name with room for a number behind it.
func nameKey(name string) []byte {
	return hot.AppendKeyName(make([]byte, 0, len(name)+10), name)
}

func nameKey64(name string, n uint64) []byte {
	return binary.BigEndian.AppendUint64(nameKey(name), n)
}

// cut64 reads the number a key ends with.
func cut64(key []byte) (uint64, error) {
	if len(key) < 8 {
		return 0, errRow
	}
	return binary.BigEndian.Uint64(key[len(key)-8:]), nil
}

// exact64 reads a key that is one number.
func exact64(key []byte) (uint64, error) {
	if len(key) != 8 {
		return 0, errRow
	}
	return binary.BigEndian.Uint64(key), nil
}

// keyAfter is the smallest key above all those that begin with prefix. prefix
// must hold a byte below FF, as every encoded name does.
func keyAfter(prefix []byte) []byte {
	n := len(prefix)
	for n > 0 && prefix[n-1] == 0xFF {
		n--
	}
	out := append([]byte(nil), prefix[:n]...)
	if n > 0 {
		out[n-1]++
	}
	return out
}
