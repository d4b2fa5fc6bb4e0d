package server

import (
	"errors"
	"unicode/utf8"

	"github.com/firndb/firn/blockfile/jsonscan"
)

// walker steps through JSON whose structure the server itself reads. It checks what it steps
// over, keys, strings and separators; what it hands out, its caller checks. i is always a
// position in b; at names the place for messages, empty or ending in a dot.
type walker struct{ scan *jsonscan.Scanner }

// members walks the object whose brace stands at i and gives the position after it. member gets
// a key, quoted and valid, with the position of its value, and returns where the value ends.
func (w walker) members(b []byte, i int, at string, member func(key []byte, i int) (int, error)) (int, error) {
	i = jsonscan.SkipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return 0, expected(b, i, at, "a key")
		}
		end := jsonscan.SkipString(b, i)
		if err := w.valid(b, i, end, at); err != nil {
			return 0, err
		}
		key := b[i:end]
		if i = jsonscan.SkipSpace(b, end); i >= len(b) || b[i] != ':' {
			return 0, expected(b, i, at, "a colon")
		}
		if i = jsonscan.SkipSpace(b, i+1); i >= len(b) {
			return 0, expected(b, i, at, "a value")
		}
		var err error
		if i, err = member(key, i); err != nil {
			return 0, err
		}
		var last bool
		if i, last, err = next(b, i, '}', at, "a comma or the end of the object"); last || err != nil {
			return i, err
		}
	}
}

// elements walks the array whose bracket stands at i and gives the position after it. element
// gets the position of the n-th value, from 0, and returns where it ends.
func (w walker) elements(b []byte, i int, at string, element func(i, n int) (int, error)) (int, error) {
	i = jsonscan.SkipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1, nil
	}
	for n := 0; ; n++ {
		if i >= len(b) {
			return 0, expected(b, i, at, "a value")
		}
		var err error
		if i, err = element(i, n); err != nil {
			return 0, err
		}
		var last bool
		if i, last, err = next(b, i, ']', at, "a comma or the end of the array"); last || err != nil {
			return i, err
		}
	}
}

// next steps over what separates two values, or over what closes the last.
func next(b []byte, i int, closing byte, at, wanted string) (after int, last bool, err error) {
	i = jsonscan.SkipSpace(b, i)
	switch {
	case i < len(b) && b[i] == closing:
		return i + 1, true, nil
	case i < len(b) && b[i] == ',':
		return jsonscan.SkipSpace(b, i+1), false, nil
	}
	return 0, false, expected(b, i, at, wanted)
}

// text reads the string at i. what names it for messages.
func (w walker) text(b []byte, i int, what string) (string, int, error) {
	if b[i] != '"' {
		return "", 0, refuse(codeInvalidBody, "%s is not a string", what)
	}
	end := jsonscan.SkipString(b, i)
	if err := w.valid(b, i, end, ""); err != nil {
		return "", 0, err
	}
	return string(jsonscan.AppendUnquoted(nil, b[i:end])), end, nil
}

// valid checks that b[i:end] is one JSON value.
func (w walker) valid(b []byte, i, end int, at string) error {
	err := w.scan.Value(b[i:end])
	var syntax *jsonscan.SyntaxError
	if errors.As(err, &syntax) {
		return refuse(codeInvalidBody, "%sbyte %d: %s", at, i+syntax.Offset, syntax.Reason)
	}
	return err
}

// expected says what should have stood at i.
func expected(b []byte, i int, at, wanted string) error {
	if i >= len(b) {
		return refuse(codeInvalidBody, "%sbyte %d: the body ends where %s should be", at, len(b), wanted)
	}
	r, n := utf8.DecodeRune(b[i:])
	if r == utf8.RuneError && n < 2 {
		return refuse(codeInvalidBody, "%sbyte %d: not UTF-8", at, i)
	}
	return refuse(codeInvalidBody, "%sbyte %d: %q where %s should be", at, i, r, wanted)
}
