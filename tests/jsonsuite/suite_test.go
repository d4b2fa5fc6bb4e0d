package jsonsuite

import (
	"strings"
	"testing"

	"github.com/firndb/firn/blockfile/jsonscan"
	"github.com/firndb/firn/tests/harness"
)

func TestParsing(t *testing.T) {
	s := jsonscan.NewScanner(jsonscan.Options{})
	count := map[byte]int{}
	for name, b := range suite(t, "test_parsing") {
		count[name[0]]++
		want := harness.SuiteAccepts(name)
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
