package blockfile

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firndb/firn/blockfile/store"
)

func day(t testing.TB, s string) int32 {
	t.Helper()
	d, err := ParseDay(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestNames(t *testing.T) {
	for _, tc := range []struct {
		name Name
		key  string
	}{
		{Name{"battle", ByDay, day(t, "2024-05-01"), 0x1_0000_00a3, 1}, "battle/date=2024-05-01/00000001000000a3-000001"},
		{Name{"battle", ByMonth, day(t, "2024-05-01"), 0x1_0000_00a3, 0}, "battle/month=2024-05/00000001000000a3-000000"},
		{Name{"_firn", ByDay, day(t, "0001-01-01"), 0, MaxSequence}, "%5Ffirn/date=0001-01-01/0000000000000000-999999"},
		{Name{"../x", ByDay, day(t, "9999-12-31"), 1<<64 - 1, 42}, "%2E.%2Fx/date=9999-12-31/ffffffffffffffff-000042"},
		{Name{"雪", ByMonth, day(t, "1969-12-01"), 7, 7}, "%E9%9B%AA/month=1969-12/0000000000000007-000007"},
		{Name{strings.Repeat("\xff", MaxTableBytes), ByDay, 0, 0, 0}, strings.Repeat("%FF", MaxTableBytes) + "/date=1970-01-01/0000000000000000-000000"},
	} {
		if err := tc.name.Validate(); err != nil {
			t.Errorf("%+v: %v", tc.name, err)
		}
		for kind, key := range map[Kind]string{KindBlockFile: tc.key + ".avro", KindSidecar: tc.key + ".idx"} {
			got := tc.name.BlockKey()
			if kind == KindSidecar {
				got = tc.name.SidecarKey()
			}
			if got != key {
				t.Errorf("%+v: key %q, want %q", tc.name, got, key)
			}
			if err := store.CheckKey(key); err != nil {
				t.Error(err)
			}
			if back, k, err := ParseKey(key); err != nil || back != tc.name || k != kind {
				t.Errorf("%q: parsed %+v, kind %d, %v", key, back, k, err)
			}
		}
	}
}

func TestKeysThatAreNone(t *testing.T) {
	const good = "battle/date=2024-05-01/00000001000000a3-000001.avro"
	if _, _, err := ParseKey(good); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"", "/", "//", good + "/", "/" + good, "x/" + good, good + ".avro", strings.TrimSuffix(good, ".avro"), good[:len(good)-1],
		strings.ToUpper(good), strings.Replace(good, "battle", "", 1), strings.Replace(good, "battle", "%", 1), strings.Replace(good, "battle", "_firn", 1),
		strings.Replace(good, "battle", "..", 1), strings.Replace(good, "battle", "%41", 1), strings.Replace(good, "battle", strings.Repeat("t", MaxTableBytes+1), 1),
		strings.Replace(good, "date=2024-05-01", "2024-05-01", 1), strings.Replace(good, "2024-05-01", "2024-5-1", 1),
		strings.Replace(good, "2024-05-01", "2024-02-30", 1), strings.Replace(good, "2024-05-01", "0000-12-31", 1),
		strings.Replace(good, "2024-05-01", "20240-05-1", 1), strings.Replace(good, "date=2024-05-01", "month=2024-05-01", 1),
		strings.Replace(good, "date=2024-05-01", "month=2024-13", 1), strings.Replace(good, "date=2024-05-01", "month=2024-5", 1),
		strings.Replace(good, "date=2024-05-01", "month=2024", 1), strings.Replace(good, "date=2024-05-01", "month=", 1),
		strings.Replace(good, "00a3", "00A3", 1), strings.Replace(good, "00a3", "0xa3", 1), strings.Replace(good, "00a3", "a3", 1),
		strings.Replace(good, "-000001", "-1", 1), strings.Replace(good, "-000001", "-1000000", 1), strings.Replace(good, "-000001", "-+00001", 1),
		strings.Replace(good, "-000001", "", 1), strings.Replace(good, "-000001", "-", 1), strings.Replace(good, "-000001", "-000001-000001", 1),
		strings.Repeat("x", 5000), "_firn/store", "_firn/log/1",
	} {
		if n, kind, err := ParseKey(key); err == nil {
			t.Errorf("%q: parsed %+v, kind %d", key, n, kind)
		}
	}
	for _, n := range []Name{
		{}, {Table: "t", Day: MaxDay + 1}, {Table: "t", Day: MinDay - 1}, {Table: "t", Sequence: MaxSequence + 1}, {Table: "t", Partition: 2},
		{Table: "t", Partition: ByMonth, Day: 1}, {Table: strings.Repeat("t", MaxTableBytes+1)},
	} {
		if err := n.Validate(); err == nil {
			t.Errorf("%+v: valid", n)
		}
	}
}

// The order of keys is the order of days, runs and sequence numbers.
func TestNamesSort(t *testing.T) {
	var keys []string
	for _, d := range []string{"0001-01-01", "0999-12-31", "1969-12-31", "1970-01-01", "2024-01-31", "2024-02-01", "9999-12-31"} {
		for _, run := range []RunID{0, 9, 10, 0xff, 0x100, 1 << 63} {
			for _, seq := range []uint32{0, 9, 10, 99_999, 100_000} {
				keys = append(keys, Name{"t", ByDay, day(t, d), run, seq}.BlockKey())
			}
		}
	}
	if !slices.IsSorted(keys) {
		t.Error("keys are not in the order of their numbers")
	}
}

func TestDays(t *testing.T) {
	for ms, want := range map[int64]int32{
		0: 0, 1: 0, msPerDay - 1: 0, msPerDay: 1, -1: -1, -msPerDay: -1, -msPerDay - 1: -2,
		-62_135_596_800_000: MinDay, 253_402_300_799_999: MaxDay,
	} {
		if got := DayOf(ms); got != want {
			t.Errorf("DayOf(%d) = %d, want %d", ms, got, want)
		}
	}
	for d, want := range map[int32]string{0: "1970-01-01", -1: "1969-12-31", MinDay: "0001-01-01", MaxDay: "9999-12-31", 19_844: "2024-05-01", 11_016: "2000-02-29"} {
		if got := DayName(d); got != want {
			t.Errorf("DayName(%d) = %q, want %q", d, got, want)
		}
		if got, err := ParseDay(want); err != nil || got != d {
			t.Errorf("ParseDay(%q) = %d, %v; want %d", want, got, err, d)
		}
	}
	// Every day agrees with the calendar of package time.
	for d := int32(MinDay); d <= MaxDay; d += 97 {
		at := time.UnixMilli(DayStart(d)).UTC()
		if DayName(d) != at.Format(time.DateOnly) || DayOf(DayStart(d)) != d || DayOf(DayStart(d+1)-1) != d {
			t.Fatalf("day %d is %s", d, DayName(d))
		}
		if start := ByMonth.Start(d); time.UnixMilli(DayStart(start)).UTC() != time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC) || ByDay.Start(d) != d {
			t.Fatalf("the month of %s starts on %s", DayName(d), DayName(start))
		}
	}
}

func TestIDs(t *testing.T) {
	for id, want := range map[RunID]string{0: "0000000000000000", 1<<32 | 163: "00000001000000a3", 1<<64 - 1: "ffffffffffffffff"} {
		if got := id.String(); got != want {
			t.Errorf("%d: %q, want %q", uint64(id), got, want)
		}
		if back, err := ParseRunID(want); err != nil || back != id {
			t.Errorf("%q: %v, %v", want, back, err)
		}
	}
	for _, bad := range []string{"", "0", "000000000000000G", "00000000000000AA", "+000000000000001", "00000000000000001", " 000000000000001"} {
		if id, err := ParseRunID(bad); err == nil {
			t.Errorf("%q: %v", bad, id)
		}
	}
	for _, p := range []Partition{ByDay, ByMonth} {
		if back, err := ParsePartition(p.String()); err != nil || back != p {
			t.Errorf("%v: %v, %v", p, back, err)
		}
	}
	if _, err := ParsePartition("year"); err == nil {
		t.Error("partition year")
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("battle/date=2024-05-01/00000001000000a3-000001.avro")
	f.Add("%2E/month=0001-01/0000000000000000-999999.idx")
	f.Fuzz(func(t *testing.T, key string) {
		n, kind, err := ParseKey(key)
		if err != nil {
			return
		}
		again := n.BlockKey()
		if kind == KindSidecar {
			again = n.SidecarKey()
		}
		if again != key || store.CheckKey(key) != nil || n.Validate() != nil {
			t.Fatalf("%q is taken for %+v", key, n)
		}
	})
}
