package catalog

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/engine/hot"
)

// A group is the references of one dataset and day in one file. Its key is in
// the bucket of its table:
//
//	+----------------+-------+------+--------+--------+
//	| name dataset   | day 4 | ms 4 | file 6 | part 2 |
//	+----------------+-------+------+--------+--------+
//	 day    days since 1970-01-01, sign bit flipped
//	 ms     first time of the group, milliseconds since the day began
//	 part   tells groups apart that agree in all the rest: a group is split when
//	        its value would pass maxGroup, or a transaction ends within it
//
// and its value, behind the checksum:
//
//	u number of references, then for each of them:
//	+----------+----------+-------+-----------+---------+--------------+---------------+
//	| v offset | u length | u raw | u records | v first | u last-first | CRC-32C 4, LE |
//	+----------+----------+-------+-----------+---------+--------------+---------------+
//	 offset  less the end (offset + length) of the reference before it, or less 0
//	 first   less the last time of the reference before it, or less the group's first time
//
// The file's list says which keys it has, so that collecting a file reads no
// keys but its own. A list is cut into rows of at most maxList bytes, numbered
// from 0:
//
//	u number of groups, then for each of them:
//	+----------+--------------------------+-------+------+--------+
//	| u shared | text rest of the dataset | v day | u ms | u part |
//	+----------+--------------------------+-------+------+--------+
//	 shared  bytes that the dataset has in common with that of the group before it
//	 day     less the day of the group before it, or less 0
const (
	maxGroup = 64 << 10 // bytes of a group's body
	maxList  = 4 << 10  // bytes of a list row's body, before its last group: some hundred groups, the least that is dropped at a time

	msPerDay   = 86_400_000
	maxFileID  = 1<<48 - 1
	maxPart    = 1<<16 - 1
	refKeyTail = 4 + 4 + 8 // bytes behind the dataset

	// A reference takes at least 10 bytes, at most maxRef.
	minRef = 10
	maxRef = 10 + 5 + 5 + 5 + 10 + 5 + 4
)

// RefGroup is the references of one dataset and day in one file, or one part
// of them: packed as the catalog keeps them. It owns its bytes, stays valid
// after the snapshot is closed, and is immutable: what Key names never changes.
type RefGroup struct {
	File    FileID
	Table   string
	Dataset string
	Day     int32 // days since 1970-01-01
	First   int64 // first time, ms since 1970
	Part    uint16

	key    []byte // of the row
	packed []byte // its body
	path   string // of the catalog, for errors
}

// RowKey is the group's key within its table: what RefQuery.After takes. It is
// the group's own memory, not to be modified.
func (g RefGroup) RowKey() []byte { return g.key }

// Key names the group among all groups of this catalog, for good: file ids are
// never used twice. It is what a cache of decoded references goes by.
func (g RefGroup) Key() string {
	b := make([]byte, 0, len(g.Table)+2+len(g.key))
	return string(append(hot.AppendKeyName(b, g.Table), g.key...))
}

// Blocks is the number of references in the group.
func (g RefGroup) Blocks() int {
	r := rowReader{b: g.packed}
	return r.size(maxGroup / minRef)
}

// Decode appends the group's references to dst, in the order they were staged
// in: that of the blocks in the file. Their Dataset is the group's own string.
// Bytes that are no references give a *CorruptError.
func (g RefGroup) Decode(dst []blockfile.Ref) ([]blockfile.Ref, error) {
	out, err := unpackRefs(dst, g.packed, g.Dataset, g.Day, g.First)
	if err != nil {
		return dst, &CorruptError{File: g.path, Bucket: bucketNames[bktRefs], Key: g.key, Reason: err.Error()}
	}
	return out, nil
}

// checkRef refuses what the format cannot hold.
func checkRef(ref *blockfile.Ref) error {
	if err := ref.Validate(); err != nil {
		return limitErrorf("%v", err)
	}
	return nil
}

// packRefs appends the body of a group whose first time is first.
func packRefs(dst []byte, refs []blockfile.Ref, first int64) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(refs)))
	end, last := int64(0), first
	for i := range refs {
		r := &refs[i]
		dst = binary.AppendVarint(dst, r.Offset-end)
		dst = binary.AppendUvarint(dst, uint64(r.Length))
		dst = binary.AppendUvarint(dst, uint64(r.RawLength))
		dst = binary.AppendUvarint(dst, uint64(r.Records))
		dst = binary.AppendVarint(dst, r.First-last)
		dst = binary.AppendUvarint(dst, uint64(r.Last-r.First))
		dst = binary.LittleEndian.AppendUint32(dst, r.CRC)
		end, last = r.Offset+int64(r.Length), r.Last
	}
	return dst
}

func unpackRefs(dst []blockfile.Ref, b []byte, dataset string, day int32, first int64) ([]blockfile.Ref, error) {
	const max32 = 1<<32 - 1
	r := rowReader{b: b}
	n := r.size(len(b) / minRef)
	if r.err == nil && n == 0 {
		return dst, errRow
	}
	dst = slices.Grow(dst, n)
	end, last := int64(0), first
	for range n {
		offset, length, raw, records := r.varint(), r.uvarint(), r.uvarint(), r.uvarint()
		gap, span, crc := r.varint(), r.uvarint(), r.uint32()
		if length > max32 || raw > max32 || records > max32 || span >= msPerDay || gap <= -2*msPerDay || gap >= 2*msPerDay {
			r.fail()
		}
		if r.err != nil {
			return dst, r.err
		}
		ref := blockfile.Ref{Dataset: dataset, Day: day, Offset: end + offset, Length: uint32(length), RawLength: uint32(raw),
			Records: uint32(records), First: last + gap, Last: last + gap + int64(span), CRC: crc}
		// What could not be staged is damage here too: the same rule on both sides.
		if err := checkRef(&ref); err != nil {
			return dst, err
		}
		end, last = ref.Offset+int64(ref.Length), ref.Last
		dst = append(dst, ref)
	}
	return dst, r.end()
}

// appendRefKey appends the key of a group.
func appendRefKey(dst []byte, dataset string, day int32, first int64, file FileID, part uint16) []byte {
	dst = hot.AppendKeyName(dst, dataset)
	dst = hot.AppendKeyDay(dst, day)
	dst = binary.BigEndian.AppendUint32(dst, uint32(first-blockfile.DayStart(day)))
	return binary.BigEndian.AppendUint64(dst, uint64(file)<<16|uint64(part))
}

// refKeyParts are the parts of a group's key behind the dataset.
type refKeyParts struct {
	day   int32
	first int64
	file  FileID
	part  uint16
}

// splitRefKey separates the encoded dataset from what follows it.
func splitRefKey(key []byte) (name []byte, parts refKeyParts, err error) {
	if len(key) < refKeyTail+2 {
		return nil, refKeyParts{}, errRow
	}
	name, tail := key[:len(key)-refKeyTail], key[len(key)-refKeyTail:]
	day, tail, err := hot.CutKeyDay(tail)
	if err != nil {
		return nil, refKeyParts{}, errRow
	}
	ms := binary.BigEndian.Uint32(tail)
	if ms >= msPerDay {
		return nil, refKeyParts{}, errRow
	}
	id := binary.BigEndian.Uint64(tail[4:])
	return name, refKeyParts{day: day, first: blockfile.DayStart(day) + int64(ms), file: FileID(id >> 16), part: uint16(id)}, nil
}

// cutDataset reads the name an encoded dataset stands for.
func cutDataset(name []byte) (string, error) {
	dataset, rest, err := hot.CutKeyName(name)
	if err != nil || len(rest) > 0 {
		return "", errRow
	}
	return dataset, nil
}

// listWriter packs the keys of a file's groups into a list row.
type listWriter struct {
	n       int
	body    []byte
	dataset string
	day     int32
}

func (w *listWriter) add(dataset string, day int32, first int64, part uint16) {
	shared := 0
	for shared < min(len(dataset), len(w.dataset)) && dataset[shared] == w.dataset[shared] {
		shared++
	}
	w.body = binary.AppendUvarint(w.body, uint64(shared))
	w.body = appendText(w.body, dataset[shared:])
	w.body = binary.AppendVarint(w.body, int64(day)-int64(w.day))
	w.body = binary.AppendUvarint(w.body, uint64(first-blockfile.DayStart(day)))
	w.body = binary.AppendUvarint(w.body, uint64(part))
	w.n, w.dataset, w.day = w.n+1, dataset, day
}

func (w *listWriter) full() bool { return len(w.body) >= maxList }

// take returns the row's body and makes the writer ready for the next row.
func (w *listWriter) take() []byte {
	body := append(binary.AppendUvarint(nil, uint64(w.n)), w.body...)
	*w = listWriter{body: w.body[:0]}
	return body
}

// walkList calls fn for each key of a list row. The key is valid until fn returns.
func walkList(b []byte, file FileID, fn func(key []byte) error) error {
	r := rowReader{b: b}
	var dataset, key []byte
	var day int64
	for range r.list() {
		shared := r.size(len(dataset))
		rest := r.bytes(blockfile.MaxDatasetBytes)
		day += r.varint()
		ms, part := r.uvarint(), r.uvarint()
		if ms >= msPerDay || part > maxPart || day != int64(int32(day)) {
			r.fail()
		}
		if r.err != nil {
			return r.err
		}
		dataset = append(dataset[:shared], rest...)
		key = appendRefKey(key[:0], string(dataset), int32(day), blockfile.DayStart(int32(day))+int64(ms), file, uint16(part))
		if err := fn(key); err != nil {
			return err
		}
	}
	return r.end()
}

// groupEnd returns how many of refs, from the first on, make one group: those
// of its dataset and day, as many as surely fit a value.
func groupEnd(refs []blockfile.Ref) int {
	const fit = (maxGroup - binary.MaxVarintLen64) / maxRef
	n := 1
	for n < len(refs) && n < fit && refs[n].Day == refs[0].Day && refs[n].Dataset == refs[0].Dataset {
		n++
	}
	return n
}

// belongs reports whether an entry of a table's bucket is of the dataset whose
// encoded name is prefix.
func belongs(key, prefix []byte) bool { return bytes.HasPrefix(key, prefix) }
