// Package harness is what the tests of the whole share: a daemon in the test's own process that is
// spoken to over a real socket, the data sets of others where they are present, and an equality of
// JSON values.
package harness

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/firndb/firn/engine"
	"github.com/firndb/firn/server"
)

// Daemon is a database with its HTTP server on a free loopback port.
type Daemon struct {
	URL string
	Dir string
	DB  *engine.DB

	options engine.Options
	server  *server.Server
	served  chan error
}

// Start opens a database in a folder and serves it until the test ends.
func Start(t testing.TB, dir string, o engine.Options) *Daemon {
	t.Helper()
	d := &Daemon{Dir: dir, options: o}
	d.start(t)
	t.Cleanup(func() { d.Stop(t) })
	return d
}

func (d *Daemon) start(t testing.TB) {
	t.Helper()
	db, err := engine.Open(context.Background(), d.Dir, d.options)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(db, server.Options{Listen: ln.Addr().String()})
	if err != nil {
		t.Fatalf("server: %v", err)
	}
	d.DB, d.server, d.URL = db, s, "http://"+ln.Addr().String()
	d.served = make(chan error, 1)
	go func() { d.served <- s.Serve(ln) }()
}

// Stop ends the server, then closes the database. Stopping twice is fine.
func (d *Daemon) Stop(t testing.TB) {
	t.Helper()
	if d.server == nil {
		return
	}
	if err := d.server.Shutdown(context.Background()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-d.served; err != nil {
		t.Errorf("serve: %v", err)
	}
	if err := d.DB.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	d.server = nil
}

// Restart stops and starts again on the same folder.
func (d *Daemon) Restart(t testing.TB) {
	t.Helper()
	d.Stop(t)
	d.start(t)
}

// Do sends a request and returns status, headers with trailers, and the whole body. Accept-Encoding
// is left alone.
func (d *Daemon) Do(t testing.TB, method, path string, header http.Header, body []byte) (int, http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, d.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: body: %v", method, path, err)
	}
	h := resp.Header.Clone()
	for k, v := range resp.Trailer {
		h[k] = v
	}
	return resp.StatusCode, h, b
}

// Post sends a body of a content type and demands a status.
func (d *Daemon) Post(t testing.TB, path, contentType string, body []byte, status int) []byte {
	t.Helper()
	got, _, b := d.Do(t, "POST", path, http.Header{"Content-Type": {contentType}}, body)
	if got != status {
		t.Fatalf("POST %s: %d %s, want %d", path, got, b, status)
	}
	return b
}

// Get demands 200 and returns the body.
func (d *Daemon) Get(t testing.TB, path string) []byte {
	t.Helper()
	status, _, b := d.Do(t, "GET", path, nil, nil)
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, status, b)
	}
	return b
}

// ReadPath is the path of a read of one dataset with further parameters.
func ReadPath(table, dataset string, more ...string) string {
	v := url.Values{"table_name": {table}, "dataset_id": {dataset}}
	for i := 0; i < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return "/v1/read?" + v.Encode()
}

// Data returns the folder of the data sets of others, and skips the test where they are absent.
func Data(t testing.TB) string {
	t.Helper()
	dir := DataFolder()
	if dir == "" {
		t.Skip("the data sets of others are not here: set FIRN_TEST_DATA to their folder")
	}
	return dir
}

// DataFolder is the folder of the data sets of others, "" where they are absent. FIRN_TEST_DATA
// names it; otherwise it is looked for beside the project.
func DataFolder() string {
	if dir := os.Getenv("FIRN_TEST_DATA"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		data := filepath.Join(dir, "shared", "data")
		if _, err := os.Stat(filepath.Join(data, "FILES.tsv")); err == nil {
			return data
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// Lines returns the lines of a gzipped file.
func Lines(t testing.TB, path string) [][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return SplitLines(b)
}

// SplitLines cuts a text at its line ends.
func SplitLines(b []byte) [][]byte {
	lines := bytes.Split(b, []byte("\n"))
	if n := len(lines); n > 0 && len(lines[n-1]) == 0 {
		lines = lines[:n-1]
	}
	return lines
}

// Name describes a place in a test's message.
func Name(table, dataset string, i int) string { return fmt.Sprintf("%s/%s[%d]", table, dataset, i) }
