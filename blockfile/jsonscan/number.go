package jsonscan

import (
	"math"
	"strconv"
)

// NumberClass says in which type a JSON number can be kept without losing its value.
type NumberClass uint8

const (
	// Int53 is an integer literal (no fraction, no exponent) of at most 2^53 either
	// way: long and double both hold it.
	Int53 NumberClass = iota
	// Int64 is an integer literal beyond that which fits in 64 bits: a long holds it.
	Int64
	// Double is another number whose decimal value a double gives back when it is
	// printed as shortly as possible. Integer literals beyond 64 bits may be such;
	// minus zero is, since no integer keeps its sign.
	Double
	// Wide is everything else: only its text holds it.
	Wide
)

const (
	maxInt53       = 1 << 53
	maxInt53Digits = 15 // any integer of so many digits is below 2^53

	// safeMant is below how much mant * 10^exp always comes back from a double of full
	// precision. The number lies between 2^q and 2^(q+1), where doubles are 2^(q-52)
	// apart; mant < 2^52 makes that less than 10^exp. So of all multiples of 10^exp,
	// which all numbers of as few digits are, one at most rounds to any double.
	safeMant   = 1 << 52
	safeDigits = 15 // so many digits are below safeMant

	// shortestDigits is how many digits the shortest printing of a double has at most.
	shortestDigits = 17

	// The first digit's power of ten: within the safe range doubles have their full
	// precision; outside of the outer range they are zero or infinite.
	minSafePower, maxSafePower = -307, 307
	minPower, maxPower         = -324, 308

	// maxFinite is the largest double, 1.7976931348623157e308, to 17 digits.
	maxFinite = 17976931348623157

	// maxExponent is where a written exponent stops to be counted: past any length
	// of digits that could bring the value back into range.
	maxExponent = 1 << 40
)

// scanNumber scans the number at i, which is '-' or a digit. It returns the position
// after it and its class, or the complement of the position of the byte that cannot
// stand there.
func scanNumber(b []byte, i int) (end int, class NumberClass) {
	start := i
	if b[i] == '-' {
		i++
	}
	digits := i
	if i >= len(b) {
		return ^i, 0
	}
	switch c := b[i]; {
	case c == '0':
		i++
	case '1' <= c && c <= '9':
		for i++; i < len(b) && b[i]-'0' <= 9; i++ {
		}
	default:
		return ^i, 0
	}
	if i >= len(b) || b[i] != '.' && b[i]|0x20 != 'e' {
		if i-digits <= maxInt53Digits && (start == digits || b[digits] != '0') {
			return i, Int53
		}
		return i, classifyInteger(b[start:i])
	}
	if b[i] == '.' {
		i++
		first := i
		for ; i < len(b) && b[i]-'0' <= 9; i++ {
		}
		if i == first {
			return ^i, 0
		}
		if i-digits <= safeDigits+1 && (i >= len(b) || b[i]|0x20 != 'e') {
			return i, Double
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		first := i
		for ; i < len(b) && b[i]-'0' <= 9; i++ {
		}
		if i == first {
			return ^i, 0
		}
	}
	return i, classifyDecimal(b[start:i])
}

// failNumber finds the words for the place where scanNumber stopped.
func (s *Scanner) failNumber(b []byte, i int) (int, uint64) {
	return s.failExpected(b, i, "a digit")
}

// ClassifyNumber tells the class of a valid JSON number. It allocates nothing.
func ClassifyNumber(b []byte) NumberClass {
	for _, c := range b {
		if c == '.' || c|0x20 == 'e' {
			return classifyDecimal(b)
		}
	}
	return classifyInteger(b)
}

func classifyInteger(b []byte) NumberClass {
	n, ok := ParseInt(b)
	switch {
	case !ok:
		return classifyDecimal(b)
	case -maxInt53 <= n && n <= maxInt53:
		return Int53
	default:
		return Int64
	}
}

// ParseInt reads an integer literal that fits in 64 bits. It reports false for any
// other number, and for -0, whose sign an integer would lose.
func ParseInt(b []byte) (int64, bool) {
	digits := b
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		digits = b[1:]
	}
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false
	}
	n := uint64(0)
	for _, c := range digits {
		if c -= '0'; c > 9 {
			return 0, false
		}
		n = n*10 + uint64(c) // 19 digits stay below 2^64
	}
	switch {
	case !negative:
		return int64(n), n <= math.MaxInt64
	case n == 0:
		return 0, false
	default:
		return -int64(n), n <= 1<<63
	}
}

// decimal is a number as mant * 10^exp, mant without trailing zeros.
type decimal struct {
	negative bool
	mant     uint64
	digits   int // of mant; more than shortestDigits = mant is not the whole number
	exp      int
}

// parseDecimal takes a valid JSON number apart. On other bytes it returns something.
func parseDecimal(b []byte) (d decimal) {
	i := 0
	if i < len(b) && b[i] == '-' {
		d.negative = true
		i++
	}
	var (
		place    int      // digits read, before and after the point
		point    int = -1 // place of the point
		last     int      // place of the last digit that is not 0
		trailing int      // zeros read after that
	)
	for ; i < len(b); i++ {
		c := b[i] - '0'
		if c > 9 {
			if b[i] != '.' {
				break
			}
			point = place
			continue
		}
		switch {
		case c != 0:
			for d.digits += trailing + 1; trailing > 0 && d.digits <= shortestDigits; trailing-- {
				d.mant *= 10
			}
			trailing = 0
			if d.digits <= shortestDigits {
				d.mant = d.mant*10 + uint64(c)
			}
			last = place
		case d.digits > 0:
			trailing++
		}
		place++
	}
	if point < 0 {
		point = place
	}
	exp := 0
	if i < len(b) { // at the e
		i++
		sign := 1
		if i < len(b) && (b[i] == '-' || b[i] == '+') {
			if b[i] == '-' {
				sign = -1
			}
			i++
		}
		for ; i < len(b) && b[i]-'0' <= 9 && exp < maxExponent; i++ {
			exp = exp*10 + int(b[i]-'0')
		}
		exp *= sign
	}
	d.exp = exp + point - 1 - last
	return d
}

// appendTo writes the number so that strconv reads it; at most 30 bytes when the
// exponent is within the range of doubles.
func (d decimal) appendTo(dst []byte) []byte {
	if d.negative {
		dst = append(dst, '-')
	}
	dst = strconv.AppendUint(dst, d.mant, 10)
	dst = append(dst, 'e')
	return strconv.AppendInt(dst, int64(d.exp), 10)
}

// classifyDecimal decides between Double and Wide.
func classifyDecimal(b []byte) NumberClass {
	d := parseDecimal(b)
	if d.mant == 0 {
		return Double
	}
	power := d.exp + d.digits - 1
	switch {
	case d.digits > shortestDigits || power < minPower || power > maxPower:
		return Wide
	case d.mant < safeMant && minSafePower <= power && power <= maxSafePower:
		return Double
	case power == maxPower && tooLarge(d.mant, d.digits):
		return Wide
	}
	var buf [48]byte
	shortest := strconv.AppendFloat(buf[:0], d.float(), 'e', -1, 64)
	if p := parseDecimal(shortest); p.mant != d.mant || p.exp != d.exp {
		return Wide
	}
	return Double
}

// tooLarge tells whether a number with the largest power of ten is past all doubles.
func tooLarge(mant uint64, digits int) bool {
	for ; digits < shortestDigits; digits++ {
		mant *= 10
	}
	return mant > maxFinite
}

// powersOfTen are those that a double holds exactly.
var powersOfTen = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// float is the double nearest to d, which has at most shortestDigits digits.
func (d decimal) float() float64 {
	if d.mant <= maxInt53 && -22 <= d.exp && d.exp <= 22 {
		// Both operands are exact, so one rounding gives the nearest double.
		f := float64(d.mant)
		if d.exp < 0 {
			f /= powersOfTen[-d.exp]
		} else {
			f *= powersOfTen[d.exp]
		}
		if d.negative {
			f = -f
		}
		return f
	}
	var buf [32]byte
	f, _ := strconv.ParseFloat(string(d.appendTo(buf[:0])), 64)
	return f
}

// ParseDouble reads a number of class Double or Int53 exactly, without allocating. Of
// other valid numbers it gives the nearest double, infinite when there is none.
func ParseDouble(b []byte) float64 {
	d := parseDecimal(b)
	if d.digits > shortestDigits {
		f, _ := strconv.ParseFloat(string(b), 64)
		return f
	}
	return d.float()
}

// AppendDouble appends f as a JSON number, printed as shortly as possible, with an
// exponent below 1e-6 and from 1e21 on. NaN and infinities are no JSON: callers refuse
// them before; here they become null.
func AppendDouble(dst []byte, f float64) []byte {
	if n := int64(f); float64(n) == f && -maxInt53 <= n && n <= maxInt53 && (n != 0 || !math.Signbit(f)) {
		return strconv.AppendInt(dst, n, 10)
	}
	abs := math.Abs(f)
	switch {
	case f != f || abs > math.MaxFloat64:
		return append(dst, "null"...)
	case abs >= 1e-6 && abs < 1e21 || f == 0:
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); dst[n-4] == 'e' && dst[n-2] == '0' { // e-07 as e-7
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}
