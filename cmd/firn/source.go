package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/firndb/firn/blockfile/foreign"
)

// source gives the records of a file, one a call: NDJSON lines, or the records of an Avro file as
// JSON. offset counts what was given: bytes of decompressed NDJSON, or Avro records.
type source struct {
	next   func() ([]byte, error) // valid until the next call; io.EOF at the end
	offset int64
	read   *counted // of the file itself, for progress
	close  func() error
}

// openSource opens a file by its name's ending: .avro, or NDJSON with .gz or .zst undone. "-" is
// the standard input.
func openSource(path string) (*source, error) {
	f := os.Stdin
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, err
		}
	}
	s := &source{read: &counted{r: f}, close: f.Close}
	var err error
	switch {
	case strings.HasSuffix(path, ".avro"):
		err = s.avro()
	case strings.HasSuffix(path, ".gz"):
		var z *gzip.Reader
		if z, err = gzip.NewReader(s.read); err == nil {
			s.lines(z)
		}
	case strings.HasSuffix(path, ".zst"):
		var z *zstd.Decoder
		if z, err = zstd.NewReader(s.read, zstd.WithDecoderMaxMemory(256<<20)); err == nil {
			s.close = func() error { z.Close(); return f.Close() }
			s.lines(z)
		}
	default:
		s.lines(s.read)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot be opened as its name says: %w", err), s.close())
	}
	return s, nil
}

// maxLine bounds a line: the largest record a daemon can be set to take.
const maxLine = 64 << 20

func (s *source) lines(r io.Reader) {
	in := bufio.NewReaderSize(r, 1<<20)
	var long []byte
	s.next = func() ([]byte, error) {
		long = long[:0]
		for {
			part, err := in.ReadSlice('\n')
			s.offset += int64(len(part))
			if errors.Is(err, bufio.ErrBufferFull) {
				if long = append(long, part...); len(long) > maxLine {
					return nil, fmt.Errorf("the line that ends behind byte %d is longer than %d bytes", s.offset, maxLine)
				}
				continue
			}
			if err != nil && (!errors.Is(err, io.EOF) || len(part)+len(long) == 0) {
				return nil, err
			}
			line := part
			if len(long) > 0 {
				long = append(long, part...)
				line = long
			}
			return bytes.TrimRight(line, "\r\n"), nil
		}
	}
}

func (s *source) avro() error {
	r, err := foreign.NewReader(bufio.NewReaderSize(s.read, 1<<20), foreign.Options{MaxRecordBytes: maxLine})
	if err != nil {
		return err
	}
	s.next = func() ([]byte, error) {
		rec, err := r.Next()
		if err == nil {
			s.offset++
		}
		return rec, err
	}
	return nil
}

// batch collects lines until it has enough of them or of bytes.
type batch struct {
	body    []byte
	records int
	from    int64 // offset of the source before it
	to      int64 // and after it
	done    bool  // the source has ended
}

// cut takes the next batch: up to records and bytes, or exactly up to an offset when end is not 0.
func (s *source) cut(b *batch, records, size int, end int64) error {
	b.body, b.records, b.from, b.done = b.body[:0], 0, s.offset, false
	for end == 0 && b.records < records && len(b.body) < size || end != 0 && s.offset < end {
		rec, err := s.next()
		if errors.Is(err, io.EOF) {
			b.done = true
			break
		}
		if err != nil {
			return err
		}
		if len(rec) == 0 {
			continue
		}
		b.body = append(append(b.body, rec...), '\n')
		b.records++
	}
	b.to = s.offset
	return nil
}
