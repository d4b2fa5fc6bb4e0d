package foreign

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxDepth bounds the nesting of a record's JSON, which a recursive schema leaves to the data. The record itself
// is the first level.
const MaxDepth = 1000

// decoder turns the bytes of one block into the JSON of its records, one after the other.
type decoder struct {
	buf   []byte // the raw block
	pos   int    // of the next byte
	out   []byte // the JSON so far
	max   int    // of len(out)
	depth int
	keys  [][]byte // of the maps being decoded, the innermost last
}

// record decodes the next record into d.out.
func (d *decoder) record(top *node) *valueError {
	d.out, d.keys, d.depth = d.out[:0], d.keys[:0], 0
	if err := d.value(top); err != nil {
		return err
	}
	return d.fits(0)
}

// fits tells whether n more bytes of JSON are allowed.
func (d *decoder) fits(n int) *valueError {
	if n > d.max-len(d.out) {
		return d.tooLong()
	}
	return nil
}

func (d *decoder) tooLong() *valueError {
	return &valueError{reason: "its JSON is longer than " + strconv.Itoa(d.max) + " bytes", refused: true, tooLarge: true}
}

// value decodes one value of type n.
func (d *decoder) value(n *node) *valueError {
	// Every value begins here, so that JSON grows past the maximum by one value at most.
	if len(d.out) > d.max {
		return d.fits(0)
	}
	switch n.kind {
	case kindNull:
		d.out = append(d.out, "null"...)
		return nil
	case kindBoolean:
		return d.boolean()
	case kindLong:
		v, err := d.long()
		if err == nil {
			d.out = strconv.AppendInt(d.out, v, 10)
		}
		return err
	case kindInt:
		v, err := d.int()
		if err == nil {
			d.out = strconv.AppendInt(d.out, v, 10)
		}
		return err
	case kindFloat:
		b, err := d.take(4)
		if err != nil {
			return err
		}
		return d.number(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 32)
	case kindDouble:
		b, err := d.take(8)
		if err != nil {
			return err
		}
		return d.number(math.Float64frombits(binary.LittleEndian.Uint64(b)), 64)
	case kindString:
		return d.text()
	case kindBytes, kindBytesDecimal:
		b, err := d.lengthAndBytes()
		if err != nil {
			return err
		}
		return d.binary(n, b)
	case kindFixed, kindFixedDecimal, kindFixedUUID, kindDuration:
		b, err := d.take(n.size)
		if err != nil {
			return err
		}
		return d.binary(n, b)
	case kindEnum:
		v, err := d.int()
		if err != nil {
			return err
		}
		if v < 0 || v >= int64(len(n.symbols)) {
			return badData("symbol %d of an enum of %d", v, len(n.symbols))
		}
		d.out = append(d.out, n.symbols[v]...)
		return nil
	case kindUnion:
		v, err := d.long()
		if err != nil {
			return err
		}
		if v < 0 || v >= int64(len(n.branches)) {
			return badData("branch %d of a union of %d", v, len(n.branches))
		}
		return d.value(n.branches[v])
	case kindRecord, kindArray, kindMap:
		if d.depth == MaxDepth {
			return refused("nested deeper than %d", MaxDepth)
		}
		return d.nested(n)
	case kindDate, kindTimeMillis:
		v, err := d.int()
		if err == nil {
			d.out = appendTime(d.out, n.kind, v)
		}
		return err
	default: // what is left are times in a long
		v, err := d.long()
		if err == nil {
			d.out = appendTime(d.out, n.kind, v)
		}
		return err
	}
}

// nested decodes a value whose JSON has values within. After an error the depth does not matter any more.
func (d *decoder) nested(n *node) (err *valueError) {
	d.depth++
	switch n.kind {
	case kindRecord:
		err = d.object(n)
	case kindArray:
		err = d.array(n)
	default:
		err = d.mapping(n)
	}
	d.depth--
	return err
}

func (d *decoder) object(n *node) *valueError {
	d.out = append(d.out, '{')
	for i := range n.fields {
		f := &n.fields[i]
		if i > 0 {
			d.out = append(d.out, ',')
		}
		d.out = append(d.out, f.key...)
		if err := d.value(f.typ); err != nil {
			return err.under(f.name)
		}
	}
	d.out = append(d.out, '}')
	return nil
}

func (d *decoder) array(n *node) *valueError {
	d.out = append(d.out, '[')
	for total := int64(0); ; {
		count, end, err := d.chunk(n.items.least)
		if err != nil {
			return err
		}
		if count == 0 {
			d.out = append(d.out, ']')
			return nil
		}
		for ; count > 0; count-- {
			if total++; total > 1 {
				d.out = append(d.out, ',')
			}
			if err := d.value(n.items); err != nil {
				return err.under("[" + strconv.FormatInt(total-1, 10) + "]")
			}
		}
		if err := d.chunkEnd(end); err != nil {
			return err
		}
	}
}

// maxLinearKeys is the number of keys up to which comparing each with each is faster than a hash table.
const maxLinearKeys = 16

func (d *decoder) mapping(n *node) *valueError {
	d.out = append(d.out, '{')
	base := len(d.keys)
	defer func() { d.keys = d.keys[:base] }()
	var many map[string]struct{}
	for first := true; ; {
		count, end, err := d.chunk(1 + n.items.least)
		if err != nil {
			return err
		}
		if count == 0 {
			d.out = append(d.out, '}')
			return nil
		}
		for ; count > 0; count-- {
			key, err := d.lengthAndBytes()
			if err != nil {
				return err
			}
			if many, err = d.uniqueKey(base, many, key); err != nil {
				return err
			}
			if !first {
				d.out = append(d.out, ',')
			}
			first = false
			if err := d.quoted(key); err != nil {
				return err
			}
			d.out = append(d.out, ':')
			if err := d.value(n.items); err != nil {
				return err.under(strings.ToValidUTF8(string(key[:min(len(key), maxPath)]), ""))
			}
		}
		if err := d.chunkEnd(end); err != nil {
			return err
		}
	}
}

// uniqueKey notes a key of the map whose keys begin at base, and refuses one that is there already. The keys of
// a large map go on in many, which is made and returned when it is time.
func (d *decoder) uniqueKey(base int, many map[string]struct{}, key []byte) (map[string]struct{}, *valueError) {
	own := d.keys[base:]
	if many == nil && len(own) == maxLinearKeys {
		many = make(map[string]struct{}, 2*len(own))
		for _, k := range own {
			many[string(k)] = struct{}{}
		}
	}
	twice := false
	if many != nil {
		_, twice = many[string(key)]
		many[string(key)] = struct{}{}
	} else {
		for _, k := range own {
			twice = twice || bytes.Equal(k, key)
		}
		d.keys = append(d.keys, key)
	}
	if twice {
		return many, refused("a map with key %.100q twice", key)
	}
	return many, nil
}

// chunk reads the head of a chunk of array items or map entries, of which each takes at least so many bytes.
// end is where the chunk ends if it says so, else -1. Items that take no bytes at all are bounded by the JSON
// they give.
func (d *decoder) chunk(least int) (count int64, end int, err *valueError) {
	if count, err = d.long(); err != nil {
		return 0, 0, err
	}
	room := len(d.buf) - d.pos
	end = -1
	if count < 0 {
		size, err := d.long()
		if err != nil {
			return 0, 0, err
		}
		room = len(d.buf) - d.pos
		if size < 0 || size > int64(room) {
			return 0, 0, badData("a chunk of %d bytes where %d are left", size, room)
		}
		room = int(size)
		end = d.pos + room
		if count = -count; count < 0 { // the smallest integer is its own negative
			return 0, 0, badData("a chunk of 2^63 items")
		}
	}
	if least > 0 && count > int64(room/least) {
		return 0, 0, badData("a chunk of %d items in %d bytes", count, room)
	}
	return count, end, nil
}

func (d *decoder) chunkEnd(end int) *valueError {
	if end >= 0 && d.pos != end {
		return badData("a chunk that does not have the length it says")
	}
	return nil
}

func (d *decoder) boolean() *valueError {
	b, err := d.take(1)
	if err != nil {
		return err
	}
	switch b[0] {
	case 0:
		d.out = append(d.out, "false"...)
	case 1:
		d.out = append(d.out, "true"...)
	default:
		return badData("boolean %#x", b[0])
	}
	return nil
}

// number appends f, of so many bits.
func (d *decoder) number(f float64, bits int) *valueError {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return refused("%v is no JSON number", f)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	d.out = strconv.AppendFloat(d.out, f, format, -1, bits)
	return nil
}

func (d *decoder) text() *valueError {
	b, err := d.lengthAndBytes()
	if err != nil {
		return err
	}
	return d.quoted(b)
}

// quoted appends b as a JSON string.
func (d *decoder) quoted(b []byte) *valueError {
	if err := d.fits(len(b)); err != nil {
		return err
	}
	if !utf8.Valid(b) {
		return refused("text that is not UTF-8")
	}
	d.out = appendJSONString(d.out, b)
	return nil
}

// binary appends the bytes of a value of type n.
func (d *decoder) binary(n *node, b []byte) *valueError {
	switch n.kind {
	case kindBytesDecimal, kindFixedDecimal:
		if len(b) > maxDecimalBytes {
			return refused("a decimal of %d bytes, at most %d are allowed", len(b), maxDecimalBytes)
		}
		d.out = appendDecimal(d.out, b, n.scale)
	case kindFixedUUID:
		d.out = appendUUID(d.out, b)
	case kindDuration:
		d.out = appendDuration(d.out, b)
	default:
		if err := d.fits(base64.StdEncoding.EncodedLen(len(b))); err != nil {
			return err
		}
		d.out = appendBase64(d.out, b)
	}
	return nil
}

// take returns the next n bytes.
func (d *decoder) take(n int) ([]byte, *valueError) {
	if n > len(d.buf)-d.pos {
		return nil, badData("the block ends within a value")
	}
	b := d.buf[d.pos : d.pos+n]
	d.pos += n
	return b, nil
}

// lengthAndBytes reads a long and so many bytes.
func (d *decoder) lengthAndBytes() ([]byte, *valueError) {
	n, err := d.long()
	if err != nil {
		return nil, err
	}
	if n < 0 || n > int64(len(d.buf)-d.pos) {
		return nil, badData("a value of %d bytes where %d are left", n, len(d.buf)-d.pos)
	}
	b := d.buf[d.pos : d.pos+int(n)]
	d.pos += int(n)
	return b, nil
}

func (d *decoder) long() (int64, *valueError) {
	if d.pos < len(d.buf) && d.buf[d.pos] < 0x80 { // most are one byte
		u := d.buf[d.pos]
		d.pos++
		return int64(u>>1) ^ -int64(u&1), nil
	}
	v, n := binary.Varint(d.buf[d.pos:])
	if n <= 0 {
		if n == 0 {
			return 0, badData("the block ends within a number")
		}
		return 0, badData("a number of more than 64 bits")
	}
	d.pos += n
	return v, nil
}

// int reads a long that has to fit an int.
func (d *decoder) int() (int64, *valueError) {
	v, err := d.long()
	if err == nil && v != int64(int32(v)) {
		err = badData("int %d", v)
	}
	return v, err
}

// plainByte tells which bytes stand for themselves in a JSON string.
var plainByte = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 0x20 && c != '"' && c != '\\'
	}
	return t
}()

// appendJSONString appends valid UTF-8 as a JSON string, escaping no more than JSON asks for.
func appendJSONString[T string | []byte](out []byte, s T) []byte {
	out = append(out, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if plainByte[c] {
			continue
		}
		out = append(out, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			out = append(out, '\\', c)
		case '\n':
			out = append(out, `\n`...)
		case '\r':
			out = append(out, `\r`...)
		case '\t':
			out = append(out, `\t`...)
		default:
			const hex = "0123456789abcdef"
			out = append(out, `\u00`...)
			out = append(out, hex[c>>4], hex[c&15])
		}
	}
	out = append(out, s[start:]...)
	return append(out, '"')
}
