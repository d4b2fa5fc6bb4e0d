package engine

import "time"

// Batch is the records of one ingest call: accepted whole or refused whole.
type Batch struct {
	// Dataset says whose records they are: 1 to 512 bytes of UTF-8 without control characters.
	// Not used when DatasetField is set.
	Dataset string

	// Table says what kind of records they are: 1 to 80 bytes of UTF-8 without control
	// characters. Not used when TableField is set.
	Table string

	// Records are JSON objects, one each. They may be reused when the call returns.
	Records [][]byte

	// TimeField names the member that holds a record's time, instead of the table's setting or
	// "timestamp". Every record must have it.
	TimeField string

	// DatasetField and TableField name members (strings) of each record from which its dataset
	// and its table are taken.
	DatasetField, TableField string

	// IdempotencyKey makes a retry safe: a call with a key that was accepted before is answered
	// as the first one was and keeps nothing. 1 to 256 bytes; empty: no key. With IngestAll the
	// key of the Request counts.
	IdempotencyKey string
}

// Request is several batches that are accepted whole or refused whole.
type Request struct {
	Batches        []Batch
	IdempotencyKey string

	// Hash tells one content from another under the same key. When it is zero it is made from
	// the batches.
	Hash [32]byte
}

// Ack says what was accepted and is on disk.
type Ack struct {
	Accepted  int  // records
	Duplicate bool // the idempotency key was accepted before; Accepted is what it was then
}

// Query says what to read.
type Query struct {
	Dataset string
	Table   string

	// From and To bound the time of the records in milliseconds since 1970, both inclusive.
	// Zero leaves that end open, unless Bounded is set.
	From, To int64

	// Bounded takes From and To as they are, also when they are zero.
	Bounded bool

	// Limit ends the read after so many records, 0 for none; Rows.NextCursor then goes on.
	Limit int

	// Cursor goes on where an earlier read of the same query ended.
	Cursor string

	// Descending reverses time; records of one time stay in order of acceptance.
	Descending bool

	// AllowPartial leaves out what is damaged or cannot be reached and says so in Rows.Missing,
	// instead of failing.
	AllowPartial bool
}

// Record is one record as it was written: the same JSON value; key order and white space may differ.
type Record struct {
	Time int64  // milliseconds since 1970
	JSON []byte // valid until the next step
	Cold bool   // read from a block file
}

// Missing is a time range that a partial read left out.
type Missing struct {
	From    int64  `json:"from"` // milliseconds since 1970, inclusive
	To      int64  `json:"to"`
	Records uint64 `json:"records"` // at most so many; 0 when not known
	Reason  string `json:"reason"`
}

// Plan is how a read will be answered, made from the catalog without asking the store.
type Plan struct {
	Dataset string      `json:"dataset_id"`
	Table   string      `json:"table_name"`
	From    int64       `json:"from"`
	To      int64       `json:"to"`
	ETag    string      `json:"etag"`
	Hot     PlanHot     `json:"hot"`
	Cold    PlanCold    `json:"cold"`
	Blocks  []PlanBlock `json:"blocks"`
	Ranges  []PlanRange `json:"ranges"`
	Chunks  []PlanChunk `json:"chunks"`
}

// PlanHot sums up the hot part of a plan.
type PlanHot struct {
	MemoryRecords int    `json:"memory_records"`
	Chunks        int    `json:"chunks"`
	ChunkRecords  uint64 `json:"chunk_records"` // before the time filter
	StoredBytes   int64  `json:"stored_bytes"`
}

// PlanCold sums up the cold part of a plan.
type PlanCold struct {
	Files          int    `json:"files"`
	Blocks         int    `json:"blocks"`
	Records        uint64 `json:"records"` // before the time filter
	BlockBytes     int64  `json:"block_bytes"`
	CachedBlocks   int    `json:"cached_blocks"`
	StoreRequests  int    `json:"store_requests"`
	StoreBytes     int64  `json:"store_bytes"` // with the gaps bridged
	WholeFileBytes int64  `json:"whole_file_bytes"`
}

// PlanBlock is one block reference of a plan.
type PlanBlock struct {
	File    string `json:"file"`
	Offset  int64  `json:"offset"`
	Length  int64  `json:"length"`
	Records uint32 `json:"records"`
	First   int64  `json:"first"`
	Last    int64  `json:"last"`
	Cached  bool   `json:"cached"`
}

// PlanRange is one range request of a plan.
type PlanRange struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	Blocks int    `json:"blocks"`
}

// PlanChunk is one hot chunk of a plan.
type PlanChunk struct {
	Generation string `json:"generation"`
	Records    uint32 `json:"records"`
	First      int64  `json:"first"`
	Last       int64  `json:"last"`
	Bytes      uint32 `json:"bytes"`
}

// ArchiveReport says what a run of the archiver moved.
type ArchiveReport struct {
	Records  uint64
	Files    int
	RawBytes int64 // JSON
	Bytes    int64 // block files
	Duration time.Duration
}

// TableInfo describes a table.
type TableInfo struct {
	Name          string        `json:"table"`
	Settings      TableSettings `json:"settings"`
	SchemaVersion uint64        `json:"schema_version"` // 0 before the first archive
	Accepted      uint64        `json:"accepted"`
	HotRecords    uint64        `json:"hot_count"`
	ColdRecords   uint64        `json:"cold_count"`
	Lost          uint64        `json:"lost"`
	HotBytes      int64         `json:"hot_bytes"`  // JSON
	ColdBytes     int64         `json:"cold_bytes"` // blocks
	RawBytes      int64         `json:"raw_bytes"`  // JSON of the cold records
	Files         int           `json:"files"`
}

// TableSettings are kept per table. Zero fields of a change leave a setting as it is.
type TableSettings struct {
	Codec     string `json:"codec,omitempty"`      // deflate (default), zstandard, snappy, null
	Partition string `json:"partition,omitempty"`  // day (default) or month
	TimeField string `json:"time_field,omitempty"` // default timestamp
}

// SchemaVersion is one version of a table's schema.
type SchemaVersion struct {
	Version     uint64 `json:"version"`
	Fingerprint string `json:"fingerprint"` // SHA-256 of the text, hexadecimal
	Created     int64  `json:"created"`     // ms
	Text        []byte `json:"-"`           // the exact Avro schema
}

// DatasetInfo is a row of Datasets and of HotCold.
type DatasetInfo struct {
	Table       string `json:"table"`
	Dataset     string `json:"dataset_id"`
	HotRecords  uint64 `json:"hot_count"`
	ColdRecords uint64 `json:"cold_count"`
	HotBytes    int64  `json:"hot_bytes"`
	ColdBytes   int64  `json:"cold_bytes"`
	Oldest      int64  `json:"oldest"` // record time, ms
	Newest      int64  `json:"newest"`
}

// FileInfo describes a live block file.
type FileInfo struct {
	Path      string  `json:"path"` // object key in the store
	Table     string  `json:"table"`
	Date      string  `json:"date"`
	Records   uint64  `json:"records"`
	RawBytes  int64   `json:"raw_bytes"`
	FileBytes int64   `json:"file_bytes"`
	Ratio     float64 `json:"compression_ratio"` // raw / file
	Blocks    uint64  `json:"blocks"`
	Codec     string  `json:"codec"`
	CRC       uint32  `json:"crc32c"`
}

// StaleRow counts hot records of a dataset accepted before a moment.
type StaleRow struct {
	Table    string `json:"table"`
	Dataset  string `json:"dataset_id"`
	Records  uint64 `json:"count"`
	Accepted int64  `json:"oldest_accepted"` // ms, time of acceptance of the oldest
}

// Readiness says whether records can be accepted.
type Readiness struct {
	Ready    bool     // records can be accepted
	Reasons  []string // why not
	Degraded []string // what is away though the database works: "store"
}

// Stats are counters since Open and sizes now. A copy; safe to keep.
type Stats struct {
	StartedAt     time.Time
	Ingested      uint64 // records accepted
	IngestedBytes uint64 // JSON
	Batches       uint64
	Duplicates    uint64 // calls answered from an idempotency key
	WALFrames     uint64
	WALSyncs      uint64
	WALBytes      int64 // segments on disk
	MemoryRecords uint64
	MemoryBytes   int64
	HotBytes      int64 // generation files and log
	Generations   int
	Applies       uint64
	ArchiveRuns   uint64
	Archived      uint64 // records
	LastArchive   time.Time
	Reads         uint64
	StoreRequests uint64
	StoreBytes    uint64 // read
	CacheHits     uint64
	CacheMisses   uint64
	ArchivedSeq   uint64
	LastSeq       uint64
	LastError     string // of the background work, empty when it went well last
	DamagedRanges int    // of the log, not accepted
}
