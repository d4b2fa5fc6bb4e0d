package blockfile

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/container"
)

// Whatever bit of a stored block flips is found, before decompression.
func TestReadBlockFindsFlips(t *testing.T) {
	eachCodec(t, func(t *testing.T, name string) {
		f := testFamily(name)
		file, refs, _ := writeFile(t, f, testBlocks[:3])
		fr := f.Frame()
		for _, r := range refs {
			block := bytes.Clone(stored(file, r))
			for i := range block {
				for bit := range 8 {
					block[i] ^= 1 << bit
					out, err := fr.ReadBlock([]byte("kept"), block, r)
					var damage *CorruptError
					if !errors.As(err, &damage) || !errors.Is(err, ErrCorrupt) || damage.Offset != r.Offset {
						t.Fatalf("byte %d, bit %d flipped: %v", i, bit, err)
					}
					if string(out) != "kept" {
						t.Fatalf("byte %d, bit %d flipped: dst became %q", i, bit, out)
					}
					block[i] ^= 1 << bit
				}
			}
		}
	})
}

// A reference that is wrong in any part that the block can show is found.
func TestReadBlockFindsWrongReferences(t *testing.T) {
	f := testFamily(codec.Deflate)
	file, refs, _ := writeFile(t, f, testBlocks[:3])
	good := refs[1]
	for name, change := range map[string]func(r *Ref){
		"length":               func(r *Ref) { r.Length++ },
		"raw length one less":  func(r *Ref) { r.RawLength-- },
		"raw length one more":  func(r *Ref) { r.RawLength++ },
		"raw length nothing":   func(r *Ref) { r.RawLength = 0 },
		"raw length 4 GiB":     func(r *Ref) { r.RawLength = 1<<32 - 1 },
		"records":              func(r *Ref) { r.Records++ },
		"no records":           func(r *Ref) { r.Records = 0 },
		"checksum":             func(r *Ref) { r.CRC ^= 1 << 31 },
		"day":                  func(r *Ref) { r.Day++ },
		"last before first":    func(r *Ref) { r.Last = r.First - 1 },
		"negative offset":      func(r *Ref) { r.Offset = -1 },
		"offset past any file": func(r *Ref) { r.Offset = MaxFileBytes + 1 },
	} {
		r := good
		change(&r)
		if _, err := ReadBlock(nil, stored(file, good), r, f); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
	for name, change := range map[string]func(f *Family){
		"salt": func(f *Family) { f.Salt[3]++ }, "table": func(f *Family) { f.Table = "x" }, "marker": func(f *Family) { f.Marker++ },
		"codec": func(f *Family) { f.Codec = codec.Null },
	} {
		other := f
		change(&other)
		if _, err := ReadBlock(nil, stored(file, good), good, other); !errors.Is(err, ErrCorrupt) {
			t.Errorf("family of another %s: %v, want ErrCorrupt", name, err)
		}
	}
	if _, err := (Frame{Codec: "lzma", Sync: f.Sync()}).ReadBlock(nil, stored(file, good), good); !errors.Is(err, codec.ErrUnknown) || errors.Is(err, ErrCorrupt) {
		t.Errorf("unknown codec: %v", err)
	}
}

func TestRefValidate(t *testing.T) {
	good := Ref{Dataset: "u", Day: 1, Offset: 5, Length: 30, RawLength: 10, Records: 2, First: msPerDay, Last: 2*msPerDay - 1}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(r *Ref){
		"dataset":        func(r *Ref) { r.Dataset = string(make([]byte, MaxDatasetBytes+1)) },
		"offset -1":      func(r *Ref) { r.Offset = -1 },
		"offset vast":    func(r *Ref) { r.Offset = MaxFileBytes + 1 },
		"length 0":       func(r *Ref) { r.Length = 0 },
		"length vast":    func(r *Ref) { r.Length = MaxBlockBytes + 1 },
		"raw length 0":   func(r *Ref) { r.RawLength, r.Records = 0, 0 },
		"raw vast":       func(r *Ref) { r.RawLength = MaxRawBytes + 1 },
		"records 0":      func(r *Ref) { r.Records = 0 },
		"records vast":   func(r *Ref) { r.Records = r.RawLength + 1 },
		"first too late": func(r *Ref) { r.First = r.Last + 1 },
		"day before":     func(r *Ref) { r.First = msPerDay - 1 },
		"day after":      func(r *Ref) { r.Last = 2 * msPerDay },
		"another day":    func(r *Ref) { r.Day = 2 },
		"year 10000":     func(r *Ref) { r.Day, r.First, r.Last = MaxDay+1, DayStart(MaxDay+1), DayStart(MaxDay+1) },
		"year 0":         func(r *Ref) { r.Day, r.First, r.Last = MinDay-1, DayStart(MinDay-1), DayStart(MinDay-1) },
		"time past days": func(r *Ref) { r.First, r.Last = 1<<63-1, 1<<63-1 },
	} {
		r := good
		change(&r)
		if err := r.Validate(); err == nil {
			t.Errorf("%s: %+v is valid", name, r)
		}
	}
	for _, r := range []Ref{
		{Day: MinDay, Length: MaxBlockBytes, RawLength: MaxRawBytes, Records: MaxRawBytes, First: DayStart(MinDay), Last: DayStart(MinDay)},
		{Day: MaxDay, Offset: MaxFileBytes, Length: 1, RawLength: 1, Records: 1, First: DayStart(MaxDay+1) - 1, Last: DayStart(MaxDay+1) - 1},
	} {
		if err := r.Validate(); err != nil {
			t.Errorf("at the limits: %v", err)
		}
	}
}

// Blocks whose checksum is right but whose inside is not: a writer's fault, or
// a forger's.
func TestReadBlockForged(t *testing.T) {
	f := testFamily(codec.Deflate)
	sync := f.Sync()
	c, err := codec.NewCompressor(codec.Deflate)
	if err != nil {
		t.Fatal(err)
	}
	raw := testBlocks[0].raw
	comp, err := c.Append(nil, raw)
	if err != nil {
		t.Fatal(err)
	}
	good := container.AppendBlock(nil, 3, comp, sync)
	bomb, err := c.Append(nil, make([]byte, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string][]byte{
		"stray byte":      append(bytes.Clone(good), 0),
		"two blocks":      append(bytes.Clone(good), good...),
		"cut":             good[:len(good)-1],
		"other count":     container.AppendBlock(nil, 4, comp, sync),
		"negative count":  append([]byte{5}, good[1:]...),
		"not compressed":  container.AppendBlock(nil, 3, raw, sync),
		"no data":         container.AppendBlock(nil, 3, nil, sync),
		"bytes behind":    container.AppendBlock(nil, 3, append(bytes.Clone(comp), 0), sync),
		"decompress bomb": container.AppendBlock(nil, 3, bomb, sync),
	} {
		ref := Ref{Dataset: "u1", Day: 19_844, Offset: 77, Length: uint32(len(block)), RawLength: uint32(len(raw)), Records: 3,
			First: testBlocks[0].first, Last: testBlocks[0].last, CRC: Checksum(block)}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ReadBlock(nil, block, ref, f)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
			t.Errorf("%s: %d bytes of memory", name, used)
		}
	}
}

func TestReadBlockUsesDst(t *testing.T) {
	eachCodec(t, func(t *testing.T, name string) {
		f := testFamily(name)
		file, refs, _ := writeFile(t, f, testBlocks)
		r := refs[1]
		buf := make([]byte, 0, r.RawLength)
		out, err := f.Frame().ReadBlock(buf, stored(file, r), r)
		if err != nil || &out[0] != &buf[:1][0] {
			t.Errorf("%v, or another slice than the one with room", err)
		}
		out, err = f.Frame().ReadBlock(nil, stored(file, r), r)
		if err != nil || cap(out) > int(r.RawLength)+len(buf)+4096 {
			t.Errorf("%v, or %d bytes for %d", err, cap(out), r.RawLength)
		}
	})
	f := testFamily(codec.Null)
	file, refs, _ := writeFile(t, f, testBlocks)
	fr, r := f.Frame(), refs[1]
	buf := make([]byte, 0, r.RawLength)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := fr.ReadBlock(buf, stored(file, r), r); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations with room in dst", n)
	}
}

func FuzzReadBlock(f *testing.F) {
	families := map[string]Family{}
	for _, name := range codec.Names {
		families[name] = testFamily(name)
		file, refs, _ := writeFile(f, families[name], testBlocks[:3])
		for _, r := range refs {
			f.Add(name, stored(file, r), r.RawLength, r.Records)
		}
	}
	f.Fuzz(func(t *testing.T, name string, block []byte, rawLength, records uint32) {
		family, ok := families[name]
		if !ok {
			return
		}
		sync := family.Sync()
		if n := len(block) - len(sync); n > 0 {
			copy(block[n:], sync[:]) // so that the fuzzer gets past the marker
		}
		r := Ref{Length: uint32(len(block)), RawLength: rawLength % (1 << 20), Records: records, CRC: Checksum(block)}
		raw, err := ReadBlock(nil, block, r, family)
		switch {
		case err == nil && len(raw) != int(r.RawLength):
			t.Fatalf("%d raw bytes, the reference says %d", len(raw), r.RawLength)
		case err != nil && !errors.Is(err, ErrCorrupt):
			t.Fatal(err)
		case err != nil && len(raw) > 0:
			t.Fatal("bytes with an error")
		}
	})
}
