package catalog

import (
	"fmt"

	"github.com/firndb/firn/engine/hot"
)

// Limits of what rows hold. A row past one of them is refused when written and
// taken for damage when read.
const (
	MaxTableBytes  = 255      // of a table's name
	MaxKeyBytes    = 4 << 10  // of an object key
	MaxSchemaBytes = 16 << 20 // of a schema's text, and of its tree
	MaxNameBytes   = 1 << 10  // of any other text in a row: ids, dates, codecs, a table's settings
	MaxList        = 1 << 20  // of ids in one row: a job's generations, a file's lineage
)

// Identity says whose catalog this is and how far it follows the store's log.
type Identity struct {
	StoreID  string // of _firn/store
	WriterID string // whom the last takeover entry names, where this catalog is the writer's
	Epoch    uint32 // of that takeover; part of every id made under it
	NextID   uint64 // counter of the next generation or run id of the epoch; Tx.NewID moves it on
	LogNext  uint64 // position of the first log entry this catalog does not hold

	// ArchivedSeq is the highest sequence number that was archived; records at
	// or below it are cold, erased, expired or lost, never hot.
	ArchivedSeq uint64
}

// GenerationState says whether a generation still takes records.
type GenerationState uint8

// The states of a generation.
const (
	GenerationOpen   GenerationState = 1 // takes records
	GenerationSealed GenerationState = 2 // waits for its archive run
)

func (s GenerationState) String() string {
	switch s {
	case GenerationOpen:
		return "open"
	case GenerationSealed:
		return "sealed"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// GenerationRow is one hot generation.
type GenerationRow struct {
	ID        hot.ID
	State     GenerationState
	CreatedAt int64 // ms since 1970
}

// KindArchive is the kind of job that turns sealed generations into block files.
const KindArchive = "archive"

// Job is a change of the file set under way: its rows are staged until its log
// entry is in the store.
type Job struct {
	Run         hot.ID // its object keys begin with it
	Kind        string
	Generations []hot.ID // which it retires
	StartedAt   int64    // ms since 1970
}

// Settings are what an operator set for a table; empty means the default.
type Settings struct {
	Codec     string // Avro's name of it
	Partition string // "date" or "month"
	TimeField string // member that holds a record's time
}

// Counters are a table's side of the ledger, in records since the store began.
// None of them ever falls but Cold.
type Counters struct {
	Accepted uint64 // counted by the appender, up to the last archived generation
	Cold     uint64 // in live block files
	Erased   uint64
	Expired  uint64
	Lost     uint64 // in damage that was accepted by hand
}

// TableRow is one table.
type TableRow struct {
	Name     string
	Settings Settings
	Schemas  []SchemaVersion // ascending by version
	Counters Counters
}

// SchemaVersion names one version of a table's schema.
type SchemaVersion struct {
	Version     uint64
	Fingerprint [32]byte // SHA-256 of the exact text
	Created     int64    // ms since 1970
}

// SchemaRow is one version of a table's schema, whole.
type SchemaRow struct {
	Table string
	SchemaVersion
	Text []byte // exact bytes
	Tree []byte // durable form of what it was inferred from
}

// FileID is a catalog's own number of a block file: never used twice within
// one catalog file, and unknown outside of it. At most 2^48-1.
type FileID uint64

// FileState says whether a block file belongs to what reads see.
type FileState uint8

// The states of a block file.
const (
	FileStaged FileState = 1 // of an open job: no read sees it
	FileLive   FileState = 2
	FileDead   FileState = 3 // replaced or expired: only older views see it, then it is collected
)

func (s FileState) String() string {
	switch s {
	case FileStaged:
		return "staged"
	case FileLive:
		return "live"
	case FileDead:
		return "dead"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// FileRow is one block file.
type FileRow struct {
	ID    FileID // given by Tx.StageFile
	Key   string // object key in the store
	Run   hot.ID // which wrote it
	Table string
	Date  string // "2006-01-02", or "2006-01" for a month partition
	State FileState

	// LiveFrom and DeadFrom are the positions of the log entries that added and
	// removed the file; DeadFrom is 0 while nothing removed it (the entry at 0
	// is a takeover). See LiveAt.
	LiveFrom, DeadFrom uint64

	Size     int64 // bytes of the block file
	RawBytes int64 // bytes of its records as JSON, as they were accepted
	Records  uint64
	Blocks   uint64

	CRC         uint32 // CRC-32C of the block file
	SidecarCRC  uint32 // CRC-32C of its sidecar
	SidecarSize int64  // bytes of its sidecar

	FirstSeq, LastSeq uint64 // sequence range of its records: orders ties in time between files
	First, Last       int64  // times of its first and last record, ms since 1970

	Schema   [32]byte // fingerprint
	Codec    string   // Avro's name of it
	Marker   uint32   // which sync marker of the family
	JobStart int64    // when the job that wrote it began, ms since 1970
	Lineage  []string // run ids whose records it holds

	// RefBlocks and RefRecords are what the references staged so far add up to.
	// Tx.StageRefs keeps them; a commit refuses a file where they differ from
	// Blocks and Records.
	RefBlocks, RefRecords uint64
}

// LiveAt reports whether a view whose catalog followed the log up to, not
// including, position next sees the file: next is that view's Identity.LogNext.
// A view that outlives its read transaction keeps next and asks later rows.
func (f *FileRow) LiveAt(next uint64) bool {
	switch f.State {
	case FileLive:
		return f.LiveFrom < next
	case FileDead:
		return f.LiveFrom < next && next <= f.DeadFrom
	}
	return false
}
