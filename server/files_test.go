package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/firndb/firn/engine"
)

// fileHarness serves one block file of n bytes.
func fileHarness(t *testing.T, n int) (*harness, *fake, string, []byte) {
	const path = "my%20table/date=2024-01-02/0000000000000001-000001.avro"
	content := make([]byte, n)
	for i := range content {
		content[i] = byte(i * 7 >> 3)
	}
	db := &fake{
		files:   []engine.FileInfo{{Path: path, Table: "my table", FileBytes: int64(n), CRC: 0xabc}},
		content: map[string][]byte{path: content},
	}
	return start(t, db, Options{}), db, "/v1/files/my%2520table/date=2024-01-02/0000000000000001-000001.avro", content
}

func TestFile(t *testing.T) {
	for _, n := range []int{0, 1, 1000, filePiece, filePiece + 1, 3_000_000} {
		h, _, target, content := fileHarness(t, n)
		got := h.get(target).ok(t)
		if !bytes.Equal(got.body, content) || got.ContentLength != int64(n) {
			t.Errorf("%d bytes came as %d, length %d", n, len(got.body), got.ContentLength)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/avro", "Etag": fmt.Sprintf(`"00000abc-%x"`, n), "Accept-Ranges": "bytes",
			"Cache-Control": "public, max-age=31536000, immutable",
		} {
			if got.Header.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, got.Header.Get(name), want)
			}
		}
		head := h.do("HEAD", target, "", "")
		if head.StatusCode != 200 || head.ContentLength != int64(n) || head.Header.Get("Etag") != got.Header.Get("Etag") || len(head.body) > 0 {
			t.Errorf("HEAD: status %d, %v", head.StatusCode, head.Header)
		}
	}
}

func TestFileRanges(t *testing.T) {
	const n = 1_000_000
	h, _, target, content := fileHarness(t, n)
	etag := fmt.Sprintf(`"00000abc-%x"`, n)
	for _, r := range []struct {
		headers  string
		status   int
		from, to int // half open
	}{
		{"Range: bytes=0-0", 206, 0, 1},
		{"Range: bytes=10-19", 206, 10, 20},
		{"Range: bytes=5-700000", 206, 5, 700_001},
		{"Range: bytes=999999-", 206, n - 1, n},
		{"Range: bytes=0-", 206, 0, n},
		{"Range: bytes=100-99999999999999999999", 206, 100, n},
		{"Range: bytes=-5", 206, n - 5, n},
		{"Range: bytes=-99999999999", 206, 0, n},
		{"Range: bytes=1000000-", 416, 0, 0},
		{"Range: bytes=99999999999999999999-", 416, 0, 0},
		{"Range: bytes=-0", 416, 0, 0},
		{"Range: bytes=0-1,5-6", 200, 0, n},
		{"Range: bytes=5-4", 200, 0, n},
		{"Range: bytes=a-b", 200, 0, n},
		{"Range: bytes=+1-2", 200, 0, n},
		{"Range: bytes=-", 200, 0, n},
		{"Range: bytes=", 200, 0, n},
		{"Range: rows=0-1", 200, 0, n},
		{"Range: bytes=0-1\nRange: bytes=2-3", 200, 0, n},
		{"Range: bytes=1-2\nIf-Range: " + etag, 206, 1, 3},
		{"Range: bytes=1-2\nIf-Range: \"other\"", 200, 0, n},
		{"Range: bytes=1-2\nIf-Range: W/" + etag, 200, 0, n},
		{"Range: bytes=1-2\nIf-Range: Wed, 21 Oct 2015 07:28:00 GMT", 200, 0, n},
		{"If-None-Match: " + etag, 304, 0, 0},
		{"If-None-Match: \"x\", W/" + etag + "\nRange: bytes=1-2", 304, 0, 0},
		{"If-None-Match: \"x\"", 200, 0, n},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			got := h.do(method, target, r.headers, "")
			if got.StatusCode != r.status || got.err != nil {
				t.Errorf("%s %q: status %d, %v", method, r.headers, got.StatusCode, got.err)
				continue
			}
			wantRange := ""
			switch r.status {
			case 206:
				wantRange = fmt.Sprintf("bytes %d-%d/%d", r.from, r.to-1, n)
			case 416:
				wantRange = "bytes */1000000"
			}
			if got.Header.Get("Content-Range") != wantRange {
				t.Errorf("%s %q: Content-Range %q, want %q", method, r.headers, got.Header.Get("Content-Range"), wantRange)
			}
			switch {
			case r.status == 416:
				if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Etag") != "" {
					t.Errorf("%q: the refusal may be cached: %v", r.headers, got.Header)
				}
			case r.status != 304 && got.ContentLength != int64(r.to-r.from):
				t.Errorf("%s %q: length %d", method, r.headers, got.ContentLength)
			case method == "GET" && r.status != 304 && !bytes.Equal(got.body, content[r.from:r.to]):
				t.Errorf("%q: other bytes", r.headers)
			}
		}
	}
}

func TestFileFailures(t *testing.T) {
	h, db, target, _ := fileHarness(t, 2_000_000)
	db.fileErr = func(int64) error { return fmt.Errorf("%w: refused", engine.ErrStoreAway) }
	got := h.get(target)
	if p := got.problem(t); p.Code != "store_away" || got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Etag") != "" {
		t.Errorf("early: %+v, %v", p, got.Header)
	}
	db.fileErr = func(off int64) error {
		if off > 1_000_000 {
			return engine.ErrStoreAway
		}
		return nil
	}
	if got := h.get(target); got.StatusCode != 200 || !errors.Is(got.err, io.ErrUnexpectedEOF) {
		t.Errorf("late: status %d, %v, %d bytes", got.StatusCode, got.err, len(got.body))
	}
	if p := h.get(strings.Replace(target, "/date", "%2Fdate", 1)).problem(t); p.Code != "not_found" {
		t.Errorf("an encoded slash separates: %+v", p)
	}
	if p := h.get(strings.Replace(target, "%2520", "%20", 1)).problem(t); p.Code != "not_found" {
		t.Errorf("a segment decoded twice: %+v", p)
	}
}
