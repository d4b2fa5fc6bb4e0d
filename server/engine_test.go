package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firndb/firn/blockfile/foreign"
	"github.com/firndb/firn/engine"
)

// serveEngine serves a real database in a folder of the test.
func serveEngine(t *testing.T, o engine.Options) (*harness, *engine.DB) {
	t.Helper()
	o.Manual = true
	db, err := engine.Open(context.Background(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			return // a call that never ended may be why, and Close would wait for it
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return start(t, opened{db}, Options{}), db
}

// fetch is a GET by Go's own client, which reads trailers.
func (h *harness) fetch(target, etag string) (*http.Response, string) {
	h.t.Helper()
	req, err := http.NewRequest("GET", "http://"+h.addr+target, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatalf("GET %s: %v", target, err)
	}
	return resp, string(body)
}

// TestWithEngine goes through every route with a real database: hot, archived, page by page, and
// as files.
func TestWithEngine(t *testing.T) {
	h, _ := serveEngine(t, engine.Options{})
	const table, dataset = "a/../b %", "ü&=+"
	target := "/v1/read?table=" + url.QueryEscape(table) + "&dataset_id=" + url.QueryEscape(dataset)

	if _, body := h.fetch(target, ""); !strings.Contains(body, `"records":[],"record_count":0`) {
		t.Fatalf("unknown table: %s", body)
	}
	var lines []string
	for i := range 3000 {
		lines = append(lines, fmt.Sprintf(`{"timestamp":%d,"i":%d,"name":"n%d"}`, 1_700_000_000_000+i*60_000, i, i%7))
	}
	q := "?table_name=" + url.QueryEscape(table) + "&dataset_id=" + url.QueryEscape(dataset)
	text := strings.Join(lines, "\n")
	for i, want := range []string{"false", "true"} {
		got := h.do("POST", "/v1/ingest"+q, ndjsonType+"\nIdempotency-Key: once", text).ok(t)
		if string(got.body) != `{"accepted":3000,"duplicate":`+want+"}\n" {
			t.Fatalf("ingest %d: %s", i, got.body)
		}
	}
	if p := h.do("POST", "/v1/ingest"+q, ndjsonType+"\nIdempotency-Key: once", "{}").problem(t); p.Status != 409 || p.Code != "idempotency_mismatch" {
		t.Fatalf("another body under the key: %+v", p)
	}
	other := `[{"dataset_id":"v","table":"t","records":[{"timestamp":1,"x":1}]},{"dataset_id":"v","table":"t","time_field":"at","records":[{"at":"1970-01-01T00:00:00.002Z"},{"at":true}]}]`
	if p := h.do("POST", "/v1/ingest", jsonType, other).problem(t); p.Code != "invalid_record" || !strings.HasPrefix(p.Detail, "[1].records[1]: ") {
		t.Fatalf("second envelope: %+v", p)
	}
	h.do("POST", "/v1/ingest", jsonType, strings.Replace(other, "true", "-3", 1)).ok(t)

	want := text + "\n"
	check := func(stage string) {
		t.Helper()
		resp, body := h.fetch(target+"&format=ndjson", "")
		if body != want {
			t.Fatalf("%s: %d bytes, want %d", stage, len(body), len(want))
		}
		for _, name := range []string{"Firn-Store-Requests", "Firn-Store-Bytes"} {
			if resp.Header.Get(name) != resp.Trailer.Get(name) || resp.Header.Get(name) == "" {
				t.Errorf("%s: %s: plan %q, spent %q", stage, name, resp.Header.Get(name), resp.Trailer.Get(name))
			}
		}
		etag := resp.Header.Get("Etag")
		if again, body := h.fetch(target+"&format=ndjson", etag); again.StatusCode != 304 || body != "" {
			t.Errorf("%s: If-None-Match %s: status %d", stage, etag, again.StatusCode)
		}
		if again, _ := h.fetch(target+"&format=json", etag); again.StatusCode != 200 {
			t.Errorf("%s: the ETag of another format: status %d", stage, again.StatusCode)
		}
		// Page by page, both ways.
		for _, order := range []string{"asc", "desc"} {
			var pages []string
			cursor := ""
			for range 5 {
				more := "&format=ndjson&limit=700&order=" + order
				if cursor != "" {
					more += "&cursor=" + url.QueryEscape(cursor)
				}
				resp, body := h.fetch(target+more, "")
				pages = append(pages, strings.Split(strings.TrimSuffix(body, "\n"), "\n")...)
				cursor = resp.Trailer.Get("Firn-Next-Cursor")
			}
			if order == "desc" {
				for i, j := 0, len(pages)-1; i < j; i, j = i+1, j-1 {
					pages[i], pages[j] = pages[j], pages[i]
				}
			}
			if got := strings.Join(pages, "\n") + "\n"; got != want || cursor != "" {
				t.Fatalf("%s: pages %s: %d records, %d bytes, last cursor %q", stage, order, len(pages), len(got), cursor)
			}
		}
		// The same records as an Avro file.
		_, body = h.fetch(target+"&format=ocf", "")
		r, err := foreign.NewReader(strings.NewReader(body), foreign.Options{})
		if err != nil {
			t.Fatalf("%s: %v", stage, err)
		}
		n := 0
		for {
			rec, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: record %d: %v", stage, n, err)
			}
			if !bytes.Contains(rec, fmt.Appendf(nil, `"i":%d,`, n)) {
				t.Fatalf("%s: record %d is %s", stage, n, rec)
			}
			n++
		}
		if n != 3000 {
			t.Errorf("%s: %d records as Avro", stage, n)
		}
		var object struct {
			Records    []json.RawMessage `json:"records"`
			Count      int               `json:"record_count"`
			Hot, Cold  int
			NextCursor *string `json:"next_cursor"`
		}
		_, body = h.fetch(target+"&from=1700000060000&to=2023-11-14T22:15:20Z", "")
		if err := json.Unmarshal([]byte(body), &object); err != nil || object.Count != 2 || string(object.Records[1]) != lines[2] || object.NextCursor != nil {
			t.Errorf("%s: a range: %v, %s", stage, err, body)
		}
	}
	check("hot")
	var report struct {
		Records, Files int
		File           int `json:"file_bytes"`
	}
	archived := h.do("POST", "/v1/archive", "", "").ok(t)
	if err := json.Unmarshal(archived.body, &report); err != nil || report.Records != 3003 || report.Files < 2 || report.File == 0 {
		t.Fatalf("archive: %s", archived.body)
	}
	check("cold")
	again := h.do("POST", "/v1/archive", "", "").ok(t)
	if !strings.HasPrefix(string(again.body), `{"records":0,"files":0,"raw_bytes":0,"file_bytes":0,`) {
		t.Errorf("nothing to archive: %s", again.body)
	}

	var files struct {
		Files []engine.FileInfo `json:"files"`
	}
	if err := json.Unmarshal(h.get("/v1/files").ok(t).body, &files); err != nil || len(files.Files) != report.Files {
		t.Fatalf("files: %v", err)
	}
	total := 0
	for _, f := range files.Files {
		parts := strings.Split(f.Path, "/")
		for i := range parts {
			parts[i] = url.PathEscape(parts[i])
		}
		path := "/v1/files/" + strings.Join(parts, "/")
		whole := h.get(path).ok(t)
		if int64(len(whole.body)) != f.FileBytes {
			t.Errorf("%s: %d bytes, want %d", f.Path, len(whole.body), f.FileBytes)
		}
		r, err := foreign.NewReader(bytes.NewReader(whole.body), foreign.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := r.Next(); err != nil {
				if err != io.EOF {
					t.Errorf("%s: %v", f.Path, err)
				}
				break
			}
			total++
		}
		part := h.do("GET", path, "Range: bytes=10-29", "")
		if part.StatusCode != 206 || !bytes.Equal(part.body, whole.body[10:30]) {
			t.Errorf("%s: range: %d, %x", f.Path, part.StatusCode, part.body)
		}
	}
	if total != 3003 {
		t.Errorf("%d records in block files", total)
	}

	name := url.PathEscape(table)
	for target, want := range map[string]string{
		"/v1/tables": `"table":"a/../b %"`, "/v1/tables/" + name: `"cold_count":3000`,
		"/v1/tables/" + name + "/schema":               `"schema":{`,
		"/v1/datasets?table=" + url.QueryEscape(table): `"dataset_id":"ü\u0026=+"`,
		"/v1/stats/hot-cold":                           `"cold_count":3000`,
		"/v1/stats/archive":                            `"compression_ratio":`,
		"/v1/stats/stale?older_than=0s":                `{"count":0,"rows":[]}`,
		"/v1/explain?table=t&dataset_id=v":             `"whole_file_bytes":`,
		"/readyz":                                      `{"ready":true,"degraded":[]}`,
	} {
		if got := h.get(target).ok(t); !strings.Contains(string(got.body), want) || !json.Valid(got.body) {
			t.Errorf("%s: %s", target, got.body)
		}
	}
	for target, status := range map[string]int{
		"/v1/tables/nope": 404, "/v1/tables/nope/schema": 404, "/v1/files/nope": 404, "/v1/files/..%2f_firn%2fstore": 404, "/v1/files/_firn/store": 404,
		"/v1/tables/a%00b": 0, "/v1/read?table=t&dataset_id=" + strings.Repeat("d", 513): 400,
	} {
		p := h.get(target).problem(t)
		if status != 0 && p.Status != status || p.Status >= 500 {
			t.Errorf("%s: %+v", target, p)
		}
	}
	if got := h.do("PUT", "/v1/tables/"+name, jsonType, `{"codec":"zstandard"}`).ok(t); !strings.Contains(string(got.body), `"codec":"zstandard"`) {
		t.Errorf("settings: %s", got.body)
	}
	if p := h.do("PUT", "/v1/tables/"+name, jsonType, `{"codec":"rar"}`).problem(t); p.Status != 400 {
		t.Errorf("settings: %+v", p)
	}
}

// TestRecordLimits sends records at the engine's limits.
func TestRecordLimits(t *testing.T) {
	h, _ := serveEngine(t, engine.Options{Limits: engine.LimitOptions{RecordBytes: 4 << 10, Depth: 50}})
	const target = "/v1/ingest?dataset_id=u&table=t"
	record := func(n int) string { return `{"a":"` + strings.Repeat("x", n-8) + `"}` }
	nested := func(n int) string { return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}` }
	for _, ok := range []string{record(4 << 10), nested(50), `{"timestamp":0}`, `{"timestamp":-62135596800000}`, `{"timestamp":"9999-12-31T23:59:59.999Z"}`} {
		if got := h.do("POST", target, ndjsonType, ok); got.StatusCode != 200 {
			t.Errorf("%.60s: %s", ok, got.body)
		}
	}
	for text, code := range map[string]string{
		record(4<<10 + 1): "too_large", nested(51): "invalid_record", `{"timestamp":253402300800000}`: "invalid_record",
		`{"timestamp":"2023-02-29T00:00:00Z"}`: "invalid_record", `{"timestamp":null}`: "", `{"a":1,"a":2}`: "invalid_record", "{\"a\":\"\xff\"}": "invalid_record",
	} {
		p := h.do("POST", target, ndjsonType, "{}\n{}\n"+text).problem(t)
		if code != "" && p.Code != code || !strings.HasPrefix(p.Detail, "records[2] (line 3): ") {
			t.Errorf("%.60s: %+v", text, p)
		}
	}
	if got := h.get("/v1/read?dataset_id=u&table=t&limit=100").ok(t); !strings.Contains(string(got.body), `"record_count":5,`) {
		t.Errorf("a refused batch left something: %s", got.body)
	}
}

// testData finds the folder of real data: FIRN_TEST_DATA, or shared/data beside a parent folder.
func testData(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("FIRN_TEST_DATA"); dir != "" {
		return dir
	}
	for dir := ".."; len(dir) < 40; dir = filepath.Join("..", dir) {
		if path := filepath.Join(dir, "shared", "data"); isFolder(path) {
			return path
		}
	}
	t.Skip("no real data: set FIRN_TEST_DATA")
	return ""
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// TestRealData sends packed log files as they are, with dataset and table taken from fields, and
// reads them back.
func TestRealData(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(testData(t), "logs", "*.ndjson.gz"))
	if err != nil || len(paths) < 4 {
		t.Fatalf("no log files: %v", err)
	}
	h, _ := serveEngine(t, engine.Options{})
	paths = paths[:4]
	sent := make(map[string]int) // query → lines
	for _, path := range paths {
		packed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got := h.do("POST", "/v1/ingest?dataset_field=dataset_id&table_field=table", ndjsonType+"\nContent-Encoding: gzip", string(packed)).ok(t)
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
		if want := fmt.Sprintf("{\"accepted\":%d,\"duplicate\":false}\n", len(lines)); string(got.body) != want {
			t.Errorf("%s: %s, want %s", path, got.body, want)
		}
		for _, line := range lines {
			var own struct {
				Table   string
				Dataset string `json:"dataset_id"`
			}
			if err := json.Unmarshal(line, &own); err != nil {
				t.Fatal(err)
			}
			sent["table="+url.QueryEscape(own.Table)+"&dataset_id="+url.QueryEscape(own.Dataset)]++
		}
	}
	check := func(stage string) {
		t.Helper()
		for query, n := range sent {
			_, body := h.fetch("/v1/read?format=ndjson&"+query, "")
			if got := strings.Count(body, "\n"); got != n {
				t.Errorf("%s: %s: %d records, want %d", stage, query, got, n)
			}
		}
	}
	check("hot")
	h.do("POST", "/v1/archive", "", "").ok(t)
	check("cold")
}
