package views

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/firndb/firn/engine"
	"github.com/twmb/avro/ocf"
	"pgregory.net/rapid"
)

// checkOCF opens an answer with a reader that firn did not write and compares the columns that
// every record has.
func checkOCF(t *rapid.T, file []byte, q engine.Query, want []kept) {
	r, err := ocf.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatalf("ocf of %+v: %v", q, err)
	}
	for i := 0; ; i++ {
		var v map[string]any
		err := r.Decode(&v)
		if err != nil {
			if i != len(want) || !isEOF(err) {
				t.Fatalf("ocf of %+v: %d records of %d: %v", q, i, len(want), err)
			}
			return
		}
		if i == len(want) {
			t.Fatalf("ocf of %+v: more than %d records", q, len(want))
		}
		if v["dataset_id"] != q.Dataset || serialOf(v["serial"]) != serialIn(want[i].json) {
			t.Fatalf("ocf of %+v: record %d is %v, want %s", q, i, v, want[i].json)
		}
	}
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// serialOf finds the serial number in a decoded column, which is optional in no version of these
// tables' schemas but may have become a union.
func serialOf(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case map[string]any:
		for _, inner := range v {
			return serialOf(inner)
		}
	}
	return -1
}

func serialIn(record string) int64 {
	var v struct{ Serial int64 }
	if err := json.Unmarshal([]byte(record), &v); err != nil {
		panic(err)
	}
	return v.Serial
}
