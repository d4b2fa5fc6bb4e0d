package engine

import (
	"reflect"
	"testing"

	"github.com/firndb/firn/engine/hot"
)

func testFrame() *batchFrame {
	return &batchFrame{
		firstSeq: 1 << 40, records: 3, acceptedAt: -5,
		totals: []tableTotal{{"battle", 1 << 33}, {"ü", 1}},
		key:    "k", hash: [32]byte{1, 2, 3},
		groups: []hot.Group{
			{Table: "battle", Dataset: "u1", Times: []int64{-62135596800000, 253402300799999}, Ends: []uint32{2, 9}, Data: []byte(`{}{"a":1}`)},
			{Table: "ü", Dataset: "..", Times: []int64{0}, Ends: []uint32{2}, Data: []byte(`{}`)},
		},
	}
}

func TestFrameRoundTrip(t *testing.T) {
	want := testFrame()
	b := want.appendTo(nil)
	if len(b) > want.sizeBound()+2*30 {
		t.Errorf("%d bytes, bound %d", len(b), want.sizeBound())
	}
	got, state, err := parseFrame(b)
	if err != nil || state != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v, %v", got, state, err)
	}
	for i := range b {
		if _, _, err := parseFrame(b[:i]); err == nil {
			t.Errorf("cut off at %d it parses", i)
		}
	}
	if _, _, err := parseFrame(append(b, 0)); err == nil {
		t.Error("with a byte too many it parses")
	}
	s := &stateFrame{lastSeq: 7, totals: []tableTotal{{"t", 9}}}
	if _, got, err := parseFrame(s.appendTo(nil)); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("%+v, %v", got, err)
	}
}

// FuzzFrame feeds the parser bytes that a log would never hand it. What parses must say the same
// when it is written again.
func FuzzFrame(f *testing.F) {
	f.Add(testFrame().appendTo(nil))
	f.Add((&stateFrame{lastSeq: 7}).appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		batch, state, err := parseFrame(b)
		if err != nil {
			return
		}
		if state != nil {
			if _, again, err := parseFrame(state.appendTo(nil)); err != nil || !reflect.DeepEqual(again, state) {
				t.Fatalf("%+v became %+v, %v", state, again, err)
			}
			return
		}
		if again, _, err := parseFrame(batch.appendTo(nil)); err != nil || !reflect.DeepEqual(again, batch) {
			t.Fatalf("%+v became %+v, %v", batch, again, err)
		}
	})
}
