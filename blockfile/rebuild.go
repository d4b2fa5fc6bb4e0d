package blockfile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/container"
	"github.com/firndb/firn/blockfile/schema"
)

// RebuildSidecar reads a whole block file from r, checks all that can be checked
// without its sidecar, and calls fn with the reference of each block in file
// order, as the sidecar has them. It decodes the dataset and the time of every
// record: each block must hold records of one dataset and one UTC day, sorted
// by time. The result lacks what is not in a block file: sequence range and
// lineage, which the store's log has.
//
// Damage is a *CorruptError with the offset and no file name, after fn has
// seen the blocks before it. A file that firn did not write is ErrForeign, one
// of an unknown version ErrVersion. Whether header and family are this store's
// is for the caller to ask with SidecarInfo.Family, since it takes the salt.
// Memory is bounded by one block.
func RebuildSidecar(ctx context.Context, r io.Reader, fn func(Ref) error) (SidecarInfo, error) {
	sum := NewChecksum()
	cr, err := container.NewReader(io.TeeReader(r, sum))
	if err != nil {
		return SidecarInfo{}, containerError(err)
	}
	h := cr.Header()
	info, err := parseHeader(h)
	if errors.Is(err, ErrForeign) || errors.Is(err, ErrVersion) {
		return SidecarInfo{}, err
	}
	var columns *schema.Schema
	if err == nil {
		columns, err = schema.Parse(info.Schema)
	}
	if err != nil {
		return SidecarInfo{}, &CorruptError{Offset: 0, Reason: err.Error(), Err: err}
	}
	rb := rebuilder{codec: info.Codec, decoder: columns.NewDecoder()}
	info.FileSize = h.Size
	for {
		if err := ctx.Err(); err != nil {
			return SidecarInfo{}, err
		}
		block, err := cr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return SidecarInfo{}, containerError(err)
		}
		ref, err := rb.reference(block, h.Sync)
		if err != nil {
			return SidecarInfo{}, err
		}
		if info.Blocks == 0 {
			info.First, info.Last = ref.First, ref.Last
		}
		info.First, info.Last = min(info.First, ref.First), max(info.Last, ref.Last)
		info.Blocks++
		info.Records += uint64(ref.Records)
		info.RawBytes += int64(ref.RawLength)
		info.FileSize = ref.End()
		if err := fn(ref); err != nil {
			return SidecarInfo{}, fmt.Errorf("block file: %w", err)
		}
	}
	info.FileCRC = sum.Sum32() // the container reader has seen the end: all bytes went through
	return info, nil
}

// rebuilder makes references from blocks, in the memory of one block.
type rebuilder struct {
	codec   string
	decoder *schema.Decoder
	raw     []byte
}

// reference makes the reference of one block.
func (rb *rebuilder) reference(block container.Block, sync [16]byte) (Ref, error) {
	// The checksum covers the block as stored; count and size must have the one
	// form that is ever written, their shortest.
	var b [2 * binary.MaxVarintLen64]byte
	prefix := binary.AppendVarint(binary.AppendVarint(b[:0], block.Count), int64(len(block.Data)))
	if block.Length != int64(len(prefix)+len(block.Data)+len(sync)) {
		return Ref{}, corruptf(block.Offset, "count or size is not in its shortest form")
	}
	sum := crc32.Update(0, castagnoli, prefix)
	sum = crc32.Update(sum, castagnoli, block.Data)
	sum = crc32.Update(sum, castagnoli, sync[:])

	var err error
	rb.raw, err = codec.Decompress(rb.codec, rb.raw[:0], block.Data, MaxRawBytes)
	if err != nil {
		return Ref{}, &CorruptError{Offset: block.Offset, Reason: err.Error(), Err: err}
	}
	if block.Count > int64(len(rb.raw)) {
		return Ref{}, corruptf(block.Offset, "%d records in %d raw bytes", block.Count, len(rb.raw))
	}
	ref := Ref{
		Offset: block.Offset, Length: uint32(block.Length), RawLength: uint32(len(rb.raw)),
		Records: uint32(block.Count), CRC: sum,
	}
	if err := rb.walk(&ref); err != nil {
		return Ref{}, err
	}
	if err := ref.Validate(); err != nil {
		return Ref{}, &CorruptError{Offset: block.Offset, Reason: err.Error(), Err: err}
	}
	return ref, nil
}

// walk takes dataset and times of a reference from the records in rb.raw.
func (rb *rebuilder) walk(ref *Ref) error {
	at := 0
	for i := range ref.Records {
		dataset, ms, err := rb.decoder.Head(rb.raw[at:])
		var n int
		if err == nil {
			n, err = rb.decoder.Skip(rb.raw[at:])
		}
		switch {
		case err != nil:
			return &CorruptError{Offset: ref.Offset, Reason: fmt.Sprintf("record %d of the block: %v", i, err), Err: err}
		case i == 0:
			ref.Dataset, ref.Day, ref.First = string(dataset), dayOf(ms), ms
		case string(dataset) != ref.Dataset:
			return corruptf(ref.Offset, "records of datasets %.100q and %.100q in one block", ref.Dataset, dataset)
		case ms < ref.Last:
			return corruptf(ref.Offset, "record %d of the block is older than the one before it", i)
		}
		ref.Last = ms
		at += n
	}
	if at != len(rb.raw) {
		return corruptf(ref.Offset, "%d raw bytes behind the last of %d records", len(rb.raw)-at, ref.Records)
	}
	return nil
}
