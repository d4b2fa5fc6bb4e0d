package jsonsuite

import (
	"bytes"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/firndb/firn/blockfile/jsonscan"
	"github.com/firndb/firn/tests/harness"
)

// depth is the limit of both sides, which jsontext has fixed.
const depth = 10_000

// FuzzDifferential asks both judges whether bytes are strict JSON, and where they are,
// compares what each finds in them.
func FuzzDifferential(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":{"b":[1,2.5,-0,1e400]},"c":"\ud83d\ude00"}`, `"\ud800"`, "\"\xed\xa0\x80\"", "\xef\xbb\xbf1",
		`[[[[]]],{"":[{}]}]`, ` [ 1 , "x" , null , true , false ] `, `{"timestamp":1,"dataset_id":"d","table":"t","x":{"timestamp":2}}`, `1 2`, `01`, `-`, `[1,]`,
		`{"abcdefgh":"ijklmnop","qrstuvwxyz":"0123456789\n0123456789"}`, `[9007199254740993,123456789012345678901234567890,0.30000000000000004]`,
		`[{"a":1},{"a":2},{"b":1},{"a":null},[1],[2],["x"]]`,
	} {
		f.Add([]byte(text))
	}
	if harness.DataFolder() != "" {
		for _, part := range []string{"test_parsing", "test_transform"} {
			for _, b := range suite(f, part) {
				if len(b) < 10_000 {
					f.Add(b)
				}
			}
		}
	}
	s := jsonscan.NewScanner(jsonscan.Options{MaxDepth: depth, Capture: [3]string{"a", "x", "timestamp"}})
	shapes, models := map[uint64]string{}, map[string]uint64{}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		err := s.Value(b)
		rec, recErr := s.Record(b)
		if !bytes.Equal(b, before) {
			t.Fatal("the input was changed")
		}
		valid := jsontext.Value(b).IsValid(jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false))
		if (err == nil) != valid {
			t.Fatalf("%q: jsontext says %v, jsonscan %v", b, valid, err)
		}
		if object := valid && bytes.TrimSpace(b)[0] == '{'; (recErr == nil) != object {
			t.Fatalf("%q: is an object: %v, Record says %v", b, object, recErr)
		}
		if err != nil {
			se := err.(*jsonscan.SyntaxError)
			if se.Offset < 0 || se.Offset > len(b) || se.Reason == "" {
				t.Fatalf("%q: %+v", b, se)
			}
			return
		}
		start := jsonscan.SkipSpace(b, 0)
		if end := jsonscan.SkipValue(b, start); jsonscan.SkipSpace(b, end) != len(b) {
			t.Fatalf("%q: SkipValue stops at %d", b, end)
		}
		walk(t, jsontext.NewDecoder(bytes.NewReader(b)), 0, nil)
		if recErr != nil {
			return
		}

		own := map[string]string{}
		model := walk(t, jsontext.NewDecoder(bytes.NewReader(b)), 1, own)
		for key, span := range map[string]jsonscan.Span{"timestamp": rec.Timestamp, "dataset_id": rec.Dataset, "table": rec.Table,
			"a": rec.Captured[0], "x": rec.Captured[1]} {
			if got := string(span.Of(b)); got != own[key] {
				t.Fatalf("%q: member %s is %q, want %q", b, key, got, own[key])
			}
		}
		if rec.Captured[2] != rec.Timestamp {
			t.Fatalf("%q: captured %v, own %v", b, rec.Captured[2], rec.Timestamp)
		}
		// Shapes and models must pair off one to one.
		if other, ok := shapes[rec.Shape]; ok && other != model {
			t.Fatalf("%q: shape stands for %s and %s", b, other, model)
		}
		if other, ok := models[model]; ok && other != rec.Shape {
			t.Fatalf("%q: two shapes for %s", b, model)
		}
		if len(models) < 1<<16 {
			shapes[rec.Shape], models[model] = model, rec.Shape
		}
	})
}

// walk reads one value and describes its shape in words; on the way it compares strings
// and numbers. With members, the value is a record at level 1: its members' raw values
// are put there and the own ones are left out of the description.
func walk(t *testing.T, d *jsontext.Decoder, level int, members map[string]string) string {
	kind := d.PeekKind()
	switch kind {
	case '{':
		must(d.ReadToken())
		var parts []string
		for d.PeekKind() != '}' {
			quoted := bytes.Clone(must(d.ReadValue()))
			key := text(t, quoted)
			if level != 1 {
				parts = append(parts, fmt.Sprintf("%q:%s", key, walk(t, d, 0, nil)))
				continue
			}
			value := bytes.Clone(must(d.ReadValue()))
			members[key] = string(value)
			if key != "timestamp" && key != "dataset_id" && key != "table" {
				parts = append(parts, fmt.Sprintf("%q:%s", key, walk(t, jsontext.NewDecoder(bytes.NewReader(value)), 0, nil)))
			}
		}
		must(d.ReadToken())
		slices.Sort(parts)
		return "{" + strings.Join(parts, ",") + "}"
	case '[':
		must(d.ReadToken())
		var elems []string
		for d.PeekKind() != ']' {
			elems = append(elems, walk(t, d, 0, nil))
		}
		must(d.ReadToken())
		slices.Sort(elems)
		return "[" + strings.Join(slices.Compact(elems), ";") + "]"
	case '"':
		text(t, must(d.ReadValue()))
		return "string"
	case '0':
		return number(t, must(d.ReadValue()))
	case 't', 'f':
		must(d.ReadToken())
		return "bool"
	default:
		must(d.ReadToken())
		return "null"
	}
}

// must is for reads of text that was found valid before.
func must[T any](v T, err error) T {
	if err != nil && err != io.EOF {
		panic(err)
	}
	return v
}

// text compares the ways to read and write a string.
func text(t *testing.T, quoted []byte) string {
	want := string(must(jsontext.AppendUnquote(nil, quoted)))
	if got := jsonscan.AppendUnquoted(nil, quoted); string(got) != want {
		t.Fatalf("%s is %q, not %q", quoted, want, got)
	}
	if !jsonscan.EqualString(quoted, want) || jsonscan.EqualString(quoted, want+"x") {
		t.Fatalf("%s does not equal %q alone", quoted, want)
	}
	again := jsonscan.AppendQuoted(nil, []byte(want))
	if back := string(must(jsontext.AppendUnquote(nil, again))); back != want {
		t.Fatalf("%q is written as %s", want, again)
	}
	return want
}

// number names a number's class by arithmetic, and compares the ways to read it.
func number(t *testing.T, b []byte) string {
	got := jsonscan.ClassifyNumber(b)
	want := class(string(b))
	if got != want {
		t.Fatalf("%s is of class %d, not %d", b, want, got)
	}
	if got == jsonscan.Double || got == jsonscan.Int53 {
		f, err := strconv.ParseFloat(string(b), 64)
		if p := jsonscan.ParseDouble(b); err != nil || p != f {
			t.Fatalf("%s is %v, not %v", b, f, p)
		}
		if back := jsonscan.AppendDouble(nil, f); !jsontext.Value(back).IsValid() || normal(string(back)) != normal(string(b)) {
			t.Fatalf("%s came back as %s", b, back)
		}
	}
	return [...]string{"int53", "int64", "double", "wide"}[got]
}

func class(s string) jsonscan.NumberClass {
	if !strings.ContainsAny(s, ".eE") && s != "-0" {
		n, _ := new(big.Int).SetString(s, 10)
		switch {
		case n.IsInt64() && new(big.Int).Abs(n).Cmp(big.NewInt(1<<53)) <= 0:
			return jsonscan.Int53
		case n.IsInt64():
			return jsonscan.Int64
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err == nil && normal(strconv.FormatFloat(f, 'e', -1, 64)) == normal(s) {
		return jsonscan.Double
	}
	return jsonscan.Wide
}

// normal spells a number so that equal values have equal text: sign, digits without
// zeros at either end, power of ten of the last digit.
func normal(s string) string {
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	exp := new(big.Int)
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		exp.SetString(strings.TrimPrefix(s[i+1:], "+"), 10)
		s = s[:i]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	short := strings.TrimRight(digits, "0")
	if short == "" {
		return sign + "0"
	}
	exp.Add(exp, big.NewInt(int64(len(digits)-len(short)-len(fraction))))
	return sign + short + "e" + exp.String()
}
