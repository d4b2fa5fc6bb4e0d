package blockfile

import (
	"errors"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/container"
)

// Frame is what reading a block takes besides its reference: made once for a
// family with Family.Frame, it spares hashing the schema for every block. It
// is a value, safe for concurrent use.
type Frame struct {
	Codec string
	Sync  [16]byte
}

// ReadBlock checks the bytes of one block against its reference and appends
// its raw bytes, ref.RawLength of them, to dst. It checks, in this order, the
// length, the CRC-32C, the framing down to the family's sync marker, the
// record count, and that decompression gives exactly the raw length. Anything
// else than what was written is a *CorruptError with the block's offset and no
// file name; dst is then returned unchanged. block is only read. dst with
// ref.RawLength bytes of free capacity costs no allocation.
func (fr Frame) ReadBlock(dst, block []byte, ref Ref) ([]byte, error) {
	data, err := checkBlock(block, ref, fr.Sync)
	if err != nil {
		return dst, err
	}
	out := dst
	if free := cap(dst) - len(dst); free < int(ref.RawLength) {
		out = make([]byte, len(dst), len(dst)+int(ref.RawLength))
		copy(out, dst)
	}
	out, err = codec.Decompress(fr.Codec, out, data, int(ref.RawLength))
	switch {
	case errors.Is(err, codec.ErrUnknown):
		return dst, err
	case err != nil:
		return dst, &CorruptError{Offset: ref.Offset, Reason: err.Error(), Err: err}
	case len(out)-len(dst) != int(ref.RawLength):
		return dst, corruptf(ref.Offset, "%d raw bytes, the reference says %d", len(out)-len(dst), ref.RawLength)
	}
	return out, nil
}

// ReadBlock is Frame.ReadBlock for a single block: it hashes the family's
// schema each time.
func ReadBlock(dst, block []byte, ref Ref, f Family) ([]byte, error) {
	return f.Frame().ReadBlock(dst, block, ref)
}

// checkBlock checks a stored block against its reference and gives its
// compressed data, a part of block.
func checkBlock(block []byte, ref Ref, sync [16]byte) ([]byte, error) {
	if err := ref.Validate(); err != nil {
		return nil, &CorruptError{Offset: ref.Offset, Reason: err.Error(), Err: err}
	}
	if len(block) != int(ref.Length) {
		return nil, corruptf(ref.Offset, "%d bytes, the reference says %d", len(block), ref.Length)
	}
	if sum := Checksum(block); sum != ref.CRC {
		return nil, corruptf(ref.Offset, "checksum %08x, the reference says %08x", sum, ref.CRC)
	}
	count, data, n, err := container.ParseBlock(block, sync)
	switch {
	case err != nil:
		return nil, &CorruptError{Offset: ref.Offset, Reason: err.Error(), Err: err}
	case n != len(block):
		return nil, corruptf(ref.Offset, "the block ends after %d of %d bytes", n, len(block))
	case count != int64(ref.Records):
		return nil, corruptf(ref.Offset, "%d records, the reference says %d", count, ref.Records)
	}
	return data, nil
}
