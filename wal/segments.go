package wal

import (
	"errors"
	"fmt"
	"math"
	"sync"
)

// segment is a file the appender writes to, or will.
type segment struct {
	segmentHeader // before is set when the segment is begun
	file          file
	size          int64
	off           int64    // where the next frame goes
	begun         bool     // the header is written
	dataEnd       Position // end of the last data frame, 0 without one
}

// holder is the lists of files in the folder.
type holder struct {
	sync.Mutex
	held   []heldFile // oldest first; the last ones are in use or ready to be
	free   []freeFile
	lastID uint32 // the largest id ever seen
}

// heldFile is a segment in the folder.
type heldFile struct {
	id   uint32
	size int64
	// done is set when the appender is through with it: only then may Trim take it.
	done bool
	// dataEnd is the end of its last data frame. Idle and closing frames do not count: a segment that
	// holds nothing else is of no use to anybody.
	dataEnd Position
	// damaged keeps the file from being reused: its disk blocks are not to be trusted.
	damaged bool
}

// freeFile is a trimmed segment that waits to be reused.
type freeFile struct {
	id   uint32
	size int64
}

// finished notes that the appender is through with a segment.
func (h *holder) finished(s *segment) {
	h.Lock()
	defer h.Unlock()
	for i := range h.held {
		if h.held[i].id == s.id {
			h.held[i].done, h.held[i].dataEnd, h.held[i].size = true, s.dataEnd, s.size
		}
	}
}

// makeSegment makes a segment of size bytes: from a free file of that size if there is one, else a new
// one. On return its name, its size and an empty header are durable, so that the first group in it
// needs nothing but its own write and sync. Only one call runs at a time.
func (l *Log) makeSegment(size int64) (*segment, error) {
	h := &l.holder
	h.Lock()
	id := h.lastID
	h.Unlock()
	if id == math.MaxUint32 {
		return nil, errors.New("wal: segment ids are used up")
	}
	id++
	f, err := l.reuse(size)
	if f == nil && err == nil {
		f, err = l.create(size)
	}
	if err != nil {
		return nil, err
	}
	err = l.files.Rename(l.path(tempName), l.path(segmentName(id)))
	if err == nil {
		err = l.files.SyncDir(l.dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	h.Lock()
	h.lastID = id
	h.held = append(h.held, heldFile{id: id, size: size})
	h.Unlock()
	return &segment{
		segmentHeader: segmentHeader{id: id, salt: l.o.newSalt()},
		file:          f, size: size, off: segmentHeaderBytes,
	}, nil
}

// create allocates a new file under the temporary name.
func (l *Log) create(size int64) (file, error) {
	f, err := l.files.Create(l.path(tempName))
	if err != nil {
		return nil, err
	}
	err = f.Allocate(size)
	if err == nil {
		err = f.Fdatasync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), l.files.Remove(l.path(tempName)))
	}
	return f, nil
}

// reuse moves a free file of the right size to the temporary name and clears its header, so that it is
// not taken for the segment it was. A file that cannot be used is removed. nil, nil: there is none.
func (l *Log) reuse(size int64) (file, error) {
	for {
		old, ok := l.takeFree(size)
		if !ok {
			return nil, nil
		}
		f, err := l.clearHeader(freeName(old.id))
		if err == nil {
			return f, nil
		}
		l.logger.Warn("cannot reuse a segment", "file", freeName(old.id), "err", err)
		if err := l.files.Remove(l.path(freeName(old.id))); err != nil {
			return nil, err
		}
	}
}

func (l *Log) takeFree(size int64) (freeFile, bool) {
	h := &l.holder
	h.Lock()
	defer h.Unlock()
	for i, f := range h.free {
		if f.size == size {
			h.free = append(h.free[:i], h.free[i+1:]...)
			return f, true
		}
	}
	return freeFile{}, false
}

func (l *Log) clearHeader(name string) (file, error) {
	f, err := l.files.Open(l.path(name))
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteAt(zeros[:pageBytes], 0); err == nil {
		err = f.Fdatasync()
	}
	if err == nil {
		err = l.files.Rename(l.path(name), l.path(tempName))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// makeAhead makes the next segment in the background once half of the current one is used: early
// enough that a roll seldom waits, and not at all in a log that is hardly used.
func (a *appender) makeAhead() {
	if a.busy || a.next != nil || a.failed != nil || a.cur == nil || a.cur.off < a.cur.size/2 {
		return
	}
	a.busy = true
	go func() {
		s, err := a.log.makeSegment(a.log.o.SegmentBytes)
		a.making <- made{s, err}
	}()
}

func (a *appender) receive(m made) {
	a.busy = false
	if m.err != nil {
		a.log.logger.Warn("cannot make the next segment ready; it is tried again when it is needed", "err", m.err)
		return
	}
	a.next = m.seg
}

// roll begins the next segment, with room for need bytes of frames. Everything in the old one is synced
// before, because the new one says so. Without a next segment nothing changes.
func (a *appender) roll(need int64) error {
	if a.unsynced {
		if err := a.sync(); err != nil {
			return notWritten(ErrFailed, err)
		}
	}
	if a.busy {
		a.receive(<-a.making)
	}
	if a.next == nil {
		s, err := a.log.makeSegment(a.log.o.SegmentBytes)
		if err != nil {
			return refuseSegment(err)
		}
		a.next = s
	}
	if least := roundToPage(segmentHeaderBytes + need); a.next.size < least {
		if err := a.next.file.Allocate(least); err != nil {
			return refuseSegment(fmt.Errorf("grow it to %d bytes: %w", least, err))
		}
		a.next.size = least
	}
	a.start(a.next)
	a.next = nil
	return nil
}

// start puts the appender on a segment that was made ready.
func (a *appender) start(s *segment) {
	if old := a.cur; old != nil {
		a.log.holder.finished(old)
		if err := old.file.Close(); err != nil {
			a.log.logger.Warn("cannot close a segment", "segment", segmentName(old.id), "err", err)
		}
	}
	s.before = a.log.End()
	a.cur = s
}

// refuseSegment turns the error of making a segment into the answer of an entry that needs it.
func refuseSegment(err error) error {
	if isNoSpace(err) {
		return notWritten(ErrNoSpace, err)
	}
	return notWritten(errors.New("wal: cannot begin the next segment"), err)
}

// Trim frees every segment, oldest first, whose data frames all end at or before upTo; the segment in
// use stays. Up to Options.KeepSegments files are kept to be reused, the rest is removed. While damage
// is not accepted Trim does nothing: the damaged segments stay, and so does what proves the damage.
func (l *Log) Trim(upTo Position) error {
	l.trimming.Lock()
	defer l.trimming.Unlock()
	l.mu.Lock()
	closed := l.mu.closed
	l.mu.Unlock()
	if closed {
		return ErrClosed
	}
	l.accepting.Lock()
	pending := l.pending != nil
	l.accepting.Unlock()
	if pending {
		return nil
	}
	for {
		old, ok := l.holder.oldest(upTo)
		if !ok {
			return nil
		}
		if err := l.discard(old); err != nil {
			return fmt.Errorf("wal: trim %s: %w", segmentName(old.id), err)
		}
	}
}

// oldest returns the oldest segment if it can be freed. The last one never is, even when a full disk left
// the log without a segment in use: the ids go on from it.
func (h *holder) oldest(upTo Position) (heldFile, bool) {
	h.Lock()
	defer h.Unlock()
	if len(h.held) < 2 || !h.held[0].done || h.held[0].dataEnd > upTo {
		return heldFile{}, false
	}
	return h.held[0], true
}

// discard renames or removes a held segment and syncs the folder. Each is durable before the next one
// goes: a later segment missing while an earlier one came back after a power cut would look like damage.
func (l *Log) discard(old heldFile) error {
	h := &l.holder
	h.Lock()
	keep := !old.damaged && old.size == l.o.SegmentBytes && len(h.free) < l.o.KeepSegments
	h.Unlock()
	name := l.path(segmentName(old.id))
	var err error
	if keep {
		err = l.files.Rename(name, l.path(freeName(old.id)))
	} else {
		err = l.files.Remove(name)
	}
	if err == nil {
		err = l.files.SyncDir(l.dir)
	}
	if err != nil {
		return err
	}
	h.Lock()
	defer h.Unlock()
	for i := range h.held {
		if h.held[i].id == old.id {
			h.held = append(h.held[:i], h.held[i+1:]...)
			break
		}
	}
	if keep {
		h.free = append(h.free, freeFile{old.id, old.size})
	}
	return nil
}
