package schema

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/firndb/firn/blockfile/jsonscan"
)

// generator makes random JSON records, the ugly ones more often than life does.
type generator struct {
	*rand.Rand
	keys   []string
	spaces bool
}

func newGenerator(seed uint64) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
	g.spaces = g.IntN(4) == 0
	n := 2 + g.IntN(12)
	for range n {
		g.keys = append(g.keys, g.newKey())
	}
	return g
}

var uglyKeys = []string{
	"", " ", "a", "A", "b", "a_2", "id.orig_h", "@timestamp", "1xx", "Timestamp", "timestamp", "table", "dataset_id",
	"table_name", "_firn", "_rest", "_FIRN", "json", "Json", "é", "ключ", "日本語", "\U0001F600", "a\x00b", "a\nb", `q"q`, `b\b`,
	"\u2028", "null", "item", "a_item", "a_b", strings.Repeat("k", 500), strings.Repeat("k", 96), strings.Repeat("k", 97),
	strings.Repeat("\x01", 200), strings.Repeat("x", 1025),
}

func (g *generator) newKey() string {
	if g.IntN(2) == 0 {
		return uglyKeys[g.IntN(len(uglyKeys))]
	}
	return string(rune('a'+g.IntN(6))) + strings.Repeat(string(rune('a'+g.IntN(3))), g.IntN(3))
}

var uglyNumbers = []string{
	"0", "-0", "-0.0", "0.0", "0e0", "1", "-1", "1.0", "1e0", "1E2", "1e-2", "9007199254740992", "9007199254740993", "-9007199254740993",
	"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551616",
	"100000000000000000000", "123456789012345678901234567890", "0.1", "0.30000000000000004", "0.300000000000000041",
	"3.141592653589793", "3.14159265358979323846", "1e308", "1.7976931348623157e308", "1.7976931348623159e308", "1e400", "-1e400",
	"1e-400", "5e-324", "4e-324", "2.2250738585072014e-308", "1e999999999999", "1e21", "1e20", "123456.789e3", "0.000001", "1e-7",
	"1234567890.12345678", "99999999999999999", "12345678901234567", "1.00000000000000000000", "1e+5", "000e1"[2:],
}

func (g *generator) number() string {
	switch g.IntN(6) {
	case 0:
		return strconv.FormatInt(int64(g.Uint64()>>g.IntN(64)), 10)
	case 1:
		return strconv.FormatFloat(math.Float64frombits(g.Uint64()&^(1<<62)), 'g', -1, 64)
	case 2:
		return fmt.Sprintf("%d.%0*d", g.IntN(1000)-500, 1+g.IntN(4), g.IntN(10))
	case 3:
		return strconv.Itoa(g.IntN(200) - 100)
	}
	return uglyNumbers[g.IntN(len(uglyNumbers))]
}

func (g *generator) text() string {
	switch g.IntN(5) {
	case 0:
		return strings.Repeat("long text, ", g.IntN(40))
	case 1:
		return []string{"", "\x00", "\"", "\\", "/", "\u007f", "\u0080", "\uffff", "\U0010ffff", "a\tb\r\n", "é😀", "\u2028\u2029"}[g.IntN(12)]
	}
	b := make([]rune, g.IntN(20))
	for i := range b {
		b[i] = rune(g.IntN(0x100))
	}
	return string(b)
}

// quote writes a string literal, now and then with escapes that are not needed.
func (g *generator) quote(dst []byte, s string) []byte {
	if g.IntN(5) > 0 {
		return jsonscan.AppendQuoted(dst, []byte(s))
	}
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '/':
			dst = append(dst, `\/`...)
		case r >= 0x10000:
			r -= 0x10000
			dst = fmt.Appendf(dst, `\u%04X\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
	}
	return append(dst, '"')
}

func (g *generator) space(dst []byte) []byte {
	if g.spaces && g.IntN(3) == 0 {
		dst = append(dst, []string{" ", "\t", "\n  ", "\r"}[g.IntN(4)]...)
	}
	return dst
}

func (g *generator) value(dst []byte, depth int) []byte {
	n := 8
	if depth <= 0 {
		n = 6
	}
	switch g.IntN(n) {
	case 0:
		return append(dst, "null"...)
	case 1:
		return strconv.AppendBool(dst, g.IntN(2) == 0)
	case 2, 3:
		return append(dst, g.number()...)
	case 4, 5:
		return g.quote(dst, g.text())
	case 6:
		dst = append(dst, '[')
		n := g.IntN(5)
		if g.IntN(20) == 0 {
			n = 60 + g.IntN(10)
		}
		if g.IntN(2) == 0 { // elements alike
			one := g.value(nil, depth-1)
			for i := range n {
				dst = append(g.comma(dst, i), one...)
			}
		} else {
			for i := range n {
				dst = g.value(g.comma(dst, i), depth-1)
			}
		}
		return append(g.space(dst), ']')
	default:
		return g.object(dst, depth-1, g.IntN(6))
	}
}

func (g *generator) comma(dst []byte, i int) []byte {
	dst = g.space(dst)
	if i > 0 {
		dst = append(dst, ',')
	}
	return g.space(dst)
}

func (g *generator) object(dst []byte, depth, members int) []byte {
	dst = append(dst, '{')
	seen := map[string]bool{}
	for range members {
		key := g.keys[g.IntN(len(g.keys))]
		if seen[key] {
			continue
		}
		dst = g.comma(dst, len(seen))
		seen[key] = true
		dst = append(g.space(g.quote(dst, key)), ':')
		dst = g.value(g.space(dst), depth)
	}
	return append(g.space(dst), '}')
}

// record makes a record that is stored under these, with own members now and then.
func (g *generator) record(dataset, table string, time int64) []byte {
	rec := g.object(nil, 1+g.IntN(4), g.IntN(8))
	own := [][2]string{{"timestamp", strconv.FormatInt(time, 10)}, {"dataset_id", strconv.Quote(dataset)}, {"table", strconv.Quote(table)}}
	var front []byte
	for _, o := range own {
		if _, has := topLevel(rec)[o[0]]; has || g.IntN(3) == 0 {
			continue
		}
		value := []byte(o[1])
		if g.IntN(8) == 0 {
			value = g.value(nil, 1)
		}
		front = append(g.quote(front, o[0]), ':')
		front = append(append(front, value...), ',')
		if string(topLevelText(rec)) == "" {
			front = front[:len(front)-1]
		}
		rec = append(append([]byte{'{'}, front...), rec[1:]...)
		front = nil
	}
	return rec
}

func topLevel(rec []byte) map[string]any {
	v, err := parseJSON(rec)
	if err != nil {
		panic(fmt.Sprintf("%v: %s", err, rec))
	}
	return v.(map[string]any)
}

func topLevelText(rec []byte) string {
	return strings.TrimSpace(strings.Trim(string(rec), "{} \t\r\n"))
}
