package jsonscan

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// pieces are what strings are made of; the special ones meet every position of an
// eight-byte word by way of the plain ones.
var pieces = []string{"a", "bc", "defg", "hijklmno", "pqrstuvwxyz0123", "\"", "\\", "/", "\b", "\f", "\n", "\r", "\t", "\x00", "\x1f", " ", "!", "#", "[", "]", "{", "}", "\x7f",
	"é", "ß", "€", "日本語", "😀", "\u0080", "\u07ff", "\u0800", "\uffff", "\U0010ffff", "\u2028", "\ufeff", ":", ","}

func randomText(rng *rand.Rand) string {
	var sb strings.Builder
	for range rng.IntN(8) {
		sb.WriteString(pieces[rng.IntN(len(pieces))])
	}
	return sb.String()
}

// TestQuoting sends texts through every function for strings and back, with
// encoding/json as the second opinion.
func TestQuoting(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 100_000 {
		text := randomText(rng)
		quoted := AppendQuoted([]byte("<"), []byte(text))
		if quoted[0] != '<' {
			t.Fatal("dst was overwritten")
		}
		quoted = quoted[1:]
		spellings := [][]byte{quoted}
		std, err := json.Marshal(text) // escapes more than must be
		if err != nil {
			t.Fatal(err)
		}
		ascii := []byte{'"'} // everything escaped
		for _, r := range text {
			if r >= 0x10000 {
				r -= 0x10000
				ascii = appendEscape(appendEscape(ascii, 0xD800+r>>10), 0xDC00+r&0x3FF)
			} else {
				ascii = appendEscape(ascii, r)
			}
		}
		spellings = append(spellings, std, append(ascii, '"'))
		for _, q := range spellings {
			padded := append(append([]byte("xy"), q...), `,"more":1`...)
			end, escaped := scanString(padded, 2)
			if end != 2+len(q) || escaped != bytes.ContainsRune(q, '\\') || escaped != HasEscape(q) {
				t.Fatalf("scanString(%s) = %d, %v", q, end, escaped)
			}
			if end := SkipString(padded, 2); end != 2+len(q) {
				t.Fatalf("SkipString(%s) = %d", q, end)
			}
			var back string
			if err := json.Unmarshal(q, &back); err != nil || back != text {
				t.Fatalf("%s is %q, not %q: %v", q, back, text, err)
			}
			if got := AppendUnquoted([]byte(">"), q); string(got) != ">"+text {
				t.Fatalf("AppendUnquoted(%s) = %q, want %q", q, got, text)
			}
			if !EqualString(q, text) {
				t.Fatalf("EqualString(%s, %q) is false", q, text)
			}
			for _, other := range []string{text + "a", "a" + text, text + "\xef", randomText(rng), text[:len(text)/2]} {
				if EqualString(q, other) != (other == text) {
					t.Fatalf("EqualString(%s, %q) is %v", q, other, other != text)
				}
			}
		}
		if extra := len(quoted) - len(text) - 2; extra != 0 && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }) {
			t.Fatalf("%q was escaped without need: %s", text, quoted)
		}
	}
	for _, c := range []struct{ text, want string }{
		{"", `""`}, {"a\"b\\c/d", `"a\"b\\c/d"`}, {"\b\f\n\r\t\x00\x1f\x7f", "\"\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\""}, {"\xff", "\"\xff\""},
	} {
		if got := string(AppendQuoted(nil, []byte(c.text))); got != c.want {
			t.Errorf("AppendQuoted(%q) = %s, want %s", c.text, got, c.want)
		}
	}
}

func appendEscape(b []byte, r rune) []byte {
	const digits = "0123456789abcDEF"
	return append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

// TestEveryBytePosition puts every byte and every two-byte sequence at every position
// of a word and asks for acceptance exactly when it is legal there.
func TestEveryBytePosition(t *testing.T) {
	s := NewScanner(Options{})
	for before := range 10 {
		for after := range 10 {
			for c := range 256 {
				text := strings.Repeat("x", before) + string([]byte{byte(c)}) + strings.Repeat("y", after)
				err := s.Value([]byte(`"` + text + `"`))
				legal := c >= 0x20 && c < 0x80 && c != '"' && c != '\\'
				if c == '\\' && after == 0 {
					legal = false
				}
				if (err == nil) != legal {
					t.Fatalf("%q: %v", text, err)
				}
			}
		}
	}
	for c := range 1 << 16 {
		pair := string([]byte{byte(c >> 8), byte(c)})
		if strings.ContainsAny(pair, "\"\\") {
			continue
		}
		legal := utf8.ValidString(pair) && pair[0] >= ' ' && pair[1] >= ' '
		if err := s.Value([]byte(`"abc` + pair + `"`)); (err == nil) != legal {
			t.Fatalf("%q: %v", pair, err)
		}
	}
	// All sequences of three and four bytes that begin like one, in coarse steps.
	for c := 0xE0; c < 0x100; c++ {
		for _, d := range []byte{0x20, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff} {
			for _, e := range []byte{0x7f, 0x80, 0xbf, 0xc0} {
				for _, tail := range []string{"", "\x7f", "\x80", "\xbf", "\xc0", "\x80\x80"} {
					text := string([]byte{byte(c), d, e}) + tail
					if err := s.Value([]byte(`"` + text + `"`)); (err == nil) != utf8.ValidString(text) {
						t.Fatalf("%q: %v", text, err)
					}
				}
			}
		}
	}
}

// TestUnquoteAnything: on bytes that are no JSON string the functions return, without
// reading past the end.
func TestUnquoteAnything(t *testing.T) {
	for _, q := range []string{"", `"`, `""`, `"\`, `"\"`, `"\u`, `"\u12"`, `"\ud800"`, `"\ud800\u"`, `"\ud800\ud800"`, `"\x"`, `abc`, `"a\`} {
		got := AppendUnquoted(nil, []byte(q))
		if q != "" && q != `"` && EqualString([]byte(q), string(got)) != (len(q) >= 2) {
			t.Errorf("EqualString and AppendUnquoted disagree about %q", q)
		}
		if EqualString([]byte(q), "no such text") {
			t.Errorf("%q equals anything", q)
		}
	}
	if EqualString([]byte(`"`), "") || EqualString(nil, "") || !EqualString([]byte(`""`), "") {
		t.Error("the empty text is spelled with two quotes")
	}
}
