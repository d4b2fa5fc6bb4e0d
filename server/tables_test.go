package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/firndb/firn/engine"
)

// TestAnswers checks the JSON of the routes that only pass on what the engine says.
func TestAnswers(t *testing.T) {
	info := engine.TableInfo{Name: "a/../b", Settings: engine.TableSettings{Codec: "deflate"}, Accepted: 3, HotRecords: 2, ColdRecords: 1}
	const infoJSON = `{"table":"a/../b","settings":{"codec":"deflate"},"schema_version":0,"accepted":3,"hot_count":2,"cold_count":1,"lost":0,"hot_bytes":0,"cold_bytes":0,"raw_bytes":0,"files":0}`
	db := &fake{
		tables:   []engine.TableInfo{info, {Name: "empty"}},
		schemas:  []engine.SchemaVersion{{Version: 1, Fingerprint: "f1", Created: 5, Text: []byte(`{"type":"record"}`)}, {Version: 4, Fingerprint: "f4", Created: 6, Text: []byte(`"long"`)}},
		datasets: []engine.DatasetInfo{{Table: "t", Dataset: "ü", HotRecords: 1, Oldest: -1, Newest: 2}, {Table: "t", Dataset: "v"}},
		files:    []engine.FileInfo{{Path: "t/x.avro", Ratio: 4.5}},
		stale:    []engine.StaleRow{{Table: "t", Dataset: "u", Records: 2, Accepted: 9}, {Records: 5}},
		onSet: func(name string, s engine.TableSettings) (engine.TableInfo, error) {
			return engine.TableInfo{Name: name, Settings: s}, nil
		},
		onArchive: func(context.Context) (engine.ArchiveReport, error) {
			return engine.ArchiveReport{Records: 9, Files: 2, RawBytes: 100, Bytes: 30, Duration: 1500 * time.Millisecond}, nil
		},
		ready: engine.Readiness{Ready: true},
	}
	h := start(t, db, Options{})
	const rows = `{"table":"t","dataset_id":"ü","hot_count":1,"cold_count":0,"hot_bytes":0,"cold_bytes":0,"oldest":-1,"newest":2},{"table":"t","dataset_id":"v","hot_count":0,"cold_count":0,"hot_bytes":0,"cold_bytes":0,"oldest":0,"newest":0}`
	const fileRow = `{"path":"t/x.avro","table":"","date":"","records":0,"raw_bytes":0,"file_bytes":0,"compression_ratio":4.5,"blocks":0,"codec":"","crc32c":0}`
	const versions = `"versions":[{"version":1,"fingerprint":"f1","created":5},{"version":4,"fingerprint":"f4","created":6}]`
	for _, r := range []struct{ method, target, headers, body, want string }{
		{"GET", "/healthz", "", "", `{"status":"ok"}`},
		{"GET", "/readyz", "", "", `{"ready":true,"degraded":[]}`},
		{"GET", "/v1/tables/a%2F..%2Fb", "", "", infoJSON},
		{"GET", "/v1/t%61bles/a%2f%2e.%2fb", "", "", infoJSON},
		{"GET", "/v1/tables/a%2F..%2Fb/schema", "", "", `{"table":"a/../b","version":4,"schema":"long",` + versions + `}`},
		{"GET", "/v1/tables/empty/schema?version=1", "", "", `{"table":"empty","version":1,"schema":{"type":"record"},` + versions + `}`},
		{"PUT", "/v1/tables/%2e%2e", jsonType, `{"codec":"zstandard","time_field":"a\u0074"} `, `{"table":"..","settings":{"codec":"zstandard","time_field":"at"},"schema_version":0,"accepted":0,"hot_count":0,"cold_count":0,"lost":0,"hot_bytes":0,"cold_bytes":0,"raw_bytes":0,"files":0}`},
		{"PUT", "/v1/tables/t", jsonType, `{}`, `{"table":"t","settings":{},"schema_version":0,"accepted":0,"hot_count":0,"cold_count":0,"lost":0,"hot_bytes":0,"cold_bytes":0,"raw_bytes":0,"files":0}`},
		{"GET", "/v1/datasets?table=t", "", "", `{"datasets":[` + rows + `]}`},
		{"GET", "/v1/datasets?table_name=t", "", "", `{"datasets":[` + rows + `]}`},
		{"GET", "/v1/stats/hot-cold", "", "", `{"rows":[` + rows + `]}`},
		{"GET", "/v1/files", "", "", `{"files":[` + fileRow + `]}`},
		{"GET", "/v1/stats/archive", "", "", `{"rows":[` + fileRow + `]}`},
		{"GET", "/v1/stats/stale", "", "", `{"count":7,"rows":[{"table":"t","dataset_id":"u","count":2,"oldest_accepted":9},{"table":"","dataset_id":"","count":5,"oldest_accepted":0}]}`},
		{"POST", "/v1/archive", "", "", `{"records":9,"files":2,"raw_bytes":100,"file_bytes":30,"duration_ms":1500}`},
	} {
		got := h.do(r.method, r.target, r.headers, r.body).ok(t)
		if string(got.body) != r.want+"\n" {
			t.Errorf("%s %s:\n got %s want %s", r.method, r.target, got.body, r.want)
		}
		if got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: headers %v", r.method, r.target, got.Header)
		}
		if r.method == "GET" {
			head := h.do("HEAD", r.target, "", "")
			if head.StatusCode != 200 || len(head.body) > 0 {
				t.Errorf("HEAD %s: status %d, %q", r.target, head.StatusCode, head.body)
			}
		}
	}
	db.schemas, db.tables, db.stale = nil, []engine.TableInfo{{Name: "t"}, {Name: "a+b"}}, nil
	h.get("/v1/tables/a+b").ok(t)
	if got := h.get("/v1/tables/t/schema").ok(t); string(got.body) != `{"table":"t","version":0,"schema":null,"versions":[]}`+"\n" {
		t.Errorf("before the first archive: %s", got.body)
	}
	db.tables = nil
	if got := h.get("/v1/tables").ok(t); string(got.body) != `{"tables":[]}`+"\n" {
		t.Errorf("no tables: %s", got.body)
	}
	for query, want := range map[string]time.Duration{
		"": 2 * time.Hour, "?older_than=90m": 90 * time.Minute, "?older_than=1h30m": 90 * time.Minute, "?older_than=30s": 30 * time.Second,
		"?older_than=1d": 24 * time.Hour, "?older_than=0s": 0, "?older_than=36500d": 36500 * 24 * time.Hour,
	} {
		if got := h.get("/v1/stats/stale" + query).ok(t); string(got.body) != `{"count":0,"rows":[]}`+"\n" || db.staleAsk != want {
			t.Errorf("%s: asked for %v, answer %s", query, db.staleAsk, got.body)
		}
	}
}

func TestReady(t *testing.T) {
	db := &fake{ready: engine.Readiness{Ready: true, Degraded: []string{"store"}}}
	h := start(t, db, Options{})
	if got := h.get("/readyz").ok(t); string(got.body) != `{"ready":true,"degraded":["store"]}`+"\n" {
		t.Errorf("degraded: %s", got.body)
	}
	db.ready = engine.Readiness{Reasons: []string{"disk is full"}}
	if got := h.get("/readyz"); got.StatusCode != 503 || string(got.body) != `{"ready":false,"reasons":["disk is full"]}`+"\n" {
		t.Errorf("not ready: %d %s", got.StatusCode, got.body)
	}
	h.get("/healthz").ok(t)
}

// TestLongList checks a list that is streamed, whole and broken off.
func TestLongList(t *testing.T) {
	db := &fake{}
	for i := range 20_000 {
		db.datasets = append(db.datasets, engine.DatasetInfo{Table: "t", Dataset: fmt.Sprint("dataset ", i)})
	}
	h := start(t, db, Options{})
	got := h.get("/v1/stats/hot-cold").ok(t)
	if n := strings.Count(string(got.body), `"table":"t"`); n != 20_000 || !strings.HasSuffix(string(got.body), "]}\n") {
		t.Errorf("%d rows, %d bytes", n, len(got.body))
	}
	db.listErr = engine.ErrClosed
	if got := h.get("/v1/stats/hot-cold"); got.StatusCode != 200 || !errors.Is(got.err, io.ErrUnexpectedEOF) {
		t.Errorf("late failure: %d, %v", got.StatusCode, got.err)
	}
	db.datasets = nil
	if p := h.get("/v1/stats/hot-cold").problem(t); p.Code != "shutting_down" {
		t.Errorf("early failure: %+v", p)
	}
}
