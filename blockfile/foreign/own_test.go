package foreign

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/blockfile/container"
	"github.com/firndb/firn/blockfile/schema"
)

var ownRecords = []string{
	`{"timestamp":5,"dataset_id":"u","id.orig_h":"10.0.0.1","e":null,"n":1}`,
	`{"timestamp":"1970-01-01T00:00:00.005Z","id.orig_h":7,"n":0.5,"o":{"a":[{},null,1e400]}}`,
	`{"timestamp":6,"table":"other","id.orig_h":"x","n":2,"o":{"a":[]}}`,
}

// ownFile is a block file of the records. Its fallback schema is tested by a record that needs it.
func ownFile(t testing.TB, codec string, records ...string) []byte {
	t.Helper()
	tree := schema.NewTree("logs")
	for _, rec := range records {
		tree.Add("u", 5, []byte(rec))
	}
	s := tree.Schema()
	var raw []byte
	e := s.NewEncoder()
	for _, rec := range records {
		var err error
		if raw, err = e.Append(raw, "u", 5, []byte(rec)); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	w, err := blockfile.NewWriter(&file, blockfile.Family{Table: "logs", Schema: s.Text(), Codec: codec})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := w.Append("u", 0, raw, uint32(len(records)), 5, 5); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func all(t testing.TB, file []byte, o Options) (records []string, err error) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file), o)
	if err != nil {
		return nil, err
	}
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return records, nil
		}
		if err != nil {
			if _, again := r.Next(); again != err {
				t.Errorf("the error %v does not stay: %v", err, again)
			}
			return records, err
		}
		records = append(records, string(rec))
	}
}

func TestOwnFilesGiveTheirRecords(t *testing.T) {
	for _, codec := range []string{"deflate", "zstandard", "snappy", "null"} {
		got, err := all(t, ownFile(t, codec, ownRecords...), Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			`{"timestamp":5,"dataset_id":"u","id.orig_h":"10.0.0.1","e":null,"n":1}`,
			`{"id.orig_h":7,"n":0.5,"o":{"a":[{},null,1e400]},"timestamp":"1970-01-01T00:00:00.005Z"}`,
			`{"id.orig_h":"x","n":2,"o":{"a":[]},"timestamp":6,"table":"other"}`,
		}
		want = append(want, want...)
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: %s", codec, strings.Join(got, "\n"))
		}
	}
}

func TestOwnFallback(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"timestamp":5`)
	for i := range 6 {
		fmt.Fprintf(&b, `,"o%d":{"z":1.50`, i)
		for j := range 200 {
			fmt.Fprintf(&b, `,"%s%d":%d`, strings.Repeat("k", 1000), j, j)
		}
		b.WriteString("}")
	}
	rec := b.String() + "}"
	got, err := all(t, ownFile(t, "deflate", rec), Options{})
	if err != nil || len(got) != 2 || got[0] != rec {
		t.Errorf("%d records, %v", len(got), err)
	}
}

// A header may say that firn wrote it and be wrong: columns it is then.
func TestOwnHeader(t *testing.T) {
	with := func(meta ...container.Meta) []byte {
		file := ownFile(t, "null", ownRecords[0])
		r, err := container.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		h := r.Header()
		keep := []container.Meta{}
		for _, m := range h.Meta {
			for _, other := range meta {
				if m.Key == other.Key {
					m.Value = other.Value
				}
			}
			if m.Value != nil {
				keep = append(keep, m)
			}
		}
		return append(container.AppendHeader(nil, keep, h.Sync), file[h.Size:]...)
	}
	columns := `{"dataset_id":"u","timestamp":5,"id_orig_h":"10.0.0.1","e":null,"n":1}`
	for _, c := range []struct {
		name string
		file []byte
		want string // "" for ErrSchema
	}{
		{"as it is", with(), ownRecords[0]},
		{"no format", with(container.Meta{Key: formatKey}), columns},
		{"no family", with(container.Meta{Key: familyKey}), columns},
		{"schema without properties", with(container.Meta{Key: container.SchemaKey, Value: []byte(
			`{"type":"record","name":"logs","fields":[{"name":"dataset_id","type":"string"},{"name":"timestamp","type":"long"},` +
				`{"name":"id_orig_h","type":"string"},{"name":"e","type":"null"},{"name":"n","type":"long"}]}`)}), columns},
		{"newer format", with(container.Meta{Key: formatKey, Value: []byte("2")}), ""},
	} {
		got, err := all(t, c.file, Options{})
		switch {
		case c.want == "":
			if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "format") {
				t.Errorf("%s: %q %v", c.name, got, err)
			}
		case err != nil || len(got) != 2 || got[0] != c.want:
			t.Errorf("%s: %q %v", c.name, got, err)
		}
	}
}

func TestOwnLimit(t *testing.T) {
	file := ownFile(t, "deflate", ownRecords...)
	whole, err := all(t, file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	first, second := len(whole[0]), len(whole[1]) // the second is the longest
	for _, c := range []struct{ max, records int }{{second, 6}, {second - 1, 1}, {first, 1}, {first - 1, 0}} {
		got, err := all(t, file, Options{MaxRecordBytes: c.max})
		var r *RecordError
		if c.records < 6 && (!errors.Is(err, ErrRecordTooLarge) || !errors.As(err, &r) || r.Index != int64(c.records)) || c.records == 6 && err != nil {
			t.Errorf("at most %d bytes: %v", c.max, err)
		}
		if len(got) != c.records {
			t.Errorf("at most %d bytes: %d records of %d", c.max, len(got), c.records)
		}
	}
	// Elements of no bytes, a million in a few bytes: the limit holds while they are decoded.
	empty := `{"timestamp":5,"o":[` + strings.Repeat("{},", 1000) + `{}]}`
	if _, err := all(t, ownFile(t, "deflate", empty), Options{MaxRecordBytes: 500}); !errors.Is(err, ErrRecordTooLarge) {
		t.Errorf("many empty elements: %v", err)
	}
}

// TestOwnDamage flips every bit of a file that has no checksums: errors, never a panic.
func TestOwnDamage(t *testing.T) {
	file := ownFile(t, "null", ownRecords...)
	failed := 0
	for i := range file {
		for bit := range 8 {
			file[i] ^= 1 << bit
			if got, err := all(t, file, Options{MaxRecordBytes: 1 << 16}); err != nil {
				failed++
			} else if len(got) != 6 {
				t.Fatalf("byte %d, bit %d: %d records and no error", i, bit, len(got))
			}
			file[i] ^= 1 << bit
		}
	}
	if failed < len(file)*2 {
		t.Errorf("only %d of %d flips were noticed", failed, len(file)*8)
	}
}
