package wal

import (
	"encoding/binary"
	"errors"
	"io"
)

// readBytes is how much of a segment is read at once. The window grows to the size of a frame where
// that is larger, and is shared by all segments of a replay.
const readBytes = 1 << 20

// segmentReader finds frames in one segment. It checks everything before it believes a length.
type segmentReader struct {
	id   uint32
	file file
	size int64
	salt uint32 // 0: not known, any will do

	window *window
	off    int64 // where in the file the window begins
	n      int64 // bytes in it

	// lost spans what the disk could not give; it reads as zeros. 0, 0: nothing.
	lost struct{ from, to int64 }
}

var errUnreadable = errors.New("the disk cannot read it")

// unreadable tells whether the disk failed to give anything at or after off, of what was asked so far.
func (r *segmentReader) unreadable(off int64) bool { return r.lost.to > off }

// window is the read buffer that the readers of a replay share. owner is the one whose bytes it holds.
type window struct {
	buf   []byte
	owner *segmentReader
}

// bytes returns n bytes at off, valid until the next call; nil if the segment ends before.
func (r *segmentReader) bytes(off, n int64) []byte {
	if off < 0 || n < 0 || off+n > r.size {
		return nil
	}
	w := r.window
	if w.owner != r || off < r.off || off+n > r.off+r.n {
		want := min(max(n, readBytes), r.size-off)
		if int64(len(w.buf)) < want {
			w.buf = make([]byte, max(want, min(readBytes, r.size)))
		}
		r.read(w.buf[:want], off)
		w.owner, r.off, r.n = r, off, want
	}
	return w.buf[off-r.off : off-r.off+n]
}

// read fills b from the file. Where the disk fails it goes on page by page, takes zeros for the pages
// it cannot have and notes them: they must not be taken for the end of the log.
func (r *segmentReader) read(b []byte, off int64) {
	n, err := r.file.ReadAt(b, off)
	if err == nil || (err == io.EOF && n == len(b)) {
		return
	}
	for done := int64(0); done < int64(len(b)); {
		page := min(pageBytes-(off+done)%pageBytes, int64(len(b))-done)
		part := b[done : done+page]
		if n, err := r.file.ReadAt(part, off+done); n < len(part) && err != nil {
			clear(part)
			if r.lost.to == 0 {
				r.lost.from = off + done
			}
			r.lost.from = min(r.lost.from, off+done)
			r.lost.to = max(r.lost.to, off+done+page)
		}
		done += page
	}
}

// rawFrame is a frame that was found to be valid.
type rawFrame struct {
	frameHeader
	end     Position
	payload []byte // valid until the next call of the reader
}

// frame returns the frame at off if there is a valid one that ends at or before limit.
func (r *segmentReader) frame(off, limit int64) (rawFrame, error) {
	b := r.bytes(off, frameHeaderBytes)
	if b == nil {
		return rawFrame{}, io.ErrUnexpectedEOF
	}
	h := parseFrameHeader(b)
	if err := h.validate(position(r.id, off), r.salt, min(limit, r.size)-off); err != nil {
		return rawFrame{}, err
	}
	size := frameBytes(h.payload)
	b = r.bytes(off, size)
	if err := checkFrame(b); err != nil {
		if r.lost.from < off+size && off < r.lost.to {
			err = errUnreadable
		}
		return rawFrame{}, err
	}
	return rawFrame{
		frameHeader: h,
		end:         position(r.id, off+size),
		payload:     b[frameHeaderBytes : frameHeaderBytes+h.payload],
	}, nil
}

// next returns the first valid frame at or after off that ends at or before limit.
func (r *segmentReader) next(off, limit int64) (rawFrame, int64, bool) {
	for ; off+frameHeaderBytes <= min(limit, r.size); off += frameAlign {
		b := r.bytes(off, frameHeaderBytes)
		// The position is compared first: it alone sorts out nearly every offset that holds no frame.
		if Position(binary.LittleEndian.Uint64(b[16:])) != position(r.id, off) {
			continue
		}
		if f, err := r.frame(off, limit); err == nil {
			return f, off, true
		}
	}
	return rawFrame{}, 0, false
}

// traces tells whether anything at off looks like a frame of this life that was not finished: its salt
// or its place in the header, or the start of a header at the end of the file. extent is how many bytes
// it claims, as far as they can be there.
func (r *segmentReader) traces(off int64) (extent int64, found bool) {
	left := r.size - off
	if left <= 0 {
		return 0, false
	}
	if left < frameHeaderBytes {
		for _, c := range r.bytes(off, left) {
			if c != 0 {
				return left, true
			}
		}
		return 0, false
	}
	h := parseFrameHeader(r.bytes(off, frameHeaderBytes))
	if h.pos != position(r.id, off) && (r.salt == 0 || h.salt != r.salt) {
		return 0, false
	}
	return min(frameBytes(h.payload), left), true
}
