package jsonsuite

import (
	"strings"
	"testing"

	"github.com/firndb/firn/blockfile/jsonscan"
)

// refusedAnyway are the files that the suite accepts and firn refuses: a key stands
// twice in an object.
var refusedAnyway = map[string]bool{
	"y_object_duplicated_key.json":           true,
	"y_object_duplicated_key_and_value.json": true,
}

// accepted are the files that the suite leaves free and firn accepts: numbers of any
// size, since their text is kept, and nesting within the limit. What is not listed is
// refused: text that is not UTF-8, half surrogate pairs, a byte order mark.
var accepted = map[string]bool{
	"i_number_double_huge_neg_exp.json":   true,
	"i_number_huge_exp.json":              true,
	"i_number_neg_int_huge_exp.json":      true,
	"i_number_pos_double_huge_exp.json":   true,
	"i_number_real_neg_overflow.json":     true,
	"i_number_real_pos_overflow.json":     true,
	"i_number_real_underflow.json":        true,
	"i_number_too_big_neg_int.json":       true,
	"i_number_too_big_pos_int.json":       true,
	"i_number_very_big_negative_int.json": true,
	"i_structure_500_nested_arrays.json":  true,
}

func TestParsing(t *testing.T) {
	s := jsonscan.NewScanner(jsonscan.Options{})
	count := map[byte]int{}
	for name, b := range suite(t, "test_parsing") {
		count[name[0]]++
		want := false
		switch name[0] {
		case 'y':
			want = !refusedAnyway[name]
		case 'i':
			want = accepted[name]
		}
		err := s.Value(b)
		if (err == nil) != want {
			t.Errorf("%s: accepted should be %v, got %v", name, want, err)
		}
		// As a member of a record the same bytes must fare the same, unless they are
		// no value on their own account: nothing, or two values.
		if _, recErr := s.Record(append(append([]byte(`{"a":`), b...), '}')); err == nil && recErr != nil {
			t.Errorf("%s: accepted alone, refused in a record: %v", name, recErr)
		}
	}
	if count['y'] < 90 || count['n'] < 180 || count['i'] < 30 {
		t.Errorf("the suite is not whole: %v", count)
	}
}

func TestTransform(t *testing.T) {
	s := jsonscan.NewScanner(jsonscan.Options{})
	for name, b := range suite(t, "test_transform") {
		// Numbers of all sizes, one key in two Unicode forms, and an escaped NUL are
		// fine; the same key twice and half surrogates are not.
		want := strings.HasPrefix(name, "number_") || strings.HasPrefix(name, "object_key_nf") || name == "string_with_escaped_NULL.json"
		if err := s.Value(b); (err == nil) != want {
			t.Errorf("%s: accepted should be %v, got %v", name, want, err)
		}
	}
}
