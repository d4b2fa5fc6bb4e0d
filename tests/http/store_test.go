package http

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/firndb/firn/engine"
	"github.com/firndb/firn/tests/harness"
)

// fill ingests n records of each of some datasets, as one batch each.
func fill(t *testing.T, d *harness.Daemon, table string, datasets, n int) {
	t.Helper()
	for i := range datasets {
		var body strings.Builder
		for j := range n {
			fmt.Fprintf(&body, `{"timestamp":%d,"n":%d,"text":"record %d of dataset %d, %x"}`+"\n", 1_700_000_000_000+j*1000, j, j, i, (i*n+j)*2654435761)
		}
		d.Post(t, fmt.Sprintf("/v1/ingest?dataset_id=u%d&table=%s", i, table), "application/x-ndjson", []byte(body.String()), 200)
	}
}

type plan struct {
	Cold struct {
		Blocks   int   `json:"blocks"`
		Requests int   `json:"store_requests"`
		Bytes    int64 `json:"store_bytes"`
	} `json:"cold"`
	Blocks []struct {
		File           string
		Offset, Length int64
	} `json:"blocks"`
}

// TestOnlyTheRanges counts what a cold read of one dataset out of many asks of the store: the bytes
// of its blocks, no header, nothing twice.
func TestOnlyTheRanges(t *testing.T) {
	var o engine.Options
	o.Cache.ReferenceBytes, o.Cache.BlockBytes, o.Cache.RawBytes = -1, -1, -1
	d := harness.Start(t, t.TempDir(), manual(o))
	fill(t, d, "logs", 200, 500)
	d.Post(t, "/v1/archive", "", nil, 200)

	query := harness.ReadPath("logs", "u77", "format", "ndjson")
	var p plan
	if err := json.Unmarshal(d.Get(t, strings.Replace(strings.Replace(query, "/v1/read", "/v1/explain", 1), "format=ndjson&", "", 1)), &p); err != nil {
		t.Fatal(err)
	}
	var needed int64
	for _, b := range p.Blocks {
		needed += b.Length
		if b.Offset == 0 {
			t.Error("a block at offset 0 would be the header")
		}
	}
	if len(p.Blocks) == 0 || p.Cold.Blocks != len(p.Blocks) {
		t.Fatalf("plan %+v", p)
	}
	before := d.DB.Stats()
	status, header, body := d.Do(t, "GET", query, nil, nil)
	after := d.DB.Stats()
	if status != 200 || len(harness.SplitLines(body)) != 500 {
		t.Fatalf("%d, %d records", status, len(harness.SplitLines(body)))
	}
	bytes, requests := int64(after.StoreBytes-before.StoreBytes), int(after.StoreRequests-before.StoreRequests)
	if bytes != needed || requests != p.Cold.Requests {
		t.Errorf("%d bytes in %d requests, want %d in %d", bytes, requests, needed, p.Cold.Requests)
	}
	for name, want := range map[string]int64{"Firn-Store-Requests": int64(requests), "Firn-Store-Bytes": bytes} {
		if got := header.Get(name); got != strconv.FormatInt(want, 10) {
			t.Errorf("%s is %q, want %d", name, got, want)
		}
	}
}

// TestNotModified answers 304 without a store request as long as nothing changed, also after a
// restart, and the new answer once something did.
func TestNotModified(t *testing.T) {
	var o engine.Options
	o.Cache.ReferenceBytes, o.Cache.BlockBytes, o.Cache.RawBytes = -1, -1, -1
	d := harness.Start(t, t.TempDir(), manual(o))
	fill(t, d, "logs", 3, 50)
	query := harness.ReadPath("logs", "u1")
	_, header, first := d.Do(t, "GET", query, nil, nil)
	hot := header.Get("ETag")
	d.Post(t, "/v1/archive", "", nil, 200)
	status, header, _ := d.Do(t, "GET", query, http.Header{"If-None-Match": {hot}}, nil)
	etag := header.Get("ETag")
	if status != 200 || etag == hot || etag == "" {
		t.Fatalf("after archiving, when hot_count has changed: %d %q, was %q", status, etag, hot)
	}
	d.Restart(t)
	before := d.DB.Stats().StoreRequests
	status, header, body := d.Do(t, "GET", query, http.Header{"If-None-Match": {`"other", ` + etag}}, nil)
	if status != http.StatusNotModified || len(body) != 0 || header.Get("ETag") != etag {
		t.Errorf("%d, %d bytes, %q, want 304 and %q", status, len(body), header.Get("ETag"), etag)
	}
	if n := d.DB.Stats().StoreRequests - before; n != 0 {
		t.Errorf("304 took %d store requests", n)
	}
	if strings.Contains(header.Get("Cache-Control"), "immutable") {
		t.Error("an answer that can change is called immutable")
	}
	d.Post(t, "/v1/ingest?dataset_id=u1&table=logs", "application/x-ndjson", []byte(`{"timestamp":1}`), 200)
	status, _, body = d.Do(t, "GET", query, http.Header{"If-None-Match": {etag}}, nil)
	if status != 200 || len(body) <= len(first) {
		t.Errorf("after a further record: %d, %d bytes", status, len(body))
	}
	// Another format of the same records is another answer.
	_, header, _ = d.Do(t, "GET", query+"&format=ndjson", nil, nil)
	_, header2, _ := d.Do(t, "GET", query, nil, nil)
	if header.Get("ETag") == header2.Get("ETag") {
		t.Error("two formats share an ETag")
	}
}

// TestBlockFilesOverHTTP serves block files and sidecars by range.
func TestBlockFilesOverHTTP(t *testing.T) {
	d := harness.Start(t, t.TempDir(), manual(engine.Options{}))
	fill(t, d, "a/../b", 2, 500)
	d.Post(t, "/v1/archive", "", nil, 200)
	var list struct {
		Files []struct {
			Path string
			Size int64 `json:"file_bytes"`
		}
	}
	if err := json.Unmarshal(d.Get(t, "/v1/files"), &list); err != nil || len(list.Files) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	path := "/v1/files/" + strings.ReplaceAll(list.Files[0].Path, "%", "%25")
	whole := d.Get(t, path)
	if int64(len(whole)) != list.Files[0].Size || string(whole[:4]) != "Obj\x01" {
		t.Fatalf("%d bytes that begin with %q", len(whole), whole[:4])
	}
	status, header, part := d.Do(t, "GET", path, http.Header{"Range": {"bytes=10-29"}}, nil)
	if status != http.StatusPartialContent || string(part) != string(whole[10:30]) ||
		header.Get("Content-Range") != fmt.Sprintf("bytes 10-29/%d", len(whole)) || !strings.Contains(header.Get("Cache-Control"), "immutable") {
		t.Errorf("%d %v", status, header)
	}
	if status, _, b := d.Do(t, "GET", path, http.Header{"Range": {"bytes=10-29"}, "If-Range": {`"other"`}}, nil); status != 200 || len(b) != len(whole) {
		t.Errorf("If-Range of another version: %d, %d bytes", status, len(b))
	}
	if status, _, b := d.Do(t, "GET", path, http.Header{"Range": {"bytes=10-29"}, "If-Range": {header.Get("ETag")}}, nil); status != 206 || len(b) != 20 {
		t.Errorf("If-Range of this version: %d, %d bytes", status, len(b))
	}
	if status, _, _ := d.Do(t, "GET", path, http.Header{"Range": {fmt.Sprintf("bytes=%d-", len(whole))}}, nil); status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a range behind the end: %d", status)
	}
	for _, bad := range []string{"/v1/files/_firn/store", "/v1/files/../catalog.db", "/v1/files/x", "/v1/files/b/" + list.Files[0].Path} {
		if status, _, _ := d.Do(t, "GET", bad, nil, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d", bad, status)
		}
	}
}
