package codec

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"
)

func appendCRC(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(append([]byte(nil), b...), crc32.ChecksumIEEE(b))
}

// TestXZFraming damages one field of a good stream at a time and repairs the checksum over it, so that the
// field itself has to be found wrong.
func TestXZFraming(t *testing.T) {
	raw, files := foreignStreams(t)
	stream := files["xz-crc32"]
	headLen := (int(stream[xzHeaderSize]) + 1) * 4
	index := func(b []byte) (from, to int) {
		to = len(b) - xzFooterSize
		return to - (int(binary.LittleEndian.Uint32(b[to+4:]))+1)*4, to
	}
	fix := func(b []byte, from, to int) { // checksum over [from,to) stored at to
		binary.LittleEndian.PutUint32(b[to:], crc32.ChecksumIEEE(b[from:to]))
	}
	for _, row := range []struct {
		name   string
		damage func(b []byte) []byte
	}{
		{"reserved check type", func(b []byte) []byte { b[7] = 2; fix(b, 6, 8); return b }},
		{"reserved stream flag", func(b []byte) []byte { b[6] = 1; fix(b, 6, 8); return b }},
		{"other check than the footer's", func(b []byte) []byte { b[7] = 0; fix(b, 6, 8); return b }},
		{"second filter", func(b []byte) []byte { b[13] |= 1; fix(b, 12, 12+headLen-4); return b }},
		{"reserved block flag", func(b []byte) []byte { b[13] |= 4; fix(b, 12, 12+headLen-4); return b }},
		{"filter that is not LZMA2", func(b []byte) []byte { b[14] = 3; fix(b, 12, 12+headLen-4); return b }},
		{"dictionary out of range", func(b []byte) []byte { b[16] = 41; fix(b, 12, 12+headLen-4); return b }},
		{"block header past the end", func(b []byte) []byte { b[12] = 255; return b }},
		{"block count", func(b []byte) []byte { f, to := index(b); b[f+1]++; fix(b, f, to-4); return b }},
		{"block length", func(b []byte) []byte { f, to := index(b); b[f+2]++; fix(b, f, to-4); return b }},
		{"index size", func(b []byte) []byte {
			_, to := index(b)
			b[to+4]++
			binary.LittleEndian.PutUint32(b[to:], crc32.ChecksumIEEE(b[to+4:to+10]))
			return b
		}},
		{"check type of the footer", func(b []byte) []byte {
			_, to := index(b)
			b[to+9] = 4
			binary.LittleEndian.PutUint32(b[to:], crc32.ChecksumIEEE(b[to+4:to+10]))
			return b
		}},
		{"no footer", func(b []byte) []byte { return b[:len(b)-xzFooterSize] }},
		{"footer magic", func(b []byte) []byte { b[len(b)-1] = 'z'; return b }},
		{"second stream", func(b []byte) []byte { return append(b, stream...) }},
		{"stream padding", func(b []byte) []byte { return append(b, 0, 0, 0, 0) }},
	} {
		b := row.damage(append([]byte(nil), stream...))
		if _, err := Decompress(XZ, nil, b, len(raw)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: error %v", row.name, err)
		}
	}
}

// TestXZDictionary: a block that names a dictionary of 4 GiB gets no more than the raw bytes may be long.
func TestXZDictionary(t *testing.T) {
	raw, files := foreignStreams(t)
	b := append([]byte(nil), files["xz-crc32"]...)
	headLen := (int(b[xzHeaderSize]) + 1) * 4
	b[16] = 40
	binary.LittleEndian.PutUint32(b[12+headLen-4:], crc32.ChecksumIEEE(b[12:12+headLen-4]))
	var got []byte
	var err error
	used := allocated(func() { got, err = Decompress(XZ, nil, b, 1<<20) })
	if err != nil || string(got) != string(raw) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if used > 8<<20 {
		t.Errorf("%d bytes allocated", used)
	}
}

// TestXZSizes: the sizes that a block header gives are compared with what the block holds.
func TestXZSizes(t *testing.T) {
	raw, files := foreignStreams(t)
	stream := files["xz-blocks"]
	headLen := (int(stream[xzHeaderSize]) + 1) * 4
	if stream[xzHeaderSize+1] != 0xC0 {
		t.Fatal("the first block gives no sizes")
	}
	for i := 2; i < 6; i++ { // two sizes of two bytes
		b := append([]byte(nil), stream...)
		b[xzHeaderSize+i] ^= 1
		binary.LittleEndian.PutUint32(b[12+headLen-4:], crc32.ChecksumIEEE(b[12:12+headLen-4]))
		if _, err := Decompress(XZ, nil, b, len(raw)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d of the header: error %v", i, err)
		}
	}
}

func TestXZNumber(t *testing.T) {
	for _, row := range []struct {
		in   string
		want uint64
		ok   bool
	}{
		{"\x00", 0, true}, {"\x7f", 127, true}, {"\x80\x01", 128, true},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 1<<63 - 1, true},
		{"", 0, false}, {"\x80", 0, false}, {"\x80\x00", 0, false},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0, false},
	} {
		v, rest, ok := xzNumber([]byte(row.in))
		if ok != row.ok || ok && (v != row.want || len(rest) != 0) {
			t.Errorf("%x: %d, %v", row.in, v, ok)
		}
	}
}
