package engine

import (
	"errors"
	"log/slog"
	"time"

	"github.com/firndb/firn/blockfile/store"
)

// Options says how a database is opened. The zero value is the daemon's default. Sizes are in bytes.
type Options struct {
	// Store is where block files live: "" or a URL file:///absolute/path. Default: <dir>/store.
	Store string

	WAL     WALOptions
	Hot     HotOptions
	Block   BlockOptions
	Archive ArchiveOptions
	Cache   CacheOptions
	Limits  LimitOptions

	// IdempotencyTTL is how long idempotency keys are kept. Default 72 h.
	IdempotencyTTL time.Duration

	// Manual starts no background work: no schedule, no size and age triggers. Memory tables are
	// applied within the calls that fill them, and archiving is DB.Archive alone.
	Manual bool

	// Logger gets what an operator should know. Default: discards.
	Logger *slog.Logger

	// Test seams: the clock; a call at each named step of the protocol, at which a crash is looked
	// at; what lies between the database and its store; what lies around a catalog transaction.
	now       func() time.Time
	step      func(name string)
	wrapStore func(store.Store) store.Store

	// generationMost, when set, is the hard limit of a generation's file.
	generationMost int64

	// storePatience is how long a job waits for the store to show its log entry.
	storePatience time.Duration
	update        func(do func() error) error
}

// WALOptions say how the write-ahead log is kept.
type WALOptions struct {
	SegmentBytes int64 // default 64 MiB

	// Interval, when positive, syncs the log so often instead of before each acknowledgement:
	// a power cut then loses what was acknowledged since the last sync. Zero syncs always.
	Interval time.Duration
}

// HotOptions say how much waits where before it is archived.
type HotOptions struct {
	LimitBytes      int64         // hot bytes on disk past which Ingest refuses; default 8 GiB
	MemoryBytes     int64         // size at which a memory table is applied; default 64 MiB
	MemoryAge       time.Duration // age at which it is; default 1 min
	MemoryTables    int           // frozen tables that may wait before Ingest does; default 2
	GenerationBytes int64         // file size at which a generation is sealed and archived, at most LimitBytes/4; default 1 GiB
}

// BlockOptions say how block files are made.
type BlockOptions struct {
	TargetBytes int    // uncompressed Avro bytes of a block; default 96 KiB
	FileBytes   int64  // size at which the next file is begun; default 128 MiB
	Codec       string // of tables without a setting; default deflate
}

// ArchiveOptions say when hot records become cold.
type ArchiveOptions struct {
	// Schedule is a cron expression of five fields, in UTC. Default "0 * * * *"; "off" for none.
	Schedule string

	// MaxAge archives when the oldest hot record was accepted so long ago. Zero: no such trigger.
	MaxAge time.Duration
}

// CacheOptions bound the caches. A negative size turns one off.
type CacheOptions struct {
	ReferenceBytes int64 // decoded block references; default 64 MiB
	BlockBytes     int64 // compressed blocks; default 128 MiB
	RawBytes       int64 // decoded blocks; default 128 MiB
}

// LimitOptions bound what one caller may ask for.
type LimitOptions struct {
	RecordBytes int // default 8 MiB, which is also the most
	BatchBytes  int // default 64 MiB of records
	Depth       int // nesting of a record; default 1000
	Parallel    int // range requests of one read at a time; default 16
}

// Defaults returns o with every zero field set to its default.
func (o Options) Defaults() Options {
	def(&o.WAL.SegmentBytes, 64<<20)
	def(&o.Hot.LimitBytes, 8<<30)
	def(&o.Hot.MemoryBytes, 64<<20)
	def(&o.Hot.MemoryAge, time.Minute)
	def(&o.Hot.MemoryTables, 2)
	def(&o.Hot.GenerationBytes, 1<<30)
	def(&o.Block.TargetBytes, 96<<10)
	def(&o.Block.FileBytes, 128<<20)
	def(&o.Block.Codec, "deflate")
	def(&o.Archive.Schedule, "0 * * * *")
	def(&o.Cache.ReferenceBytes, 64<<20)
	def(&o.Cache.BlockBytes, 128<<20)
	def(&o.Cache.RawBytes, 128<<20)
	def(&o.Limits.RecordBytes, 8<<20)
	def(&o.Limits.BatchBytes, 64<<20)
	def(&o.Limits.Depth, 1000)
	def(&o.Limits.Parallel, 16)
	def(&o.IdempotencyTTL, 72*time.Hour)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.step == nil {
		o.step = func(string) {}
	}
	def(&o.storePatience, putPatience)
	if o.wrapStore == nil {
		o.wrapStore = func(s store.Store) store.Store { return s }
	}
	if o.update == nil {
		o.update = func(do func() error) error { return do() }
	}
	return o
}

// generationBytes is the size at which a generation is sealed and archived. Of what may be hot at most
// a quarter waits in the open generation: only what is sealed makes room.
func (o *Options) generationBytes() int64 {
	return min(o.Hot.GenerationBytes, max(o.Hot.LimitBytes/4, 64<<10))
}

func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Validate reports every setting that cannot be used, with the value seen and its bounds. It
// looks at the options as Defaults returns them.
func (o Options) Validate() error {
	var errs []error
	between := func(name string, v, lo, hi int64) {
		if v < lo || v > hi {
			errs = append(errs, invalid("option %s is %d, must be between %d and %d", name, v, lo, hi))
		}
	}
	between("WAL.SegmentBytes", o.WAL.SegmentBytes, 64<<10, 1<<30)
	between("WAL.Interval", int64(o.WAL.Interval), 0, int64(time.Hour))
	between("Hot.LimitBytes", o.Hot.LimitBytes, 1<<20, 1<<50)
	between("Hot.MemoryBytes", o.Hot.MemoryBytes, 1<<10, 4<<30)
	between("Hot.MemoryAge", int64(o.Hot.MemoryAge), int64(time.Millisecond), int64(24*time.Hour))
	between("Hot.MemoryTables", int64(o.Hot.MemoryTables), 1, 64)
	between("Hot.GenerationBytes", o.Hot.GenerationBytes, 1<<20, 1<<40)
	between("Block.TargetBytes", int64(o.Block.TargetBytes), 1<<10, 16<<20)
	between("Block.FileBytes", o.Block.FileBytes, 64<<10, 4<<30)
	// A record takes at most eight times its text as Avro, and a block at most 64 MiB.
	between("Limits.RecordBytes", int64(o.Limits.RecordBytes), 64, 8<<20)
	between("Limits.BatchBytes", int64(o.Limits.BatchBytes), 64, 128<<20)
	between("Limits.Depth", int64(o.Limits.Depth), 1, 10_000)
	between("Limits.Parallel", int64(o.Limits.Parallel), 1, 1024)
	between("IdempotencyTTL", int64(o.IdempotencyTTL), int64(time.Hour), int64(10*365*24*time.Hour))
	between("Archive.MaxAge", int64(o.Archive.MaxAge), 0, int64(10*365*24*time.Hour))
	return errors.Join(errs...)
}
