package interop

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firndb/firn/engine"
	"github.com/firndb/firn/tests/harness"
)

func formats(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "formats.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// example takes a block out of docs/formats.md by the name in the comment above it.
func example(t *testing.T, name string) []byte {
	t.Helper()
	_, rest, ok := strings.Cut(formats(t), "<!-- "+name+" -->\n```json\n")
	block, _, ok2 := strings.Cut(rest, "```\n")
	if !ok || !ok2 {
		t.Fatalf("docs/formats.md has no example %q", name)
	}
	return []byte(block)
}

// TestExample holds the worked example of docs/formats.md.
func TestExample(t *testing.T) {
	d := harness.Start(t, t.TempDir(), engine.Options{Manual: true})
	d.Post(t, "/v1/ingest?table=doors&dataset_id=house-7", "application/x-ndjson", example(t, "records"), http.StatusOK)
	d.Post(t, "/v1/archive", "", nil, http.StatusOK)
	paths, _ := blockFiles(t, d)
	if len(paths) != 1 || filepath.Base(filepath.Dir(paths[0])) != "date=2024-05-01" {
		t.Fatalf("block files %q", paths)
	}
	var schema bytes.Buffer
	if err := json.Compact(&schema, example(t, "schema")); err != nil {
		t.Fatal(err)
	}
	if got := metaOf(t, paths[0])["avro.schema"]; !bytes.Equal(got, schema.Bytes()) {
		t.Errorf("the schema is %s", got)
	}
	rows := harness.SplitLines(example(t, "rows"))
	n := 0
	err := readTwmb(paths[0], func(v any) error {
		row := v.(map[string]any)
		row["timestamp"] = row["timestamp"].(time.Time).UnixMilli()
		got, err := json.Marshal(row)
		if err != nil {
			return err
		}
		if n >= len(rows) {
			t.Errorf("row %d: %s", n, got)
		} else if diff := harness.EqualJSON(got, rows[n]); diff != "" {
			t.Errorf("row %d is %s: %s", n, got, diff)
		}
		n++
		return nil
	})
	if err != nil || n != len(rows) {
		t.Errorf("%d rows of %d: %v", n, len(rows), err)
	}
}

// TestTable holds the table of docs/formats.md against what TestReaders expects.
func TestTable(t *testing.T) {
	cells := make(map[string]map[string]string)
	for _, r := range readers {
		cells[r.name] = make(map[string]string)
		for _, codec := range codecs {
			cells[r.name][codec] = "no"
			if r.codecs[codec] {
				cells[r.name][codec] = "yes"
			}
		}
	}
	if want := table(cells); !strings.Contains(formats(t), want) {
		t.Errorf("docs/formats.md does not have this table:\n%s", want)
	}
}
