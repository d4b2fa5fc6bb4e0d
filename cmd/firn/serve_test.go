package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestServeKeepsWhatItAcknowledged(t *testing.T) {
	data := filepath.Join(t.TempDir(), "made", "by", "serve")
	d := serveFolder(t, data)
	contains(t, "the start line", d.line, "http://127.0.0.1:", "data "+data, "store "+data+"/store")
	firnIn(t, 0, numbered(0, 2500), "ingest", "--addr", d.addr, "--table", "t", "--dataset", "d")
	d.kill()

	d = serveFolder(t, data)
	if got := firn(t, 0, "read", "--addr", d.addr, "--table", "t", "--dataset", "d").out; got != numbered(0, 2500) {
		t.Errorf("after kill -9 other records are read: %d bytes, %d were acknowledged", len(got), len(numbered(0, 2500)))
	}
	if code := d.term(t); code != 0 {
		t.Errorf("SIGTERM: exit code %d\n%s", code, d.errs.String())
	}

	d = serveFolder(t, data)
	resp, err := http.Get(d.addr + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 {
		t.Errorf("readyz: %d %s %v", resp.StatusCode, body, err)
	}
}

func TestServeWithoutSettings(t *testing.T) {
	dir := t.TempDir()
	d := &daemon{cmd: command(dir, "serve")}
	// The port is given by the environment, so that tests do not meet.
	d.cmd.Env = append(d.cmd.Env, "FIRN_LISTEN=127.0.0.1:0")
	d.start(t)
	if _, err := os.Stat(filepath.Join(dir, "firn-data", "store")); err != nil {
		t.Error(err)
	}
}

func TestServeRefuses(t *testing.T) {
	data := t.TempDir()
	d := serveFolder(t, data)
	t.Run("a folder that is served", func(t *testing.T) {
		r := firn(t, 1, "serve", "--data", data, "--listen", "127.0.0.1:0")
		contains(t, "the message", r.errOut, data, "in use")
	})
	t.Run("an address that is taken", func(t *testing.T) {
		r := firn(t, 1, "serve", "--data", t.TempDir(), "--listen", strings.TrimPrefix(d.addr, "http://"))
		contains(t, "the message", r.errOut, "address already in use")
	})
	t.Run("a folder that cannot be made", func(t *testing.T) {
		r := firn(t, 1, "serve", "--data", write(t, "file", "x"), "--listen", "127.0.0.1:0")
		contains(t, "the message", r.errOut, "not a directory")
	})
	t.Run("a store it does not know", func(t *testing.T) {
		r := firn(t, 1, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--store", "ftp://host/x")
		contains(t, "the message", r.errOut, "ftp")
	})
}
