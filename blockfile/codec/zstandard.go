package codec

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// zstdMaxWindow is the largest window asked for by the levels of the reference implementation (22). The
	// window itself is never allocated: blocks are decoded straight into the result.
	zstdMaxWindow = 128 << 20
	// zstdMaxBlock is the most that one Zstandard block decompresses to.
	zstdMaxBlock = 128 << 10
)

// zstdDecoder is shared by all callers. It keeps one small decoder for each processor, made when first used.
// It fails rather than pass the capacity of the slice it is given.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecoderMaxWindow(zstdMaxWindow),
		zstd.WithDecodeAllCapLimit(true))
})

func unzstd(dst, comp []byte, maxRaw int) ([]byte, error) {
	dec, err := zstdDecoder()
	if err != nil {
		return dst, err
	}
	most, known, err := zstdLength(comp)
	if err != nil {
		return dst, err
	}
	if known && most > uint64(maxRaw) {
		return dst, tooLarge(Zstandard, maxRaw)
	}
	// The decoder does not say plainly that it ran out of room: for that it gets room for two blocks past
	// the maximum, so that a stream that is too large has passed the maximum before the room ends.
	room := int(min(most, uint64(maxRaw)+2*zstdMaxBlock))
	base := len(dst)
	grown := slices.Grow(dst, room)
	out, err := dec.DecodeAll(comp, grown[:base:base+room])
	switch {
	case len(out)-base > maxRaw, errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return dst, tooLarge(Zstandard, maxRaw)
	case err != nil:
		return dst, corrupt(Zstandard, "%v", err)
	}
	// DecodeAll was shown an exact capacity; the caller gets back what there really is.
	return grown[:len(out)], nil
}

// zstdLength walks the frames and blocks of comp, without decompressing, and returns the most that they can
// decompress to; known tells that it is the sum of the content sizes that the frames give. A frame is
//
//	magic 28 B5 2F FD | descriptor, window, dictionary, content size | blocks | checksum, 4 bytes, if any
//	block: 3 bytes little-endian: bit 0 last, bits 1-2 type, bits 3-23 size | size bytes (type 1: one byte)
//
// Frames have to follow each other up to the end of comp, and at least one has to be there.
func zstdLength(comp []byte) (most uint64, known bool, err error) {
	known = true
	for frames := 0; len(comp) > 0 || frames == 0; frames++ {
		var h zstd.Header
		if err := h.Decode(comp); err != nil {
			return 0, false, corrupt(Zstandard, "frame %d: %v", frames, err)
		}
		comp = comp[h.HeaderSize:]
		if h.Skippable {
			if uint64(h.SkippableSize) > uint64(len(comp)) {
				return 0, false, corrupt(Zstandard, "frame %d is cut short", frames)
			}
			comp = comp[h.SkippableSize:]
			continue
		}
		var frame uint64
		for last := false; !last; {
			if len(comp) < 3 {
				return 0, false, corrupt(Zstandard, "frame %d is cut short", frames)
			}
			head := uint32(binary.LittleEndian.Uint16(comp)) | uint32(comp[2])<<16
			last = head&1 != 0
			size := int(head >> 3)
			stored := size
			switch head >> 1 & 3 {
			case 0: // the bytes as they are
				frame += uint64(size)
			case 1: // one byte, repeated
				stored = 1
				frame += uint64(size)
			case 2:
				frame += zstdMaxBlock
			case 3:
				return 0, false, corrupt(Zstandard, "frame %d has a block of an unknown type", frames)
			}
			if comp = comp[3:]; stored > len(comp) {
				return 0, false, corrupt(Zstandard, "frame %d is cut short", frames)
			}
			comp = comp[stored:]
		}
		if h.HasCheckSum {
			if len(comp) < 4 {
				return 0, false, corrupt(Zstandard, "frame %d is cut short", frames)
			}
			comp = comp[4:]
		}
		if h.HasFCS {
			if h.FrameContentSize > frame {
				return 0, false, corrupt(Zstandard, "frame %d says %d bytes, its blocks hold at most %d", frames, h.FrameContentSize, frame)
			}
			frame = h.FrameContentSize
		} else {
			known = false
		}
		most += frame
	}
	return min(most, math.MaxInt), known, nil
}
