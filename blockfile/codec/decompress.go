package codec

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"

	"github.com/klauspost/compress/s2"
)

// Decompress appends the raw bytes of the stored block comp to dst and returns the extended slice. At most
// maxRaw bytes are appended; capacity that dst already has is used, so that a caller who knows the raw length
// and passes that much room pays for no allocation. comp is only read, and not kept; it must not overlap dst's
// free space.
//
// The error wraps [ErrUnknown], [ErrTooLarge] or [ErrCorrupt]; with an error the result is dst unchanged,
// though its free capacity may have been written to. Safe for concurrent use.
func Decompress(name string, dst, comp []byte, maxRaw int) ([]byte, error) {
	var out []byte
	var err error
	maxRaw = max(maxRaw, 0)
	switch name {
	case Null:
		if len(comp) > maxRaw {
			return dst, tooLarge(name, maxRaw)
		}
		return append(dst, comp...), nil
	case Deflate:
		out, err = inflate(dst, comp, maxRaw)
	case Zstandard:
		out, err = unzstd(dst, comp, maxRaw)
	case Snappy:
		out, err = unsnappy(dst, comp, maxRaw)
	case Bzip2:
		out, err = unbzip2(dst, comp, maxRaw)
	case XZ:
		out, err = unxz(dst, comp, maxRaw)
	default:
		return dst, unknown(name)
	}
	if err != nil {
		return dst, err
	}
	return out, nil
}

// minGrow is the least room that drain makes at a time.
const minGrow = 4 << 10

// drain appends everything that r gives to dst, at most maxRaw bytes, and says so with errPastMax if there
// is more, for which it reads one byte into probe. It makes room in steps from guess, doubling, so that memory
// follows what was really decompressed.
func drain(dst []byte, r io.Reader, maxRaw, guess int, probe *[1]byte) ([]byte, error) {
	base := len(dst)
	for idle := 0; ; {
		var n int
		var err error
		room := min(cap(dst)-len(dst), maxRaw-(len(dst)-base))
		if room == 0 && len(dst)-base < maxRaw {
			dst = slices.Grow(dst, min(max(guess, len(dst)-base, minGrow), maxRaw-(len(dst)-base)))
			continue
		}
		if room == 0 {
			n, err = r.Read(probe[:])
			if n > 0 {
				return dst, errPastMax
			}
		} else {
			n, err = r.Read(dst[len(dst) : len(dst)+room])
			dst = dst[:len(dst)+n]
		}
		switch {
		case err == io.EOF:
			return dst, nil
		case err != nil:
			return dst, err
		case n > 0:
			idle = 0
		default:
			if idle++; idle > 100 {
				return dst, io.ErrNoProgress
			}
		}
	}
}

var errPastMax = errors.New("past the maximum")

// readError gives the error of a codec whose reader ended with err.
func readError(name string, err error, maxRaw int) error {
	if errors.Is(err, errPastMax) {
		return tooLarge(name, maxRaw)
	}
	return corrupt(name, "%v", err)
}

// snappyMaxRatio is more than any Snappy block expands: its densest element makes 64 bytes out of 3.
const snappyMaxRatio = 22

func unsnappy(dst, comp []byte, maxRaw int) ([]byte, error) {
	if len(comp) < crc32.Size {
		return dst, corrupt(Snappy, "%d bytes have no room for the checksum", len(comp))
	}
	body, sum := comp[:len(comp)-crc32.Size], binary.BigEndian.Uint32(comp[len(comp)-crc32.Size:])
	n, err := s2.DecodedLen(body)
	if err != nil {
		return dst, corrupt(Snappy, "%v", err)
	}
	if n > maxRaw {
		return dst, tooLarge(Snappy, maxRaw)
	}
	if n > snappyMaxRatio*len(body) {
		return dst, corrupt(Snappy, "%d bytes cannot hold %d", len(body), n)
	}
	base := len(dst)
	out := slices.Grow(dst, n)[:base+n]
	got, err := s2.Decode(out[base:base+n:base+n], body)
	if err != nil {
		return dst, corrupt(Snappy, "%v", err)
	}
	if len(got) != n {
		return dst, corrupt(Snappy, "%d bytes instead of %d", len(got), n)
	}
	if crc32.ChecksumIEEE(got) != sum {
		return dst, corrupt(Snappy, "checksum does not match")
	}
	return out, nil
}

func unbzip2(dst, comp []byte, maxRaw int) ([]byte, error) {
	// A bytes.Reader is read byte by byte, and the reader takes further streams until its end: bytes that
	// begin none are an error of its own.
	out, err := drain(dst, bzip2.NewReader(bytes.NewReader(comp)), maxRaw, 4*len(comp), new([1]byte))
	if err != nil {
		return dst, readError(Bzip2, err, maxRaw)
	}
	return out, nil
}
