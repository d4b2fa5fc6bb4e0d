package jsonscan

import (
	"encoding/json"
	"testing"
)

func TestSkipValue(t *testing.T) {
	for _, v := range []string{`1`, `-1.5e+3`, `true`, `false`, `null`, `""`, `"a\"b"`, `"\\"`, `"[{"`, `{}`, `[]`, `[[],[{"a":"]}"}]]`, `{"a":{"b":[1,2,{"c":"}"}]},"d":"\"}"}`,
		`[   1 , "long enough for words" , [ [ ] ] ]`, `{"key with \\\" and ]":[{"x":"{{{{{{{{{{{{{{{{{{{{"}]}`} {
		if !json.Valid([]byte(v)) {
			t.Fatalf("not JSON: %s", v)
		}
		for _, after := range []string{"", ",", "]", "}", " ", "\n", "\t", "\r", `,"b":[1]`, " }]}]"} {
			for _, before := range []string{"", "x", "xxxxxxx"} {
				b := []byte(before + v + after)
				if end := SkipValue(b, len(before)); end != len(before)+len(v) {
					t.Errorf("SkipValue(%q, %d) = %d, want %d", b, len(before), end, len(before)+len(v))
				}
			}
		}
	}
	if got := SkipSpace([]byte(" \t\r\n\v"), 0); got != 4 {
		t.Errorf("SkipSpace stops at %d", got)
	}
	if got := SkipSpace([]byte("  "), 1); got != 2 {
		t.Errorf("SkipSpace at the end: %d", got)
	}
}

// FuzzSkip: on any bytes the functions stay in bounds and move on; on valid JSON they
// find the ends that the scanner finds.
func FuzzSkip(f *testing.F) {
	for _, s := range []string{``, `"`, `"\`, `"abcdefg\`, `{`, `[[[[[[[[[`, `}`, `{"a":[1,"]"]} `, "\xff", `"\\\\\\\\"`, `{"a":"}`} {
		f.Add([]byte(s))
	}
	s := NewScanner(Options{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for i := range len(b) + 1 {
			if end := SkipSpace(b, i); end < i || end > len(b) {
				t.Fatalf("SkipSpace(%q, %d) = %d", b, i, end)
			}
			if end := SkipValue(b, i); end < i || end > len(b) {
				t.Fatalf("SkipValue(%q, %d) = %d", b, i, end)
			}
			if end := SkipString(b, i); end < i || end > len(b) {
				t.Fatalf("SkipString(%q, %d) = %d", b, i, end)
			}
		}
		text := AppendUnquoted(nil, b)
		if len(b) >= 2 && !EqualString(b, string(text)) {
			t.Fatalf("%q unquoted is not equal to itself", b)
		}
		if s.Value(b) == nil {
			start := SkipSpace(b, 0)
			if end := SkipSpace(b, SkipValue(b, start)); end != len(b) {
				t.Fatalf("SkipValue(%q) ends at %d", b, end)
			}
			if !json.Valid(b) {
				t.Fatalf("accepted %q", b)
			}
		}
	})
}
