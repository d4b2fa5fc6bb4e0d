package container

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/hamba/avro/v2"
)

// The header of a container file:
//
//	+-----------+------------------------------+-----------+
//	| 4F 62 6A 01  "Obj", version 1            |   4 bytes |
//	+-----------+------------------------------+-----------+
//	| metadata, an Avro map from string to bytes           |
//	|   count    long, > 0: entries of this chunk; if < 0, |
//	|            -count entries, and then long: their size |
//	|   entry    key: long length, UTF-8 bytes             |
//	|            value: long length, bytes                 |
//	|   ...      further chunks                            |
//	|   00       end of the map                            |
//	+------------------------------------------+-----------+
//	| sync marker                              |  16 bytes |
//	+------------------------------------------+-----------+
//
// A block, of which any number follow:
//
//	+------------------------------------------+-----------+
//	| count      long: records in the block                |
//	| size       long: bytes of data                       |
//	| data       the records, compressed                   |
//	| sync marker                              |  16 bytes |
//	+------------------------------------------+-----------+
//
// A long is a zig-zag varint of at most 10 bytes, least significant 7 bits first.

const (
	// SyncSize is the length of a sync marker in bytes.
	SyncSize = 16
	// MaxHeaderBytes bounds a header. The schema of a table with the most fields that firn allows takes a few
	// hundred KiB; whole programs' worth of foreign schemas stay below it too.
	MaxHeaderBytes = 4 << 20
	// MaxMetaEntries bounds the entries of a header's metadata.
	MaxMetaEntries = 1000
	// MaxCodecName bounds the length of a codec's name in bytes.
	MaxCodecName = 64
	// MaxBlockBytes bounds the compressed data of one block. Writers that aim at blocks of some size take 64 KiB
	// to 16 MiB; firn's own blocks reach past 8 MiB only when one record does.
	MaxBlockBytes = 64 << 20
	// MaxBlockOverhead is the most that a block is longer than its data: two longs and the sync marker.
	MaxBlockOverhead = 2*binary.MaxVarintLen64 + SyncSize
)

// The metadata keys that the standard reserves.
const (
	SchemaKey = "avro.schema"
	CodecKey  = "avro.codec"
)

var magic = [4]byte{'O', 'b', 'j', 1}

// Meta is one entry of a header's metadata.
type Meta struct {
	Key   string
	Value []byte
}

// Header is the header of a container file, as any writer may have written it. It owns its memory.
type Header struct {
	Schema []byte         // the value of avro.schema, byte for byte
	Codec  string         // the value of avro.codec, "null" where there is none
	Meta   []Meta         // all entries, also those two, in the order of the file; no key comes twice
	Sync   [SyncSize]byte // the marker that ends the header and each block
	Size   int64          // length of the header in bytes, thus the offset of the first block
}

// Lookup returns the value of a metadata entry, or nil and false. The value belongs to the header.
func (h *Header) Lookup(key string) ([]byte, bool) {
	for _, m := range h.Meta {
		if m.Key == key {
			return m.Value, true
		}
	}
	return nil, false
}

// AppendHeader appends a header with the given entries, in their order, and returns the extended slice. It
// keeps neither argument. The caller answers for the entries: avro.schema has to be among them, avro.codec if
// the codec is not null, and none twice.
func AppendHeader(dst []byte, meta []Meta, sync [SyncSize]byte) []byte {
	w := avro.NewWriter(nil, 4096)
	w.Write(magic[:])
	if len(meta) > 0 {
		w.WriteLong(int64(len(meta)))
		for _, m := range meta {
			w.WriteString(m.Key)
			w.WriteBytes(m.Value)
		}
	}
	w.WriteLong(0)
	w.Write(sync[:])
	return append(dst, w.Buffer()...)
}

// AppendBlock appends a block of count records, whose compressed bytes are comp, and returns the extended slice.
// Its varints are encoding/binary's, which are those of Avro, and take no memory of their own.
func AppendBlock(dst []byte, count int64, comp []byte, sync [SyncSize]byte) []byte {
	dst = binary.AppendVarint(dst, count)
	dst = binary.AppendVarint(dst, int64(len(comp)))
	dst = append(dst, comp...)
	return append(dst, sync[:]...)
}

// ParseBlock takes apart the block at the start of b: count records in data, which is compressed and a part of b.
// The block takes up the first n bytes of b. The error is a [*FormatError] whose offset counts from the start of b.
func ParseBlock(b []byte, sync [SyncSize]byte) (count int64, data []byte, n int, err error) {
	count, k := varint(b)
	if k <= 0 {
		return 0, nil, 0, longError(0, k, "record count of a block")
	}
	n = k
	size, k := varint(b[n:])
	if k <= 0 {
		return 0, nil, 0, longError(int64(n), k, "size of a block")
	}
	n += k
	if err := checkBlock(0, count, size); err != nil {
		return 0, nil, 0, err
	}
	if int64(len(b)-n) < size+SyncSize {
		return 0, nil, 0, truncated(int64(len(b)), "block of %d bytes", size)
	}
	data = b[n : n+int(size) : n+int(size)]
	n += int(size)
	if [SyncSize]byte(b[n:]) != sync {
		return 0, nil, 0, malformed(int64(n), "no sync marker behind a block of %d bytes", size)
	}
	return count, data, n + SyncSize, nil
}

// checkBlock refuses the counts and sizes that no block has. offset is where the block begins.
func checkBlock(offset, count, size int64) error {
	switch {
	case count < 0:
		return malformed(offset, "block of %d records", count)
	case size < 0:
		return malformed(offset, "block of %d bytes", size)
	case size > MaxBlockBytes:
		return malformed(offset, "block of %d bytes, at most %d are allowed", size, MaxBlockBytes)
	}
	return nil
}

// varint reads a long. n is its length; 0 if b ends within it, negative if it has no end.
func varint(b []byte) (v int64, n int) { return binary.Varint(b) }

// ErrMalformed is wrapped by every error about bytes that are no container file.
var ErrMalformed = errors.New("container: not a well-formed Avro file")

// FormatError says where a file departs from the container format. It wraps [ErrMalformed], and
// [io.ErrUnexpectedEOF] too if the file ends too early.
type FormatError struct {
	Offset    int64 // in bytes from the start of the file, or of the bytes given
	Reason    string
	Truncated bool // the file ends in the middle of something
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%v: offset %d: %s", ErrMalformed, e.Offset, e.Reason)
}

// Unwrap gives the sentinels that the error stands for.
func (e *FormatError) Unwrap() []error {
	if e.Truncated {
		return []error{ErrMalformed, io.ErrUnexpectedEOF}
	}
	return []error{ErrMalformed}
}

func malformed(offset int64, format string, args ...any) error {
	return &FormatError{Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

func truncated(offset int64, format string, args ...any) error {
	return &FormatError{Offset: offset, Reason: "the file ends within a " + fmt.Sprintf(format, args...), Truncated: true}
}

func longError(offset int64, n int, what string) error {
	if n == 0 {
		return truncated(offset, "%s", what)
	}
	return malformed(offset, "%s is no number", what)
}
