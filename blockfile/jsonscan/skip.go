package jsonscan

import (
	"encoding/binary"
	"math/bits"
)

// The functions of this file find their way in bytes known to be valid JSON. On other
// bytes they stay in bounds and come to an end, wherever that is.

// SkipSpace returns the position of the first byte from i on that is no white space.
func SkipSpace(b []byte, i int) int {
	for ; i < len(b); i++ {
		if c := b[i]; c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			break
		}
	}
	return i
}

// markString marks quotes and backslashes, exactly up to the lowest mark.
func markString(x uint64) uint64 {
	q, s := x^quotes, x^slashes
	return ((q-ones)&^q | (s-ones)&^s) & highs
}

// SkipString returns the position after the string whose opening quote stands at i.
func SkipString(b []byte, i int) int {
	i++
	for {
		for len(b)-i >= 8 {
			if m := markString(binary.LittleEndian.Uint64(b[i:])); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		switch {
		case i >= len(b):
			return len(b)
		case b[i] == '"':
			return i + 1
		case b[i] == '\\':
			i += 2
		default:
			i++
		}
	}
}

// SkipValue returns the position after the value that starts at i.
func SkipValue(b []byte, i int) int {
	if i >= len(b) {
		return len(b)
	}
	switch b[i] {
	case '"':
		return SkipString(b, i)
	case '{', '[':
		return skipNested(b, i)
	}
	for ; i < len(b); i++ {
		switch b[i] {
		case ',', ']', '}', ' ', '\n', '\r', '\t', ':':
			return i
		}
	}
	return i
}

const (
	lowerBits  = 0x20 * ones
	openMarks  = '{' * ones // '[' differs by lowerBits only
	closeMarks = '}' * ones // ']' likewise
)

// markNested marks quotes and brackets of both kinds, exactly up to the lowest mark.
func markNested(x uint64) uint64 {
	q := x ^ quotes
	o, c := (x|lowerBits)^openMarks, (x|lowerBits)^closeMarks
	return ((q-ones)&^q | (o-ones)&^o | (c-ones)&^c) & highs
}

// skipNested skips the array or object at i by counting brackets.
func skipNested(b []byte, i int) int {
	depth := 0
	for {
		for len(b)-i >= 8 {
			if m := markNested(binary.LittleEndian.Uint64(b[i:])); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			return len(b)
		}
		switch b[i] {
		case '"':
			i = SkipString(b, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				return i + 1
			}
		}
		i++
	}
}
