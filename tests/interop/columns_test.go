package interop

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Columns back to records, as docs/formats.md describes it, for values as other readers give them.
// Nothing here is firn's own code.

// layout is a parsed schema.
type layout struct {
	root    map[string]any
	wrapped bool // the reader gives {"type": value} for the branch of a union
}

func parseLayout(schema []byte, wrapped bool) (*layout, error) {
	l := &layout{wrapped: wrapped}
	if err := json.Unmarshal(schema, &l.root); err != nil {
		return nil, err
	}
	if l.root["firn.format"] != float64(1) {
		return nil, fmt.Errorf("firn.format is %v", l.root["firn.format"])
	}
	return l, nil
}

// head gives dataset and time of a record.
func head(v any) (dataset string, ms int64, err error) {
	m, ok := v.(map[string]any)
	if !ok {
		return "", 0, fmt.Errorf("a record is %T", v)
	}
	dataset, ok = m["dataset_id"].(string)
	if !ok {
		return "", 0, fmt.Errorf("dataset_id is %T", m["dataset_id"])
	}
	ms, err = millis(m["timestamp"])
	return dataset, ms, err
}

func millis(v any) (int64, error) {
	switch v := v.(type) {
	case time.Time:
		return v.UnixMilli(), nil
	case int64:
		return v, nil
	case json.Number:
		return v.Int64()
	}
	return 0, fmt.Errorf("timestamp is %T", v)
}

// record gives the JSON text that was written.
func (l *layout) record(v any) (out []byte, err error) {
	dataset, ms, err := head(v)
	if err != nil {
		return nil, err
	}
	if l.root["firn.layout"] == "json" {
		return l.text(v.(map[string]any)["json"])
	}
	// Values of an unexpected type are the test's failure, not its end.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v in %.300v", p, v)
		}
	}()
	columns := v.(map[string]any)
	members := l.members(l.root, columns)
	except := l.exceptions(columns)
	same := func(holder any, number int64) bool {
		return (holder.(map[string]any)["firn.own"] == "same") != except[number]
	}
	fields := l.root["fields"].([]any)
	if same(fields[0], 0) {
		members["dataset_id"] = dataset
	}
	if same(fields[1], 1) {
		members["timestamp"] = ms
	}
	if same(l.root, -1) {
		members["table"] = l.root["firn.table"]
	}
	return json.Marshal(members)
}

// members gives the members of an object but for the three that say where the record is stored.
func (l *layout) members(typ map[string]any, columns map[string]any) map[string]any {
	except := l.exceptions(columns)
	out := make(map[string]any)
	number := int64(-1)
	for _, f := range typ["fields"].([]any) {
		field := f.(map[string]any)
		name := field["name"].(string)
		if name == "_firn" {
			continue
		}
		number++
		if isRoot := typ["firn.format"] != nil; isRoot && number < 2 {
			continue
		}
		v, ok := columns[name]
		if !ok {
			panic("column " + name + " is missing")
		}
		if name == "_rest" {
			if rest, ok := l.branch(field["type"], &v).(map[string]any); ok {
				for key, text := range v.(map[string]any) {
					out[key] = l.value(rest["values"], text)
				}
			}
			continue
		}
		key := name
		if k, ok := field["firn.key"]; ok {
			key = k.(string)
		}
		if v != nil {
			out[key] = l.value(field["type"], v)
		} else if field["firn.own"] == nil && (field["firn.null"] == "value") != except[number] {
			out[key] = nil
		}
	}
	return out
}

func (l *layout) exceptions(columns map[string]any) map[int64]bool {
	v := columns["_firn"]
	if v == nil {
		return nil
	}
	if m, ok := v.(map[string]any); ok {
		v = m["array"]
	}
	out := make(map[int64]bool)
	for _, n := range v.([]any) {
		switch n := n.(type) {
		case int32:
			out[int64(n)] = true
		case json.Number:
			i, err := n.Int64()
			if err != nil {
				panic(err)
			}
			out[i] = true
		default:
			panic(fmt.Sprintf("a number in _firn is %T", n))
		}
	}
	return out
}

// branch finds the type of a value, and takes the wrapper off the value.
func (l *layout) branch(typ any, v *any) any {
	union, ok := typ.([]any)
	if !ok {
		return typ
	}
	if *v == nil {
		return "null"
	}
	want := ""
	if l.wrapped {
		m := (*v).(map[string]any)
		if len(m) != 1 {
			panic(fmt.Sprintf("a union's value has %d members", len(m)))
		}
		for want, *v = range m {
		}
	} else {
		switch inner := (*v).(type) {
		case bool:
			want = "boolean"
		case string:
			want = "string"
		case int64:
			want = "long"
		case float64:
			want = "double"
		case json.Number:
			want = "long"
			if strings.ContainsAny(string(inner), ".eE") {
				want = "double"
			}
		case []any:
			want = "array"
		case map[string]any:
			want = "record"
			// Without a wrapper the records of a union are told apart by their fields.
			if _, ok := inner["json"].(string); ok && len(inner) == 1 {
				want = "Json"
			}
		}
	}
	want = want[strings.LastIndexByte(want, '.')+1:]
	for _, t := range union {
		name, _ := t.(string)
		if m, isMap := t.(map[string]any); isMap {
			var ok bool
			if name, ok = m["name"].(string); !ok {
				name = m["type"].(string)
			}
			if want == "record" && !l.wrapped && (m["type"] == "record" || m["type"] == "map") && name != "Json" {
				return t
			}
		}
		if name == want {
			return t
		}
	}
	panic(fmt.Sprintf("no branch %s in %v", want, union))
}

// value gives a value as what json.Marshal makes its text of.
func (l *layout) value(typ, v any) any {
	switch typ := l.branch(typ, &v).(type) {
	case string:
		switch typ {
		case "null", "boolean", "string":
			return v
		case "long":
			return v
		case "double":
			if n, ok := v.(json.Number); ok {
				f, err := n.Float64()
				if err != nil {
					panic(err)
				}
				v = f
			}
			return json.Number(strconv.FormatFloat(v.(float64), 'g', -1, 64))
		case "Json":
			return l.mustText(v)
		}
	case map[string]any:
		switch typ["type"] {
		case "array":
			out := []any{}
			for _, elem := range v.([]any) {
				out = append(out, l.value(typ["items"], elem))
			}
			return out
		case "record":
			if typ["name"] == "Json" {
				return l.mustText(v)
			}
			return l.members(typ, v.(map[string]any))
		}
	}
	panic(fmt.Sprintf("a type that firn does not write: %v", typ))
}

func (l *layout) mustText(v any) json.RawMessage {
	b, err := l.text(v)
	if err != nil {
		panic(err)
	}
	return b
}

// text takes the text out of a Json record.
func (l *layout) text(v any) (json.RawMessage, error) {
	m, _ := v.(map[string]any)
	s, ok := m["json"].(string)
	if !ok {
		return nil, fmt.Errorf("a Json is %.100v", v)
	}
	return json.RawMessage(s), nil
}
