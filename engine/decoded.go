package engine

import (
	"math"
	"sort"

	"github.com/firndb/firn/blockfile/schema"
	"github.com/firndb/firn/engine/hot"
)

// rows are the records of one span, loaded: hot ones as JSON, cold ones as Avro with the place of
// each noted. Immutable, so that a decoded block can be cached and shared.
type rows struct {
	hot []hot.Record

	family *family
	raw    []byte   // Avro records, one after the other
	times  []int64  // of the cold records
	offs   []uint32 // where each begins in raw
}

func (r *rows) cold() bool { return r.family != nil }

func (r *rows) len() int {
	if r.cold() {
		return len(r.times)
	}
	return len(r.hot)
}

func (r *rows) time(i int) int64 {
	if r.cold() {
		return r.times[i]
	}
	return r.hot[i].Time
}

// search returns the first record at or after a time.
func (r *rows) search(t int64) int {
	return sort.Search(r.len(), func(i int) bool { return r.time(i) >= t })
}

// searchAfter returns the first record after a time.
func (r *rows) searchAfter(t int64) int {
	return sort.Search(r.len(), func(i int) bool { return r.time(i) > t })
}

// bytes is what a decoded block costs a cache.
func (r *rows) bytes() int64 {
	return int64(cap(r.raw) + 8*cap(r.times) + 4*cap(r.offs) + 128)
}

// indexBlock notes where each record of a decompressed block lies and checks that they are what
// the reference says: so many, of this dataset, in order, between these times.
func indexBlock(f *family, dec *schema.Decoder, raw []byte, dataset string, records uint32, first, last int64) (*rows, string) {
	if int64(records) > int64(len(raw)) || len(raw) > math.MaxUint32 {
		return nil, "record count does not fit the block"
	}
	r := &rows{family: f, raw: raw, times: make([]int64, 0, records), offs: make([]uint32, 0, records)}
	for at := 0; at < len(raw); {
		name, t, err := dec.Head(raw[at:])
		if err != nil {
			return nil, err.Error()
		}
		n, err := dec.Skip(raw[at:])
		if err != nil {
			return nil, err.Error()
		}
		switch k := len(r.times); {
		case string(name) != dataset:
			return nil, "a record of another dataset"
		case k > 0 && t < r.times[k-1], k == 0 && t != first:
			return nil, "records out of order"
		case k == int(records):
			return nil, "more records than referenced"
		}
		r.times = append(r.times, t)
		r.offs = append(r.offs, uint32(at))
		at += n
	}
	if len(r.times) != int(records) || records == 0 || r.times[records-1] != last {
		return nil, "records differ from the reference"
	}
	return r, ""
}
