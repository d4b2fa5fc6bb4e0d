package schema

import (
	"strings"

	"github.com/hamba/avro/v2"

	"github.com/firndb/firn/blockfile/jsonscan"
)

// compiler makes plans of a parsed schema. It accepts what textWriter writes and nothing
// else.
type compiler struct {
	schema *Schema
	keys   int
}

func (c *compiler) root(r *avro.RecordSchema) error {
	format, ok := whole(r.Prop(propFormat))
	if !ok || format != textFormat {
		return errNotOurs("no known " + propFormat)
	}
	s := c.schema
	if s.table, ok = r.Prop(propTable).(string); !ok {
		return errNotOurs("no " + propTable)
	}
	if s.version, ok = whole(r.Prop(propVersion)); !ok {
		return errNotOurs("no " + propVersion)
	}
	for o := range s.other {
		s.other[o] = -1
	}
	fields := r.Fields()
	if len(fields) < 2 || !isColumn(fields[0], datasetColumn, avro.String, "") ||
		!isColumn(fields[1], timeColumn, avro.Long, avro.TimestampMillis) {
		return errNotOurs("the first columns are not dataset_id and timestamp")
	}
	switch r.Prop(propLayout) {
	case nil:
	case layoutText:
		if len(fields) != 3 || fields[2].Name() != fallbackField || !isJSON(fields[2].Type()) {
			return errNotOurs("the fallback schema has a third column and it is json")
		}
		return nil
	default:
		return errNotOurs("unknown " + propLayout)
	}
	for o, prop := range [ownCount]any{ownTime: fields[1].Prop(propOwn), ownDataset: fields[0].Prop(propOwn), ownTable: r.Prop(propOwn)} {
		switch prop {
		case nil:
		case ownSameText:
			s.own[o] = OwnSame
		default:
			return errNotOurs("unknown " + propOwn)
		}
	}
	plan, err := c.record(r, 1, false)
	if err != nil {
		return err
	}
	s.root = plan
	s.tableMember = append([]byte(`,"table":`), quotedKey(s.table)...)
	// A key of the root that is an own member is found past the fields.
	for _, key := range ownKeys {
		plan.index[key] = len(plan.members)
		plan.members = append(plan.members, quotedKey(key)+":")
	}
	return nil
}

func isColumn(f *avro.Field, name string, typ avro.Type, logical avro.LogicalType) bool {
	p, ok := f.Type().(*avro.PrimitiveSchema)
	if !ok || f.Name() != name || f.HasDefault() || p.Type() != typ {
		return false
	}
	if p.Logical() == nil {
		return logical == ""
	}
	return p.Logical().Type() == logical
}

// isJSON reports whether a type is the record Json.
func isJSON(s avro.Schema) bool {
	if ref, ok := s.(*avro.RefSchema); ok {
		s = ref.Schema()
	}
	r, ok := s.(*avro.RecordSchema)
	if !ok || r.FullName() != namespace+"."+jsonName || len(r.Fields()) != 1 {
		return false
	}
	f := r.Fields()[0]
	return f.Name() == "json" && isPlain(f.Type(), avro.String)
}

// isPlain reports whether a type is a primitive without logical type.
func isPlain(s avro.Schema, typ avro.Type) bool {
	if typ == avro.Null {
		_, ok := s.(*avro.NullSchema)
		return ok
	}
	p, ok := s.(*avro.PrimitiveSchema)
	return ok && p.Type() == typ && p.Logical() == nil
}

func quotedKey(key string) string { return string(jsonscan.AppendQuoted(nil, []byte(key))) }

// record compiles a record type that stands inside so many levels, itself counted.
func (c *compiler) record(r *avro.RecordSchema, level int, inArray bool) (*recordPlan, error) {
	if level > MaxLevels {
		return nil, errNotOurs("types are nested too deeply")
	}
	if r.IsError() || !isName(r.Name()) {
		return nil, errNotOurs("a record type is named " + r.Name())
	}
	p := &recordPlan{id: c.schema.records, except: -1, rest: -1, empty: true, weight: len("{},"), index: make(map[string]int)}
	c.schema.records++
	names := newNameSet()
	for i, f := range r.Fields() {
		if !isName(f.Name()) || !names.take(f.Name()) {
			return nil, errNotOurs("a field is named " + f.Name())
		}
		if level == 1 && i < 2 {
			p.fields = append(p.fields, fieldPlan{number: int32(i)})
			p.members = append(p.members, noMember)
			p.first, p.empty = i+1, false
			continue
		}
		if f.Name() == exceptColumn {
			if i != p.first || !isExceptions(f.Type()) {
				return nil, errNotOurs(exceptColumn + " stands at the wrong place or has the wrong type")
			}
			p.except, p.first, p.empty = i, i+1, false
			p.fields = append(p.fields, fieldPlan{number: -2})
			p.members = append(p.members, noMember)
			continue
		}
		field, err := c.field(f, level, inArray)
		if err != nil {
			return nil, err
		}
		field.number = int32(i)
		if p.except >= 0 {
			field.number--
		}
		if err := c.addField(p, field); err != nil {
			return nil, err
		}
	}
	p.slack = escapeSlack
	if inArray {
		p.slack = escapeSlackInArray
	}
	for i := range p.fields {
		f := &p.fields[i]
		f.canEscape = p.rest >= 0 && f.role == roleKey && f.nullable && (!f.nullValue || p.except >= 0) &&
			(f.plan.has(branchArray) || f.plan.has(branchRecord))
	}
	return p, nil
}

func (c *compiler) addField(p *recordPlan, f fieldPlan) error {
	at := len(p.fields)
	member := noMember
	switch f.role {
	case roleRest:
		if p.rest >= 0 {
			return errNotOurs("two members " + restColumn)
		}
		p.rest = at
	case roleOwn:
		o := ownIndex([]byte(f.key))
		if p.id != 0 || o < 0 || c.schema.other[o] >= 0 {
			return errNotOurs("a column of differing values for " + f.key)
		}
		c.schema.other[o] = at
		f.own = o
	default:
		if p.id == 0 && ownIndex([]byte(f.key)) >= 0 {
			return errNotOurs("a plain field for the own member " + f.key)
		}
		if _, twice := p.index[f.key]; twice {
			return errNotOurs("two fields for the key " + f.key)
		}
		if c.keys++; c.keys > MaxTableKeys || len(p.index) >= MaxKeys || len(f.key) > MaxKeyBytes {
			return errNotOurs("too many fields or too long a key")
		}
		member = quotedKey(f.key) + ":"
		p.index[f.key] = at
		p.valueNulls = p.valueNulls || f.nullValue
	}
	if f.plan == nil || !f.plan.empty {
		p.empty = false
	} else {
		p.weight += len(f.member) + f.plan.weight
	}
	p.fields = append(p.fields, f)
	p.members = append(p.members, member)
	return nil
}

// field compiles a field other than the columns and _firn.
func (c *compiler) field(f *avro.Field, level int, inArray bool) (fieldPlan, error) {
	p := fieldPlan{key: f.Name(), nullable: f.HasDefault()}
	if f.HasDefault() && f.Default() != nil {
		return p, errNotOurs("the field " + f.Name() + " has a default other than null")
	}
	if f.Name() == restColumn {
		p.role, p.nullable = roleRest, true
		if !isRest(f.Type()) {
			return p, errNotOurs(restColumn + " has the wrong type")
		}
		return p, nil
	}
	if key := f.Prop(propKey); key != nil {
		text, ok := key.(string)
		if !ok {
			return p, errNotOurs(propKey + " is no string")
		}
		p.key = text
	}
	switch f.Prop(propNull) {
	case nil:
	case nullText:
		p.nullValue = true
	default:
		return p, errNotOurs("unknown " + propNull)
	}
	switch f.Prop(propOwn) {
	case nil:
	case ownOtherText:
		p.role = roleOwn
	default:
		return p, errNotOurs("unknown " + propOwn)
	}
	plan, err := c.typ(f.Type(), level, inArray)
	if err != nil {
		return p, err
	}
	if plan.has(branchNull) != p.nullable || p.nullValue && !p.nullable {
		return p, errNotOurs("the field " + f.Name() + " has no default though it can be null, or has one")
	}
	if p.role == roleOwn {
		if !plan.union || p.nullValue || plan.has(branchBool) || plan.has(branchDouble) || plan.has(branchArray) || plan.has(branchRecord) {
			return p, errNotOurs("the column " + f.Name() + " has the wrong type")
		}
	}
	p.plan = plan
	p.member = append([]byte{','}, quotedKey(p.key)...)
	p.member = append(p.member, ':')
	return p, nil
}

// typ compiles the type of a place inside so many levels.
func (c *compiler) typ(s avro.Schema, level int, inArray bool) (*typePlan, error) {
	p := &typePlan{deep: level >= MaxLevels}
	for b := range p.index {
		p.index[b] = -1
	}
	if u, ok := s.(*avro.UnionSchema); ok {
		p.union = true
		if len(u.Types()) < 2 {
			return nil, errNotOurs("a union of fewer than two types")
		}
		for _, s := range u.Types() {
			if err := c.branch(p, s, level, inArray); err != nil {
				return nil, err
			}
		}
		return p, nil
	}
	if err := c.branch(p, s, level, inArray); err != nil {
		return nil, err
	}
	switch b := p.branches[0]; b {
	case branchNull:
		p.empty, p.weight = true, len("null,")
	case branchRecord:
		p.empty, p.weight = p.record.empty, p.record.weight
	}
	return p, nil
}

func (c *compiler) branch(p *typePlan, s avro.Schema, level int, inArray bool) (err error) {
	var b branch
	switch {
	case isPlain(s, avro.Null):
		b = branchNull
	case isPlain(s, avro.Boolean):
		b = branchBool
	case isPlain(s, avro.Long):
		b = branchLong
	case isPlain(s, avro.Double):
		b = branchDouble
	case isPlain(s, avro.String):
		b = branchString
	case isJSON(s):
		b = branchJSON
	default:
		switch s := s.(type) {
		case *avro.ArraySchema:
			if level+1 > MaxLevels {
				return errNotOurs("types are nested too deeply")
			}
			b = branchArray
			p.elem, err = c.typ(s.Items(), level+1, true)
		case *avro.RecordSchema:
			b = branchRecord
			p.record, err = c.record(s, level+1, inArray)
		default:
			return errNotOurs("a type that firn does not use: " + strings.TrimSpace(string(s.Type())))
		}
		if err != nil {
			return err
		}
	}
	if n := len(p.branches); n > 0 && b <= p.branches[n-1] {
		return errNotOurs("the types of a union are not in order")
	}
	p.index[b] = int8(2 * len(p.branches))
	p.branches = append(p.branches, b)
	return nil
}

// isExceptions reports whether a type is that of _firn.
func isExceptions(s avro.Schema) bool {
	u, ok := s.(*avro.UnionSchema)
	if !ok || len(u.Types()) != 2 || !isPlain(u.Types()[0], avro.Null) {
		return false
	}
	a, ok := u.Types()[1].(*avro.ArraySchema)
	return ok && isPlain(a.Items(), avro.Int)
}

// isRest reports whether a type is that of _rest.
func isRest(s avro.Schema) bool {
	u, ok := s.(*avro.UnionSchema)
	if !ok || len(u.Types()) != 2 || !isPlain(u.Types()[0], avro.Null) {
		return false
	}
	m, ok := u.Types()[1].(*avro.MapSchema)
	return ok && isJSON(m.Values())
}
