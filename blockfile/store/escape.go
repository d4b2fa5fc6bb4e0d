package store

import (
	"fmt"
	"strings"
)

// emptySegment stands for the empty name: no other name begins with a bare
// percent sign.
const emptySegment = "%"

const upperHex = "0123456789ABCDEF"

// EscapeSegment turns any name (a table's, say) into one path segment that is
// safe in a file system, a bucket and a Hive style path, byte exactly and
// reversibly: ASCII letters, digits, `-`, `_`, `.` and `~` stay, every other
// byte becomes %XX. A leading `.` or `_` is escaped too: so `.` and `..` never
// come out, no name is taken for the reserved _firn, and query engines, which
// pass over such folders, see every table. Names up to 85 bytes always fit a
// segment.
func EscapeSegment(name string) string {
	if name == "" {
		return emptySegment
	}
	plain := true
	for i := range len(name) {
		if !staysPlain(name[i], i) {
			plain = false
			break
		}
	}
	if plain {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if staysPlain(c, i) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	return b.String()
}

// UnescapeSegment gives back the name that EscapeSegment was given. It accepts
// exactly what EscapeSegment writes, so that no two segments mean one name.
func UnescapeSegment(s string) (string, error) {
	if s == emptySegment {
		return "", nil
	}
	if !strings.Contains(s, "%") && s != "" && staysPlain(s[0], 0) {
		for i := range len(s) {
			if !staysPlain(s[i], i) {
				return "", fmt.Errorf("segment %q: byte %d is not escaped", clip(s), i)
			}
		}
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return "", fmt.Errorf("segment %q: cut escape at byte %d", clip(s), i)
			}
			hi, lo := strings.IndexByte(upperHex, s[i+1]), strings.IndexByte(upperHex, s[i+2])
			if hi < 0 || lo < 0 {
				return "", fmt.Errorf("segment %q: bad escape at byte %d", clip(s), i)
			}
			c = byte(hi<<4 | lo)
			i += 2
		}
		out = append(out, c)
	}
	name := string(out)
	if EscapeSegment(name) != s {
		return "", fmt.Errorf("segment %q is not the canonical form of a name", clip(s))
	}
	return name, nil
}

// staysPlain reports whether byte c at position i of a name needs no escape.
func staysPlain(c byte, i int) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '~':
		return true
	case c == '_' || c == '.':
		return i > 0
	}
	return false
}
