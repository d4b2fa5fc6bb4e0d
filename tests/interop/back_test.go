package interop

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firndb/firn/engine"
	"github.com/firndb/firn/tests/harness"
)

// TestBack takes what firn wrote back into firn, over HTTP and with firn import: the records come
// out as they were sent at first, and not as the columns of the file.
func TestBack(t *testing.T) {
	records := append(span(plain, 0, 60), span(wide, 60, 100)...)
	from := &bench{Daemon: harness.Start(t, t.TempDir(), engine.Options{Manual: true}), out: t.TempDir()}
	for at := 0; at < 100; at += 50 {
		from.ingest(t, "mixed", "u1", records[at:at+50])
		from.Post(t, "/v1/archive", "", nil, http.StatusOK)
	}
	answer := from.answer(t, "whole", "mixed", records)
	paths, _ := blockFiles(t, from.Daemon)

	to := harness.Start(t, t.TempDir(), engine.Options{Manual: true})
	same := func(table string) {
		t.Helper()
		got := harness.SplitLines(to.Get(t, harness.ReadPath(table, "u1", "format", "ndjson")))
		if len(got) != len(records) {
			t.Fatalf("%s: %d records, want %d", table, len(got), len(records))
		}
		for i := range got {
			if diff := harness.EqualJSON(got[i], []byte(records[i])); diff != "" {
				t.Fatalf("%s: record %d: %s", table, i, diff)
			}
		}
	}
	to.Post(t, "/v1/ingest?table=mixed&dataset_id=u1", "application/avro", answer, http.StatusOK)
	same("mixed")
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		to.Post(t, "/v1/ingest?table=files&dataset_id=u1", "application/avro", file, http.StatusOK)
	}
	same("files")

	firn := filepath.Join(t.TempDir(), "firn")
	build := exec.Command("go", "build", "-o", firn, "./cmd/firn")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command(firn, "import", "--addr", to.URL, "--table", "imported", "--dataset", "u1", from.samples[0].path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "100 records imported") {
		t.Fatalf("%v: %s", err, out)
	}
	same("imported")
	to.Post(t, "/v1/archive", "", nil, http.StatusOK)
	same("mixed")
	same("imported")
}
