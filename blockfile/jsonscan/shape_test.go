package jsonscan

import "testing"

func TestShape(t *testing.T) {
	s := NewScanner(Options{})
	shape := func(text string) uint64 { return scanRecord(t, s, text).Shape }

	// Records of one group have one shape; those of different groups do not.
	groups := [][]string{
		{`{}`, ` { } `, `{"timestamp":1,"dataset_id":"x","table":"y"}`, `{"table":[{"a":1}],"timestamp":null}`, `{"\u0074able":{}}`},
		{`{"a":1}`, `{"a":-7,"table":1}`, "{ \"a\" :\n9007199254740992}", `{"\u0061":0}`},
		{`{"a":9007199254740993}`, `{"a":-9223372036854775808}`},
		{`{"a":1.5}`, `{"a":-0}`, `{"a":1e300}`, `{"a":100000000000000000000}`},
		{`{"a":1e400}`, `{"a":0.12345678901234567890123}`},
		{`{"a":"x"}`, `{"a":""}`, `{"a":"\n😀"}`},
		{`{"a":true}`, `{"a":false}`},
		{`{"a":null}`},
		{`{"a":{}}`},
		{`{"a":[]}`, `{"a":[ ]}`},
		{`{"a":[[]]}`, `{"a":[[],[],[]]}`},
		{`{"a":[[[]]]}`},
		{`{"a":[{}]}`},
		{`{"a":[{},{"b":1,"c":1}]}`},
		{`{"a":[1]}`, `{"a":[1,2,3]}`},
		{`{"a":[null]}`},
		{`{"a":[1,null]}`, `{"a":[null,1,1,null,2]}`, `{"a":[null,1,null,1]}`},
		{`{"a":[1,"x",null]}`, `{"a":["x",null,1,"x",2]}`},
		{`{"a":[{"b":1}]}`, `{"a":[{"b":1},{"b":2}]}`},
		{`{"a":[{"b":1},{"c":1}]}`, `{"a":[{"c":1},{"b":1},{"c":2}]}`},
		{`{"a":[{"b":1,"c":1}]}`},
		{`{"a":[[1]]}`, `{"a":[[1],[2,3]]}`},
		{`{"a":[[1],["x"]]}`, `{"a":[["x"],[1],["y","z"]]}`},
		{`{"a":[[1,"x"]]}`, `{"a":[["x",1]]}`},
		{`{"a":[[1],[]]}`},
		{`{"a":{"b":1}}`},
		{`{"a":{"table":1}}`},
		{`{"a":{"timestamp":1}}`},
		{`{"a":{"b":1,"c":1}}`},
		{`{"a":{"b":1},"c":1}`},
		{`{"a":{"b":{"c":1}}}`},
		{`{"a":{},"b":1}`},
		{`{"b":1}`},
		{`{"A":1}`},
		{`{"":1}`},
		{`{"a":1,"b":"x"}`, `{"b":"x","a":1}`, `{"b":"","table":1,"a":0}`},
		{`{"a":{"b":1,"c":[]},"d":true}`, `{"d":false,"a":{"c":[],"b":2}}`},
		{`{"a":"x","b":1}`},
		{`{"ab":1}`},
		{`{"table_name":1}`},
	}
	seen := map[uint64]string{}
	for _, group := range groups {
		want := shape(group[0])
		for _, text := range group[1:] {
			if shape(text) != want {
				t.Errorf("%s and %s differ", group[0], text)
			}
		}
		if other, ok := seen[want]; ok {
			t.Errorf("%s and %s are alike", other, group[0])
		}
		seen[want] = group[0]
	}
	// Long arrays of many shapes, in another order.
	var forth, back []byte
	for i := range 500 {
		forth = append(append(forth, `,{"k`...), byte('a'+i%26), byte('a'+i/26), '"', ':', '1', '}')
		j := 499 - i
		back = append(append(back, `,{"k`...), byte('a'+j%26), byte('a'+j/26), '"', ':', '2', '}')
	}
	if shape(`{"a":[`+string(forth[1:])+`]}`) != shape(`{"a":[`+string(back[1:])+string(forth)+`]}`) {
		t.Error("the order of elements changed the shape")
	}
	if shape(`{"a":[`+string(forth[1:])+`]}`) == shape(`{"a":[`+string(forth[1:])+`,1]}`) {
		t.Error("an element more did not change the shape")
	}
}

// TestCapturingKeepsShape: only the own members are left out of the shape.
func TestCapturingKeepsShape(t *testing.T) {
	text := `{"a":1,"timestamp":2,"b":"x"}`
	want := scanRecord(t, NewScanner(Options{}), text).Shape
	if got := scanRecord(t, NewScanner(Options{Capture: [3]string{"b", "timestamp", "a"}}), text).Shape; got != want {
		t.Error("capturing members changed the shape")
	}
}

func TestOwnShapes(t *testing.T) {
	s := NewScanner(Options{})
	r := scanRecord(t, s, `{"timestamp":"x","dataset_id":{"a":[1]},"table":null}`)
	if r.TimestampShape != shapeOf[kindString] || r.TableShape != shapeOf[kindNull] {
		t.Error("own members have other shapes than their values")
	}
	q := scanRecord(t, s, `{"dataset_id":{"a":[2,3]},"timestamp":1}`)
	if q.DatasetShape != r.DatasetShape || q.DatasetShape == 0 || q.TimestampShape == r.TimestampShape || q.TableShape != 0 {
		t.Errorf("%+v", q)
	}
}
