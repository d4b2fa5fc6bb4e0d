package wal

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// SyncMode says what an acknowledged append has survived.
type SyncMode int

const (
	// SyncAlways acknowledges after fdatasync: an acknowledged frame survives a power cut.
	SyncAlways SyncMode = iota
	// SyncInterval acknowledges after the write: an acknowledged frame survives the end of the process,
	// and a power cut once it is older than Options.SyncInterval.
	SyncInterval
)

// Options are the settings of a log. The zero value is good.
type Options struct {
	// SegmentBytes is the size of a segment, rounded up to 4096; 64 MiB if 0, at least 4096, at most
	// 1 GiB. A frame larger than a segment gets a segment of its own size, and the first segment after
	// Open is at most 8 MiB unless a file can be reused. Small segments free disk space sooner; each new
	// one costs a few file operations.
	SegmentBytes int64
	// MaxFrameBytes is the largest payload Append takes; 192 MiB if 0, at most 1 GiB. What Open reads is
	// not limited by it.
	MaxFrameBytes int
	// Sync says what Append waits for.
	Sync SyncMode
	// SyncInterval is the longest time between a write and its fdatasync with Sync = SyncInterval; 200 ms
	// if 0.
	SyncInterval time.Duration
	// KeepSegments is how many trimmed segments are kept to be reused; 2 if 0, none if negative.
	KeepSegments int
	// IdleFill appends the payload of idle and closing frames to dst and returns it; nil leaves them
	// empty. It is called by the appender like Entry.Fill, in log order. Its frame may fail to be written
	// for want of space, without the log having failed.
	IdleFill func(dst []byte) []byte
	// IdleAfter is how long the appender is idle before it writes an idle frame; 50 ms if 0.
	IdleAfter time.Duration
	// Logger gets what needs no answer: cuts, damage, segments that could not be made ready. nil discards.
	Logger *slog.Logger

	// Seams for tests: nil means the disk, and random salts.
	files fileSystem
	salt  func() uint32
}

const (
	defaultSegmentBytes  = 64 << 20
	minSegmentBytes      = pageBytes
	maxOptionSegment     = 1 << 30
	defaultMaxFrameBytes = 192 << 20
	defaultSyncInterval  = 200 * time.Millisecond
	defaultKeepSegments  = 2
	defaultIdleAfter     = 50 * time.Millisecond

	// firstSegmentBytes is small: the first segment is made while Open waits, and is cut to what it
	// holds by the next Open, so that many restarts neither take long nor fill the disk.
	firstSegmentBytes = 8 << 20

	// maxGroupBytes ends a group, so that the buffer it is built in stays bounded however many callers
	// wait. One fdatasync of 8 MiB costs so much more than its fixed part that larger groups gain
	// nothing. A single larger frame is a group of its own.
	maxGroupBytes = 8 << 20
)

// withDefaults fills in what is zero and reports everything that is out of bounds.
func (o Options) withDefaults() (Options, error) {
	var errs []error
	bad := func(field string, value, lo, hi any) {
		errs = append(errs, fmt.Errorf("wal: option %s is %v, must be between %v and %v", field, value, lo, hi))
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.SegmentBytes < minSegmentBytes || o.SegmentBytes > maxOptionSegment {
		bad("SegmentBytes", o.SegmentBytes, minSegmentBytes, maxOptionSegment)
	}
	o.SegmentBytes = roundToPage(o.SegmentBytes)
	if o.MaxFrameBytes == 0 {
		o.MaxFrameBytes = defaultMaxFrameBytes
	}
	if o.MaxFrameBytes < 1 || o.MaxFrameBytes > maxPayloadBytes {
		bad("MaxFrameBytes", o.MaxFrameBytes, 1, maxPayloadBytes)
	}
	if o.Sync != SyncAlways && o.Sync != SyncInterval {
		bad("Sync", int(o.Sync), int(SyncAlways), int(SyncInterval))
	}
	if o.SyncInterval == 0 {
		o.SyncInterval = defaultSyncInterval
	}
	if o.SyncInterval < 0 || o.SyncInterval > time.Hour {
		bad("SyncInterval", o.SyncInterval, time.Duration(0), time.Hour)
	}
	if o.KeepSegments == 0 {
		o.KeepSegments = defaultKeepSegments
	}
	o.KeepSegments = max(o.KeepSegments, 0)
	if o.IdleAfter == 0 {
		o.IdleAfter = defaultIdleAfter
	}
	if o.IdleAfter < 0 {
		bad("IdleAfter", o.IdleAfter, time.Duration(0), "any")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.files == nil {
		o.files = disk{}
	}
	if o.salt == nil {
		o.salt = rand.Uint32
	}
	return o, errors.Join(errs...)
}

// newSalt returns a salt that is not 0.
func (o *Options) newSalt() uint32 {
	for {
		if s := o.salt(); s != 0 {
			return s
		}
	}
}
