package schema

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// The durable form of a Tree. Numbers are unsigned varints, texts have their length in
// front.
//
//	tree    "FT" | format 1 | flags | version | table | own ×3 | record      (the last two not with the fallback flag)
//	flags   1 = fallback
//	own     1 = decided, 2 = the property says "same"                        timestamp, dataset_id, table
//	record  name | flags | fields | field ×fields                            root first, depth first
//	        flags 1 = an object was seen, 2 = has _firn
//	field   flags | name | key, unless it is the name | node             (of _rest the flags only)
//	        flags bits 0-1 role (key, _rest, own), 4 = optional, bits 3-4 meaning of null (unseen, absent, value),
//	        32 = the key is the name
//	node    kinds | node of the elements (kind array) | record (kind record)
//	        kinds null 1, bool 2, int53 4, int64 8, double 16, string 32, array 64, record 128, JSON 256
//
// Everything else in a Tree follows from it.
const (
	treeMagic  = "FT"
	treeFormat = 1

	treeFallback = 1

	ownDecidedFlag = 1
	ownSameFlag    = 2

	recordMetFlag    = 1
	recordExceptFlag = 2

	fieldRoleMask     = 3
	fieldOptionalFlag = 4
	fieldNullsMask    = 3 << fieldNullsShift
	fieldNullsShift   = 3
	fieldPlainFlag    = 32
)

// AppendTo appends the durable form of the tree and returns the extended slice.
func (t *Tree) AppendTo(dst []byte) []byte {
	dst = append(dst, treeMagic...)
	dst = append(dst, treeFormat)
	if t.fallback {
		dst = append(dst, treeFallback)
	} else {
		dst = append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, t.version)
	dst = appendTreeText(dst, t.table)
	if t.fallback {
		return dst
	}
	for _, own := range t.own {
		var flags byte
		if own.decided {
			flags |= ownDecidedFlag
		}
		if own.property == OwnSame {
			flags |= ownSameFlag
		}
		dst = append(dst, flags)
	}
	return t.root.appendTo(dst)
}

func appendTreeText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func (r *recordType) appendTo(dst []byte) []byte {
	dst = appendTreeText(dst, r.name)
	var flags byte
	if r.met {
		flags |= recordMetFlag
	}
	if r.except {
		flags |= recordExceptFlag
	}
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, uint64(len(r.fields)))
	for _, f := range r.fields {
		flags := byte(f.role) | byte(f.nulls)<<fieldNullsShift
		if f.optional {
			flags |= fieldOptionalFlag
		}
		plain := f.name == f.key
		if plain {
			flags |= fieldPlainFlag
		}
		dst = append(dst, flags)
		if f.role == roleRest {
			continue
		}
		dst = appendTreeText(dst, f.name)
		if !plain {
			dst = appendTreeText(dst, f.key)
		}
		dst = f.node.appendTo(dst)
	}
	return dst
}

func (n *node) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(n.kinds))
	if n.elem != nil {
		dst = n.elem.appendTo(dst)
	}
	if n.record != nil {
		dst = n.record.appendTo(dst)
	}
	return dst
}

// ParseTree reads a tree from its durable form, all of b. It keeps nothing of b. The
// error says at which byte b is not such a form.
func ParseTree(b []byte) (*Tree, error) {
	if len(b) > MaxTreeBytes {
		return nil, fmt.Errorf("schema: a tree of %d bytes is longer than %d", len(b), MaxTreeBytes)
	}
	r := treeReader{b: b}
	t := r.tree()
	if r.reason == "" && r.at < len(b) {
		r.fail("bytes after the tree")
	}
	if r.reason != "" {
		return nil, fmt.Errorf("schema: tree: %s at byte %d", r.reason, r.at)
	}
	return t, nil
}

// treeReader reads a durable tree. After its first error it reads zeros.
type treeReader struct {
	b      []byte
	at     int
	reason string
	t      *Tree
}

func (r *treeReader) fail(reason string) {
	if r.reason == "" {
		r.reason = reason
	}
}

func (r *treeReader) byte() byte {
	if r.reason != "" || r.at >= len(r.b) {
		r.fail("cut off")
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

// number reads a number that is at most limit.
func (r *treeReader) number(limit uint64) uint64 {
	if r.reason != "" {
		return 0
	}
	n, size := binary.Uvarint(r.b[r.at:])
	if size <= 0 || n > limit {
		r.fail("a number cut off or too large")
		return 0
	}
	r.at += size
	return n
}

func (r *treeReader) text(limit int) string {
	n := int(r.number(uint64(limit)))
	if n > len(r.b)-r.at {
		r.fail("cut off")
		return ""
	}
	s := string(r.b[r.at : r.at+n])
	if !utf8.ValidString(s) {
		r.fail("text that is not UTF-8")
	}
	r.at += n
	return s
}

func (r *treeReader) tree() *Tree {
	for i := range len(treeMagic) {
		if r.byte() != treeMagic[i] {
			r.fail("no tree")
		}
	}
	if r.byte() != treeFormat {
		r.fail("an unknown format")
	}
	flags := r.byte()
	if flags&^treeFallback != 0 {
		r.fail("unknown flags")
	}
	version := r.number(MaxVersion)
	t := NewTree(r.text(maxTableBytes))
	t.version = version
	if flags&treeFallback != 0 {
		t.setFallback()
		t.adding = adding{}
		return t
	}
	for o := range t.own {
		flags := r.byte()
		switch flags {
		case 0, ownDecidedFlag, ownDecidedFlag | ownSameFlag:
		default:
			r.fail("unknown flags")
		}
		t.own[o].decided = flags&ownDecidedFlag != 0
		if flags&ownSameFlag != 0 {
			t.own[o].property = OwnSame
		}
	}
	r.t = t
	t.types = newNameSet(jsonName)
	t.root = r.record(place{}, 1)
	for _, own := range t.own {
		if own.property == OwnSame && own.other >= 0 && !t.root.except {
			r.fail("exceptions without " + exceptColumn)
		}
	}
	return t
}

func (r *treeReader) record(at place, level int) *recordType {
	name := r.text(2 * maxName)
	if r.reason == "" && (!isName(name) || !r.t.types.take(name)) {
		r.fail("a record type's name")
	}
	rec := newRecordType(name, level == 1)
	if level > 1 {
		rec.setPlace(at)
		r.t.estimate += recordEstimate + len(name)
	}
	flags := r.byte()
	if flags&^(recordMetFlag|recordExceptFlag) != 0 {
		r.fail("unknown flags")
	}
	rec.met, rec.except = flags&recordMetFlag != 0, flags&recordExceptFlag != 0
	// The hidden member and, in the root, the columns of own members come on top.
	fields := int(r.number(MaxKeys + 1 + ownCount))
	for range fields {
		if r.reason != "" {
			break
		}
		r.field(rec, level)
	}
	return rec
}

func (r *treeReader) field(rec *recordType, level int) {
	flags := r.byte()
	f := &field{role: role(flags & fieldRoleMask), optional: flags&fieldOptionalFlag != 0, nulls: nullness(flags & fieldNullsMask >> fieldNullsShift)}
	if f.nulls > nullValue || flags&^(fieldRoleMask|fieldOptionalFlag|fieldNullsMask|fieldPlainFlag) != 0 {
		r.fail("unknown flags")
	}
	at := len(rec.fields)
	rec.fields = append(rec.fields, f)
	if f.role == roleRest {
		if rec.rest || flags != byte(roleRest) {
			r.fail("a second member " + restColumn)
		}
		f.name, rec.rest = restColumn, true
		return
	}
	f.name = r.text(2 * maxName)
	if r.reason == "" && (!isName(f.name) || !rec.names.take(f.name)) {
		r.fail("a field's name")
	}
	if f.key = f.name; flags&fieldPlainFlag == 0 {
		f.key = r.text(MaxKeyBytes)
	}
	r.t.estimate += fieldEstimate + len(f.name) + 6*len(f.key)
	own := -1
	if level == 1 {
		own = ownIndex([]byte(f.key))
	}
	switch {
	case f.role == roleKey && own < 0:
		if _, twice := rec.index[f.key]; twice {
			r.fail("a key that stands twice")
		}
		rec.index[f.key] = at
		if rec.keys++; rec.keys > MaxKeys {
			r.fail("too many keys")
		}
		if r.t.keys++; r.t.keys > MaxTableKeys {
			r.fail("too many keys")
		}
	case f.role == roleOwn && own >= 0 && r.t.own[own].other < 0 && !f.optional && f.nulls == nullUnseen:
		r.t.own[own].other = at
	default:
		r.fail("a field that cannot be")
	}
	r.node(&f.node, place{record: rec, field: f}, level)
	if f.role == roleOwn && f.node.kinds.has(kindNull|kindBool|kindDouble|kindArray|kindRecord) || f.node.kinds == 0 {
		r.fail("a field without kinds, or with impossible ones")
	}
	if (f.nulls == nullUnseen) == (f.optional || f.node.kinds.has(kindNull)) && f.role == roleKey {
		r.fail("a field that can be null without saying how, or the reverse")
	}
	if f.optional && f.node.kinds.has(kindNull) && !rec.except {
		r.fail("exceptions without " + exceptColumn)
	}
}

func (r *treeReader) node(n *node, at place, level int) {
	n.kinds = kindSet(r.number(uint64(allKinds)))
	r.t.estimate += kindEstimate * bits.OnesCount16(uint16(n.kinds))
	if !n.kinds.has(kindArray | kindRecord) {
		return
	}
	if level >= MaxLevels {
		r.fail("types nested too deeply")
		return
	}
	if n.kinds.has(kindArray) {
		n.elem = new(node)
		r.t.estimate += arrayEstimate
		inside := at
		inside.arrays++
		r.node(n.elem, inside, level+1)
		if n.elem.kinds == 0 {
			r.fail("an array without kinds of elements")
		}
	}
	if n.kinds.has(kindRecord) {
		n.record = r.record(at, level+1)
	}
}
