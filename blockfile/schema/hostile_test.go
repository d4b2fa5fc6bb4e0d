package schema

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/firndb/firn/blockfile/jsonscan"
)

// tryDecode decodes any bytes and checks what must hold whatever they are.
func tryDecode(t testing.TB, d *Decoder, b []byte) error {
	out, n, err := d.AppendJSON([]byte("x"), b)
	skipped, skipErr := d.Skip(b)
	_, _, headErr := d.Head(b)
	if err == nil {
		if skipErr != nil || headErr != nil || skipped != n || n > len(b) {
			t.Fatalf("AppendJSON takes %d bytes, Skip %d (%v), Head %v", n, skipped, skipErr, headErr)
		}
		if _, err := jsonscan.NewScanner(jsonscan.Options{MaxDepth: 10_000}).Record(out[1:]); err != nil {
			t.Fatalf("AppendJSON gives %.500q: %v", out, err)
		}
		return nil
	}
	if string(out) != "x" || n != 0 {
		t.Fatalf("after an error AppendJSON gives %d bytes and %d", len(out), n)
	}
	for _, err := range []error{err, skipErr, headErr} {
		var fault *DecodeError
		if err != nil && (!errors.As(err, &fault) || fault.Offset < 0 || fault.Offset > len(b) || fault.Reason == "") {
			t.Fatalf("error %v for %d bytes", err, len(b))
		}
	}
	return err
}

// goldenSchemas are a rich schema and the fallback, with records of both.
func goldenSchemas(t testing.TB) (schemas []*Schema, records [][][]byte) {
	tree := NewTree(testTable)
	for _, rec := range goldenRecords {
		tree.Add(goldenDataset, testTime, []byte(rec))
	}
	gaveUp := tree.Clone()
	gaveUp.setFallback()
	for _, tree := range []*Tree{tree, gaveUp} {
		s := tree.Schema()
		e := s.NewEncoder()
		var recs [][]byte
		for _, rec := range goldenRecords {
			b, err := e.Append(nil, goldenDataset, testTime, []byte(rec))
			if err != nil {
				t.Fatal(err)
			}
			recs = append(recs, b)
		}
		schemas, records = append(schemas, s), append(records, recs)
	}
	return schemas, records
}

func TestDecodeCutOff(t *testing.T) {
	schemas, records := goldenSchemas(t)
	for i, s := range schemas {
		d := s.NewDecoder()
		for _, b := range records[i] {
			for n := range b {
				if tryDecode(t, d, b[:n:n]) == nil {
					t.Fatalf("%d of %d bytes are a record", n, len(b))
				}
				if _, err := d.Skip(b[:n:n]); err == nil {
					t.Fatalf("Skip takes %d of %d bytes", n, len(b))
				}
			}
		}
	}
}

func TestDecodeDamaged(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	schemas, records := goldenSchemas(t)
	for i, s := range schemas {
		d := s.NewDecoder()
		refused := 0
		for _, b := range records[i] {
			for at := range b {
				for range 8 {
					c := bytes.Clone(b)
					c[at] ^= byte(1 << rnd.IntN(8))
					if rnd.IntN(3) == 0 {
						c[rnd.IntN(len(c))] = byte(rnd.Uint32())
					}
					if tryDecode(t, d, c) != nil {
						refused++
					}
				}
			}
			if err := tryDecode(t, d, b); err != nil {
				t.Fatalf("after damaged records a good one gives %v", err)
			}
		}
		if refused == 0 {
			t.Error("nothing was refused")
		}
	}
}

// Bytes that Avro could mean something by, but the encoder never writes.
func TestDecodeRefused(t *testing.T) {
	schemaOf := func(recs ...string) *Schema { return addAll(t, recs...).Schema() }
	head := "\x02u\x00" // dataset u, time 0
	varint := func(n int64) string { return string(binary.AppendVarint(nil, n)) }
	double := func(f float64) string {
		return string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(f)))
	}
	nulls := schemaOf(`{"a":[null]}`)
	empties := schemaOf(`{"a":[{"x":null,"y":null}]}`)
	nested := schemaOf(`{"a":[[null]]}`)
	union := schemaOf(`{"a":1}`, `{"a":"x"}`)
	except := schemaOf(`{"a":1,"b":2}`, `{"a":null,"b":null}`, `{}`)
	rest := schemaOf(`{"a":1,"` + longKey + `":1}`)
	own := schemaOf(`{"timestamp":1700000000123}`, `{"timestamp":"x"}`)
	cases := []struct {
		name   string
		schema *Schema
		bytes  string
		ok     bool
	}{
		{"good", nulls, head + "\x04\x00", true},
		{"many nulls", nulls, head + varint(1<<62) + "\x00", false},
		{"many nulls in blocks", nulls, head + "\x02" + varint(MaxRecordBytes/5) + "\x00", false},
		{"many nulls in arrays", nested, head + "\x04" + "\x02\x00" + varint(MaxRecordBytes/5) + "\x00" + "\x00", false},
		{"negative count", nulls, head + varint(-2) + varint(0) + "\x00", false},
		{"good empty records", empties, head + "\x04\x00", true},
		{"many empty records", empties, head + varint(MaxRecordBytes/20) + "\x00", false},
		{"branch past the union", union, head + "\x04", false},
		{"odd branch", union, head + "\x01\x00", false},
		{"text past the end", union, head + "\x02" + varint(1<<40) + "x", false},
		{"negative length", union, head + "\x02" + varint(-1), false},
		{"not UTF-8", union, head + "\x02\x02\xff", false},
		{"long of 11 bytes", union, head + "\x00" + strings.Repeat("\xff", 10) + "\x01", false},
		{"negative dataset", union, "\x01u\x00", false},
		{"not a number", schemaOf(`{"a":0.5}`), head + double(math.NaN()), false},
		{"infinite", schemaOf(`{"a":0.5}`), head + double(math.Inf(-1)), false},
		{"boolean 2", schemaOf(`{"a":true}`), head + "\x02", false},
		{"text that is no JSON", schemaOf(`{"a":1e400}`), head + "\x02[", false},
		{"two texts", schemaOf(`{"a":1e400}`), head + "\x061 1", false},
		{"empty text", schemaOf(`{"a":1e400}`), head + "\x00", false},

		// _firn, then the unions a and b; -1, 0 and 1 are own members, 2 is a, 3 is b.
		{"no exceptions", except, head + "\x00" + "\x00\x00", true},
		{"own and a", except, head + "\x02\x04" + varint(0) + varint(2) + "\x00" + "\x00\x00", true},
		{"empty list", except, head + "\x02\x00" + "\x00\x00", false},
		{"not ascending", except, head + "\x02\x04" + varint(2) + varint(0) + "\x00" + "\x00\x00", false},
		{"twice", except, head + "\x02\x04" + varint(2) + varint(2) + "\x00" + "\x00\x00", false},
		{"unknown number", except, head + "\x02\x02" + varint(7) + "\x00" + "\x00\x00", false},
		{"below all", except, head + "\x02\x02" + varint(-2) + "\x00" + "\x00\x00", false},
		{"not null", except, head + "\x02\x02" + varint(2) + "\x00" + "\x02\x02\x00", false},
		{"many", except, head + "\x02" + varint(1<<50) + varint(2) + "\x00" + "\x00\x00", false},
		{"two blocks", except, head + "\x02\x02" + varint(2) + "\x02" + varint(3) + "\x00" + "\x00\x00", false},

		{"own as property says", own, head + "\x00" + "\x00", true},
		{"own as exception", own, head + "\x02\x02" + varint(1) + "\x00" + "\x02\x02x", true},
		{"own twice", own, head + "\x00" + "\x02\x02x", false},
		{"an own column as exception", own, head + "\x02\x02" + varint(2) + "\x00" + "\x00", false},
		{"a dataset that is not UTF-8", schemaOf(`{"dataset_id":"` + strings.ReplaceAll(testDataset, `"`, `\"`) + `"}`), "\x02\xff\x00", false},

		{"good rest", rest, head + "\x02" + "\x02" + "\x02" + "\x02k" + "\x02" + "1" + "\x00", true},
		{"rest in two blocks", rest, head + "\x02" + "\x02" + "\x02" + "\x02k" + "\x021" + "\x02" + "\x02l" + "\x021" + "\x00", true},
		{"a key twice", rest, head + "\x02" + "\x02" + "\x04" + "\x02k" + "\x021" + "\x02k" + "\x021" + "\x00", false},
		{"a field's key", rest, head + "\x02" + "\x02" + "\x02" + "\x02a" + "\x021" + "\x00", false},
		{"many keys", rest, head + "\x02" + "\x02" + varint(1<<61) + "\x02k" + "\x021" + "\x00", false},
	}
	for _, c := range cases {
		err := tryDecode(t, c.schema.NewDecoder(), []byte(c.bytes))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v\n%s", c.name, err, c.schema.Text())
		}
	}
}

// Trees cut off or damaged are errors, or trees that work.
func TestParseTreeDamaged(t *testing.T) {
	tree := NewTree(testTable)
	for _, rec := range goldenRecords {
		tree.Add(goldenDataset, testTime, []byte(rec))
	}
	good := tree.AppendTo(nil)
	for n := range good {
		if _, err := ParseTree(good[:n]); err == nil {
			t.Fatalf("%d of %d bytes are a tree", n, len(good))
		}
	}
	if _, err := ParseTree(append(bytes.Clone(good), 0)); err == nil {
		t.Error("a byte after the tree is accepted")
	}
	for at := range good {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[at] ^= 1 << bit
			tryTree(t, b)
		}
	}
}

// tryTree parses any bytes and uses what comes of them.
func tryTree(t testing.TB, b []byte) {
	tree, err := ParseTree(b)
	if err != nil {
		return
	}
	if again := tree.AppendTo(nil); !bytes.Equal(again, b) {
		if _, err := ParseTree(again); err != nil {
			t.Fatalf("a tree was parsed, but not what it appends: %v", err)
		}
	}
	if text := tree.appendText(nil); !tree.fallback && len(text) > tree.estimate {
		t.Fatalf("%d bytes of schema, estimated %d", len(text), tree.estimate)
	}
	if s := tree.Schema(); s.Fallback() && !tree.fallback {
		_, err := Parse(tree.appendText(nil))
		t.Fatalf("a tree was parsed that has no schema: %v\n%s", err, tree.appendText(nil))
	}
	for _, rec := range goldenRecords {
		tree.Add(goldenDataset, testTime, []byte(rec))
	}
	s := tree.Schema()
	e, d := s.NewEncoder(), s.NewDecoder()
	for _, rec := range goldenRecords {
		if err := checkRecord(s, e, d, goldenDataset, testTime, []byte(rec)); err != nil {
			t.Fatalf("%v\n%s", err, s.Text())
		}
	}
}

// Schemas that are legal Avro, or nearly firn's, but not firn's.
func TestParseRefused(t *testing.T) {
	schemas, _ := goldenSchemas(t)
	good := string(schemas[0].Text())
	if _, err := Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	changes := [][2]string{
		{`"firn.format":1`, `"firn.format":2`}, {`"firn.format":1,`, ``}, {`"firn.version":4`, `"firn.version":4.5`},
		{`"firn.version":4`, `"firn.version":"4"`}, {`"firn.table":"battle log"`, `"firn.table":5`}, {`"namespace":"firn"`, `"namespace":"x"`},
		{`"type":"record","name":"battle_log"`, `"type":"error","name":"battle_log"`}, {`timestamp-millis`, `timestamp-micros`},
		{`,"logicalType":"timestamp-millis"`, ``}, {`"name":"dataset_id","type":"string"`, `"name":"dataset_id","type":"bytes"`},
		{`"firn.own":"same"`, `"firn.own":"maybe"`}, {`"firn.null":"value"`, `"firn.null":"other"`},
		{`{"type":"array","items":"int"}`, `{"type":"array","items":"long"}`}, {`"name":"id_orig_h"`, `"name":"N"`},
		{`"firn.key":"id.orig_h"`, `"firn.key":"n"`}, {`"firn.key":"id.orig_h"`, `"firn.key":"timestamp"`}, {`"firn.key":"id.orig_h"`, `"firn.key":7`},
		{`["null","long"]`, `["long","null"]`}, {`["null","long"]`, `"long"`}, {`["null","long"]`, `["null","int"]`}, {`["null","long"]`, `["null"]`},
		{`{"type":"map","values":`, `{"type":"array","items":`}, {`"firn.layout"`, `"x"`},
		{`"fields":[`, `"fields":{`}, {`"default":null`, `"default":1`},
	}
	tried := 0
	for _, c := range changes {
		bad := strings.Replace(good, c[0], c[1], 1)
		if bad == good {
			if c[0] != `"firn.layout"` {
				t.Errorf("nothing to replace: %s in %s", c[0], good)
			}
			continue
		}
		tried++
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("accepted with %s for %s", c[1], c[0])
		}
	}
	for _, bad := range []string{"", "null", `"string"`, good + "x", good[1:], `{"type":"record","name":"x","namespace":"firn","fields":[]}`,
		strings.Repeat(`{"type":"array","items":`, 1000) + `"int"` + strings.Repeat("}", 1000), good + strings.Repeat(" ", MaxSchemaBytes)} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("accepted: %.100s", bad)
		}
	}
}

// What is no JSON must not break the encoder or the tree, whatever comes of it.
func TestNotJSON(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		rec := []byte(goldenRecords[rnd.IntN(len(goldenRecords))])
		for range 1 + rnd.IntN(3) {
			switch at := rnd.IntN(len(rec)); rnd.IntN(3) {
			case 0:
				rec = rec[:at+1]
			case 1:
				rec[at] = `{}[]",:\0 ntf-e.x`[rnd.IntN(17)]
			default:
				rec = append(rec[:at:at], rec[at+rnd.IntN(len(rec)-at):]...)
			}
			if len(rec) == 0 {
				break
			}
		}
		tree := NewTree(testTable)
		tree.Add(goldenDataset, testTime, rec)
		s := tree.Schema()
		b, err := s.NewEncoder().Append([]byte("x"), goldenDataset, testTime, rec)
		if err != nil {
			if !errors.Is(err, ErrNotCovered) || string(b) != "x" {
				t.Fatalf("%q: %q %v", rec, b, err)
			}
			continue
		}
		tryDecode(t, s.NewDecoder(), b[1:])
	}
}

func TestNoAllocations(t *testing.T) {
	schemas, records := goldenSchemas(t)
	for i, s := range schemas {
		e, d := s.NewEncoder(), s.NewDecoder()
		var dst []byte
		var recs [][]byte
		for _, rec := range goldenRecords {
			recs = append(recs, []byte(rec))
		}
		run := func() {
			for k, rec := range recs {
				var err error
				if dst, err = e.Append(dst[:0], goldenDataset, testTime, rec); err != nil {
					t.Fatal(err)
				}
				if dst, _, err = d.AppendJSON(dst[:0], records[i][k]); err != nil {
					t.Fatal(err)
				}
				if _, err = d.Skip(records[i][k]); err != nil {
					t.Fatal(err)
				}
				if _, _, err = d.Head(records[i][k]); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := testing.AllocsPerRun(20, run); n > 0 {
			t.Errorf("schema %d: %v allocations", i, n)
		}
	}
	tree := NewTree(testTable)
	scan := jsonscan.NewScanner(jsonscan.Options{})
	found, err := scan.Record([]byte(goldenRecords[0]))
	if err != nil {
		t.Fatal(err)
	}
	first := []byte(goldenRecords[0])
	tree.Add(goldenDataset, testTime, first)
	if n := testing.AllocsPerRun(20, func() {
		tree.Add(goldenDataset, testTime, first)
		d, tb, ts := CompareOwn(found, first, goldenDataset, testTable, testTime)
		_ = OwnShape(found.Shape, d, tb, ts)
	}); n > 0 {
		t.Errorf("Add of a known shape: %v allocations", n)
	}
}
