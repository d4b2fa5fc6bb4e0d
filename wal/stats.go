package wal

import (
	"sync"
	"time"
)

// Stats is what a log has done since Open, and what it holds. Sizes are bytes.
type Stats struct {
	Segments     int   // segment files, the one in use and the one made ready included
	FreeSegments int   // files kept to be reused
	DiskBytes    int64 // size of all these files

	Frames       uint64 // data frames written
	PayloadBytes uint64 // their payloads
	WrittenBytes uint64 // bytes handed to the disk: headers, padding, idle frames included
	Groups       uint64 // writes that held at least one data frame

	Syncs       uint64        // fdatasync calls of the appender
	SyncTime    time.Duration // their total time
	SyncMax     time.Duration // the longest
	SyncBuckets [len(SyncBounds) + 1]uint64

	End Position // as of Log.End
}

// SyncBounds are the upper bounds of Stats.SyncBuckets; the last bucket has none. A bucket counts the
// syncs above the bound before it, up to its own.
var SyncBounds = [...]time.Duration{
	100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond,
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second,
}

// counters are written by the appender once a group.
type counters struct {
	sync.Mutex
	s Stats
}

func (c *counters) group(frames int, payload, written int64) {
	c.Lock()
	defer c.Unlock()
	c.s.WrittenBytes += uint64(written)
	if frames > 0 {
		c.s.Groups++
		c.s.Frames += uint64(frames)
		c.s.PayloadBytes += uint64(payload)
	}
}

func (c *counters) synced(took time.Duration) {
	c.Lock()
	defer c.Unlock()
	c.s.Syncs++
	c.s.SyncTime += took
	c.s.SyncMax = max(c.s.SyncMax, took)
	i := 0
	for i < len(SyncBounds) && took > SyncBounds[i] {
		i++
	}
	c.s.SyncBuckets[i]++
}

// Stats returns the state of the log.
func (l *Log) Stats() Stats {
	l.counters.Lock()
	s := l.counters.s
	l.counters.Unlock()
	s.End = l.End()
	h := &l.holder
	h.Lock()
	defer h.Unlock()
	s.Segments, s.FreeSegments = len(h.held), len(h.free)
	for _, f := range h.held {
		s.DiskBytes += f.size
	}
	for _, f := range h.free {
		s.DiskBytes += f.size
	}
	return s
}
