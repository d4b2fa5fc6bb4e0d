package blockfile

import (
	"cmp"
	"slices"
)

// Want is a block to be read: its file and its reference.
type Want struct {
	Key string // of the block file
	Ref Ref
}

// Range is one request to the store.
type Range struct {
	Key    string
	Offset int64
	Length int64
	Blocks []int // indexes into the wants, ascending by offset
}

// PlanOptions bounds what the planner may join. A zero field means its
// default.
type PlanOptions struct {
	// MaxGap is the most bytes between two blocks that one request may read
	// for nothing; negative means none. Default 512 KiB.
	MaxGap int64
	// MaxGapShare is the most bytes read for nothing, as a share of the bytes
	// that are needed, over the whole plan; negative means none. Default 0.1.
	MaxGapShare float64
	// MaxRangeBytes is the longest request, unless a single block is longer.
	// Default 8 MiB.
	MaxRangeBytes int64
}

// Defaults of PlanOptions.
const (
	DefaultMaxGap        = 512 << 10
	DefaultMaxGapShare   = 0.1
	DefaultMaxRangeBytes = 8 << 20
)

func (o PlanOptions) withDefaults() PlanOptions {
	if o.MaxGap == 0 {
		o.MaxGap = DefaultMaxGap
	}
	if o.MaxGapShare == 0 {
		o.MaxGapShare = DefaultMaxGapShare
	}
	if o.MaxRangeBytes <= 0 {
		o.MaxRangeBytes = DefaultMaxRangeBytes
	}
	return o
}

// Plan coalesces the wants into ranges. Every want is in exactly one range,
// which covers it whole; a block wanted twice is read once. Blocks that touch
// always join, up to MaxRangeBytes. Blocks of one file with a gap between them
// join while the gaps stay within the options, the smallest gaps first: each
// one bridged saves a request, whatever its size.
//
// Ranges come in the order of their first want, so that who needs the wants in
// their order starts the ranges in theirs. Plan is deterministic and does not
// modify wants.
func Plan(wants []Want, o PlanOptions) []Range {
	o = o.withDefaults()
	order := make([]int, len(wants))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		wa, wb := &wants[a], &wants[b]
		return cmp.Or(
			cmp.Compare(wa.Key, wb.Key),
			cmp.Compare(wa.Ref.Offset, wb.Ref.Offset),
			cmp.Compare(wa.Ref.Length, wb.Ref.Length),
			cmp.Compare(a, b))
	})
	bridged := bridge(wants, order, o)

	var ranges []Range
	for at, i := range order {
		w := &wants[i]
		if at > 0 && bridged[at] {
			r := &ranges[len(ranges)-1]
			end := max(r.Offset+r.Length, w.Ref.End())
			// A block that lies within the range costs nothing.
			if end-r.Offset <= max(o.MaxRangeBytes, r.Length) {
				r.Length = end - r.Offset
				r.Blocks = append(r.Blocks, i)
				continue
			}
		}
		ranges = append(ranges, Range{Key: w.Key, Offset: w.Ref.Offset, Length: int64(w.Ref.Length), Blocks: []int{i}})
	}
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(slices.Min(a.Blocks), slices.Min(b.Blocks)) })
	return ranges
}

// bridge decides which wants, by their place in order, join the one before
// them.
func bridge(wants []Want, order []int, o PlanOptions) []bool {
	type gap struct {
		at    int // place in order of the want behind the gap
		bytes int64
	}
	bridged := make([]bool, len(order))
	var gaps []gap
	var needed, end int64
	for at, i := range order {
		w := &wants[i]
		if at == 0 || w.Key != wants[order[at-1]].Key || !plausible(w.Ref) || !plausible(wants[order[at-1]].Ref) {
			needed += int64(w.Ref.Length)
			end = w.Ref.End()
			continue
		}
		needed += max(0, w.Ref.End()-max(end, w.Ref.Offset))
		if bytes := w.Ref.Offset - end; bytes <= 0 {
			bridged[at] = true
		} else if bytes <= o.MaxGap {
			gaps = append(gaps, gap{at, bytes})
		}
		end = max(end, w.Ref.End())
	}
	slices.SortStableFunc(gaps, func(a, b gap) int { return cmp.Compare(a.bytes, b.bytes) })
	left := int64(o.MaxGapShare * float64(needed))
	for _, g := range gaps {
		if g.bytes > left {
			break
		}
		left -= g.bytes
		bridged[g.at] = true
	}
	return bridged
}

// plausible reports whether sums with the offset stay far from overflow. A
// block with an offset that no file has gets a range of its own, for the store
// to refuse.
func plausible(r Ref) bool { return r.Offset >= 0 && r.Offset <= MaxFileBytes }
