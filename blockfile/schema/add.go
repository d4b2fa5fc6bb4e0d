package schema

import "github.com/firndb/firn/blockfile/jsonscan"

// What each piece adds to the schema text at most, in bytes. A test compares the sum with
// the texts themselves.
const (
	baseEstimate   = 800 // record, columns, Json, version, and the largest hidden members
	fieldEstimate  = 128 // and name, and six times the key: it may be all control characters
	recordEstimate = 256 // and name; with its hidden members
	arrayEstimate  = 64
	kindEstimate   = 16

	// measureStep is how close to MaxSchemaBytes a text may come. It bounds how often texts
	// are made only to be measured.
	measureStep = 8 << 10
)

// Add widens the tree so that Encoder.Append of its Schema takes rec, and reports whether
// that changed anything. rec must be a JSON object that jsonscan accepts; dataset and
// time (milliseconds) are those under which it is stored. Nothing of rec is kept.
//
// Whether it changes anything depends on the shape of the record and its own members
// alone (see OwnShape), not on values.
func (t *Tree) Add(dataset string, time int64, rec []byte) (changed bool) {
	i := jsonscan.SkipSpace(rec, 0)
	if t.fallback || i >= len(rec) || rec[i] != '{' {
		return false
	}
	t.adding = adding{dataset: dataset, time: time, empty: t.adding.empty[:0]}
	t.addObject(t.root, rec, i, 1)
	t.addOwn()
	for _, array := range t.adding.empty {
		// Elements never seen have the type null. It must stay: a reader with a later
		// schema could not match it with a union that has none.
		t.addKind(array.elem, 0)
	}
	clear(t.adding.empty)
	if !t.adding.changed {
		return false
	}
	t.version++
	t.schema = nil
	t.measure()
	return true
}

// measure turns to the fallback schema before the text becomes too long.
func (t *Tree) measure() {
	if t.estimate < t.measureAt {
		return
	}
	size := len(t.appendText(nil))
	if size > MaxSchemaBytes-measureStep {
		t.setFallback()
		return
	}
	// The estimate grows at least as fast as the text; the version may get a digit more.
	t.measureAt = t.estimate + MaxSchemaBytes - size - 20
}

// setFallback gives up typing: every record fits from now on, so nothing need be known.
func (t *Tree) setFallback() {
	*t = Tree{table: t.table, version: t.version, fallback: true, adding: adding{changed: true}}
}

// addKind notes a kind at a place. Zero stands for an array's elements that were never
// seen: null, unless a kind is known by now.
func (t *Tree) addKind(n *node, kind kindSet) {
	if kind == 0 {
		if n.kinds != 0 {
			return
		}
		kind = kindNull
	}
	if n.kinds.has(kind) {
		return
	}
	n.kinds |= kind
	t.estimate += kindEstimate
	t.adding.changed = true
}

func (t *Tree) addNumber(n *node, class jsonscan.NumberClass) {
	switch class {
	case jsonscan.Int53:
		if !n.kinds.has(kindInt53 | kindInt64 | kindDouble) { // each of these holds it
			t.addKind(n, kindInt53)
		}
	case jsonscan.Int64:
		t.addKind(n, kindInt64)
	case jsonscan.Double:
		t.addKind(n, kindDouble)
	default:
		t.addKind(n, kindJSON)
	}
}

// addValue notes the value at i, which stands inside so many levels of types, and returns
// the position after it.
func (t *Tree) addValue(n *node, at place, b []byte, i, level int) int {
	if i >= len(b) {
		return len(b)
	}
	switch c := b[i]; c {
	case '"':
		t.addKind(n, kindString)
	case 't', 'f':
		t.addKind(n, kindBool)
	case 'n':
		t.addKind(n, kindNull)
	case '[', '{':
		switch {
		case level >= MaxLevels:
			t.addKind(n, kindJSON)
		case c == '[':
			at.arrays++
			return t.addArray(n, at, b, i, level+1)
		default:
			return t.addRecord(n, at, b, i, level+1)
		}
	default:
		end := jsonscan.SkipValue(b, i)
		t.addNumber(n, jsonscan.ClassifyNumber(b[i:end]))
		return max(end, i+1)
	}
	return jsonscan.SkipValue(b, i)
}

func (t *Tree) addArray(n *node, at place, b []byte, i, level int) int {
	if n.elem == nil {
		n.elem = new(node)
		t.estimate += arrayEstimate
		t.adding.empty = append(t.adding.empty, n)
	}
	t.addKind(n, kindArray)
	i = jsonscan.SkipSpace(b, i+1)
	for i < len(b) && b[i] != ']' {
		i = jsonscan.SkipSpace(b, t.addValue(n.elem, at, b, i, level))
		if i >= len(b) || b[i] != ',' {
			break
		}
		i = jsonscan.SkipSpace(b, i+1)
	}
	return i + 1
}

func (t *Tree) addRecord(n *node, at place, b []byte, i, level int) int {
	if n.record == nil {
		name := t.types.unique(at.name())
		n.record = newRecordType(name, false)
		n.record.setPlace(at)
		t.estimate += recordEstimate + len(name)
	}
	t.addKind(n, kindRecord)
	return t.addObject(n.record, b, i, level)
}

// addObject notes the members of the object at i and returns the position after it.
func (t *Tree) addObject(r *recordType, b []byte, i, level int) int {
	r.serial++
	found := 0
	i = jsonscan.SkipSpace(b, i+1)
	for i < len(b) && b[i] == '"' {
		end := jsonscan.SkipString(b, i)
		t.key = jsonscan.AppendUnquoted(t.key[:0], b[i:end])
		i = jsonscan.SkipSpace(b, end)
		i = jsonscan.SkipSpace(b, i+1) // past the colon
		if o := t.ownMember(r); o >= 0 {
			end = jsonscan.SkipValue(b, i)
			t.adding.own[o] = t.compareOwn(o, b[min(i, end):end])
			i = end
		} else if f := t.member(r); f != nil {
			if f.seen != r.serial {
				f.seen = r.serial
				found++
			}
			if i < len(b) && b[i] == 'n' && f.nulls == nullUnseen {
				f.nulls = nullValue
			}
			i = t.addValue(&f.node, place{record: r, field: f}, b, i, level)
			if f.optional && f.node.kinds.has(kindNull) {
				t.needExceptions(r)
			}
		} else {
			i = jsonscan.SkipValue(b, i)
		}
		i = jsonscan.SkipSpace(b, i)
		if i >= len(b) || b[i] != ',' {
			break
		}
		i = jsonscan.SkipSpace(b, i+1)
	}
	if found < r.keys {
		t.addAbsent(r)
	}
	r.met = true
	if t.adding.changed && r.inArray && !r.wide {
		t.checkWide(r)
	}
	return i + 1
}

// checkWide lets the field that holds a record type go to _rest, once so many fields of the
// type can be null that arrays of nearly empty records would grow without measure.
func (t *Tree) checkWide(r *recordType) {
	nullable := 0
	if r.except {
		nullable++
	}
	for _, f := range r.fields {
		if f.optional || f.role == roleRest || f.node.kinds.has(kindNull) {
			nullable++
		}
	}
	if nullable <= wideFields {
		return
	}
	r.wide = true
	t.needRest(r.at.record)
	t.setOptional(r.at.record, r.at.field)
}

// member returns the field of the key in t.key, made if need be, or nil when the key
// belongs to the member _rest.
func (t *Tree) member(r *recordType) *field {
	if n, ok := r.index[string(t.key)]; ok {
		return r.fields[n]
	}
	if r.keys >= MaxKeys || t.keys >= MaxTableKeys || len(t.key) > MaxKeyBytes {
		t.needRest(r)
		return nil
	}
	key := string(t.key)
	f := t.addField(r, key, roleKey)
	r.index[key] = len(r.fields) - 1
	r.keys++
	t.keys++
	if r.met { // the objects before this one lacked it
		f.optional, f.nulls = true, nullAbsent
	}
	return f
}

// addField appends a field that stands for key.
func (t *Tree) addField(r *recordType, key string, as role) *field {
	f := &field{key: key, name: r.names.unique(safeName(key)), role: as}
	r.fields = append(r.fields, f)
	t.estimate += fieldEstimate + len(f.name) + 6*len(key)
	t.adding.changed = true
	return f
}

// addAbsent makes the fields optional that the last object lacked.
func (t *Tree) addAbsent(r *recordType) {
	for _, f := range r.fields {
		if f.role == roleKey && f.seen != r.serial {
			t.setOptional(r, f)
		}
	}
}

// setOptional notes that records may lack the field.
func (t *Tree) setOptional(r *recordType, f *field) {
	if f.optional {
		return
	}
	f.optional = true
	t.adding.changed = true
	if f.nulls == nullUnseen {
		f.nulls = nullAbsent
	}
	if f.node.kinds.has(kindNull) {
		t.needExceptions(r)
	}
}

// needRest gives a record type its member _rest.
func (t *Tree) needRest(r *recordType) {
	if !r.rest {
		r.rest = true
		r.fields = append(r.fields, &field{name: restColumn, role: roleRest})
		t.adding.changed = true
	}
}

// needExceptions gives a record type its member _firn.
func (t *Tree) needExceptions(r *recordType) {
	if !r.except {
		r.except = true
		t.adding.changed = true
	}
}

// ownMember tells which own member the key in t.key is, or -1.
func (t *Tree) ownMember(r *recordType) int {
	if r != t.root {
		return -1
	}
	return ownIndex(t.key)
}

func (t *Tree) compareOwn(o int, raw []byte) Own {
	switch o {
	case ownTime:
		return compareTime(raw, t.adding.time)
	case ownDataset:
		return compareText(raw, t.adding.dataset)
	default:
		return compareText(raw, t.table)
	}
}

// addOwn notes how the own members of the record stood to ours. The first record that
// has a member as ours or not at all decides what its property says; the others are
// exceptions. A value that is kept in the column counts as absent here.
func (t *Tree) addOwn() {
	for o, seen := range t.adding.own {
		s := &t.own[o]
		if seen.other() {
			if s.other < 0 {
				t.addField(t.root, ownKeys[o], roleOwn)
				s.other = len(t.root.fields) - 1
			}
			t.addOther(&t.root.fields[s.other].node, seen)
		} else if !s.decided {
			s.decided, s.property = true, seen
			t.adding.changed = true
		} else if s.property != seen {
			t.needExceptions(t.root)
		}
		if s.property == OwnSame && s.other >= 0 {
			t.needExceptions(t.root)
		}
	}
}

func (t *Tree) addOther(n *node, value Own) {
	switch value {
	case OwnOtherString:
		t.addKind(n, kindString)
	case OwnOtherInt53:
		t.addNumber(n, jsonscan.Int53)
	case OwnOtherInt64:
		t.addNumber(n, jsonscan.Int64)
	default:
		t.addKind(n, kindJSON)
	}
}
