package jsonscan

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	for raw, want := range map[string]int64{
		`0`: 0, `-0`: 0, `1`: 1, `-1`: -1, `1700000000123`: 1700000000123, `-62135596800000`: MinTime, `253402300799999`: MaxTime,
		`"1970-01-01T00:00:00Z"`: 0, `"1970-01-01t00:00:00z"`: 0, `"1970-01-01T00:00:00.001Z"`: 1, `"1970-01-01T00:00:00.0019999999999999999999999999Z"`: 1,
		`"1969-12-31T23:59:59.9999Z"`: -1, `"1969-12-31T23:59:59.0001Z"`: -1000, `"1970-01-01T01:00:00+01:00"`: 0, `"1969-12-31T16:00:00-08:00"`: 0,
		`"1970-01-01T00:00:00-00:00"`: 0, `"0001-01-01T00:00:00Z"`: MinTime, `"9999-12-31T23:59:59.999Z"`: MaxTime, `"9999-12-31T23:59:59.9999Z"`: MaxTime,
		`"0000-12-31T23:59:59-00:01"`: MinTime + 59_000, `"2000-02-29T12:00:00.5Z"`: 951825600500, `"2024-02-29T00:00:00Z"`: 1709164800000,
		`"2016-12-31T23:59:60Z"`: 1483228800000, `"2016-12-31T23:59:60.25Z"`: 1483228800250, `"2017-01-01T08:59:60+09:00"`: 1483228800000, `"1969-12-31T23:59:60Z"`: 0,
		`"2020\u002d01-01T00:00:00\u005a"`: 1577836800000,
	} {
		if got, err := ParseTime([]byte(raw)); err != nil || got != want {
			t.Errorf("ParseTime(%s) = %d, %v, want %d", raw, got, err, want)
		}
		if strings.Contains(raw, `\`) {
			continue
		}
		if got, err := ParseTimeText(strings.Trim(raw, `"`)); err != nil || got != want {
			t.Errorf("ParseTimeText(%s) = %d, %v, want %d", raw, got, err, want)
		}
	}
	for _, c := range []struct {
		raw  string
		want error
	}{
		{``, errTimeKind}, {`-`, errTimeKind}, {`1.0`, errTimeKind}, {`1e3`, errTimeKind}, {`null`, errTimeKind}, {`true`, errTimeKind}, {`{}`, errTimeKind}, {`[1]`, errTimeKind},
		{`-62135596800001`, errTimeRange}, {`253402300800000`, errTimeRange}, {`99999999999999999999999999`, errTimeRange}, {`-99999999999999999999999999`, errTimeRange},
		{`""`, errTimeText}, {`"`, errTimeKind}, {`"1700000000000"`, errTimeText}, {`"now"`, errTimeText}, {`"2020-01-01"`, errTimeText}, {`"2020-01-01T00:00Z"`, errTimeText},
		{`"2020-01-01T00:00:00"`, errTimeZone}, {`"2020-01-01T00:00:00.5"`, errTimeZone}, {`"2020-01-01T00:00:00 02:00"`, errTimeZone}, {`"2020-01-01 00:00:00Z"`, errTimeText},
		{`"2020-01-01T00:00:00,5Z"`, errTimeText}, {`"2020-01-01T00:00:00.Z"`, errTimeText}, {`"2020-01-01T00:00:00+0200"`, errTimeText}, {`"2020-01-01T00:00:00+02"`, errTimeText},
		{`"2020-01-01T00:00:00+2:00"`, errTimeText}, {`"2020-01-01T00:00:00Z "`, errTimeText}, {`" 2020-01-01T00:00:00Z"`, errTimeText}, {`"2020-01-01T00:00:00+aa:00"`, errTimeText},
		{`"2020/01/01T00:00:00Z"`, errTimeText}, {`"2020-01-01T00.00.00Z"`, errTimeText}, {`"20a0-01-01T00:00:00Z"`, errTimeText}, {`"2020-01-01T00:00:0xZ"`, errTimeText},
		{`"-001-01-01T00:00:00Z"`, errTimeText}, {`"12020-01-01T00:00:00Z"`, errTimeText},
		{`"2020-00-01T00:00:00Z"`, errTimeField}, {`"2020-13-01T00:00:00Z"`, errTimeField}, {`"2020-01-00T00:00:00Z"`, errTimeField}, {`"2020-01-32T00:00:00Z"`, errTimeField},
		{`"2021-02-29T00:00:00Z"`, errTimeField}, {`"1900-02-29T00:00:00Z"`, errTimeField}, {`"2020-04-31T00:00:00Z"`, errTimeField}, {`"2020-01-01T24:00:00Z"`, errTimeField},
		{`"2020-01-01T00:60:00Z"`, errTimeField}, {`"2020-01-01T00:00:61Z"`, errTimeField}, {`"2020-01-01T00:00:00+24:00"`, errTimeField}, {`"2020-01-01T00:00:00+00:60"`, errTimeField},
		{`"2020-01-01T00:00:60Z"`, errTimeLeap}, {`"2016-12-31T23:59:60+01:00"`, errTimeLeap}, {`"2016-12-31T22:59:60Z"`, errTimeLeap},
		{`"0001-01-01T00:00:00+00:01"`, errTimeRange}, {`"0000-12-31T23:59:59Z"`, errTimeRange}, {`"9999-12-31T23:59:60Z"`, errTimeRange}, {`"9999-12-31T23:59:59.999-00:01"`, errTimeRange},
	} {
		if got, err := ParseTime([]byte(c.raw)); !errors.Is(err, c.want) {
			t.Errorf("ParseTime(%s) = %d, %v, want %v", c.raw, got, err, c.want)
		}
	}
	for text, want := range map[string]error{"": errTimeKind, "007": errTimeKind, "05": errTimeKind, "-05": errTimeKind, "+5": errTimeKind, " 5": errTimeKind, "5 ": errTimeKind, "--5": errTimeKind, "-5-": errTimeText,
		"today": errTimeKind, `"2020-01-01T00:00:00Z"`: errTimeText, "2020-01-01T00:00:00 02:00": errTimeZone, "2020-01-01": errTimeText} {
		if got, err := ParseTimeText(text); !errors.Is(err, want) {
			t.Errorf("ParseTimeText(%q) = %d, %v, want %v", text, got, err, want)
		}
	}
}

// TestCalendar goes through every day of the calendar and holds it against package time.
func TestCalendar(t *testing.T) {
	for ms := MinTime; ms <= MaxTime; ms += dayMillis {
		text := time.UnixMilli(ms).UTC().Format(time.RFC3339)
		if got, err := ParseTimeText(text); err != nil || got != ms {
			t.Fatalf("%s = %d, %v, want %d", text, got, err, ms)
		}
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 50_000 {
		at := time.UnixMilli(MinTime + dayMillis + rng.Int64N(MaxTime-MinTime-2*dayMillis)).Add(time.Duration(rng.IntN(1e6))).
			In(time.FixedZone("", 60*(rng.IntN(2879)-1439)))
		text := at.Format(time.RFC3339Nano)
		if got, err := ParseTime([]byte(`"` + text + `"`)); err != nil || got != at.UnixMilli() {
			t.Fatalf("%s = %d, %v, want %d", text, got, err, at.UnixMilli())
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"", "0", "-", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00.123+01:30", "2020-01-01t23:59:60z", "0000-00-00T00:00:00-99:99"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, parse := range []func() (int64, error){
			func() (int64, error) { return ParseTimeText(s) },
			func() (int64, error) { return ParseTime([]byte(s)) },
			func() (int64, error) { return ParseTime([]byte(`"` + s + `"`)) },
		} {
			ms, err := parse()
			if err == nil && (ms < MinTime || ms > MaxTime) || err != nil && ms != 0 {
				t.Fatalf("%q = %d, %v", s, ms, err)
			}
		}
		// Where package time reads it, and it has neither leap second nor comma, both agree.
		want, err := time.Parse(time.RFC3339, s)
		if got, gotErr := ParseTimeText(s); gotErr == nil && err == nil && got != want.UnixMilli() {
			t.Fatalf("%q = %d, want %d", s, got, want.UnixMilli())
		}
	})
}

func TestTimeDoesNotAllocate(t *testing.T) {
	for _, raw := range []string{`1700000000000`, `"2020-01-01T00:00:00.123456+01:30"`, `"2020\u002d01-01T00:00:00.123456+01:30"`, `"no time"`} {
		b := []byte(raw)
		if n := testing.AllocsPerRun(100, func() { _, _ = ParseTime(b) }); n != 0 {
			t.Errorf("%s: %v allocations", raw, n)
		}
	}
}
