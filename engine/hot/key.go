package hot

import (
	"encoding/binary"
	"errors"
	"math"
)

// Keys are compared by bbolt byte by byte, so every part of a key is written
// such that byte order is the part's own order, and such that no part can be
// taken for the beginning of another:
//
//	name   the bytes, each 00 written as 00 FF, then 00 01
//	day    4 bytes big endian, sign bit flipped
//	time   8 bytes big endian, sign bit flipped
//
// A name may hold any bytes. "a" sorts before "a\x00" because 00 01 < 00 FF,
// and before "ab" because 00 < 62. The catalog's keys use the same parts.

const (
	nameEscape = 0x00
	nameZero   = 0xff // after nameEscape: a zero byte of the name
	nameEnd    = 0x01 // after nameEscape: the end of the name
)

const millisPerDay = 86_400_000

var errKeyShort = errors.New("key ends too early")
var errKeyEscape = errors.New("key holds an unknown escape")

// DayOf returns the UTC day a time lies in, as days since 1970-01-01. Times
// whose day does not fit an int32 are counted to the last day that does; the
// result never falls as ms grows.
func DayOf(ms int64) int32 {
	d := ms / millisPerDay
	if ms%millisPerDay < 0 {
		d--
	}
	return int32(min(max(d, math.MinInt32), math.MaxInt32))
}

// AppendKeyName appends the order-preserving form of a name.
func AppendKeyName(dst []byte, name string) []byte {
	for i := range len(name) {
		dst = append(dst, name[i])
		if name[i] == nameEscape {
			dst = append(dst, nameZero)
		}
	}
	return append(dst, nameEscape, nameEnd)
}

// CutKeyName reads a name written by AppendKeyName from the beginning of key
// and returns what follows it. The name is a copy.
func CutKeyName(key []byte) (name string, rest []byte, err error) {
	var buf [128]byte
	out := buf[:0]
	for i := 0; i < len(key); i++ {
		if key[i] != nameEscape {
			out = append(out, key[i])
			continue
		}
		i++
		if i == len(key) {
			break
		}
		switch key[i] {
		case nameZero:
			out = append(out, nameEscape)
		case nameEnd:
			return string(out), key[i+1:], nil
		default:
			return "", nil, errKeyEscape
		}
	}
	return "", nil, errKeyShort
}

// AppendKeyDay appends the order-preserving form of a day.
func AppendKeyDay(dst []byte, day int32) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(day)^1<<31)
}

// CutKeyDay reads a day written by AppendKeyDay.
func CutKeyDay(key []byte) (day int32, rest []byte, err error) {
	if len(key) < 4 {
		return 0, nil, errKeyShort
	}
	return int32(binary.BigEndian.Uint32(key) ^ 1<<31), key[4:], nil
}

// AppendKeyTime appends the order-preserving form of a time in milliseconds.
func AppendKeyTime(dst []byte, ms int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(ms)^1<<63)
}

// CutKeyTime reads a time written by AppendKeyTime.
func CutKeyTime(key []byte) (ms int64, rest []byte, err error) {
	if len(key) < 8 {
		return 0, nil, errKeyShort
	}
	return int64(binary.BigEndian.Uint64(key) ^ 1<<63), key[8:], nil
}
