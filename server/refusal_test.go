package server

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"github.com/firndb/firn/engine"
)

const (
	jsonType   = "Content-Type: application/json"
	ndjsonType = "Content-Type: application/x-ndjson"
	avroType   = "Content-Type: application/avro"
)

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

// TestRefusals sends what must be refused and checks status, code and what the detail names.
func TestRefusals(t *testing.T) {
	db := &fake{
		tables:  []engine.TableInfo{{Name: "battle"}},
		schemas: []engine.SchemaVersion{{Version: 1, Text: []byte(`"long"`)}},
		onQuery: func(q engine.Query) (*fakeRows, error) {
			if q.Cursor != "" {
				return nil, fmt.Errorf("%w: the cursor belongs to another query", engine.ErrInvalid)
			}
			return &fakeRows{}, nil
		},
		onSet: func(name string, s engine.TableSettings) (engine.TableInfo, error) {
			return engine.TableInfo{}, checkFakeName("codec", s.Codec, 10)
		},
	}
	h := start(t, db, Options{MaxBodyBytes: 64 << 10})

	const in = "/v1/ingest"
	const lines = in + "?dataset_id=u&table=t"
	const read = "/v1/read?dataset_id=u&table_name=t"
	envelope := func(records string) string {
		return `{"dataset_id":"u","table":"t","records":` + records + `}`
	}
	long := strings.Repeat("n", 1000)
	type row struct {
		name, method, target, headers, body string
		status                              int
		code, detail                        string
	}
	rows := []row{
		// Routes and methods.
		{"no route", "GET", "/v1/nothing", "", "", 404, "not_found", "route"},
		{"root", "GET", "/", "", "", 404, "not_found", "route"},
		{"trailing slash", "GET", "/v1/tables/", "", "", 404, "not_found", ""},
		{"empty segment", "GET", "/v1//tables", "", "", 404, "not_found", "route"},
		{"later: metrics", "GET", "/metrics", "", "", 404, "not_found", "route"},
		{"later: api description", "GET", "/openapi.json", "", "", 404, "not_found", "route"},
		{"later: cost", "GET", "/v1/stats/cost", "", "", 404, "not_found", "route"},
		{"very deep", "GET", "/v1" + strings.Repeat("/a", 500), "", "", 404, "not_found", "route"},
		{"wrong escape", "GET", "/v1/tables/%zz", "", "", 400, "bad_request", "%"},
		{"half escape", "GET", "/v1/tables/%4", "", "", 400, "bad_request", "%"},
		{"fragment", "GET", "/v1/tables#x", "", "", 400, "bad_request", "fragment"},
		{"GET ingest", "GET", in, "", "", 405, "method_not_allowed", "GET"},
		{"POST read", "POST", read, "", "", 405, "method_not_allowed", "POST"},
		{"DELETE table", "DELETE", "/v1/tables/t", "", "", 405, "method_not_allowed", "DELETE"},
		{"OPTIONS", "OPTIONS", in, "Origin: http://evil.example", "", 405, "method_not_allowed", ""},

		// Names are data.
		{"table not there", "GET", "/v1/tables/nope", "", "", 404, "not_found", "nope"},
		{"table ..", "GET", "/v1/tables/..", "", "", 404, "not_found", ".."},
		{"table with slash", "GET", "/v1/tables/a%2F..%2Fbattle", "", "", 404, "not_found", "a/../battle"},
		{"dots do not move", "GET", "/v1/stats/../tables/battle", "", "", 404, "not_found", "route"},
		{"encoded dots do not move", "GET", "/v1/stats/%2e%2e/tables/battle", "", "", 404, "not_found", "route"},
		{"file with dots", "GET", "/v1/files/battle/../secret", "", "", 404, "not_found", ""},
		{"file with encoded slash", "GET", "/v1/files/a%2Fb", "", "", 404, "not_found", ""},
		{"file outside", "GET", "/v1/files/..%2f..%2fetc%2fpasswd", "", "", 404, "not_found", ""},
		{"read: NUL in name", "GET", "/v1/read?dataset_id=a%00b&table_name=t", "", "", 400, "bad_request", "dataset_id"},
		{"read: long name", "GET", "/v1/read?dataset_id=u&table_name=" + long, "", "", 400, "bad_request", "table"},
		{"read: empty name", "GET", "/v1/read?dataset_id=&table_name=t", "", "", 400, "bad_request", "dataset_id"},
		{"ingest: long name", "POST", in + "?dataset_id=" + long + "&table=t", ndjsonType, "{}\n", 400, "bad_request", "dataset_id"},
		{"ingest: NUL in name", "POST", in, jsonType, `{"dataset_id":"a\u0000","table":"t","records":[{}]}`, 400, "bad_request", "dataset_id"},

		// Parameters.
		{"unknown parameter", "GET", read + "&colour=red", "", "", 400, "bad_request", "colour"},
		{"parameter twice", "GET", read + "&dataset_id=u", "", "", 400, "bad_request", "twice"},
		{"both names of table", "GET", read + "&table=t", "", "", 400, "bad_request", "table"},
		{"no value", "GET", read + "&limit", "", "", 400, "bad_request", "limit"},
		{"empty pair", "GET", read + "&", "", "", 400, "bad_request", "name=value"},
		{"bad escape", "GET", read + "&cursor=%g0", "", "", 400, "bad_request", "cursor"},
		{"not UTF-8", "GET", "/v1/read?dataset_id=%ff&table_name=t", "", "", 400, "bad_request", "UTF-8"},
		{"no dataset", "GET", "/v1/read?table_name=t", "", "", 400, "bad_request", "dataset_id"},
		{"no table", "GET", "/v1/read?dataset_id=u", "", "", 400, "bad_request", "table_name"},
		{"limit=abc", "GET", read + "&limit=abc", "", "", 400, "bad_request", "limit"},
		{"limit=0", "GET", read + "&limit=0", "", "", 400, "bad_request", "limit"},
		{"limit=-1", "GET", read + "&limit=-1", "", "", 400, "bad_request", "limit"},
		{"limit=+1", "GET", read + "&limit=%2B1", "", "", 400, "bad_request", "limit"},
		{"limit=1.5", "GET", read + "&limit=1.5", "", "", 400, "bad_request", "limit"},
		{"limit too large", "GET", read + "&limit=99999999999999999999", "", "", 400, "bad_request", "limit"},
		{"from junk", "GET", read + "&from=yesterday", "", "", 400, "bad_request", "from"},
		{"from empty", "GET", read + "&from=", "", "", 400, "bad_request", "from"},
		{"to impossible", "GET", read + "&to=2024-02-30T00:00:00Z", "", "", 400, "bad_request", "to"},
		{"to without zone", "GET", read + "&to=2024-02-03T00:00:00", "", "", 400, "bad_request", "zone"},
		{"from > to", "GET", read + "&from=2&to=1", "", "", 400, "bad_request", "from is after to"},
		{"order", "GET", read + "&order=up", "", "", 400, "bad_request", "order"},
		{"partial", "GET", read + "&partial=yes", "", "", 400, "bad_request", "partial"},
		{"format", "GET", read + "&format=xml", "", "", 400, "bad_request", "format"},
		{"later: fields", "GET", read + "&fields=a", "", "", 400, "bad_request", "fields"},
		{"cursor of another query", "GET", read + "&cursor=abc", "", "", 400, "bad_cursor", "another query"},
		{"empty cursor", "GET", read + "&cursor=", "", "", 400, "bad_cursor", "empty"},
		{"cursor and bad name", "GET", "/v1/read?dataset_id=u%01&table_name=t&cursor=abc", "", "", 400, "bad_request", "dataset_id"},
		{"datasets without table", "GET", "/v1/datasets", "", "", 400, "bad_request", "table"},
		{"older_than", "GET", "/v1/stats/stale?older_than=soon", "", "", 400, "bad_request", "older_than"},
		{"older_than negative", "GET", "/v1/stats/stale?older_than=-2h", "", "", 400, "bad_request", "older_than"},
		{"older_than no unit", "GET", "/v1/stats/stale?older_than=2", "", "", 400, "bad_request", "older_than"},
		{"older_than far", "GET", "/v1/stats/stale?older_than=60000d", "", "", 400, "bad_request", "older_than"},
		{"schema version junk", "GET", "/v1/tables/battle/schema?version=one", "", "", 400, "bad_request", "version"},
		{"schema version missing", "GET", "/v1/tables/battle/schema?version=9", "", "", 404, "not_found", "9"},
		{"schema of no table", "GET", "/v1/tables/nope/schema", "", "", 404, "not_found", "nope"},
		{"archive with a body", "POST", "/v1/archive", "", "{}", 400, "bad_request", "body"},
		{"parameters on tables", "GET", "/v1/tables?x=1", "", "", 400, "bad_request", "x"},

		// Content types and encodings.
		{"no Content-Type", "POST", in, "", "{}", 415, "unsupported_media_type", "no Content-Type"},
		{"unknown Content-Type", "POST", in, "Content-Type: text/csv", "a,b", 415, "unsupported_media_type", "text/csv"},
		{"form", "POST", in, "Content-Type: application/x-www-form-urlencoded", "a=b", 415, "unsupported_media_type", ""},
		{"charset", "POST", in, jsonType + "; charset=latin1", "{}", 415, "unsupported_media_type", "latin1"},
		{"unknown encoding", "POST", lines, ndjsonType + "\nContent-Encoding: br", "{}", 415, "unsupported_media_type", "br"},
		{"two encodings", "POST", lines, ndjsonType + "\nContent-Encoding: gzip, gzip", gzipped(gzipped("{}")), 415, "unsupported_media_type", "gzip"},
		{"not gzip", "POST", lines, ndjsonType + "\nContent-Encoding: gzip", "{}\n", 400, "invalid_body", "gzip"},
		{"half gzip", "POST", lines, ndjsonType + "\nContent-Encoding: gzip", gzipped("{}\n")[:20], 400, "invalid_body", "gzip"},
		{"gzip and more", "POST", lines, ndjsonType + "\nContent-Encoding: gzip", gzipped("{}\n") + "more", 400, "invalid_body", "gzip"},
		{"gzip with wrong sum", "POST", lines, ndjsonType + "\nContent-Encoding: gzip", strings.Replace(gzipped("{\"a\":1}\n"), gzipped("{\"a\":1}\n")[27:29], "xx", 1), 400, "invalid_body", "gzip"},
		{"empty gzip", "POST", lines, ndjsonType + "\nContent-Encoding: gzip", "", 400, "invalid_body", "gzip"},
		{"not zstd", "POST", lines, ndjsonType + "\nContent-Encoding: zstd", "{}\n", 400, "invalid_body", "zstd"},
		{"not deflate", "POST", lines, ndjsonType + "\nContent-Encoding: deflate", "{}\n", 400, "invalid_body", "deflate"},
		{"settings as form", "PUT", "/v1/tables/t", "Content-Type: text/plain", "{}", 415, "unsupported_media_type", "text/plain"},

		// Envelopes.
		{"empty body", "POST", in, jsonType, "", 400, "invalid_body", "neither"},
		{"not JSON", "POST", in, jsonType, "hello", 400, "invalid_body", "neither"},
		{"a number", "POST", in, jsonType, "17", 400, "invalid_body", "neither"},
		{"unknown member", "POST", in, jsonType, `{"dataset_id":"u","table":"t","records":[],"x":1}`, 400, "invalid_body", `"x"`},
		{"member twice", "POST", in, jsonType, `{"dataset_id":"u","dataset_id":"u","table":"t","records":[]}`, 400, "invalid_body", "dataset_id"},
		{"member twice, escaped", "POST", in, jsonType, `{"dataset_id":"u","dataset\u005fid":"u","table":"t","records":[]}`, 400, "invalid_body", "dataset_id"},
		{"records twice", "POST", in, jsonType, `{"dataset_id":"u","table":"t","records":[],"records":[]}`, 400, "invalid_body", "records"},
		{"both table names", "POST", in, jsonType, `{"dataset_id":"u","table":"t","table_name":"t","records":[]}`, 400, "invalid_body", "table"},
		{"no dataset_id", "POST", in, jsonType, `{"table":"t","records":[]}`, 400, "invalid_body", "dataset_id"},
		{"no table", "POST", in, jsonType, `{"dataset_id":"u","records":[]}`, 400, "invalid_body", "table"},
		{"no records", "POST", in, jsonType, `{"dataset_id":"u","table":"t"}`, 400, "invalid_body", "records"},
		{"empty time_field", "POST", in, jsonType, `{"dataset_id":"u","table":"t","time_field":"","records":[]}`, 400, "invalid_body", "time_field"},
		{"dataset_id no string", "POST", in, jsonType, `{"dataset_id":7,"table":"t","records":[]}`, 400, "invalid_body", "dataset_id"},
		{"records no array", "POST", in, jsonType, envelope("{}"), 400, "invalid_body", "records"},
		{"trailing comma", "POST", in, jsonType, `{"dataset_id":"u","table":"t","records":[],}`, 400, "invalid_body", "key"},
		{"trailing comma in records", "POST", in, jsonType, envelope("[{},]"), 400, "invalid_record", "records[1]"},
		{"no comma in records", "POST", in, jsonType, envelope("[{}{}]"), 400, "invalid_body", "comma"},
		{"comma alone", "POST", in, jsonType, envelope("[,]"), 400, "invalid_record", "records[0]"},
		{"cut off", "POST", in, jsonType, `{"dataset_id":"u","table":"t","records":[{}`, 400, "invalid_body", "ends"},
		{"cut off in a record", "POST", in, jsonType, `{"dataset_id":"u","table":"t","records":[{"a":`, 400, "invalid_body", ""},
		{"cut off in a key", "POST", in, jsonType, `{"dataset_`, 400, "invalid_body", ""},
		{"something follows", "POST", in, jsonType, envelope("[]") + "x", 400, "invalid_body", "follows"},
		{"two values", "POST", in, jsonType, envelope("[]") + envelope("[]"), 400, "invalid_body", "follows"},
		{"bad UTF-8 in a name", "POST", in, jsonType, "{\"dataset_id\":\"\xff\",\"table\":\"t\",\"records\":[]}", 400, "invalid_body", ""},
		{"lone surrogate in a name", "POST", in, jsonType, `{"dataset_id":"\ud800","table":"t","records":[]}`, 400, "invalid_body", ""},
		{"byte order mark", "POST", in, jsonType, "\ufeff" + envelope("[]"), 400, "invalid_body", "neither"},
		{"array of numbers", "POST", in, jsonType, `[1]`, 400, "invalid_body", "[0]"},
		{"array: second envelope", "POST", in, jsonType, `[` + envelope("[]") + `,{"table":"t","records":[]}]`, 400, "invalid_body", "[1].dataset_id"},
		{"array: record of the second", "POST", in, jsonType, `[` + envelope("[{}]") + `,` + envelope(`[{},{"a":}]`) + `]`, 400, "invalid_record", "[1].records[1]: "},
		{"parameters beside envelopes", "POST", lines, jsonType, envelope("[]"), 400, "bad_request", "unknown parameter"},

		// Records.
		{"record is no object", "POST", in, jsonType, envelope("[{},3]"), 400, "invalid_record", "records[1]: "},
		{"record is a string", "POST", in, jsonType, envelope(`["{}"]`), 400, "invalid_record", "records[0]: "},
		{"record key twice", "POST", in, jsonType, envelope(`[{"a":1,"a":2}]`), 400, "invalid_record", "records[0]: "},
		{"record bad UTF-8", "POST", in, jsonType, envelope("[{\"a\":\"\xc3\"}]"), 400, "invalid_record", "records[0]: "},
		{"record brackets crossed", "POST", in, jsonType, envelope(`[{"a":[1}]}]`), 400, "", ""},
		{"record impossible time", "POST", in, jsonType, envelope(`[{},{},{},{"timestamp":"2023-02-29T00:00:00Z"}]`), 400, "invalid_record", "records[3]: timestamp"},
		{"record time of a strange kind", "POST", in, jsonType, envelope(`[{"timestamp":true}]`), 400, "invalid_record", "timestamp"},
		{"record too deep", "POST", in, jsonType, envelope(`[{"a":` + strings.Repeat("[", 1500) + strings.Repeat("]", 1500) + `}]`), 400, "invalid_record", "records[0]: "},
		{"line is no object", "POST", lines, ndjsonType, "{}\n\n[]\n", 400, "invalid_record", "records[1] (line 3): "},
		{"line is half", "POST", lines, ndjsonType, "{}\r\n{\"a\":\n1}\n", 400, "invalid_record", "records[1] (line 2): "},
		{"two on a line", "POST", lines, ndjsonType, "{} {}\n", 400, "invalid_record", "records[0] (line 1): "},
		{"lines without names", "POST", in, ndjsonType, "{}\n", 400, "bad_request", "dataset_id"},
		{"lines without table", "POST", in + "?dataset_id=u", ndjsonType, "{}\n", 400, "bad_request", "table"},
		{"lines with name and field", "POST", lines + "&dataset_field=x", ndjsonType, "{}\n", 400, "bad_request", "dataset_field"},
		{"lines with empty field", "POST", in + "?dataset_field=&table=t", ndjsonType, "{}\n", 400, "bad_request", "field"},
		{"lines with unknown parameter", "POST", lines + "&mode=fast", ndjsonType, "{}\n", 400, "bad_request", "mode"},
		{"two idempotency keys", "POST", lines, ndjsonType + "\nIdempotency-Key: a\nIdempotency-Key: b", "{}\n", 400, "bad_request", "Idempotency-Key"},
		{"empty idempotency key", "POST", lines, ndjsonType + "\nIdempotency-Key:", "{}\n", 400, "bad_request", "Idempotency-Key"},
		{"not Avro", "POST", lines, avroType, "{}\n", 400, "invalid_body", ""},

		// Sizes.
		{"body too large", "POST", lines, ndjsonType, strings.Repeat("{}\n", 30_000), 413, "too_large", "65536"},
		{"gzip bomb", "POST", lines, ndjsonType + "\nContent-Encoding: gzip", gzipped(strings.Repeat("\n", 10<<20)), 413, "too_large", "decompressed"},
		{"header too large", "GET", read + "&cursor=" + strings.Repeat("c", 20<<10), "", "", 431, "header_too_large", ""},

		// Settings.
		{"settings no object", "PUT", "/v1/tables/t", jsonType, `[]`, 400, "invalid_body", "object"},
		{"settings unknown", "PUT", "/v1/tables/t", jsonType, `{"codec":"null","x":1}`, 400, "invalid_body", `"x"`},
		{"settings by case", "PUT", "/v1/tables/t", jsonType, `{"Codec":"null"}`, 400, "invalid_body", `"Codec"`},
		{"settings twice", "PUT", "/v1/tables/t", jsonType, `{"codec":"null","codec":"null"}`, 400, "invalid_body", ""},
		{"settings no string", "PUT", "/v1/tables/t", jsonType, `{"codec":1}`, 400, "invalid_body", "codec"},
		{"settings empty", "PUT", "/v1/tables/t", jsonType, `{"codec":""}`, 400, "invalid_body", "codec"},
		{"settings more", "PUT", "/v1/tables/t", jsonType, `{"codec":"null"} x`, 400, "invalid_body", ""},
		{"settings the engine refuses", "PUT", "/v1/tables/t", jsonType, `{"codec":"a-long-codec-name"}`, 400, "bad_request", "codec"},
		{"settings too large", "PUT", "/v1/tables/t", jsonType, `{"codec":"` + strings.Repeat("x", 64<<10-20) + `"}` + strings.Repeat(" ", 20), 413, "too_large", ""},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			h := *h
			h.t = t
			got := h.do(r.method, r.target, r.headers, r.body)
			p := got.problem(t)
			if got.StatusCode != r.status || r.code != "" && p.Code != r.code || !strings.Contains(p.Detail, r.detail) {
				t.Errorf("got %d %s %q, want %d %s …%s…", got.StatusCode, p.Code, p.Detail, r.status, r.code, r.detail)
			}
			if got.Header.Get("X-Content-Type-Options") != "nosniff" || got.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", got.Header)
			}
			if r.status == 405 && got.Header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
	if len(db.requests) > 0 {
		t.Errorf("the engine kept %d of the requests", len(db.requests))
	}
}
