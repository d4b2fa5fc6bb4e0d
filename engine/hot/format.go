package hot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/klauspost/compress/s2"
)

// A generation is a bbolt file with these buckets. Parts of keys are drawn in
// key.go; every value carries a CRC-32C over its key and itself, because bbolt
// checks none of its pages but the first two.
//
//	bucket   key                                   value
//	meta     "format"                              formatText
//	         "state"                               state row
//	         "begun"                               run whose Apply needs several commits, 8 bytes little endian
//	chunks   table | day | dataset | run | number  chunk
//	series   table | dataset                       series row
//	tables   table                                 table row
//	trees    table                                 CRC-32C of key and bytes, then the bytes as given
//
// run is 8 bytes, number 4 bytes, both big endian. Number counts the chunks that
// one run has for one table, day and dataset, in order of (time, seq), so a cursor
// meets the records of a run in the order in which they are read.
const formatText = "firn hot 1\n"

const (
	chunkVersion = 1

	codecPlain = 0 // the body as it is
	codecS2    = 1 // an S2 block

	chunkHeaderLen = 56
	chunkKeyTail   = 12 // run and number

	// MaxRecordBytes is the largest record a generation takes. Above it one
	// record would be a tenth of the memory a default installation uses; below
	// the default limit of a record (8 MiB) nothing would be gained.
	MaxRecordBytes = 64 << 20
	// maxChunkRecords bounds what a chunk's columns cost beside its JSON.
	maxChunkRecords = 1 << 16
	// maxChunkBody bounds what a chunk may claim to unpack to: one largest
	// record and the longest columns.
	maxChunkBody = MaxRecordBytes + maxChunkRecords*maxColumnBytes
	// maxColumnBytes is the most that time, number and length of a record take.
	maxColumnBytes = 2*binary.MaxVarintLen64 + binary.MaxVarintLen32
	// minColumnBytes is the least, with which a count is checked against a body.
	minColumnBytes = 3
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A chunk is many records of one table, dataset and UTC day, sorted by (time, seq).
//
//	 0      1      2          4         8          12           16
//	+------+------+----------+---------+----------+------------+
//	| ver. | codec| 0    0   | records | JSON     | body bytes |
//	+------+------+----------+---------+----------+------------+
//	 16           24          32                  40           48
//	+------------+-----------+-------------------+-------------+
//	| first time | last time | seq of the first  | highest seq |
//	+------------+-----------+-------------------+-------------+
//	 48                  52                    56
//	+-------------------+---------------------+--------------------+
//	| CRC-32C of stored | CRC-32C of the key, | stored: body, or   |
//	| (bytes 56 to end) | then of bytes 0..51 | the S2 block of it |
//	+-------------------+---------------------+--------------------+
//
// All integers are little endian; times are signed milliseconds. JSON and body
// bytes are lengths after unpacking. The second CRC makes a chunk's header
// trustworthy without reading the chunk, and ties it to its key. The body is
//
//	records × uvarint  time less the time before (the first: less first time)
//	records × varint   seq less the seq before (the first: less seq of the first)
//	records × uvarint  length of the JSON
//	JSON of all records
type chunkHeader struct {
	codec     byte
	records   uint32
	raw       uint32 // bytes of JSON
	body      uint32
	first     int64
	last      int64
	firstSeq  uint64
	lastSeq   uint64
	storedCRC uint32
}

// append writes the header for a key, which the second CRC covers.
func (h *chunkHeader) append(dst, key []byte) []byte {
	at := len(dst)
	dst = append(dst, chunkVersion, h.codec, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, h.records)
	dst = binary.LittleEndian.AppendUint32(dst, h.raw)
	dst = binary.LittleEndian.AppendUint32(dst, h.body)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.first))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.last))
	dst = binary.LittleEndian.AppendUint64(dst, h.firstSeq)
	dst = binary.LittleEndian.AppendUint64(dst, h.lastSeq)
	dst = binary.LittleEndian.AppendUint32(dst, h.storedCRC)
	return binary.LittleEndian.AppendUint32(dst, keyedCRC(key, dst[at:]))
}

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// keyedCRC is the CRC-32C of a key followed by a value.
func keyedCRC(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

var (
	errChunkShort   = errors.New("shorter than its header")
	errChunkHeader  = errors.New("header checksum differs")
	errChunkStored  = errors.New("checksum differs")
	errChunkCounts  = errors.New("counts and lengths contradict each other")
	errChunkColumns = errors.New("columns contradict the header")
	errRowShort     = errors.New("row has the wrong length")
	errRowChecksum  = errors.New("row checksum differs")
)

// parseHeader reads and checks the header of the chunk under key.
func parseHeader(key, value []byte) (h chunkHeader, err error) {
	if len(value) < chunkHeaderLen {
		return h, errChunkShort
	}
	if value[0] != chunkVersion {
		return h, fmt.Errorf("chunk of version %d: %w", value[0], ErrVersion)
	}
	if keyedCRC(key, value[:52]) != binary.LittleEndian.Uint32(value[52:]) {
		return h, errChunkHeader
	}
	h = chunkHeader{
		codec:     value[1],
		records:   binary.LittleEndian.Uint32(value[4:]),
		raw:       binary.LittleEndian.Uint32(value[8:]),
		body:      binary.LittleEndian.Uint32(value[12:]),
		first:     int64(binary.LittleEndian.Uint64(value[16:])),
		last:      int64(binary.LittleEndian.Uint64(value[24:])),
		firstSeq:  binary.LittleEndian.Uint64(value[32:]),
		lastSeq:   binary.LittleEndian.Uint64(value[40:]),
		storedCRC: binary.LittleEndian.Uint32(value[48:]),
	}
	switch {
	case value[2] != 0 || value[3] != 0, h.codec > codecS2,
		h.records == 0, h.records > maxChunkRecords, h.body > maxChunkBody,
		uint64(h.body) < uint64(h.raw)+uint64(h.records)*minColumnBytes,
		h.first > h.last, h.firstSeq > h.lastSeq:
		return h, errChunkCounts
	}
	return h, nil
}

// loadChunk unpacks the chunk under key into buf, grown as needed, and appends
// its records to dst. JSON of the records aliases buf, never value.
func loadChunk(key, value, buf []byte, dst []Record) ([]Record, []byte, error) {
	h, err := parseHeader(key, value)
	if err != nil {
		return dst, buf, err
	}
	stored := value[chunkHeaderLen:]
	if crcOf(stored) != h.storedCRC {
		return dst, buf, errChunkStored
	}
	size := len(stored)
	if h.codec == codecS2 {
		if size, err = s2.DecodedLen(stored); err != nil {
			return dst, buf, err
		}
	}
	if size != int(h.body) {
		return dst, buf, errChunkCounts
	}
	buf = slices.Grow(buf[:0], size)[:size]
	if h.codec == codecS2 {
		if _, err = s2.Decode(buf, stored); err != nil {
			return dst, buf, err
		}
	} else {
		copy(buf, stored)
	}
	base := len(dst)
	dst, err = parseBody(&h, buf, dst)
	if err != nil {
		return dst[:base], buf, err
	}
	return dst, buf, nil
}

func parseBody(h *chunkHeader, body []byte, dst []Record) ([]Record, error) {
	base, n := len(dst), int(h.records)
	dst = slices.Grow(dst, n)[:base+n]
	recs := dst[base:]
	pos := 0
	t := h.first
	for i := range recs {
		d, w := binary.Uvarint(body[pos:])
		if w <= 0 {
			return dst, errChunkColumns
		}
		pos += w
		// The difference of any two times fits 64 bits without a sign.
		later := t + int64(d)
		if later < t || later > h.last {
			return dst, errChunkColumns
		}
		t = later
		recs[i].Time = t
	}
	seq := h.firstSeq
	for i := range recs {
		d, w := binary.Varint(body[pos:])
		if w <= 0 {
			return dst, errChunkColumns
		}
		pos += w
		if seq += uint64(d); seq > h.lastSeq {
			return dst, errChunkColumns
		}
		recs[i].Seq = seq
	}
	// The lengths come before the JSON they measure, which begins at a place
	// known from the end.
	json := len(body) - int(h.raw)
	for i := range recs {
		l, w := binary.Uvarint(body[pos:])
		if w <= 0 || l > uint64(len(body)-json) {
			return dst, errChunkColumns
		}
		pos += w
		recs[i].JSON = body[json : json+int(l) : json+int(l)]
		json += int(l)
	}
	if json != len(body) || pos != len(body)-int(h.raw) ||
		recs[n-1].Time != h.last || recs[0].Seq != h.firstSeq {
		return dst, errChunkColumns
	}
	return dst, nil
}

// chunkKey is table | day | dataset of a chunk, taken apart.
type chunkKey struct {
	table, dataset string
	day            int32
	run            uint64
	number         uint32
}

func appendChunkGroup(dst []byte, table string, day int32, dataset string) []byte {
	dst = AppendKeyName(dst, table)
	dst = AppendKeyDay(dst, day)
	return AppendKeyName(dst, dataset)
}

func appendChunkTail(dst []byte, run uint64, number uint32) []byte {
	dst = binary.BigEndian.AppendUint64(dst, run)
	return binary.BigEndian.AppendUint32(dst, number)
}

func cutChunkTail(tail []byte) (run uint64, number uint32, err error) {
	if len(tail) != chunkKeyTail {
		return 0, 0, errKeyShort
	}
	return binary.BigEndian.Uint64(tail), binary.BigEndian.Uint32(tail[8:]), nil
}

func parseChunkKey(key []byte) (k chunkKey, err error) {
	if k.table, key, err = CutKeyName(key); err != nil {
		return k, err
	}
	if k.day, key, err = CutKeyDay(key); err != nil {
		return k, err
	}
	if k.dataset, key, err = CutKeyName(key); err != nil {
		return k, err
	}
	k.run, k.number, err = cutChunkTail(key)
	return k, err
}
