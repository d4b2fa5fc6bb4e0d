package foreign

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/big"
	"strconv"
	"time"
)

const (
	// maxDecimalDigits bounds the precision of a decimal; the time to print one grows with its square.
	maxDecimalDigits = 1000
	// maxDecimalBytes is more than so many digits take: 416 bytes, and room for leading ones.
	maxDecimalBytes = 512
)

// logicalKind gives the kind of a primitive type with the properties m. Logical types that do not change the
// JSON (timestamp-millis, uuid on a string), unknown ones and misplaced ones leave it what it is.
func logicalKind(k kind, m map[string]any) kind {
	logical, _ := m["logicalType"].(string)
	switch {
	case k == kindInt && logical == "date":
		return kindDate
	case k == kindInt && logical == "time-millis":
		return kindTimeMillis
	case k == kindLong && logical == "time-micros":
		return kindTimeMicros
	case k == kindLong && logical == "timestamp-micros":
		return kindTimestampMicros
	case k == kindLong && logical == "timestamp-nanos":
		return kindTimestampNanos
	case k == kindLong && logical == "local-timestamp-millis":
		return kindLocalMillis
	case k == kindLong && logical == "local-timestamp-micros":
		return kindLocalMicros
	case k == kindLong && logical == "local-timestamp-nanos":
		return kindLocalNanos
	case k == kindBytes && logical == "decimal":
		if _, _, ok := decimal(m); ok {
			return kindBytesDecimal
		}
	}
	return k
}

// fixedKind is logicalKind for a fixed type of size bytes.
func fixedKind(size int, m map[string]any) kind {
	switch logical, _ := m["logicalType"].(string); {
	case logical == "duration" && size == 12:
		return kindDuration
	case logical == "uuid" && size == 16:
		return kindFixedUUID
	case logical == "decimal" && size > 0 && size <= maxDecimalBytes:
		// One bit is the sign; the others hold so many whole digits.
		if precision, _, ok := decimal(m); ok && precision <= int(float64(8*size-1)*math.Log10(2)) {
			return kindFixedDecimal
		}
	}
	return kindFixed
}

// decimal reads the properties of a decimal; ok tells that they are proper ones.
func decimal(m map[string]any) (precision, scale int, ok bool) {
	precision, ok = wholeNumber(m["precision"])
	if !ok || precision < 1 || precision > maxDecimalDigits {
		return 0, 0, false
	}
	if s, given := m["scale"]; given {
		if scale, ok = wholeNumber(s); !ok || scale > precision {
			return 0, 0, false
		}
	}
	return precision, scale, true
}

// plain gives the kind without its logical type.
func (k kind) plain() kind {
	switch k {
	case kindDate, kindTimeMillis:
		return kindInt
	case kindTimeMicros, kindTimestampMicros, kindTimestampNanos, kindLocalMillis, kindLocalMicros, kindLocalNanos:
		return kindLong
	case kindBytesDecimal:
		return kindBytes
	case kindFixedDecimal, kindFixedUUID, kindDuration:
		return kindFixed
	}
	return k
}

// appendTime appends the JSON of an int or long of kind k.
func appendTime(out []byte, k kind, v int64) []byte {
	const day = 24 * 60 * 60
	var t time.Time
	digits, zone := 0, ""
	switch k {
	case kindDate:
		t = time.Unix(v*day, 0).UTC()
		if !textYear(t) {
			return strconv.AppendInt(out, v, 10)
		}
		return append(appendDate(append(out, '"'), t), '"')
	case kindTimeMillis:
		return appendTimeOfDay(out, v, 1e3, 3)
	case kindTimeMicros:
		return appendTimeOfDay(out, v, 1e6, 6)
	case kindTimestampMicros:
		t, digits, zone = time.UnixMicro(v), 6, "Z"
	case kindTimestampNanos:
		t, digits, zone = time.Unix(0, v), 9, "Z"
	case kindLocalMillis:
		t, digits = time.UnixMilli(v), 3
	case kindLocalMicros:
		t, digits = time.UnixMicro(v), 6
	case kindLocalNanos:
		t, digits = time.Unix(0, v), 9
	default:
		return strconv.AppendInt(out, v, 10)
	}
	t = t.UTC()
	if !textYear(t) {
		return strconv.AppendInt(out, v, 10)
	}
	out = append(appendDate(append(out, '"'), t), 'T')
	hour, minute, second := t.Clock()
	out = appendClock(out, hour, minute, second)
	out = append(out, '.')
	frac := t.Nanosecond()
	for i := digits; i < 9; i++ {
		frac /= 10
	}
	out = appendPadded(out, frac, digits)
	out = append(out, zone...)
	return append(out, '"')
}

// textYear tells whether the year of t has four digits; the year 0 is not one that firn takes for a time.
func textYear(t time.Time) bool { return t.Year() >= 1 && t.Year() <= 9999 }

// appendTimeOfDay appends v, in units of which a second has perSecond, as a time of day with so many digits.
func appendTimeOfDay(out []byte, v, perSecond int64, digits int) []byte {
	s := v / perSecond
	if v < 0 || s >= 24*60*60 {
		return strconv.AppendInt(out, v, 10)
	}
	out = append(out, '"')
	out = appendClock(out, int(s/3600), int(s/60%60), int(s%60))
	out = append(out, '.')
	out = appendPadded(out, int(v%perSecond), digits)
	return append(out, '"')
}

func appendDate(out []byte, t time.Time) []byte {
	year, month, day := t.Date()
	out = appendPadded(out, year, 4)
	out = append(out, '-')
	out = appendPadded(out, int(month), 2)
	out = append(out, '-')
	return appendPadded(out, day, 2)
}

func appendClock(out []byte, hour, minute, second int) []byte {
	out = appendPadded(out, hour, 2)
	out = append(out, ':')
	out = appendPadded(out, minute, 2)
	out = append(out, ':')
	return appendPadded(out, second, 2)
}

// appendPadded appends v >= 0 with at least so many digits, at most 9.
func appendPadded(out []byte, v, digits int) []byte {
	for p, i := 10, 1; i < digits; p, i = p*10, i+1 {
		if v < p {
			// As many zeros are missing as steps are left.
			for range digits - i {
				out = append(out, '0')
			}
			break
		}
	}
	return strconv.AppendInt(out, int64(v), 10)
}

// appendDecimal appends the number whose digits are the two's complement big-endian integer b, with the point
// before the last scale digits. b has at most maxDecimalBytes.
func appendDecimal(out, b []byte, scale int) []byte {
	var digits []byte
	negative := len(b) > 0 && b[0] >= 0x80
	if len(b) <= 8 {
		v := int64(0)
		if negative {
			v = -1
		}
		for _, c := range b {
			v = v<<8 | int64(c)
		}
		u := uint64(v)
		if negative {
			u = -u
		}
		var buf [24]byte
		digits = strconv.AppendUint(buf[:0], u, 10)
	} else {
		n := new(big.Int).SetBytes(b)
		if negative {
			n.Sub(new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))), n)
		}
		digits = n.Append(nil, 10)
	}
	if negative {
		out = append(out, '-')
	}
	if scale == 0 {
		return append(out, digits...)
	}
	whole := len(digits) - scale
	if whole > 0 {
		out = append(out, digits[:whole]...)
		out = append(out, '.')
		return append(out, digits[whole:]...)
	}
	out = append(out, '0', '.')
	for range -whole {
		out = append(out, '0')
	}
	return append(out, digits...)
}

func appendBase64(out, b []byte) []byte {
	out = append(out, '"')
	out = base64.StdEncoding.AppendEncode(out, b)
	return append(out, '"')
}

// appendUUID appends 16 bytes as a UUID's text.
func appendUUID(out, b []byte) []byte {
	out = append(out, '"')
	for i, part := range [...][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:16]} {
		if i > 0 {
			out = append(out, '-')
		}
		out = hex.AppendEncode(out, part)
	}
	return append(out, '"')
}

// appendDuration appends the three numbers of a duration: months, days, milliseconds, 4 bytes each, little-endian.
func appendDuration(out, b []byte) []byte {
	out = append(out, `{"months":`...)
	out = strconv.AppendUint(out, uint64(binary.LittleEndian.Uint32(b)), 10)
	out = append(out, `,"days":`...)
	out = strconv.AppendUint(out, uint64(binary.LittleEndian.Uint32(b[4:])), 10)
	out = append(out, `,"milliseconds":`...)
	out = strconv.AppendUint(out, uint64(binary.LittleEndian.Uint32(b[8:])), 10)
	return append(out, '}')
}
