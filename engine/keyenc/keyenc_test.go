package keyenc

import (
	"bytes"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"
)

// names holds what is likely to be encoded in the wrong order.
var names = []string{
	"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\x00a", "\x01", "\x01\x00", "a", "a\x00", "a\x00\x00", "a\x00\x01",
	"a\x00\xff", "a\x00b", "a\x01", "ab", "b", "\xfe", "\xff", "\xff\xff", "\xff\x00", "zürich", strings.Repeat("x", 512),
}

func TestNamesKeepTheirOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	all := append([]string(nil), names...)
	for range 2000 {
		b := make([]byte, rng.IntN(6))
		for i := range b {
			b[i] = []byte{0, 1, 2, 'a', 0xfe, 0xff}[rng.IntN(6)]
		}
		all = append(all, string(b))
	}
	sort.Strings(all)
	for i := 1; i < len(all); i++ {
		a, b := AppendName(nil, all[i-1]), AppendName(nil, all[i])
		switch c := bytes.Compare(a, b); {
		case all[i-1] == all[i] && c != 0:
			t.Fatalf("%q has two encodings", all[i])
		case all[i-1] != all[i] && c >= 0:
			t.Fatalf("%q and %q sort as %x and %x", all[i-1], all[i], a, b)
		case all[i-1] != all[i] && bytes.HasPrefix(b, a):
			t.Fatalf("%x, of %q, is a prefix of %x, of %q", a, all[i-1], b, all[i])
		}
	}
}

func TestNamesComeBack(t *testing.T) {
	for _, name := range names {
		key := AppendName([]byte("x"), name)[1:]
		if len(key) != NameSize(name) {
			t.Fatalf("%q takes %d bytes, NameSize says %d", name, len(key), NameSize(name))
		}
		key = append(key, "rest"...)
		got, rest, err := CutName(key)
		if err != nil || got != name || string(rest) != "rest" {
			t.Fatalf("%q came back as %q, rest %q, %v", name, got, rest, err)
		}
		if n, err := NameLen(key); err != nil || n != len(key)-4 {
			t.Fatalf("NameLen of %x is %d, %v", key, n, err)
		}
	}
}

func TestBytesOfNames(t *testing.T) {
	for name, want := range map[string]string{"": "0001", "ab": "61620001", "a\x00b": "6100ff620001"} {
		if got := hex.EncodeToString(AppendName(nil, name)); got != want {
			t.Errorf("%q is written as %s, want %s", name, got, want)
		}
	}
}

func TestMalformedNames(t *testing.T) {
	for _, s := range []string{"", "61", "6100", "00", "0000", "0002", "6100fe", "00ff", "00ff00", "00ff0003", "00ff61"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		if name, _, err := CutName(b); err == nil {
			t.Errorf("%s was read as %q", s, name)
		}
		if n, err := NameLen(b); err == nil {
			t.Errorf("%s was measured as %d", s, n)
		}
	}
}

func TestNumbersKeepTheirOrder(t *testing.T) {
	in := []int32{math.MinInt32, -719162, -1, 0, 1, 20000, math.MaxInt32}
	var last []byte
	for _, n := range in {
		b := AppendInt32(nil, n)
		if last != nil && bytes.Compare(last, b) >= 0 {
			t.Errorf("%d does not sort after the number before it", n)
		}
		last = b
		if got, rest, err := CutInt32(append(b, 7)); err != nil || got != n || len(rest) != 1 {
			t.Errorf("%d came back as %d, %v", n, got, err)
		}
	}
	if n, _, err := CutUint64(AppendUint64(nil, math.MaxUint64)); err != nil || n != math.MaxUint64 {
		t.Errorf("uint64: %d, %v", n, err)
	}
	if n, _, err := CutUint32(AppendUint32(nil, math.MaxUint32)); err != nil || n != math.MaxUint32 {
		t.Errorf("uint32: %d, %v", n, err)
	}
	for _, short := range [][]byte{nil, {1}, {1, 2, 3}} {
		if _, _, err := CutInt32(short); err == nil {
			t.Error("a short int32 was read")
		}
		if _, _, err := CutUint32(short); err == nil {
			t.Error("a short uint32 was read")
		}
		if _, _, err := CutUint64(short); err == nil {
			t.Error("a short uint64 was read")
		}
	}
}

func TestAfter(t *testing.T) {
	for in, want := range map[string]string{"a": "b", "a\xff": "b", "a\x01": "a\x02", "\xff": "", "": ""} {
		if got := string(After(nil, []byte(in))); got != want {
			t.Errorf("After(%q) = %q, want %q", in, got, want)
		}
	}
	prefix := AppendName(nil, "u1")
	after := After([]byte("k"), prefix)[1:]
	inside := append(append([]byte(nil), prefix...), 0xff, 0xff, 0xff)
	if bytes.Compare(inside, after) >= 0 || bytes.Compare(after, AppendName(nil, "u1\x00")) >= 0 && bytes.Compare(after, AppendName(nil, "u1\x01")) >= 0 {
		t.Errorf("After(%x) = %x", prefix, after)
	}
}

func FuzzCutName(f *testing.F) {
	for _, name := range names {
		f.Add(AppendName(nil, name))
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		name, rest, err := CutName(key)
		n, lerr := NameLen(key)
		if (err == nil) != (lerr == nil) {
			t.Fatalf("CutName says %v, NameLen says %v", err, lerr)
		}
		if err != nil {
			return
		}
		if back := append(AppendName(nil, name), rest...); !bytes.Equal(back, key) || n != len(key)-len(rest) {
			t.Fatalf("%x reads as %q and is written as %x", key, name, back)
		}
	})
}
