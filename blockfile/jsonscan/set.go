package jsonscan

import "strconv"

// entry is one key of an object being scanned, or one element shape of an array.
type entry struct {
	hash  uint64
	start int // where the key's opening quote stands
}

const (
	// linearEntries is up to how many entries a set is searched one by one. The
	// filter word answers most questions for small sets; beyond this it is full and
	// a table pays.
	linearEntries = 32

	// firstTableBits sizes a set's first hash table; it holds linearEntries and as
	// many again before it grows.
	firstTableBits = 7

	// maxKeyInReason is how much of a key an error message repeats.
	maxKeyInReason = 64
)

// set is the keys seen so far in one object. Sets live on two stacks of the Scanner:
//
//	keys │ outer object's entries │ this object's entries │
//	      base(outer)              base(this)              len
//	slot │ outer object's table (if large) │ this one's table (if large) │
//	                                        slots                         len
//
// While a key is added, every inner object is finished and gone, so the set that
// grows is always on top of both stacks.
type set struct {
	base   int    // first entry
	slots  int    // first slot of the table
	bits   uint8  // the table has 1<<bits slots; 0 = no table yet
	filter uint64 // bit h&63 for every entry with hash h
}

func (s *Scanner) newSet() set { return set{base: len(s.keys), slots: len(s.slot)} }

// dropSet forgets the set on top.
func (s *Scanner) dropSet(st *set) {
	s.keys, s.slot = s.keys[:st.base], s.slot[:st.slots]
}

// add notes a key with its hash, or reports false when the set has it. With b nil,
// equal hashes are equal entries; otherwise the keys' text decides.
func (s *Scanner) add(st *set, hash uint64, b []byte, start int) bool {
	bit := uint64(1) << (hash & 63)
	if st.filter&bit != 0 || st.bits != 0 {
		if s.has(st, hash, b, start) {
			return false
		}
	}
	st.filter |= bit
	s.keys = append(s.keys, entry{hash, start})
	if n := len(s.keys) - st.base; n > linearEntries {
		s.index(st, n)
	}
	return true
}

// has looks a key up, one by one or in the table.
func (s *Scanner) has(st *set, hash uint64, b []byte, start int) bool {
	if st.bits == 0 {
		for _, e := range s.keys[st.base:] {
			if e.hash == hash && (b == nil || equalKeys(b, e.start, start)) {
				return true
			}
		}
		return false
	}
	table := s.slot[st.slots:]
	mask := len(table) - 1
	for p := tableStart(hash, st.bits); table[p] != 0; p = (p + 1) & mask {
		e := s.keys[st.base+int(table[p])-1]
		if e.hash == hash && (b == nil || equalKeys(b, e.start, start)) {
			return true
		}
	}
	return false
}

// index puts the n-th entry into the table, after making or doubling the table when
// it is missing or half full.
func (s *Scanner) index(st *set, n int) {
	if st.bits != 0 && n <= 1<<(st.bits-1) {
		s.place(st, n)
		return
	}
	if st.bits == 0 {
		st.bits = firstTableBits
	} else {
		st.bits++
	}
	s.slot = s.slot[:st.slots]
	size := 1 << st.bits
	if cap(s.slot)-st.slots < size {
		grown := make([]int32, st.slots, 2*(st.slots+size))
		copy(grown, s.slot)
		s.slot = grown
	}
	s.slot = s.slot[:st.slots+size]
	clear(s.slot[st.slots:])
	for k := 1; k <= n; k++ {
		s.place(st, k)
	}
}

// place enters the k-th entry (from 1) at the first free slot from its hash on.
func (s *Scanner) place(st *set, k int) {
	table := s.slot[st.slots:]
	mask := len(table) - 1
	p := tableStart(s.keys[st.base+k-1].hash, st.bits)
	for table[p] != 0 {
		p = (p + 1) & mask
	}
	table[p] = int32(k)
}

// tableStart takes the upper bits of the hash, independent of the filter's lower ones.
func tableStart(hash uint64, bits uint8) int { return int(hash >> (64 - bits)) }

// equalKeys compares two keys by text. Equal hashes of different keys are rare beyond
// observation, yet they would refuse a good record; so this is asked, and it may
// allocate for keys with escapes since the record is refused all but always.
func equalKeys(b []byte, p, q int) bool {
	k, l := b[p:SkipString(b, p)], b[q:SkipString(b, q)]
	if !HasEscape(k) && !HasEscape(l) {
		return string(k) == string(l)
	}
	return string(AppendUnquoted(nil, k)) == string(AppendUnquoted(nil, l))
}

// failTwice refuses an object that has a key twice, naming the key.
func (s *Scanner) failTwice(at int, key []byte) (int, uint64) {
	if len(key) > maxKeyInReason {
		return s.fail(at, "key "+strconv.Quote(string(key[:maxKeyInReason]))+"... twice in one object")
	}
	return s.fail(at, "key "+strconv.Quote(string(key))+" twice in one object")
}
