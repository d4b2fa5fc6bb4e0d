package foreign

import (
	"errors"
	"fmt"
	"io"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/container"
	"github.com/firndb/firn/blockfile/schema"
)

const (
	// DefaultMaxRecordBytes is the default of Options.MaxRecordBytes.
	DefaultMaxRecordBytes = 8 << 20
	// DefaultMaxBlockRaw is the default of Options.MaxBlockRaw.
	DefaultMaxBlockRaw = 64 << 20
	// MaxEmptyRecords bounds the records of a file whose schema lets a record take no bytes at all: nothing
	// else would bound their number.
	MaxEmptyRecords = 1 << 16
)

// Options bounds what a Reader takes. The zero value has the defaults.
type Options struct {
	MaxRecordBytes int // of one record's JSON; 0 is DefaultMaxRecordBytes
	MaxBlockRaw    int // of one block once decompressed; 0 is DefaultMaxBlockRaw
}

// Reader gives the records of one Avro file as JSON.
type Reader struct {
	in     *container.Reader
	header container.Header
	top    *node           // nil for a file of firn's own
	own    *schema.Decoder // of a file of firn's own
	opts   Options

	raw   []byte // decompressed blocks, one after the other
	d     decoder
	block int64 // offset of the current block
	left  int64 // records of it still to come
	index int64 // of the next record in the file
	err   error // the first error, io.EOF too; it stays
	plain bool  // blocks are not compressed
	least int   // bytes of the shortest record
}

// NewReader reads the header of the file that r gives. The error wraps
//
//   - [codec.ErrUnknown] if the blocks are compressed by a codec that is not known,
//   - [ErrSchema] if the schema is none, or that of a firn that is newer than this one, [ErrNotRecord] if its top type is no record,
//   - [ErrMalformed] if the header is damaged or there is none,
//
// or is that of r.
func NewReader(r io.Reader, o Options) (*Reader, error) {
	if o.MaxRecordBytes < 0 || o.MaxBlockRaw < 0 {
		return nil, fmt.Errorf("foreign: negative limit in options %+v", o)
	}
	if o.MaxRecordBytes == 0 {
		o.MaxRecordBytes = DefaultMaxRecordBytes
	}
	if o.MaxBlockRaw == 0 {
		o.MaxBlockRaw = DefaultMaxBlockRaw
	}
	in, err := container.NewReader(r)
	if err != nil {
		return nil, err
	}
	h := in.Header()
	if !codec.Readable(h.Codec) {
		return nil, fmt.Errorf("foreign: %w %q", codec.ErrUnknown, h.Codec)
	}
	file := &Reader{
		in: in, header: h, opts: o,
		d:     decoder{max: o.MaxRecordBytes},
		plain: h.Codec == codec.Null,
	}
	if file.own, err = ownDecoder(&h); err != nil {
		return nil, err
	}
	if file.own != nil {
		file.own.Limit(o.MaxRecordBytes)
		file.least = ownLeast
		return file, nil
	}
	if file.top, err = parseSchema(h.Schema); err != nil {
		return nil, err
	}
	file.least = file.top.least
	return file, nil
}

// Header returns the header of the file, with its schema, codec and other metadata. It must not be changed.
func (r *Reader) Header() container.Header { return r.header }

// Records returns how many records Next has given.
func (r *Reader) Records() int64 { return r.index }

// Next returns the next record as a JSON object, which belongs to the Reader and is overwritten by the next
// call. The error is io.EOF itself behind the last record of a whole file, a [*RecordError] for a record that
// cannot become JSON, and otherwise wraps [ErrMalformed], [codec.ErrTooLarge] for a block past
// Options.MaxBlockRaw, or what the underlying reader said. Every error is final.
//
// The last record of a block is only given when the block has proved to end with it.
func (r *Reader) Next() ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	for r.left == 0 {
		if r.err = r.nextBlock(); r.err != nil {
			return nil, r.err
		}
	}
	if r.own != nil {
		r.err = r.ownRecord()
	} else if err := r.d.record(r.top); err != nil {
		r.err = r.recordError(err)
	}
	if r.err != nil {
		return nil, r.err
	}
	r.left--
	if rest := len(r.d.buf) - r.d.pos; r.left == 0 && rest > 0 {
		r.err = r.corrupt("%d bytes are left behind the last record of the block", rest)
		return nil, r.err
	}
	r.index++
	return r.d.out, nil
}

// nextBlock reads the next block and checks its number of records against what there is of it.
func (r *Reader) nextBlock() error {
	b, err := r.in.Next()
	if err != nil {
		return err
	}
	r.block = b.Offset
	raw := b.Data
	if r.plain {
		if len(raw) > r.opts.MaxBlockRaw {
			return fmt.Errorf("foreign: block at offset %d: %w: %d bytes", b.Offset, codec.ErrTooLarge, len(raw))
		}
	} else {
		raw, err = codec.Decompress(r.header.Codec, r.raw[:0], b.Data, r.opts.MaxBlockRaw)
		if errors.Is(err, codec.ErrCorrupt) {
			return fmt.Errorf("%w: block at offset %d: %w", ErrMalformed, b.Offset, err)
		}
		if err != nil {
			return fmt.Errorf("foreign: block at offset %d: %w", b.Offset, err)
		}
		r.raw = raw
	}
	switch {
	case b.Count == 0 && len(raw) > 0:
		return r.corrupt("%d bytes in a block without records", len(raw))
	case r.least == 0 && b.Count > MaxEmptyRecords-r.index:
		return r.corrupt("more than %d records that may take no bytes", MaxEmptyRecords)
	case r.least > 0 && b.Count > int64(len(raw)/r.least):
		return r.corrupt("%d records in a block of %d bytes", b.Count, len(raw))
	}
	r.d.buf, r.d.pos, r.left = raw, 0, b.Count
	return nil
}

func (r *Reader) corrupt(format string, args ...any) error {
	return &CorruptError{Offset: r.block, Index: r.index, Reason: fmt.Sprintf(format, args...)}
}

func (r *Reader) recordError(err *valueError) error {
	switch {
	case err.tooLarge:
		return &RecordError{Index: r.index, Reason: err.Error(), Err: ErrRecordTooLarge}
	case err.refused:
		return &RecordError{Index: r.index, Reason: err.Error()}
	}
	return r.corrupt("%s", err.Error())
}
