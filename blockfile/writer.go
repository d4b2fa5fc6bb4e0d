package blockfile

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/container"
)

// Summary is what a Writer knows of a file at its end.
type Summary struct {
	Size     int64  // bytes
	CRC      uint32 // CRC-32C of all bytes
	Records  uint64
	Blocks   uint64
	RawBytes int64 // of all blocks, decompressed
	First    int64 // earliest time, ms since 1970; 0 without blocks
	Last     int64 // latest time, ms since 1970; 0 without blocks
}

// Writer writes one block file and knows the offset of every byte. It goes
// from open to closed; after its first error, other than ErrMarker and
// ErrTooLarge, it stays broken and gives that error for every call. It holds
// one block in memory, whatever the size of the file. Not safe for concurrent
// use.
type Writer struct {
	w          io.Writer
	compressor codec.Compressor
	sync       [16]byte
	sum        Summary
	block      []byte // the block being made, behind a copy of the marker before it
	comp       []byte
	closed     bool
	err        error
}

// WriterOption changes how a Writer works.
type WriterOption func(*Writer)

// WithCompressor makes a Writer use c, whose codec must be the family's, so
// that its memory serves many files. One Writer uses it at a time.
func WithCompressor(c codec.Compressor) WriterOption {
	return func(w *Writer) { w.compressor = c }
}

// NewWriter begins a file of family f: it writes the header. Closing the
// writer does not close w.
func NewWriter(w io.Writer, f Family, options ...WriterOption) (*Writer, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	bw := &Writer{w: w, sync: f.Sync()}
	for _, o := range options {
		o(bw)
	}
	if bw.compressor == nil {
		c, err := codec.NewCompressor(f.Codec)
		if err != nil {
			return nil, err
		}
		bw.compressor = c
	}
	if name := bw.compressor.Name(); name != f.Codec {
		return nil, fmt.Errorf("block file: compressor of codec %q for a family of codec %q", name, f.Codec)
	}
	if err := bw.write(f.Header()); err != nil {
		return nil, err
	}
	return bw, nil
}

// Size is the number of bytes written so far: the offset of the next block.
func (w *Writer) Size() int64 { return w.sum.Size }

// Append compresses raw, the encoded records of one dataset and day in time
// order, and writes it as one block. first and last are the times of the first
// and the last record, in ms since 1970. It keeps neither raw nor a part of it.
//
// ErrMarker and ErrTooLarge mean that nothing was written.
func (w *Writer) Append(dataset string, day int32, raw []byte, records uint32, first, last int64) (Ref, error) {
	if err := w.usable(); err != nil {
		return Ref{}, err
	}
	if len(raw) > MaxRawBytes {
		return Ref{}, fmt.Errorf("%w: %d raw bytes, at most %d are allowed", ErrTooLarge, len(raw), MaxRawBytes)
	}
	var err error
	if w.comp, err = w.compressor.Append(w.comp[:0], raw); err != nil {
		return Ref{}, w.fail(fmt.Errorf("block file: compress: %w", err))
	}
	if len(w.comp) > container.MaxBlockBytes {
		return Ref{}, fmt.Errorf("%w: %d bytes after compression, at most %d are allowed", ErrTooLarge, len(w.comp), container.MaxBlockBytes)
	}
	w.block = container.AppendBlock(append(w.block[:0], w.sync[:]...), int64(records), w.comp, w.sync)
	return w.put(Ref{
		Dataset: dataset, Day: day, RawLength: uint32(len(raw)), Records: records, First: first, Last: last,
		CRC: Checksum(w.block[len(w.sync):]),
	})
}

// AppendStored writes a block as it is stored in another file of the same
// family. ref is its reference there, the result its reference here. A block
// that is damaged, or of another family, is a *CorruptError with the offset of
// ref; nothing was written then and the writer can still be used.
func (w *Writer) AppendStored(ref Ref, block []byte) (Ref, error) {
	if err := w.usable(); err != nil {
		return Ref{}, err
	}
	if _, err := checkBlock(block, ref, w.sync); err != nil {
		return Ref{}, err
	}
	w.block = append(append(w.block[:0], w.sync[:]...), block...)
	return w.put(ref)
}

// put writes the block in w.block at the end of the file.
func (w *Writer) put(ref Ref) (Ref, error) {
	block := w.block[len(w.sync):]
	ref.Offset, ref.Length = w.sum.Size, uint32(len(block))
	if err := ref.Validate(); err != nil {
		return Ref{}, w.fail(err)
	}
	if containsMarker(w.block, w.sync) {
		return Ref{}, ErrMarker
	}
	if err := w.write(block); err != nil {
		return Ref{}, err
	}
	if w.sum.Blocks == 0 {
		w.sum.First, w.sum.Last = ref.First, ref.Last
	}
	w.sum.First, w.sum.Last = min(w.sum.First, ref.First), max(w.sum.Last, ref.Last)
	w.sum.Blocks++
	w.sum.Records += uint64(ref.Records)
	w.sum.RawBytes += int64(ref.RawLength)
	return ref, nil
}

// containsMarker reports whether the marker occurs in b anywhere but at its
// start and its end. b is a block behind the marker that comes before it in
// the file, so that an occurrence across the two is found too: a reader that
// looks for the marker from any offset finds block ends only.
func containsMarker(b []byte, sync [16]byte) bool {
	return bytes.Index(b[1:], sync[:]) != len(b)-1-len(sync)
}

// Close ends the file. The writer can no longer be used; what w was given is
// complete when the error is nil. A second Close gives the same.
func (w *Writer) Close() (Summary, error) {
	if w.err != nil {
		return Summary{}, w.err
	}
	w.closed = true
	return w.sum, nil
}

func (w *Writer) usable() error {
	if w.closed {
		return ErrWriterClosed
	}
	return w.err
}

func (w *Writer) fail(err error) error {
	w.err = err
	return err
}

func (w *Writer) write(b []byte) error {
	if w.sum.Size+int64(len(b)) > MaxFileBytes {
		return w.fail(errors.New("block file: file too large"))
	}
	n, err := w.w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return w.fail(fmt.Errorf("block file: %w", err))
	}
	w.sum.Size += int64(len(b))
	w.sum.CRC = crc32.Update(w.sum.CRC, castagnoli, b)
	return nil
}
