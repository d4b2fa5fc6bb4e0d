package container

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// readStep is how much memory an announced length gets before its bytes have been seen.
const readStep = 256 << 10

// Block is one block of a file.
type Block struct {
	Offset int64  // where the block begins in the file
	Length int64  // of the whole block in bytes: count, size, data, sync marker
	Count  int64  // records, by the block's own word
	Data   []byte // compressed; valid until the next call of Next
}

// Reader walks the blocks of a container file from beginning to end.
type Reader struct {
	s      source
	header Header
	buf    []byte
	err    error // the first error; it stays
}

// NewReader reads the header of the file that r gives. The Reader reads ahead of what it hands out. Errors are
// those of [ReadHeader].
func NewReader(r io.Reader) (*Reader, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	h, err := ReadHeader(br)
	if err != nil {
		return nil, err
	}
	return &Reader{s: source{r: br, off: h.Size}, header: h}, nil
}

// Header returns the header of the file. Its slices must not be changed.
func (r *Reader) Header() Header { return r.header }

// Next returns the next block; its data belongs to the Reader and is overwritten by the next call. At the end of
// the file, right behind a sync marker, the error is io.EOF itself; a [*FormatError] tells damage and truncation.
// Any other error is that of the underlying reader. Every error is final.
func (r *Reader) Next() (Block, error) {
	if r.err != nil {
		return Block{}, r.err
	}
	b, err := r.next()
	if err != nil {
		r.err = err
		return Block{}, err
	}
	return b, nil
}

func (r *Reader) next() (Block, error) {
	start := r.s.off
	if _, err := r.s.r.Peek(1); err == io.EOF {
		return Block{}, io.EOF
	} else if err != nil {
		return Block{}, r.s.fail(err, "record count of a block")
	}
	count, err := r.s.long("record count of a block")
	if err != nil {
		return Block{}, err
	}
	size, err := r.s.long("size of a block")
	if err != nil {
		return Block{}, err
	}
	if err := checkBlock(start, count, size); err != nil {
		return Block{}, err
	}
	if r.buf, err = r.s.bytes(r.buf[:0], size, "block"); err != nil {
		return Block{}, err
	}
	at := r.s.off
	var sync [SyncSize]byte
	if err := r.s.full(sync[:], "sync marker"); err != nil {
		return Block{}, err
	}
	if sync != r.header.Sync {
		return Block{}, malformed(at, "no sync marker behind a block of %d bytes", size)
	}
	return Block{Offset: start, Length: r.s.off - start, Count: count, Data: r.buf}, nil
}

// ReadHeader reads a header and leaves r at the first block. The error is a [*FormatError], or that of r. The
// header must have a schema; what the schema says and whether the codec is known is not looked at.
func ReadHeader(r *bufio.Reader) (Header, error) {
	s := source{r: r, max: MaxHeaderBytes}
	var start [len(magic)]byte
	if err := s.full(start[:], "magic number"); err != nil {
		return Header{}, err
	}
	if start != magic {
		return Header{}, malformed(0, "begins with %q instead of %q", start[:], magic[:])
	}
	h := Header{Codec: "null"}
	if err := readMeta(&s, &h); err != nil {
		return Header{}, err
	}
	if err := s.full(h.Sync[:], "sync marker"); err != nil {
		return Header{}, err
	}
	h.Size = s.off

	var found bool
	if h.Schema, found = h.Lookup(SchemaKey); !found {
		return Header{}, malformed(h.Size, "the header has no %s", SchemaKey)
	}
	if codec, found := h.Lookup(CodecKey); found {
		if len(codec) > MaxCodecName || !utf8.Valid(codec) {
			return Header{}, malformed(h.Size, "the header has no proper %s", CodecKey)
		}
		h.Codec = string(codec)
	}
	return h, nil
}

// readMeta reads the metadata map of a header into h.Meta.
func readMeta(s *source, h *Header) error {
	for {
		at := s.off
		count, err := s.long("metadata count")
		if err != nil {
			return err
		}
		if count == 0 {
			return nil
		}
		end := int64(-1)
		if count < 0 {
			size, err := s.long("metadata size")
			if err != nil {
				return err
			}
			if size < 0 || size > MaxHeaderBytes {
				return malformed(at, "metadata of %d bytes", size)
			}
			count, end = -count, s.off+size
		}
		// The smallest of all integers is its own negative.
		if count < 0 || count > MaxMetaEntries-int64(len(h.Meta)) {
			return malformed(at, "more than %d metadata entries", MaxMetaEntries)
		}
		for range count {
			if err := readEntry(s, h); err != nil {
				return err
			}
		}
		if end >= 0 && s.off != end {
			return malformed(at, "metadata takes %d bytes more than it says", s.off-end)
		}
	}
}

func readEntry(s *source, h *Header) error {
	at := s.off
	var kv [2][]byte
	for i, what := range [...]string{"metadata key", "metadata value"} {
		n, err := s.long("length of a " + what)
		if err != nil {
			return err
		}
		if n < 0 || n > MaxHeaderBytes {
			return malformed(at, "%s of %d bytes", what, n)
		}
		if kv[i], err = s.bytes(nil, n, what); err != nil {
			return err
		}
	}
	if !utf8.Valid(kv[0]) {
		return malformed(at, "metadata key %q is not UTF-8", kv[0])
	}
	if _, twice := h.Lookup(string(kv[0])); twice {
		return malformed(at, "metadata key %q comes twice", kv[0])
	}
	h.Meta = append(h.Meta, Meta{Key: string(kv[0]), Value: kv[1]})
	return nil
}

// source is a reader that knows its offset.
type source struct {
	r   *bufio.Reader
	off int64
	max int64 // if not 0, reading past this offset is an error
}

// fail turns an error of the underlying reader into that of the caller.
func (s *source) fail(err error, what string) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return truncated(s.off, "%s", what)
	}
	return fmt.Errorf("container: reading %s at offset %d: %w", what, s.off, err)
}

func (s *source) room(n int64) error {
	if s.max > 0 && n > s.max-s.off {
		return malformed(s.off, "the header is longer than %d bytes", s.max)
	}
	return nil
}

// long reads a long.
func (s *source) long(what string) (int64, error) {
	start := s.off
	var b [binary.MaxVarintLen64]byte
	for n := range b {
		if err := s.room(1); err != nil {
			return 0, err
		}
		c, err := s.r.ReadByte()
		if err != nil {
			return 0, s.fail(err, what)
		}
		b[n] = c
		s.off++
		if c < 0x80 {
			if v, k := varint(b[:n+1]); k > 0 {
				return v, nil
			}
			break
		}
	}
	return 0, malformed(start, "%s is no number", what)
}

// bytes appends the next n bytes to dst, making room as they arrive. n has been compared with a maximum.
func (s *source) bytes(dst []byte, n int64, what string) ([]byte, error) {
	if err := s.room(n); err != nil {
		return dst, err
	}
	for n > 0 {
		k := cap(dst) - len(dst)
		if k == 0 {
			dst = slices.Grow(dst, int(min(n, int64(max(len(dst), readStep)))))
			k = cap(dst) - len(dst)
		}
		k = int(min(n, int64(k)))
		if err := s.full(dst[len(dst):len(dst)+k], what); err != nil {
			return dst, err
		}
		dst = dst[:len(dst)+k]
		n -= int64(k)
	}
	return dst, nil
}

// full reads exactly len(p) bytes.
func (s *source) full(p []byte, what string) error {
	if err := s.room(int64(len(p))); err != nil {
		return err
	}
	n, err := io.ReadFull(s.r, p)
	s.off += int64(n)
	if err != nil {
		return s.fail(err, what)
	}
	return nil
}
