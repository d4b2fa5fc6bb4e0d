package schema

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/firndb/firn/blockfile/jsonscan"
)

// maxFastDigits is how many digits an integer may have to be below 2^53 for sure.
const maxFastDigits = 15

// value encodes the value at i.
func (e *Encoder) value(dst []byte, t *typePlan, b []byte, i int) ([]byte, int, bool) {
	if i >= len(b) {
		return dst, i, false
	}
	switch c := b[i]; c {
	case '"':
		if !t.has(branchString) {
			return dst, i, false
		}
		dst, i = appendString(t.appendBranch(dst, branchString), b, i)
		return dst, i, true
	case 't', 'f':
		if !t.has(branchBool) {
			return dst, i, false
		}
		dst = t.appendBranch(dst, branchBool)
		if c == 't' {
			return append(dst, 1), i + len("true"), true
		}
		return append(dst, 0), i + len("false"), true
	case 'n':
		if !t.has(branchNull) {
			return dst, i, false
		}
		return t.appendBranch(dst, branchNull), i + len("null"), true
	case '[':
		if !t.has(branchArray) {
			break
		}
		return e.array(t.appendBranch(dst, branchArray), t.elem, b, i)
	case '{':
		if !t.has(branchRecord) {
			break
		}
		return e.object(t.appendBranch(dst, branchRecord), t.record, b, i)
	default:
		return number(dst, t, b, i)
	}
	if !t.deep {
		return dst, i, false
	}
	return jsonBranch(dst, t, b, i)
}

// appendBranch appends what names a branch: nothing, where the type is no union.
func (t *typePlan) appendBranch(dst []byte, b branch) []byte {
	if t.union {
		return append(dst, byte(t.index[b]))
	}
	return dst
}

// jsonBranch encodes the value at i as JSON text.
func jsonBranch(dst []byte, t *typePlan, b []byte, i int) ([]byte, int, bool) {
	if !t.has(branchJSON) {
		return dst, i, false
	}
	end := jsonscan.SkipValue(b, i)
	return appendJSONText(t.appendBranch(dst, branchJSON), b[i:end]), end, true
}

// array encodes the array at i as one block of elements. Their count comes first and is
// known last: one byte is left for it, and the elements move when it needs more.
func (e *Encoder) array(dst []byte, elem *typePlan, b []byte, i int) ([]byte, int, bool) {
	dst = append(dst, 0)
	start, from, count, ok := len(dst), i, 0, false
	if i = skipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return dst, i + 1, true
	}
	for {
		if dst, i, ok = e.value(dst, elem, b, i); !ok {
			return dst, i, false
		}
		count++
		if e.escapes > 0 && len(dst)-start > escapeFactor*(i-from)+escapeSlack {
			// Found early, before much was written in vain.
			e.tooLong = true
			return dst, i, false
		}
		if i = skipSpace(b, i); i >= len(b) || b[i] != ',' {
			break
		}
		i = skipSpace(b, i+1)
	}
	dst = setPrefix(dst, start-1, 1, int64(count))
	return append(dst, 0), i + 1, true
}

// number encodes the number at i.
func number(dst []byte, t *typePlan, b []byte, i int) ([]byte, int, bool) {
	n, end, ok := shortInt(b, i)
	if !ok {
		end = jsonscan.SkipValue(b, i)
		text := b[i:end]
		switch class := jsonscan.ClassifyNumber(text); class {
		case jsonscan.Int53, jsonscan.Int64:
			if n, ok = jsonscan.ParseInt(text); !ok || class == jsonscan.Int64 && !t.has(branchLong) {
				return dst, i, false
			}
		case jsonscan.Double:
			if !t.has(branchDouble) {
				return dst, i, false
			}
			return appendDouble(t.appendBranch(dst, branchDouble), jsonscan.ParseDouble(text)), end, true
		default:
			return jsonBranch(dst, t, b, i)
		}
	}
	switch {
	case t.has(branchLong):
		return binary.AppendVarint(t.appendBranch(dst, branchLong), n), end, true
	case t.has(branchDouble): // which holds n: see above
		return appendDouble(t.appendBranch(dst, branchDouble), float64(n)), end, true
	}
	return dst, i, false
}

// shortInt reads an integer literal of few digits at i, as most numbers are.
func shortInt(b []byte, i int) (n int64, end int, ok bool) {
	start := i
	if b[i] == '-' {
		i++
	}
	digits := i
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		if i-digits >= maxFastDigits {
			return 0, start, false
		}
		n = n*10 + int64(b[i]-'0')
	}
	if i == digits || i < len(b) && (b[i] == '.' || b[i]|0x20 == 'e') {
		return 0, start, false
	}
	if digits > start {
		return -n, i, n != 0 // minus zero is no integer
	}
	return n, i, true
}

func appendDouble(dst []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}

// skipSpace is jsonscan.SkipSpace with the common case inline: no space.
func skipSpace(b []byte, i int) int {
	if i < len(b) && b[i] > ' ' {
		return i
	}
	return jsonscan.SkipSpace(b, i)
}

func hasPrefix(b []byte, i int, prefix string) bool {
	return len(b)-i >= len(prefix) && string(b[i:i+len(prefix)]) == prefix
}

// appendString appends the JSON string at i as an Avro string and returns the position
// after it.
func appendString(dst, b []byte, i int) ([]byte, int) {
	end := jsonscan.SkipString(b, i)
	text := b[min(i+1, end):max(i+1, end-1)]
	if !jsonscan.HasEscape(text) {
		dst = appendLength(dst, len(text))
		return append(dst, text...), end
	}
	at, reserved := len(dst), lengthSize(len(text))
	dst = append(dst, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"[:reserved]...)
	dst = jsonscan.AppendUnquoted(dst, b[i:end])
	return setPrefix(dst, at, reserved, int64(len(dst)-at-reserved)), end
}

// appendJSONText appends a JSON value as the string in a Json record, without white space
// between tokens.
func appendJSONText(dst, text []byte) []byte {
	at, reserved := len(dst), lengthSize(len(text))
	dst = append(dst, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"[:reserved]...)
	from := 0
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			i = jsonscan.SkipString(text, i)
		case c <= ' ':
			dst = append(dst, text[from:i]...)
			i = jsonscan.SkipSpace(text, i+1)
			from = i
		default:
			i++
		}
	}
	dst = append(dst, text[from:]...)
	return setPrefix(dst, at, reserved, int64(len(dst)-at-reserved))
}

func appendLength(dst []byte, n int) []byte {
	if n < 64 {
		return append(dst, byte(2*n))
	}
	return binary.AppendVarint(dst, int64(n))
}

// lengthSize is how many bytes a length takes.
func lengthSize(n int) int {
	return (bits.Len64(uint64(n)<<1|1) + 6) / 7
}

// setPrefix writes n at a place in dst where so many bytes were reserved for it, and moves
// what follows when n takes fewer or more.
func setPrefix(dst []byte, at, reserved int, n int64) []byte {
	var buf [binary.MaxVarintLen64]byte
	size := binary.PutVarint(buf[:], n)
	body := at + reserved
	switch {
	case size < reserved:
		copy(dst[at+size:], dst[body:])
		dst = dst[:len(dst)-(reserved-size)]
	case size > reserved:
		dst = append(dst, buf[:size-reserved]...)
		copy(dst[at+size:], dst[body:])
	}
	copy(dst[at:], buf[:size])
	return dst
}
