package hot

import (
	"fmt"
	"strings"
)

// Group is the records of one table and dataset of one batch, in order of
// acceptance. Record i is Data[Ends[i-1]:Ends[i]] (from 0 for the first) and has
// the time Times[i], in milliseconds since 1970 UTC.
type Group struct {
	Table, Dataset string
	Times          []int64
	Ends           []uint32
	Data           []byte
}

// Record is one record as it is read. Seq orders records by acceptance. How long
// JSON stays valid is said by the function that hands the record out.
type Record struct {
	Time int64
	Seq  uint64
	JSON []byte
}

// SeriesInfo sums up what one dataset has in one table.
type SeriesInfo struct {
	Table, Dataset string
	Records        uint64
	Bytes          uint64 // of JSON
	MinTime        int64  // milliseconds
	MaxTime        int64
	LastSeq        uint64
}

// Memory is a memory table: acknowledged records that are in no generation yet.
//
// One goroutine at a time may call its methods (the engine's lock sees to that)
// until nothing is added any more; then the table is frozen and any number may.
// Readers take a MemoryView under that lock and use it without.
//
// How records lie. A span is one group; spans of a series are linked from the
// newest to the oldest, which is the order a reader wants that knows what it has
// seen already. Times and ends lie outside the spans in chunks that hold no
// pointers, so a table of a million records costs the collector little.
//
//	series ──tail──► span 7 ──prev──► span 4 ──prev──► span 0
//	                  │ off, n          (one a group; its JSON in data)
//	                  ▼
//	         chunk:  times […|…|…]   ends […|…|…]
//
// Nothing a view can reach is ever written again: Add writes only behind the
// spans and records that were there, and the slices of chunks are copied by value
// into the view.
type Memory struct {
	spans  []*spanChunk
	nspans uint32
	chunks []recChunk
	used   int // records used of the newest chunk that fills up
	fill   int // index of that chunk in chunks
	series []series
	byName map[seriesName]uint32
	tables []memTable
	byTab  map[string]uint32

	records  uint64
	bytes    int64
	firstSeq uint64
	lastSeq  uint64
}

type seriesName struct{ table, dataset string }

type series struct {
	name    seriesName
	table   uint32 // index in Memory.tables
	tail    uint32 // newest span + 1
	records uint64
	bytes   uint64
	min     int64
	max     int64
	lastSeq uint64
}

type memTable struct {
	name     string
	records  uint64
	bytes    uint64
	accepted uint64
	hasTotal bool
}

const (
	spansPerChunk   = 512
	firstChunkRecs  = 1024
	largestChunkRec = 16384
	// Above this share of a chunk a group gets a chunk of its own, so that at
	// most a quarter of any chunk is left unused.
	ownChunkShare = 4
)

// span is one group. It holds no pointers; its JSON is data[i] of its chunk.
type span struct {
	prev   uint32 // older span of the series + 1; 0 for none
	chunk  uint32 // where its times and ends lie
	off    uint32
	n      uint32
	first  uint64 // seq of its first record
	min    int64
	max    int64
	sorted bool // times never fall from one record to the next
}

type spanChunk struct {
	spans [spansPerChunk]span
	data  [spansPerChunk][]byte
}

type recChunk struct {
	times []int64
	ends  []uint32
}

// What a record, a group and a series cost beside their JSON; see Memory.Bytes.
const (
	recordOverhead = 12
	groupOverhead  = 72
	seriesOverhead = 256
)

// NewMemory returns an empty memory table. It allocates as it fills.
func NewMemory() *Memory {
	return &Memory{
		byName: make(map[seriesName]uint32),
		byTab:  make(map[string]uint32),
	}
}

// Add adds one group, whose first record has number firstSeq, the next
// firstSeq+1 and so on. Groups must come in order of seq. It keeps g.Data, which
// must not change any more; the other slices and the names are copied. Adding to
// a series that is known allocates nothing per record.
//
// A group that contradicts itself or the order is a fault of the caller's and
// panics: it would lose or double records.
func (m *Memory) Add(g Group, firstSeq uint64) {
	n := len(g.Times)
	if n == 0 && len(g.Ends) == 0 {
		return
	}
	if n != len(g.Ends) || int(g.Ends[n-1]) != len(g.Data) {
		panic(fmt.Sprintf("hot: a group of %d times, %d ends, %d bytes", n, len(g.Ends), len(g.Data)))
	}
	if firstSeq == 0 || firstSeq <= m.lastSeq {
		panic(fmt.Sprintf("hot: record %d added after record %d", firstSeq, m.lastSeq))
	}
	s := m.seriesOf(g.Table, g.Dataset)

	chunk, off := m.room(n)
	times := m.chunks[chunk].times[off : off+n]
	ends := m.chunks[chunk].ends[off : off+n]
	copy(times, g.Times)
	lo, hi, sorted, prev := times[0], times[0], true, times[0]
	for _, t := range times {
		lo, hi = min(lo, t), max(hi, t)
		sorted = sorted && prev <= t
		prev = t
	}
	var end uint32
	for i, e := range g.Ends {
		if e < end {
			panic(fmt.Sprintf("hot: record %d of a group ends before it begins", i))
		}
		end = e
		ends[i] = e
	}

	sp := m.nspans
	if sp%spansPerChunk == 0 {
		m.spans = append(m.spans, new(spanChunk))
	}
	m.nspans++
	c := m.spans[sp/spansPerChunk]
	c.spans[sp%spansPerChunk] = span{
		prev: s.tail, chunk: uint32(chunk), off: uint32(off), n: uint32(n),
		first: firstSeq, min: lo, max: hi, sorted: sorted,
	}
	c.data[sp%spansPerChunk] = g.Data

	last := firstSeq + uint64(n) - 1
	if s.records == 0 {
		s.min, s.max = lo, hi
	}
	s.tail = sp + 1
	s.min, s.max = min(s.min, lo), max(s.max, hi)
	s.records += uint64(n)
	s.bytes += uint64(len(g.Data))
	s.lastSeq = last
	t := &m.tables[s.table]
	t.records += uint64(n)
	t.bytes += uint64(len(g.Data))

	if m.records == 0 {
		m.firstSeq = firstSeq
	}
	m.lastSeq = last
	m.records += uint64(n)
	m.bytes += int64(len(g.Data)) + int64(n)*recordOverhead + groupOverhead
}

// room finds a place for n records that lie side by side.
func (m *Memory) room(n int) (chunk, off int) {
	if len(m.chunks) > 0 && n <= len(m.chunks[m.fill].times)-m.used {
		off = m.used
		m.used += n
		return m.fill, off
	}
	size := firstChunkRecs
	if len(m.chunks) > 0 {
		size = min(2*len(m.chunks[m.fill].times), largestChunkRec)
	}
	own := n > size/ownChunkShare
	if own {
		size = n
	}
	m.chunks = append(m.chunks, recChunk{times: make([]int64, size), ends: make([]uint32, size)})
	chunk = len(m.chunks) - 1
	if !own || chunk == 0 {
		m.fill, m.used = chunk, n
	}
	return chunk, 0
}

func (m *Memory) seriesOf(table, dataset string) *series {
	if i, ok := m.byName[seriesName{table, dataset}]; ok {
		return &m.series[i]
	}
	t := m.tableOf(table)
	name := seriesName{m.tables[t].name, strings.Clone(dataset)}
	m.byName[name] = uint32(len(m.series))
	m.series = append(m.series, series{name: name, table: t})
	m.bytes += seriesOverhead + int64(len(dataset))
	return &m.series[len(m.series)-1]
}

func (m *Memory) tableOf(table string) uint32 {
	if i, ok := m.byTab[table]; ok {
		return i
	}
	name := strings.Clone(table)
	i := uint32(len(m.tables))
	m.tables = append(m.tables, memTable{name: name})
	m.byTab[name] = i
	m.bytes += seriesOverhead + int64(len(table))
	return i
}

// SetTotal notes the table's running total of accepted records after the last
// added batch. Apply writes it beside the count of records it writes, so that
// the two can be compared when the generation is archived.
func (m *Memory) SetTotal(table string, accepted uint64) {
	t := &m.tables[m.tableOf(table)]
	t.accepted, t.hasTotal = accepted, true
}

// Advance notes that every record up to seq is in this table or was never there:
// frames without records take numbers too, and the write-ahead log is trimmed by
// the number a generation has reached.
func (m *Memory) Advance(seq uint64) { m.lastSeq = max(m.lastSeq, seq) }

// Bytes is what the table holds: JSON, and what it costs to keep it, of which
// there is a share per record, per group and per series. Buffers that Data of a
// group is only a part of are not known here.
func (m *Memory) Bytes() int64 { return m.bytes }

// Records is how many records the table holds.
func (m *Memory) Records() uint64 { return m.records }

// FirstSeq is the number of the oldest record, 0 when there is none.
func (m *Memory) FirstSeq() uint64 { return m.firstSeq }

// LastSeq is the number of the newest record, or the number given to Advance if
// that is higher.
func (m *Memory) LastSeq() uint64 { return m.lastSeq }

// Empty says that the table holds no record.
func (m *Memory) Empty() bool { return m.records == 0 }

// Series calls fn for every dataset of every table, in the order in which they
// were first added.
func (m *Memory) Series(fn func(SeriesInfo)) {
	for i := range m.series {
		s := &m.series[i]
		fn(SeriesInfo{
			Table: s.name.table, Dataset: s.name.dataset, Records: s.records, Bytes: s.bytes,
			MinTime: s.min, MaxTime: s.max, LastSeq: s.lastSeq,
		})
	}
}

// Totals returns the running totals set by SetTotal, in a map of the caller's.
func (m *Memory) Totals() map[string]uint64 {
	out := make(map[string]uint64, len(m.tables))
	for _, t := range m.tables {
		if t.hasTotal {
			out[t.name] = t.accepted
		}
	}
	return out
}

// Counts returns the records per table in this memory table, in a map of the
// caller's.
func (m *Memory) Counts() map[string]uint64 {
	out := make(map[string]uint64, len(m.tables))
	for _, t := range m.tables {
		if t.records > 0 {
			out[t.name] = t.records
		}
	}
	return out
}
