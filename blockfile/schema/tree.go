package schema

import "strings"

// kindSet is the kinds of values seen at one place.
type kindSet uint16

const (
	kindNull kindSet = 1 << iota
	kindBool
	kindInt53
	kindInt64
	kindDouble
	kindString
	kindArray
	kindRecord
	kindJSON // what no type holds without loss

	allKinds = kindJSON<<1 - 1
)

func (k kindSet) has(kind kindSet) bool { return k&kind != 0 }

// long reports whether the place has the type long: integers, unless doubles stand there
// too and hold them all.
func (k kindSet) long() bool { return k.has(kindInt64) || k&(kindInt53|kindDouble) == kindInt53 }

func (k kindSet) double() bool { return k.has(kindDouble) }

// node is what was seen at one place of the records.
type node struct {
	kinds  kindSet
	elem   *node       // with kindArray: all elements together
	record *recordType // with kindRecord
}

// nullness is what Avro null means in a field, set by what was seen first.
type nullness uint8

const (
	nullUnseen nullness = iota
	nullAbsent          // the key is absent
	nullValue           // the value is null
)

// role tells what a field of a record type is for.
type role uint8

const (
	roleKey  role = iota // a key of the records
	roleRest             // the hidden member _rest
	roleOwn              // values of an own member that differ from ours; top level only
)

// field is one field of a record type.
type field struct {
	key, name string
	role      role
	optional  bool     // some record lacked the key
	nulls     nullness // meaning of Avro null
	node      node
	seen      uint64 // serial of the last object that had the key
}

// recordType is what was seen of the objects at one place.
type recordType struct {
	name   string
	fields []*field // in order of first sight; their numbers never change
	index  map[string]int
	names  nameSet
	keys   int  // fields that are keys
	met    bool // an object was seen
	except bool // has the hidden member _firn
	rest   bool // has the hidden member _rest
	serial uint64

	// inArray: an array holds it, directly or not. Then at is the field that holds it, which
	// can go to _rest once the record type was found to be wide.
	inArray bool
	wide    bool
	at      place
}

// place names where a value stands: in a field of a record type, and there inside so many
// arrays. Record types are named after it.
type place struct {
	record *recordType
	field  *field
	arrays int
}

func (p place) name() string {
	return pathName(p.record.name, p.field.name+strings.Repeat("_item", p.arrays))
}

// setPlace notes where a record type stands.
func (r *recordType) setPlace(at place) {
	r.at, r.inArray = at, at.arrays > 0 || at.record.inArray
}

// ownState is what was seen of one own member.
type ownState struct {
	property Own // what the schema's property says: OwnAbsent or OwnSame
	decided  bool
	other    int // place of its column among the root's fields, -1 without
}

// Tree is what firn knows of one table: every type seen at every place, the Avro names
// given, and in which order. It only widens. It is not safe for concurrent use; Clone it
// for snapshots.
type Tree struct {
	table    string
	version  uint64
	fallback bool
	root     *recordType // nil with fallback
	own      [ownCount]ownState
	types    nameSet // names of record types
	keys     int     // fields that are keys, in all record types

	// estimate is never less than the bytes of the schema text; measureAt is the estimate
	// at which it has to be measured next.
	estimate, measureAt int

	schema *Schema // of this version, once it was asked for

	adding adding // of the Add under way
	key    []byte // scratch: an unescaped key
}

// adding is what an Add knows while it walks through its record.
type adding struct {
	dataset string
	time    int64
	own     [ownCount]Own
	changed bool
	empty   []*node // arrays made in this Add; their elements may still have no kind
}

// NewTree returns the tree of a table without records. The table name must be UTF-8 of at
// most 4,096 bytes; what is not is replaced or cut off.
func NewTree(table string) *Tree {
	if len(table) > maxTableBytes {
		table = table[:maxTableBytes]
	}
	t := &Tree{table: strings.ToValidUTF8(table, "?"), types: newNameSet(jsonName)}
	t.root = newRecordType(t.types.unique(safeName(t.table)), true)
	for o := range t.own {
		t.own[o].other = -1
	}
	t.estimate = baseEstimate + 6*len(t.table)
	t.measureAt = MaxSchemaBytes
	return t
}

func newRecordType(name string, root bool) *recordType {
	r := &recordType{name: name, index: make(map[string]int), names: newNameSet(exceptColumn, restColumn)}
	if root {
		r.names.take(datasetColumn)
		r.names.take(timeColumn)
	}
	return r
}

// Table returns the table's name.
func (t *Tree) Table() string { return t.table }

// Version grows by one at every Add that changed the tree. It is the table version of the
// schema made from it; zero before the first record.
func (t *Tree) Version() uint64 { return t.version }

// Clone returns a copy that shares nothing that changes.
func (t *Tree) Clone() *Tree {
	c := &Tree{
		table: t.table, version: t.version, fallback: t.fallback, own: t.own, types: t.types.clone(),
		keys: t.keys, estimate: t.estimate, measureAt: t.measureAt, schema: t.schema,
	}
	if t.root != nil {
		c.root = t.root.clone(place{})
	}
	return c
}

func (s nameSet) clone() nameSet {
	c := make(nameSet, len(s))
	for name, next := range s {
		c[name] = next
	}
	return c
}

func (r *recordType) clone(at place) *recordType {
	c := *r
	c.at = at
	c.names = r.names.clone()
	c.fields = make([]*field, len(r.fields))
	c.index = make(map[string]int, len(r.index))
	for i, f := range r.fields {
		g := *f
		g.node = f.node.clone(place{record: &c, field: &g})
		c.fields[i] = &g
	}
	for key, i := range r.index {
		c.index[key] = i
	}
	return &c
}

func (n node) clone(at place) node {
	if n.record != nil {
		n.record = n.record.clone(at)
	}
	if n.elem != nil {
		at.arrays++
		elem := n.elem.clone(at)
		n.elem = &elem
	}
	return n
}
