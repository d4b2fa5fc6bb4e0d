package blockfile

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/container"
)

// What is in testdata was written by version 1 and must stay readable, and
// writing the same must give the same bytes. The block file has codec null, so
// that a compressor's next release does not change it.
func TestGolden(t *testing.T) {
	f := testFamily(codec.Null)
	f.Marker = 2
	file, refs, sum := writeFile(t, f, testBlocks[:3])
	golden(t, "header.bin", f.Header())
	golden(t, "battle.avro", file)

	// The sidecar is compressed: its bytes may change, its rows may not.
	info := testInfo(f, sum)
	if *update {
		golden(t, "battle.idx", writeSidecar(t, info, refs))
	}
	b, err := os.ReadFile("testdata/battle.idx")
	if err != nil {
		t.Fatal(err)
	}
	var got []Ref
	gotInfo, err := ReadSidecar(bytes.NewReader(b), func(r Ref) error { got = append(got, r); return nil })
	if err != nil {
		t.Fatal(err)
	}
	wantInfo(t, gotInfo, info)
	wantRefs(t, got, refs)
	header, _ := sidecarHeader(info.meta())
	if !bytes.HasPrefix(b, header) {
		t.Error("the sidecar's header is not that in testdata")
	}
}

// The numbers that other programs could compute from the drawing in format.go.
func TestFamilyIsWhatTheDrawingSays(t *testing.T) {
	f := Family{Salt: [16]byte{0xff}, Table: "t", Schema: []byte(`"int"`), Codec: "null", Marker: 1}
	id := f.ID()
	if got, want := hex.EncodeToString(id[:]), goldenID; got != want {
		t.Errorf("family id %s, want %s", got, want)
	}
	sync := f.Sync()
	if got, want := hex.EncodeToString(sync[:]), goldenSync; got != want {
		t.Errorf("sync marker %s, want %s", got, want)
	}
}

func TestFamilyTellsEverythingApart(t *testing.T) {
	base := testFamily(codec.Deflate)
	variants := []Family{base}
	change := func(fn func(f *Family)) {
		f := base
		f.Schema = bytes.Clone(f.Schema)
		fn(&f)
		variants = append(variants, f)
	}
	change(func(f *Family) { f.Salt[15]++ })
	change(func(f *Family) { f.Table = "battles" })
	change(func(f *Family) { f.Schema = append(f.Schema, ' ') })
	change(func(f *Family) { f.Schema[10] ^= 1 })
	change(func(f *Family) { f.Codec = codec.Null })
	change(func(f *Family) { f.Marker = 1 })
	change(func(f *Family) { f.Marker = 1 << 31 })
	// The same bytes, parted elsewhere.
	change(func(f *Family) { f.Table, f.Schema = "battle{", f.Schema[1:] })
	seen := map[[32]byte]int{}
	syncs := map[[16]byte]int{}
	for i, f := range variants {
		if j, twice := seen[f.ID()]; twice {
			t.Errorf("families %d and %d have one id", i, j)
		}
		if j, twice := syncs[f.Sync()]; twice {
			t.Errorf("families %d and %d have one sync marker", i, j)
		}
		seen[f.ID()], syncs[f.Sync()] = i, i
	}
}

func TestHeader(t *testing.T) {
	f := testFamily(codec.Zstandard)
	h, err := container.ReadHeader(bufio.NewReader(bytes.NewReader(f.Header())))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(h.Schema, f.Schema) || h.Codec != f.Codec || h.Sync != f.Sync() || h.Size != int64(len(f.Header())) {
		t.Errorf("header %+v", h)
	}
	info, err := parseHeader(h)
	if err != nil {
		t.Fatal(err)
	}
	if info.FamilyID != f.ID() || info.Table != f.Table || !bytes.Equal(info.Schema, f.Schema) || info.Codec != f.Codec || info.Marker != 0 {
		t.Errorf("parsed %+v", info)
	}
	if !bytes.Equal(info.Header(), f.Header()) || info.Frame() != f.Frame() {
		t.Error("the description of a file does not give back its header and frame")
	}
}

func TestHeadersThatAreRefused(t *testing.T) {
	f := testFamily(codec.Deflate)
	good, err := container.ReadHeader(bufio.NewReader(bytes.NewReader(f.Header())))
	if err != nil {
		t.Fatal(err)
	}
	set := func(key, value string) func(m []container.Meta) []container.Meta {
		return func(m []container.Meta) []container.Meta {
			for i := range m {
				if m[i].Key == key {
					m[i].Value = []byte(value)
				}
			}
			return m
		}
	}
	without := func(key string) func(m []container.Meta) []container.Meta {
		return func(m []container.Meta) []container.Meta {
			return slices.DeleteFunc(m, func(e container.Meta) bool { return e.Key == key })
		}
	}
	for name, tc := range map[string]struct {
		change func(m []container.Meta) []container.Meta
		want   error
	}{
		"no version":       {without(keyFormat), ErrForeign},
		"version 2":        {set(keyFormat, "2"), ErrVersion},
		"version 01":       {set(keyFormat, "01"), ErrVersion},
		"no table":         {without(keyTable), nil},
		"empty table":      {set(keyTable, ""), nil},
		"long table":       {set(keyTable, strings.Repeat("t", MaxTableBytes+1)), nil},
		"no family":        {without(keyFamily), nil},
		"short family":     {set(keyFamily, "00"), nil},
		"odd family":       {set(keyFamily, strings.Repeat("0", 63)), nil},
		"family no hex":    {set(keyFamily, strings.Repeat("g", 64)), nil},
		"family upper":     {set(keyFamily, strings.Repeat("A", 64)), nil},
		"another family":   {set(keyFamily, strings.Repeat("0", 64)), nil},
		"no marker":        {without(keyMarker), nil},
		"marker +0":        {set(keyMarker, "+0"), nil},
		"marker 00":        {set(keyMarker, "00"), nil},
		"marker too large": {set(keyMarker, "4294967296"), nil},
		"unknown codec":    {set(container.CodecKey, "lzma"), nil},
		"empty schema":     {set(container.SchemaKey, ""), nil},
		"one entry more": {func(m []container.Meta) []container.Meta {
			return append(m, container.Meta{Key: "firn.more", Value: []byte("1")})
		}, nil},
		"another order": {func(m []container.Meta) []container.Meta { slices.Reverse(m); return m }, nil},
	} {
		meta := slices.Clone(good.Meta)
		for i := range meta {
			meta[i].Value = bytes.Clone(meta[i].Value)
		}
		b := container.AppendHeader(nil, tc.change(meta), good.Sync)
		h, err := container.ReadHeader(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		info, err := parseHeader(h)
		if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
			t.Errorf("%s: %+v, %v; want an error %v", name, info, err, tc.want)
		}
	}
}

// The metadata map in two chunks: legal Avro, the same entries, other bytes.
func TestHeaderInTwoChunksIsRefused(t *testing.T) {
	f := testFamily(codec.Deflate)
	b := f.Header()
	const magic, entries = 4, 6
	if b[magic] != 2*entries {
		t.Fatalf("the map begins with %d", b[magic])
	}
	first := []byte("\x14avro.codec\x0edeflate")
	if !bytes.HasPrefix(b[magic+1:], first) {
		t.Fatalf("the first entry is %q", b[magic+1:][:len(first)])
	}
	split := slices.Concat(b[:magic], []byte{2}, first, []byte{2 * (entries - 1)}, b[magic+1+len(first):])
	h, err := container.ReadHeader(bufio.NewReader(bytes.NewReader(split)))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := parseHeader(h); err == nil {
		t.Errorf("accepted: %+v", info)
	}
}

func TestFamilyValidate(t *testing.T) {
	for name, change := range map[string]func(f *Family){
		"no table":    func(f *Family) { f.Table = "" },
		"long table":  func(f *Family) { f.Table = strings.Repeat("x", MaxTableBytes+1) },
		"no schema":   func(f *Family) { f.Schema = nil },
		"long schema": func(f *Family) { f.Schema = make([]byte, MaxSchemaBytes+1) },
		"no codec":    func(f *Family) { f.Codec = "" },
		"only read":   func(f *Family) { f.Codec = codec.Bzip2 },
	} {
		f := testFamily(codec.Null)
		change(&f)
		if err := f.Validate(); err == nil {
			t.Errorf("%s: valid", name)
		}
		if _, err := NewWriter(&bytes.Buffer{}, f); err == nil {
			t.Errorf("%s: a writer was made", name)
		}
	}
	f := testFamily(codec.Null)
	f.Table = strings.Repeat("é", MaxTableBytes/2)
	if err := f.Validate(); err != nil {
		t.Error(err)
	}
}

// Computed apart, from the drawing alone.
const (
	goldenID   = "ef9bc7996c8a510d8653162245699317d4f8942abd63afa85bf5795e13e57932"
	goldenSync = "5324cb30e89fc28c2bd6cd65ba100c2b"
)
