package schema

import (
	"strconv"

	"github.com/firndb/firn/blockfile/jsonscan"
)

// Properties that firn adds to Avro schemas. Other readers ignore them.
const (
	propFormat  = "firn.format"  // of the table's record: version of these properties
	propTable   = "firn.table"   // of the table's record: the true name of the table
	propVersion = "firn.version" // of the table's record: the table version
	propLayout  = "firn.layout"  // of the table's record: absent, or "json" in the fallback schema
	propKey     = "firn.key"     // of a field: the JSON key, where it is not the field's name
	propNull    = "firn.null"    // of a field: what Avro null means, "value" or absent
	propOwn     = "firn.own"     // of the columns and the table's record: "same"; of a field: "other"

	textFormat   = 1
	ownSameText  = "same"
	ownOtherText = "other"
	nullText     = "value"
	layoutText   = "json"
)

const (
	datasetText = `{"name":"` + datasetColumn + `","type":"string"`
	timeText    = `{"name":"` + timeColumn + `","type":{"type":"long","logicalType":"timestamp-millis"}`
	exceptText  = `{"name":"` + exceptColumn + `","type":["null",{"type":"array","items":"int"}],"default":null}`
	jsonText    = `{"type":"record","name":"` + jsonName + `","fields":[{"name":"json","type":"string"}]}`
)

// appendText appends the Avro schema of the tree's version.
//
//	{"type":"record","name":…,"namespace":"firn","firn.format":1,"firn.table":…,"firn.version":…[,"firn.own":"same"],"fields":[
//	  {"name":"dataset_id","type":"string"[,"firn.own":"same"]},
//	  {"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}[,"firn.own":"same"]},
//	  [_firn,] fields of the root, _rest among them]}
func (t *Tree) appendText(dst []byte) []byte {
	name := safeName(t.table)
	if t.root != nil {
		name = t.root.name
	}
	dst = append(dst, `{"type":"record","name":"`...)
	dst = append(dst, name...)
	dst = append(dst, `","namespace":"`+namespace+`","`+propFormat+`":`...)
	dst = strconv.AppendInt(dst, textFormat, 10)
	dst = append(dst, `,"`+propTable+`":`...)
	dst = jsonscan.AppendQuoted(dst, []byte(t.table))
	dst = append(dst, `,"`+propVersion+`":`...)
	dst = strconv.AppendUint(dst, t.version, 10)
	if t.fallback {
		dst = append(dst, `,"`+propLayout+`":"`+layoutText+`","fields":[`+datasetText+`},`+timeText+`},{"name":"`+fallbackField+`","type":`+jsonText+`}]}`...)
		return dst
	}
	dst = t.appendOwn(dst, ownTable)
	dst = append(dst, `,"fields":[`+datasetText...)
	dst = t.appendOwn(dst, ownDataset)
	dst = append(dst, `},`+timeText...)
	dst = t.appendOwn(dst, ownTime)
	dst = append(dst, '}', ',')
	w := textWriter{}
	dst = w.fields(dst, t.root)
	return append(dst, ']', '}')
}

func (t *Tree) appendOwn(dst []byte, o int) []byte {
	if t.own[o].property == OwnSame {
		dst = append(dst, `,"`+propOwn+`":"`+ownSameText+`"`...)
	}
	return dst
}

// textWriter knows whether the record Json was already written: Avro wants a named type
// defined once, where it first stands.
type textWriter struct{ defined bool }

// fields appends the fields of a record type and removes a comma that would stand last.
func (w *textWriter) fields(dst []byte, r *recordType) []byte {
	if r.except {
		dst = append(dst, exceptText...)
		dst = append(dst, ',')
	}
	for _, f := range r.fields {
		dst = w.field(dst, f)
		dst = append(dst, ',')
	}
	if dst[len(dst)-1] == ',' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// field appends one field. A field that can be null has the default null, so that readers
// with this schema can read records written before the field was there.
func (w *textWriter) field(dst []byte, f *field) []byte {
	dst = append(dst, `{"name":"`...)
	dst = append(dst, f.name...)
	dst = append(dst, `","type":`...)
	if f.role == roleRest {
		dst = append(dst, `["null",{"type":"map","values":`...)
		dst = w.json(dst)
		return append(dst, `}],"default":null}`...)
	}
	null := f.role == roleOwn || f.optional || f.node.kinds.has(kindNull)
	dst = w.node(dst, &f.node, null)
	if null {
		dst = append(dst, `,"default":null`...)
	}
	if f.key != f.name {
		dst = append(dst, `,"`+propKey+`":`...)
		dst = jsonscan.AppendQuoted(dst, []byte(f.key))
	}
	if null && f.nulls == nullValue {
		dst = append(dst, `,"`+propNull+`":"`+nullText+`"`...)
	}
	if f.role == roleOwn {
		dst = append(dst, `,"`+propOwn+`":"`+ownOtherText+`"`...)
	}
	return append(dst, '}')
}

// node appends the type of a place. Branches of a union stand in a fixed order.
func (w *textWriter) node(dst []byte, n *node, null bool) []byte {
	branches := 0
	start := len(dst)
	dst = append(dst, '[')
	branch := func(text string) {
		if branches > 0 {
			dst = append(dst, ',')
		}
		branches++
		dst = append(dst, text...)
	}
	if null || n.kinds.has(kindNull) {
		branch(`"null"`)
	}
	if n.kinds.has(kindBool) {
		branch(`"boolean"`)
	}
	if n.kinds.long() {
		branch(`"long"`)
	}
	if n.kinds.double() {
		branch(`"double"`)
	}
	if n.kinds.has(kindString) {
		branch(`"string"`)
	}
	if n.kinds.has(kindArray) {
		branch(`{"type":"array","items":`)
		dst = w.node(dst, n.elem, false)
		dst = append(dst, '}')
	}
	if n.kinds.has(kindRecord) {
		branch(`{"type":"record","name":"`)
		dst = append(dst, n.record.name...)
		dst = append(dst, `","fields":[`...)
		dst = w.fields(dst, n.record)
		dst = append(dst, ']', '}')
	}
	if n.kinds.has(kindJSON) {
		branch("")
		dst = w.json(dst)
	}
	if branches == 1 {
		copy(dst[start:], dst[start+1:])
		return dst[:len(dst)-1]
	}
	return append(dst, ']')
}

func (w *textWriter) json(dst []byte) []byte {
	if w.defined {
		return append(dst, `"`+jsonName+`"`...)
	}
	w.defined = true
	return append(dst, jsonText...)
}
