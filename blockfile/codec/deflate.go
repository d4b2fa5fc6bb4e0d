package codec

import (
	"bytes"
	"encoding/binary"
	"hash/adler32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// inflater is a reusable deflate reader over a byte slice. A bytes.Reader is an io.ByteReader, for which the
// flate reader promises to take no byte more than the stream has; what is left in it lies behind the stream.
type inflater struct {
	in    bytes.Reader
	r     io.ReadCloser
	probe [1]byte
}

var inflaters = sync.Pool{New: func() any {
	f := &inflater{}
	f.r = flate.NewReader(&f.in)
	return f
}}

func inflate(dst, comp []byte, maxRaw int) ([]byte, error) {
	f := inflaters.Get().(*inflater)
	defer func() {
		f.in.Reset(nil) // a pooled reader must not keep the caller's block alive
		inflaters.Put(f)
	}()
	f.in.Reset(comp)
	if err := f.r.(flate.Resetter).Reset(&f.in, nil); err != nil {
		return dst, err
	}
	out, err := drain(dst, f.r, maxRaw, 4*len(comp), &f.probe)
	if err != nil {
		return dst, readError(Deflate, err, maxRaw)
	}
	if rest := comp[len(comp)-f.in.Len():]; len(rest) > 0 && !adlerRest(rest, out[len(dst):]) {
		return dst, corrupt(Deflate, "%d bytes behind the end of the stream", len(rest))
	}
	return out, nil
}

// adlerRest reports whether rest is what the Python writers of Avro leave behind a deflate stream. They make a
// zlib stream and cut off its two header bytes, but only one of the four bytes of its Adler-32 checksum:
//
//	| deflate stream | Adler-32 of the raw bytes, big-endian, first 3 bytes |
//
// The whole checksum is accepted too. Either way it has to be the right one.
func adlerRest(rest, raw []byte) bool {
	if len(rest) != 3 && len(rest) != 4 {
		return false
	}
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], adler32.Checksum(raw))
	return bytes.Equal(rest, sum[:len(rest)])
}
