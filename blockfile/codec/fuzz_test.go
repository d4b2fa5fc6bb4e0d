package codec

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzDecompress: no input panics, passes the maximum, or fails without one of the three marks.
func FuzzDecompress(f *testing.F) {
	raw, files := foreignStreams(f)
	readable := []string{Null, Deflate, Zstandard, Snappy, Bzip2, XZ}
	for file, comp := range files {
		f.Add(codecOf(file), comp, len(raw))
	}
	for _, name := range Names {
		f.Add(name, mustCompress(f, name, raw), len(raw))
	}
	f.Fuzz(func(t *testing.T, name string, comp []byte, maxRaw int) {
		maxRaw = min(maxRaw, 1<<20)
		if !Readable(name) {
			name = readable[len(name)%len(readable)]
		}
		got, err := Decompress(name, nil, comp, maxRaw)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("unmarked error %v", err)
			}
			return
		}
		if len(got) > maxRaw {
			t.Fatalf("%d bytes for at most %d", len(got), maxRaw)
		}
		if again, err := Decompress(name, make([]byte, 0, len(got)), comp, len(got)); err != nil || !bytes.Equal(again, got) {
			t.Fatalf("with the exact room: %v", err)
		}
	})
}

// FuzzXZPayload puts any LZMA2 data behind a sound block header, whose checksum hides it from the other target.
func FuzzXZPayload(f *testing.F) {
	raw, files := foreignStreams(f)
	stream := files["xz-none"]
	head := (int(stream[xzHeaderSize]) + 1) * 4
	f.Add(stream[xzHeaderSize+head:], 1<<20)
	f.Add(append([]byte{1, 0, 3, 'r', 'a', 'w', '!'}, 0, 0, 0), len(raw))
	f.Fuzz(func(t *testing.T, payload []byte, maxRaw int) {
		maxRaw = min(maxRaw, 1<<20)
		got, err := Decompress(XZ, nil, append(bytes.Clone(stream[:xzHeaderSize+head]), payload...), maxRaw)
		if err == nil && len(got) > max(maxRaw, 0) {
			t.Fatalf("%d bytes for at most %d", len(got), maxRaw)
		}
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooLarge) {
			t.Fatalf("unmarked error %v", err)
		}
	})
}
