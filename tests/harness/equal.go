package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
)

// EqualJSON says how two JSON texts differ as values: same keys, same nesting, numbers equal in
// decimal value, explicit null told from absent. "" when they do not.
func EqualJSON(a, b []byte) string {
	if bytes.Equal(a, b) {
		return ""
	}
	va, err := parse(a)
	if err != nil {
		return fmt.Sprintf("left does not parse: %v", err)
	}
	vb, err := parse(b)
	if err != nil {
		return fmt.Sprintf("right does not parse: %v", err)
	}
	return differ("$", va, vb)
}

func parse(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, fmt.Errorf("more than one value")
	}
	return v, nil
}

func differ(path string, a, b any) string {
	switch a := a.(type) {
	case map[string]any:
		o, ok := b.(map[string]any)
		if !ok || len(a) != len(o) {
			return fmt.Sprintf("%s: %.100v and %.100v", path, a, b)
		}
		for k, v := range a {
			w, ok := o[k]
			if !ok {
				return fmt.Sprintf("%s: only the left has %q", path, k)
			}
			if d := differ(path+"."+k, v, w); d != "" {
				return d
			}
		}
		return ""
	case []any:
		o, ok := b.([]any)
		if !ok || len(a) != len(o) {
			return fmt.Sprintf("%s: %.100v and %.100v", path, a, b)
		}
		for i := range a {
			if d := differ(fmt.Sprintf("%s[%d]", path, i), a[i], o[i]); d != "" {
				return d
			}
		}
		return ""
	case json.Number:
		o, ok := b.(json.Number)
		if !ok || !equalNumber(string(a), string(o)) {
			return fmt.Sprintf("%s: %v and %v", path, a, b)
		}
		return ""
	}
	if a != b {
		return fmt.Sprintf("%s: %.100v and %.100v", path, a, b)
	}
	return ""
}

// equalNumber compares decimal values exactly. Exponents beyond what a rational can be made of in
// reasonable time are compared as digits and exponent.
func equalNumber(a, b string) bool {
	if a == b {
		return true
	}
	da, ea := digits(a)
	db, eb := digits(b)
	return da == db && (ea.Cmp(eb) == 0 || da == "0")
}

// digits gives a number as an integer without trailing zeros and its exponent of ten.
func digits(s string) (string, *big.Int) {
	exp := new(big.Int)
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		exp.SetString(strings.TrimPrefix(s[i+1:], "+"), 10)
		s = s[:i]
	}
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	if i := strings.IndexByte(s, '.'); i >= 0 {
		exp.Sub(exp, big.NewInt(int64(len(s)-i-1)))
		s = s[:i] + s[i+1:]
	}
	s = strings.TrimLeft(s, "0")
	trimmed := strings.TrimRight(s, "0")
	exp.Add(exp, big.NewInt(int64(len(s)-len(trimmed))))
	if trimmed == "" {
		return "0", exp
	}
	return sign + trimmed, exp
}
