package schema

import (
	"encoding/binary"
	"slices"

	"github.com/firndb/firn/blockfile/jsonscan"
)

// Encoder turns JSON records into Avro records of one schema. It is reusable but not safe
// for concurrent use; once warm it allocates nothing but what dst needs to grow.
type Encoder struct {
	schema *Schema

	// follow[id][m] is the member that came after member m the last time in the record
	// type id; after the last entry the one that came first. Records of one writer repeat
	// their order of keys, so this finds nearly every key with one comparison.
	follow [][]uint16

	// Stacks of the objects being encoded, innermost last.
	spans  []span  // where each field's value lies in dst
	except []int32 // exceptions
	rest   []byte  // entries of _rest

	escapes int  // fields being encoded that can go to _rest
	tooLong bool // why the last value failed: it is so long that the innermost of them should

	moved []byte // scratch: fields on their way into order
	key   []byte // scratch: an unescaped key

	dataset string
	time    int64
}

// span is where the value of a field lies in dst; start is -1 while there is none.
type span struct{ start, end int }

// noField is where the value of an own member goes that is the same as ours.
const noField = -2

// NewEncoder returns an encoder for the schema.
func (s *Schema) NewEncoder() *Encoder {
	return &Encoder{schema: s, follow: make([][]uint16, s.records)}
}

// Append appends rec as one Avro record with its dataset and time (milliseconds) and
// returns the extended slice. rec must be a JSON object that jsonscan accepts, dataset
// UTF-8 text. The error is ErrNotCovered, and dst comes back as it was, when the record
// needs a wider Tree than the schema was made from. It never is when the tree had seen
// the record, or another of the same OwnShape.
func (e *Encoder) Append(dst []byte, dataset string, time int64, rec []byte) ([]byte, error) {
	start := len(dst)
	i := jsonscan.SkipSpace(rec, 0)
	if i >= len(rec) || rec[i] != '{' {
		return dst, ErrNotCovered
	}
	dst = binary.AppendVarint(dst, int64(len(dataset)))
	dst = append(dst, dataset...)
	dst = binary.AppendVarint(dst, time)
	if e.schema.root == nil {
		return appendJSONText(dst, rec[i:jsonscan.SkipValue(rec, i)]), nil
	}
	e.dataset, e.time = dataset, time
	e.spans, e.except, e.rest = e.spans[:0], e.except[:0], e.rest[:0]
	e.escapes, e.tooLong = 0, false
	out, _, ok := e.object(dst, e.schema.root, rec, i)
	if !ok {
		return dst[:start], ErrNotCovered
	}
	return out, nil
}

// object encodes the object at i. Values are appended in the order of the JSON text. While
// that is also the order of the fields nothing else is to do; at the first value that
// comes too early or too late they count as scattered, and are put in order at the end.
func (e *Encoder) object(dst []byte, p *recordPlan, b []byte, i int) ([]byte, int, bool) {
	var (
		base      = len(dst)
		spans     = len(e.spans)
		excepts   = len(e.except)
		rests     = len(e.rest)
		rest      = 0       // entries of _rest
		next      = p.first // the field expected next
		scattered = false
		own       [ownCount]Own
		follow    = e.followers(p)
		last      = len(p.members)
		ok        bool
	)
	e.spans = slices.Grow(e.spans, len(p.fields))[:spans+len(p.fields)]
	if p.except >= 0 {
		dst = append(dst, 0)
		e.spans[spans+p.except].start = -1
	}
	for i = skipSpace(b, i+1); i < len(b) && b[i] == '"'; {
		// Which member is it?
		m := int(follow[last])
		keyAt := i
		if m < len(p.members) && hasPrefix(b, i, p.members[m]) {
			i += len(p.members[m])
		} else {
			if m, i = e.lookUp(p, b, i); m >= 0 {
				follow[last] = uint16(m)
			}
		}
		if i = skipSpace(b, i); i >= len(b) {
			return dst, i, false
		}
		if m < 0 {
			if p.rest < 0 {
				return dst, i, false
			}
			rest++
			i = e.addRest(b, keyAt, i)
		} else {
			last = m
			f, asText := m, false
			if o := m - len(p.fields); o >= 0 {
				end := jsonscan.SkipValue(b, i)
				own[o] = e.compareOwn(o, b[i:end])
				if f, asText = e.schema.other[o], own[o] == OwnOther; !own[o].other() {
					f, i = noField, end
				} else if f < 0 {
					return dst, i, false
				}
			}
			if f != noField {
				if !scattered && f != next {
					dst, ok = e.skipTo(dst, p, spans, next, f)
					scattered = !ok
				}
				start, field := len(dst), &p.fields[f]
				if field.canEscape {
					entries := len(e.rest)
					if dst, i, ok = e.escapable(dst, field, p.slack, b, keyAt, i); len(e.rest) > entries {
						rest++
						start = -1 // absent: it will be put there with _rest
					}
				} else {
					dst, i, ok = e.field(dst, field, asText, b, i)
				}
				if !ok {
					return dst, i, false
				}
				e.spans[spans+f] = span{start, len(dst)}
				next = f + 1
			}
		}
		if i = skipSpace(b, i); i >= len(b) || b[i] != ',' {
			break
		}
		i = skipSpace(b, i+1)
	}
	i++

	if !scattered {
		if dst, ok = e.skipTo(dst, p, spans, next, len(p.fields)); !ok {
			return dst, i, false
		}
	}
	e.findExceptions(p, spans, &own)
	if len(e.except) > excepts {
		if p.except < 0 {
			return dst, i, false
		}
		scattered = true
		start := len(dst)
		dst = appendExceptions(dst, e.except[excepts:])
		e.spans[spans+p.except] = span{start, len(dst)}
	}
	if rest > 0 {
		scattered = true
		start := len(dst)
		dst = append(dst, 2)
		dst = binary.AppendVarint(dst, int64(rest))
		dst = append(dst, e.rest[rests:]...)
		dst = append(dst, 0)
		e.spans[spans+p.rest] = span{start, len(dst)}
	}
	if scattered {
		dst, ok = e.gather(dst, p, base, spans)
	}
	e.spans, e.except, e.rest = e.spans[:spans], e.except[:excepts], e.rest[:rests]
	return dst, i, ok || !scattered
}

// field encodes the value at i for a field, as text if it belongs to an own member and is
// OwnOther.
func (e *Encoder) field(dst []byte, f *fieldPlan, asText bool, b []byte, i int) ([]byte, int, bool) {
	switch c := b[i]; {
	case asText:
		return jsonBranch(dst, f.plan, b, i)
	case c != 'n':
		return e.value(dst, f.plan, b, i)
	case !f.nullable:
		return dst, i, false
	}
	if !f.nullValue {
		e.except = append(e.except, f.number)
	}
	return f.plan.appendBranch(dst, branchNull), i + len("null"), true
}

// escapable encodes the value at i for a field that can go to _rest, with the key at keyAt.
// If it goes there, nothing is appended and e.rest has grown by one entry.
func (e *Encoder) escapable(dst []byte, f *fieldPlan, slack int, b []byte, keyAt, i int) ([]byte, int, bool) {
	start, spans, excepts, rests := len(dst), len(e.spans), len(e.except), len(e.rest)
	e.escapes++
	out, next, ok := e.field(dst, f, false, b, i)
	e.escapes--
	if ok && len(out)-start <= escapeFactor*(next-i)+slack || !ok && !e.tooLong {
		return out, next, ok
	}
	e.tooLong = false
	e.spans, e.except, e.rest = e.spans[:spans], e.except[:excepts], e.rest[:rests]
	return out[:start], e.addRest(b, keyAt, i), true
}

// followers returns the follow table of a record type, which at first says that members
// come in the order of the schema.
func (e *Encoder) followers(p *recordPlan) []uint16 {
	if f := e.follow[p.id]; f != nil {
		return f
	}
	n := len(p.members)
	f := make([]uint16, n+1)
	for m := range n {
		f[m] = uint16(m + 1)
	}
	f[n] = uint16(p.first)
	e.follow[p.id] = f
	return f
}

// lookUp finds the member whose key is the string at i, -1 without, and the position after
// the colon.
func (e *Encoder) lookUp(p *recordPlan, b []byte, i int) (m, next int) {
	end := jsonscan.SkipString(b, i)
	key := b[min(i+1, end):max(i+1, end-1)]
	if jsonscan.HasEscape(key) {
		e.key = jsonscan.AppendUnquoted(e.key[:0], b[i:end])
		key = e.key
	}
	m, ok := p.index[string(key)]
	if !ok {
		m = -1
	}
	return m, min(skipSpace(b, end)+1, len(b))
}

// skipTo appends the encoding of the fields from next to before to, which the record lacks.
// It reports false, having done nothing, when that is not possible here: fields were
// overtaken, or one of them cannot be absent and must still come. Their spans are then
// empty.
func (e *Encoder) skipTo(dst []byte, p *recordPlan, spans, next, to int) ([]byte, bool) {
	start := len(dst)
	if to >= next {
		f := next
		for ; f < to; f++ {
			e.spans[spans+f].start = -1
			var ok bool
			if dst, ok = appendAbsent(dst, &p.fields[f]); !ok {
				break
			}
		}
		if f == to {
			return dst, true
		}
	}
	for f := next; f < len(p.fields); f++ {
		e.spans[spans+f].start = -1
	}
	return dst[:start], false
}

// appendAbsent appends the encoding of a field that the record lacks.
func appendAbsent(dst []byte, f *fieldPlan) ([]byte, bool) {
	switch {
	case !f.nullable:
		return dst, false
	case f.plan == nil || f.plan.union:
		return append(dst, 0), true
	}
	return dst, true
}

// findExceptions adds the exceptions that no value of the object shows: own members that
// are not as their property says, and absent keys where null would mean null.
func (e *Encoder) findExceptions(p *recordPlan, spans int, own *[ownCount]Own) {
	if p == e.schema.root {
		for o, property := range e.schema.own {
			if (own[o] == OwnSame) != (property == OwnSame) {
				e.except = append(e.except, ownNumbers[o])
			}
		}
	}
	if p.valueNulls {
		for f := p.first; f < len(p.fields); f++ {
			if p.fields[f].nullValue && e.spans[spans+f].start < 0 {
				e.except = append(e.except, p.fields[f].number)
			}
		}
	}
}

// appendExceptions appends the value of _firn: field numbers in ascending order.
func appendExceptions(dst []byte, numbers []int32) []byte {
	slices.Sort(numbers)
	dst = append(dst, 2)
	dst = binary.AppendVarint(dst, int64(len(numbers)))
	for _, n := range numbers {
		dst = binary.AppendVarint(dst, int64(n))
	}
	return append(dst, 0)
}

// gather puts the values of an object, which begin at base, in the order of its fields.
func (e *Encoder) gather(dst []byte, p *recordPlan, base, spans int) ([]byte, bool) {
	e.moved = append(e.moved[:0], dst[base:]...)
	dst = dst[:base]
	first := p.first
	if p.except >= 0 {
		first = p.except
	}
	for f := first; f < len(p.fields); {
		s := e.spans[spans+f]
		if s.start < 0 {
			var ok bool
			if f == p.except {
				dst = append(dst, 0)
			} else if dst, ok = appendAbsent(dst, &p.fields[f]); !ok {
				return dst, false
			}
			f++
			continue
		}
		// Values that lie side by side are copied together.
		for f++; f < len(p.fields) && e.spans[spans+f].start == s.end; f++ {
			s.end = e.spans[spans+f].end
		}
		dst = append(dst, e.moved[s.start-base:s.end-base]...)
	}
	return dst, true
}

// addRest adds an entry of _rest: the key at keyAt and the value at i. It returns the
// position after the value.
func (e *Encoder) addRest(b []byte, keyAt, i int) int {
	e.rest, _ = appendString(e.rest, b, keyAt)
	end := jsonscan.SkipValue(b, i)
	e.rest = appendJSONText(e.rest, b[i:end])
	return end
}

func (e *Encoder) compareOwn(o int, raw []byte) Own {
	switch o {
	case ownTime:
		return compareTime(raw, e.time)
	case ownDataset:
		return compareText(raw, e.dataset)
	default:
		return compareText(raw, e.schema.table)
	}
}
