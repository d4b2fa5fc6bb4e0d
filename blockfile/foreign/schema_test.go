package foreign

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"
)

func TestSchemas(t *testing.T) {
	rec := func(fields string) string { return `{"type":"record","name":"R","fields":[` + fields + `]}` }
	field := func(typ string) string { return rec(`{"name":"v","type":` + typ + `}`) }
	for _, row := range []struct {
		name, schema string
		raw, want    string // of one record; no want if the schema is refused
		err          string
	}{
		{"no fields", rec(""), "", "{}", ""},
		{"type in type", `{"type":` + field(`{"type":{"type":{"type":"int"}}}`) + `}`, "\x02", `{"v":1}`, ""},
		{"union in type", field(`{"type":["null","int"]}`), "\x02\x02", `{"v":1}`, ""},
		{"no need for valid defaults", rec(`{"name":"v","type":"int","default":"x","order":7,"aliases":3,"doc":{}}`), "\x02", `{"v":1}`, ""},
		{"names that Avro does not allow", `{"type":"record","name":"my-type","fields":[{"name":"id.orig h","type":"int"},{"name":"1\"","type":"int"}]}`, "\x02\x04", `{"id.orig h":1,"1\"":2}`, ""},
		{"reference", rec(`{"name":"a","type":{"type":"enum","name":"E","symbols":["X"]}},{"name":"b","type":"E"}`), "\x00\x00", `{"a":"X","b":"X"}`, ""},
		{"reference as an object", rec(`{"name":"a","type":{"type":"fixed","name":"F","size":1}},{"name":"b","type":{"type":"F"}}`), "aa", `{"a":"YQ==","b":"YQ=="}`, ""},
		{"namespace of the enclosing record", `{"type":"record","name":"R","namespace":"n.s","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":1}},{"name":"b","type":"F"},{"name":"c","type":"n.s.F"}]}`, "aaa", `{"a":"YQ==","b":"YQ==","c":"YQ=="}`, ""},
		{"namespace within the name", `{"type":"record","name":"n.s.R","namespace":"other","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":1}},{"name":"c","type":"n.s.F"}]}`, "aa", `{"a":"YQ==","c":"YQ=="}`, ""},
		{"no namespace within a namespace", `{"type":"record","name":"R","namespace":"n.s","fields":[{"name":"a","type":{"type":"fixed","name":"F","namespace":"","size":1}},{"name":"b","type":"F"}]}`, "aa", `{"a":"YQ==","b":"YQ=="}`, ""},
		{"same name in two namespaces", `{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":1}},{"name":"b","type":{"type":"fixed","name":"m.F","size":2}},{"name":"c","type":"F"},{"name":"d","type":"m.F"}]}`, "abbadd", `{"a":"YQ==","b":"YmI=","c":"YQ==","d":"ZGQ="}`, ""},
		{"recursion", rec(`{"name":"v","type":"int"},{"name":"next","type":["null","R"]}`), "\x02\x02\x04\x00", `{"v":1,"next":{"v":2,"next":null}}`, ""},
		{"union of two records", field(`["null",{"type":"record","name":"A","fields":[]},{"type":"record","name":"B","fields":[]}]`), "\x04", `{"v":{}}`, ""},

		{"empty text", "", "", "", "end of JSON"},
		{"no JSON", "{", "", "", "end of JSON"},
		{"trailing text", rec("") + "x", "", "", "after top-level"},
		{"number", "7", "", "", "is no type"},
		{"unknown type", field(`"integer"`), "", "", `unknown type "integer"`},
		{"unknown complex type", field(`{"type":"struct"}`), "", "", `unknown type "struct"`},
		{"type that comes later", rec(`{"name":"a","type":"E"},{"name":"b","type":{"type":"enum","name":"E","symbols":["X"]}}`), "", "", `unknown type "E"`},
		{"alias is no name", rec(`{"name":"a","type":{"type":"enum","name":"E","aliases":["A"],"symbols":["X"]}},{"name":"b","type":"A"}`), "", "", `unknown type "A"`},
		{"no type", field(`{"logicalType":"date"}`), "", "", "without \"type\""},
		{"record without a name", `{"type":"record","fields":[]}`, "", "", "without a name"},
		{"record without fields", `{"type":"record","name":"R"}`, "", "", "without a list of fields"},
		{"fields is no list", `{"type":"record","name":"R","fields":{}}`, "", "", "without a list of fields"},
		{"field is no object", rec("3"), "", "", "field without a name"},
		{"field without a name", rec(`{"type":"int"}`), "", "", "field without a name"},
		{"field without a type", rec(`{"name":"a"}`), "", "", "has no type"},
		{"field twice", rec(`{"name":"a","type":"int"},{"name":"a","type":"int"}`), "", "", `field "a" twice`},
		{"type twice", rec(`{"name":"a","type":{"type":"fixed","name":"F","size":1}},{"name":"b","type":{"type":"fixed","name":"F","size":1}}`), "", "", `"F" is defined twice`},
		{"array without items", field(`{"type":"array"}`), "", "", `without "items"`},
		{"map without values", field(`{"type":"map"}`), "", "", `without "values"`},
		{"enum without symbols", field(`{"type":"enum","name":"E"}`), "", "", "without a list of symbols"},
		{"symbol is no string", field(`{"type":"enum","name":"E","symbols":[1]}`), "", "", "symbol that is no string"},
		{"symbol twice", field(`{"type":"enum","name":"E","symbols":["A","A"]}`), "", "", `symbol "A" twice`},
		{"fixed without a size", field(`{"type":"fixed","name":"F"}`), "", "", "of a size"},
		{"fixed of a negative size", field(`{"type":"fixed","name":"F","size":-1}`), "", "", "of a size"},
		{"fixed of half a byte", field(`{"type":"fixed","name":"F","size":0.5}`), "", "", "of a size"},
		{"fixed of a vast size", field(`{"type":"fixed","name":"F","size":1e18}`), "", "", "of a size"},
		{"empty union", field(`[]`), "", "", "without branches"},
		{"union in union", field(`["int",["null"]]`), "", "", "union within a union"},
		{"branch twice", field(`["int",{"type":"int","logicalType":"date"}]`), "", "", "two branches"},
		{"named branch twice", field(`[{"type":"fixed","name":"F","size":1},"F"]`), "", "", "two branches"},
		{"null", "null", "", "", "no type"},
	} {
		recs, err := readBytes(fileOf(t, row.schema, "", block{1, row.raw}), Options{})
		switch {
		case row.want != "" && (err != nil || len(recs) != 1 || recs[0] != row.want):
			t.Errorf("%s: %v, %v, want %s", row.name, recs, err, row.want)
		case row.want == "" && (!errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), row.err)):
			t.Errorf("%s: error %v, want one with %q", row.name, err, row.err)
		}
	}
}

func TestNotRecord(t *testing.T) {
	for _, schema := range []string{
		`"string"`, `"null"`, `{"type":"array","items":"int"}`, `{"type":"map","values":"int"}`,
		`["null",{"type":"record","name":"R","fields":[]}]`, `{"type":"enum","name":"E","symbols":["A"]}`,
		`{"type":"fixed","name":"F","size":1}`, `{"type":"long","logicalType":"timestamp-micros"}`,
	} {
		if _, err := readBytes(fileOf(t, schema, ""), Options{}); !errors.Is(err, ErrNotRecord) || errors.Is(err, ErrSchema) {
			t.Errorf("%s: error %v", schema, err)
		}
	}
}

// TestSchemaLimits: hostile schemas are refused for what they would cost, before they cost it.
func TestSchemaLimits(t *testing.T) {
	rec := func(typ string) string {
		return `{"type":"record","name":"R","fields":[{"name":"v","type":` + typ + `}]}`
	}
	nest := func(n int) string {
		return strings.Repeat(`{"type":"array","items":`, n) + `"int"` + strings.Repeat("}", n)
	}
	for _, row := range []struct{ name, schema, want string }{
		{"deep", rec(nest(MaxSchemaDepth - 3)), ""},
		{"too deep", rec(nest(MaxSchemaDepth - 2)), "nested deeper"},
		{"brackets in strings do not count", rec(`{"type":"int","doc":"` + strings.Repeat(`[{\"`, 10_000) + `"}`), ""},
		{"wide", rec(`["int"` + strings.Repeat(`,{"type":"bogus"}`, MaxSchemaNodes/8) + "]"), "unknown type"},
		{"too many nodes", rec("[" + strings.Repeat("{},", MaxSchemaNodes) + "0]"), "objects and arrays"},
		{"large", rec(`{"type":"int","doc":"` + strings.Repeat("x", MaxSchemaBytes-200) + `"}`), ""},
		{"too large", rec(`{"type":"int","doc":"` + strings.Repeat("x", MaxSchemaBytes) + `"}`), "bytes, at most"},
		{"unbalanced", strings.Repeat("]", 100_000) + strings.Repeat("[", MaxSchemaDepth), "invalid"},
		{"open string", `{"type":"` + strings.Repeat(`\`, 1001), "string"},
	} {
		_, err := parseSchema([]byte(row.schema))
		if row.want == "" && err != nil || row.want != "" && (!errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: error %v, want %q", row.name, err, row.want)
		}
	}
}

// TestWideSchema: thousands of fields and types stay quick to parse.
func TestWideSchema(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"type":"record","name":"R","fields":[`)
	const n = 6000
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `{"name":"f%d","type":["null",{"type":"record","name":"T%d","fields":[{"name":"x","type":"int"}]}]}`, i, i)
	}
	b.WriteString("]}")
	top, err := parseSchema([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if len(top.fields) != n || top.least != n {
		t.Errorf("%d fields, at least %d bytes", len(top.fields), top.least)
	}
}

// TestSchemasOfRealFiles: what the Avro library's parser takes for a record with so many fields, so does this one.
func TestSchemasOfRealFiles(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(dataDir(t), "*", "*.avro"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewReader(f, Options{})
		f.Close()
		if err != nil {
			continue
		}
		seen++
		want, err := avro.ParseBytesWithCache(r.Header().Schema, "", &avro.SchemaCache{})
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		rec, ok := want.(*avro.RecordSchema)
		if !ok || rec.FullName() != r.top.name || len(rec.Fields()) != len(r.top.fields) {
			t.Errorf("%s: %v is %s with %d fields here", p, want, r.top.name, len(r.top.fields))
		}
	}
	if seen < 60 {
		t.Errorf("only %d schemas seen", seen)
	}
}
