package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/firndb/firn/engine"
	"github.com/firndb/firn/tests/harness"
	"github.com/twmb/avro/ocf"
)

// TestAvroOfOthers imports every Avro file of the data sets: those that read come in whole, other
// top types are 400, malformed ones are refused and leave nothing behind.
func TestAvroOfOthers(t *testing.T) {
	root := harness.Data(t)
	d := harness.Start(t, t.TempDir(), manual(engine.Options{}))
	manifest, err := os.ReadFile(filepath.Join(root, "avro", "MANIFEST.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	kept := make(map[string]int)
	compared := 0
	for i, line := range harness.SplitLines(manifest)[1:] {
		f := strings.Split(string(line), "\t")
		path, top, verdict, features := f[0], f[6], f[7], f[8]
		content, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		want := http.StatusOK
		switch {
		case verdict != "reads", top != "record" && top != "error":
			want = http.StatusBadRequest
		}
		table := "avro" + strconv.Itoa(i)
		status, _, answer := d.Do(t, "POST", "/v1/ingest?dataset_id=d&table="+table, http.Header{"Content-Type": {"application/avro"}}, content)
		if status != want {
			t.Errorf("%s (%s, %s): %d %s, want %d", path, top, verdict, status, answer, want)
			continue
		}
		if status != http.StatusOK {
			var p struct{ Code, Detail string }
			if err := json.Unmarshal(answer, &p); err != nil || p.Code == "" || p.Detail == "" {
				t.Errorf("%s: refused with %s", path, answer)
			}
			if status, _, answer := d.Do(t, "GET", "/v1/tables/"+table, nil, nil); status != http.StatusNotFound {
				t.Errorf("%s: refused, but its table is there: %s", path, answer)
			}
			continue
		}
		n, err := strconv.Atoi(f[4])
		if err != nil {
			t.Fatal(err)
		}
		kept[table] = n
		got := harness.SplitLines(d.Get(t, harness.ReadPath(table, "d", "format", "ndjson")))
		if len(got) != n {
			t.Errorf("%s: %d records, want %d", path, len(got), n)
		}
		if comparable(features) {
			compareWithOther(t, path, content, got)
			compared++
		}
	}
	if len(kept) < 65 || compared < 25 {
		t.Errorf("%d files came in and %d were compared by value", len(kept), compared)
	}
	d.Post(t, "/v1/archive", "", nil, 200)
	for table, n := range kept {
		if got := harness.SplitLines(d.Get(t, harness.ReadPath(table, "d", "format", "ndjson"))); len(got) != n {
			t.Errorf("%s: %d cold records, want %d", table, len(got), n)
		}
	}
}

// comparable tells whether a schema has only types whose JSON needs no choice.
func comparable(features string) bool {
	for _, f := range []string{"logical", "bytes", "fixed", "float", "enum"} {
		if strings.Contains(features, f) {
			return false
		}
	}
	return true
}

// compareWithOther decodes a file with an implementation that firn did not write. Records that came
// without a timestamp were given one, and records of one time keep the file's order.
func compareWithOther(t *testing.T, path string, content []byte, got [][]byte) {
	r, err := ocf.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Errorf("%s: other reader: %v", path, err)
		return
	}
	for i := 0; ; i++ {
		var v any
		err := r.Decode(&v)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Errorf("%s: other reader: record %d: %v", path, i, err)
			return
		}
		if i >= len(got) {
			t.Errorf("%s: %d records, the other reader has more", path, len(got))
			return
		}
		want, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		mine := got[i]
		if m, ok := v.(map[string]any); ok && m["timestamp"] == nil {
			mine = withoutStamp(mine)
		}
		if diff := harness.EqualJSON(mine, want); diff != "" {
			t.Errorf("%s: record %d: %s", path, i, diff)
			return
		}
	}
}

// withoutStamp takes away the timestamp that a record was given; it stands first.
func withoutStamp(record []byte) []byte {
	rest, ok := bytes.CutPrefix(record, []byte(`{"timestamp":`))
	if !ok {
		return record
	}
	rest = bytes.TrimLeft(rest, "-0123456789")
	return append([]byte("{"), bytes.TrimPrefix(rest, []byte(","))...)
}

// TestUnknownCodec is 415: the body cannot be decoded, whatever is in it.
func TestUnknownCodec(t *testing.T) {
	d := harness.Start(t, t.TempDir(), manual(engine.Options{}))
	schema := `{"type":"record","name":"r","fields":[]}`
	file := "Obj\x01" + "\x04" + "\x14avro.codec" + "\x0clzham3" + "\x16avro.schema" + string(rune(2*len(schema))) + schema + "\x00" + strings.Repeat("s", 16)
	d.Post(t, "/v1/ingest?dataset_id=d&table=t", "application/avro", []byte(file), http.StatusUnsupportedMediaType)
}
