package blockfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/container"
)

func rebuild(t testing.TB, r io.Reader) (SidecarInfo, []Ref, error) {
	var refs []Ref
	info, err := RebuildSidecar(t.Context(), r, func(r Ref) error { refs = append(refs, r); return nil })
	return info, refs, err
}

// What is rebuilt is what was written, but for what only the log knows.
func TestRebuildSidecar(t *testing.T) {
	eachCodec(t, func(t *testing.T, name string) {
		f := testFamily(name)
		f.Marker = 3
		file, refs, sum := writeFile(t, f, testBlocks)
		for _, wrap := range []func(io.Reader) io.Reader{
			func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.DataErrReader,
		} {
			info, got, err := rebuild(t, wrap(bytes.NewReader(file)))
			if err != nil {
				t.Fatal(err)
			}
			wantInfo(t, info, f.Sidecar(sum))
			wantRefs(t, got, refs)
			if got, err := info.Family(f.Salt); err != nil || got.ID() != f.ID() || !bytes.Equal(got.Schema, f.Schema) {
				t.Errorf("family %+v, %v", got, err)
			}
			if _, err := info.Family([16]byte{}); !errors.Is(err, ErrCorrupt) {
				t.Errorf("in another store: %v", err)
			}
		}
		info, got, err := rebuild(t, bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		want := testInfo(f, sum)
		info.FirstSeq, info.LastSeq, info.Lineage = want.FirstSeq, want.LastSeq, want.Lineage
		if !bytes.Equal(writeSidecar(t, info, got), writeSidecar(t, want, refs)) {
			t.Error("the rebuilt sidecar has other bytes")
		}
	})
}

func TestRebuildSidecarOfEmptyFile(t *testing.T) {
	f := testFamily(codec.Deflate)
	file, _, sum := writeFile(t, f, nil)
	info, refs, err := rebuild(t, bytes.NewReader(file))
	if err != nil || len(refs) > 0 {
		t.Fatalf("%d references, %v", len(refs), err)
	}
	wantInfo(t, info, f.Sidecar(sum))
}

func TestRebuildSidecarTruncated(t *testing.T) {
	f := testFamily(codec.Null)
	file, refs, _ := writeFile(t, f, []testBlock{testBlocks[0], testBlocks[2], testBlocks[4]})
	ends := map[int64]bool{refs[0].Offset: true}
	for _, r := range refs {
		ends[r.End()] = true
	}
	for n := range file {
		info, got, err := rebuild(t, bytes.NewReader(file[:n]))
		switch {
		case ends[int64(n)]: // a shorter file: its size and checksum tell
			if err != nil || info.FileSize != int64(n) {
				t.Errorf("cut to %d bytes behind a block: size %d, %v", n, info.FileSize, err)
			}
		case !errors.Is(err, ErrCorrupt):
			t.Errorf("cut to %d bytes: %v, want ErrCorrupt", n, err)
		}
		wantRefs(t, got, refs[:len(got)])
		if _, _, err := rebuild(t, io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(errDisk))); !errors.Is(err, errDisk) || errors.Is(err, ErrCorrupt) {
			t.Errorf("reading fails at byte %d: %v", n, err)
		}
	}
}

// No flip goes by: it is an error, or the file's checksum is another; in the
// header, whose texts have no checksum, the family is.
func TestRebuildSidecarFlips(t *testing.T) {
	f := testFamily(codec.Deflate)
	file, _, sum := writeFile(t, f, testBlocks[:3])
	for i := range file {
		file[i] ^= 0x10
		info, _, err := rebuild(t, bytes.NewReader(file))
		if err == nil && info.FileCRC == sum.CRC {
			t.Fatalf("byte %d flipped: no error, same checksum", i)
		}
		if err == nil && i < len(f.Header()) {
			if got, err := info.Family(f.Salt); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d flipped: family %+v, %v", i, got, err)
			}
		}
		file[i] ^= 0x10
	}
}

func TestRebuildSidecarRefuses(t *testing.T) {
	f := testFamily(codec.Deflate)
	sync := f.Sync()
	c, err := codec.NewCompressor(codec.Deflate)
	if err != nil {
		t.Fatal(err)
	}
	file := func(count int64, raw []byte) []byte {
		comp, err := c.Append(nil, raw)
		if err != nil {
			t.Fatal(err)
		}
		return container.AppendBlock(f.Header(), count, comp, sync)
	}
	rec := func(dataset string, ms int64) []byte { return appendRecord(nil, dataset, ms, 1, "ice") }
	good := slices.Concat(rec("u1", 5), rec("u1", 5), rec("u1", 6))
	if _, refs, err := rebuild(t, bytes.NewReader(file(3, good))); err != nil || len(refs) != 1 || refs[0].First != 5 || refs[0].Last != 6 {
		t.Fatalf("the good one: %+v, %v", refs, err)
	}
	comp, err := c.Append(nil, good)
	if err != nil {
		t.Fatal(err)
	}
	longCount := append(f.Header(), 6|0x80, 0) // 3, in two bytes
	longCount = append(binary.AppendVarint(longCount, int64(len(comp))), comp...)
	longCount = append(longCount, sync[:]...)
	for name, b := range map[string][]byte{
		"two datasets":        file(2, slices.Concat(rec("u1", 5), rec("u2", 6))),
		"out of order":        file(2, slices.Concat(rec("u1", 6), rec("u1", 5))),
		"out of order inside": file(4, slices.Concat(rec("u1", 5), rec("u1", 7), rec("u1", 6), rec("u1", 8))),
		"count past 32 bits":  file(1<<32+3, good),
		"two days":            file(2, slices.Concat(rec("u1", 5), rec("u1", msPerDay))),
		"two days, negative":  file(2, slices.Concat(rec("u1", -1), rec("u1", 0))),
		"year 10000":          file(1, rec("u1", DayStart(MaxDay+1))),
		"year 0":              file(1, rec("u1", DayStart(MinDay)-1)),
		"largest time":        file(1, rec("u1", 1<<63-1)),
		"smallest time":       file(1, rec("u1", -1<<63)),
		"count too small":     file(2, good),
		"count too large":     file(4, good),
		"count vast":          file(1<<40, good),
		"no records":          file(0, nil),
		"records of nothing":  file(3, nil),
		"bytes behind":        file(3, append(slices.Clone(good), 0)),
		"cut record":          file(3, good[:len(good)-1]),
		"long dataset":        file(1, rec(strings.Repeat("d", MaxDatasetBytes+1), 0)),
		"bomb":                file(1, make([]byte, MaxRawBytes+1)),
		"not compressed":      container.AppendBlock(f.Header(), 3, good, sync),
		"long form of count":  longCount,
		"schema of no table":  func() []byte { g := f; g.Schema = []byte(`"int"`); return g.Header() }(),
		"schema of nothing":   func() []byte { g := f; g.Schema = []byte(`{`); return g.Header() }(),
		"stray byte":          append(file(3, good), 2),
	} {
		if _, _, err := rebuild(t, bytes.NewReader(b)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
	foreign := container.AppendHeader(nil, []container.Meta{{Key: container.SchemaKey, Value: []byte(`"int"`)}}, sync)
	if _, _, err := rebuild(t, bytes.NewReader(foreign)); !errors.Is(err, ErrForeign) {
		t.Errorf("another writer's file: %v, want ErrForeign", err)
	}
	stop := errors.New("enough")
	if _, err := RebuildSidecar(t.Context(), bytes.NewReader(file(3, good)), func(Ref) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("fn fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := RebuildSidecar(ctx, bytes.NewReader(file(3, good)), func(Ref) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func FuzzRebuildSidecar(f *testing.F) {
	for _, name := range codec.Names {
		file, _, _ := writeFile(f, testFamily(name), testBlocks[:3])
		f.Add(file)
	}
	f.Add([]byte("Obj\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		info, refs, err := rebuild(t, bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrVersion) {
				t.Fatalf("unmarked error %v", err)
			}
			return
		}
		// What could be rebuilt is consistent: a sidecar of it can be written,
		// and each block be read by its reference.
		writeSidecar(t, info, refs)
		if info.FileSize != int64(len(b)) || info.FileCRC != Checksum(b) {
			t.Fatalf("size %d, checksum %08x of %d bytes", info.FileSize, info.FileCRC, len(b))
		}
		for _, r := range refs {
			if _, err := info.Frame().ReadBlock(nil, stored(b, r), r); err != nil {
				t.Fatal(err)
			}
		}
	})
}
