package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
)

// sameJSON compares two JSON values as values. It shares no code with the package: numbers
// are compared as decimals of any size, with the sign of zero.
func sameJSON(a, b []byte) error {
	x, err := parseJSON(a)
	if err != nil {
		return fmt.Errorf("%w in %.300s", err, a)
	}
	y, err := parseJSON(b)
	if err != nil {
		return fmt.Errorf("%w in %.300s", err, b)
	}
	return sameValue("", x, y)
}

func parseJSON(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one value")
	}
	return v, nil
}

func sameValue(path string, x, y any) error {
	switch x := x.(type) {
	case map[string]any:
		y, ok := y.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: object became %v", path, y)
		}
		for key, v := range x {
			w, ok := y[key]
			if !ok {
				return fmt.Errorf("%s: key %q is missing", path, key)
			}
			if err := sameValue(path+"/"+key, v, w); err != nil {
				return err
			}
		}
		for key := range y {
			if _, ok := x[key]; !ok {
				return fmt.Errorf("%s: key %q was added", path, key)
			}
		}
		return nil
	case []any:
		y, ok := y.([]any)
		if !ok || len(x) != len(y) {
			return fmt.Errorf("%s: array of %d became %v", path, len(x), y)
		}
		for i := range x {
			if err := sameValue(fmt.Sprintf("%s/%d", path, i), x[i], y[i]); err != nil {
				return err
			}
		}
		return nil
	case json.Number:
		y, ok := y.(json.Number)
		if !ok || x != y && decimalOf(string(x)) != decimalOf(string(y)) {
			return fmt.Errorf("%s: number %v became %v", path, x, y)
		}
		return nil
	}
	if x != y {
		return fmt.Errorf("%s: %v became %v", path, x, y)
	}
	return nil
}

// decimalOf writes a JSON number as sign, digits without zeros at the ends, and exponent.
func decimalOf(s string) string {
	sign := "+"
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	exp := new(big.Int)
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		exp.SetString(strings.TrimPrefix(s[i+1:], "+"), 10)
		s = s[:i]
	}
	if i := strings.IndexByte(s, '.'); i >= 0 {
		exp.Sub(exp, big.NewInt(int64(len(s)-i-1)))
		s = s[:i] + s[i+1:]
	}
	s = strings.TrimLeft(s, "0")
	if s == "" {
		return sign + "0"
	}
	digits := strings.TrimRight(s, "0")
	exp.Add(exp, big.NewInt(int64(len(s)-len(digits))))
	return sign + digits + "e" + exp.String()
}

func TestComparer(t *testing.T) {
	same := [][2]string{
		{`1`, `1.0`}, {`100`, `1e2`}, {`0.00`, `0e9`}, {`{"a":1,"b":2}`, `{"b":2.0,"a":1}`}, {`"\u0041"`, `"A"`},
		{`1e400`, `10e399`}, {`[1,[]]`, ` [ 1.0 , [ ] ] `},
	}
	for _, c := range same {
		if err := sameJSON([]byte(c[0]), []byte(c[1])); err != nil {
			t.Errorf("%s and %s: %v", c[0], c[1], err)
		}
	}
	different := [][2]string{
		{`0`, `-0`}, {`1`, `"1"`}, {`{"a":null}`, `{}`}, {`{}`, `{"a":null}`}, {`[]`, `{}`}, {`1e400`, `1e401`},
		{`[null]`, `[]`}, {`9007199254740993`, `9007199254740992`}, {`{"a":1}`, `{"A":1}`}, {`null`, `false`}, {`1`, `1 1`},
	}
	for _, c := range different {
		if sameJSON([]byte(c[0]), []byte(c[1])) == nil {
			t.Errorf("%s and %s count as equal", c[0], c[1])
		}
	}
}
