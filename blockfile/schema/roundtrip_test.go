package schema

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"

	"github.com/firndb/firn/blockfile/jsonscan"
)

const (
	testDataset = "user \"1\" é"
	testTable   = "battle log"
	testTime    = int64(1700000000123)
)

// checkRecord takes one record through encoder and decoder and compares.
func checkRecord(s *Schema, e *Encoder, d *Decoder, dataset string, time int64, rec []byte) error {
	const before = "before"
	b, err := e.Append([]byte(before), dataset, time, rec)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(b, []byte(before)) {
		return errors.New("Append changed what was before")
	}
	b = append(b[len(before):], "after"...)
	size := len(b) - len("after")
	if size > 8*len(rec)+16<<10+len(dataset) {
		return fmt.Errorf("%d bytes of JSON became %d", len(rec), size)
	}
	gotDataset, gotTime, err := d.Head(b)
	if err != nil || string(gotDataset) != dataset || gotTime != time {
		return fmt.Errorf("Head gives %q %d %v", gotDataset, gotTime, err)
	}
	if n, err := d.Skip(b); err != nil || n != size {
		return fmt.Errorf("Skip gives %d %v, not %d", n, err, size)
	}
	out, n, err := d.AppendJSON([]byte(before), b)
	if err != nil || n != size {
		return fmt.Errorf("AppendJSON gives %d %v, not %d", n, err, size)
	}
	if !bytes.HasPrefix(out, []byte(before)) {
		return errors.New("AppendJSON changed what was before")
	}
	out = out[len(before):]
	if err := jsonscan.NewScanner(jsonscan.Options{MaxDepth: 10_000}).Value(out); err != nil {
		return fmt.Errorf("AppendJSON gives %.300s: %w", out, err)
	}
	if err := sameJSON(rec, out); err != nil {
		return fmt.Errorf("%w\nwritten %.500s\nread    %.500s", err, rec, out)
	}
	// What was read can be written again.
	if b, err = e.Append(b[:0], dataset, time, out); err != nil {
		return fmt.Errorf("%w, as read: %.500s", err, out)
	}
	again, _, err := d.AppendJSON(nil, b)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, out) {
		if err := sameJSON(out, again); err != nil {
			return fmt.Errorf("read and written again: %w\nread       %.500s\nread again %.500s", err, out, again)
		}
	}
	return nil
}

// addAll makes a tree of records and checks that adding them again changes nothing.
func addAll(t *testing.T, recs ...string) *Tree {
	t.Helper()
	tree := NewTree(testTable)
	for _, rec := range recs {
		tree.Add(testDataset, testTime, []byte(rec))
		if tree.Add(testDataset, testTime, []byte(rec)) {
			t.Fatalf("adding a second time changed the tree: %.1000s", rec)
		}
	}
	return tree
}

func checkAll(t *testing.T, recs ...string) *Schema {
	t.Helper()
	s := addAll(t, recs...).Schema()
	if s.Fallback() {
		t.Errorf("these records need the fallback schema")
	}
	e, d := s.NewEncoder(), s.NewDecoder()
	for round := range 2 { // the second with what the encoder has learned
		for _, rec := range recs {
			if err := checkRecord(s, e, d, testDataset, testTime, []byte(rec)); err != nil {
				t.Fatalf("round %d: %v\nschema %.1500s", round, err, s.Text())
			}
		}
	}
	return s
}

func TestRoundTrip(t *testing.T) {
	cases := map[string][]string{
		"empty":               {`{}`},
		"white space":         {" \n{ \"a\" : [ 1 , 2 ] , \"b\" : { } }\r\n", `{"a":[],"b":{"c":null}}`},
		"absent then null":    {`{"b":1}`, `{}`, `{"b":null}`, `{"b":1}`},
		"null then absent":    {`{"b":null}`, `{}`, `{"b":1}`},
		"only null":           {`{"a":null,"b":1}`, `{"a":null,"b":1}`},
		"late null":           {`{}`, `{"a":null}`, `{"a":null,"b":null}`, `{"c":1,"b":2}`},
		"null in nested":      {`{"o":{"a":null}}`, `{"o":{}}`, `{"o":null}`, `{}`, `{"o":{"a":1}}`},
		"order":               {`{"a":1,"b":2,"c":3}`, `{"c":3,"b":2,"a":1}`, `{"b":2,"a":1,"c":3}`, `{"b":1,"a":1,"c":1}`},
		"order with gaps":     {`{"a":1,"b":2,"c":3,"d":4}`, `{"a":1,"d":4}`, `{"d":4,"a":1}`, `{"b":2}`, `{"c":1,"b":2}`, `{}`},
		"nested order":        {`{"o":{"x":1,"y":[{"p":1,"q":2}]},"z":1}`, `{"z":1,"o":{"y":[{"q":2,"p":1},{"p":1,"q":2}],"x":1}}`},
		"case":                {`{"a":1,"A":"x","aA":1.5,"Aa":true,"a_2":null}`},
		"hidden names":        {`{"_firn":1,"_rest":2,"_FIRN":3,"dataset_id":"x","json":1,"Json":{"json":1}}`},
		"control keys":        {`{"\u0000":1,"\n":2,"\"":3,"\\":4,"\/":5,"":6," ":7}`, `{"":null}`, `{}`},
		"long keys":           {`{"` + strings.Repeat("k", 500) + `":1,"` + strings.Repeat("k", 501) + `":2,"` + strings.Repeat("k", 1025) + `":[1, 2, {"a": "b c"}]}`, `{}`},
		"ints":                {`{"a":0,"b":-1,"c":9007199254740993,"d":9223372036854775807,"e":-9223372036854775808}`},
		"long and double":     {`{"a":1}`, `{"a":1.5}`, `{"a":9007199254740992}`, `{"a":9007199254740993}`, `{"a":-0}`},
		"int64 then double":   {`{"a":9007199254740993}`, `{"a":0.1}`, `{"a":3}`},
		"double then int64":   {`{"a":0.1}`, `{"a":3}`, `{"a":9007199254740993}`},
		"wide":                {`{"a":1e400}`, `{"a":1}`, `{"a":0.1234567890123456789}`, `{"a":123456789012345678901}`, `{"a":"x"}`},
		"mixed":               {`{"a":null}`, `{"a":true}`, `{"a":1}`, `{"a":1.5}`, `{"a":"s"}`, `{"a":[1]}`, `{"a":{"a":1}}`, `{"a":1e999}`, `{}`},
		"arrays":              {`{"a":[]}`, `{"a":[1]}`, `{"a":[null,"x",[],[[]],{}]}`, `{"a":[[[{"b":[1,{"c":null},{}]}]]]}`},
		"null elements":       {`{"a":[null,null]}`, `{"a":[]}`},
		"empty elements":      {`{"a":[{},{},{}]}`},
		"empty then filled":   {`{"a":[{}]}`, `{"a":[{"b":1}]}`, `{"b":{}}`, `{"b":{"c":[{}]}}`},
		"many elements":       {`{"a":[` + strings.Repeat(`1,`, 20000) + `1],"b":"after"}`, `{"a":[` + strings.Repeat(`[1,2],`, 63) + `[3]],"b":"x"}`},
		"escapes":             {`{"a":"\u0041\ud83d\ude00\n\"\\\/\b\f\r\t","b":"` + strings.Repeat(`\n`, 40) + `"}`},
		"name clash":          {`{"a_b":{"c":{"d":1}},"a":{"b_c":{"d":1},"b":{"c":{"d":"x"}}}}`},
		"array and record":    {`{"a":[{"x":1}]}`, `{"a":{"x":"s"}}`, `{"a_item":{"x":1}}`},
		"record named Json":   {`{"a":1e400}`, `{"a":{"json":"x"}}`},
		"whole doubles":       {`{"a":9007199254740994.0}`, `{"a":1e17,"b":-9223372036854775808.0}`, `{"a":1e20}`, `{"a":1e21}`, `{"a":-4611686018427387904e0}`},
		"own whole double":    {`{"timestamp":1700000000123.0}`, `{"timestamp":1.7e12}`, `{"dataset_id":1.0}`},
		"own same":            {`{"timestamp":1700000000123,"dataset_id":"user \"1\" \u00e9","table":"battle log","a":1}`},
		"own other":           {`{"timestamp":"2024","dataset_id":5,"table":[1, 2],"a":1}`, `{"timestamp":1.5,"dataset_id":null,"table":{"a": null}}`, `{"table":true}`},
		"own other then same": {`{"timestamp":7,"a":1}`, `{"a":1,"timestamp":1700000000123}`},
		"own mixed": {
			`{"timestamp":1700000000123,"a":1}`, `{"a":1}`, `{"timestamp":null}`, `{"timestamp":-0}`, `{"timestamp":1e3,"table":"battle log"}`,
			`{"dataset_id":"user \"1\" é","table":"x"}`, `{"table":null,"dataset_id":"y","timestamp":9007199254740993}`, `{"timestamp":1700000000123.0}`,
		},
		"nested own names": {`{"o":{"timestamp":1,"dataset_id":"user \"1\" é","table":"battle log"}}`, `{"o":{}}`},
	}
	for name, recs := range cases {
		t.Run(name, func(t *testing.T) { checkAll(t, recs...) })
	}
}

// Nesting past the limit of types is text, and comes back all the same.
func TestDeepNesting(t *testing.T) {
	for _, n := range []int{1, 2, MaxLevels - 2, MaxLevels - 1, MaxLevels, MaxLevels + 1, 100, 5000} {
		checkAll(t,
			`{"a":`+strings.Repeat(`[`, n)+strings.Repeat(`]`, n)+`}`,
			`{"a":`+strings.Repeat(`[`, n)+`1, null`+strings.Repeat(`]`, n)+`}`,
			strings.Repeat(`{"a":`, n)+`"x y"`+strings.Repeat(`}`, n),
			strings.Repeat(`{"a":[`, n)+`null`+strings.Repeat(`]}`, n))
	}
}

func TestManyKeys(t *testing.T) {
	object := func(prefix string, n, step int) string {
		var b strings.Builder
		b.WriteByte('{')
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `"%s%d":[%d, null]`, prefix, i*step, i)
		}
		b.WriteByte('}')
		return b.String()
	}
	s := checkAll(t, object("k", 10_000, 1), `{}`, `{"k9999":null,"k0":null,"new":"x"}`, object("k", 300, 2))
	if s.Fallback() {
		t.Error("a record of many keys needs the fallback schema")
	}
	if n := len(s.root.index) - ownCount; n != MaxKeys {
		t.Errorf("%d keys are fields, not %d", n, MaxKeys)
	}

	var recs []string
	for i := range 40 {
		recs = append(recs, fmt.Sprintf(`{"part%d":%s}`, i, object("x", 200, 1)))
	}
	s = checkAll(t, recs...)
	if s.Fallback() {
		t.Error("a table of many keys needs the fallback schema")
	}
}

// Arrays of objects that lack nearly all of many keys stay about as long as their text.
func TestSparseArrays(t *testing.T) {
	keys := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":%d`, i, i)
		}
		return "{" + b.String()[min(1, b.Len()):] + "}"
	}
	for _, n := range []int{1, wideFields, wideFields + 1, 100, 250} {
		for name, form := range map[string][2]string{
			"array":         {`{"b":1,"a":[%s],"z":2}`, `%s`},
			"null too":      {`{"b":1,"a":[null,%s],"z":2}`, `%s`},
			"arrays":        {`{"a":[[[%s]]]}`, `%s`},
			"record":        {`{"a":[%s]}`, `{"b":%s}`},
			"record deeper": {`{"o":{"a":[{"b":{"c":[%s]},"x":"y"}]}}`, `{"d":%s}`},
		} {
			t.Run(fmt.Sprintf("%s of %d", name, n), func(t *testing.T) {
				of := func(elements ...string) string {
					var list []string
					for _, e := range elements {
						list = append(list, fmt.Sprintf(form[1], e))
					}
					return fmt.Sprintf(form[0], strings.Join(list, ","))
				}
				many := strings.Split(strings.Repeat("{},", 3000)+"{}", ",")
				mixed := append(append([]string{keys(n)}, many...), keys(n/2))
				recs := []string{of(keys(n)), of(many...), of("{}"), of(mixed...), `{"a":null}`, `{"o":{"a":null}}`, `{"o":{}}`, `{}`}
				checkAll(t, recs...)
				// Null first, so that a field whose value goes to _rest is an exception.
				checkAll(t, append([]string{`{"a":null,"o":{"a":null}}`}, recs...)...)
				checkReloaded(t, recs)
				// Many such fields, not in the order of the schema.
				checkAll(t, append(recs, `{"z":[1],"a":`+of(many...)+`,"c":`+of(mixed...)+`}`, `{"c":null,"a":`+of("{}")+`}`, `{"c":`+of(many...)+`}`)...)
			})
		}
	}
	// Where typed values are short they stay typed.
	s := checkAll(t, `{"a":[`+keys(100)+`]}`, `{"a":[{},{"k1":7}]}`)
	e := s.NewEncoder()
	b, err := e.Append(nil, "u", 0, []byte(`{"a":[`+keys(100)+`]}`))
	if err != nil || bytes.Contains(b, []byte(`"k1"`)) {
		t.Errorf("a full array went to _rest: %q %v", b, err)
	}
	b, err = e.Append(nil, "u", 0, []byte(`{"a":[`+strings.Repeat("{},", 1000)+`{"k1":7}]}`))
	if err != nil || !bytes.Contains(b, []byte(`"k1"`)) {
		t.Errorf("an array of %d bytes did not go to _rest: %v", len(b), err)
	}
}

// checkReloaded compares a tree with one that is written and parsed after every record, and
// with one that is cloned.
func checkReloaded(t *testing.T, recs []string) {
	t.Helper()
	tree, reloaded, cloned := NewTree(testTable), NewTree(testTable), NewTree(testTable)
	for _, rec := range recs {
		tree.Add(testDataset, testTime, []byte(rec))
		reloaded.Add(testDataset, testTime, []byte(rec))
		durable := reloaded.AppendTo(nil)
		if !bytes.Equal(durable, tree.AppendTo(nil)) {
			t.Fatalf("a parsed tree learns in another way from %.200s", rec)
		}
		before := cloned.AppendTo(nil)
		clone := cloned.Clone()
		clone.Add(testDataset, testTime, []byte(rec))
		if !bytes.Equal(clone.AppendTo(nil), durable) || !bytes.Equal(cloned.AppendTo(nil), before) {
			t.Fatalf("a clone learns in another way from %.200s, or its tree with it", rec)
		}
		cloned = clone
		var err error
		if reloaded, err = ParseTree(durable); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFallback(t *testing.T) {
	tree := NewTree(testTable)
	var recs []string
	version := tree.Version()
	for i := 0; i < 4000 && !tree.fallback; i++ {
		key := strings.Repeat(fmt.Sprintf(`k%d`, i), 1000)[:1000]
		rec := fmt.Sprintf(`{"o%d":{"%s": [ 1 ]}}`, i%200, key)
		recs = append(recs, rec)
		if !tree.Add(testDataset, testTime, []byte(rec)) {
			t.Fatal("a new key did not change the tree")
		}
		if version++; tree.Version() != version {
			t.Fatalf("version %d, not %d", tree.Version(), version)
		}
		if i%100 == 0 || tree.fallback {
			if s := tree.Schema(); s.Fallback() != tree.fallback || len(s.Text()) > MaxSchemaBytes {
				t.Fatalf("after %d records the schema has %d bytes and Fallback is %v", i, len(s.Text()), s.Fallback())
			}
		}
	}
	if !tree.fallback {
		t.Fatalf("no fallback after %d records: %d bytes of schema", len(recs), len(tree.Schema().Text()))
	}
	if tree.Add(testDataset, testTime, []byte(`{"anything":"else"}`)) {
		t.Error("a tree that gave up still changes")
	}
	recs = append(recs, ` { "a" : "b c" , "timestamp" : 1700000000123, "d":[ ] } `, `{}`)
	s := tree.Schema()
	e, d := s.NewEncoder(), s.NewDecoder()
	for _, rec := range recs {
		if err := checkRecord(s, e, d, testDataset, testTime, []byte(rec)); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever the records: all of them fit, come back, and change nothing when their shape
// was seen; every version reads as a superset of the one before; durable forms give the
// same tree.
func TestRandomRecords(t *testing.T) {
	seeds := uint64(150)
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		if t.Failed() {
			return
		}
		randomTable(t, seed)
	}
}

func randomTable(t *testing.T, seed uint64) {
	g := newGenerator(seed)
	tree := NewTree(testTable)
	scan := jsonscan.NewScanner(jsonscan.Options{})
	shapes := map[uint64][]byte{}
	compat := avro.NewSchemaCompatibility()
	var recs [][]byte
	var last avro.Schema
	for range 5 + g.IntN(40) {
		rec := g.record(testDataset, testTable, testTime)
		found, err := scan.Record(rec)
		if err != nil {
			t.Fatalf("seed %d: the generator made %s: %v", seed, rec, err)
		}
		recs = append(recs, rec)
		do, to, so := CompareOwn(found, rec, testDataset, testTable, testTime)
		shape := OwnShape(found.Shape, do, to, so)
		version := tree.Version()
		changed := tree.Add(testDataset, testTime, rec)
		if first, seen := shapes[shape]; seen && changed {
			t.Fatalf("seed %d: same shape, but the tree changed:\n%s\n%s", seed, first, rec)
		}
		shapes[shape] = rec
		if changed != (tree.Version() != version) || tree.Version() > version+1 {
			t.Fatalf("seed %d: changed is %v, versions %d and %d", seed, changed, version, tree.Version())
		}
		if !changed {
			continue
		}
		if text := tree.appendText(nil); len(text) > tree.estimate {
			t.Fatalf("seed %d: %d bytes of schema, estimated %d: %s", seed, len(text), tree.estimate, text)
		}
		durable := tree.AppendTo(nil)
		again, err := ParseTree(durable)
		if err != nil {
			t.Fatalf("seed %d: %v in %q", seed, err, durable)
		}
		if !bytes.Equal(again.AppendTo(nil), durable) || !bytes.Equal(again.Schema().Text(), tree.Schema().Text()) || again.estimate != tree.estimate {
			t.Fatalf("seed %d: the durable form gives another tree: %s\n%s", seed, tree.Schema().Text(), again.Schema().Text())
		}
		if g.IntN(3) == 0 {
			tree = again // goes on as the first would have
		}
		if g.IntN(3) == 0 {
			clone := tree.Clone()
			extra := g.record(testDataset, testTable, testTime)
			tree.Add(testDataset, testTime, extra)
			if !bytes.Equal(clone.AppendTo(nil), durable) {
				t.Fatalf("seed %d: a clone changed with its tree", seed)
			}
			// What the tree learned must not show in what the clone makes of the same.
			if twin := clone.Clone(); true {
				twin.Add(testDataset, testTime, extra)
				if !bytes.Equal(twin.AppendTo(nil), tree.AppendTo(nil)) {
					t.Fatalf("seed %d: a clone goes on in another way than its tree", seed)
				}
			}
			tree = clone
		}
		s := tree.Schema()
		if s.Fallback() {
			t.Fatalf("seed %d: fallback for %s", seed, tree.appendText(nil))
		}
		next, err := avro.ParseBytesWithCache(s.Text(), "", &avro.SchemaCache{})
		if err != nil {
			t.Fatal(err)
		}
		if last != nil {
			if err := compat.Compatible(next, last); err != nil {
				t.Fatalf("seed %d: the new version does not read the old one: %v\n%s\n%s", seed, err, last, next)
			}
		}
		last = next
	}
	s := tree.Schema()
	if s.Table() != testTable || s.Version() != tree.Version() {
		t.Fatalf("schema of %q version %d", s.Table(), s.Version())
	}
	e, d := s.NewEncoder(), s.NewDecoder()
	for _, rec := range recs {
		if err := checkRecord(s, e, d, testDataset, testTime, rec); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, s.Text())
		}
	}
}

// A schema either takes a record and gives it back, or says that it does not cover it.
func TestForeignRecords(t *testing.T) {
	covered, refused := 0, 0
	for seed := range uint64(300) {
		g := newGenerator(seed)
		tree := NewTree(testTable)
		for range 1 + g.IntN(10) {
			tree.Add(testDataset, testTime, g.record(testDataset, testTable, testTime))
		}
		s := tree.Schema()
		e, d := s.NewEncoder(), s.NewDecoder()
		for range 20 {
			rec := g.record(testDataset, testTable, testTime)
			switch err := checkRecord(s, e, d, testDataset, testTime, rec); {
			case errors.Is(err, ErrNotCovered):
				refused++
				if !tree.Clone().Add(testDataset, testTime, rec) {
					t.Fatalf("seed %d: not covered, but the tree knows it: %s\n%s", seed, rec, s.Text())
				}
			case err != nil:
				t.Fatalf("seed %d: %v\n%s", seed, err, s.Text())
			default:
				covered++
			}
		}
	}
	if covered < 100 || refused < 100 {
		t.Errorf("%d covered and %d refused: the test says little", covered, refused)
	}
}
