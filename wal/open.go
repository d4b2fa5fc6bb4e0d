package wal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Open replays what the folder holds and makes the log ready for Append. The folder is made if it is
// not there; the caller sees to it that no other process has it open.
//
// Every segment is synced, and read from the disk rather than from what the kernel has cached. replay
// is called for each valid frame in log order, on the calling goroutine: data frames, and idle and
// closing frames with a payload. Memory is bounded by the largest frame. If replay returns an error,
// Open returns that error and has changed nothing.
//
// Then a torn tail is cut off, and a new segment begun, whose first bytes say where the log ended. On a
// full disk Open succeeds all the same, and Append returns ErrNoSpace until there is room. If there is
// damage, Open changes nothing in the folder, and Append returns ErrDamaged until AcceptDamage.
func Open(dir string, o Options, replay func(Frame) error) (*Log, *Recovery, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, nil, err
	}
	l := &Log{
		dir: dir, o: o, files: o.files, logger: o.Logger,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	if err := l.files.MkdirAll(dir); err != nil {
		return nil, nil, fmt.Errorf("wal: %w", err)
	}
	t, rec, err := l.replay(replay)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range rec.Cuts {
		l.logger.Warn("torn tail of the write-ahead log", "file", c.File, "offset", c.Offset, "bytes", c.Bytes)
	}
	for _, d := range rec.Damage {
		l.logger.Error("write-ahead log is damaged", "file", d.File, "offset", d.Offset, "bytes", d.Bytes,
			"reason", d.Reason, "from", d.From, "to", d.To)
	}
	l.end.Store(uint64(t.end))
	if len(rec.Damage) > 0 {
		for _, d := range rec.Damage {
			t.lost = append(t.lost, span{d.From, d.To})
		}
		l.pending = t
		l.mu.refuse = notWritten(ErrDamaged, nil)
		l.holder.held, l.holder.free = t.held, t.free
		return l, rec, nil
	}
	if err := l.begin(t); err != nil {
		return nil, nil, err
	}
	return l, rec, nil
}

// tail is what a replay leaves to be done before the log takes frames.
type tail struct {
	end    Position   // where the log ended
	cutAt  string     // the segment to be cut there, "" for none
	held   []heldFile // segments that hold frames, or damage
	empty  []heldFile // segments that hold nothing
	free   []freeFile
	lastID uint32
	lost   []span // damage that was found
}

// replay reads the folder and closes every file again.
func (l *Log) replay(replay func(Frame) error) (t *tail, rec *Recovery, err error) {
	names, err := l.files.ReadDir(l.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("wal: %w", err)
	}
	t = &tail{}
	p := &replayer{replay: replay}
	defer func() {
		for _, s := range p.segs {
			if cerr := s.file.Close(); err == nil && cerr != nil {
				err = fmt.Errorf("wal: %w", cerr)
			}
		}
	}()
	w := &window{}
	for _, name := range names {
		if id, ok := parseName(name, freeSuffix); ok {
			size, err := l.sizeOf(name)
			if err != nil {
				return nil, nil, err
			}
			t.free = append(t.free, freeFile{id, size})
			t.lastID = max(t.lastID, id)
		}
		id, ok := parseName(name, segmentSuffix)
		if ok {
			s, err := l.openFound(name, id, w)
			if err != nil {
				return nil, nil, err
			}
			p.segs = append(p.segs, s)
			t.lastID = max(t.lastID, id)
		}
	}
	slices.SortFunc(p.segs, func(a, b *found) int { return cmp.Compare(a.id, b.id) })
	slices.SortFunc(t.free, func(a, b freeFile) int { return cmp.Compare(a.id, b.id) })
	if err := p.run(); err != nil {
		return nil, nil, err
	}
	t.end = p.at
	for _, s := range p.segs {
		h := heldFile{id: s.id, size: s.fileSize, done: true, dataEnd: s.dataEnd, damaged: s.damaged}
		if !s.frames && !s.damaged {
			t.empty = append(t.empty, h)
			continue
		}
		t.held = append(t.held, h)
		if s.id == t.end.segment() && s.fileSize > t.end.offset() {
			t.cutAt = segmentName(s.id)
		}
	}
	return t, &p.rec, nil
}

func (l *Log) openFound(name string, id uint32, w *window) (*found, error) {
	f, err := l.files.Open(l.path(name))
	if err != nil {
		return nil, fmt.Errorf("wal: %w", err)
	}
	size, err := f.Size()
	if err == nil {
		err = f.Settle()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wal: %w", err), f.Close())
	}
	s := &found{fileSize: size}
	s.id, s.file, s.size, s.window = id, f, min(size, maxSegmentBytes), w
	return s, nil
}

func (l *Log) sizeOf(name string) (int64, error) {
	f, err := l.files.Open(l.path(name))
	if err != nil {
		return 0, fmt.Errorf("wal: %w", err)
	}
	size, err := f.Size()
	return size, errors.Join(err, f.Close())
}

// begin does what the tail says and starts the appender. After a failure it may be called again.
func (l *Log) begin(t *tail) error {
	if err := l.tidy(t); err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	h := &l.holder
	h.Lock()
	h.held, h.free, h.lastID = slices.Clone(t.held), slices.Clone(t.free), max(h.lastID, t.lastID)
	h.Unlock()
	a := newAppender(l, t.end)
	err := a.first()
	if err != nil && isNoSpace(err) && len(t.lost) == 0 {
		l.logger.Warn("no space for a segment: the log takes nothing until there is", "dir", l.dir, "err", err)
		err = nil
	}
	if err == nil && len(t.lost) > 0 {
		err = a.accept(t.lost)
	}
	if err != nil {
		a.closeFiles()
		return err
	}
	l.mu.Lock()
	l.mu.refuse = nil
	l.mu.Unlock()
	go a.run()
	return nil
}

// tidy cuts the last segment where the log ended and puts away the files that hold nothing. What is
// done is taken off the tail.
func (l *Log) tidy(t *tail) error {
	if t.cutAt != "" {
		f, err := l.files.Open(l.path(t.cutAt))
		if err != nil {
			return err
		}
		if err := errors.Join(f.Truncate(t.end.offset()), f.Close()); err != nil {
			return err
		}
		t.cutAt = ""
		for i := range t.held {
			if t.held[i].id == t.end.segment() {
				t.held[i].size = t.end.offset()
			}
		}
	}
	for len(t.empty) > 0 {
		old := t.empty[0]
		name := l.path(segmentName(old.id))
		if old.size == l.o.SegmentBytes {
			if err := l.files.Rename(name, l.path(freeName(old.id))); err != nil {
				return err
			}
			t.free = append(t.free, freeFile{old.id, old.size})
		} else if err := l.files.Remove(name); err != nil {
			return err
		}
		t.empty = t.empty[1:]
	}
	for i := 0; i < len(t.free); {
		if t.free[i].size == l.o.SegmentBytes && i < l.o.KeepSegments {
			i++
			continue
		}
		if err := l.files.Remove(l.path(freeName(t.free[i].id))); err != nil {
			return err
		}
		t.free = slices.Delete(t.free, i, i+1)
	}
	return l.files.SyncDir(l.dir)
}

// first begins the first segment of this life. From then on everything before it is proven.
func (a *appender) first() error {
	size := min(a.log.o.SegmentBytes, firstSegmentBytes)
	if len(a.log.holder.free) > 0 {
		size = a.log.o.SegmentBytes
	}
	s, err := a.log.makeSegment(size)
	if err != nil {
		return refuseSegment(err)
	}
	a.start(s)
	a.begin(0)
	if err := a.write(); err != nil {
		return err
	}
	return a.sync()
}

// accept writes and syncs the frame that says which damage was accepted.
func (a *appender) accept(lost []span) error {
	need := frameBytes(int64(len(lost)) * acceptRangeBytes)
	if need > a.room() {
		if err := a.roll(need); err != nil {
			return err
		}
	}
	a.begin(need)
	pos, start := a.position(), a.reserve()
	a.buf = appendAccepted(a.buf, lost)
	a.seal(start, kindAccept, pos)
	if err := a.write(); err != nil {
		return err
	}
	return a.sync()
}

// AcceptDamage gives up what Open reported as damage, durably, and lets the log take frames. The frames
// around the damage are still replayed by later Opens for as long as they are not trimmed, and these
// ranges are not reported again. Without damage it does nothing.
func (l *Log) AcceptDamage() error {
	l.accepting.Lock()
	defer l.accepting.Unlock()
	l.mu.Lock()
	closed, failure := l.mu.closed, l.mu.failure
	l.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case failure != nil:
		return failure
	case l.pending == nil:
		return nil
	}
	if err := l.begin(l.pending); err != nil {
		return err
	}
	l.pending = nil
	return nil
}
