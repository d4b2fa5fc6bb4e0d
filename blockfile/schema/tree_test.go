package schema

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"

	"github.com/firndb/firn/blockfile/jsonscan"
)

// What changes a tree and what does not, record after record.
func TestAddChanges(t *testing.T) {
	steps := map[string][]struct {
		rec     string
		changed bool
	}{
		"numbers": {
			{`{"a":1}`, true}, {`{"a":-9007199254740992}`, false}, {`{"a":1.5}`, true}, {`{"a":7}`, false},
			{`{"a":9007199254740993}`, true}, {`{"a":7}`, false}, {`{"a":-0}`, false}, {`{"a":1e400}`, true}, {`{"a":2e400}`, false},
		},
		"double holds integers": {{`{"a":0.5}`, true}, {`{"a":1}`, false}, {`{"a":9007199254740993}`, true}, {`{"a":1}`, false}},
		"int64 holds integers":  {{`{"a":9007199254740993}`, true}, {`{"a":1}`, false}},
		"keys":                  {{`{}`, true}, {`{}`, false}, {`{"a":1}`, true}, {`{}`, false}, {`{"b":1,"a":1}`, true}, {`{"a":2,"b":2}`, false}},
		"absent":                {{`{"a":1,"b":2}`, true}, {`{"b":1}`, true}, {`{"a":1}`, true}, {`{}`, false}},
		"nulls":                 {{`{"a":1}`, true}, {`{"a":null}`, true}, {`{"a":null}`, false}, {`{}`, true}, {`{}`, false}},
		"arrays":                {{`{"a":[]}`, true}, {`{"a":[null]}`, false}, {`{"a":[1,2]}`, true}, {`{"a":[3,null,[]]}`, true}, {`{"a":[]}`, false}},
		"own": {
			{`{"timestamp":1700000000123}`, true}, {`{"timestamp":1700000000123}`, false}, {`{}`, true},
			{`{"timestamp":"x"}`, true}, {`{"timestamp":"y"}`, false}, {`{"timestamp":1}`, true}, {`{"timestamp":[1]}`, true}, {`{"timestamp":null}`, false},
		},
	}
	for name, steps := range steps {
		t.Run(name, func(t *testing.T) {
			tree := NewTree(testTable)
			version := uint64(0)
			for i, step := range steps {
				if changed := tree.Add(testDataset, testTime, []byte(step.rec)); changed != step.changed {
					t.Errorf("step %d, %s: changed is %v", i, step.rec, changed)
				}
				if step.changed {
					version++
				}
				if tree.Version() != version || tree.Schema().Version() != version {
					t.Fatalf("step %d, %s: version %d, schema %d, not %d", i, step.rec, tree.Version(), tree.Schema().Version(), version)
				}
			}
		})
	}
}

// The type at each place is the narrowest that holds what was seen.
func TestTypes(t *testing.T) {
	cases := []struct {
		values string // of the member a, one a record; "-" lacks it
		field  string // after the name
	}{
		{`1`, `"type":"long"`},
		{`9223372036854775807`, `"type":"long"`},
		{`1 0.5`, `"type":"double"`},
		{`0.5 1`, `"type":"double"`},
		{`-0 1`, `"type":"double"`},
		{`1 0.5 9007199254740993`, `"type":["long","double"]`},
		{`0.5 9007199254740993`, `"type":["long","double"]`},
		{`"x"`, `"type":"string"`},
		{`true null`, `"type":["null","boolean"],"default":null,"firn.null":"value"`},
		{`true -`, `"type":["null","boolean"],"default":null`},
		{`- true`, `"type":["null","boolean"],"default":null`},
		{`null`, `"type":"null","default":null,"firn.null":"value"`},
		{`- null`, `"type":"null","default":null`},
		{`[]`, `"type":{"type":"array","items":"null"}`},
		{`[] [1]`, `"type":{"type":"array","items":["null","long"]}`},
		{`[[],[1]]`, `"type":{"type":"array","items":{"type":"array","items":"long"}}`},
		{`{}`, `"type":{"type":"record","name":"battle_log_a","fields":[]}`},
		{`[{}]`, `"type":{"type":"array","items":{"type":"record","name":"battle_log_a_item","fields":[]}}`},
		{`1e400`, `"type":{"type":"record","name":"Json","fields":[{"name":"json","type":"string"}]}`},
		{`1e400 {} [] "x" 0.5 9007199254740993 true null`, `"type":["null","boolean","long","double","string",{"type":"array","items":"null"},` +
			`{"type":"record","name":"battle_log_a","fields":[]},{"type":"record","name":"Json","fields":[{"name":"json","type":"string"}]}],"default":null,"firn.null":"value"`},
	}
	for _, c := range cases {
		tree := NewTree(testTable)
		for _, v := range strings.Fields(c.values) {
			rec := `{"a":` + v + `}`
			if v == "-" {
				rec = `{}`
			}
			tree.Add(testDataset, testTime, []byte(rec))
		}
		text := string(tree.Schema().Text())
		if want := `{"name":"a",` + c.field + `}`; !strings.Contains(text, want+"]") {
			t.Errorf("%s:\nwant %s\nin   %s", c.values, want, text)
		}
	}
}

// Names are Avro names and differ by more than case, whatever the keys.
func TestNames(t *testing.T) {
	for seed := range uint64(60) {
		g := newGenerator(seed)
		g.keys = append(g.keys, uglyKeys...)
		tree := NewTree([]string{testTable, "Json", "1st", "", "\xff", "dataset_id", strings.Repeat("t", 80)}[g.IntN(7)])
		for range 20 {
			tree.Add(testDataset, testTime, g.record(testDataset, testTable, testTime))
		}
		s := tree.Schema()
		parsed, err := avro.ParseBytesWithCache(s.Text(), "", &avro.SchemaCache{})
		if err != nil || s.Fallback() {
			t.Fatalf("seed %d: %v: %s", seed, err, s.Text())
		}
		types := map[string]bool{}
		var walk func(avro.Schema)
		walk = func(s avro.Schema) {
			switch s := s.(type) {
			case *avro.RecordSchema:
				if low := strings.ToLower(s.FullName()); types[low] {
					t.Fatalf("seed %d: two record types %s", seed, low)
				} else if types[low] = true; !plainName(s.Name()) || s.Namespace() != "firn" {
					t.Fatalf("seed %d: a record type %s", seed, s.FullName())
				}
				fields := map[string]bool{}
				for _, f := range s.Fields() {
					if low := strings.ToLower(f.Name()); fields[low] || !plainName(low) {
						t.Fatalf("seed %d: field %q of %s", seed, f.Name(), s.Name())
					} else {
						fields[low] = true
					}
					walk(f.Type())
				}
			case *avro.UnionSchema:
				for _, s := range s.Types() {
					walk(s)
				}
			case *avro.ArraySchema:
				walk(s.Items())
			}
		}
		walk(parsed)
	}
}

func plainName(s string) bool {
	for i, c := range s {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 120
}

// The estimate must stay above the text where every piece is as long as it gets.
func TestEstimate(t *testing.T) {
	var rec, nulls strings.Builder
	rec.WriteByte('{')
	nulls.WriteByte('{')
	for i := range MaxKeys {
		if i > 0 {
			rec.WriteByte(',')
			nulls.WriteByte(',')
		}
		key := strings.Repeat(`\u0001`, 1+i%3) + fmt.Sprint(i)
		fmt.Fprintf(&rec, `"%s":{"\u0001":[[1e400,true]]}`, key)
		fmt.Fprintf(&nulls, `"%s":null`, key)
	}
	rec.WriteByte('}')
	nulls.WriteByte('}')
	tree := addAll(t, nulls.String(), rec.String(), `{}`, `{"more":1}`)
	text := tree.appendText(nil)
	if len(text) > tree.estimate || tree.estimate > 4*len(text) {
		t.Errorf("text of %d bytes, estimated %d", len(text), tree.estimate)
	}
	flat := NewTree(testTable)
	flat.Add(testDataset, testTime, []byte(nulls.String()))
	if text := flat.appendText(nil); len(text) > flat.estimate {
		t.Errorf("text of %d bytes, estimated %d", len(text), flat.estimate)
	}
}

func TestCompareOwn(t *testing.T) {
	scan := jsonscan.NewScanner(jsonscan.Options{})
	cases := []struct {
		rec      string
		d, t, ts Own
	}{
		{`{}`, OwnAbsent, OwnAbsent, OwnAbsent},
		{`{"timestamp":1700000000123,"dataset_id":"user \"1\" \u00e9","table":"battle log"}`, OwnSame, OwnSame, OwnSame},
		{`{"timestamp":1700000000124,"dataset_id":"u","table":"battle"}`, OwnOtherString, OwnOtherString, OwnOtherInt53},
		{`{"timestamp":"1700000000123","dataset_id":null,"table":[]}`, OwnOther, OwnOther, OwnOtherString},
		{`{"timestamp":1700000000123.0,"dataset_id":1e999,"table":{}}`, OwnOther, OwnOther, OwnOther},
		{`{"timestamp":-0,"dataset_id":9007199254740993,"table":true}`, OwnOtherInt64, OwnOther, OwnOther},
		{`{"o":{"timestamp":1,"dataset_id":"x"}}`, OwnAbsent, OwnAbsent, OwnAbsent},
	}
	for _, c := range cases {
		r, err := scan.Record([]byte(c.rec))
		if err != nil {
			t.Fatal(err)
		}
		if d, tb, ts := CompareOwn(r, []byte(c.rec), testDataset, testTable, testTime); d != c.d || tb != c.t || ts != c.ts {
			t.Errorf("%s: %d %d %d, not %d %d %d", c.rec, d, tb, ts, c.d, c.t, c.ts)
		}
	}
	seen := map[uint64]bool{}
	for d := OwnAbsent; d <= OwnOtherInt64; d++ {
		for tb := OwnAbsent; tb <= OwnOtherInt64; tb++ {
			for ts := OwnAbsent; ts <= OwnOtherInt64; ts++ {
				seen[OwnShape(12345, d, tb, ts)] = true
			}
		}
	}
	if len(seen) != 6*6*6 {
		t.Errorf("%d shapes of own members, not %d", len(seen), 6*6*6)
	}
}

// Records of an old version stay readable with the schema that their block file holds.
func TestOldVersions(t *testing.T) {
	type block struct {
		text []byte
		recs []string
		avro []byte
	}
	batches := [][]string{
		{`{"a":1,"tags":[]}`, `{"tags":[],"a":2}`},
		{`{"a":1.5,"tags":["x"],"timestamp":1700000000123}`, `{"a":1,"tags":[],"b":null}`},
		{`{"a":9007199254740993,"tags":[{"k":1}],"b":{"c":1e999}}`, `{"a":null}`, `{"table":"other"}`},
		{`{"b":{"c":[1,2,[]],"d":null}}`, `{"b":{}}`, `{"B":"x"}`},
	}
	tree := NewTree(testTable)
	var blocks []block
	for _, recs := range batches {
		for _, rec := range recs {
			tree.Add(testDataset, testTime, []byte(rec))
		}
		s := tree.Schema()
		b := block{text: bytes.Clone(s.Text()), recs: recs}
		e := s.NewEncoder()
		var err error
		for _, rec := range recs {
			if b.avro, err = e.Append(b.avro, testDataset, testTime, []byte(rec)); err != nil {
				t.Fatal(err)
			}
		}
		blocks = append(blocks, b)
	}
	for _, b := range blocks {
		s, err := Parse(b.text)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.Text(), b.text) || s.Table() != testTable {
			t.Errorf("parsed schema of %q differs", s.Table())
		}
		d := s.NewDecoder()
		rest := b.avro
		for _, rec := range b.recs {
			out, n, err := d.AppendJSON(nil, rest)
			if err != nil {
				t.Fatal(err)
			}
			if err := sameJSON([]byte(rec), out); err != nil {
				t.Error(err)
			}
			rest = rest[n:]
		}
		if len(rest) > 0 {
			t.Errorf("%d bytes are left", len(rest))
		}
	}
	if a, b := blocks[0], blocks[1]; bytes.Equal(a.text, b.text) {
		t.Error("two versions have one text")
	}
}

func TestFieldNumbersStay(t *testing.T) {
	tree := addAll(t, `{"a":1,"b":2}`)
	before := tree.Schema().root.fields
	tree.Add(testDataset, testTime, []byte(`{"a":null,"c":1}`))
	tree.Add(testDataset, testTime, []byte(`{"b":2}`))
	after := tree.Schema().root
	if after.except != 2 {
		t.Fatalf("_firn is field %d, not the third", after.except)
	}
	number := func(fields []fieldPlan, key string) int32 {
		i := slices.IndexFunc(fields, func(f fieldPlan) bool { return f.key == key })
		return fields[i].number
	}
	for _, key := range []string{"a", "b"} {
		if number(before, key) != number(after.fields, key) {
			t.Errorf("the number of %s changed from %d to %d", key, number(before, key), number(after.fields, key))
		}
	}
}
