package wal

import (
	"fmt"
	"time"
)

// The steps of writing one group. They are called in this order: begin, then reserve, the payload and
// seal for each frame, then write, then sync.

// begin starts a write of at most n bytes of frames, for which there is room. A segment that was not
// begun gets its header in the same write.
func (a *appender) begin(n int64) {
	if want := n + segmentHeaderBytes + pageBytes; int64(cap(a.buf)) < want {
		a.buf = make([]byte, 0, want)
	}
	a.buf = a.buf[:0]
	if !a.cur.begun {
		a.buf = appendSegmentHeader(a.buf, a.cur.segmentHeader)
	}
}

// position is where in the log the next byte of the buffer goes.
func (a *appender) position() Position {
	return position(a.cur.id, a.bufferOffset()+int64(len(a.buf)))
}

// bufferOffset is where in the file the buffer goes.
func (a *appender) bufferOffset() int64 {
	if !a.cur.begun {
		return 0
	}
	return a.cur.off
}

// reserve makes room for a frame header and returns where it is in the buffer.
func (a *appender) reserve() int {
	start := len(a.buf)
	a.buf = append(a.buf, make([]byte, frameHeaderBytes)...)
	return start
}

// seal finishes the frame reserved at start and returns where the next one begins.
func (a *appender) seal(start int, kind Kind, pos Position) Position {
	a.buf = sealFrame(a.buf, start, frameHeader{
		kind: kind, salt: a.cur.salt, pos: pos, durableUpto: a.durable, before: a.cur.before,
	})
	return a.position()
}

// write hands the buffer to the file, filled up with zeros to the end of its last page. The zeros are
// overwritten by the next group. A short or failed write is final: part of the group may be there.
func (a *appender) write() error {
	off, n := a.bufferOffset(), len(a.buf)
	fill := roundToPage(off+int64(n)) - off - int64(n)
	a.buf = append(a.buf, zeros[:fill]...)
	_, err := a.cur.file.WriteAt(a.buf, off)
	a.buf = a.buf[:n]
	if err != nil {
		return a.fail(fmt.Errorf("write %s: %w", segmentName(a.cur.id), err))
	}
	if a.cur.begun || n > segmentHeaderBytes {
		// A header alone does not move the end: a segment that never got a frame may be removed, and no
		// later segment may claim that the log reached into it.
		a.log.end.Store(uint64(position(a.cur.id, off+int64(n))))
	}
	a.cur.begun, a.cur.off = true, off+int64(n)
	a.unsynced = true
	return nil
}

// sync makes everything written durable.
func (a *appender) sync() error {
	start := time.Now()
	if err := a.cur.file.Fdatasync(); err != nil {
		return a.fail(fmt.Errorf("sync %s: %w", segmentName(a.cur.id), err))
	}
	a.log.counters.synced(time.Since(start))
	a.durable, a.unsynced = a.log.End(), false
	if a.armed {
		a.armed = false
		a.interval.Stop()
	}
	return nil
}

func (a *appender) fail(cause error) error {
	a.failed = a.log.fail(cause)
	return a.failed
}

// writeMark writes and syncs an idle or a closing frame. What was written before it is synced first, so
// that the frame says of all of it that it is on disk: from then on a bad byte in it is damage. For want
// of space the frame is left out: then damage to the last group would be taken for a torn tail, after
// a crash as before one.
func (a *appender) writeMark(kind Kind) {
	a.owesIdle = false
	if a.failed != nil || (a.unsynced && a.sync() != nil) {
		return
	}
	a.mark = a.mark[:0]
	if fill := a.log.o.IdleFill; fill != nil {
		a.mark = fill(a.mark)
	}
	if len(a.mark) > a.log.o.MaxFrameBytes {
		a.log.logger.Error("payload of an idle frame is too large and was left out", "bytes", len(a.mark), "most", a.log.o.MaxFrameBytes)
		a.mark = a.mark[:0]
	}
	need := frameBytes(int64(len(a.mark)))
	if need > a.room() {
		if err := a.roll(need); err != nil {
			a.log.logger.Warn("no room for a frame after the last group", "kind", kind, "err", err)
			return
		}
	}
	a.begin(need)
	pos, start := a.position(), a.reserve()
	a.buf = append(a.buf, a.mark...)
	a.seal(start, kind, pos)
	if a.write() != nil {
		return
	}
	a.log.counters.group(0, 0, int64(len(a.buf)))
	_ = a.sync() // a failure is kept and answers everything from now on
	a.trimBuffer()
}

// trimBuffer gives back a buffer that one huge frame made.
func (a *appender) trimBuffer() {
	if cap(a.buf) > maxGroupBytes+segmentHeaderBytes+pageBytes {
		a.buf = nil
	}
	if cap(a.mark) > maxGroupBytes {
		a.mark = nil
	}
}

// close ends the log cleanly if it has not failed, and gives back every file.
func (a *appender) close() {
	a.idle.Stop()
	a.interval.Stop()
	if a.cur != nil {
		a.writeMark(KindClose)
	}
	if a.busy {
		a.receive(<-a.making)
	}
	a.closeFiles()
}

func (a *appender) closeFiles() {
	for _, s := range []*segment{a.cur, a.next} {
		if s == nil {
			continue
		}
		if err := s.file.Close(); err != nil {
			a.log.logger.Warn("cannot close a segment", "segment", segmentName(s.id), "err", err)
		}
	}
	a.cur, a.next = nil, nil
}
