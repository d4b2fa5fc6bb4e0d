package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Eight equal bytes, for looking at eight bytes of text at once.
const (
	ones    = 0x0101010101010101
	highs   = 0x80 * ones
	quotes  = '"' * ones
	slashes = '\\' * ones
	spaces  = ' ' * ones
)

// markSpecial has the high bit set in each byte of x that ends a run of plain text in
// a strict string: a quote, a backslash, a control character, anything beyond ASCII
// (of which x^quotes-ones keeps the high bit, but for 0xa2, where x^slashes-ones does).
// Borrows can mark further bytes above a marked one, never below: the lowest mark is
// exact, and only that is used.
func markSpecial(x uint64) uint64 {
	return ((x ^ quotes - ones) | (x ^ slashes - ones) | (x - spaces) | x) & highs
}

// scanString scans the string whose opening quote stands at i. It returns the position
// after the closing quote and whether the string has escapes; or the complement of
// the position of the byte (or escape) that cannot stand there.
func scanString(b []byte, i int) (end int, escaped bool) {
	i++
	for {
		for len(b)-i >= 8 {
			m := markSpecial(binary.LittleEndian.Uint64(b[i:]))
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			return ^len(b), escaped
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, escaped
		case c == '\\':
			n := escapeLen(b[i:])
			if n == 0 {
				return ^i, escaped
			}
			i += n
			escaped = true
		case c < ' ':
			return ^i, escaped
		case c < utf8.RuneSelf:
			i++ // within the last seven bytes
		default:
			n := runeLen(b[i:])
			if n == 0 {
				return ^i, escaped
			}
			i += n
		}
	}
}

// runeLen is the length of the UTF-8 sequence of two or more bytes that b starts with;
// 0 when it is not well formed (Unicode 15, table 3-7).
func runeLen(b []byte) int {
	_, n := utf8.DecodeRune(b)
	if n == 1 {
		return 0
	}
	return n
}

// escapeLen is the length of the escape that b starts with, a surrogate pair counted
// as one; 0 when it is none that may stand in a string.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		_, n := unescapeUnicode(b)
		return n
	}
	return 0
}

// unescapeUnicode reads the \uXXXX or surrogate pair \uXXXX\uXXXX that b starts with
// and its length; the length is 0 when there is no such, or only half a pair.
func unescapeUnicode(b []byte) (r rune, n int) {
	r = hex4(b)
	switch {
	case r < 0 || r >= 0xDC00 && r <= 0xDFFF:
		return utf8.RuneError, 0
	case r < 0xD800 || r > 0xDBFF:
		return r, 6
	}
	low := hex4(b[6:])
	if low < 0xDC00 || low > 0xDFFF {
		return utf8.RuneError, 0
	}
	return (r-0xD800)<<10 | (low - 0xDC00) + 0x10000, 12
}

// hex4 reads the four digits of the \uXXXX that b starts with; -1 when it does not.
func hex4(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	r := rune(0)
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// failString finds the words for the place where scanString stopped.
func (s *Scanner) failString(b []byte, i int) (int, uint64) {
	switch {
	case i >= len(b):
		return s.fail(i, "the text ends inside a string")
	case b[i] == '\\':
		if hex4(b[i:]) >= 0 {
			return s.fail(i, "escape of half a surrogate pair")
		}
		return s.fail(i, "escape that JSON does not know")
	case b[i] < ' ':
		return s.fail(i, "control character "+quoteByte(b[i])+" inside a string")
	default:
		return s.fail(i, "not valid UTF-8")
	}
}
