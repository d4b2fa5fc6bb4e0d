package foreign

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/container"
)

// fuzzOptions keep single inputs quick.
var fuzzOptions = Options{MaxRecordBytes: 64 << 10, MaxBlockRaw: 256 << 10}

// drainMarked reads a file to its end and checks the records and the kind of the error.
func drainMarked(t *testing.T, r io.Reader) {
	fr, err := NewReader(r, fuzzOptions)
	for n := 0; err == nil; n++ {
		var rec []byte
		if rec, err = fr.Next(); err == nil && (!json.Valid(rec) || rec[0] != '{' || len(rec) > fuzzOptions.MaxRecordBytes) {
			t.Fatalf("record %d: %.1000q", n, rec)
		}
		if n > 10_000 {
			return // long files are no news
		}
	}
	var re *RecordError
	for _, mark := range []error{io.EOF, ErrMalformed, ErrSchema, ErrNotRecord, codec.ErrUnknown, codec.ErrTooLarge} {
		if errors.Is(err, mark) {
			return
		}
	}
	if !errors.As(err, &re) {
		t.Fatalf("unmarked error %v", err)
	}
}

// FuzzReader reads whole files.
func FuzzReader(f *testing.F) {
	for _, name := range codec.Names {
		f.Add(fileOf(f, longSchema, name, block{3, "\x02\x04\x06"}))
		f.Add(ownFile(f, name, ownRecords...))
	}
	if dir, ok := findData(); ok {
		paths, _ := filepath.Glob(filepath.Join(dir, "*", "*.avro"))
		for _, p := range paths {
			if b, err := os.ReadFile(p); err == nil && len(b) < 4<<10 {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) { drainMarked(t, bytes.NewReader(file)) })
}

// FuzzRecords reads records by a schema, without the framing that hides them from the fuzzer.
func FuzzRecords(f *testing.F) {
	for _, typ := range []string{
		`"long"`, `"double"`, `"string"`, `"bytes"`, `["null","string","R"]`, `{"type":"map","values":"R"}`,
		`{"type":"array","items":["null","boolean","float"]}`, `{"type":"enum","name":"E","symbols":["A","B"]}`,
		`{"type":"fixed","name":"F","size":16,"logicalType":"uuid"}`, `{"type":"bytes","logicalType":"decimal","precision":40,"scale":7}`,
		`{"type":"long","logicalType":"timestamp-micros"}`, `{"type":"int","logicalType":"date"}`,
	} {
		f.Add(`{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"v","type":`+typ+`}]}`, int64(2), []byte("\x02\x02\x02\x06abc\x00\x00\x02\x02"))
	}
	f.Fuzz(func(t *testing.T, schema string, count int64, raw []byte) {
		file := container.AppendHeader(nil, []container.Meta{{Key: container.SchemaKey, Value: []byte(schema)}}, testSync)
		drainMarked(t, bytes.NewReader(container.AppendBlock(file, count, raw, testSync)))
	})
}
