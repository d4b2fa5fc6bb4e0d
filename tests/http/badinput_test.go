package http

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/firndb/firn/engine"
	"github.com/firndb/firn/tests/harness"
)

// bad is a request that must be refused.
type bad struct {
	name   string
	method string // POST where there is a body, else GET
	path   string
	header map[string]string
	body   string
	status int
	code   string
	says   []string // parts of the detail
}

// ask sends a request and returns the answer with its headers.
func ask(t *testing.T, d *harness.Daemon, r bad) (int, http.Header, []byte) {
	t.Helper()
	method := r.method
	if method == "" {
		method = "GET"
		if r.body != "" || r.header["Content-Type"] != "" {
			method = "POST"
		}
	}
	req, err := http.NewRequest(method, d.URL+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
	for k, v := range r.header {
		if k == "Host" {
			req.Host = v
			continue
		}
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
	return resp.StatusCode, resp.Header, b
}

// refuse demands that a request is refused as it must be and that nothing of it is kept.
func refuse(t *testing.T, d *harness.Daemon, r bad) {
	t.Helper()
	before := d.Get(t, "/v1/tables")
	status, header, answer := ask(t, d, r)
	var p struct {
		Type, Title, Code, Detail string
		Status                    int
	}
	if err := json.Unmarshal(answer, &p); err != nil {
		t.Errorf("%s: %d %.300s is no problem: %v", r.name, status, answer, err)
	}
	if status != r.status || p.Status != status || p.Code != r.code || header.Get("Content-Type") != "application/problem+json" || p.Type == "" || p.Title == "" {
		t.Errorf("%s: %d %s %s, want %d %s", r.name, status, header.Get("Content-Type"), answer, r.status, r.code)
	}
	for _, part := range r.says {
		if !strings.Contains(p.Detail, part) {
			t.Errorf("%s: %q does not say %q", r.name, p.Detail, part)
		}
	}
	if len(p.Detail) == 0 || len(p.Detail) > 2000 {
		t.Errorf("%s: the detail has %d bytes", r.name, len(p.Detail))
	}
	if after := d.Get(t, "/v1/tables"); !bytes.Equal(before, after) {
		t.Fatalf("%s: something was kept: before %s after %s", r.name, before, after)
	}
}

const (
	jsonType = "application/json"
	lineType = "application/x-ndjson"
	avroType = "application/avro"
	toT      = "/v1/ingest?dataset_id=d&table=t"
)

// typed is the header of a body.
func typed(contentType string, more ...string) map[string]string {
	h := map[string]string{"Content-Type": contentType}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return h
}

// nested is a record of so many levels, itself the first.
func nested(levels int) string {
	return `{"timestamp":1,"v":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + "}"
}

// badRecords are records that cannot be kept. Those of broken syntax may end the envelope around them
// somewhere else, so only lines are held to name them.
var badRecords = []struct {
	name, record string
	says         string
	syntax       bool
}{
	{"not JSON", `{"timestamp":1,`, "", true},
	{"words", `hello`, "", true},
	{"two values", `{"timestamp":1}{"timestamp":2}`, "", true},
	{"single quotes", `{'timestamp':1}`, "", true},
	{"comma at the end", `{"timestamp":1,}`, "", false},
	{"comment", `{"timestamp":1/* */}`, "", false},
	{"NaN", `{"timestamp":1,"v":NaN}`, "", false},
	{"Infinity", `{"timestamp":1,"v":-Infinity}`, "", false},
	{"hex", `{"timestamp":1,"v":0x10}`, "", false},
	{"leading zero", `{"timestamp":1,"v":01}`, "", false},
	{"leading plus", `{"timestamp":1,"v":+1}`, "", false},
	{"no digit after the point", `{"timestamp":1,"v":1.}`, "", false},
	{"control character in a string", "{\"timestamp\":1,\"v\":\"a\tb\"}", "", false},
	{"NUL in a string", "{\"timestamp\":1,\"v\":\"a\x00b\"}", "", false},
	{"unknown escape", `{"timestamp":1,"v":"\x41"}`, "", false},
	{"byte order mark", "\ufeff" + `{"timestamp":1}`, "", true},
	{"array", `[1,2]`, "object", false},
	{"number", `7`, "object", false},
	{"string", `"x"`, "object", false},
	{"null", `null`, "object", false},
	{"true", `true`, "object", false},
	{"key twice", `{"timestamp":1,"a":1,"a":2}`, "a", false},
	{"key twice, nested", `{"timestamp":1,"o":{"x":[{"k":1,"l":2,"k":1}]}}`, "k", false},
	{"key twice, escaped", `{"timestamp":1,"ab":1,"\u0061b":2}`, "", false},
	{"key twice, escaped surrogates", `{"timestamp":1,"😀":1,"\ud83d\ude00":2}`, "", false},
	{"timestamp twice", `{"timestamp":1,"timestamp":1}`, "timestamp", false},
	{"timestamp twice, escaped", `{"timestamp":1,"timest\u0061mp":1}`, "", false},
	{"empty key twice", `{"timestamp":1,"":1,"":2}`, "", false},
	{"bad UTF-8", "{\"timestamp\":1,\"v\":\"\xff\"}", "UTF-8", false},
	{"bad UTF-8 in a key", "{\"timestamp\":1,\"\xc3\":1}", "UTF-8", false},
	{"overlong UTF-8", "{\"timestamp\":1,\"v\":\"\xc0\xaf\"}", "UTF-8", false},
	{"surrogate as UTF-8", "{\"timestamp\":1,\"v\":\"\xed\xa0\x80\"}", "UTF-8", false},
	{"lone high surrogate", `{"timestamp":1,"v":"\ud800"}`, "surrogate", false},
	{"lone low surrogate", `{"timestamp":1,"v":"\udc00x"}`, "surrogate", false},
	{"surrogates the wrong way round", `{"timestamp":1,"v":"\udc00\ud800"}`, "surrogate", false},
	{"lone surrogate in a key", `{"timestamp":1,"\ud800":1}`, "surrogate", false},
	{"time is a float", `{"timestamp":1.5}`, "timestamp", false},
	{"time is a float of whole value", `{"timestamp":1.0}`, "timestamp", false},
	{"time with an exponent", `{"timestamp":1e3}`, "timestamp", false},
	{"time is true", `{"timestamp":true}`, "timestamp", false},
	{"time is null", `{"timestamp":null}`, "timestamp", false},
	{"time is an object", `{"timestamp":{}}`, "timestamp", false},
	{"time is an array", `{"timestamp":[1]}`, "timestamp", false},
	{"time is text", `{"timestamp":"yesterday"}`, "timestamp", false},
	{"time is empty", `{"timestamp":""}`, "timestamp", false},
	{"time is a number as text", `{"timestamp":"1700000000000"}`, "timestamp", false},
	{"time is a day", `{"timestamp":"2024-02-03"}`, "timestamp", false},
	{"time without zone", `{"timestamp":"2024-02-03T04:05:06"}`, "timestamp", false},
	{"30 February", `{"timestamp":"2024-02-30T00:00:00Z"}`, "timestamp", false},
	{"29 February of 2023", `{"timestamp":"2023-02-29T00:00:00Z"}`, "timestamp", false},
	{"29 February of 1900", `{"timestamp":"1900-02-29T00:00:00Z"}`, "timestamp", false},
	{"month 13", `{"timestamp":"2024-13-01T00:00:00Z"}`, "timestamp", false},
	{"month 0", `{"timestamp":"2024-00-01T00:00:00Z"}`, "timestamp", false},
	{"hour 24", `{"timestamp":"2024-01-01T24:00:00Z"}`, "timestamp", false},
	{"second 60 at noon", `{"timestamp":"2024-01-01T12:00:60Z"}`, "timestamp", false},
	{"second 61", `{"timestamp":"2016-12-31T23:59:61Z"}`, "timestamp", false},
	{"zone of 24 hours", `{"timestamp":"2024-01-01T00:00:00+24:00"}`, "timestamp", false},
	{"year 10000", `{"timestamp":"10000-01-01T00:00:00Z"}`, "timestamp", false},
	{"year 0", `{"timestamp":"0000-12-31T23:59:59Z"}`, "timestamp", false},
	{"before the year 1 by its zone", `{"timestamp":"0001-01-01T00:00:00+01:00"}`, "timestamp", false},
	{"past the year 9999 by its zone", `{"timestamp":"9999-12-31T23:59:59-01:00"}`, "timestamp", false},
	{"ms of year 10000", `{"timestamp":253402300800000}`, "timestamp", false},
	{"ms before the year 1", `{"timestamp":-62135596800001}`, "timestamp", false},
	{"ms past 64 bits", `{"timestamp":99999999999999999999}`, "timestamp", false},
	{"minus zero point", `{"timestamp":-0.0}`, "timestamp", false},
	{"nested past the limit", nested(1001), "nest", false},
	{"nested far past the limit", nested(100_000), "nest", false},
}

// TestBadRecords sends each bad record between two good ones, as a line, in an envelope and in the
// second of two envelopes. The answer names the record, and the good ones are not kept either.
func TestBadRecords(t *testing.T) {
	d := harness.Start(t, t.TempDir(), manual(engine.Options{}))
	d.Post(t, toT, lineType, []byte(`{"timestamp":1,"kept":true}`), 200)
	const good = `{"timestamp":5,"good":1}`
	for _, r := range badRecords {
		says := []string{"records[1]"}
		if r.says != "" {
			says = append(says, r.says)
		}
		refuse(t, d, bad{name: r.name, path: toT, header: typed(lineType), body: good + "\n" + r.record + "\n" + good + "\n",
			status: 400, code: "invalid_record", says: append(says, "line 2")})
		refuse(t, d, bad{name: r.name + ", in another table", path: "/v1/ingest?dataset_id=new&table=new", header: typed(lineType),
			body: r.record, status: 400, code: "invalid_record", says: []string{"records[0]"}})
		envelope := `{"dataset_id":"d","table":"new","records":[` + good + "," + r.record + "," + good + "]}"
		if r.syntax {
			status, _, answer := ask(t, d, bad{name: r.name, path: "/v1/ingest", header: typed(jsonType), body: envelope})
			if status != 400 {
				t.Errorf("%s, in an envelope: %d %s", r.name, status, answer)
			}
			continue
		}
		refuse(t, d, bad{name: r.name + ", in an envelope", path: "/v1/ingest", header: typed(jsonType), body: envelope,
			status: 400, code: "invalid_record", says: says})
		says[0] = "[1].records[1]"
		refuse(t, d, bad{name: r.name + ", in the second envelope", path: "/v1/ingest", header: typed(jsonType),
			body:   `[{"dataset_id":"d","table":"t","records":[` + good + `]},` + envelope + "]",
			status: 400, code: "invalid_record", says: says})
	}
	t.Logf("%d bad records", len(badRecords))
	nothingKept(t, d, 1)
	// What is just within the limits is taken.
	for _, record := range []string{
		nested(1000), `{"timestamp":253402300799999}`, `{"timestamp":-62135596800000}`, `{"timestamp":0}`, `{"timestamp":-1}`,
		`{"timestamp":"0001-01-01T00:00:00Z"}`, `{"timestamp":"9999-12-31T23:59:59.999999Z"}`, `{"timestamp":"2016-12-31T23:59:60Z"}`,
		`{"timestamp":"2024-02-29t00:00:00z"}`, `{"timestamp":"2024-02-29T00:00:00+23:59"}`, `{}`, `{"":1}`, `{"v":"\ud83d\ude00\u0000"}`,
	} {
		d.Post(t, toT, lineType, []byte(record), 200)
	}
}

// nothingKept demands that only so many records of one table are there, also after a restart and an
// archive.
func nothingKept(t *testing.T, d *harness.Daemon, records int) {
	t.Helper()
	check := func(when string) {
		t.Helper()
		var a struct {
			Tables []struct {
				Table    string
				Accepted int
			}
		}
		if err := json.Unmarshal(d.Get(t, "/v1/tables"), &a); err != nil {
			t.Fatal(err)
		}
		if len(a.Tables) != 1 || a.Tables[0].Table != "t" || a.Tables[0].Accepted != records {
			t.Errorf("%s: tables %+v, want %d records of t alone", when, a.Tables, records)
		}
		if got := harness.SplitLines(d.Get(t, harness.ReadPath("t", "d", "format", "ndjson"))); len(got) != records {
			t.Errorf("%s: %d records, want %d", when, len(got), records)
		}
	}
	check("at once")
	d.Restart(t)
	check("after a restart")
	d.Post(t, "/v1/archive", "", nil, 200)
	check("after an archive")
}

// long is a name of so many bytes.
func long(n int) string { return strings.Repeat("n", n) }

// TestBadRequests sends everything else that a caller can get wrong.
func TestBadRequests(t *testing.T) {
	d := harness.Start(t, t.TempDir(), manual(engine.Options{}))
	for i := range 3 {
		d.Post(t, toT, lineType, fmt.Appendf(nil, `{"timestamp":%d}`, i), 200)
	}
	cursor := nextCursor(t, d)
	const good = `{"timestamp":5,"user":"u","kind":"k"}`
	q := url.QueryEscape
	in := func(query string) string { return "/v1/ingest?" + query }
	rd := func(query string) string { return "/v1/read?" + query }
	const readT = "dataset_id=d&table_name=t"
	rows := []bad{
		// Bodies.
		{name: "empty JSON", path: "/v1/ingest", header: typed(jsonType), status: 400, code: "invalid_body"},
		{name: "JSON is no object", path: "/v1/ingest", header: typed(jsonType), body: `7`, status: 400, code: "invalid_body"},
		{name: "JSON array of numbers", path: "/v1/ingest", header: typed(jsonType), body: `[7]`, status: 400, code: "invalid_body", says: []string{"[0]"}},
		{name: "JSON cut off", path: "/v1/ingest", header: typed(jsonType), body: `{"dataset_id":"d","table":"t","records":[` + good, status: 400, code: "invalid_body"},
		{name: "JSON followed by more", path: "/v1/ingest", header: typed(jsonType), body: `{"dataset_id":"d","table":"t","records":[]} x`, status: 400, code: "invalid_body"},
		{name: "records is an object", path: "/v1/ingest", header: typed(jsonType), body: `{"dataset_id":"d","table":"t","records":{}}`, status: 400, code: "invalid_body", says: []string{"records"}},
		{name: "records missing", path: "/v1/ingest", header: typed(jsonType), body: `{"dataset_id":"d","table":"t"}`, status: 400, code: "invalid_body", says: []string{"records"}},
		{name: "records twice", path: "/v1/ingest", header: typed(jsonType), body: `{"dataset_id":"d","table":"t","records":[],"records":[]}`, status: 400, code: "invalid_body", says: []string{"records", "twice"}},
		{name: "dataset missing", path: "/v1/ingest", header: typed(jsonType), body: `{"table":"t","records":[` + good + `]}`, status: 400, code: "invalid_body", says: []string{"dataset_id"}},
		{name: "table missing", path: "/v1/ingest", header: typed(jsonType), body: `{"dataset_id":"d","records":[` + good + `]}`, status: 400, code: "invalid_body", says: []string{"table"}},
		{name: "dataset is a number", path: "/v1/ingest", header: typed(jsonType), body: `{"dataset_id":7,"table":"t","records":[` + good + `]}`, status: 400, code: "invalid_body", says: []string{"dataset_id"}},
		{name: "unknown member", path: "/v1/ingest", header: typed(jsonType), body: `{"dataset_id":"d","table":"t","recrods":[]}`, status: 400, code: "invalid_body", says: []string{"recrods"}},
		{name: "table and table_name", path: "/v1/ingest", header: typed(jsonType), body: `{"dataset_id":"d","table":"t","table_name":"t","records":[]}`, status: 400, code: "invalid_body", says: []string{"twice"}},
		{name: "table escaped and again", path: "/v1/ingest", header: typed(jsonType), body: `{"dataset_id":"d","table":"t","t\u0061ble":"t","records":[]}`, status: 400, code: "invalid_body", says: []string{"twice"}},
		{name: "no Avro", path: toT, header: typed(avroType), body: "Obj\x01nonsense", status: 400, code: "invalid_body"},
		{name: "empty Avro", path: toT, header: typed(avroType), status: 400, code: "invalid_body"},

		// Types and encodings.
		{name: "unknown type", path: toT, header: typed("text/csv"), body: "a,b", status: 415, code: "unsupported_media_type", says: []string{"text/csv"}},
		{name: "form", path: toT, header: typed("application/x-www-form-urlencoded"), body: "a=b", status: 415, code: "unsupported_media_type"},
		{name: "text", path: toT, header: typed("text/plain"), body: good, status: 415, code: "unsupported_media_type"},
		{name: "no type", path: toT, body: good, status: 415, code: "unsupported_media_type"},
		{name: "other charset", path: toT, header: typed(lineType + "; charset=latin1"), body: good, status: 415, code: "unsupported_media_type", says: []string{"latin1"}},
		{name: "unknown encoding", path: toT, header: typed(lineType, "Content-Encoding", "br"), body: good, status: 415, code: "unsupported_media_type", says: []string{"br"}},
		{name: "two encodings", path: toT, header: typed(lineType, "Content-Encoding", "gzip, zstd"), body: good, status: 415, code: "unsupported_media_type"},
		{name: "not gzip", path: toT, header: typed(lineType, "Content-Encoding", "gzip"), body: good, status: 400, code: "invalid_body", says: []string{"gzip"}},
		{name: "not zstd", path: toT, header: typed(lineType, "Content-Encoding", "zstd"), body: good, status: 400, code: "invalid_body", says: []string{"zstd"}},
		{name: "not deflate", path: toT, header: typed(lineType, "Content-Encoding", "deflate"), body: good, status: 400, code: "invalid_body", says: []string{"deflate"}},
		{name: "empty gzip", path: toT, header: typed(lineType, "Content-Encoding", "gzip"), status: 400, code: "invalid_body"},

		// Names.
		{name: "no dataset", path: in("table=t"), header: typed(lineType), body: good, status: 400, code: "bad_request", says: []string{"dataset_id"}},
		{name: "no table", path: in("dataset_id=d"), header: typed(lineType), body: good, status: 400, code: "bad_request", says: []string{"table"}},
		{name: "dataset and its field", path: in("dataset_id=d&dataset_field=user&table=t"), header: typed(lineType), body: good, status: 400, code: "bad_request"},
		{name: "table and its field", path: in("dataset_id=d&table_field=kind&table=t"), header: typed(lineType), body: good, status: 400, code: "bad_request"},
		{name: "table and table_name as parameters", path: in("dataset_id=d&table=t&table_name=t"), header: typed(lineType), body: good, status: 400, code: "bad_request", says: []string{"table_name"}},
		{name: "dataset twice", path: in("dataset_id=d&dataset_id=d&table=t"), header: typed(lineType), body: good, status: 400, code: "bad_request", says: []string{"twice"}},
		{name: "parameters beside envelopes", path: toT, header: typed(jsonType), body: `{"dataset_id":"d","table":"t","records":[]}`, status: 400, code: "bad_request"},
		{name: "unknown parameter", path: toT + "&tabel=x", header: typed(lineType), body: good, status: 400, code: "bad_request", says: []string{"tabel"}},
		{name: "dataset field missing", path: in("dataset_field=nobody&table=t"), header: typed(lineType), body: good, status: 400, code: "invalid_record", says: []string{"records[0]", "nobody"}},
		{name: "dataset field is a number", path: in("dataset_field=timestamp&table=t"), header: typed(lineType), body: good, status: 400, code: "invalid_record", says: []string{"records[0]", "timestamp"}},
		{name: "table field missing in the second", path: in("table_field=kind&dataset_field=user"), header: typed(lineType), body: good + "\n" + `{"timestamp":5,"user":"u"}`, status: 400, code: "invalid_record", says: []string{"records[1]", "kind"}},
		{name: "dataset field is empty", path: in("dataset_field=user&table=t"), header: typed(lineType), body: good + "\n" + `{"user":""}`, status: 400, code: "invalid_record", says: []string{"records[1]", "empty"}},
		{name: "dataset field has a NUL", path: in("dataset_field=user&table=t"), header: typed(lineType), body: good + "\n" + `{"user":"a\u0000"}`, status: 400, code: "invalid_record", says: []string{"records[1]", "U+0000"}},
		{name: "table field is long", path: in("table_field=kind&dataset_id=d"), header: typed(lineType), body: good + "\n" + `{"kind":"` + long(81) + `"}`, status: 400, code: "invalid_record", says: []string{"records[1]", "81"}},
		{name: "time field missing", path: toT + "&time_field=at", header: typed(lineType), body: `{"at":1}` + "\n" + good, status: 400, code: "invalid_record", says: []string{"records[1]", "at"}},
		{name: "time field impossible", path: toT + "&time_field=user", header: typed(lineType), body: good, status: 400, code: "invalid_record", says: []string{"records[0]", "user"}},
		{name: "time field empty", path: toT + "&time_field=", header: typed(lineType), body: good, status: 400, code: "bad_request"},
	}
	for _, n := range []struct{ name, value string }{
		{"empty", ""}, {"NUL", "a\x00b"}, {"LF", "a\nb"}, {"escape", "\x1b[0m"}, {"delete", "a\x7f"}, {"C1 control", "a\u0085b"},
		{"1,000 characters", long(1000)}, {"not UTF-8", "a\xffb"},
	} {
		if n.value == "" || n.name == "not UTF-8" || n.name == "1,000 characters" {
			rows = append(rows, bad{name: "name of a table to read: " + n.name, path: rd("dataset_id=d&table=" + q(n.value)), status: 400, code: "bad_request"})
		}
		rows = append(rows,
			bad{name: "dataset: " + n.name, path: in("table=t&dataset_id=" + q(n.value)), header: typed(lineType), body: good, status: 400, code: "bad_request"},
			bad{name: "table: " + n.name, path: in("dataset_id=d&table=" + q(n.value)), header: typed(lineType), body: good, status: 400, code: "bad_request"},
			bad{name: "table_name: " + n.name, path: in("dataset_id=d&table_name=" + q(n.value)), header: typed(lineType), body: good, status: 400, code: "bad_request"},
			bad{name: "settings of table: " + n.name, method: "PUT", path: "/v1/tables/" + url.PathEscape(n.value), header: typed(jsonType), body: `{"codec":"snappy"}`, status: 400, code: "bad_request"},
		)
		if n.name == "not UTF-8" {
			continue // no JSON text
		}
		text, err := json.Marshal(n.value)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows,
			bad{name: "dataset in an envelope: " + n.name, path: "/v1/ingest", header: typed(jsonType), body: `{"dataset_id":` + string(text) + `,"table":"t","records":[` + good + `]}`, status: 400, code: "bad_request"},
			bad{name: "table in an envelope: " + n.name, path: "/v1/ingest", header: typed(jsonType), body: `{"dataset_id":"d","table":` + string(text) + `,"records":[` + good + `]}`, status: 400, code: "bad_request"})
	}
	rows = append(rows,
		bad{name: "dataset of 513 bytes", path: in("table=t&dataset_id=" + long(513)), header: typed(lineType), body: good, status: 400, code: "bad_request", says: []string{"513"}},
		bad{name: "table of 81 bytes", path: in("dataset_id=d&table=" + long(81)), header: typed(lineType), body: good, status: 400, code: "bad_request", says: []string{"81"}},
		bad{name: "bad name of a batch without records", path: in("dataset_id=&table=t"), header: typed(lineType), status: 400, code: "bad_request"},
		bad{name: "key empty", path: toT, header: typed(lineType, "Idempotency-Key", ""), body: good, status: 400, code: "bad_request", says: []string{"Idempotency-Key"}},
		bad{name: "key of 257 bytes", path: toT, header: typed(lineType, "Idempotency-Key", long(257)), body: good, status: 400, code: "bad_request", says: []string{"257"}},

		// Reads.
		bad{name: "limit is text", path: rd(readT + "&limit=abc"), status: 400, code: "bad_request", says: []string{"limit", "abc"}},
		bad{name: "limit is negative", path: rd(readT + "&limit=-1"), status: 400, code: "bad_request", says: []string{"limit"}},
		bad{name: "limit is zero", path: rd(readT + "&limit=0"), status: 400, code: "bad_request", says: []string{"limit"}},
		bad{name: "limit is a float", path: rd(readT + "&limit=1.5"), status: 400, code: "bad_request", says: []string{"limit"}},
		bad{name: "limit has a plus", path: rd(readT + "&limit=%2B1"), status: 400, code: "bad_request", says: []string{"limit"}},
		bad{name: "limit is huge", path: rd(readT + "&limit=99999999999999999999"), status: 400, code: "bad_request", says: []string{"limit"}},
		bad{name: "limit is empty", path: rd(readT + "&limit="), status: 400, code: "bad_request", says: []string{"limit"}},
		bad{name: "limit twice", path: rd(readT + "&limit=1&limit=1"), status: 400, code: "bad_request", says: []string{"limit", "twice"}},
		bad{name: "unknown parameter of a read", path: rd(readT + "&limt=1"), status: 400, code: "bad_request", says: []string{"limt"}},
		bad{name: "parameter without value", path: rd(readT + "&limit"), status: 400, code: "bad_request"},
		bad{name: "parameter half encoded", path: rd("table=t&dataset_id=d%2"), status: 400, code: "bad_request"},
		bad{name: "no dataset to read", path: rd("table=t"), status: 400, code: "bad_request", says: []string{"dataset_id"}},
		bad{name: "no table to read", path: rd("dataset_id=d"), status: 400, code: "bad_request", says: []string{"table"}},
		bad{name: "two names of the table", path: rd(readT + "&table=t"), status: 400, code: "bad_request"},
		bad{name: "from after to", path: rd(readT + "&from=2&to=1"), status: 400, code: "bad_request", says: []string{"from"}},
		bad{name: "from is text", path: rd(readT + "&from=noon"), status: 400, code: "bad_request", says: []string{"from"}},
		bad{name: "from is a float", path: rd(readT + "&from=1.5"), status: 400, code: "bad_request", says: []string{"from"}},
		bad{name: "to without zone", path: rd(readT + "&to=2024-01-01T00:00:00"), status: 400, code: "bad_request", says: []string{"to"}},
		bad{name: "to of a zone with a plain plus", path: rd(readT + "&to=2024-01-01T00:00:00+02:00"), status: 400, code: "bad_request", says: []string{"to"}},
		bad{name: "to past 64 bits", path: rd(readT + "&to=99999999999999999999"), status: 400, code: "bad_request", says: []string{"to"}},
		bad{name: "garbage cursor", path: rd(readT + "&limit=1&cursor=garbage"), status: 400, code: "bad_cursor"},
		bad{name: "empty cursor", path: rd(readT + "&limit=1&cursor="), status: 400, code: "bad_cursor"},
		bad{name: "cursor cut off", path: rd(readT + "&limit=1&cursor=" + q(cursor[:len(cursor)-3])), status: 400, code: "bad_cursor"},
		bad{name: "cursor of another dataset", path: rd("dataset_id=e&table=t&limit=1&cursor=" + q(cursor)), status: 400, code: "bad_cursor"},
		bad{name: "cursor of another table", path: rd("dataset_id=d&table=u&limit=1&cursor=" + q(cursor)), status: 400, code: "bad_cursor"},
		bad{name: "cursor of another order", path: rd(readT + "&order=desc&limit=1&cursor=" + q(cursor)), status: 400, code: "bad_cursor"},
		bad{name: "cursor of another range", path: rd(readT + "&from=1&limit=1&cursor=" + q(cursor)), status: 400, code: "bad_cursor"},
		bad{name: "order", path: rd(readT + "&order=sideways"), status: 400, code: "bad_request", says: []string{"order", "sideways"}},
		bad{name: "order in capitals", path: rd(readT + "&order=DESC"), status: 400, code: "bad_request", says: []string{"order"}},
		bad{name: "format", path: rd(readT + "&format=xml"), status: 400, code: "bad_request", says: []string{"format", "xml"}},
		bad{name: "partial", path: rd(readT + "&partial=maybe"), status: 400, code: "bad_request", says: []string{"partial", "maybe"}},
		bad{name: "explain with nonsense", path: "/v1/explain?" + readT + "&order=sideways", status: 400, code: "bad_request", says: []string{"order"}},
		bad{name: "stale with nonsense", path: "/v1/stats/stale?older_than=soon", status: 400, code: "bad_request", says: []string{"older_than", "soon"}},
		bad{name: "stale with a negative span", path: "/v1/stats/stale?older_than=-2h", status: 400, code: "bad_request", says: []string{"older_than"}},
		bad{name: "datasets of no table", path: "/v1/datasets", status: 400, code: "bad_request", says: []string{"table"}},
		bad{name: "tables with a parameter", path: "/v1/tables?x=y", status: 400, code: "bad_request"},

		// Settings.
		bad{name: "unknown codec", method: "PUT", path: "/v1/tables/t", header: typed(jsonType), body: `{"codec":"lzma"}`, status: 400, code: "bad_request", says: []string{"lzma"}},
		bad{name: "unknown partition", method: "PUT", path: "/v1/tables/t", header: typed(jsonType), body: `{"partition":"hour"}`, status: 400, code: "bad_request", says: []string{"hour"}},
		bad{name: "unknown setting", method: "PUT", path: "/v1/tables/t", header: typed(jsonType), body: `{"codek":"null"}`, status: 400, code: "invalid_body", says: []string{"codek"}},
		bad{name: "setting is a number", method: "PUT", path: "/v1/tables/t", header: typed(jsonType), body: `{"codec":1}`, status: 400, code: "invalid_body", says: []string{"codec"}},
		bad{name: "setting twice", method: "PUT", path: "/v1/tables/t", header: typed(jsonType), body: `{"codec":"null","codec":"null"}`, status: 400, code: "invalid_body"},
		bad{name: "settings are no object", method: "PUT", path: "/v1/tables/t", header: typed(jsonType), body: `[]`, status: 400, code: "invalid_body"},
		bad{name: "settings of no type", method: "PUT", path: "/v1/tables/t", body: `{}`, status: 415, code: "unsupported_media_type"},
		bad{name: "schema version", path: "/v1/tables/t/schema?version=x", status: 400, code: "bad_request", says: []string{"version"}},

		// Methods, routes, places.
		bad{name: "GET to ingest", path: toT, status: 405, code: "method_not_allowed"},
		bad{name: "PUT to ingest", method: "PUT", path: toT, header: typed(lineType), body: good, status: 405, code: "method_not_allowed"},
		bad{name: "POST to read", path: rd(readT), header: typed(jsonType), body: `{}`, status: 405, code: "method_not_allowed"},
		bad{name: "GET to archive", path: "/v1/archive", status: 405, code: "method_not_allowed"},
		bad{name: "DELETE of a table", method: "DELETE", path: "/v1/tables/t", status: 405, code: "method_not_allowed"},
		bad{name: "PATCH of a table", method: "PATCH", path: "/v1/tables/t", header: typed(jsonType), body: `{}`, status: 405, code: "method_not_allowed"},
		bad{name: "unknown method", method: "FETCH", path: rd(readT), status: 405, code: "method_not_allowed"},
		bad{name: "unknown route", path: "/v2/read?" + readT, status: 404, code: "not_found"},
		bad{name: "route with a slash behind it", path: "/v1/read/?" + readT, status: 404, code: "not_found"},
		bad{name: "route with a slash too many", path: "/v1//read?" + readT, status: 404, code: "not_found"},
		bad{name: "route by way of another", path: "/v1/tables/../read?" + readT, status: 404, code: "not_found"},
		bad{name: "route in capitals", path: "/V1/read?" + readT, status: 404, code: "not_found"},
		bad{name: "unknown table", path: "/v1/tables/nobody", status: 404, code: "not_found"},
		bad{name: "table ..", path: "/v1/tables/..", status: 404, code: "not_found"},
		bad{name: "schema of an unknown table", path: "/v1/tables/nobody/schema", status: 404, code: "not_found"},
		bad{name: "unknown schema version", path: "/v1/tables/t/schema?version=9", status: 404, code: "not_found"},
		bad{name: "unknown file", path: "/v1/files/t/x.avro", status: 404, code: "not_found"},
		bad{name: "file of the folder", path: "/v1/files/../catalog.db", status: 404, code: "not_found"},
		bad{name: "file of the folder, encoded", path: "/v1/files/%2e%2e%2fcatalog.db", status: 404, code: "not_found"},
		bad{name: "absolute file", path: "/v1/files//etc/passwd", status: 404, code: "not_found"},
		bad{name: "path half encoded", path: "/v1/tables/a%zz", status: 400, code: "bad_request"},

		// Browsers.
		bad{name: "foreign origin", path: toT, header: typed(lineType, "Origin", "https://evil.example"), body: good, status: 403, code: "forbidden_origin"},
		bad{name: "null origin", path: toT, header: typed(lineType, "Origin", "null"), body: good, status: 403, code: "forbidden_origin"},
		bad{name: "origin of another port", path: toT, header: typed(lineType, "Origin", "http://127.0.0.1:1"), body: good, status: 403, code: "forbidden_origin"},
		bad{name: "foreign origin archives", method: "POST", path: "/v1/archive", header: map[string]string{"Origin": "https://evil.example"}, status: 403, code: "forbidden_origin"},
		bad{name: "foreign origin sets", method: "PUT", path: "/v1/tables/t", header: typed(jsonType, "Origin", "https://evil.example"), body: `{"codec":"null"}`, status: 403, code: "forbidden_origin"},
		bad{name: "foreign host", path: toT, header: typed(lineType, "Host", "evil.example"), body: good, status: 403, code: "forbidden_host"},
		bad{name: "foreign host reads", path: rd(readT), header: map[string]string{"Host": "evil.example:8787"}, status: 403, code: "forbidden_host"},
		bad{name: "host that begins like a good one", path: rd(readT), header: map[string]string{"Host": "127.0.0.1.evil.example"}, status: 403, code: "forbidden_host"},
		bad{name: "host that begins like localhost", path: rd(readT), header: map[string]string{"Host": "localhost.evil.example"}, status: 403, code: "forbidden_host"},
	)
	for _, r := range rows {
		if r.path != "" && strings.Contains(r.path, "%zz") {
			refuseRaw(t, d, r)
			continue
		}
		refuse(t, d, r)
	}
	t.Logf("%d bad requests", len(rows))
	nothingKept(t, d, 3)
}

// refuseRaw is refuse for a target that Go's client does not send: it goes out as it is.
func refuseRaw(t *testing.T, d *harness.Daemon, r bad) {
	t.Helper()
	req, err := http.NewRequest("GET", d.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Opaque = r.path
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != r.status || !strings.Contains(string(b), `"`+r.code+`"`) {
		t.Errorf("%s: %d %s, %v, want %d %s", r.name, resp.StatusCode, b, err, r.status, r.code)
	}
}

// nextCursor is the cursor after the first record of dataset d of table t.
func nextCursor(t *testing.T, d *harness.Daemon) string {
	t.Helper()
	var a struct {
		Next string `json:"next_cursor"`
	}
	if err := json.Unmarshal(d.Get(t, harness.ReadPath("t", "d", "limit", "1")), &a); err != nil || a.Next == "" {
		t.Fatalf("no cursor: %+v, %v", a, err)
	}
	d.Get(t, harness.ReadPath("t", "d", "limit", "1", "cursor", a.Next))
	return a.Next
}

// TestTooLarge sends records and bodies past their limits, plain and packed. What is packed is
// unpacked up to the limit and no further.
func TestTooLarge(t *testing.T) {
	d := harness.Start(t, t.TempDir(), manual(engine.Options{}))
	d.Post(t, toT, lineType, []byte(`{"timestamp":1}`), 200)
	const recordLimit, bodyLimit = 8 << 20, 64 << 20
	record := func(n int) string {
		const head, tail = `{"timestamp":1,"v":"`, `"}`
		return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
	}
	const good = `{"timestamp":5}` + "\n"
	refuse(t, d, bad{name: "record", path: toT, header: typed(lineType), body: good + record(recordLimit+1), status: 413, code: "too_large", says: []string{"records[1]"}})
	refuse(t, d, bad{name: "record in an envelope", path: "/v1/ingest", header: typed(jsonType),
		body:   `{"dataset_id":"d","table":"t","records":[` + good + "," + record(recordLimit+1) + "]}",
		status: 413, code: "too_large", says: []string{"records[1]"}})
	refuse(t, d, bad{name: "body", path: toT, header: typed(lineType), body: good + strings.Repeat("\n", bodyLimit), status: 413, code: "too_large"})
	nothingKept(t, d, 1)

	pack := func(w io.WriteCloser, b *bytes.Buffer) string {
		chunk := bytes.Repeat([]byte("\n"), 1<<20)
		for range 512 {
			if _, err := w.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	var gz, zl, fl, zs bytes.Buffer
	gw, err := gzip.NewWriterLevel(&gz, 1)
	if err != nil {
		t.Fatal(err)
	}
	zw, err := zlib.NewWriterLevel(&zl, 1)
	if err != nil {
		t.Fatal(err)
	}
	fw, err := flate.NewWriter(&fl, 1)
	if err != nil {
		t.Fatal(err)
	}
	sw, err := zstd.NewWriter(&zs, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	bombs := []struct{ name, encoding, body string }{
		{"gzip", "gzip", pack(gw, &gz)}, {"zlib", "deflate", pack(zw, &zl)}, {"deflate alone", "deflate", pack(fw, &fl)}, {"zstd", "zstd", pack(sw, &zs)},
	}
	for _, b := range bombs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		refuse(t, d, bad{name: "bomb: " + b.name, path: toT, header: typed(lineType, "Content-Encoding", b.encoding), body: b.body, status: 413, code: "too_large"})
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 4*bodyLimit {
			t.Errorf("bomb: %s of %d bytes took %d bytes of memory", b.name, len(b.body), n)
		}
	}
	// Encodings that break off or go on.
	small := func(newWriter func(io.Writer) io.WriteCloser) string {
		var b bytes.Buffer
		w := newWriter(&b)
		if _, err := io.WriteString(w, strings.Repeat(good, 1000)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for name, body := range map[string]string{
		"gzip":    small(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }),
		"deflate": small(func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }),
		"zstd": small(func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return z
		}),
	} {
		h := typed(lineType, "Content-Encoding", name)
		refuse(t, d, bad{name: name + " cut off", path: toT, header: h, body: body[:len(body)-3], status: 400, code: "invalid_body", says: []string{name}})
		refuse(t, d, bad{name: name + " cut in half", path: toT, header: h, body: body[:len(body)/2], status: 400, code: "invalid_body", says: []string{name}})
		broken := []byte(body)
		broken[len(broken)-2] ^= 0x20 // in the checksum
		refuse(t, d, bad{name: name + " with a bad checksum", path: toT, header: h, body: string(broken), status: 400, code: "invalid_body", says: []string{name}})
		refuse(t, d, bad{name: name + " followed by more", path: toT, header: h, body: body + "more", status: 400, code: "invalid_body", says: []string{name}})
	}
	nothingKept(t, d, 1)
	d.Post(t, toT, lineType, []byte(record(recordLimit)), 200) // just within
}

// TestEmptyBodies are no mistake: nothing to keep is kept at once.
func TestEmptyBodies(t *testing.T) {
	d := harness.Start(t, t.TempDir(), manual(engine.Options{}))
	for _, r := range []struct {
		path, contentType, body string
		accepted                int
	}{
		{toT, lineType, "", 0},
		{toT, lineType, "\n\r\n\n", 0},
		{"/v1/ingest", jsonType, "[]", 0},
		{"/v1/ingest", jsonType, `{"dataset_id":"d","table":"t","records":[]}`, 0},
		{toT, lineType, "\n{\"timestamp\":1}\n\n\r\n{\"timestamp\":2}\r\n\n{\"timestamp\":3}", 3},
		{"/v1/ingest?dataset_id=d&table_name=t", lineType + "; charset=utf-8", `{"timestamp":4}`, 1},
		{"/v1/ingest", jsonType, `{"dataset_id":"d","table_name":"t","records":[{"timestamp":5}]}`, 1},
	} {
		want := fmt.Sprintf(`{"accepted":%d,"duplicate":false}`, r.accepted)
		if got := strings.TrimSpace(string(d.Post(t, r.path, r.contentType, []byte(r.body), 200))); got != want {
			t.Errorf("%q: %s, want %s", r.body, got, want)
		}
	}
	nothingKept(t, d, 5)
}

// TestNamesArePlain writes tables and datasets whose names look like paths beside those the paths
// would lead to. Each gives its own records and no other's, hot and cold.
func TestNamesArePlain(t *testing.T) {
	d := harness.Start(t, t.TempDir(), manual(engine.Options{}))
	names := []string{
		"b", "a/../b", "a/b", "a", "..", ".", "/", "//", "../b", "./b", "b/", "/b", "b/.", "a%2Fb", "a%2e%2e", "%", "%zz", "a b", "a+b", "a?b", "a#b", "a&b=c",
		`a\b`, "_firn", "_firn/log/0", "date=2024-01-01", "ü", "日本", "B", "CON", "b.avro", "b.idx", "'; drop table b", `"q"`, "a\u00a0b", long(80),
	}
	for i, table := range names {
		for j, dataset := range names {
			if i != j && i > 2 && j > 2 {
				continue
			}
			d.Post(t, "/v1/ingest?"+url.Values{"table": {table}, "dataset_id": {dataset}}.Encode(), lineType,
				fmt.Appendf(nil, `{"timestamp":%d,"table":%d,"dataset":%d}`, 86_400_000*i+j, i, j), 200)
		}
	}
	check := func(when string) {
		t.Helper()
		var list struct {
			Tables []struct {
				Table    string
				Accepted int
			}
		}
		if err := json.Unmarshal(d.Get(t, "/v1/tables"), &list); err != nil || len(list.Tables) != len(names) {
			t.Errorf("%s: %d tables, %v, want %d", when, len(list.Tables), err, len(names))
		}
		for i, table := range names {
			rows := 0
			for j, dataset := range names {
				want := ""
				if i == j || i <= 2 || j <= 2 {
					want = fmt.Sprintf(`{"timestamp":%d,"table":%d,"dataset":%d}`+"\n", 86_400_000*i+j, i, j)
					rows++
				}
				got := d.Get(t, harness.ReadPath(table, dataset, "format", "ndjson"))
				if (len(got) > 0 || want != "") && harness.EqualJSON(got, []byte(want)) != "" {
					t.Errorf("%s: %q/%q gives %s, want %s", when, table, dataset, got, want)
				}
			}
			var one struct {
				Table    string
				Accepted int
			}
			if err := json.Unmarshal(d.Get(t, "/v1/tables/"+pathEscape(table)), &one); err != nil || one.Table != table || one.Accepted != rows {
				t.Errorf("%s: table %q is %+v, %v, want %d records", when, table, one, err, rows)
			}
			var schema struct{ Table string }
			if err := json.Unmarshal(d.Get(t, "/v1/tables/"+pathEscape(table)+"/schema"), &schema); err != nil || schema.Table != table {
				t.Errorf("%s: schema of %q is that of %q, %v", when, table, schema.Table, err)
			}
		}
	}
	check("hot")
	d.Post(t, "/v1/archive", "", nil, 200)
	check("cold")
	d.Restart(t)
	check("cold, after a restart")

	var list struct {
		Files []struct{ Path, Table string }
	}
	if err := json.Unmarshal(d.Get(t, "/v1/files"), &list); err != nil {
		t.Fatal(err)
	}
	tables := make(map[string]bool)
	paths := make(map[string]bool)
	for _, f := range list.Files {
		tables[f.Table] = true
		if paths[f.Path] || strings.HasPrefix(f.Path, "_firn/") || strings.HasPrefix(f.Path, "/") {
			t.Errorf("file %q", f.Path)
		}
		paths[f.Path] = true
		segments := strings.Split(f.Path, "/")
		if len(segments) != 3 {
			t.Errorf("file %q of table %q has %d segments", f.Path, f.Table, len(segments))
		}
		for i, s := range segments {
			if s == "" || s == "." || s == ".." {
				t.Errorf("file %q of table %q leads elsewhere", f.Path, f.Table)
			}
			segments[i] = pathEscape(s)
		}
		content := d.Get(t, "/v1/files/"+strings.Join(segments, "/"))
		if !bytes.HasPrefix(content, []byte("Obj\x01")) {
			t.Errorf("file %q begins with %q", f.Path, content[:min(4, len(content))])
		}
	}
	if len(tables) != len(names) {
		t.Errorf("files of %d tables, want %d", len(tables), len(names))
	}
}

// pathEscape makes one segment of a path of a name, dots included, so that no client takes them for
// navigation.
func pathEscape(name string) string {
	return strings.ReplaceAll(url.PathEscape(name), ".", "%2E")
}
