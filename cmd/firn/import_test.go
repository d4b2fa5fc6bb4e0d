package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// between passes requests on to a daemon. Before the answer to the nth one goes back, it calls cut
// and breaks the connection: the batch was accepted, and nobody learned of it.
type between struct {
	*httptest.Server
	target atomic.Pointer[url.URL]
	seen   atomic.Int64
}

func newBetween(t *testing.T, addr string, nth int64, cut func()) *between {
	t.Helper()
	b := new(between)
	b.to(t, addr)
	var once sync.Once
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(b.target.Load()) },
		ModifyResponse: func(*http.Response) error {
			if b.seen.Add(1) == nth {
				once.Do(cut)
				panic(http.ErrAbortHandler)
			}
			return nil
		},
	}
	b.Server = httptest.NewServer(proxy)
	t.Cleanup(b.Close)
	return b
}

func (b *between) to(t *testing.T, addr string) {
	t.Helper()
	u, err := url.Parse(addr)
	if err != nil {
		t.Fatal(err)
	}
	b.target.Store(u)
}

// The importer is killed at the worst moment, when a batch has been accepted and it does not know;
// run again, it goes on, and no record is there twice or missing.
func TestImportGoesOnAfterKill(t *testing.T) {
	d := serveFolder(t, t.TempDir())
	file := write(t, "all.ndjson", numbered(0, 5300))
	args := []string{"import", file, "--table", "t", "--dataset", "d", "--addr"}

	importer := command(t.TempDir())
	started, gone := make(chan struct{}), make(chan struct{})
	proxy := newBetween(t, d.addr, 3, func() {
		<-started
		if err := importer.Process.Kill(); err != nil {
			t.Error(err)
		}
		<-gone // else it could send the batch again before it dies
	})
	importer.Args = append(importer.Args, append(args, proxy.URL)...)
	if err := importer.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	if err := importer.Wait(); err == nil {
		t.Error("the importer came to its end")
	}
	close(gone)
	if n := proxy.seen.Load(); n != 3 {
		t.Fatalf("%d batches were sent, the third should have been the last", n)
	}
	if got := firn(t, 0, "read", "--addr", d.addr, "--table", "t", "--dataset", "d").out; got != numbered(0, 3000) {
		t.Fatalf("after the kill %d records are there, want 3000", strings.Count(got, "\n"))
	}

	// Another size of batches must not cut the batch under way differently.
	r := firn(t, 0, append(append(args, d.addr), "--batch-records", "700", "--json")...)
	if r.out != "{\"accepted\":2300,\"duplicates\":1000}\n" {
		t.Errorf("going on printed %s", r.out)
	}
	if got := firn(t, 0, "read", "--addr", d.addr, "--table", "t", "--dataset", "d").out; got != numbered(0, 5300) {
		t.Errorf("not every record once: %d lines", strings.Count(got, "\n"))
	}
	if r := firn(t, 0, append(args, d.addr, "--json")...); r.out != "{\"accepted\":0,\"duplicates\":0}\n" {
		t.Errorf("a file that is done printed %s", r.out)
	}
}

// The daemon is killed when it has accepted a batch and before the answer goes out; the importer
// sends the batch again to the daemon that comes after it.
func TestImportOutlivesTheDaemon(t *testing.T) {
	data := t.TempDir()
	d := serveFolder(t, data)
	file := write(t, "all.ndjson", numbered(0, 5300))
	var proxy *between
	var second *daemon
	proxy = newBetween(t, d.addr, 3, func() {
		d.kill()
		second = serveFolder(t, data)
		proxy.to(t, second.addr)
	})
	r := firn(t, 0, "import", file, "--table", "t", "--dataset", "d", "--addr", proxy.URL)
	contains(t, "the result", r.out, "4300 records imported; 1000 had been before")
	if got := firn(t, 0, "read", "--addr", second.addr, "--table", "t", "--dataset", "d").out; got != numbered(0, 5300) {
		t.Errorf("not every record once: %d lines", strings.Count(got, "\n"))
	}
}

func TestImportState(t *testing.T) {
	data := t.TempDir()
	file := write(t, "a.ndjson", numbered(0, 50))
	args := []string{"import", file, "--data", data, "--table", "t", "--dataset"}
	firn(t, 0, append(args, "d")...)
	count := func() int {
		t.Helper()
		return strings.Count(firn(t, 0, "read", "--data", data, "--table", "t", "--dataset", "d").out, "\n")
	}

	r := firn(t, 1, append(args, "other")...)
	contains(t, "to another dataset", r.errOut, "--again")
	if err := os.WriteFile(file, []byte(numbered(0, 60)), 0o644); err != nil {
		t.Fatal(err)
	}
	r = firn(t, 1, append(args, "d")...)
	contains(t, "of another content", r.errOut, file+".firn-import")
	if err := os.WriteFile(file, []byte(numbered(0, 50)), 0o644); err != nil {
		t.Fatal(err)
	}

	// Without the state the keys still know the batches.
	if err := os.Remove(file + ".firn-import"); err != nil {
		t.Fatal(err)
	}
	r = firn(t, 0, append(args, "d")...)
	contains(t, "without the state", r.out, "0 records imported; 50 had been before")
	if n := count(); n != 50 {
		t.Errorf("%d records, want 50", n)
	}
	firn(t, 0, append(args, "d", "--again")...)
	if n := count(); n != 100 {
		t.Errorf("%d records with --again, want 100", n)
	}
	if err := os.WriteFile(file+".firn-import", []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	contains(t, "a broken state", firn(t, 1, append(args, "d")...).errOut, file+".firn-import")
	contains(t, "the standard input", firn(t, 1, "import", "-", "--data", data, "--table", "t", "--dataset", "d").errOut, "firn ingest")
}

// What firn gives as an Avro file it takes as one.
func TestImportAvro(t *testing.T) {
	data := t.TempDir()
	firnIn(t, 0, numbered(0, 1500), "ingest", "--data", data, "--table", "t", "--dataset", "d")
	r := firn(t, 0, "read", "--data", data, "--table", "t", "--dataset", "d", "--format", "ocf")
	if !strings.HasPrefix(r.out, "Obj\x01") {
		t.Fatalf("format ocf begins with %q", r.out[:min(4, len(r.out))])
	}
	file := write(t, "d.avro", r.out)
	r = firn(t, 0, "import", file, "--data", data, "--table", "copy", "--dataset", "d", "--json")
	if r.out != "{\"accepted\":1500,\"duplicates\":0}\n" {
		t.Errorf("import printed %s", r.out)
	}
	if n := strings.Count(firn(t, 0, "read", "--data", data, "--table", "copy", "--dataset", "d").out, "\"n\":"); n != 1500 {
		t.Errorf("%d records, want 1500", n)
	}
}
