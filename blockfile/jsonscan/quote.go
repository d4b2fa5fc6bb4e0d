package jsonscan

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// HasEscape reports whether a JSON string literal contains escapes.
func HasEscape(quoted []byte) bool { return bytes.IndexByte(quoted, '\\') >= 0 }

// inner is a string literal without its quotes.
func inner(quoted []byte) []byte {
	if len(quoted) < 2 {
		return nil
	}
	return quoted[1 : len(quoted)-1]
}

// AppendUnquoted appends the text of a valid JSON string literal, quotes included, and
// returns the extended slice. quoted and dst must not overlap.
func AppendUnquoted(dst, quoted []byte) []byte {
	text := inner(quoted)
	for {
		run := bytes.IndexByte(text, '\\')
		if run < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:run]...)
		r, n := unescape(text[run:])
		dst = utf8.AppendRune(dst, r)
		text = text[run+n:]
	}
}

// unescape reads the escape that b starts with and its length, 1 at least. What is no
// escape becomes U+FFFD.
func unescape(b []byte) (r rune, n int) {
	if len(b) < 2 {
		return utf8.RuneError, len(b)
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		if r, n := unescapeUnicode(b); n > 0 {
			return r, n
		}
	}
	return utf8.RuneError, 2
}

// EqualString reports whether a valid JSON string literal, quotes included, stands for
// the text s. It allocates nothing.
func EqualString(quoted []byte, s string) bool {
	text := inner(quoted)
	for {
		run := bytes.IndexByte(text, '\\')
		if run < 0 {
			return len(quoted) >= 2 && string(text) == s
		}
		if run > len(s) || string(text[:run]) != s[:run] {
			return false
		}
		r, n := unescape(text[run:])
		var buf [utf8.UTFMax]byte
		char := buf[:utf8.EncodeRune(buf[:], r)]
		s, text = s[run:], text[run+n:]
		if len(s) < len(char) || s[:len(char)] != string(char) {
			return false
		}
		s = s[len(char):]
	}
}

// markEscaped marks what must be escaped in a string: quotes, backslashes and control
// characters, exactly up to the lowest mark.
func markEscaped(x uint64) uint64 {
	q, s := x^quotes, x^slashes
	return ((q-ones)&^q | (s-ones)&^s | (x-spaces)&^x) & highs
}

const hexDigits = "0123456789abcdef"

// AppendQuoted appends the UTF-8 text s as a JSON string literal, escaping only what
// must be, and returns the extended slice. Bytes from 0x80 on are copied as they are.
func AppendQuoted(dst []byte, s []byte) []byte {
	dst = append(dst, '"')
	i, done := 0, 0
	for {
		for len(s)-i >= 8 {
			if m := markEscaped(binary.LittleEndian.Uint64(s[i:])); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(s) {
			dst = append(dst, s[done:]...)
			return append(dst, '"')
		}
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			i++ // within the last seven bytes
			continue
		}
		dst = append(dst, s[done:i]...)
		dst = append(dst, '\\')
		switch c {
		case '"', '\\':
			dst = append(dst, c)
		case '\b':
			dst = append(dst, 'b')
		case '\f':
			dst = append(dst, 'f')
		case '\n':
			dst = append(dst, 'n')
		case '\r':
			dst = append(dst, 'r')
		case '\t':
			dst = append(dst, 't')
		default:
			dst = append(dst, 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		done = i
	}
}
