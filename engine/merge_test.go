package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/firndb/firn/engine/hot"
)

// TestMerge merges random sources, whose spans share times at their ends as often as not, and
// compares with a stable sort.
func TestMerge(t *testing.T) {
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var all []hot.Record
		var lists [][]*span
		for range rng.IntN(4) {
			var recs []hot.Record
			for range rng.IntN(30) {
				recs = append(recs, hot.Record{Time: rng.Int64N(8)})
			}
			slices.SortStableFunc(recs, func(a, b hot.Record) int { return int(a.Time - b.Time) })
			for i := range recs {
				recs[i].JSON = fmt.Appendf(nil, "%d.%d", len(lists), i)
			}
			all = append(all, recs...)
			var spans []*span
			for tie := uint64(0); len(recs) > 0; tie++ {
				n := 1 + rng.IntN(min(5, len(recs)))
				s := memorySpan(recs[:n])
				s.tie = tie
				spans = append(spans, s)
				recs = recs[n:]
			}
			rng.Shuffle(len(spans), func(i, j int) { spans[i], spans[j] = spans[j], spans[i] })
			sortSpans(spans)
			lists = append(lists, spans)
		}
		from, to := rng.Int64N(8), rng.Int64N(8)
		desc := rng.IntN(2) == 0
		var want []string
		slices.SortStableFunc(all, func(a, b hot.Record) int {
			if desc {
				return int(b.Time - a.Time)
			}
			return int(a.Time - b.Time)
		})
		for _, r := range all {
			if r.Time >= from && r.Time <= to {
				want = append(want, string(r.JSON))
			}
		}
		r := &Rows{query: Query{Descending: desc}}
		r.mergeSpans(lists, from, to)
		var got []string
		for {
			rows, i, err := r.merge.next()
			if err != nil {
				t.Fatal(err)
			}
			if rows == nil {
				break
			}
			got = append(got, string(rows.hot[i].JSON))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d, %d to %d, descending %v:\ngot  %v\nwant %v", seed, from, to, desc, got, want)
		}
	}
}
