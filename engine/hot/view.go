package hot

import (
	"cmp"
	"slices"
	"sort"
)

// MemoryView is what one dataset had in one table of a memory table when the view
// was taken. What is added later is not in it. Its methods need no lock and may
// be called by several goroutines; the records they hand out alias the memory
// table. The zero view is empty.
type MemoryView struct {
	spans   []*spanChunk
	chunks  []recChunk
	tail    uint32
	n       uint64
	lastSeq uint64
	min     int64
	max     int64
}

// View takes a view of one dataset of one table. It costs one look-up, copies no
// record, allocates nothing, and is called under the lock that orders Add.
func (m *Memory) View(table, dataset string) MemoryView {
	i, ok := m.byName[seriesName{table, dataset}]
	if !ok {
		return MemoryView{}
	}
	return m.viewOf(&m.series[i])
}

func (m *Memory) viewOf(s *series) MemoryView {
	return MemoryView{
		spans: m.spans, chunks: m.chunks, tail: s.tail,
		n: s.records, lastSeq: s.lastSeq, min: s.min, max: s.max,
	}
}

// Len is the number of records in the view.
func (v MemoryView) Len() int { return int(v.n) }

// LastSeq is the highest number in the view, 0 when it is empty.
func (v MemoryView) LastSeq() uint64 { return v.lastSeq }

// MinTime is the earliest time in the view, in milliseconds; 0 when it is empty.
func (v MemoryView) MinTime() int64 { return v.min }

// MaxTime is the latest time in the view, in milliseconds; 0 when it is empty.
func (v MemoryView) MaxTime() int64 { return v.max }

// Append appends the records with from <= Time <= to and Seq > afterSeq to dst,
// sorted by (Time, Seq). JSON aliases the memory table: it is valid as long as
// the record is held, and must not be written to. Records that were accepted in
// order of time cost no sorting.
func (v MemoryView) Append(dst []Record, from, to int64, afterSeq uint64) []Record {
	total := 0
	for i := v.tail; i != 0; {
		s, _ := v.span(i)
		if s.last() <= afterSeq {
			break
		}
		lo, hi := v.window(s, from, to, afterSeq)
		total += hi - lo
		i = s.prev
	}
	if total == 0 {
		return dst
	}
	// Spans come newest first, so the place is filled from its end. Spans whose
	// times are not sorted may hold less than their window; the rest moves up.
	base := len(dst)
	dst = slices.Grow(dst, total)[:base+total]
	pos, ordered := base+total, true
	var next int64
	for i := v.tail; i != 0; {
		s, data := v.span(i)
		if s.last() <= afterSeq {
			break
		}
		lo, hi := v.window(s, from, to, afterSeq)
		if lo < hi {
			times, ends := v.columns(s)
			for k := hi - 1; k >= lo; k-- {
				t := times[k]
				if t < from || t > to {
					continue
				}
				if pos < base+total && t > next {
					ordered = false
				}
				next = t
				pos--
				dst[pos] = Record{Time: t, Seq: s.first + uint64(k), JSON: record(data, ends, k)}
			}
		}
		i = s.prev
	}
	if pos > base {
		n := copy(dst[base:], dst[pos:])
		clear(dst[base+n:])
		dst = dst[:base+n]
	}
	if !ordered {
		slices.SortFunc(dst[base:], compareRecords)
	}
	return dst
}

func compareRecords(a, b Record) int {
	if c := cmp.Compare(a.Time, b.Time); c != 0 {
		return c
	}
	return cmp.Compare(a.Seq, b.Seq)
}

func (v *MemoryView) span(i uint32) (*span, []byte) {
	i--
	c := v.spans[i/spansPerChunk]
	return &c.spans[i%spansPerChunk], c.data[i%spansPerChunk]
}

func (v *MemoryView) columns(s *span) ([]int64, []uint32) {
	c := &v.chunks[s.chunk]
	return c.times[s.off : s.off+s.n], c.ends[s.off : s.off+s.n]
}

func (s *span) last() uint64 { return s.first + uint64(s.n) - 1 }

// window narrows a span to the records that may be wanted: exactly them when its
// times are sorted, else only by number.
func (v *MemoryView) window(s *span, from, to int64, afterSeq uint64) (lo, hi int) {
	if s.max < from || s.min > to || from > to {
		return 0, 0
	}
	hi = int(s.n)
	if s.sorted && (s.min < from || s.max > to) {
		times, _ := v.columns(s)
		lo = sort.Search(hi, func(i int) bool { return times[i] >= from })
		hi = lo + sort.Search(hi-lo, func(i int) bool { return times[lo+i] > to })
	}
	if afterSeq >= s.first {
		lo = max(lo, int(afterSeq-s.first)+1)
	}
	return min(lo, hi), hi
}

func record(data []byte, ends []uint32, i int) []byte {
	var begin uint32
	if i > 0 {
		begin = ends[i-1]
	}
	return data[begin:ends[i]:ends[i]]
}
