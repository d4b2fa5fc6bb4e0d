package hot

import (
	"bytes"
	"cmp"
	"math"
	"math/rand/v2"
	"testing"
)

func TestDayOf(t *testing.T) {
	for _, c := range []struct {
		ms  int64
		day int32
	}{
		{0, 0},
		{millisPerDay - 1, 0},
		{millisPerDay, 1},
		{-1, -1},
		{-millisPerDay, -1},
		{-millisPerDay - 1, -2},
		{1_732_320_000_000, 20050},
		{-62135596800000, -719162}, // 0001-01-01
		{253402300799999, 2932896}, // 9999-12-31
		{math.MaxInt64, math.MaxInt32},
		{math.MinInt64, math.MinInt32},
	} {
		if got := DayOf(c.ms); got != c.day {
			t.Errorf("day of %d is %d, want %d", c.ms, got, c.day)
		}
	}
}

// Byte order of keys is the order of their parts, whatever bytes names hold, and
// parts come back.
func TestKeyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	alphabet := []byte{0, 1, 2, 'a', 'b', 0xfe, 0xff}
	name := func() string {
		b := make([]byte, rng.IntN(5))
		for i := range b {
			b[i] = alphabet[rng.IntN(len(alphabet))]
		}
		return string(b)
	}
	type parts struct {
		table, dataset string
		day            int32
		ms             int64
	}
	random := func() parts {
		days := []int32{0, 1, -1, 255, 256, math.MinInt32, math.MaxInt32}
		times := []int64{0, 1, -1, math.MinInt64, math.MaxInt64, 1 << 32}
		return parts{name(), name(), days[rng.IntN(len(days))], times[rng.IntN(len(times))]}
	}
	key := func(p parts) []byte {
		return AppendKeyTime(AppendKeyName(AppendKeyDay(AppendKeyName(nil, p.table), p.day), p.dataset), p.ms)
	}
	for range 100_000 {
		a, b := random(), random()
		want := cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.day, b.day), cmp.Compare(a.dataset, b.dataset), cmp.Compare(a.ms, b.ms))
		if got := bytes.Compare(key(a), key(b)); got != want {
			t.Fatalf("%+v against %+v: keys compare %d, parts %d", a, b, got, want)
		}
		var back parts
		rest := key(a)
		var err error
		if back.table, rest, err = CutKeyName(rest); err != nil {
			t.Fatal(err)
		}
		if back.day, rest, err = CutKeyDay(rest); err != nil {
			t.Fatal(err)
		}
		if back.dataset, rest, err = CutKeyName(rest); err != nil {
			t.Fatal(err)
		}
		if back.ms, rest, err = CutKeyTime(rest); err != nil {
			t.Fatal(err)
		}
		if back != a || len(rest) != 0 {
			t.Fatalf("%+v came back as %+v, rest %x", a, back, rest)
		}
	}
}

func TestKeyRefusesJunk(t *testing.T) {
	for _, bad := range [][]byte{nil, []byte("a"), {'a', 0}, {0, 2}, {0, 0, 0, 1}} {
		if name, _, err := CutKeyName(bad); err == nil {
			t.Errorf("%x read as %q", bad, name)
		}
	}
	if _, _, err := CutKeyDay([]byte{1, 2, 3}); err == nil {
		t.Error("three bytes read as a day")
	}
	if _, _, err := CutKeyTime([]byte{1, 2, 3, 4, 5, 6, 7}); err == nil {
		t.Error("seven bytes read as a time")
	}
}
