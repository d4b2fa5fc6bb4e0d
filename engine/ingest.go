package engine

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"

	"github.com/firndb/firn/blockfile/jsonscan"
	"github.com/firndb/firn/blockfile/schema"
	"github.com/firndb/firn/engine/hot"
)

// Ingest keeps a batch, whole or not at all. When it returns without error the batch is on disk
// (with WALOptions.Interval: written) and every later read sees it. Safe for concurrent use.
//
// Errors: *RecordError names the first record that was refused; ErrInvalid and ErrTooLarge the
// batch; ErrIdempotencyMismatch; ErrFull, ErrBackpressure: later; ErrReadOnly, ErrClosed;
// ErrOutcomeUnknown: kept or not.
func (db *DB) Ingest(ctx context.Context, b Batch) (Ack, error) {
	return db.IngestAll(ctx, Request{Batches: []Batch{b}, IdempotencyKey: b.IdempotencyKey})
}

// IngestAll keeps several batches, all of them or none. Otherwise it is Ingest.
func (db *DB) IngestAll(ctx context.Context, r Request) (Ack, error) {
	if err := db.enter(); err != nil {
		return Ack{}, err
	}
	defer db.leave()
	if r.IdempotencyKey != "" {
		if r.Hash == ([32]byte{}) {
			r.Hash = hashBatches(r.Batches)
		}
		ack, known, err := db.keys.admit(ctx, r.IdempotencyKey, r.Hash, db.now().UnixMilli())
		if known || err != nil {
			if known {
				db.counters.duplicates.Add(1)
			}
			return ack, err
		}
		defer db.keys.land(r.IdempotencyKey)
	}

	s := scratchPool.Get().(*ingestScratch)
	defer s.release()
	s.reset(db)
	for i := range r.Batches {
		if err := s.scan(i, &r.Batches[i]); err != nil {
			return Ack{}, err
		}
	}
	if len(s.records) == 0 {
		return Ack{}, nil
	}
	if err := db.admitBytes(ctx); err != nil {
		return Ack{}, err
	}
	entry, err := s.build(&r)
	if err != nil {
		return Ack{}, err
	}
	if err := db.append(ctx, entry); err != nil {
		return Ack{}, err
	}
	db.counters.batches.Add(1)
	db.counters.ingested.Add(uint64(entry.frame.records))
	db.counters.ingestedBytes.Add(uint64(s.bytes))
	if db.opts.Manual {
		if err := db.applyFrozen(); err != nil {
			db.noteError("apply", err) // the batch is durable in the log all the same
		}
	}
	return Ack{Accepted: entry.frame.records}, nil
}

// scannedRecord is what one pass over a record found out.
type scannedRecord struct {
	object []byte // aliases the caller's bytes
	time   int64
	shape  uint64
	group  int32
	stamp  bool // gets a timestamp: it came without
	fresh  bool // its shape is not known to fit the table's tree
}

// scratchGroup collects what the records of one table and dataset need.
type scratchGroup struct {
	table, dataset string
	state          *tableState // nil: the table is new
	records        int
	bytes          int

	// The shape of the group's last record that was known: records of one writer are mostly alike,
	// and asking the table means a lock that all callers share.
	shape uint64
	known bool
}

// knows tells whether a shape is known to fit the table's tree.
func (g *scratchGroup) knows(shape uint64) bool {
	switch {
	case g.known && g.shape == shape:
		return true
	case g.state == nil || !g.state.knows(shape):
		return false
	}
	g.shape, g.known = shape, true
	return true
}

// ingestScratch is the work space of one call, reused by later ones.
type ingestScratch struct {
	db      *DB
	scanner *jsonscan.Scanner
	now     int64
	records []scannedRecord
	groups  []scratchGroup
	index   map[string]int32 // table, NUL, dataset → group
	name    []byte
	dataset []byte
	table   []byte
	bytes   int // of the records as they will be kept
	sent    int // of the records as they came
}

var scratchPool = sync.Pool{New: func() any {
	return &ingestScratch{scanner: jsonscan.NewScanner(jsonscan.Options{}), index: make(map[string]int32)}
}}

func (s *ingestScratch) reset(db *DB) {
	s.db, s.now = db, db.now().UnixMilli()
	s.bytes, s.sent = 0, 0
}

// release gives the work space back without keeping hold of the caller's bytes.
func (s *ingestScratch) release() {
	const keep = 1 << 16 // records; a larger work space is left to the collector
	if cap(s.records) > keep || len(s.index) > keep {
		return
	}
	clear(s.records)
	s.records = s.records[:0]
	clear(s.groups)
	s.groups = s.groups[:0]
	clear(s.index)
	s.db = nil
	scratchPool.Put(s)
}

// stampBytes is the most that a given timestamp adds to a record.
const stampBytes = len(`"timestamp":-62135596800000,`)

// scan validates one batch. It changes nothing outside the work space.
func (s *ingestScratch) scan(index int, b *Batch) error {
	limits := &s.db.opts.Limits
	if b.DatasetField == "" {
		if err := checkName("dataset_id", []byte(b.Dataset), maxDatasetName); err != nil {
			return err
		}
	}
	if b.TableField == "" {
		if err := checkName("table", []byte(b.Table), maxTableName); err != nil {
			return err
		}
	}
	refuse := func(i int, kind error, format string, args ...any) error {
		return &RecordError{Batch: index, Index: i, Reason: fmt.Sprintf(format, args...), Err: kind}
	}
	// The time field can depend on the table, so with a table field it is looked up a record.
	timeField := b.TimeField
	if timeField == "" && b.TableField == "" {
		timeField = s.db.timeField([]byte(b.Table))
	}
	perTable := timeField == "" && b.TableField != ""
	s.scanner.SetOptions(jsonscan.Options{
		MaxDepth: limits.Depth,
		Capture:  [3]string{timeField, b.DatasetField, b.TableField},
	})
	last := int32(-1)
	s.table = append(s.table[:0], b.Table...)
	s.dataset = append(s.dataset[:0], b.Dataset...)
	for i, raw := range b.Records {
		if len(raw) > limits.RecordBytes {
			return refuse(i, ErrTooLarge, "record has %d bytes, more than %d", len(raw), limits.RecordBytes)
		}
		r, err := s.scanner.Record(raw)
		if err != nil {
			return refuse(i, ErrInvalid, "%v", err)
		}
		if b.TableField != "" {
			if s.table, err = memberText(s.table[:0], member(&r, 2, b.TableField).Of(raw), b.TableField); err == nil {
				err = checkName("table", s.table, maxTableName)
			}
			if err != nil {
				return refuse(i, ErrInvalid, "%v", err)
			}
		}
		if b.DatasetField != "" {
			if s.dataset, err = memberText(s.dataset[:0], member(&r, 1, b.DatasetField).Of(raw), b.DatasetField); err == nil {
				err = checkName("dataset_id", s.dataset, maxDatasetName)
			}
			if err != nil {
				return refuse(i, ErrInvalid, "%v", err)
			}
		}
		if last < 0 || s.groups[last].table != string(s.table) || s.groups[last].dataset != string(s.dataset) {
			last = s.group()
		}
		g := &s.groups[last]

		rec := scannedRecord{object: r.Object.Of(raw), group: last}
		field, value := timeField, member(&r, 0, timeField).Of(raw)
		if perTable {
			if field = s.db.timeField(s.table); field != "" {
				value = findMember(rec.object, field)
			}
		}
		if field == "" {
			field, value = "timestamp", r.Timestamp.Of(raw)
		}
		switch {
		case len(value) > 0:
			if rec.time, err = jsonscan.ParseTime(value); err != nil {
				return refuse(i, ErrInvalid, "%s: %v", field, err)
			}
		case field != "timestamp":
			return refuse(i, ErrInvalid, "time field %q is missing", field)
		default:
			rec.time, rec.stamp = s.now, true
		}
		d, t, ts := schema.CompareOwn(r, raw, g.dataset, g.table, rec.time)
		if rec.stamp {
			ts = schema.OwnSame
		}
		rec.shape = schema.OwnShape(r.Shape, d, t, ts)
		rec.fresh = !g.knows(rec.shape)
		n := len(rec.object)
		if rec.stamp {
			n += stampBytes
		}
		g.records++
		g.bytes += n
		s.bytes += n
		if s.sent += len(rec.object); s.sent > limits.BatchBytes {
			return fmt.Errorf("%w: the records have more than %d bytes", ErrTooLarge, limits.BatchBytes)
		}
		s.records = append(s.records, rec)
	}
	return nil
}

// group finds the group of s.table and s.dataset.
func (s *ingestScratch) group() int32 {
	s.name = append(append(append(s.name[:0], s.table...), 0), s.dataset...)
	i, ok := s.index[string(s.name)]
	if !ok {
		i = int32(len(s.groups))
		s.groups = append(s.groups, scratchGroup{
			table: string(s.table), dataset: string(s.dataset), state: s.db.tables.get(s.table),
		})
		s.index[string(s.name)] = i
	}
	return i
}

// member is where the value of a captured member lies, whether or not it is one of the record's
// own.
func member(r *jsonscan.Record, capture int, name string) jsonscan.Span {
	switch name {
	case "timestamp":
		return r.Timestamp
	case "dataset_id":
		return r.Dataset
	case "table":
		return r.Table
	}
	return r.Captured[capture]
}

// memberText reads the string a record names its dataset or table with.
func memberText(dst, value []byte, field string) ([]byte, error) {
	switch {
	case len(value) == 0:
		return nil, invalid("member %q is missing", field)
	case value[0] != '"':
		return nil, invalid("member %q is no string", field)
	}
	return jsonscan.AppendUnquoted(dst, value), nil
}

// findMember returns the value of a top-level member of a valid object, nil when it has none.
func findMember(object []byte, name string) []byte {
	i := jsonscan.SkipSpace(object, 1)
	for i < len(object) && object[i] == '"' {
		end := jsonscan.SkipString(object, i)
		key := object[i:end]
		start := jsonscan.SkipSpace(object, jsonscan.SkipSpace(object, end)+1)
		i = jsonscan.SkipValue(object, start)
		if jsonscan.EqualString(key, name) {
			return object[start:i]
		}
		if i = jsonscan.SkipSpace(object, i); i < len(object) && object[i] == ',' {
			i = jsonscan.SkipSpace(object, i+1)
		}
	}
	return nil
}

// timeField is the member that times a table's records, "" for "timestamp".
func (db *DB) timeField(table []byte) string {
	if t := db.tables.get(table); t != nil {
		if f := t.settings.Load().TimeField; f != "timestamp" {
			return f
		}
	}
	return ""
}

// build copies the batch into bytes of its own, widens the tables' trees for shapes not seen
// before, and makes the log entry.
func (s *ingestScratch) build(r *Request) (*logEntry, error) {
	e := &logEntry{db: s.db}
	f := &e.frame
	f.records, f.acceptedAt, f.key, f.hash = len(s.records), s.now, r.IdempotencyKey, r.Hash
	data := make([]byte, 0, s.bytes)
	times := make([]int64, len(s.records))
	ends := make([]uint32, len(s.records))
	f.groups = make([]hot.Group, len(s.groups))
	var at, place int
	for i := range s.groups {
		g := &s.groups[i]
		if g.state == nil {
			state, err := s.db.tables.make(g.table)
			if err != nil {
				return nil, err
			}
			g.state = state
		}
		// Each group has its own stretch of the three arrays, filled below.
		f.groups[i] = hot.Group{
			Table: g.table, Dataset: g.dataset,
			Times: times[at : at : at+g.records], Ends: ends[at : at : at+g.records],
			Data: data[place : place : place+g.bytes],
		}
		at += g.records
		place += g.bytes
		e.count(g.state, g.records)
	}
	for i := range s.records {
		rec := &s.records[i]
		g := &f.groups[rec.group]
		start := len(g.Data)
		if rec.stamp {
			g.Data = appendStamped(g.Data, rec.object, rec.time)
		} else {
			g.Data = append(g.Data, rec.object...)
		}
		if len(g.Data) > math.MaxUint32 {
			return nil, ErrTooLarge
		}
		g.Times = append(g.Times, rec.time)
		g.Ends = append(g.Ends, uint32(len(g.Data)))
		if rec.fresh {
			state := s.groups[rec.group].state
			if !state.knows(rec.shape) {
				state.widen(rec.shape, g.Dataset, rec.time, g.Data[start:])
			}
		}
	}
	return e, nil
}

// appendStamped writes a record that came without a timestamp with the one it is given.
func appendStamped(dst, object []byte, ms int64) []byte {
	dst = append(dst, `{"timestamp":`...)
	dst = strconv.AppendInt(dst, ms, 10)
	rest := object[1:]
	if i := jsonscan.SkipSpace(object, 1); object[i] != '}' {
		dst = append(dst, ',')
	}
	return append(dst, rest...)
}
