package jsonscan

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

func scanRecord(t *testing.T, s *Scanner, text string) Record {
	t.Helper()
	r, err := s.Record([]byte(text))
	if err != nil {
		t.Fatalf("Record(%.200q): %v", text, err)
	}
	return r
}

func TestRecordFindsMembers(t *testing.T) {
	s := NewScanner(Options{Capture: [3]string{"when", "timestamp", "é"}})
	text := " \r\n{\"timestamp\" : 12 ,\"x\":{\"table\":1,\"timestamp\":0},\"dat\\u0061set_id\":\"u1\",\"table\":[ {\"a\":1} ],\"when\":\"now\",\"\\u00e9\":null}\t "
	b := []byte(text)
	r := scanRecord(t, s, text)
	for _, c := range []struct {
		name string
		span Span
		want string
	}{
		{"object", r.Object, strings.TrimSpace(text)},
		{"timestamp", r.Timestamp, "12"},
		{"dataset", r.Dataset, `"u1"`},
		{"table", r.Table, `[ {"a":1} ]`},
		{"captured 0", r.Captured[0], `"now"`},
		{"captured 1", r.Captured[1], "12"},
		{"captured 2", r.Captured[2], "null"},
	} {
		if got := string(c.span.Of(b)); got != c.want || !c.span.Present() {
			t.Errorf("%s = %q, want %q", c.name, got, c.want)
		}
	}
	r = scanRecord(t, s, `{}`)
	if r.Object != (Span{0, 2}) || r.Timestamp.Present() || r.Dataset.Present() || r.Table.Present() || r.Captured != [3]Span{} {
		t.Errorf("an empty record has members: %+v", r)
	}
	if r.Timestamp.Of([]byte(`{}`)) == nil || len(r.Timestamp.Of([]byte(`{}`))) != 0 {
		t.Error("an absent span is not empty")
	}
	s.SetOptions(Options{})
	if r := scanRecord(t, s, `{"":1,"when":2}`); r.Captured != [3]Span{} {
		t.Errorf("nothing was to be captured: %+v", r)
	}
	// Value looks for nothing, also right after Record.
	if err := s.Value([]byte(`{"timestamp":1}`)); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	long := strings.Repeat("k", 100)
	for _, c := range []struct {
		text   string
		offset int
		reason string
	}{
		{``, 0, "the text ends where a value should follow"},
		{`  `, 2, "the text ends where a value should follow"},
		{`[]`, 0, "a record must be a JSON object, not another value"},
		{` "a"`, 1, "a record must be a JSON object, not another value"},
		{`[1,]`, 3, "a value expected, found ']'"},
		{"\xef\xbb\xbf{}", 0, "a value expected, found byte 0xef"},
		{`{`, 1, "the text ends where a key in quotes should follow"},
		{`{"a":1,}`, 7, "a key in quotes expected, found '}'"},
		{`{a:1}`, 1, "a key in quotes expected, found 'a'"},
		{`{"a"}`, 4, "':' expected, found '}'"},
		{`{"a":}`, 5, "a value expected, found '}'"},
		{`{"a":1`, 6, "the text ends where ',' or '}' should follow"},
		{`{"a":1]`, 6, "',' or '}' expected, found ']'"},
		{`{"a":[1}`, 7, "',' or ']' expected, found '}'"},
		{`{"a":[1`, 7, "the text ends where ',' or ']' should follow"},
		{`{"a":1}{}`, 7, "more data after the value"},
		{"{\"a\":1}\x00", 7, "more data after the value"},
		{`{"a":tru}`, 5, "a value expected, found 't'"},
		{`{"a":fals`, 5, "a value expected, found 'f'"},
		{`{"a":nulL}`, 5, "a value expected, found 'n'"},
		{`{"a":truee}`, 9, "',' or '}' expected, found 'e'"},
		{`{"a":01}`, 6, "',' or '}' expected, found '1'"},
		{`{"a":-}`, 6, "a digit expected, found '}'"},
		{`{"a":-`, 6, "the text ends where a digit should follow"},
		{`{"a":1.}`, 7, "a digit expected, found '}'"},
		{`{"a":1e}`, 7, "a digit expected, found '}'"},
		{`{"a":1e+}`, 8, "a digit expected, found '}'"},
		{`{"a":1.5e`, 9, "the text ends where a digit should follow"},
		{`{"a":+1}`, 5, "a value expected, found '+'"},
		{`{"a":.5}`, 5, "a value expected, found '.'"},
		{"{\v\"a\":1}", 1, "a key in quotes expected, found '\\v'"},
		{`{"a`, 3, "the text ends inside a string"},
		{`{"a":"abcdefghijk`, 17, "the text ends inside a string"},
		{"{\"a\":\"abc\ndefghijk\"}", 9, "control character '\\n' inside a string"},
		{"{\"a\":\"abc\x1f\"}", 9, "control character '\\x1f' inside a string"},
		{`{"a":"abcdefgh\x41"}`, 14, "escape that JSON does not know"},
		{`{"a":"\u12g4"}`, 6, "escape that JSON does not know"},
		{`{"a":"\u123`, 6, "escape that JSON does not know"},
		{`{"a":"\`, 6, "escape that JSON does not know"},
		{`{"a":"\ud800"}`, 6, "escape of half a surrogate pair"},
		{`{"a":"\udc00\ud800"}`, 6, "escape of half a surrogate pair"},
		{`{"a":"\udfff"}`, 6, "escape of half a surrogate pair"},
		{`{"a":"\ud800\n"}`, 6, "escape of half a surrogate pair"},
		{`{"a":"\ud800\ud800"}`, 6, "escape of half a surrogate pair"},
		{`{"\uDBFFxxxxxxxxxxx":1}`, 2, "escape of half a surrogate pair"},
		{"{\"a\":\"abc\xff\"}", 9, "not valid UTF-8"},
		{"{\"a\":\"\xed\xa0\x80\"}", 6, "not valid UTF-8"},
		{"{\"a\":\"\xc0\x80\"}", 6, "not valid UTF-8"},
		{"{\"a\":\"\xf4\x90\x80\x80\"}", 6, "not valid UTF-8"},
		{"{\"a\":\"\xe2\x82\"}", 6, "not valid UTF-8"},
		{"{\"\x80\":1}", 2, "not valid UTF-8"},
		{`{"a":1,"b":2,"a":3}`, 13, `key "a" twice in one object`},
		{`{"a":1,"\u0061":3}`, 7, `key "a" twice in one object`},
		{`{"\ud83d\ude00":1,"😀":3}`, 18, "key \"😀\" twice in one object"},
		{`{"":1,"":3}`, 6, `key "" twice in one object`},
		{`{"x":[{"y":{"a":1,"a":3}}]}`, 18, `key "a" twice in one object`},
		{`{"` + long + `":1,"` + long + `":2}`, 106, `key "` + long[:64] + `"... twice in one object`},
		{`{"a":` + strings.Repeat("[", 999) + "[" + strings.Repeat("]", 1000) + "}", 5 + 999, "nested deeper than 1000 levels"},
	} {
		r, err := NewScanner(Options{}).Record([]byte(c.text))
		var se *SyntaxError
		if !errors.As(err, &se) || se.Offset != c.offset || se.Reason != c.reason {
			t.Errorf("Record(%.80q): %v, want %q at byte %d", c.text, err, c.reason, c.offset)
		}
		if r != (Record{}) {
			t.Errorf("Record(%.80q): a refused record gave %+v", c.text, r)
		}
	}
	err := NewScanner(Options{}).Value([]byte(`[1 2]`))
	if err == nil || err.Error() != "',' or ']' expected, found '2' at byte 3" {
		t.Errorf("text of an error: %v", err)
	}
}

func TestDepth(t *testing.T) {
	nested := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	objects := func(n int) []byte { return []byte(strings.Repeat(`{"":`, n) + "1" + strings.Repeat("}", n)) }
	for _, c := range []struct{ option, limit int }{{0, 1000}, {-3, 1000}, {1, 1}, {7, 7}, {10_000, 10_000}, {math.MaxInt, 10_000}} {
		s := NewScanner(Options{MaxDepth: c.option})
		for name, make := range map[string]func(int) []byte{"arrays": nested, "objects": objects} {
			if err := s.Value(make(c.limit)); err != nil {
				t.Errorf("MaxDepth %d: %d %s: %v", c.option, c.limit, name, err)
			}
			if err := s.Value(make(c.limit + 1)); err == nil {
				t.Errorf("MaxDepth %d: %d %s were accepted", c.option, c.limit+1, name)
			}
		}
	}
	if err := NewScanner(Options{}).Value([]byte(strings.Repeat("[", 4<<20))); err == nil {
		t.Error("a wall of brackets was accepted")
	}
}

func TestInputLimit(t *testing.T) {
	s := NewScanner(Options{})
	if s.maxBytes != math.MaxInt32 {
		t.Errorf("limit of %d bytes", s.maxBytes)
	}
	s.maxBytes = 4
	if err := s.Value([]byte("1234")); err != nil {
		t.Error(err)
	}
	if err := s.Value([]byte("12345")); err == nil || !strings.Contains(err.Error(), "2 GiB") {
		t.Error(err)
	}
}

// TestManyKeys goes through every size of the key table, with nested objects large and
// small in between, and puts a repeated key at several places.
func TestManyKeys(t *testing.T) {
	s := NewScanner(Options{})
	build := func(n, repeat int) []byte {
		var b []byte
		b = append(b, '{')
		for i := range n {
			key := i
			if i == n-1 && repeat >= 0 {
				key = repeat
			}
			b = fmt.Appendf(b, `"key %d":`, key)
			switch {
			case i%97 == 50:
				b = append(b, '{')
				for j := range i % 200 {
					b = fmt.Appendf(b, `"key %d":%d,`, j, j)
				}
				b = append(b, `"last":[1,"a",{},[],{"a":1},[null]]}`...)
			default:
				b = append(b, '1')
			}
			b = append(b, ',')
		}
		b[len(b)-1] = '}'
		return b
	}
	for _, n := range []int{2, 31, 32, 33, 34, 64, 65, 66, 127, 128, 129, 255, 256, 257, 300, 1000, 5000} {
		if _, err := s.Record(build(n, -1)); err != nil {
			t.Errorf("%d keys: %v", n, err)
		}
		for _, repeat := range []int{0, (n - 1) / 2, n - 2} {
			_, err := s.Record(build(n, repeat))
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf(`key "key %d" twice`, repeat)) {
				t.Errorf("%d keys, the last equal to number %d: %v", n, repeat, err)
			}
		}
	}
	// Working memory of a huge record is given back; the next record is fine.
	huge := build(200_000, -1)
	if _, err := s.Record(huge); err != nil {
		t.Fatal(err)
	}
	if cap(s.keys) > keepEntries || cap(s.slot) > 8*keepEntries {
		t.Errorf("kept room for %d entries and %d slots", cap(s.keys), cap(s.slot))
	}
	if _, err := s.Record(build(200_000, 7)); err == nil {
		t.Error("a key repeated after 200,000 others was accepted")
	}
	scanRecord(t, s, `{"a":1}`)
}

// TestEqualHashes makes every key collide: text must decide then, in the list and in
// the table.
func TestEqualHashes(t *testing.T) {
	s := NewScanner(Options{})
	b := []byte(`"a" "b" "\u0061" "c" "b"`)
	starts := []int{0, 4, 8, 17, 21}
	fresh := []bool{true, true, false, true, false}
	st := s.newSet()
	var got []bool
	for _, at := range starts {
		got = append(got, s.add(&st, 42, b, at))
	}
	if !slices.Equal(got, fresh) {
		t.Errorf("list: added %v, want %v", got, fresh)
	}
	for i := range 100 {
		s.add(&st, uint64(i)<<32|42, nil, 0)
	}
	if st.bits == 0 {
		t.Fatal("no table was made")
	}
	b = append(b, ` "d"`...)
	starts = append(starts, len(b)-3)
	if !s.add(&st, 42, b, len(b)-3) {
		t.Error("table: another key of equal hash was taken for one that is there")
	}
	for _, at := range starts {
		if s.add(&st, 42, b, at) {
			t.Errorf("table: key at %d was added again", at)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	s := NewScanner(Options{Capture: [3]string{"when"}})
	rec := []byte(`{"timestamp":1700000000000,"level":"info","\u00e9":"a\n😀","n":1.25,"w":123456789012345678901234567890,` +
		`"d":0.12345678901234567,"list":[1,"a",{"a":[{}]},{"b":null}],"deep":{"a":{"b":{"c":true}}}}`)
	var many []byte
	for i := range 300 {
		many = fmt.Appendf(many, `,"key %d":%d`, i, i)
	}
	many[0] = '{'
	many = append(many, '}')
	for _, b := range [][]byte{rec, many} {
		if n := testing.AllocsPerRun(100, func() {
			if _, err := s.Record(b); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations for %.30q", n, b)
		}
	}
}
