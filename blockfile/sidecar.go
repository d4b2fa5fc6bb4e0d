package blockfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/container"
)

// A sidecar is an Avro Object Container File of its own: its rows say what
// lies where in one block file, its header the rest.
//
//	+--------------------------------------------------------------+
//	| header                                                       |
//	|   avro.codec      "deflate"                                  |
//	|   avro.schema     sidecarSchema                              |
//	|   firn.sidecar    "1"                                        |
//	|   firn.table      name of the table                          |
//	|   firn.family     id of the family, 64 hex digits            |
//	|   firn.schema     the family's schema, byte for byte         |
//	|   firn.codec      codec of the block file                    |
//	|   firn.marker     "0", or which next marker                  |
//	|   firn.size       bytes of the block file                    |
//	|   firn.crc32c     CRC-32C of the block file, 8 hex digits    |
//	|   firn.records    records in the block file                  |
//	|   firn.blocks     blocks in it = rows of the sidecar         |
//	|   firn.raw        bytes of the blocks, decompressed          |
//	|   firn.first      earliest time, ms since 1970               |
//	|   firn.last       latest time, ms since 1970                 |
//	|   firn.first_seq  sequence range of the records              |
//	|   firn.last_seq                                              |
//	|   firn.lineage    ids of the runs whose records these are,   |
//	|                   16 hex digits each, commas between them    |
//	|   sync marker     first 16 bytes of SHA-256("firn sidecar"   |
//	|                   + the entries above)                       |
//	+--------------------------------------------------------------+
//	| blocks of rows, sidecarBlockBytes or a little more each      |
//	|   dataset_id string, date int, offset long, length long,     |
//	|   raw_length long, records long, first long, last long,      |
//	|   crc32c long                                                |
//	+--------------------------------------------------------------+
//
// The entries come in this order, numbers are decimal. Rows are in the order
// of the blocks in the file, and leave out no byte of it: the first block
// begins behind the block file's header, each further one where the one before
// it ends, the last one ends with the file.

const sidecarSchema = `{"type":"record","name":"block_reference","namespace":"firn","fields":[` +
	`{"name":"dataset_id","type":"string"},` +
	`{"name":"date","type":{"type":"int","logicalType":"date"}},` +
	`{"name":"offset","type":"long"},` +
	`{"name":"length","type":"long"},` +
	`{"name":"raw_length","type":"long"},` +
	`{"name":"records","type":"long"},` +
	`{"name":"first","type":{"type":"long","logicalType":"timestamp-millis"}},` +
	`{"name":"last","type":{"type":"long","logicalType":"timestamp-millis"}},` +
	`{"name":"crc32c","type":"long"}]}`

// Metadata keys of sidecars, besides those of block files.
const (
	keySidecar  = "firn.sidecar"
	keySchema   = "firn.schema"
	keyCodec    = "firn.codec"
	keySize     = "firn.size"
	keyCRC      = "firn.crc32c"
	keyRecords  = "firn.records"
	keyBlocks   = "firn.blocks"
	keyRaw      = "firn.raw"
	keyFirst    = "firn.first"
	keyLast     = "firn.last"
	keyFirstSeq = "firn.first_seq"
	keyLastSeq  = "firn.last_seq"
	keyLineage  = "firn.lineage"
)

const (
	// MaxLineage bounds the runs that one file names, so that the header stays
	// below what container readers take.
	MaxLineage = 1 << 16
	// sidecarBlockBytes is where a block of rows ends: small enough to be read
	// in little memory, large enough to compress well.
	sidecarBlockBytes = 64 << 10
	// maxRowBytes bounds one row: the dataset with its length, and eight
	// numbers.
	maxRowBytes = binary.MaxVarintLen64 + MaxDatasetBytes + 8*binary.MaxVarintLen64
	// maxSidecarRaw is the most raw bytes that a block of rows has.
	maxSidecarRaw = sidecarBlockBytes + maxRowBytes
)

// SidecarInfo is what a sidecar says about its block file besides the rows.
type SidecarInfo struct {
	FamilyID [32]byte // Family.ID; see Family
	Table    string
	Schema   []byte
	Codec    string
	Marker   uint32

	FileSize int64  // bytes of the block file
	FileCRC  uint32 // CRC-32C of the block file
	Records  uint64
	Blocks   uint64
	RawBytes int64 // of all blocks, decompressed
	First    int64 // earliest time, ms since 1970; 0 without blocks
	Last     int64 // latest time, ms since 1970; 0 without blocks

	FirstSeq uint64   // sequence numbers of the records, both ends included
	LastSeq  uint64   //
	Lineage  []string // texts of the RunIDs whose records these are, oldest first
}

// Sidecar begins the description of a file of family f that a Writer closed
// with summary s. Sequence range and lineage are left to the caller.
func (f Family) Sidecar(s Summary) SidecarInfo {
	return SidecarInfo{
		FamilyID: f.ID(), Table: f.Table, Schema: f.Schema, Codec: f.Codec, Marker: f.Marker,
		FileSize: s.Size, FileCRC: s.CRC, Records: s.Records, Blocks: s.Blocks,
		RawBytes: s.RawBytes, First: s.First, Last: s.Last,
	}
}

// Family is the family of the described file, in the store with this salt. A
// description whose table, schema, codec and marker do not give its FamilyID
// is of another store, or damaged; it is an error that wraps ErrCorrupt.
func (info *SidecarInfo) Family(salt [16]byte) (Family, error) {
	f := Family{Salt: salt, Table: info.Table, Schema: info.Schema, Codec: info.Codec, Marker: info.Marker}
	if f.ID() != info.FamilyID {
		return Family{}, corruptf(0, "the header's family is not that of this store's table, schema and codec")
	}
	return f, nil
}

// Header is the header of the block file that the sidecar describes.
func (info *SidecarInfo) Header() []byte {
	return appendHeader(nil, info.FamilyID, info.Table, info.Schema, info.Codec, info.Marker)
}

// Frame is what reading a block of the described file takes.
func (info *SidecarInfo) Frame() Frame { return Frame{Codec: info.Codec, Sync: syncOf(info.FamilyID)} }

// Validate reports what in the description cannot be, or nil.
func (info *SidecarInfo) Validate() error {
	f := Family{Table: info.Table, Schema: info.Schema, Codec: info.Codec, Marker: info.Marker}
	if err := f.Validate(); err != nil {
		return err
	}
	switch {
	case info.FileSize < 0 || info.FileSize > MaxFileBytes:
		return fmt.Errorf("sidecar: block file of %d bytes", info.FileSize)
	case info.RawBytes < 0:
		return fmt.Errorf("sidecar: %d raw bytes", info.RawBytes)
	case info.First > info.Last:
		return fmt.Errorf("sidecar: first time %d after last time %d", info.First, info.Last)
	case info.FirstSeq > info.LastSeq:
		return fmt.Errorf("sidecar: first sequence number %d after last %d", info.FirstSeq, info.LastSeq)
	case len(info.Lineage) > MaxLineage:
		return fmt.Errorf("sidecar: lineage of %d runs, at most %d are allowed", len(info.Lineage), MaxLineage)
	}
	for _, id := range info.Lineage {
		if _, err := ParseRunID(id); err != nil {
			return fmt.Errorf("sidecar: lineage: %w", err)
		}
	}
	return nil
}

// meta is the header's entries.
func (info *SidecarInfo) meta() []container.Meta {
	num := func(key string, n int64) container.Meta {
		return container.Meta{Key: key, Value: strconv.AppendInt(nil, n, 10)}
	}
	unsigned := func(key string, n uint64) container.Meta {
		return container.Meta{Key: key, Value: strconv.AppendUint(nil, n, 10)}
	}
	return []container.Meta{
		{Key: container.CodecKey, Value: []byte(codec.Deflate)},
		{Key: container.SchemaKey, Value: []byte(sidecarSchema)},
		num(keySidecar, FormatVersion),
		{Key: keyTable, Value: []byte(info.Table)},
		{Key: keyFamily, Value: hex.AppendEncode(nil, info.FamilyID[:])},
		{Key: keySchema, Value: info.Schema},
		{Key: keyCodec, Value: []byte(info.Codec)},
		unsigned(keyMarker, uint64(info.Marker)),
		num(keySize, info.FileSize),
		{Key: keyCRC, Value: fmt.Appendf(nil, "%08x", info.FileCRC)},
		unsigned(keyRecords, info.Records),
		unsigned(keyBlocks, info.Blocks),
		num(keyRaw, info.RawBytes),
		num(keyFirst, info.First),
		num(keyLast, info.Last),
		unsigned(keyFirstSeq, info.FirstSeq),
		unsigned(keyLastSeq, info.LastSeq),
		{Key: keyLineage, Value: []byte(strings.Join(info.Lineage, ","))},
	}
}

// sidecarHeader is a function of the description alone. Its marker has no
// secret: sidecars are read by their lengths, and only a reader that looks for
// markers from the middle could be misled by rows that contain it.
func sidecarHeader(meta []container.Meta) (header []byte, sync [16]byte) {
	bare := container.AppendHeader([]byte("firn sidecar"), meta, sync)
	sum := sha256.Sum256(bare[:len(bare)-len(sync)])
	sync = [16]byte(sum[:])
	return container.AppendHeader(nil, meta, sync), sync
}

// SidecarSummary is what was written of a sidecar.
type SidecarSummary struct {
	Size int64  // bytes
	CRC  uint32 // CRC-32C of all bytes
}

// WriteSidecar writes the sidecar of the block file that info describes to w.
// refs are the references of the file's blocks in file order; they are taken
// one at a time, so that memory does not grow with the file. References that
// do not fit info, or one another, are an error: what was written is then no
// sidecar.
func WriteSidecar(w io.Writer, info SidecarInfo, refs iter.Seq[Ref]) (SidecarSummary, error) {
	if err := info.Validate(); err != nil {
		return SidecarSummary{}, err
	}
	compressor, err := codec.NewCompressor(codec.Deflate)
	if err != nil {
		return SidecarSummary{}, err
	}
	out := &summingWriter{w: w}
	header, sync := sidecarHeader(info.meta())
	if _, err := out.Write(header); err != nil {
		return SidecarSummary{}, fmt.Errorf("sidecar: %w", err)
	}
	var raw, comp, block []byte
	var rows int64
	flush := func() error {
		if rows == 0 {
			return nil
		}
		if comp, err = compressor.Append(comp[:0], raw); err != nil {
			return fmt.Errorf("sidecar: compress: %w", err)
		}
		block = container.AppendBlock(block[:0], rows, comp, sync)
		raw, rows = raw[:0], 0
		if _, err := out.Write(block); err != nil {
			return fmt.Errorf("sidecar: %w", err)
		}
		return nil
	}
	check := newRowCheck(&info)
	for ref := range refs {
		if err := check.add(ref); err != nil {
			return SidecarSummary{}, err
		}
		raw = appendRow(raw, ref)
		rows++
		if len(raw) >= sidecarBlockBytes {
			if err := flush(); err != nil {
				return SidecarSummary{}, err
			}
		}
	}
	if err := check.end(); err != nil {
		return SidecarSummary{}, err
	}
	if err := flush(); err != nil {
		return SidecarSummary{}, err
	}
	return out.sum, nil
}

// summingWriter keeps size and checksum of what goes through.
type summingWriter struct {
	w   io.Writer
	sum SidecarSummary
}

func (s *summingWriter) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	s.sum.Size += int64(n)
	s.sum.CRC = crc32.Update(s.sum.CRC, castagnoli, p[:n])
	return n, err
}

// appendRow appends a reference as a row of sidecarSchema.
func appendRow(dst []byte, r Ref) []byte {
	dst = binary.AppendVarint(dst, int64(len(r.Dataset)))
	dst = append(dst, r.Dataset...)
	for _, n := range [...]int64{
		int64(r.Day), r.Offset, int64(r.Length), int64(r.RawLength), int64(r.Records), r.First, r.Last, int64(r.CRC),
	} {
		dst = binary.AppendVarint(dst, n)
	}
	return dst
}

// parseRow reads one row at the start of b, n bytes of it. Its errors say only
// what is wrong.
func parseRow(b []byte) (r Ref, n int, err error) {
	size, n := binary.Varint(b)
	if n <= 0 || size < 0 || size > MaxDatasetBytes || size > int64(len(b)-n) {
		return Ref{}, 0, fmt.Errorf("no dataset name")
	}
	r.Dataset = string(b[n : n+int(size)])
	n += int(size)
	var v [8]int64
	for i := range v {
		var k int
		if v[i], k = binary.Varint(b[n:]); k <= 0 {
			return Ref{}, 0, fmt.Errorf("no number")
		}
		n += k
	}
	for i, most := range [...]int64{0: MaxDay, 2: math.MaxUint32, 3: math.MaxUint32, 4: math.MaxUint32, 7: math.MaxUint32} {
		least := int64(0)
		switch i {
		case 0:
			least = MinDay
		case 1, 5, 6:
			continue // offset and times have 64 bits
		}
		if v[i] < least || v[i] > most {
			return Ref{}, 0, fmt.Errorf("number %d of a row is %d", i, v[i])
		}
	}
	r.Day, r.Offset, r.Length, r.RawLength = int32(v[0]), v[1], uint32(v[2]), uint32(v[3])
	r.Records, r.First, r.Last, r.CRC = uint32(v[4]), v[5], v[6], uint32(v[7])
	return r, n, nil
}

// rowCheck holds references against the description of their file, both when
// a sidecar is written and when it is read.
type rowCheck struct {
	info *SidecarInfo
	next int64 // where the next block must begin
	seen Summary
}

func newRowCheck(info *SidecarInfo) *rowCheck {
	return &rowCheck{info: info, next: int64(len(info.Header()))}
}

func (c *rowCheck) add(r Ref) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if r.Offset != c.next {
		return fmt.Errorf("block reference: block at %d, the one before it ends at %d", r.Offset, c.next)
	}
	if c.seen.Blocks == 0 {
		c.seen.First, c.seen.Last = r.First, r.Last
	}
	c.next = r.End()
	c.seen.Blocks++
	c.seen.Records += uint64(r.Records)
	c.seen.RawBytes += int64(r.RawLength)
	c.seen.First, c.seen.Last = min(c.seen.First, r.First), max(c.seen.Last, r.Last)
	if c.next > c.info.FileSize {
		return fmt.Errorf("block reference: block ends at %d, the file at %d", c.next, c.info.FileSize)
	}
	return nil
}

func (c *rowCheck) end() error {
	want := Summary{
		Size: c.info.FileSize, Blocks: c.info.Blocks, Records: c.info.Records, RawBytes: c.info.RawBytes,
		First: c.info.First, Last: c.info.Last,
	}
	c.seen.Size = c.next
	if c.seen != want {
		return fmt.Errorf("sidecar: the rows sum up to %+v, the header says %+v", c.seen, want)
	}
	return nil
}

// sameHeader reports whether a header that was read is exactly the one that
// info gives.
func (info *SidecarInfo) sameHeader(h *container.Header) bool {
	want, _ := sidecarHeader(info.meta())
	return h.Size == int64(len(want)) && bytes.Equal(want, container.AppendHeader(nil, h.Meta, h.Sync))
}
