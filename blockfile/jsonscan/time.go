package jsonscan

import (
	"errors"
	"strings"
)

// Times are milliseconds since 1970-01-01T00:00:00Z, in the calendar of RFC 3339 (the
// Gregorian one, also before its introduction), without leap seconds.
const (
	// MinTime is 0001-01-01T00:00:00Z.
	MinTime int64 = -62_135_596_800_000
	// MaxTime is 9999-12-31T23:59:59.999Z.
	MaxTime int64 = 253_402_300_799_999
)

const (
	secondMillis = 1000
	minuteMillis = 60 * secondMillis
	hourMillis   = 60 * minuteMillis
	dayMillis    = 24 * hourMillis
)

// Reasons why a time is refused. They read well after "timestamp: ".
var (
	errTimeKind  = errors.New("a time is an integer of milliseconds since 1970 or an RFC 3339 string with a zone")
	errTimeText  = errors.New("not a time as RFC 3339 writes it (2006-01-02T15:04:05Z, 2006-01-02T15:04:05.999+02:00)")
	errTimeField = errors.New("month, day, hour, minute, second or zone out of range")
	errTimeLeap  = errors.New("second 60 stands only at 23:59:60 UTC")
	errTimeZone  = errors.New("a time needs a zone: Z or an offset such as +02:00 (in a URL, + is written %2B)")
	errTimeRange = errors.New("time outside of the years 0001 to 9999")
)

// ParseTime reads a raw JSON value as a time: an integer literal is milliseconds since
// 1970, a string is RFC 3339 with a zone. T and Z may be lower case; parts of a second
// finer than a millisecond are cut off, towards the past; 23:59:60 UTC, a leap second,
// is read as the first second of the next day. Other values, and times outside of
// MinTime to MaxTime, are errors without position.
func ParseTime(raw []byte) (ms int64, err error) {
	if len(raw) >= 2 && raw[0] == '"' {
		if HasEscape(raw) {
			var buf [64]byte
			return parseRFC3339(AppendUnquoted(buf[:0], raw))
		}
		return parseRFC3339(inner(raw))
	}
	return parseMillis(raw)
}

// ParseTimeText is ParseTime for text without quotes, such as a query parameter.
func ParseTimeText(s string) (ms int64, err error) {
	if strings.IndexByte(s[min(1, len(s)):], '-') > 0 {
		return parseRFC3339(s)
	}
	return parseMillis(s)
}

func parseMillis[T []byte | string](text T) (int64, error) {
	digits := text
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		digits = text[1:]
	}
	if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' {
		return 0, errTimeKind
	}
	n := int64(0)
	for i := 0; i < len(digits); i++ {
		c := digits[i] - '0'
		if c > 9 {
			return 0, errTimeKind
		}
		if n <= MaxTime { // beyond, the value no longer matters
			n = n*10 + int64(c)
		}
	}
	if negative {
		n = -n
	}
	if n < MinTime || n > MaxTime {
		return 0, errTimeRange
	}
	return n, nil
}

// parseRFC3339 reads
//
//	2006-01-02T15:04:05[.fraction](Z|+hh:mm|-hh:mm)
//	0    5  8  11 14 17 19
func parseRFC3339[T []byte | string](t T) (int64, error) {
	if len(t) < len("2006-01-02T15:04:05") || t[4] != '-' || t[7] != '-' || t[10]|0x20 != 't' || t[13] != ':' || t[16] != ':' {
		return 0, errTimeText
	}
	century, year := twoDigits(t, 0), twoDigits(t, 2)
	month, day := twoDigits(t, 5), twoDigits(t, 8)
	hour, minute, second := twoDigits(t, 11), twoDigits(t, 14), twoDigits(t, 17)
	if century|year|month|day|hour|minute|second < 0 {
		return 0, errTimeText
	}
	year += 100 * century
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 60 {
		return 0, errTimeField
	}

	i := 19
	millis := 0
	if i < len(t) && t[i] == '.' {
		i++
		first, unit := i, 100
		for ; i < len(t) && t[i]-'0' <= 9; i++ {
			millis += int(t[i]-'0') * unit
			unit /= 10
		}
		if i == first {
			return 0, errTimeText
		}
	}

	offset := int64(0)
	switch zone := t[i:]; {
	case len(zone) == 0 || zone[0] == ' ':
		return 0, errTimeZone
	case len(zone) == 1 && zone[0]|0x20 == 'z':
	case len(zone) == len("+hh:mm") && (zone[0] == '+' || zone[0] == '-') && zone[3] == ':':
		h, m := twoDigits(zone, 1), twoDigits(zone, 4)
		if h|m < 0 {
			return 0, errTimeText
		}
		if h > 23 || m > 59 {
			return 0, errTimeField
		}
		offset = int64(h)*hourMillis + int64(m)*minuteMillis
		if zone[0] == '-' {
			offset = -offset
		}
	default:
		return 0, errTimeText
	}

	ms := daysSince1970(year, month, day)*dayMillis + int64(hour)*hourMillis + int64(minute)*minuteMillis - offset
	if second == 60 && floorMod(ms, dayMillis) != dayMillis-minuteMillis {
		return 0, errTimeLeap
	}
	ms += int64(second)*secondMillis + int64(millis)
	if ms < MinTime || ms > MaxTime {
		return 0, errTimeRange
	}
	return ms, nil
}

// twoDigits reads t[i:i+2], which is in bounds; -1 when these are no digits.
func twoDigits[T []byte | string](t T, i int) int {
	hi, lo := t[i]-'0', t[i+1]-'0'
	if hi > 9 || lo > 9 {
		return -1
	}
	return int(hi)*10 + int(lo)
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysSince1970 counts days of the Gregorian calendar. The year is taken to begin in
// March, so that the leap day is its last and months before it have fixed offsets.
func daysSince1970(year, month, day int) int64 {
	y, m := int64(year), int64(month)
	if m <= 2 {
		y--
		m += 12
	}
	const from0000March1To1970 = 719468
	leaps := floorDiv(y, 4) - floorDiv(y, 100) + floorDiv(y, 400)
	return 365*y + leaps + (153*(m-3)+2)/5 + int64(day) - 1 - from0000March1To1970
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func floorMod(a, b int64) int64 { return a - floorDiv(a, b)*b }
