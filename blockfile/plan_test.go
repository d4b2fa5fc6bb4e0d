package blockfile

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func want(key string, offset int64, length uint32) Want {
	return Want{Key: key, Ref: Ref{Offset: offset, Length: length}}
}

func TestPlan(t *testing.T) {
	never := PlanOptions{MaxGap: -1}
	for _, tc := range []struct {
		name  string
		wants []Want
		o     PlanOptions
		plan  []Range
	}{
		{"nothing", nil, PlanOptions{}, nil},
		{"one", []Want{want("a", 100, 50)}, PlanOptions{}, []Range{{"a", 100, 50, []int{0}}}},
		{"neighbours", []Want{want("a", 100, 50), want("a", 150, 10)}, never, []Range{{"a", 100, 60, []int{0, 1}}}},
		{"neighbours, backwards", []Want{want("a", 150, 10), want("a", 100, 50)}, never, []Range{{"a", 100, 60, []int{1, 0}}}},
		{"twice", []Want{want("a", 100, 50), want("a", 100, 50)}, never, []Range{{"a", 100, 50, []int{0, 1}}}},
		{"two files", []Want{want("b", 0, 50), want("a", 50, 50)}, PlanOptions{}, []Range{{"b", 0, 50, []int{0}}, {"a", 50, 50, []int{1}}}},
		{"gap not bridged", []Want{want("a", 0, 100), want("a", 101, 100)}, never, []Range{{"a", 0, 100, []int{0}}, {"a", 101, 100, []int{1}}}},
		{"gap of exactly a tenth", []Want{want("a", 0, 100), want("a", 120, 100)}, PlanOptions{}, []Range{{"a", 0, 220, []int{0, 1}}}},
		{"gap of more than a tenth", []Want{want("a", 0, 100), want("a", 121, 100)}, PlanOptions{}, []Range{{"a", 0, 100, []int{0}}, {"a", 121, 100, []int{1}}}},
		{"the smaller gap", []Want{want("a", 0, 100), want("a", 120, 100), want("a", 239, 100)}, PlanOptions{MaxGapShare: 0.1},
			[]Range{{"a", 0, 100, []int{0}}, {"a", 120, 219, []int{1, 2}}}},
		{"gap share of the whole plan", []Want{want("a", 0, 100), want("a", 150, 100), want("b", 0, 300)}, PlanOptions{},
			[]Range{{"a", 0, 250, []int{0, 1}}, {"b", 0, 300, []int{2}}}},
		{"gap longer than allowed", []Want{want("a", 0, 1000), want("a", 1011, 1000)}, PlanOptions{MaxGap: 10}, []Range{{"a", 0, 1000, []int{0}}, {"a", 1011, 1000, []int{1}}}},
		{"gap as long as allowed", []Want{want("a", 0, 1000), want("a", 1010, 1000)}, PlanOptions{MaxGap: 10}, []Range{{"a", 0, 2010, []int{0, 1}}}},
		{"range full", []Want{want("a", 0, 100), want("a", 100, 100), want("a", 200, 1)}, PlanOptions{MaxRangeBytes: 200}, []Range{{"a", 0, 200, []int{0, 1}}, {"a", 200, 1, []int{2}}}},
		{"block longer than a range", []Want{want("a", 0, 500), want("a", 500, 100), want("a", 600, 100)}, PlanOptions{MaxRangeBytes: 200},
			[]Range{{"a", 0, 500, []int{0}}, {"a", 500, 200, []int{1, 2}}}},
		{"twice, longer than a range", []Want{want("a", 0, 500), want("a", 0, 500)}, PlanOptions{MaxRangeBytes: 200}, []Range{{"a", 0, 500, []int{0, 1}}}},
		{"one inside another", []Want{want("a", 0, 100), want("a", 10, 20)}, never, []Range{{"a", 0, 100, []int{0, 1}}}},
		{"one inside another, then a neighbour", []Want{want("a", 0, 100), want("a", 10, 20), want("a", 100, 50)}, never, []Range{{"a", 0, 150, []int{0, 1, 2}}}},
		{"twice is needed once", []Want{want("a", 0, 100), want("a", 0, 100), want("a", 125, 100)}, PlanOptions{}, []Range{{"a", 0, 100, []int{0, 1}}, {"a", 125, 100, []int{2}}}},
		{"overlapping", []Want{want("a", 0, 100), want("a", 90, 100)}, never, []Range{{"a", 0, 190, []int{0, 1}}}},
		{"in the order of the first want", []Want{want("a", 5000, 10), want("a", 0, 10), want("b", 0, 10)}, never,
			[]Range{{"a", 5000, 10, []int{0}}, {"a", 0, 10, []int{1}}, {"b", 0, 10, []int{2}}}},
		{"offsets that no file has", []Want{want("a", math.MaxInt64, 10), want("a", -5, 10), want("a", 0, 10), want("a", math.MaxInt64-1, 10)}, PlanOptions{},
			[]Range{{"a", math.MaxInt64, 10, []int{0}}, {"a", -5, 10, []int{1}}, {"a", 0, 10, []int{2}}, {"a", math.MaxInt64 - 1, 10, []int{3}}}},
	} {
		before := slices.Clone(tc.wants)
		if got := Plan(tc.wants, tc.o); !reflect.DeepEqual(got, tc.plan) {
			t.Errorf("%s:\n got %+v\nwant %+v", tc.name, got, tc.plan)
		}
		if !reflect.DeepEqual(tc.wants, before) {
			t.Errorf("%s: the wants were modified", tc.name)
		}
	}
}

// What every plan keeps, on random wants.
func TestPlanKeepsItsPromises(t *testing.T) {
	const seed = 20_240_501
	rnd := rand.New(rand.NewPCG(seed, seed))
	for round := range 500 {
		var wants []Want
		for f := range 1 + rnd.IntN(3) {
			offset := int64(rnd.IntN(1000))
			for range rnd.IntN(30) {
				length := uint32(1 + rnd.IntN(300))
				if rnd.IntN(3) > 0 {
					wants = append(wants, want(fmt.Sprint("file", f), offset, length))
				}
				offset += int64(length)
				if rnd.IntN(2) == 0 {
					offset += int64(rnd.IntN(100))
				}
			}
		}
		rnd.Shuffle(len(wants), func(i, j int) { wants[i], wants[j] = wants[j], wants[i] })
		o := PlanOptions{MaxGap: int64(rnd.IntN(80)) - 1, MaxRangeBytes: int64(rnd.IntN(3000)), MaxGapShare: 0.1 + rnd.Float64()/5}
		ranges := Plan(wants, o)
		name := fmt.Sprintf("seed %d, round %d, %d wants, %+v", seed, round, len(wants), o)
		checkPlan(t, name, wants, ranges, o.withDefaults())
		if again := Plan(wants, o); !reflect.DeepEqual(again, ranges) {
			t.Fatalf("%s: another plan the second time", name)
		}
		if t.Failed() {
			return
		}
	}
}

func checkPlan(t *testing.T, name string, wants []Want, ranges []Range, o PlanOptions) {
	t.Helper()
	var needed, read int64
	seen := make([]int, len(wants))
	first := -1
	var all []Range
	for _, r := range ranges {
		if r.Blocks == nil {
			t.Fatalf("%s: range of nothing", name)
		}
		if m := slices.Min(r.Blocks); m <= first {
			t.Errorf("%s: ranges are not in the order of their first wants", name)
		} else {
			first = m
		}
		at := r.Offset
		for _, i := range r.Blocks {
			w := wants[i]
			seen[i]++
			needed += int64(w.Ref.Length)
			gap := w.Ref.Offset - at
			if w.Key != r.Key || gap < 0 || gap > max(o.MaxGap, 0) {
				t.Errorf("%s: block at %d of %s in range %+v behind %d", name, w.Ref.Offset, w.Key, r, at)
			}
			at = w.Ref.End()
		}
		if at != r.Offset+r.Length || wants[r.Blocks[0]].Ref.Offset != r.Offset {
			t.Errorf("%s: range %+v reads past its blocks", name, r)
		}
		if len(r.Blocks) > 1 && r.Length > o.MaxRangeBytes {
			t.Errorf("%s: range %+v is too long", name, r)
		}
		read += r.Length
		all = append(all, r)
	}
	for i, n := range seen {
		if n != 1 {
			t.Errorf("%s: want %d is in %d ranges", name, i, n)
		}
	}
	if waste := read - needed; float64(waste) > o.MaxGapShare*float64(needed) {
		t.Errorf("%s: %d bytes for nothing on %d needed", name, waste, needed)
	}
	// Ranges that touch were only parted by their length.
	slices.SortFunc(all, func(a, b Range) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Offset, b.Offset)) })
	for i := 1; i < len(all); i++ {
		a, b := all[i-1], all[i]
		if a.Key == b.Key && a.Offset+a.Length >= b.Offset && a.Length+int64(wants[b.Blocks[0]].Ref.Length) <= o.MaxRangeBytes {
			t.Errorf("%s: ranges %+v and %+v could be one", name, a, b)
		}
	}
}
