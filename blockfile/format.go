package blockfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"strconv"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/container"
)

// A block file is an Avro Object Container File; package container draws its
// framing. What firn adds to the standard:
//
//	+--------------------------------------------------------------+
//	| header: a function of the family alone                       |
//	|   avro.codec     the family's codec                          |
//	|   avro.schema    the family's schema, byte for byte          |
//	|   firn.format    "1"                                         |
//	|   firn.family    id of the family, 64 hex digits             |
//	|   firn.marker    "0", or which next marker                   |
//	|   firn.table     name of the table                           |
//	|   sync marker    first 16 bytes of                           |
//	|                  SHA-256("firn sync marker" + id)            |
//	+--------------------------------------------------------------+
//	| block: records of one dataset, of one UTC day, by time       |  <- Ref.Offset
//	|   count, size, data, sync marker: Ref.Length bytes, all of   |
//	|   them under Ref.CRC                                         |
//	+--------------------------------------------------------------+
//	| further blocks, one right behind the other, to the end       |
//	+--------------------------------------------------------------+
//
// The entries of the header come in this order. Nothing in it says when, by
// whom or for which day the file was written: that is in the sidecar. So any
// two files of one family begin with the same bytes, and blocks can be moved
// from one to the other as bytes.
//
// The id of a family is
//
//	SHA-256("firn family 1" + salt (16)
//	        + u32 length + table + u32 length + schema + u32 length + codec
//	        + u32 marker)
//
// with big-endian numbers. All checksums are CRC-32C (Castagnoli).

// FormatVersion is the version of block files and sidecars that this package
// writes, and the only one it reads.
const FormatVersion = 1

// Limits, checked by writers and readers alike, before memory is made.
const (
	// MaxRawBytes bounds the raw bytes of one block: room for one record of
	// 64 MiB, the largest that firn can be set to accept, and its columns.
	MaxRawBytes = 64<<20 + 64<<10
	// MaxBlockBytes bounds a whole block as stored, framing included.
	MaxBlockBytes = container.MaxBlockBytes + container.MaxBlockOverhead
	// MaxFileBytes bounds offsets. Files are meant to stay near 128 MiB; the
	// bound keeps sums of offsets and lengths far from overflow.
	MaxFileBytes = 1 << 50
	// MaxSchemaBytes bounds the text of a schema.
	MaxSchemaBytes = 1 << 20
	// MaxDatasetBytes bounds the name of a dataset.
	MaxDatasetBytes = 4 << 10
	// MaxTableBytes bounds the name of a table, so that it fits one segment of
	// a key even when every byte is escaped.
	MaxTableBytes = 85
)

// Metadata keys of block files.
const (
	keyFormat = "firn.format"
	keyFamily = "firn.family"
	keyMarker = "firn.marker"
	keyTable  = "firn.table"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC-32C of b, the checksum of block references and files.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// NewChecksum is a running Checksum, for bytes that come piece by piece.
func NewChecksum() hash.Hash32 { return crc32.New(castagnoli) }

// Family is what files have in common whose blocks can be moved between them
// as bytes. It is a value; Schema is never modified.
type Family struct {
	Salt   [16]byte // of the store
	Table  string
	Schema []byte // exact text of the Avro schema
	Codec  string // by its Avro name, one of codec.Names
	Marker uint32 // 0, or which next sync marker: see ErrMarker
}

// Validate reports why no file of this family can be written, or nil.
func (f Family) Validate() error {
	switch {
	case f.Table == "" || len(f.Table) > MaxTableBytes:
		return fmt.Errorf("block file: table name of %d bytes, 1 to %d are allowed", len(f.Table), MaxTableBytes)
	case len(f.Schema) == 0 || len(f.Schema) > MaxSchemaBytes:
		return fmt.Errorf("block file: schema of %d bytes, 1 to %d are allowed", len(f.Schema), MaxSchemaBytes)
	case !codec.Valid(f.Codec):
		return fmt.Errorf("block file: %w %q", codec.ErrUnknown, f.Codec)
	}
	return nil
}

// ID names the family: a hash over all of it.
func (f Family) ID() [32]byte {
	h := sha256.New()
	h.Write([]byte("firn family 1"))
	h.Write(f.Salt[:])
	var n [4]byte
	for _, part := range [][]byte{[]byte(f.Table), f.Schema, []byte(f.Codec)} {
		binary.BigEndian.PutUint32(n[:], uint32(len(part)))
		h.Write(n[:])
		h.Write(part)
	}
	binary.BigEndian.PutUint32(n[:], f.Marker)
	h.Write(n[:])
	return [32]byte(h.Sum(nil))
}

// Sync is the sync marker of every file of the family.
func (f Family) Sync() [16]byte { return syncOf(f.ID()) }

// Header is the header of every file of the family: the bytes before its first
// block. The slice is the caller's.
func (f Family) Header() []byte {
	return appendHeader(nil, f.ID(), f.Table, f.Schema, f.Codec, f.Marker)
}

// Frame is what reading a block of the family takes.
func (f Family) Frame() Frame { return Frame{Codec: f.Codec, Sync: f.Sync()} }

func syncOf(id [32]byte) [16]byte {
	h := sha256.New()
	h.Write([]byte("firn sync marker"))
	h.Write(id[:])
	return [16]byte(h.Sum(nil))
}

func appendHeader(dst []byte, id [32]byte, table string, schema []byte, codec string, marker uint32) []byte {
	return container.AppendHeader(dst, []container.Meta{
		{Key: container.CodecKey, Value: []byte(codec)},
		{Key: container.SchemaKey, Value: schema},
		{Key: keyFormat, Value: strconv.AppendInt(nil, FormatVersion, 10)},
		{Key: keyFamily, Value: hex.AppendEncode(nil, id[:])},
		{Key: keyMarker, Value: strconv.AppendUint(nil, uint64(marker), 10)},
		{Key: keyTable, Value: []byte(table)},
	}, syncOf(id))
}

// parseHeader takes a block file's header apart. It accepts exactly the bytes
// that a Family gives.
func parseHeader(h container.Header) (SidecarInfo, error) {
	if err := checkVersion(&h, keyFormat, "block file"); err != nil {
		return SidecarInfo{}, err
	}
	m := metaReader{header: &h}
	info := SidecarInfo{
		FamilyID: m.hex32(keyFamily),
		Table:    m.text(keyTable, MaxTableBytes),
		Schema:   h.Schema,
		Codec:    h.Codec,
		Marker:   uint32(m.uint(keyMarker, 32)),
	}
	if m.err != nil {
		return SidecarInfo{}, m.err
	}
	f := Family{Table: info.Table, Schema: info.Schema, Codec: info.Codec, Marker: info.Marker}
	if err := f.Validate(); err != nil {
		return SidecarInfo{}, err
	}
	want := appendHeader(nil, info.FamilyID, info.Table, info.Schema, info.Codec, info.Marker)
	if got := container.AppendHeader(nil, h.Meta, h.Sync); !bytes.Equal(got, want) || h.Size != int64(len(want)) {
		return SidecarInfo{}, fmt.Errorf("the header is not that of its family")
	}
	return info, nil
}

// checkVersion is what every reader does first.
func checkVersion(h *container.Header, key, what string) error {
	v, ok := h.Lookup(key)
	if !ok {
		return fmt.Errorf("%w: it has no %s", ErrForeign, key)
	}
	if string(v) != strconv.Itoa(FormatVersion) {
		return fmt.Errorf("%w: %s of version %.20q, this program reads version %d", ErrVersion, what, v, FormatVersion)
	}
	return nil
}
