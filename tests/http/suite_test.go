package http

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firndb/firn/engine"
	"github.com/firndb/firn/tests/harness"
)

func manual(o engine.Options) engine.Options {
	o.Archive.Schedule = "off"
	return o
}

// TestJSONSuite sends every file of JSONTestSuite as a member of a record. What is taken must come
// back equal, hot and cold.
func TestJSONSuite(t *testing.T) {
	root := harness.Data(t)
	d := harness.Start(t, t.TempDir(), manual(engine.Options{}))
	paths, err := filepath.Glob(filepath.Join(root, "json-suite", "test_parsing", "*.json"))
	if err != nil || len(paths) < 300 {
		t.Fatalf("%d files of the suite, %v", len(paths), err)
	}
	taken := make(map[string]string)
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		want := harness.SuiteAccepts(name)
		record := fmt.Sprintf(`{"timestamp":1,"v":%s}`, content)
		body := fmt.Appendf(nil, `{"dataset_id":%q,"table":"suite","records":[%s]}`, name, record)
		status := 400
		if want {
			status = 200
			taken[name] = record
		}
		answer := d.Post(t, "/v1/ingest", "application/json", body, status)
		if !want && !strings.Contains(string(answer), `"detail"`) {
			t.Errorf("%s: the refusal says nothing: %s", name, answer)
		}
	}
	check := func(when string) {
		for name, record := range taken {
			got := d.Get(t, harness.ReadPath("suite", name, "format", "ndjson"))
			if diff := harness.EqualJSON(got, []byte(record)); diff != "" {
				t.Errorf("%s, %s: %s", name, when, diff)
			}
		}
		var a struct {
			Tables []struct{ Accepted int }
		}
		if err := json.Unmarshal(d.Get(t, "/v1/tables"), &a); err != nil || len(a.Tables) != 1 || a.Tables[0].Accepted != len(taken) {
			t.Errorf("%s: tables %+v, %v, want %d records", when, a, err, len(taken))
		}
	}
	check("hot")
	d.Post(t, "/v1/archive", "", nil, 200)
	check("cold")
}
