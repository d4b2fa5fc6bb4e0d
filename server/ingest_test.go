package server

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/firndb/firn/blockfile/container"
	"github.com/firndb/firn/engine"
	"github.com/klauspost/compress/zstd"
)

// describe writes a request as text, a line a batch, for comparison.
func describe(r engine.Request) string {
	var b strings.Builder
	for _, batch := range r.Batches {
		fmt.Fprintf(&b, "%s/%s/%s/%s/%s:%s\n", batch.Dataset, batch.DatasetField, batch.Table, batch.TableField,
			batch.TimeField, bytes.Join(batch.Records, []byte("|")))
	}
	return b.String()
}

// avroFile is a container with one block of records {a: long, b: string}.
func avroFile(codecName, top string, blocks ...string) string {
	sync := [16]byte{1, 2, 3}
	out := container.AppendHeader(nil, []container.Meta{
		{Key: "avro.schema", Value: []byte(top)}, {Key: "avro.codec", Value: []byte(codecName)},
	}, sync)
	for _, b := range blocks {
		out = container.AppendBlock(out, 2, []byte(b), sync)
	}
	return string(out)
}

const avroRecord = `{"type":"record","name":"r","fields":[{"name":"a","type":"long"},{"name":"b","type":"string"}]}`

func TestIngest(t *testing.T) {
	db := &fake{}
	h := start(t, db, Options{})
	rows := []struct {
		name, target, headers, body string
		accepted                    int
		want                        string
	}{
		{"envelope", "", jsonType, `{"dataset_id":"u","table":"t","records":[{"a":1},{"b":[{"c":"}]"}]}]}`, 2, "u//t//:{\"a\":1}|{\"b\":[{\"c\":\"}]\"}]}\n"},
		{"other names, any order, spaces", "", jsonType + "; charset=UTF-8", " {\n\"records\" : [ {\"a\": 1 } , { } ] , \"time_field\":\"at\",\"table_name\" : \"t\", \"dataset_id\":\"ü\\u00fc\"}\r\n", 2, ""},
		{"escaped member name", "", jsonType, `{"dataset\u005fid":"a\"b","table":"t\/u","records":[{}]}`, 1, "a\"b//t/u//:{}\n"},
		{"no records", "", jsonType, `{"dataset_id":"u","table":"t","records":[ ]}`, 0, "u//t//:\n"},
		{"array", "", jsonType, `[{"dataset_id":"u","table":"t","records":[{"a":1}]}, {"dataset_id":"v","table":"s","time_field":"at","records":[{"a":2},{"a":3}]},{"dataset_id":"w","table":"s","records":[]}]`, 3,
			"u//t//:{\"a\":1}\nv//s//at:{\"a\":2}|{\"a\":3}\nw//s//:\n"},
		{"empty array", "", jsonType, ` [ ] `, 0, ""},
		{"lines", "?dataset_id=u&table=t", ndjsonType, "{\"a\":1}\n{\"a\":2}\n", 2, "u//t//:{\"a\":1}|{\"a\":2}\n"},
		{"lines without the last LF, CRLF, empty lines", "?dataset_id=u&table_name=t", ndjsonType, "\n\r\n{\"a\":1}\r\n\n{\"a\":2}", 2, "u//t//:{\"a\":1}|{\"a\":2}\n"},
		{"no lines", "?dataset_id=u&table=t", ndjsonType, "", 0, "u//t//:\n"},
		{"empty lines alone", "?dataset_id=u&table=t", ndjsonType, "\n\r\n\n", 0, "u//t//:\n"},
		{"fields", "?dataset_field=user&table_field=kind&time_field=at", ndjsonType, "{}", 1, "/user//kind/at:{}\n"},
		{"encoded names", "?dataset_id=a%2Fb+c%26&table=%2e%2e", ndjsonType, "{}", 1, "a/b c&//..//:{}\n"},
		{"avro", "?dataset_id=u&table=t", avroType, avroFile("null", avroRecord, "\x02\x02x\x04\x02y", "\x06\x00\x08\x00"), 4,
			`u//t//:{"a":1,"b":"x"}|{"a":2,"b":"y"}|{"a":3,"b":""}|{"a":4,"b":""}` + "\n"},
		{"avro without records", "?dataset_id=u&table=t", avroType, avroFile("null", avroRecord), 0, "u//t//:\n"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got := h.do("POST", "/v1/ingest"+r.target, r.headers, r.body).ok(t)
			if want := fmt.Sprintf("{\"accepted\":%d,\"duplicate\":false}\n", r.accepted); string(got.body) != want {
				t.Errorf("answer %q, want %q", got.body, want)
			}
			if ct := got.Header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("Content-Type %q", ct)
			}
			req := db.last(t)
			if r.want != "" && describe(req) != r.want {
				t.Errorf("engine got %q, want %q", describe(req), r.want)
			}
			if req.IdempotencyKey != "" || req.Hash != [32]byte{} {
				t.Errorf("a key out of nowhere: %q %x", req.IdempotencyKey, req.Hash)
			}
		})
	}
	h.do("POST", "/v1/ingest", jsonType, rows[1].body).ok(t)
	if b := db.last(t).Batches[0]; b.Dataset != "üü" || b.TimeField != "at" || string(b.Records[0]) != `{"a": 1 }` {
		t.Errorf("engine got %q", describe(db.last(t)))
	}
}

func TestAvroRefusals(t *testing.T) {
	h := start(t, &fake{}, Options{MaxBodyBytes: 4 << 10, MaxRecordBytes: 1 << 10})
	names := strings.Repeat("long_name_", 30)
	wide := `{"type":"record","name":"r","fields":[{"name":"` + names + `","type":"null"},{"name":"b","type":"string"}]}`
	floats := `{"type":"record","name":"r","fields":[{"name":"a","type":"float"}]}`
	for _, r := range []struct {
		name, body     string
		status         int
		detail, nature string
	}{
		{"top type", avroFile("null", `"long"`), 400, "record", "invalid_body"},
		{"schema", avroFile("null", `{`), 400, "schema", "invalid_body"},
		{"codec", avroFile("lzo", avroRecord), 415, "lzo", "unsupported_media_type"},
		{"cut off", avroFile("null", avroRecord, "\x02\x02x\x04\x02y")[:165], 400, "", "invalid_body"},
		{"NaN", avroFile("null", floats, "\x00\x00\x00\x00\x00\x00\xc0\x7f"), 400, "records[1]", "invalid_record"},
		{"record too large", avroFile("null", avroRecord, "\x02\x02x\x04\x98\x11"+strings.Repeat("y", 1100)), 413, "records[1]", "too_large"},
		{"JSON too large", avroFile("null", wide, strings.Repeat("\x00\x00", 1), strings.Repeat("\x00\x00", 1),
			"\x00\x00", "\x00\x00", "\x00\x00", "\x00\x00", "\x00\x00", "\x00\x00"), 413, "as JSON", "too_large"},
	} {
		t.Run(r.name, func(t *testing.T) {
			got := h.do("POST", "/v1/ingest?dataset_id=u&table=t", avroType, r.body)
			if p := got.problem(t); p.Status != r.status || p.Code != r.nature || !strings.Contains(p.Detail, r.detail) {
				t.Errorf("got %+v, want %d %s …%s…", p, r.status, r.nature, r.detail)
			}
		})
	}
}

func TestContentEncodings(t *testing.T) {
	db := &fake{}
	h := start(t, db, Options{MaxBodyBytes: 1 << 20})
	text := "{\"a\":1}\n" + strings.Repeat("{\"b\":\"some text that repeats\"}\n", 2000)
	pack := func(w io.WriteCloser, b *bytes.Buffer) string {
		_, _ = io.WriteString(w, text)
		_ = w.Close()
		return b.String()
	}
	var zl, fl, zs bytes.Buffer
	flw, _ := flate.NewWriter(&fl, 6)
	zsw, err := zstd.NewWriter(&zs)
	if err != nil {
		t.Fatal(err)
	}
	zsWide, err := zstd.NewWriter(nil, zstd.WithWindowSize(64<<20), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string]string{
		"gzip":     gzipped(text),
		"GZIP":     gzipped(text[:100]) + gzipped(text[100:]), // members follow each other
		"deflate":  pack(zlib.NewWriter(&zl), &zl),
		"Deflate":  pack(flw, &fl), // without zlib's frame
		"zstd":     pack(zsw, &zs),
		"identity": text,
		"":         text,
	}
	for range 2 { // the second time with decoders that were used before
		for name, body := range bodies {
			h.do("POST", "/v1/ingest?dataset_id=u&table=t", ndjsonType+"\nContent-Encoding: "+name, body).ok(t)
			if got := string(bytes.Join(db.last(t).Batches[0].Records, []byte("\n"))) + "\n"; got != text {
				t.Errorf("%q: engine got %d bytes, want %d", name, len(got), len(text))
			}
		}
	}
	for _, name := range []string{"deflate", "Deflate", "zstd", "gzip"} {
		if got := h.do("POST", "/v1/ingest?dataset_id=u&table=t", ndjsonType+"\nContent-Encoding: "+name, bodies[name]+"{}\n"); got.StatusCode != 400 {
			t.Errorf("%s with something behind it: status %d", name, got.StatusCode)
		}
	}
	bombs := map[string]string{
		"gzip": gzipped(strings.Repeat("\n", 20<<20)),
		"zstd": string(zsWide.EncodeAll(make([]byte, 20<<20), nil)),
	}
	zsSmall, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	got := h.do("POST", "/v1/ingest?dataset_id=u&table=t", ndjsonType+"\nContent-Encoding: zstd", string(zsSmall.EncodeAll(make([]byte, 20<<20), nil)))
	if p := got.problem(t); p.Status != 413 {
		t.Errorf("zstd bomb: %+v", p)
	}
	for name, body := range bombs {
		got := h.do("POST", "/v1/ingest?dataset_id=u&table=t", ndjsonType+"\nContent-Encoding: "+name, body)
		if p := got.problem(t); p.Status != 413 && p.Status != 400 { // a window past the bound is refused as such
			t.Errorf("%s bomb of %d bytes: %+v", name, len(body), p)
		}
	}
	if n := len(db.requests); n != 2*len(bodies) {
		t.Errorf("engine got %d requests", n)
	}
}

func TestIdempotencyKey(t *testing.T) {
	db := &fake{}
	h := start(t, db, Options{})
	hash := func(target, headers, body string) [32]byte {
		t.Helper()
		h.do("POST", "/v1/ingest"+target, headers+"\nIdempotency-Key: k-1", body).ok(t)
		r := db.last(t)
		if r.IdempotencyKey != "k-1" || r.Hash == [32]byte{} {
			t.Fatalf("engine got key %q, hash %x", r.IdempotencyKey, r.Hash)
		}
		return r.Hash
	}
	base := hash("?dataset_id=u&table=t", ndjsonType, "{}\n")
	same := map[string][32]byte{
		"again":             hash("?dataset_id=u&table=t", ndjsonType, "{}\n"),
		"packed":            hash("?dataset_id=u&table=t", ndjsonType+"\nContent-Encoding: gzip", gzipped("{}\n")),
		"other order, name": hash("?table_name=t&dataset_id=u", ndjsonType, "{}\n"),
	}
	for name, got := range same {
		if got != base {
			t.Errorf("%s: another content", name)
		}
	}
	other := map[string][32]byte{
		"body":    hash("?dataset_id=u&table=t", ndjsonType, "{} \n"),
		"dataset": hash("?dataset_id=v&table=t", ndjsonType, "{}\n"),
		"shifted": hash("?dataset_id=ut&table=t", ndjsonType, "{}\n"),
		"field":   hash("?dataset_field=u&table=t", ndjsonType, "{}\n"),
		"field 2": hash("?dataset_field=v&table=t", ndjsonType, "{}\n"),
		"table f": hash("?dataset_id=u&table_field=t", ndjsonType, "{}\n"),
		"table g": hash("?dataset_id=u&table_field=s", ndjsonType, "{}\n"),
		"time":    hash("?dataset_id=u&table=t&time_field=x", ndjsonType, "{}\n"),
		"type":    hash("", jsonType, `{"dataset_id":"u","table":"t","records":[{}]}`),
	}
	seen := map[[32]byte]string{base: "base"}
	for name, got := range other {
		if prev, ok := seen[got]; ok {
			t.Errorf("%s: the same content as %s", name, prev)
		}
		seen[got] = name
	}
	db.onIngest = func(engine.Request) (engine.Ack, error) { return engine.Ack{Accepted: 7, Duplicate: true}, nil }
	got := h.do("POST", "/v1/ingest?dataset_id=u&table=t", ndjsonType+"\nIdempotency-Key: k-1", "{}\n").ok(t)
	if string(got.body) != "{\"accepted\":7,\"duplicate\":true}\n" {
		t.Errorf("duplicate: %s", got.body)
	}
}

// TestEngineErrors checks the answer to every refusal that an engine knows.
func TestEngineErrors(t *testing.T) {
	db := &fake{}
	h := start(t, db, Options{})
	wrap := func(err error) error { return fmt.Errorf("somewhere: %w", err) }
	for _, r := range []struct {
		err    error
		status int
		code   string
		retry  string
	}{
		{engine.ErrClosed, 503, "shutting_down", "1"},
		{engine.ErrReadOnly, 503, "read_only", ""},
		{engine.ErrFull, 507, "disk_full", ""},
		{fmt.Errorf("%w: %w", engine.ErrFull, engine.ErrReadOnly), 507, "disk_full", ""},
		{engine.ErrBackpressure, 503, "backpressure", "1"},
		{engine.ErrOutcomeUnknown, 500, "outcome_unknown", ""},
		{fmt.Errorf("%w: %w", engine.ErrReadOnly, engine.ErrOutcomeUnknown), 500, "outcome_unknown", ""},
		{engine.ErrIdempotencyMismatch, 409, "idempotency_mismatch", ""},
		{engine.ErrTooLarge, 413, "too_large", ""},
		{engine.ErrInvalid, 400, "bad_request", ""},
		{engine.ErrNotFound, 404, "not_found", ""},
		{engine.ErrStoreAway, 503, "store_away", "5"},
		{&engine.CorruptError{File: "t/x.avro", Offset: 17, Reason: "CRC"}, 500, "damaged", ""},
		{&engine.RecordError{Index: 3, Reason: "no", Err: engine.ErrInvalid}, 400, "invalid_record", ""},
		{&engine.RecordError{Index: 3, Reason: "large", Err: engine.ErrTooLarge}, 413, "too_large", ""},
		{errors.New("the secret path /var/lib/x"), 500, "internal", ""},
	} {
		db.onIngest = func(engine.Request) (engine.Ack, error) { return engine.Ack{}, wrap(r.err) }
		got := h.do("POST", "/v1/ingest?dataset_id=u&table=t", ndjsonType, "{}\n{}\n{}\n{}\n")
		p := got.problem(t)
		if p.Status != r.status || p.Code != r.code || got.Header.Get("Retry-After") != r.retry {
			t.Errorf("%v: got %+v, Retry-After %q", r.err, p, got.Header.Get("Retry-After"))
		}
		if strings.Contains(p.Detail, "secret") {
			t.Errorf("the detail tells what is for the log: %q", p.Detail)
		}
	}
	h.stop()
	if !strings.Contains(h.log.String(), "secret") {
		t.Error("an unexpected error is not in the log")
	}
}

// FuzzEnvelopes checks that cutting, together with checking each record, accepts only what a
// strict parser accepts as a whole.
func FuzzEnvelopes(f *testing.F) {
	for _, s := range []string{
		`{"dataset_id":"u","table":"t","records":[{"a":1},{}]}`, `[{"dataset_id":"u","table_name":"t","time_field":"x","records":[]}]`,
		`{"dataset_id":"u","table":"t","records":[{"a":[1}]}]}`, `{"dataset_id":"\u00e9","table":"t","records":[{]}`, "[", `{"records":[{"\"":`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := intakes.Get().(*intake)
		defer in.release()
		err := in.envelopes(b)
		if err != nil {
			var p *problem
			if !errors.As(err, &p) || p.status != 400 {
				t.Fatalf("%q: %v", b, err)
			}
			return
		}
		total := 0
		for _, batch := range in.batches {
			total += len(batch.Records)
			for _, rec := range batch.Records {
				if _, err := in.scan.Record(rec); err != nil {
					return // the engine refuses the request
				}
			}
		}
		if total != len(in.records) {
			t.Fatalf("%q: %d records in batches, %d cut", b, total, len(in.records))
		}
		if err := in.scan.Value(b); err != nil {
			t.Fatalf("%q was accepted: %v", b, err)
		}
	})
}
