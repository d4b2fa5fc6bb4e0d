package foreign

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestValues(t *testing.T) {
	logical := func(typ, name string) string { return fmt.Sprintf(`{"type":%q,"logicalType":%q}`, typ, name) }
	fixed := func(size int, props string) string {
		return fmt.Sprintf(`{"type":"fixed","name":"F","size":%d%s}`, size, props)
	}
	dec := func(precision, scale int) string {
		return fmt.Sprintf(`{"type":"bytes","logicalType":"decimal","precision":%d,"scale":%d}`, precision, scale)
	}
	micros := func(s string) int64 {
		ts, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return ts.UnixMicro()
	}
	for _, row := range []struct{ typ, raw, want string }{
		{`"null"`, "", "null"},
		{`"boolean"`, "\x00", "false"},
		{`"boolean"`, "\x01", "true"},
		{`"int"`, long(math.MinInt32), "-2147483648"},
		{`"int"`, long(math.MaxInt32), "2147483647"},
		{`"long"`, long(math.MinInt64), "-9223372036854775808"},
		{`"long"`, long(math.MaxInt64), "9223372036854775807"},
		{`"long"`, "\x80\x00", "0"}, // longer than need be
		{`"float"`, float(0.1), "0.1"},
		{`"float"`, float(16777216), "16777216"},
		{`"float"`, float(math.SmallestNonzeroFloat32), "1e-45"},
		{`"float"`, float(math.MaxFloat32), "3.4028235e+38"},
		{`"double"`, double(0.1), "0.1"},
		{`"double"`, double(5), "5"},
		{`"double"`, double(math.Copysign(0, -1)), "-0"},
		{`"double"`, double(1e20), "100000000000000000000"},
		{`"double"`, double(1e21), "1e+21"},
		{`"double"`, double(-1e-7), "-1e-07"},
		{`"double"`, double(math.SmallestNonzeroFloat64), "5e-324"},
		{`"double"`, double(math.MaxFloat64), "1.7976931348623157e+308"},
		{`"string"`, str(""), `""`},
		{`"string"`, str("Zoë 🎲 </script>\u2028"), "\"Zoë 🎲 </script>\u2028\""},
		{`"string"`, str("\x00\x01\x1f\x7f\b\t\n\f\r\"\\/"), `"\u0000\u0001\u001f` + "\x7f" + `\u0008\t\n\u000c\r\"\\/"`},
		{`"bytes"`, str(""), `""`},
		{`"bytes"`, str("\x00\xff\x10"), `"AP8Q"`},
		{`"bytes"`, str("a"), `"YQ=="`},
		{fixed(0, ""), "", `""`},
		{fixed(3, ""), "\xfb\xff\xfe", `"+//+"`},
		{`{"type":"enum","name":"E","symbols":["A","B"]}`, "\x02", `"B"`},
		{`{"type":"enum","name":"E","symbols":["A\"B"]}`, "\x00", `"A\"B"`},
		{`{"type":"array","items":"int"}`, "\x00", "[]"},
		{`{"type":"array","items":"int"}`, long(2) + "\x02\x04" + long(1) + "\x06" + "\x00", "[1,2,3]"},
		{`{"type":"array","items":"int"}`, long(-2) + long(2) + "\x02\x04" + "\x00", "[1,2]"},
		{`{"type":"array","items":"null"}`, long(3) + "\x00", "[null,null,null]"},
		{`{"type":"array","items":{"type":"array","items":"int"}}`, long(2) + "\x00" + long(1) + "\x02\x00" + "\x00", "[[],[1]]"},
		{`{"type":"map","values":"int"}`, "\x00", "{}"},
		{`{"type":"map","values":"int"}`, long(1) + str("a") + "\x02" + long(-1) + long(3) + str("b") + "\x04" + "\x00", `{"a":1,"b":2}`},
		{`{"type":"map","values":{"type":"map","values":"null"}}`, long(2) + str("x") + long(1) + str("x") + "\x00" + str("") + "\x00\x00", `{"x":{"x":null},"":{}}`},
		{`{"type":"map","values":{"type":"map","values":"null"}}`, long(2) + str("a") + long(1) + str("b") + "\x00" + str("b") + "\x00\x00", `{"a":{"b":null},"b":{}}`},
		{`{"type":"map","values":"null"}`, long(-1) + long(1) + "\x00" + "\x00", `{"":null}`},
		{`["null","string"]`, "\x00", "null"},
		{`["null","string"]`, "\x02" + str("s"), `"s"`},
		{`["int"]`, "\x00\x02", "1"},
		{`[{"type":"record","name":"A","fields":[]},{"type":"record","name":"B","fields":[{"name":"x","type":"int"}]}]`, "\x02\x08", `{"x":4}`},
		{`{"type":"error","name":"Er","fields":[{"name":"a","type":"int"},{"name":"b","type":"boolean"}]}`, "\x01\x01", `{"a":-1,"b":true}`},

		{dec(4, 2), str("\x04\xd2"), "12.34"},
		{dec(4, 2), str("\xfb\x2e"), "-12.34"},
		{dec(4, 2), str("\xff"), "-0.01"},
		{dec(4, 2), str("\x00"), "0.00"},
		{dec(4, 2), str(""), "0.00"},
		{dec(4, 4), str("\x01"), "0.0001"},
		{dec(4, 0), str("\xff\xff\xff\x80"), "-128"},
		{dec(19, 1), str("\x80\x00\x00\x00\x00\x00\x00\x00"), "-922337203685477580.8"},
		{dec(19, 1), str("\x7f\xff\xff\xff\xff\xff\xff\xff"), "922337203685477580.7"},
		{dec(30, 3), str("\x01\x00\x00\x00\x00\x00\x00\x00\x00"), "18446744073709551.616"},
		{dec(30, 0), str("\xff\x00\x00\x00\x00\x00\x00\x00\x00"), "-18446744073709551616"},
		{dec(3, 3), str("\x80\x00\x00\x00\x00\x00\x00\x00\x00"), "-2361183241434822606.848"},
		{`{"type":"bytes","logicalType":"decimal","precision":4}`, str("\x0c"), "12"},
		{fixed(2, `,"logicalType":"decimal","precision":4,"scale":1`), "\xff\xf6", "-1.0"},

		{logical("string", "uuid"), str("not checked"), `"not checked"`},
		{fixed(16, `,"logicalType":"uuid"`), "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", `"00112233-4455-6677-8899-aabbccddeeff"`},
		{fixed(12, `,"logicalType":"duration"`), "\x01\x00\x00\x00\x02\x00\x00\x00\xff\xff\xff\xff", `{"months":1,"days":2,"milliseconds":4294967295}`},

		{logical("int", "date"), long(0), `"1970-01-01"`},
		{logical("int", "date"), long(-1), `"1969-12-31"`},
		{logical("int", "date"), long(19782), `"2024-02-29"`},
		{logical("int", "date"), long(2932896), `"9999-12-31"`},
		{logical("int", "date"), long(2932897), "2932897"},
		{logical("int", "date"), long(-719162), `"0001-01-01"`},
		{logical("int", "date"), long(-719163), "-719163"},
		{logical("int", "date"), long(math.MinInt32), "-2147483648"},
		{logical("int", "time-millis"), long(0), `"00:00:00.000"`},
		{logical("int", "time-millis"), long(86399999), `"23:59:59.999"`},
		{logical("int", "time-millis"), long(86400000), "86400000"},
		{logical("int", "time-millis"), long(-1), "-1"},
		{logical("long", "time-micros"), long(3723000001), `"01:02:03.000001"`},
		{logical("long", "time-micros"), long(86399999999), `"23:59:59.999999"`},
		{logical("long", "time-micros"), long(86400000000), "86400000000"},
		{logical("long", "timestamp-millis"), long(1700000000123), "1700000000123"},
		{logical("long", "timestamp-millis"), long(math.MaxInt64), "9223372036854775807"},
		{logical("long", "timestamp-micros"), long(1700000000123456), `"2023-11-14T22:13:20.123456Z"`},
		{logical("long", "timestamp-micros"), long(-1), `"1969-12-31T23:59:59.999999Z"`},
		{logical("long", "timestamp-micros"), long(micros("0001-01-01T00:00:00Z")), `"0001-01-01T00:00:00.000000Z"`},
		{logical("long", "timestamp-micros"), long(micros("0001-01-01T00:00:00Z") - 1), "-62135596800000001"},
		{logical("long", "timestamp-micros"), long(micros("9999-12-31T23:59:59.999999Z")), `"9999-12-31T23:59:59.999999Z"`},
		{logical("long", "timestamp-micros"), long(micros("9999-12-31T23:59:59.999999Z") + 1), "253402300800000000"},
		{logical("long", "timestamp-micros"), long(math.MinInt64), "-9223372036854775808"},
		{logical("long", "timestamp-nanos"), long(1700000000123456789), `"2023-11-14T22:13:20.123456789Z"`},
		{logical("long", "timestamp-nanos"), long(math.MaxInt64), `"2262-04-11T23:47:16.854775807Z"`},
		{logical("long", "timestamp-nanos"), long(math.MinInt64), `"1677-09-21T00:12:43.145224192Z"`},
		{logical("long", "local-timestamp-millis"), long(1700000000023), `"2023-11-14T22:13:20.023"`},
		{logical("long", "local-timestamp-micros"), long(1700000000000006), `"2023-11-14T22:13:20.000006"`},
		{logical("long", "local-timestamp-nanos"), long(1700000000000000789), `"2023-11-14T22:13:20.000000789"`},
		{logical("long", "local-timestamp-millis"), long(math.MaxInt64), "9223372036854775807"},

		// Logical types that are unknown, in the wrong place or not whole say nothing.
		{logical("long", "big-bang"), long(5), "5"},
		{logical("long", "date"), long(5), "5"},
		{logical("int", "timestamp-micros"), long(5), "5"},
		{logical("string", "decimal"), str("x"), `"x"`},
		{logical("bytes", "decimal"), str("\x05"), `"BQ=="`},
		{`{"type":"long","logicalType":7}`, long(5), "5"},
		{dec(0, 0), str("\x05"), `"BQ=="`},
		{dec(2, 3), str("\x05"), `"BQ=="`},
		{dec(2, -1), str("\x05"), `"BQ=="`},
		{dec(1001, 0), str("\x05"), `"BQ=="`},
		{`{"type":"bytes","logicalType":"decimal","precision":2.5}`, str("\x05"), `"BQ=="`},
		{`{"type":"bytes","logicalType":"decimal","precision":"2"}`, str("\x05"), `"BQ=="`},
		{fixed(2, `,"logicalType":"decimal","precision":5`), "\x00\x05", `"AAU="`},
		{fixed(11, `,"logicalType":"duration"`), "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", `"AAAAAAAAAAAAAAA="`},
		{fixed(4, `,"logicalType":"uuid"`), "\x00\x00\x00\x00", `"AAAAAA=="`},
	} {
		got, err := one(t, row.typ, row.raw)
		if err != nil {
			t.Errorf("%s, %x: %v", row.typ, row.raw, err)
		} else if got != row.want {
			t.Errorf("%s, %x: %s, want %s", row.typ, row.raw, got, row.want)
		}
	}
}

// TestLogicalTypeOfField: beside the type of a field, logicalType has no meaning.
func TestLogicalTypeOfField(t *testing.T) {
	recs, err := readBytes(fileOf(t, `{"type":"record","name":"R","fields":[
		{"name":"v","type":"long","logicalType":"timestamp-micros"},
		{"name":"w","type":{"type":{"type":"long","logicalType":"timestamp-micros"}}}]}`, "", block{1, "\x00\x00"}), Options{})
	if want := `{"v":0,"w":"1970-01-01T00:00:00.000000Z"}`; err != nil || len(recs) != 1 || recs[0] != want {
		t.Errorf("%v, %v, want %s", recs, err, want)
	}
}

// TestDecimalsAgainstBig compares decimals of all lengths with math/big.
func TestDecimalsAgainstBig(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 3000 {
		b := make([]byte, rng.IntN(20))
		for i := range b {
			b[i] = byte(rng.Uint32())
			if rng.IntN(3) == 0 {
				b[i] = byte(rng.IntN(2) * 255)
			}
		}
		scale := rng.IntN(25)
		got := string(appendDecimal(nil, b, scale))
		v := new(big.Int).SetBytes(b)
		if len(b) > 0 && b[0] >= 0x80 {
			v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
		want := new(big.Rat).SetFrac(v, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)).FloatString(scale)
		if got != want {
			t.Fatalf("case %d: %x with scale %d: %s, want %s", i, b, scale, got, want)
		}
	}
}

// TestTimesAgainstFormat compares times with the standard library's formatting.
func TestTimesAgainstFormat(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		v := rng.Int64N(2*253402300799999999) - 253402300799999999
		for _, row := range []struct {
			k      kind
			v      int64
			t      time.Time
			layout string
		}{
			{kindTimestampMicros, v, time.UnixMicro(v), "2006-01-02T15:04:05.000000Z"},
			{kindTimestampNanos, v, time.Unix(0, v), "2006-01-02T15:04:05.000000000Z"},
			{kindLocalMillis, v / 1000, time.UnixMilli(v / 1000), "2006-01-02T15:04:05.000"},
			{kindLocalMicros, v, time.UnixMicro(v), "2006-01-02T15:04:05.000000"},
			{kindLocalNanos, v, time.Unix(0, v), "2006-01-02T15:04:05.000000000"},
			{kindDate, v / 86400e6, time.Unix(v/86400e6*86400, 0), "2006-01-02"},
		} {
			want := `"` + row.t.UTC().Format(row.layout) + `"`
			if y := row.t.UTC().Year(); y < 1 || y > 9999 {
				want = fmt.Sprint(row.v)
			}
			if got := string(appendTime(nil, row.k, row.v)); got != want {
				t.Fatalf("kind %d, %d: %s, want %s", row.k, row.v, got, want)
			}
		}
	}
}

// TestRefused: values that are sound Avro and no JSON name the record and the path.
func TestRefused(t *testing.T) {
	deepMap := `{"type":"map","values":{"type":"array","items":"double"}}`
	for _, row := range []struct{ typ, raw, want string }{
		{`"float"`, float(float32(math.NaN())), "record 0: v: NaN"},
		{`"float"`, float(float32(math.Inf(1))), "v: +Inf"},
		{`"double"`, double(math.Inf(-1)), "v: -Inf"},
		{deepMap, long(1) + str("k") + long(2) + double(1) + double(math.NaN()) + "\x00\x00", "v.k[1]: NaN"},
		{`"string"`, str("\xff"), "v: text that is not UTF-8"},
		{`"string"`, str("\xed\xa0\x80"), "not UTF-8"}, // half a surrogate pair
		{`"string"`, str("\xc0\x80"), "not UTF-8"},     // longer than need be
		{`{"type":"map","values":"null"}`, long(1) + str("\xff") + "\x00", "v: text that is not UTF-8"},
		{`{"type":"map","values":"null"}`, long(2) + str("k") + str("k") + "\x00", `v: a map with key "k" twice`},
		{`{"type":"map","values":"null"}`, long(1) + str("k") + long(1) + str("k") + "\x00", `"k" twice`},
		{`{"type":"bytes","logicalType":"decimal","precision":4}`, str(strings.Repeat("\x00", 513)), "decimal of 513 bytes"},
	} {
		_, err := one(t, row.typ, row.raw)
		var re *RecordError
		if !errors.As(err, &re) || re.Index != 0 || errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s, %x: error %v, want one with %q", row.typ, row.raw, err, row.want)
		}
	}
}

// TestManyKeys: a key that comes twice is found in a map of any size, and only within its own map.
func TestManyKeys(t *testing.T) {
	for n := range 60 {
		var raw strings.Builder
		raw.WriteString(long(int64(n) + 1))
		for i := range n {
			raw.WriteString(str(fmt.Sprint("key", i)))
			raw.WriteString("\x00")
		}
		for i := range n + 1 {
			_, err := one(t, `{"type":"map","values":{"type":"map","values":"int"}}`, raw.String()+str(fmt.Sprint("key", i))+"\x00\x00")
			var re *RecordError
			if twice := i < n; twice != errors.As(err, &re) || !twice && err != nil {
				t.Fatalf("key %d once more after %d keys: error %v", i, n, err)
			}
		}
	}
}
