package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func TestIngestSources(t *testing.T) {
	d := serveFolder(t, t.TempDir())
	target := []string{"--addr", d.addr, "--table", "t", "--dataset"}
	all := numbered(0, 1700) // two batches
	read := func(t *testing.T, dataset string) string {
		t.Helper()
		return firn(t, 0, append([]string{"read"}, append(target, dataset)...)...).out
	}
	t.Run("standard input", func(t *testing.T) {
		r := firnIn(t, 0, all, append([]string{"ingest"}, append(target, "stdin")...)...)
		contains(t, "the result", r.out, "1700 records acknowledged")
		if read(t, "stdin") != all {
			t.Error("other records are read")
		}
	})
	t.Run("compressed files, one after the other", func(t *testing.T) {
		var gz, zst bytes.Buffer
		g := gzip.NewWriter(&gz)
		z, err := zstd.NewWriter(&zst)
		if err != nil {
			t.Fatal(err)
		}
		for w, text := range map[interface {
			Write([]byte) (int, error)
			Close() error
		}]string{g: numbered(0, 900), z: numbered(900, 800)} {
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		args := append([]string{"ingest", "--json"}, append(target, "files", write(t, "a.ndjson.gz", gz.String()), write(t, "b.ndjson.zst", zst.String()))...)
		if r := firn(t, 0, args...); r.out != "{\"accepted\":1700}\n" {
			t.Errorf("--json printed %q", r.out)
		}
		if read(t, "files") != all {
			t.Error("other records are read")
		}
	})
	t.Run("dataset and table from each record", func(t *testing.T) {
		firnIn(t, 0, `{"who":"x","what":"t","timestamp":2}`+"\n\r\n"+`{"who":"y","what":"t","timestamp":1}`,
			"ingest", "--addr", d.addr, "--dataset-field", "who", "--table-field", "what")
		if got := read(t, "y"); got != `{"who":"y","what":"t","timestamp":1}`+"\n" {
			t.Errorf("read %q", got)
		}
	})
	t.Run("a time of its own", func(t *testing.T) {
		firnIn(t, 0, `{"at":"1970-01-01T00:00:02Z"}`+"\n"+`{"at":"1970-01-01T00:00:01Z"}`, append([]string{"ingest", "--time-field", "at"}, append(target, "at")...)...)
		if got := read(t, "at"); !strings.HasPrefix(got, `{"at":"1970-01-01T00:00:01Z"}`) {
			t.Errorf("not in order of the time field: %q", got)
		}
	})
	t.Run("a refused batch ends it", func(t *testing.T) {
		r := firnIn(t, 1, numbered(0, 3)+"{\"n\":1,\"n\":2}\n", append([]string{"ingest", "--batch-records", "2"}, append(target, "refused")...)...)
		contains(t, "the message", r.errOut, "records[1]", "400 invalid_record", "2 records were acknowledged")
		if read(t, "refused") != numbered(0, 2) {
			t.Error("not exactly the first batch is kept")
		}
	})
	t.Run("a broken file", func(t *testing.T) {
		r := firn(t, 1, append([]string{"ingest"}, append(target, "broken", write(t, "a.gz", "no gzip"))...)...)
		contains(t, "the message", r.errOut, "a.gz: cannot be opened as its name says")
	})
	t.Run("no daemon", func(t *testing.T) {
		r := firnIn(t, 1, all, "ingest", "--addr", "127.0.0.1:1", "--table", "t", "--dataset", "d")
		contains(t, "the message", r.errOut, "no daemon answers at http://127.0.0.1:1")
	})
}

// Without a daemon every command opens the folder itself.
func TestDataFolderWithoutDaemon(t *testing.T) {
	data := t.TempDir()
	all := numbered(0, 2000)
	firnIn(t, 0, all, "ingest", "--data", data, "--table", "t", "--dataset", "d")
	firnIn(t, 0, "{\"dataset\":1}\n", "ingest", "--data", data, "--table", "t", "--dataset", "other")
	read := []string{"read", "--data", data, "--table", "t", "--dataset", "d"}
	if firn(t, 0, read...).out != all {
		t.Error("hot: other records are read")
	}
	contains(t, "archive", firn(t, 0, "archive", "--data", data).out, "archived 2001 records")
	contains(t, "a second archive", firn(t, 0, "archive", "--data", data, "--json").out, `"records":0`)
	if firn(t, 0, read...).out == "" {
		t.Error("cold: nothing is read")
	}
	contains(t, "explain", firn(t, 0, "explain", "--data", data, "--table", "t", "--dataset", "d").out, "cold  2000 records", "bytes=")
	contains(t, "tables", firn(t, 0, "tables", "--data", data).out, "2001")

	r := firn(t, 1, "read", "--data", filepath.Join(data, "none"), "--table", "t", "--dataset", "d")
	contains(t, "the message", r.errOut, "--data", "no such file")
	if _, err := os.Stat(filepath.Join(data, "none")); err == nil {
		t.Error("a read made the folder")
	}

	d := serveFolder(t, data)
	r = firn(t, 1, read...)
	contains(t, "the message", r.errOut, data, "in use", "--addr")
	if got := firn(t, 0, "read", "--addr", d.addr, "--table", "t", "--dataset", "other").out; !strings.Contains(got, `"dataset":1`) {
		t.Errorf("the daemon reads %q", got)
	}
}
