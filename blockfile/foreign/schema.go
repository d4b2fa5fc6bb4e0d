package foreign

import (
	"encoding/json"
	"strconv"
	"strings"
)

const (
	// MaxSchemaBytes bounds the text of a schema.
	MaxSchemaBytes = 1 << 20
	// MaxSchemaDepth bounds the nesting of the schema's text. A record within a record takes three levels.
	MaxSchemaDepth = 4096
	// MaxSchemaNodes bounds the objects and arrays in the schema's text, and with them the memory that parsing
	// takes: an object of seven bytes costs a few hundred.
	MaxSchemaNodes = 100_000
	// MaxFixedBytes bounds the size of a fixed type.
	MaxFixedBytes = 64 << 20
)

// kind says how the bytes of a value are read and what JSON they give.
type kind uint8

const (
	kindNull kind = iota
	kindBoolean
	kindInt
	kindLong
	kindFloat
	kindDouble
	kindString
	kindBytes
	kindFixed
	kindEnum
	kindArray
	kindMap
	kindRecord
	kindUnion
	// plain types with a logical type that changes their JSON
	kindDate
	kindTimeMillis
	kindTimeMicros
	kindTimestampMicros
	kindTimestampNanos
	kindLocalMillis
	kindLocalMicros
	kindLocalNanos
	kindBytesDecimal
	kindFixedDecimal
	kindFixedUUID
	kindDuration
)

// primitives maps the names of the types that have none of their own.
var primitives = map[string]kind{
	"null": kindNull, "boolean": kindBoolean, "int": kindInt, "long": kindLong,
	"float": kindFloat, "double": kindDouble, "string": kindString, "bytes": kindBytes,
}

// node is a type of the schema, ready for decoding. Named types are shared, so that nodes form a graph.
type node struct {
	kind     kind
	name     string   // full name, of named types
	fields   []field  // of a record
	branches []*node  // of a union
	items    *node    // of an array or map
	symbols  []string // of an enum, as JSON strings
	size     int      // of a fixed
	scale    int      // of a decimal
	least    int      // bytes that a value takes at least
}

// field is a field of a record.
type field struct {
	name string
	key  string // `"name":`
	typ  *node
}

// schemaParser turns the text of a schema into nodes. It checks what decoding relies on and no more: defaults,
// aliases, documentation and letters of names are not its business.
type schemaParser struct {
	named map[string]*node
}

// parseSchema parses the schema of a file, whose top type must be a record.
func parseSchema(text []byte) (*node, error) {
	if err := checkSchemaText(text); err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, schemaError("%v", err)
	}
	p := schemaParser{named: map[string]*node{}}
	n, err := p.parse(v, "")
	if err != nil {
		return nil, err
	}
	if n.kind != kindRecord {
		return nil, ErrNotRecord
	}
	return n, nil
}

// checkSchemaText bounds what parsing the text costs, before it is parsed.
func checkSchemaText(text []byte) error {
	if len(text) > MaxSchemaBytes {
		return schemaError("%d bytes, at most %d are allowed", len(text), MaxSchemaBytes)
	}
	depth, nodes, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			nodes++
			depth++
			if depth > MaxSchemaDepth {
				return schemaError("nested deeper than %d", MaxSchemaDepth)
			}
			if nodes > MaxSchemaNodes {
				return schemaError("more than %d objects and arrays", MaxSchemaNodes)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// parse turns one type into a node; ns is the namespace that encloses it.
func (p *schemaParser) parse(v any, ns string) (*node, error) {
	switch v := v.(type) {
	case string:
		return p.lookup(v, ns)
	case []any:
		return p.union(v, ns)
	case map[string]any:
		t, ok := v["type"].(string)
		if !ok {
			// {"type": {...}} and {"type": [...]}, which some writers wrap around a type.
			if inner, ok := v["type"]; ok {
				return p.parse(inner, ns)
			}
			return nil, schemaError("a type without \"type\"")
		}
		return p.complex(t, v, ns)
	}
	return nil, schemaError("%v is no type", v)
}

// lookup resolves the name of a type: a primitive, a full name, a name in the enclosing namespace, or else in none.
func (p *schemaParser) lookup(name, ns string) (*node, error) {
	if k, ok := primitives[name]; ok {
		return &node{kind: k, least: leastBytes(k)}, nil
	}
	if n, ok := p.named[qualify(name, ns)]; ok {
		return n, nil
	}
	if n, ok := p.named[name]; ok {
		return n, nil
	}
	return nil, schemaError("unknown type %.100q", name)
}

func (p *schemaParser) complex(t string, m map[string]any, ns string) (*node, error) {
	switch t {
	case "record", "error":
		return p.record(m, ns)
	case "enum":
		return p.enum(m, ns)
	case "fixed":
		return p.fixed(m, ns)
	case "array", "map":
		of, k := "items", kindArray
		if t == "map" {
			of, k = "values", kindMap
		}
		inner, ok := m[of]
		if !ok {
			return nil, schemaError("%s without %q", t, of)
		}
		items, err := p.parse(inner, ns)
		if err != nil {
			return nil, err
		}
		return &node{kind: k, items: items, least: 1}, nil
	}
	n, err := p.lookup(t, ns)
	if err != nil || n.name != "" { // a named type has its logical type where it is defined
		return n, err
	}
	n.kind = logicalKind(n.kind, m)
	if n.kind == kindBytesDecimal {
		_, n.scale, _ = decimal(m)
	}
	return n, nil
}

// define gives n the name that m says and makes it known under that name. It returns the namespace that holds
// for what is inside m.
func (p *schemaParser) define(n *node, m map[string]any, ns string) (string, error) {
	name, _ := m["name"].(string)
	if name == "" {
		return "", schemaError("a record, enum or fixed without a name")
	}
	if own, ok := m["namespace"].(string); ok {
		ns = own // also the empty one, which is none
	}
	n.name = qualify(name, ns)
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		ns = name[:i]
	}
	if _, twice := p.named[n.name]; twice {
		return "", schemaError("type %.100q is defined twice", n.name)
	}
	p.named[n.name] = n
	return ns, nil
}

func qualify(name, ns string) string {
	if ns == "" || strings.Contains(name, ".") {
		return name
	}
	return ns + "." + name
}

func (p *schemaParser) record(m map[string]any, ns string) (*node, error) {
	n := &node{kind: kindRecord}
	ns, err := p.define(n, m, ns) // before the fields, which may refer to it
	if err != nil {
		return nil, err
	}
	list, ok := m["fields"].([]any)
	if !ok {
		return nil, schemaError("record %.100q without a list of fields", n.name)
	}
	n.fields = make([]field, 0, len(list))
	seen := make(map[string]bool, len(list))
	for _, v := range list {
		f, _ := v.(map[string]any)
		name, _ := f["name"].(string)
		if name == "" {
			return nil, schemaError("record %.100q has a field without a name", n.name)
		}
		if seen[name] {
			return nil, schemaError("record %.100q has field %.100q twice", n.name, name)
		}
		seen[name] = true
		t, ok := f["type"]
		if !ok {
			return nil, schemaError("field %.100q of %.100q has no type", name, n.name)
		}
		// Some writers put logicalType here, beside the name of the type. The standard gives it no meaning in a
		// field, so that it is ignored like any other property.
		typ, err := p.parse(t, ns)
		if err != nil {
			return nil, err
		}
		n.fields = append(n.fields, field{name: name, key: string(appendJSONString(nil, name)) + ":", typ: typ})
	}
	// A record within itself counts as nothing here: least is a lower bound, and no more is asked of it.
	for _, f := range n.fields {
		n.least = min(n.least+f.typ.least, MaxFixedBytes)
	}
	return n, nil
}

func (p *schemaParser) enum(m map[string]any, ns string) (*node, error) {
	n := &node{kind: kindEnum, least: 1}
	if _, err := p.define(n, m, ns); err != nil {
		return nil, err
	}
	list, ok := m["symbols"].([]any)
	if !ok {
		return nil, schemaError("enum %.100q without a list of symbols", n.name)
	}
	seen := make(map[string]bool, len(list))
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			return nil, schemaError("enum %.100q has a symbol that is no string", n.name)
		}
		if seen[s] {
			return nil, schemaError("enum %.100q has symbol %.100q twice", n.name, s)
		}
		seen[s] = true
		n.symbols = append(n.symbols, string(appendJSONString(nil, s)))
	}
	return n, nil
}

func (p *schemaParser) fixed(m map[string]any, ns string) (*node, error) {
	n := &node{kind: kindFixed}
	if _, err := p.define(n, m, ns); err != nil {
		return nil, err
	}
	size, ok := wholeNumber(m["size"])
	if !ok || size > MaxFixedBytes {
		return nil, schemaError("fixed %.100q of a size that is not within 0 and %d", n.name, MaxFixedBytes)
	}
	n.size, n.least = size, size
	n.kind = fixedKind(size, m)
	if n.kind == kindFixedDecimal {
		_, n.scale, _ = decimal(m)
	}
	return n, nil
}

func (p *schemaParser) union(list []any, ns string) (*node, error) {
	if len(list) == 0 {
		return nil, schemaError("a union without branches")
	}
	n := &node{kind: kindUnion, least: 1}
	seen := make(map[string]bool, len(list))
	for _, v := range list {
		b, err := p.parse(v, ns)
		if err != nil {
			return nil, err
		}
		if b.kind == kindUnion {
			return nil, schemaError("a union within a union")
		}
		id := b.branchName()
		if seen[id] {
			return nil, schemaError("a union with two branches of type %.100q", id)
		}
		seen[id] = true
		n.branches = append(n.branches, b)
	}
	return n, nil
}

// branchName tells the branches of a union apart: unnamed types by their plain type, whatever their logical type.
func (n *node) branchName() string {
	if n.name != "" {
		return n.name
	}
	return strconv.Itoa(int(n.kind.plain()))
}

// leastBytes gives the length of a primitive's shortest value.
func leastBytes(k kind) int {
	switch k {
	case kindNull:
		return 0
	case kindFloat:
		return 4
	case kindDouble:
		return 8
	}
	return 1
}

// wholeNumber reads a JSON number that is a whole number within 0 and 2^31-1.
func wholeNumber(v any) (int, bool) {
	f, ok := v.(float64)
	if !ok || f < 0 || f > 1<<31-1 || f != float64(int(f)) {
		return 0, false
	}
	return int(f), true
}
