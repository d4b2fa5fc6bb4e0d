package jsonscan

import "hash/maphash"

// value scans the value at i, which lies inside depth levels of arrays and objects.
// It returns the position after the value and its shape, or a negative position after
// noting the reason with fail.
func (s *Scanner) value(b []byte, i, depth int) (int, uint64) {
	if i >= len(b) {
		return s.failExpected(b, i, "a value")
	}
	switch c := b[i]; c {
	case '"':
		end, _ := scanString(b, i)
		if end < 0 {
			return s.failString(b, ^end)
		}
		return end, shapeOf[kindString]
	case '{':
		return s.object(b, i, depth+1)
	case '[':
		return s.array(b, i, depth+1)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		end, class := scanNumber(b, i)
		if end < 0 {
			return s.failNumber(b, ^end)
		}
		return end, shapeOf[kindNumber+kind(class)]
	default:
		end, k := scanLiteral(b, i)
		if end < 0 {
			return s.failExpected(b, i, "a value")
		}
		return end, shapeOf[k]
	}
}

// object scans the object at i, the depth-th level of nesting.
func (s *Scanner) object(b []byte, i, depth int) (int, uint64) {
	if depth > s.maxDepth {
		return s.failDepth(i)
	}
	names := uint64(0)
	if depth == 1 {
		names = s.names
	}
	i++
	if i < len(b) && b[i] <= ' ' {
		i = SkipSpace(b, i)
	}
	if i < len(b) && b[i] == '}' {
		return i + 1, mixObject(0)
	}
	set := s.newSet()
	sum := uint64(0)
	for {
		if i >= len(b) || b[i] != '"' {
			return s.failExpected(b, i, "a key in quotes")
		}
		keyStart := i
		end, escaped := scanString(b, i)
		if end < 0 {
			return s.failString(b, ^end)
		}
		i = end
		key := b[keyStart+1 : end-1]
		if escaped {
			s.text = AppendUnquoted(s.text[:0], b[keyStart:end])
			key = s.text
		}
		hash := maphash.Bytes(seed, key)
		if !s.add(&set, hash, b, keyStart) {
			return s.failTwice(keyStart, key)
		}
		wanted := memberNone
		if names>>(uint(len(key))&63)&1 != 0 {
			wanted = s.wanted(key)
		}

		if i < len(b) && b[i] <= ' ' {
			i = SkipSpace(b, i)
		}
		if i >= len(b) || b[i] != ':' {
			return s.failExpected(b, i, "':'")
		}
		i++
		if i < len(b) && b[i] <= ' ' {
			i = SkipSpace(b, i)
		}

		valueStart := i
		end, valueShape := s.value(b, i, depth)
		if end < 0 {
			return end, 0
		}
		i = end
		if wanted != memberNone {
			s.found(wanted, Span{valueStart, end}, valueShape)
		}
		if wanted&membersOwn == 0 {
			sum += mixMember(hash, valueShape)
		}

		if i < len(b) && b[i] <= ' ' {
			i = SkipSpace(b, i)
		}
		if i >= len(b) {
			return s.failExpected(b, i, "',' or '}'")
		}
		if b[i] == '}' {
			s.dropSet(&set)
			return i + 1, mixObject(sum)
		}
		if b[i] != ',' {
			return s.failExpected(b, i, "',' or '}'")
		}
		i++
		if i < len(b) && b[i] <= ' ' {
			i = SkipSpace(b, i)
		}
	}
}

// array scans the array at i, the depth-th level of nesting.
func (s *Scanner) array(b []byte, i, depth int) (int, uint64) {
	if depth > s.maxDepth {
		return s.failDepth(i)
	}
	i++
	if i < len(b) && b[i] <= ' ' {
		i = SkipSpace(b, i)
	}
	if i < len(b) && b[i] == ']' {
		return i + 1, shapeOf[kindEmptyArray]
	}
	set := s.newSet()
	sum, last := uint64(0), uint64(0)
	for {
		end, elem := s.value(b, i, depth)
		if end < 0 {
			return end, 0
		}
		i = end
		// Long arrays hold one kind mostly: only a change asks the set.
		if elem != last {
			last = elem
			if s.add(&set, elem, nil, 0) {
				sum += elem
			}
		}
		if i < len(b) && b[i] <= ' ' {
			i = SkipSpace(b, i)
		}
		if i >= len(b) {
			return s.failExpected(b, i, "',' or ']'")
		}
		if b[i] == ']' {
			s.dropSet(&set)
			return i + 1, mixArray(sum)
		}
		if b[i] != ',' {
			return s.failExpected(b, i, "',' or ']'")
		}
		i++
		if i < len(b) && b[i] <= ' ' {
			i = SkipSpace(b, i)
		}
	}
}

// scanLiteral scans true, false or null; the position is negative for anything else.
func scanLiteral(b []byte, i int) (int, kind) {
	rest := b[i:]
	if len(rest) >= 4 {
		switch string(rest[:4]) {
		case "true":
			return i + 4, kindBool
		case "null":
			return i + 4, kindNull
		case "fals":
			if len(rest) >= 5 && rest[4] == 'e' {
				return i + 5, kindBool
			}
		}
	}
	return -1, 0
}

// members is a set of members that the caller of Record wants to know about.
type members uint8

const (
	memberTimestamp members = 1 << iota
	memberDataset
	memberTable
	memberCaptured // and the two bits above it, one for each name

	memberNone members = 0
	membersOwn         = memberTimestamp | memberDataset | memberTable
)

// wanted tells which members a top-level key names.
func (s *Scanner) wanted(key []byte) members {
	m := memberNone
	switch string(key) {
	case timestampKey:
		m = memberTimestamp
	case datasetKey:
		m = memberDataset
	case tableKey:
		m = memberTable
	}
	for i, name := range s.capture {
		if name != "" && string(key) == name {
			m |= memberCaptured << i
		}
	}
	return m
}

// found notes the value of wanted members.
func (s *Scanner) found(m members, value Span, shape uint64) {
	switch m & membersOwn {
	case memberTimestamp:
		s.rec.Timestamp, s.rec.TimestampShape = value, shape
	case memberDataset:
		s.rec.Dataset, s.rec.DatasetShape = value, shape
	case memberTable:
		s.rec.Table, s.rec.TableShape = value, shape
	}
	for i := range s.rec.Captured {
		if m&(memberCaptured<<i) != 0 {
			s.rec.Captured[i] = value
		}
	}
}
