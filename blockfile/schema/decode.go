package schema

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/firndb/firn/blockfile/jsonscan"
)

// Decoder turns Avro records of one schema back into JSON. It is reusable but not safe for
// concurrent use; once warm it allocates nothing but what dst needs to grow.
//
// It takes any bytes: it reads no further than they go, does not recurse deeper than
// MaxLevels, and refuses what the encoder does not write. Errors are *DecodeError.
type Decoder struct {
	schema *Schema
	scan   *jsonscan.Scanner
	own    [ownCount]Own // of this record: which members it carries as ours
	except []int32       // stack: exceptions of the records being decoded, innermost last
	max    int           // of a record's JSON
	limit  int           // of dst: how long the record's JSON may make it
	rest   bool          // the record has keys in _rest

	offset  int // of the fault
	reason  string
	tooLong bool
}

// maxTextDepth is the nesting that Json texts may have: what jsonscan allows at most.
const maxTextDepth = 1 << 30

// NewDecoder returns a decoder for the schema.
func (s *Schema) NewDecoder() *Decoder {
	return &Decoder{schema: s, max: MaxRecordBytes, scan: jsonscan.NewScanner(jsonscan.Options{MaxDepth: maxTextDepth})}
}

// Limit bounds the JSON text of each record from here on, instead of MaxRecordBytes, which is the
// most. A longer one is a DecodeError that says so.
func (d *Decoder) Limit(bytes int) { d.max = min(bytes, MaxRecordBytes) }

// Head returns the dataset and time (milliseconds) of the record at the start of b.
// dataset shares b's memory.
func (d *Decoder) Head(b []byte) (dataset []byte, time int64, err error) {
	dataset, i := d.text(b, 0)
	if i >= 0 {
		time, i = d.long(b, i)
	}
	if i < 0 {
		return nil, 0, d.fault()
	}
	return dataset, time, nil
}

// Skip returns how many bytes the record at the start of b has. It checks the structure
// of the record, not its texts and numbers.
func (d *Decoder) Skip(b []byte) (n int, err error) {
	_, i := d.text(b, 0)
	if i >= 0 {
		_, i = d.long(b, i)
	}
	switch {
	case i < 0:
	case d.schema.root == nil:
		_, i = d.text(b, i)
	default:
		i = d.skipRecord(d.schema.root, b, i)
	}
	if i < 0 {
		return 0, d.fault()
	}
	return i, nil
}

// AppendJSON appends the record at the start of b as it was written: one JSON object
// without white space, own members first, then the fields in the order of the schema. It
// returns the extended slice and how many bytes the record has. After an error dst comes
// back as it was.
func (d *Decoder) AppendJSON(dst, b []byte) (out []byte, n int, err error) {
	start := len(dst)
	d.limit, d.rest, d.except, d.tooLong = start+d.max, false, d.except[:0], false
	dataset, i := d.text(b, 0)
	var time int64
	if i >= 0 {
		time, i = d.long(b, i)
	}
	switch {
	case i < 0:
	case d.schema.root == nil:
		if dst, i = d.json(dst, b, i); i >= 0 && dst[start] != '{' {
			i = d.fail(0, "JSON text that is no object")
		}
	default:
		dst, i = d.record(dst, d.schema.root, b, i, dataset, time)
	}
	if i >= 0 && len(dst) > d.limit {
		i = d.failLong(i)
	}
	if i >= 0 && d.rest && d.scan.Value(dst[start:]) != nil {
		i = d.fail(0, "a key in "+restColumn+" that stands twice or is no text")
	}
	if i < 0 {
		return dst[:start], 0, d.fault()
	}
	return dst, i, nil
}

// fail notes a fault and returns -1, which all methods below return as position then.
func (d *Decoder) fail(offset int, reason string) int {
	d.offset, d.reason = offset, reason
	return -1
}

// failLong notes that the record's JSON passes the limit.
func (d *Decoder) failLong(offset int) int {
	d.tooLong = true
	return d.fail(offset, "a record longer than the limit")
}

func (d *Decoder) fault() error {
	return &DecodeError{Offset: d.offset, Reason: d.reason, TooLong: d.tooLong}
}

func (d *Decoder) cut(b []byte) int { return d.fail(len(b), "the record is cut off") }

// long reads an Avro int or long.
func (d *Decoder) long(b []byte, i int) (int64, int) {
	if i < len(b) && b[i] < 0x80 {
		u := b[i]
		return int64(u>>1) ^ -int64(u&1), i + 1
	}
	n, size := binary.Varint(b[i:])
	switch {
	case size > 0:
		return n, i + size
	case size == 0:
		return 0, d.cut(b)
	}
	return 0, d.fail(i, "a number longer than 64 bits")
}

// text reads an Avro string without checking that it is UTF-8. It shares b's memory.
func (d *Decoder) text(b []byte, i int) ([]byte, int) {
	n, at := d.long(b, i)
	switch {
	case at < 0:
		return nil, at
	case n < 0:
		return nil, d.fail(i, "a negative length")
	case n > int64(len(b)-at):
		return nil, d.cut(b)
	}
	end := at + int(n)
	return b[at:end:end], end
}

// string appends an Avro string as a JSON string.
func (d *Decoder) string(dst, b []byte, i int) ([]byte, int) {
	text, end := d.text(b, i)
	if end < 0 {
		return dst, end
	}
	if !utf8.Valid(text) {
		return dst, d.fail(i, "a string that is not UTF-8")
	}
	return jsonscan.AppendQuoted(dst, text), end
}

// json appends the text of a Json record.
func (d *Decoder) json(dst, b []byte, i int) ([]byte, int) {
	text, end := d.text(b, i)
	if end < 0 {
		return dst, end
	}
	if d.scan.Value(text) != nil {
		return dst, d.fail(i, "JSON text that is not valid")
	}
	return append(dst, text...), end
}

// branch reads which branch of a type comes.
func (d *Decoder) branch(t *typePlan, b []byte, i int) (branch, int) {
	if !t.union {
		return t.branches[0], i
	}
	if i >= len(b) {
		return 0, d.cut(b)
	}
	n := int(b[i])
	if n&1 != 0 || n/2 >= len(t.branches) {
		return 0, d.fail(i, "a branch that the union does not have")
	}
	return t.branches[n/2], i + 1
}

// record appends a record as an object. dataset and time are those of the root.
func (d *Decoder) record(dst []byte, p *recordPlan, b []byte, i int, dataset []byte, time int64) ([]byte, int) {
	start := len(dst)
	frame := len(d.except)
	if p.except >= 0 {
		if i = d.exceptions(p, b, i); i < 0 {
			return dst, i
		}
	}
	next := frame // the exception that comes next
	if p == d.schema.root {
		if dst, next = d.ownMembers(dst, next, dataset, time); next < 0 {
			return dst, next
		}
	}
	for f := p.first; f < len(p.fields); f++ {
		field := &p.fields[f]
		if field.role == roleRest {
			if dst, i = d.appendRest(dst, b, i); i < 0 {
				return dst, i
			}
			continue
		}
		kind, at := d.branch(field.plan, b, i)
		if at < 0 {
			return dst, at
		}
		if kind != branchNull {
			if field.role == roleOwn && d.own[field.own] == OwnSame {
				return dst, d.fail(i, "two values of the own member "+field.key)
			}
			dst = append(dst, field.member...)
			if dst, i = d.value(dst, field.plan, kind, b, at); i < 0 {
				return dst, i
			}
			continue
		}
		i = at
		isNull := field.nullValue
		if next < len(d.except) && d.except[next] == field.number && field.role == roleKey {
			isNull = !isNull
			next++
		}
		if isNull {
			dst = append(dst, field.member...)
			dst = append(dst, "null"...)
		}
	}
	if next < len(d.except) {
		return dst, d.fail(i, exceptColumn+" names a field that cannot be an exception")
	}
	d.except = d.except[:frame]
	if len(dst) == start {
		return append(dst, '{', '}'), i
	}
	dst[start] = '{' // over the first comma
	return append(dst, '}'), i
}

// ownMembers appends the own members that are as ours: all whose property says so, but for
// the exceptions. It returns the exception after those of own members.
func (d *Decoder) ownMembers(dst []byte, next int, dataset []byte, time int64) ([]byte, int) {
	own := &d.own
	*own = d.schema.own
	for _, o := range [ownCount]int{ownTable, ownDataset, ownTime} { // by number
		if next < len(d.except) && d.except[next] == ownNumbers[o] {
			own[o] = OwnSame - own[o]
			next++
		}
	}
	if own[ownTime] == OwnSame {
		dst = append(dst, `,"timestamp":`...)
		dst = strconv.AppendInt(dst, time, 10)
	}
	if own[ownDataset] == OwnSame {
		if !utf8.Valid(dataset) {
			return dst, d.fail(0, "a dataset that is not UTF-8")
		}
		dst = append(dst, `,"dataset_id":`...)
		dst = jsonscan.AppendQuoted(dst, dataset)
	}
	if own[ownTable] == OwnSame {
		dst = append(dst, d.schema.tableMember...)
	}
	return dst, next
}

// exceptions pushes the numbers in _firn. They must ascend, so there are no more than
// fields.
func (d *Decoder) exceptions(p *recordPlan, b []byte, i int) int {
	if i >= len(b) {
		return d.cut(b)
	}
	switch b[i] {
	case 0:
		return i + 1
	case 2:
	default:
		return d.fail(i, "a branch that the union does not have")
	}
	count, i := d.long(b, i+1)
	if i < 0 {
		return i
	}
	if count < 1 || count > int64(len(p.fields))+1 {
		return d.fail(i, "a number of exceptions that cannot be")
	}
	last := int64(-2)
	for ; count > 0; count-- {
		var n int64
		at := i
		if n, i = d.long(b, i); i < 0 {
			return i
		}
		if n <= last || n > int64(len(p.fields)) {
			return d.fail(at, "exceptions that do not ascend")
		}
		d.except = append(d.except, int32(n))
		last = n
	}
	if i >= len(b) {
		return d.cut(b)
	}
	if b[i] != 0 {
		return d.fail(i, "a second block of exceptions")
	}
	return i + 1
}

// appendRest appends the members in _rest.
func (d *Decoder) appendRest(dst, b []byte, i int) ([]byte, int) {
	if i >= len(b) {
		return dst, d.cut(b)
	}
	switch b[i] {
	case 0:
		return dst, i + 1
	case 2:
	default:
		return dst, d.fail(i, "a branch that the union does not have")
	}
	d.rest = true
	count, i := d.block(b, i+1, false)
	for i >= 0 && count > 0 {
		for ; count > 0; count-- {
			dst = append(dst, ',')
			if dst, i = d.string(dst, b, i); i < 0 {
				return dst, i
			}
			dst = append(dst, ':')
			if dst, i = d.json(dst, b, i); i < 0 {
				return dst, i
			}
		}
		count, i = d.block(b, i, false)
	}
	return dst, i
}

// block reads the count that begins a block of array elements or map entries; zero ends
// them. Elements take a byte at least, unless their type is empty.
func (d *Decoder) block(b []byte, i int, empty bool) (count int64, next int) {
	count, next = d.long(b, i)
	switch {
	case next < 0:
		return 0, next
	case count < 0:
		return 0, d.fail(i, "a block with a negative count")
	case !empty && count > int64(len(b)-next):
		return 0, d.cut(b)
	}
	return count, next
}

// value appends a value of which the branch is known.
func (d *Decoder) value(dst []byte, t *typePlan, kind branch, b []byte, i int) ([]byte, int) {
	switch kind {
	case branchString:
		return d.string(dst, b, i)
	case branchLong:
		n, at := d.long(b, i)
		if at < 0 {
			return dst, at
		}
		return strconv.AppendInt(dst, n, 10), at
	case branchDouble:
		if len(b)-i < 8 {
			return dst, d.cut(b)
		}
		f := math.Float64frombits(binary.LittleEndian.Uint64(b[i:]))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return dst, d.fail(i, "a double that is no number")
		}
		return appendNumber(dst, f), i + 8
	case branchRecord:
		return d.record(dst, t.record, b, i, nil, 0)
	case branchArray:
		return d.array(dst, t.elem, b, i)
	case branchBool:
		if i >= len(b) {
			return dst, d.cut(b)
		}
		switch b[i] {
		case 0:
			return append(dst, "false"...), i + 1
		case 1:
			return append(dst, "true"...), i + 1
		}
		return dst, d.fail(i, "a boolean that is neither")
	case branchJSON:
		return d.json(dst, b, i)
	}
	return append(dst, "null"...), i
}

// appendNumber appends a double so that it is read as one again: past 2^53 an integer literal
// would be taken for a long, which the schema need not have there.
func appendNumber(dst []byte, f float64) []byte {
	dst = jsonscan.AppendDouble(dst, f)
	if abs := math.Abs(f); abs > 1<<53 && abs <= 1<<63 {
		return append(dst, ".0"...)
	}
	return dst
}

func (d *Decoder) array(dst []byte, elem *typePlan, b []byte, i int) ([]byte, int) {
	start := len(dst)
	count, i := d.block(b, i, elem.empty)
	for i >= 0 && count > 0 {
		if elem.empty && count > int64((d.limit-len(dst))/elem.weight) {
			return dst, d.failLong(i)
		}
		for ; count > 0; count-- {
			kind, at := d.branch(elem, b, i)
			if at < 0 {
				return dst, at
			}
			dst = append(dst, ',')
			if dst, i = d.value(dst, elem, kind, b, at); i < 0 {
				return dst, i
			}
			if len(dst) > d.limit {
				return dst, d.failLong(i)
			}
		}
		count, i = d.block(b, i, elem.empty)
	}
	if i < 0 {
		return dst, i
	}
	if len(dst) == start {
		return append(dst, '[', ']'), i
	}
	dst[start] = '[' // over the first comma
	return append(dst, ']'), i
}
