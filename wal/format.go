package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A segment is a file of a fixed size that is allocated and written before it is needed:
//
//	offset 0     64              end of the last group                    file size
//	┌────────────┬───────┬───────┬───────┬──────────────────┬─────────────────────┐
//	│ header     │ frame │ frame │  ...  │ zeros to 4096    │ zeros, or frames of │
//	│            │       │       │       │                  │ an earlier life     │
//	└────────────┴───────┴───────┴───────┴──────────────────┴─────────────────────┘
//
// All integers are little endian. Segment header, 64 bytes:
//
//	offset  bytes  field
//	 0       8     magic "firn.wal"
//	 8       4     version, 1
//	12       4     segment id, never 0; the same number is in the file's name
//	16       8     before: where the log ended when this segment began
//	24       4     salt: random, never 0; new each time a file becomes a segment
//	28      32     zero
//	60       4     CRC-32C of bytes 0..59
//
// A segment whose first 64 bytes are zero was made ready and never begun.
//
// Frame, at an offset divisible by 8, 40 bytes of header, then the payload, then zeros up to the
// next offset divisible by 8:
//
//	offset  bytes  field
//	 0       4     CRC-32C of everything from byte 4 to the end of the frame, its padding included
//	 4       4     payload length
//	 8       1     kind: 1 data, 2 idle, 3 close, 4 accept
//	 9       3     zero
//	12       4     salt, as in the segment header
//	16       8     position of this frame
//	24       8     durable_upto: everything before this position was on disk when the frame was built
//	32       8     before, as in the segment header
//	40       n     payload
//
// Salt and before stand in every frame as well as in the segment header, so that a lost header
// costs nothing but itself.
//
// A position is segment id << 32 | offset in the file. Ids only grow, so positions do, and no two
// frames of a log share one, not even a frame that was cut and the one written after it: nothing is
// written to a segment again once it has been replayed. A frame is believed only at the place its
// position names and only with the salt of its segment, so that what a reused file still holds of
// an earlier life, or a payload that happens to contain a frame, never counts.
//
// The payload of an accept frame is the list of damaged ranges that were accepted: from and to, 8
// bytes each, a range after the other.
const (
	magic         = "firn.wal"
	formatVersion = 1

	segmentHeaderBytes = 64
	frameHeaderBytes   = 40
	acceptRangeBytes   = 16

	// frameAlign keeps the search for the next valid frame after a bad one to an eighth of the offsets.
	frameAlign = 8
	// pageBytes is the unit in which the last page of a group is filled up with zeros. Without that, a
	// group ending inside a page of a reused segment makes the kernel read the page before it can be
	// written. Segment sizes are multiples of it.
	pageBytes = 4096

	// maxPayloadBytes bounds a payload whatever the options say: a log must stay readable when
	// MaxFrameBytes is lowered.
	maxPayloadBytes = 1 << 30
	// maxSegmentBytes bounds how much of a file is looked at. It holds the largest frame, and an offset
	// below it fits in the 32 bits a position has for it.
	maxSegmentBytes = 2 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Position is a place in the log. It grows over the life of the log, across segments and restarts,
// and no two frames ever have the same one. It is for ordering and for Trim; the difference of two
// positions in different segments is no number of bytes.
type Position uint64

func position(segment uint32, offset int64) Position {
	return Position(uint64(segment)<<32 | uint64(offset))
}

func (p Position) segment() uint32 { return uint32(p >> 32) }
func (p Position) offset() int64   { return int64(p & 0xffffffff) }

// String writes a position as segment:offset.
func (p Position) String() string { return fmt.Sprintf("%d:%d", p.segment(), p.offset()) }

// Kind tells what a frame is for.
type Kind uint8

const (
	// KindData is a frame written by Append.
	KindData Kind = 1
	// KindIdle is the frame an idle appender writes after its last group, so that damage to that group
	// can be told from a torn tail.
	KindIdle Kind = 2
	// KindClose is the frame that Close writes.
	KindClose Kind = 3

	kindAccept Kind = 4
)

func (k Kind) String() string {
	switch k {
	case KindData:
		return "data"
	case KindIdle:
		return "idle"
	case KindClose:
		return "close"
	case kindAccept:
		return "accept"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// segmentHeader is what the first bytes of a segment say.
type segmentHeader struct {
	id     uint32
	salt   uint32
	before Position
}

func appendSegmentHeader(dst []byte, h segmentHeader) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint32(dst, formatVersion)
	dst = binary.LittleEndian.AppendUint32(dst, h.id)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.before))
	dst = binary.LittleEndian.AppendUint32(dst, h.salt)
	dst = append(dst, make([]byte, 32)...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// parseSegmentHeader reads the header of segment id. A version that is not known is an error of its
// own, ErrVersion, unless the checksum proves that it is a damaged 1.
func parseSegmentHeader(b []byte, id uint32) (segmentHeader, error) {
	if len(b) < segmentHeaderBytes {
		return segmentHeader{}, fmt.Errorf("segment header is cut off after %d bytes", len(b))
	}
	b = b[:segmentHeaderBytes]
	if string(b[:8]) != magic {
		return segmentHeader{}, fmt.Errorf("segment header has no magic")
	}
	sum := binary.LittleEndian.Uint32(b[60:])
	if v := binary.LittleEndian.Uint32(b[8:]); v != formatVersion {
		var asOne [60]byte
		copy(asOne[:], b)
		binary.LittleEndian.PutUint32(asOne[8:], formatVersion)
		if crc32.Checksum(asOne[:], castagnoli) == sum {
			return segmentHeader{}, fmt.Errorf("segment header has a damaged version")
		}
		return segmentHeader{}, fmt.Errorf("%w %d, this program knows %d", ErrVersion, v, formatVersion)
	}
	if got := crc32.Checksum(b[:60], castagnoli); got != sum {
		return segmentHeader{}, fmt.Errorf("segment header has checksum %08x, not %08x", got, sum)
	}
	h := segmentHeader{
		id:     binary.LittleEndian.Uint32(b[12:]),
		before: Position(binary.LittleEndian.Uint64(b[16:])),
		salt:   binary.LittleEndian.Uint32(b[24:]),
	}
	if h.id != id {
		return segmentHeader{}, fmt.Errorf("segment header is that of segment %d", h.id)
	}
	if h.salt == 0 || h.before > position(id, 0) {
		return segmentHeader{}, fmt.Errorf("segment header makes no sense")
	}
	return h, nil
}

// frameHeader is what stands before a payload. The checksum is not kept.
type frameHeader struct {
	payload     int64 // bytes
	kind        Kind
	salt        uint32
	pos         Position
	durableUpto Position
	before      Position
}

// frameBytes is how much room a frame takes in a segment.
func frameBytes(payload int64) int64 {
	return (frameHeaderBytes + payload + frameAlign - 1) &^ (frameAlign - 1)
}

func roundToPage(n int64) int64 { return (n + pageBytes - 1) &^ (pageBytes - 1) }

// sealFrame finishes the frame whose header was reserved at dst[start:] and whose payload ends dst:
// it pads, fills in the header and computes the checksum.
func sealFrame(dst []byte, start int, h frameHeader) []byte {
	h.payload = int64(len(dst) - start - frameHeaderBytes)
	var zeros [frameAlign]byte
	dst = append(dst, zeros[:frameBytes(h.payload)-frameHeaderBytes-h.payload]...)
	b := dst[start:]
	binary.LittleEndian.PutUint32(b[4:], uint32(h.payload))
	b[8], b[9], b[10], b[11] = byte(h.kind), 0, 0, 0
	binary.LittleEndian.PutUint32(b[12:], h.salt)
	binary.LittleEndian.PutUint64(b[16:], uint64(h.pos))
	binary.LittleEndian.PutUint64(b[24:], uint64(h.durableUpto))
	binary.LittleEndian.PutUint64(b[32:], uint64(h.before))
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return dst
}

// parseFrameHeader reads a header of frameHeaderBytes. Nothing in it is believed before validate and
// the checksum.
func parseFrameHeader(b []byte) frameHeader {
	return frameHeader{
		payload:     int64(binary.LittleEndian.Uint32(b[4:])),
		kind:        Kind(b[8]),
		salt:        binary.LittleEndian.Uint32(b[12:]),
		pos:         Position(binary.LittleEndian.Uint64(b[16:])),
		durableUpto: Position(binary.LittleEndian.Uint64(b[24:])),
		before:      Position(binary.LittleEndian.Uint64(b[32:])),
	}
}

// validate checks everything about a header but the checksum: it must stand at pos with the given
// salt (0: any), and its frame must end within room bytes.
func (h frameHeader) validate(pos Position, salt uint32, room int64) error {
	switch {
	case h.pos != pos:
		return fmt.Errorf("frame names position %v", h.pos)
	case h.salt == 0 || (salt != 0 && h.salt != salt):
		return fmt.Errorf("frame has the salt of another life")
	case h.kind < KindData || h.kind > kindAccept:
		return fmt.Errorf("frame has unknown kind %d", h.kind)
	case h.payload > maxPayloadBytes || frameBytes(h.payload) > room:
		return fmt.Errorf("frame has a payload of %d bytes, more than fits", h.payload)
	case h.durableUpto > pos || h.before > position(pos.segment(), 0):
		return fmt.Errorf("frame refers to a position after itself")
	}
	return nil
}

// checkFrame compares the checksum of a whole frame, padding included.
func checkFrame(b []byte) error {
	want := binary.LittleEndian.Uint32(b)
	if got := crc32.Checksum(b[4:], castagnoli); got != want {
		return fmt.Errorf("frame has checksum %08x, not %08x", got, want)
	}
	return nil
}

// span is a range of positions, from inclusive, to exclusive.
type span struct{ from, to Position }

func appendAccepted(dst []byte, spans []span) []byte {
	for _, s := range spans {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(s.from))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(s.to))
	}
	return dst
}

func parseAccepted(b []byte) []span {
	var spans []span
	for ; len(b) >= acceptRangeBytes; b = b[acceptRangeBytes:] {
		s := span{Position(binary.LittleEndian.Uint64(b)), Position(binary.LittleEndian.Uint64(b[8:]))}
		if s.from < s.to {
			spans = append(spans, s)
		}
	}
	return spans
}
