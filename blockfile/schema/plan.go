package schema

// branch is what stands at one place of an encoded record: a type, or a branch of a union.
// The order is that of unions.
type branch uint8

const (
	branchNull branch = iota
	branchBool
	branchLong
	branchDouble
	branchString
	branchArray
	branchRecord
	branchJSON
	branchCount
)

// typePlan is the type at one place, ready to encode and decode.
type typePlan struct {
	union    bool
	deep     bool // arrays and objects here are JSON text: they stand too deep
	empty    bool // values take no bytes
	weight   int  // with empty: bytes of JSON that one element of an array takes
	branches []branch
	// index is the byte that names a branch in an encoded union (twice its position), or -1
	// where the type has no such branch.
	index  [branchCount]int8
	elem   *typePlan
	record *recordPlan
}

func (t *typePlan) has(b branch) bool { return t.index[b] >= 0 }

// fieldPlan is one field of a record type. Columns of the dataset and the time are fields
// of the root as in Avro, but handled apart.
type fieldPlan struct {
	key       string
	member    []byte // `,"key":`
	number    int32  // under which _firn lists it
	role      role
	own       int // with roleOwn: which own member
	nullable  bool
	nullValue bool // Avro null is an explicit null, not an absent key
	canEscape bool // values may go to _rest
	plan      *typePlan
}

// recordPlan is a record type.
//
// Fields are in the order of Avro. The hidden member _firn stands first (in the root after
// the two columns) so that a decoder knows the exceptions before it needs them. Numbers of
// fields count all fields but _firn, so they stay the same when a type gets it.
type recordPlan struct {
	id     int
	fields []fieldPlan
	first  int // place of the first field after the columns and _firn
	except int // place of _firn, -1 without
	rest   int // place of _rest, -1 without
	slack  int // of values that can go there
	empty  bool
	weight int
	// valueNulls: some absent key has to be listed in _firn.
	valueNulls bool

	// members[i] is `"key":` of field i, or noMember; past the fields those of the own members.
	members []string
	// index finds the place in members of a key.
	index map[string]int
}

// noMember stands for fields that no key finds. No JSON text begins so.
const noMember = "\x00"
