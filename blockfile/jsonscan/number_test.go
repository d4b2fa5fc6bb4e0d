package jsonscan

import (
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestClassifyNumber(t *testing.T) {
	long := strings.Repeat("0", 20_000)
	for _, c := range []struct {
		want    NumberClass
		numbers string
	}{
		{Double, "0." + long + "1e20001 1" + long + "e-20000 -1" + long + ".0e-20300"},
		{Int53, "0 1 -1 9 42 999999999999999 -999999999999999 1000000000000000 1700000000000 9007199254740991 9007199254740992 -9007199254740992"},
		{Int64, "9007199254740993 -9007199254740993 10000000000000000 999999999999999999 9223372036854775807 -9223372036854775808 1234567890123456789"},
		{Double, "-0 0.0 -0.0 0e9 0e999999999999999999999 -0e-5 0.00000000000000000000000000000000 1.0 1.5 -1.5 2.80 1e2 1E2 1e+2 1e-2 0.1 3.141592653589793" +
			" 100000000000000000000 -100000000000000000000 1.23456789012345e-308 1.23456789012345e-309 123456789012345e-323 1521911721.255387 4503599627370495e-5 1e22 1e23 1e300 1e308 1e-307 123456789012345e-30" +
			" 1.7976931348623157e308 -1.7976931348623157e+308 17976931348623157e292 2.2250738585072014e-308 5e-324 1.5e-323" +
			" 0.30000000000000004 0.000000000000000000001 123456.789012345 1.00000000000000000000000000000000000000000000000" +
			" 100000000000000000000000000000000000e-35 0.0000000000000000000000000000000000000000000000000001e52 1e0000000000000000000000000000001" +
			" 999999999999999.0 999999999999999e5"},
		{Wide, "9223372036854775808 18446744073709551616 4.9406564584124654e-310 12345678901234567890e-1 1e309 -1e309 9e308 1.7976931348623158e308 1.8e308 17976931348623158e292 1e-324 4e-324 2e-324 1e400 1e-400 1e999999999999999999999 1e-999999999999999999999" +
			" 3.14159265358979323846 0.1000000000000000055511151231257827 18446744073709551615 9223372036854775809 -9223372036854775809" +
			" 123456789012345678901234567890 1.000000000000000000000000000000000001 9007199254740993.5 9007199254740993.0 900719925474099.3 1.23456789012345e-310 123456789012343e-324 0.12345678901234568901"},
	} {
		for number := range strings.FieldsSeq(c.numbers) {
			if got := ClassifyNumber([]byte(number)); got != c.want {
				t.Errorf("ClassifyNumber(%s) = %d, want %d", number, got, c.want)
			}
			end, got := scanNumber([]byte(number), 0)
			if end != len(number) || got != c.want {
				t.Errorf("scanNumber(%s) = %d, %d, want %d, %d", number, end, got, len(number), c.want)
			}
		}
	}
}

// value is the exact value of a number, by other means than this package's.
func value(t *testing.T, number string) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(number)
	if !ok {
		t.Fatalf("no number: %q", number)
	}
	return r
}

// TestClassesKeepValues holds random numbers of all spellings against exact arithmetic.
func TestClassesKeepValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	digits := func(n int) string {
		d := make([]byte, n)
		for i := range d {
			d[i] = '0' + byte(rng.IntN(10))
			if rng.IntN(4) == 0 {
				d[i] = '0'
			}
		}
		return string(d)
	}
	seen := [4]int{}
	for range 200_000 {
		var number string
		switch rng.IntN(4) {
		case 0: // the shortest printing of any double
			f := math.Float64frombits(rng.Uint64())
			if math.IsNaN(f) || math.IsInf(f, 0) || math.Abs(f) > 1e300 || math.Abs(f) < 1e-290 {
				continue // exact arithmetic is slow out there; the table above has the ends
			}
			number = strconv.FormatFloat(f, "efg"[rng.IntN(3)], -1, 64)
		default:
			if rng.IntN(2) == 0 {
				number = "-"
			}
			if whole := strings.TrimLeft(digits(rng.IntN(22)), "0"); whole != "" {
				number += whole
			} else {
				number += "0"
			}
			if rng.IntN(2) == 0 {
				number += "." + digits(1+rng.IntN(20))
			}
			if rng.IntN(2) == 0 {
				number += string("eE"[rng.IntN(2)]) + [3]string{"", "+", "-"}[rng.IntN(3)] + digits(1+rng.IntN(2))
			}
		}
		b := []byte(number)
		class := ClassifyNumber(b)
		seen[class]++
		if end, scanned := scanNumber(b, 0); end != len(b) || scanned != class {
			t.Fatalf("scanNumber(%s) = %d, %d, want %d, %d", b, end, scanned, len(b), class)
		}
		exact := value(t, number)
		i, isInt := ParseInt(b)
		literal := !strings.ContainsAny(number, ".eE") && number != "-0"
		if isInt != (literal && exact.Num().IsInt64()) || isInt && exact.Num().Int64() != i {
			t.Fatalf("ParseInt(%s) = %d, %v", number, i, isInt)
		}
		small := isInt && new(big.Int).Abs(exact.Num()).Cmp(big.NewInt(1<<53)) <= 0
		f, err := strconv.ParseFloat(number, 64)
		if err != nil {
			t.Fatal(err)
		}
		printed := strconv.FormatFloat(f, 'e', -1, 64)
		kept := value(t, printed).Cmp(exact) == 0
		want := Wide
		switch {
		case small:
			want = Int53
		case isInt:
			want = Int64
		case kept:
			want = Double
		}
		if class != want {
			t.Fatalf("ClassifyNumber(%s) = %d, want %d", number, class, want)
		}
		if got := ParseDouble(b); math.Float64bits(got) != math.Float64bits(f) {
			t.Fatalf("ParseDouble(%s) = %v, want %v", number, got, f)
		}
		if class == Double || class == Int53 {
			back := AppendDouble([]byte("x"), f)[1:]
			if !json.Valid(back) || value(t, string(back)).Cmp(exact) != 0 || math.Signbit(f) != (back[0] == '-') {
				t.Fatalf("%s came back as %s", number, back)
			}
		}
	}
	for class, n := range seen {
		if n < 1000 {
			t.Errorf("class %d was met %d times only", class, n)
		}
	}
}

func TestParseInt(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "7": 7, "-7": -7, "9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64} {
		if n, ok := ParseInt([]byte(text)); !ok || n != want {
			t.Errorf("ParseInt(%s) = %d, %v", text, n, ok)
		}
	}
	for _, text := range []string{"", "-", "-0", "1.0", "1e2", "9223372036854775808", "-9223372036854775809", "99999999999999999999", "18446744073709551617", `"1"`, "1 "} {
		if n, ok := ParseInt([]byte(text)); ok {
			t.Errorf("ParseInt(%s) = %d", text, n)
		}
	}
}

func TestParseDouble(t *testing.T) {
	for text, want := range map[string]float64{
		"-0": math.Copysign(0, -1), "-0.0e5": math.Copysign(0, -1), "0": 0, "1e23": 1e23, "1e22": 1e22, "123456789012345e22": 123456789012345e22,
		"5e-324": 5e-324, "1.7976931348623157e308": math.MaxFloat64, "0.1": 0.1, "1e400": math.Inf(1), "-1e400": math.Inf(-1), "1e-400": 0,
		"0.1000000000000000055511151231257827021181583404541015625": 0.1, "1e99999999999999999999999": math.Inf(1),
	} {
		if f := ParseDouble([]byte(text)); math.Float64bits(f) != math.Float64bits(want) {
			t.Errorf("ParseDouble(%s) = %v, want %v", text, f, want)
		}
	}
}

func TestAppendDouble(t *testing.T) {
	for _, c := range []struct {
		f    float64
		want string
	}{
		{0, "0"}, {math.Copysign(0, -1), "-0"}, {1, "1"}, {-1, "-1"}, {1.5, "1.5"}, {1e15, "1000000000000000"}, {1 << 53, "9007199254740992"},
		{1 << 62, "4611686018427388000"}, {1e20, "100000000000000000000"}, {1e21, "1e+21"}, {-1e21, "-1e+21"}, {1e-6, "0.000001"}, {1e-7, "1e-7"},
		{-1.25e-9, "-1.25e-9"}, {1e-10, "1e-10"}, {1e100, "1e+100"}, {5e-324, "5e-324"}, {math.MaxFloat64, "1.7976931348623157e+308"},
		{math.NaN(), "null"}, {math.Inf(1), "null"}, {math.Inf(-1), "null"}, {9223372036854775808, "9223372036854776000"},
	} {
		if got := string(AppendDouble(nil, c.f)); got != c.want {
			t.Errorf("AppendDouble(%v) = %s, want %s", c.f, got, c.want)
		}
	}
}

func TestNumbersDoNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 64)
	for _, text := range []string{"1", "-12.5", "0.30000000000000004", "1.7976931348623157e308", "9e308", "1e999", "123456789012345678901234567890",
		"0.00000000000000000000000000000000000000000000000000012345678901234567"} {
		b := []byte(text)
		if n := testing.AllocsPerRun(100, func() {
			switch ClassifyNumber(b) {
			case Int53:
				ParseInt(b)
				dst = AppendDouble(dst[:0], ParseDouble(b))
			case Double:
				dst = AppendDouble(dst[:0], ParseDouble(b))
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

// FuzzNumber: whatever the bytes, the functions return; and scanNumber takes exactly
// what encoding/json takes.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"", "-", "0", "-0", "00", "1.", "1.5e", "1e+", "1e400", "9007199254740993", "0.1e-7", "e", "..", "--1", "1e1e1", "\x00", "1.5.5"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		class := ClassifyNumber(b)
		ParseInt(b)
		number := ParseDouble(b)
		AppendDouble(nil, number)
		if len(b) == 0 || b[0] != '-' && (b[0] < '0' || b[0] > '9') {
			return
		}
		end, scanned := scanNumber(b, 0)
		whole := end == len(b)
		if trimmed := len(b) > 0 && strings.ContainsRune(" \t\r\n", rune(b[len(b)-1])); whole != json.Valid(b) && !trimmed {
			t.Fatalf("scanNumber(%q) = %d, but valid is %v", b, end, json.Valid(b))
		}
		if whole && scanned != class {
			t.Fatalf("%q: scanned as %d, classified as %d", b, scanned, class)
		}
	})
}
