package wal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Recovery is what Open found.
type Recovery struct {
	Frames int   // data frames replayed
	Bytes  int64 // their payloads
	// Clean tells that the log was closed: its last frame is a closing frame and nothing was cut.
	Clean bool
	// Cuts are torn tails: frames that were being written when the power went, and never acknowledged.
	// Open cuts them off.
	Cuts []Cut
	// Damage is what was acknowledged and cannot be read. As long as there is any, the log takes no
	// frames and changes no file, so a later Open reports the same.
	Damage []Damage
}

// Cut is the torn tail of a segment.
type Cut struct {
	File   string // name in the log's folder
	Offset int64
	Bytes  int64 // as far as traces of frames reach
}

func (c Cut) String() string {
	return fmt.Sprintf("%s: torn tail of %d bytes at offset %d", c.File, c.Bytes, c.Offset)
}

// Damage is a range of the log that was on disk once and is not valid now. The frames that were in it
// lie between the last frame replayed before From and the first one at or after To.
type Damage struct {
	File     string // name in the log's folder
	Offset   int64
	Bytes    int64 // 0 when the file is missing, or too short
	Reason   string
	From, To Position
}

func (d Damage) String() string {
	return fmt.Sprintf("%s: %s (%d bytes at offset %d, log positions %v to %v)", d.File, d.Reason, d.Bytes, d.Offset, d.From, d.To)
}

// found is a segment in the folder during replay.
type found struct {
	segmentReader
	fileSize int64 // the reader's size is bounded
	// known: before and salt are, from the header or, where that is bad, from a valid frame. A segment that
	// is not known was made ready and never begun, or nothing in it is valid.
	known     bool
	headerErr error
	before    Position

	frames  bool     // a valid frame of it was replayed
	dataEnd Position // end of its last data frame
	damaged bool
}

// replayer reads the log once, in order. How it tells a torn tail from damage:
//
// A frame's durable_upto and a segment's before were built after everything below them was synced. So
// the highest of them in the log, the bound, proves that all bytes below it were once on disk: what is
// bad below the bound is damage. What is bad at or above it was never acknowledged (an acknowledged
// group is followed by a frame that proves it, unless the process ended within IdleAfter; such a group
// that goes bad later cannot be told from a torn one, and nothing in the format could). From the first
// bad byte at or above the bound on, everything is the torn tail, valid frames after it included:
// pages of one group reach the disk in any order.
//
// Where does a segment end? At the before of the next one, exactly: bytes after it are void, whatever
// they hold. That makes a cut hold for ever: the segment that Open begins after it says in its first 64
// bytes, before anything is acknowledged, where the log ended. Void bytes cannot come back as frames of
// a later life either, since a segment is never written to after a replay, a reused file gets a new id
// (so a new position for each of its bytes) and a new salt, and the position of each frame says where
// it has to stand. A bad frame therefore never lends its place to another one, and the bound, which is
// a position too, means the same in every life.
//
// The bound is looked for only when something is bad, from there to the end of the log: every frame
// before it has a durable_upto that is at most its own position.
type replayer struct {
	segs   []*found
	replay func(Frame) error

	at       Position // the log is read up to here
	last     Kind     // kind of the last valid frame
	bound    Position
	hasBound bool
	accepted []span
	rec      Recovery
}

// run reads every segment. An error is one of the replay function, or ErrVersion.
func (p *replayer) run() error {
	for _, s := range p.segs {
		if err := p.survey(s); err != nil {
			return err
		}
	}
	slices.SortFunc(p.accepted, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	torn := false
	for i, s := range p.segs {
		if i == 0 {
			p.at = position(s.id, segmentHeaderBytes)
		}
		if _, more := p.nextBefore(i); !s.known && !more && s.unreadable(0) {
			// Nothing after it tells whether anything was in it.
			p.damageBetween(p.at, position(s.id, s.lost.to), i+1)
		}
		if !s.known {
			continue // void, or a gap that the next known segment shows
		}
		if torn {
			p.cut(s, 0)
			continue
		}
		if s.before > p.at {
			p.damageBetween(p.at, s.before, i)
		}
		var err error
		if torn, err = p.segment(i); err != nil {
			return err
		}
	}
	p.judge()
	return nil
}

// survey learns what a segment says about itself, and which damage was accepted when it was begun.
func (p *replayer) survey(s *found) error {
	head := s.bytes(0, min(segmentHeaderBytes, s.size))
	h, err := parseSegmentHeader(head, s.id)
	if errors.Is(err, ErrVersion) {
		return fmt.Errorf("wal: %s: %w", segmentName(s.id), err)
	}
	if err == nil {
		s.known, s.before, s.salt = true, h.before, h.salt
	} else if f, _, ok := s.next(segmentHeaderBytes, s.size); ok {
		s.known, s.before, s.salt = true, f.before, f.frameHeader.salt
	}
	s.headerErr = err
	if f, err := s.frame(segmentHeaderBytes, s.size); err == nil && f.kind == kindAccept {
		for _, a := range parseAccepted(f.payload) {
			if a.to <= s.before {
				p.accepted = append(p.accepted, a)
			}
		}
	}
	return nil
}

// nextBefore returns where the log ended when the next known segment after i began; false if there is
// none.
func (p *replayer) nextBefore(i int) (Position, bool) {
	for _, s := range p.segs[i+1:] {
		if s.known {
			return s.before, true
		}
	}
	return 0, false
}

// segment replays segment i. torn tells that the log ends here with a torn tail.
func (p *replayer) segment(i int) (torn bool, err error) {
	s := p.segs[i]
	next, more := p.nextBefore(i)
	start := position(s.id, segmentHeaderBytes)
	limit, exact := s.size, false
	switch {
	case !more, next.segment() > s.id:
		// The last one, or the segment after it is lost, and with it where this one ended.
	case next <= start:
		return false, nil // begun, and given up by an Open before anything in it counted
	default:
		limit, exact = next.offset(), true
	}
	if head := position(s.id, 0); s.headerErr != nil && !p.skip(s, head) {
		if head >= p.findBound(s, segmentHeaderBytes) && !s.unreadable(0) {
			p.cut(s, 0)
			return true, nil
		}
		p.damage(s, head, start, s.headerErr)
		p.at = start
	}
	// p.at moves only past frames and damage: a segment without either is as if it had never been.
	off := int64(segmentHeaderBytes)
	for {
		pos := position(s.id, off)
		if exact && off >= limit {
			return false, nil
		}
		if p.skip(s, pos) {
			if p.at.segment() != s.id {
				return false, nil
			}
			off = p.at.offset()
			continue
		}
		f, bad := s.frame(off, limit)
		if bad == nil {
			if err := p.deliver(s, f); err != nil {
				return false, err
			}
			off = f.end.offset()
			continue
		}
		// What cannot be read is not proven to have been acknowledged, nor not to: it is not cut.
		if pos >= p.findBound(s, off) && !s.unreadable(off) {
			p.cut(s, off)
			return true, nil
		}
		if f, found, ok := s.next(off+frameAlign, limit); ok {
			p.damage(s, pos, f.pos, bad)
			p.at, off = f.pos, found
			continue
		}
		switch {
		case exact:
			p.damage(s, pos, next, bad)
			p.at = next
		case !more:
			p.at = position(s.id, s.lost.to)
			p.damage(s, pos, p.at, bad)
		}
		return false, nil // the last case is a gap that the next known segment shows
	}
}

// skip moves past a range of damage that contains pos and was accepted. Nothing in it is replayed even
// if it can be read again: it was given up, and its place in the order may be taken.
func (p *replayer) skip(s *found, pos Position) bool {
	for _, a := range p.accepted {
		if a.from <= pos && pos < a.to {
			s.damaged = true
			p.at = max(p.at, a.to)
			return true
		}
	}
	return false
}

// deliver hands one frame on.
func (p *replayer) deliver(s *found, f rawFrame) error {
	p.at, p.last, s.frames = f.end, f.kind, true
	switch {
	case f.kind == kindAccept:
		return nil // survey has read it
	case f.kind == KindData:
		s.dataEnd = f.end
		p.rec.Frames++
		p.rec.Bytes += f.frameHeader.payload
	case len(f.payload) == 0:
		return nil
	}
	return p.replay(Frame{Pos: f.pos, End: f.end, Kind: f.kind, Payload: f.payload})
}

// findBound returns the highest position that anything from offset off of segment s on proves to have
// been on disk.
func (p *replayer) findBound(from *found, off int64) Position {
	if p.hasBound {
		return p.bound
	}
	p.hasBound = true
	reached := false
	for _, s := range p.segs {
		if s == from {
			reached = true
		}
		if !reached || !s.known {
			continue
		}
		p.bound = max(p.bound, s.before)
		for {
			f, _, ok := s.next(off, s.size)
			if !ok {
				break
			}
			p.bound = max(p.bound, f.durableUpto)
			off = f.end.offset()
		}
		off = segmentHeaderBytes
	}
	return p.bound
}

// damage notes a range inside one segment.
func (p *replayer) damage(s *found, from, to Position, why error) {
	s.damaged = true
	p.rec.Damage = append(p.rec.Damage, Damage{
		File: segmentName(s.id), Offset: from.offset(), Bytes: int64(to - from), Reason: why.Error(), From: from, To: to,
	})
}

// damageBetween notes that the log goes on at to, before segment i, while what was read ends at from.
// Each file that should hold a part of that is named, and a row of missing files once: ids may lie far
// apart.
func (p *replayer) damageBetween(from, to Position, i int) {
	start, next := from, from.segment() // the range and the id that are not accounted for yet
	add := func(d Damage, end Position) {
		d.From, d.To = start, end
		p.rec.Damage = append(p.rec.Damage, d)
		start = end
	}
	missing := func(last uint32, end Position) {
		d := Damage{File: segmentName(last), Reason: "the segment file is missing"}
		if next < last {
			d.Reason = fmt.Sprintf("the segment files are missing from %s on", segmentName(next))
		}
		add(d, end)
	}
	for _, s := range p.segs[:i] {
		if s.id < next || s.id > to.segment() {
			continue
		}
		if s.id > next {
			missing(s.id-1, position(s.id, 0))
		}
		next = s.id + 1
		if s.known {
			continue // it may well end at from: only the lost segment after it knew
		}
		s.damaged = true
		off, end := int64(0), s.size
		if s.id == start.segment() {
			off = start.offset()
		}
		if s.id == to.segment() {
			end = min(end, to.offset())
		}
		add(Damage{
			File: segmentName(s.id), Offset: off, Bytes: max(end-off, 0), Reason: "nothing in the segment is valid",
		}, min(to, position(s.id+1, 0)))
	}
	if start < to {
		missing(to.segment(), to)
	}
	p.at = to
}

// cut notes that the log ends at offset off of segment s, if there are traces of what came after it.
// Of a group whose first page never reached the disk a reused file shows nothing.
func (p *replayer) cut(s *found, off int64) {
	extent, traces := int64(0), s.known
	if off > 0 {
		extent, traces = s.traces(off)
	}
	end := off + extent
	for from := max(off, segmentHeaderBytes); ; {
		f, _, ok := s.next(from, s.size)
		if !ok {
			break
		}
		traces, from = true, f.end.offset()
		end = max(end, from)
	}
	if traces {
		p.rec.Cuts = append(p.rec.Cuts, Cut{File: segmentName(s.id), Offset: off, Bytes: end - off})
	}
}

// judge takes accepted damage off the list.
func (p *replayer) judge() {
	p.rec.Clean = p.last == KindClose && len(p.rec.Cuts) == 0
	p.rec.Damage = slices.DeleteFunc(p.rec.Damage, func(d Damage) bool {
		at := d.From
		for _, s := range p.accepted {
			if s.from <= at {
				at = max(at, s.to)
			}
		}
		return at >= d.To
	})
}
