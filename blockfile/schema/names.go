package schema

import "strconv"

// Names that are taken in every record type, and in the record of the table.
const (
	datasetColumn = "dataset_id"
	timeColumn    = "timestamp"
	exceptColumn  = "_firn" // numbers of the fields that are not as their property says
	restColumn    = "_rest" // keys past the limits, as JSON text
	fallbackField = "json"  // the whole record, in the fallback schema

	namespace = "firn"
	jsonName  = "Json"
)

// nameSet is the names taken at one place, in lower case: readers such as SQL engines
// do not tell case apart. The value is the next number to try when a name is wanted
// again, so that many equal names do not cost the square of their number.
type nameSet map[string]int

func newNameSet(taken ...string) nameSet {
	s := make(nameSet, len(taken)+4)
	for _, name := range taken {
		s.take(name)
	}
	return s
}

// take marks a name as used and reports whether it was free.
func (s nameSet) take(name string) bool {
	low := lower(name)
	if _, used := s[low]; used {
		return false
	}
	s[low] = 2
	return true
}

// unique takes want, or the first free name that is want with a number.
func (s nameSet) unique(want string) string {
	if s.take(want) {
		return want
	}
	low := lower(want)
	for n := s[low]; ; n++ {
		if name := want + "_" + strconv.Itoa(n); s.take(name) {
			s[low] = n + 1
			return name
		}
	}
}

func lower(name string) string {
	for i := 0; i < len(name); i++ {
		if c := name[i]; 'A' <= c && c <= 'Z' {
			low := []byte(name)
			for ; i < len(low); i++ {
				if c := low[i]; 'A' <= c && c <= 'Z' {
					low[i] = c + 'a' - 'A'
				}
			}
			return string(low)
		}
	}
	return name
}

// safeName makes an Avro name of a key: every byte that cannot stand in one becomes an
// underscore, a character of several bytes one underscore.
func safeName(key string) string {
	name := make([]byte, 0, min(len(key)+1, maxName))
	for i := 0; i < len(key) && len(name) < maxName; i++ {
		c := key[i]
		switch {
		case isNameByte(c, len(name)):
			name = append(name, c)
		case '0' <= c && c <= '9': // only as the first byte
			name = append(name, '_', c)
		case c < 0x80 || c >= 0xC0:
			name = append(name, '_')
		}
	}
	if len(name) == 0 {
		return "_"
	}
	return string(name)
}

func isNameByte(c byte, at int) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || at > 0 && '0' <= c && c <= '9'
}

// isName reports whether s is an Avro name as this package makes them.
func isName(s string) bool {
	if s == "" || len(s) > maxName+20 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !isNameByte(s[i], i) {
			return false
		}
	}
	return true
}

// pathName names a record type after the place where it stands.
func pathName(parent, field string) string {
	name := parent + "_" + field
	return name[:min(len(name), maxName)]
}
