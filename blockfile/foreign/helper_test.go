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
	"github.com/hamba/avro/v2"
)

var testSync = [container.SyncSize]byte{'s', 'y', 'n', 'c', 9}

// enc gives what f writes with the Avro library's primitives.
func enc(f func(w *avro.Writer)) string {
	w := avro.NewWriter(nil, 64)
	f(w)
	return string(w.Buffer())
}

func long(v int64) string     { return enc(func(w *avro.Writer) { w.WriteLong(v) }) }
func str(s string) string     { return enc(func(w *avro.Writer) { w.WriteString(s) }) }
func double(v float64) string { return enc(func(w *avro.Writer) { w.WriteDouble(v) }) }
func float(v float32) string  { return enc(func(w *avro.Writer) { w.WriteFloat(v) }) }

// block is a block of count records in raw, before compression.
type block struct {
	count int64
	raw   string
}

// fileOf makes a file; the codec is null if the name is empty.
func fileOf(t testing.TB, schema, codecName string, blocks ...block) []byte {
	t.Helper()
	meta := []container.Meta{{Key: container.SchemaKey, Value: []byte(schema)}}
	if codecName == "" {
		codecName = codec.Null
	} else {
		meta = append(meta, container.Meta{Key: container.CodecKey, Value: []byte(codecName)})
	}
	c, err := codec.NewCompressor(codecName)
	if err != nil {
		t.Fatal(err)
	}
	file := container.AppendHeader(nil, meta, testSync)
	for _, b := range blocks {
		comp, err := c.Append(nil, []byte(b.raw))
		if err != nil {
			t.Fatal(err)
		}
		file = container.AppendBlock(file, b.count, comp, testSync)
	}
	return file
}

// readAll returns the records before the error; the error of a whole file is nil.
func readAll(r io.Reader, o Options) ([]string, error) {
	fr, err := NewReader(r, o)
	if err != nil {
		return nil, err
	}
	var out []string
	for {
		rec, err := fr.Next()
		if err != nil {
			if _, again := fr.Next(); again != err {
				return out, errors.Join(errors.New("the error did not stay"), err, again)
			}
			if fr.Records() != int64(len(out)) {
				return out, errors.Join(errors.New("Records miscounts"), err)
			}
			if err == io.EOF {
				err = nil
			}
			return out, err
		}
		if !json.Valid(rec) || rec[0] != '{' {
			return out, errors.New("no JSON object: " + string(rec))
		}
		out = append(out, string(rec))
	}
}

func readBytes(file []byte, o Options) ([]string, error) { return readAll(bytes.NewReader(file), o) }

// one reads the only record of a file with the field v of the given type.
func one(t testing.TB, typ, raw string) (string, error) {
	t.Helper()
	recs, err := readBytes(fileOf(t, `{"type":"record","name":"R","fields":[{"name":"v","type":`+typ+`}]}`, "", block{1, raw}), Options{})
	if err != nil {
		return "", err
	}
	if len(recs) != 1 {
		t.Fatalf("%d records", len(recs))
	}
	return recs[0][len(`{"v":`) : len(recs[0])-1], nil
}

// dataDir finds the folder of real Avro files, or skips the test.
func dataDir(t testing.TB) string {
	t.Helper()
	dir, ok := findData()
	if !ok {
		t.Skip("no real Avro files: set FIRN_TEST_DATA to the folder that holds avro/")
	}
	return dir
}

func findData() (string, bool) {
	if dir := os.Getenv("FIRN_TEST_DATA"); dir != "" {
		dir = filepath.Join(dir, "avro")
		_, err := os.Stat(dir)
		return dir, err == nil
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", false
	}
	for {
		dir := filepath.Join(wd, "..", "shared", "data", "avro")
		if _, err := os.Stat(dir); err == nil {
			return dir, true
		}
		up := filepath.Dir(wd)
		if up == wd {
			return "", false
		}
		wd = up
	}
}
