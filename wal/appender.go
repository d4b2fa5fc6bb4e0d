package wal

import (
	"runtime"
	"time"
)

// appender is the one goroutine that writes. It owns all its fields, so nothing here is locked.
//
// One group is in flight at a time: everything that was queued while a group was written and synced
// becomes the next group. For each group, in this order:
//
//  1. room: the entries are counted into the segment by their Size; where one does not fit the next
//     segment is begun, or, if there is none, that entry is refused. After this nothing but a failing
//     disk can go wrong, so no Fill is ever undone.
//  2. fill: frames are built in one buffer, in log order.
//  3. write, and fdatasync with SyncAlways. A failure of either is final.
//  4. Durable for each entry in order, then the answers.
type appender struct {
	log *Log

	cur    *segment // nil while there was no room for the first one
	making chan made
	next   *segment
	// busy is set while a goroutine makes the next segment and will send to making.
	busy bool

	durable  Position // everything before it is on disk
	unsynced bool     // something was written after it
	owesIdle bool     // the last frame is a data frame
	armed    bool     // the interval timer runs
	failed   error    // as in Log.mu.failure

	buf   []byte // the group being built
	mark  []byte // the payload of idle and closing frames
	group []*request
	taken []*request // swapped with the queue

	idle     *time.Timer
	interval *time.Timer
}

// made is the outcome of making a segment in the background.
type made struct {
	seg *segment
	err error
}

func newAppender(l *Log, durable Position) *appender {
	a := &appender{
		log: l, durable: durable, making: make(chan made, 1),
		idle: time.NewTimer(time.Hour), interval: time.NewTimer(time.Hour),
	}
	a.idle.Stop()
	a.interval.Stop()
	return a
}

func (a *appender) run() {
	l := a.log
	defer close(l.done)
	for {
		select {
		case <-l.wake:
			a.drain()
		case <-a.interval.C:
			a.armed = false
			if a.unsynced && a.failed == nil {
				_ = a.sync() // a failure is kept and answers everything from now on
			}
		case <-a.idle.C:
			if a.owesIdle {
				a.writeMark(KindIdle)
			}
		case <-l.quit:
			a.drain()
			a.close()
			return
		}
	}
}

// drain answers everything queued, a group at a time.
func (a *appender) drain() {
	l := a.log
	for {
		l.mu.Lock()
		q := l.mu.queue
		l.mu.queue = a.taken[:0]
		l.mu.Unlock()
		if len(q) == 0 {
			a.taken = q
			return
		}
		for rest := q; len(rest) > 0; {
			rest = a.take(rest)
			a.commit()
		}
		clear(q)
		a.taken = q
		// Callers that were just answered often append again at once: let them run, so that they share the
		// next group instead of queueing behind a group of one.
		runtime.Gosched()
	}
}

// take moves requests into the group until the group, or the segment, is full, and returns the rest.
// Requests that cannot be written are answered here.
func (a *appender) take(q []*request) []*request {
	a.group = a.group[:0]
	planned := int64(0)
	for len(q) > 0 {
		r := q[0]
		if a.failed != nil {
			r.answer(a.log.refusal())
			q = q[1:]
			continue
		}
		if r.entry == nil {
			a.group, q = append(a.group, r), q[1:]
			continue
		}
		if err := r.ctx.Err(); err != nil {
			r.answer(notWritten(err, nil))
			q = q[1:]
			continue
		}
		need := frameBytes(r.payload)
		if planned > 0 && (planned+need > maxGroupBytes || planned+need > a.room()) {
			return q
		}
		if need > a.room() {
			if len(a.group) > 0 {
				return q // a Sync is answered first: if rolling fails to sync, nothing may sync again
			}
			if err := a.roll(need); err != nil {
				r.answer(err)
				q = q[1:]
				continue
			}
		}
		planned += need
		a.group, q = append(a.group, r), q[1:]
	}
	return q
}

// room is how many bytes of frames still fit in the segment.
func (a *appender) room() int64 {
	if a.cur == nil {
		return 0
	}
	return a.cur.size - a.cur.off
}

// commit writes the group and answers it.
func (a *appender) commit() {
	if len(a.group) == 0 {
		return
	}
	a.idle.Stop()
	frames, payload, wantSync, planned := 0, int64(0), a.log.o.Sync == SyncAlways, int64(0)
	for _, r := range a.group {
		if r.entry == nil {
			wantSync = true
			continue
		}
		frames++
		planned += frameBytes(r.payload)
	}
	if frames > 0 {
		a.begin(planned)
		for _, r := range a.group {
			if r.entry == nil {
				continue
			}
			r.pos = a.position()
			start := a.reserve()
			a.buf = r.entry.Fill(a.buf)
			n := int64(len(a.buf) - start - frameHeaderBytes)
			if n < 0 || n > r.payload {
				a.fail(errContract)
				a.finish()
				return
			}
			payload += n
			r.end = a.seal(start, KindData, r.pos)
		}
		if a.write() != nil {
			a.finish()
			return
		}
		a.log.counters.group(frames, payload, int64(len(a.buf)))
		a.cur.dataEnd = a.log.End()
		a.owesIdle = true
	}
	if wantSync && a.unsynced {
		if a.sync() != nil {
			a.finish()
			return
		}
	} else if a.unsynced && !a.armed {
		a.armed = true
		a.interval.Reset(a.log.o.SyncInterval)
	}
	for _, r := range a.group {
		if r.entry != nil {
			r.entry.Durable(r.pos, r.end)
		}
	}
	a.finish()
	a.trimBuffer()
	if a.owesIdle {
		a.idle.Reset(a.log.o.IdleAfter)
	}
	a.makeAhead()
}

// finish answers the group with success, or with the failure of the log.
func (a *appender) finish() {
	for _, r := range a.group {
		r.answer(a.failed)
	}
	clear(a.group)
	a.group = a.group[:0]
}
