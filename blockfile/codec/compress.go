package codec

import (
	"encoding/binary"
	"hash/crc32"
	"slices"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// deflateLevel is where more effort stops paying. On 96 KiB blocks of real records level 6 makes files 1 to 7 %
// smaller than level 5 for a tenth of the speed, and as small as zstandard's; level 7 takes a third of the speed
// for another percent or two, level 9 nearly all of it. Level 1 is twice as fast and a quarter larger, and blocks
// are written once and kept for years.
const deflateLevel = 6

// zstdWindow bounds an encoder's memory to about 3 MiB. Blocks are at most a few hundred KiB, so that a
// larger window finds nothing more in them.
const zstdWindow = 256 << 10

// Compressor compresses blocks with one codec. It reuses its buffers and allocates nothing per block beyond
// the growth of dst. It is not safe for concurrent use, and needs no closing.
type Compressor interface {
	// Name is the Avro name of the codec.
	Name() string
	// Append appends the compressed form of raw to dst and returns the extended slice, as append does.
	// raw is only read, and not kept; it must not overlap dst's free space. After an error the result is
	// dst unchanged, and the Compressor can still be used.
	Append(dst, raw []byte) ([]byte, error)
}

// NewCompressor makes a compressor for one of [Names]; the error for any other name wraps [ErrUnknown].
func NewCompressor(name string) (Compressor, error) {
	switch name {
	case Null:
		return nullCompressor{}, nil
	case Deflate:
		c := &deflateCompressor{}
		w, err := flate.NewWriter(&c.out, deflateLevel)
		if err != nil {
			return nil, err
		}
		c.w = w
		return c, nil
	case Zstandard:
		enc, err := zstd.NewWriter(nil,
			zstd.WithEncoderLevel(zstd.SpeedDefault),
			zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(zstdWindow),
			zstd.WithEncoderCRC(true),
			// Without it an empty block would be stored as no bytes at all, which not every reader takes
			// for a Zstandard frame.
			zstd.WithZeroFrames(true))
		if err != nil {
			return nil, err
		}
		return &zstdCompressor{enc: enc}, nil
	case Snappy:
		return snappyCompressor{}, nil
	}
	return nil, unknown(name)
}

type nullCompressor struct{}

func (nullCompressor) Name() string { return Null }

func (nullCompressor) Append(dst, raw []byte) ([]byte, error) { return append(dst, raw...), nil }

// sliceWriter appends what is written to it.
type sliceWriter struct{ b []byte }

func (s *sliceWriter) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	return len(p), nil
}

type deflateCompressor struct {
	w   *flate.Writer
	out sliceWriter
}

func (*deflateCompressor) Name() string { return Deflate }

func (c *deflateCompressor) Append(dst, raw []byte) ([]byte, error) {
	c.out.b = dst
	c.w.Reset(&c.out)
	_, err := c.w.Write(raw)
	if err == nil {
		err = c.w.Close()
	}
	out := c.out.b
	c.out.b = nil // the caller's memory is not held between calls
	if err != nil {
		return dst, err
	}
	return out, nil
}

type zstdCompressor struct{ enc *zstd.Encoder }

func (*zstdCompressor) Name() string { return Zstandard }

func (c *zstdCompressor) Append(dst, raw []byte) ([]byte, error) {
	return c.enc.EncodeAll(raw, dst), nil
}

type snappyCompressor struct{}

func (snappyCompressor) Name() string { return Snappy }

func (snappyCompressor) Append(dst, raw []byte) ([]byte, error) {
	most := s2.MaxEncodedLen(len(raw))
	if most < 0 {
		return dst, tooLarge(Snappy, 1<<32-1)
	}
	out := slices.Grow(dst, most+crc32.Size)
	n := len(dst)
	n += len(s2.EncodeSnappy(out[n:n+most], raw))
	return binary.BigEndian.AppendUint32(out[:n], crc32.ChecksumIEEE(raw)), nil
}
