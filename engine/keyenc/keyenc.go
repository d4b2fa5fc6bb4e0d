package keyenc

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// ErrMalformed says that bytes are no key part of the kind asked for.
var ErrMalformed = errors.New("keyenc: malformed key")

const (
	escape     = 0x00 // begins both two-byte forms
	escapedNul = 0xFF // 00 FF: a zero byte of the name
	terminator = 0x01 // 00 01: the end of the name
)

// AppendName appends the encoded name to dst.
func AppendName(dst []byte, name string) []byte {
	for i := 0; i < len(name); i++ {
		dst = append(dst, name[i])
		if name[i] == escape {
			dst = append(dst, escapedNul)
		}
	}
	return append(dst, escape, terminator)
}

// NameSize is the number of bytes AppendName appends for name.
func NameSize(name string) int {
	n := len(name) + 2
	for i := 0; i < len(name); i++ {
		if name[i] == escape {
			n++
		}
	}
	return n
}

// CutName reads the name at the start of key and returns what follows it. The
// string is a copy; rest aliases key.
func CutName(key []byte) (name string, rest []byte, err error) {
	// Names without a zero byte are nearly all there are: one search and one
	// copy serve them.
	i := bytes.IndexByte(key, escape)
	if i < 0 || i+1 >= len(key) {
		return "", nil, ErrMalformed
	}
	if key[i+1] == terminator {
		return string(key[:i]), key[i+2:], nil
	}
	var b []byte
	for {
		b = append(b, key[:i]...)
		switch key[i+1] {
		case terminator:
			return string(b), key[i+2:], nil
		case escapedNul:
			b = append(b, 0)
		default:
			return "", nil, ErrMalformed
		}
		key = key[i+2:]
		if i = bytes.IndexByte(key, escape); i < 0 || i+1 >= len(key) {
			return "", nil, ErrMalformed
		}
	}
}

// NameLen is the number of bytes the encoded name at the start of key takes.
func NameLen(key []byte) (int, error) {
	for i := 0; i+1 < len(key); i++ {
		if key[i] != escape {
			continue
		}
		switch key[i+1] {
		case terminator:
			return i + 2, nil
		case escapedNul:
			i++
		default:
			return 0, ErrMalformed
		}
	}
	return 0, ErrMalformed
}

// AppendInt32 appends n so that smaller numbers sort first (4 bytes).
func AppendInt32(dst []byte, n int32) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(n)^1<<31)
}

// CutInt32 reads what AppendInt32 wrote and returns what follows it.
func CutInt32(key []byte) (n int32, rest []byte, err error) {
	if len(key) < 4 {
		return 0, nil, ErrMalformed
	}
	return int32(binary.BigEndian.Uint32(key) ^ 1<<31), key[4:], nil
}

// AppendUint32 appends n so that smaller numbers sort first (4 bytes).
func AppendUint32(dst []byte, n uint32) []byte { return binary.BigEndian.AppendUint32(dst, n) }

// CutUint32 reads what AppendUint32 wrote and returns what follows it.
func CutUint32(key []byte) (n uint32, rest []byte, err error) {
	if len(key) < 4 {
		return 0, nil, ErrMalformed
	}
	return binary.BigEndian.Uint32(key), key[4:], nil
}

// AppendUint64 appends n so that smaller numbers sort first (8 bytes).
func AppendUint64(dst []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(dst, n) }

// CutUint64 reads what AppendUint64 wrote and returns what follows it.
func CutUint64(key []byte) (n uint64, rest []byte, err error) {
	if len(key) < 8 {
		return 0, nil, ErrMalformed
	}
	return binary.BigEndian.Uint64(key), key[8:], nil
}

// After appends to dst the smallest key that sorts after every key beginning
// with prefix, or nothing when there is none (a prefix of FF bytes alone). A
// prefix that ends with an encoded name always has one.
func After(dst, prefix []byte) []byte {
	n := len(prefix)
	for n > 0 && prefix[n-1] == 0xFF {
		n--
	}
	if n == 0 {
		return dst
	}
	dst = append(dst, prefix[:n]...)
	dst[len(dst)-1]++
	return dst
}
