package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/firndb/firn/blockfile/jsonscan"
	"github.com/firndb/firn/engine"
)

const readTarget = "/v1/read?dataset_id=u&table_name=t"

func giving(r fakeRows) func(engine.Query) (*fakeRows, error) {
	return func(engine.Query) (*fakeRows, error) { c := r; return &c, nil }
}

// TestReadJSON checks the object of a short and of a streamed answer, byte by byte.
func TestReadJSON(t *testing.T) {
	db := &fake{}
	h := start(t, db, Options{})
	db.onQuery = giving(fakeRows{})
	got := h.get("/v1/read?dataset_id=%C3%BC%22&table=t%5C").ok(t)
	if want := `{"dataset_id":"ü\"","table_name":"t\\","records":[],"record_count":0,"hot_count":0,"cold_count":0,"next_cursor":null}` + "\n"; string(got.body) != want {
		t.Errorf("no records: %s", got.body)
	}
	for _, n := range []int{1, 3, 5000, 200_000} {
		db.onQuery = giving(fakeRows{n: n, hot: 1, cursor: "c\"1"})
		got := h.get(readTarget).ok(t)
		var b strings.Builder
		b.WriteString(`{"dataset_id":"u","table_name":"t","records":[`)
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"i":%d}`, i)
		}
		fmt.Fprintf(&b, `],"record_count":%d,"hot_count":1,"cold_count":%d,"next_cursor":"c\"1"}`+"\n", n, n-1)
		if string(got.body) != b.String() {
			t.Errorf("%d records: %d bytes, want %d, end %q", n, len(got.body), b.Len(), got.body[max(0, len(got.body)-100):])
		}
		if got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Vary") != "Accept" || got.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("headers %v", got.Header)
		}
		if got.Header.Get("Firn-Store-Requests") != "3" || got.Header.Get("Firn-Store-Bytes") != "4096" {
			t.Errorf("the plan in headers: %v", got.Header)
		}
		if got.Trailer.Get("Firn-Store-Requests") != "2" || got.Trailer.Get("Firn-Store-Bytes") != "2048" {
			t.Errorf("what was spent in trailers: %v", got.Trailer)
		}
	}
}

func TestReadNDJSON(t *testing.T) {
	db := &fake{}
	h := start(t, db, Options{})
	for _, n := range []int{0, 1, 2, 30_000} {
		db.onQuery = giving(fakeRows{n: n, cursor: "next"})
		got := h.get(readTarget + "&format=ndjson&limit=10").ok(t)
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "{\"i\":%d}\n", i)
		}
		if string(got.body) != b.String() {
			t.Errorf("%d records: %d bytes, want %d", n, len(got.body), b.Len())
		}
		if got.Trailer.Get("Firn-Next-Cursor") != "next" || got.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%d records: trailers %v, headers %v", n, got.Trailer, got.Header)
		}
	}
	// A record keeps the line breaks it was sent with; a line cannot.
	db.onQuery = giving(fakeRows{n: 2, make: func(int) string { return "{\"a\":\r\n[1,\n2],\"b\":\"\\n\"}" }})
	got := h.get(readTarget + "&format=ndjson").ok(t)
	if want := "{\"a\":  [1, 2],\"b\":\"\\n\"}\n"; string(got.body) != want+want {
		t.Errorf("got %q", got.body)
	}
	if _, ok := got.Trailer["Firn-Next-Cursor"]; ok {
		t.Error("a cursor is announced for a read without limit")
	}
}

func TestReadOCF(t *testing.T) {
	db := &fake{}
	h := start(t, db, Options{})
	for _, n := range []int{0, 1, 1000, chunkBytes, chunkBytes + 1, 3_000_000} {
		text := strings.Repeat("avro", n/4+1)[:n]
		db.onQuery = giving(fakeRows{cursor: "next", ocf: func(_ context.Context, w io.Writer) error {
			for i := 0; i < len(text); i += 100_000 {
				if k, err := io.WriteString(w, text[i:min(i+100_000, len(text))]); err != nil || k != min(100_000, len(text)-i) {
					return fmt.Errorf("wrote %d: %w", k, err)
				}
			}
			return nil
		}})
		got := h.get(readTarget + "&format=ocf&limit=3").ok(t)
		if string(got.body) != text {
			t.Errorf("%d bytes came as %d", n, len(got.body))
		}
		if got.Header.Get("Content-Type") != "application/avro" || got.Trailer.Get("Firn-Next-Cursor") != "next" {
			t.Errorf("headers %v, trailers %v", got.Header, got.Trailer)
		}
	}
	db.onQuery = giving(fakeRows{ocf: func(context.Context, io.Writer) error { return fmt.Errorf("%w: no route", engine.ErrStoreAway) }})
	if p := h.get(readTarget + "&format=ocf").problem(t); p.Code != "store_away" {
		t.Errorf("early failure: %+v", p)
	}
	db.onQuery = giving(fakeRows{ocf: func(context.Context, io.Writer) error { panic("at the disco") }})
	if p := h.get(readTarget + "&format=ocf").problem(t); p.Code != "internal" {
		t.Errorf("panic: %+v", p)
	}
	closed := make(chan struct{})
	db.onQuery = giving(fakeRows{closed: closed, ocf: func(_ context.Context, w io.Writer) error {
		_, _ = w.Write(make([]byte, 1<<20))
		return errors.New("lost the disk")
	}})
	if got := h.get(readTarget + "&format=ocf"); got.StatusCode != 200 || !errors.Is(got.err, io.ErrUnexpectedEOF) {
		t.Errorf("late failure: status %d, %v", got.StatusCode, got.err)
	}
	<-closed
}

// TestReadFailures: an early failure is a problem answer; a late one breaks the connection, and
// never looks like an end.
func TestReadFailures(t *testing.T) {
	db := &fake{}
	h := start(t, db, Options{})
	away := fmt.Errorf("%w: timeout", engine.ErrStoreAway)
	for _, format := range []string{"json", "ndjson"} {
		for _, n := range []int{0, 10, 50_000} {
			closed := make(chan struct{})
			db.onQuery = giving(fakeRows{n: n, err: away, closed: closed})
			got := h.get(readTarget + "&format=" + format)
			<-closed
			if n < 1000 {
				if p := got.problem(t); p.Code != "store_away" || p.Status != 503 {
					t.Errorf("%s, %d records: %+v", format, n, p)
				}
				if got.Trailer != nil || got.Header.Get("Firn-Store-Requests") != "" || got.Header.Get("ETag") != "" {
					t.Errorf("%s: the problem answer kept headers of the read: %v", format, got.Header)
				}
				continue
			}
			if got.StatusCode != 200 || !errors.Is(got.err, io.ErrUnexpectedEOF) {
				t.Errorf("%s, %d records: status %d, %v, end %q", format, n, got.StatusCode, got.err, got.body[len(got.body)-20:])
			}
		}
		closed := make(chan struct{})
		db.onQuery = giving(fakeRows{n: 100_000, closed: closed, onNext: func(i int) {
			if i == 60_000 {
				panic("in the middle")
			}
		}})
		if got := h.get(readTarget + "&format=" + format); !errors.Is(got.err, io.ErrUnexpectedEOF) {
			t.Errorf("%s, panic: %v", format, got.err)
		}
		<-closed
		db.onQuery = giving(fakeRows{n: 10, onNext: func(int) { panic("at once") }})
		if p := h.get(readTarget + "&format=" + format).problem(t); p.Code != "internal" {
			t.Errorf("%s, early panic: %+v", format, p)
		}
	}
}

func TestReadQuery(t *testing.T) {
	db := &fake{}
	h := start(t, db, Options{})
	ask := func(query string) engine.Query {
		t.Helper()
		h.get("/v1/read?" + query).ok(t)
		return db.queries[len(db.queries)-1]
	}
	base := engine.Query{Dataset: "u", Table: "t"}
	with := func(f func(*engine.Query)) engine.Query { q := base; f(&q); return q }
	for query, want := range map[string]engine.Query{
		"dataset_id=u&table_name=t":                             base,
		"table=t&dataset_id=u":                                  base,
		"dataset_id=u&table=t&from=5":                           with(func(q *engine.Query) { q.From, q.To, q.Bounded = 5, jsonscan.MaxTime, true }),
		"dataset_id=u&table=t&to=-5":                            with(func(q *engine.Query) { q.From, q.To, q.Bounded = jsonscan.MinTime, -5, true }),
		"dataset_id=u&table=t&from=0&to=0":                      with(func(q *engine.Query) { q.Bounded = true }),
		"dataset_id=u&table=t&to=1970-01-01T00:00:01.5%2B00:00": with(func(q *engine.Query) { q.From, q.To, q.Bounded = jsonscan.MinTime, 1500, true }),
		"dataset_id=u&table=t&limit=7&order=desc&partial=allow": with(func(q *engine.Query) { q.Limit, q.Descending, q.AllowPartial = 7, true, true }),
		"dataset_id=u&table=t&cursor=a%2Fb&order=asc":           with(func(q *engine.Query) { q.Cursor = "a/b" }),
	} {
		if got := ask(query); got != want {
			t.Errorf("%s: %+v, want %+v", query, got, want)
		}
	}
}

func TestReadFormatByAccept(t *testing.T) {
	for accept, want := range map[string]format{
		"":    formatJSON,
		"*/*": formatJSON,
		"text/html,application/xhtml+xml,*/*;q=0.8":          formatJSON,
		"application/x-ndjson":                               formatNDJSON,
		"Application/X-NDJSON; q=0.5":                        formatNDJSON,
		"application/json;q=0.4, application/x-ndjson;q=0.9": formatNDJSON,
		"application/avro":                                   formatOCF,
		"avro/binary":                                        formatOCF,
		"application/avro;q=0, */*":                          formatJSON,
		"application/avro;q=2":                               formatJSON,
		"image/png":                                          formatJSON,
	} {
		if got := accepted([][]byte{[]byte(accept)}); got != want {
			t.Errorf("Accept %q: %s, want %s", accept, got, want)
		}
	}
	db := &fake{onQuery: giving(fakeRows{n: 1})}
	h := start(t, db, Options{})
	if got := h.do("GET", readTarget, "Accept: application/x-ndjson", "").ok(t); string(got.body) != "{\"i\":0}\n" {
		t.Errorf("by Accept: %q", got.body)
	}
	if got := h.do("GET", readTarget+"&format=json", "Accept: application/x-ndjson", "").ok(t); got.body[len(got.body)-2] != '}' {
		t.Errorf("format= has to win: %q", got.body)
	}
}

func TestReadETag(t *testing.T) {
	db := &fake{}
	h := start(t, db, Options{})
	touched := 0
	rows := fakeRows{n: 1, etag: `"v1"`, onNext: func(int) { touched++ }}
	db.onQuery = giving(rows)
	got := h.get(readTarget).ok(t)
	etag := got.Header.Get("ETag")
	if etag != `"v1-json"` {
		t.Fatalf("ETag %q", etag)
	}
	touched = 0
	for match, status := range map[string]int{
		etag: 304, "W/" + etag: 304, `"x", ` + etag: 304, "*": 304, `"v1-ndjson"`: 200, `"v1"`: 200, "v1-json": 200,
	} {
		closed := make(chan struct{})
		rows.closed = closed
		db.onQuery = giving(rows)
		before := touched
		got := h.do("GET", readTarget, "If-None-Match: "+match, "")
		<-closed
		if got.StatusCode != status || status == 304 && (len(got.body) > 0 || got.Header.Get("ETag") != etag) {
			t.Errorf("If-None-Match %s: status %d, %q, headers %v", match, got.StatusCode, got.body, got.Header)
		}
		if status == 304 && touched != before {
			t.Errorf("If-None-Match %s: records were read", match)
		}
	}
	rows.closed = nil
	db.onQuery = giving(rows)
	if got := h.do("GET", readTarget+"&partial=allow", "If-None-Match: *", "").ok(t); got.Header.Get("ETag") != "" {
		t.Error("a partial read has an ETag")
	}
}

func TestReadMissing(t *testing.T) {
	db := &fake{}
	h := start(t, db, Options{})
	missing := []engine.Missing{{From: 1, To: 2, Records: 3, Reason: "läuft\nnicht 𝄞"}}
	db.onQuery = giving(fakeRows{n: 1, missing: missing})
	got := h.get(readTarget + "&partial=allow").ok(t)
	var body struct{ Missing []engine.Missing }
	if err := json.Unmarshal(got.body, &body); err != nil || len(body.Missing) != 1 || body.Missing[0] != missing[0] {
		t.Errorf("body %s: %v", got.body, err)
	}
	check := func(n int, want ...engine.Missing) []engine.Missing {
		t.Helper()
		got := h.get(readTarget + "&partial=allow&format=ndjson").ok(t)
		text := got.Trailer.Get("Firn-Missing")
		var list []engine.Missing
		if err := json.Unmarshal([]byte(text), &list); err != nil || n >= 0 && len(list) != n {
			t.Fatalf("trailer %q: %v", text, err)
		}
		for i, w := range want {
			if list[len(list)-len(want)+i] != w {
				t.Errorf("trailer %q", text)
			}
		}
		for _, c := range []byte(text) {
			if c < ' ' || c > '~' {
				t.Fatalf("trailer %q has byte %#x", text, c)
			}
		}
		return list
	}
	check(1, missing[0])
	db.onQuery = giving(fakeRows{n: 1})
	check(0)
	var many []engine.Missing
	for i := range int64(1000) {
		many = append(many, engine.Missing{From: i * 10, To: i*10 + 9, Records: 2, Reason: "r"})
	}
	db.onQuery = giving(fakeRows{n: 1, missing: many})
	check(maxMissing, engine.Missing{From: 310, To: 9999, Records: 2 * 969, Reason: "969 ranges within"})
	for i := range many {
		many[i].Reason = strings.Repeat("ü", 5000)
	}
	many[999].Records = 0
	many[999].From = -7
	list := check(-1)
	last := list[len(list)-1]
	if want := (engine.Missing{From: -7, To: 9999, Reason: fmt.Sprint(1000-len(list)+1, " ranges within")}); len(list) < 2 || last != want {
		t.Errorf("%d ranges, the last %+v, want %+v", len(list), last, want)
	}
	if len(many[0].Reason) != 10000 {
		t.Error("the engine's list was changed")
	}
}

// TestReadHTTP10: such a client cannot be sent chunks.
func TestReadHTTP10(t *testing.T) {
	db := &fake{}
	h := start(t, db, Options{})
	db.onQuery = giving(fakeRows{n: 100_000, cursor: "next"})
	for _, host := range []string{"Host: localhost\r\n", ""} {
		got := h.raw("GET", "GET "+readTarget+"&format=ndjson&limit=1 HTTP/1.0\r\n"+host+"\r\n").ok(t)
		if got.ContentLength != int64(len(got.body)) || len(got.TransferEncoding) > 0 || !strings.HasSuffix(string(got.body), "{\"i\":99999}\n") {
			t.Errorf("length %d, %d bytes, %v", got.ContentLength, len(got.body), got.TransferEncoding)
		}
		if got.Header.Get("Firn-Next-Cursor") != "next" || got.Header.Get("Trailer") != "" {
			t.Errorf("headers %v", got.Header)
		}
	}
	closed := make(chan struct{})
	db.onQuery = giving(fakeRows{n: 1 << 30, closed: closed})
	if p := h.raw("GET", "GET "+readTarget+" HTTP/1.0\r\nHost: localhost\r\n\r\n").problem(t); p.Status != 505 || p.Code != "http_version" {
		t.Errorf("%+v", p)
	}
	<-closed
}

func TestReadHead(t *testing.T) {
	db := &fake{}
	h := start(t, db, Options{})
	for _, format := range []string{"json", "ndjson", "ocf"} {
		closed := make(chan struct{})
		db.onQuery = giving(fakeRows{n: 1, etag: `"v"`, closed: closed, onNext: func(int) { t.Error("HEAD reads records") }})
		got := h.do("HEAD", readTarget+"&format="+format, "", "")
		if got.StatusCode != 200 || len(got.body) > 0 || got.Header.Get("ETag") != `"v-`+format+`"` || got.Header.Get("Firn-Store-Bytes") != "4096" {
			t.Errorf("status %d, %q, headers %v", got.StatusCode, got.body, got.Header)
		}
		<-closed
	}
}

// TestReadGoneClient: a client that goes away in the middle ends the read, which until then has
// not run far ahead of what was taken.
func TestReadGoneClient(t *testing.T) {
	db := &fake{}
	h := start(t, db, Options{})
	record := `{"text":"` + strings.Repeat("x", 1000) + `"}`
	for _, format := range []string{"json", "ndjson", "ocf"} {
		closed := make(chan struct{})
		given := 0
		db.onQuery = giving(fakeRows{n: 1 << 40, closed: closed, make: func(int) string { given++; return record },
			ocf: func(ctx context.Context, w io.Writer) error {
				for {
					given++
					if _, err := io.WriteString(w, record); err != nil {
						return err
					}
				}
			}})
		resp, err := http.Get("http://" + h.addr + readTarget + "&format=" + format)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		<-closed
		// The buffers of both sockets hold a few MB; nothing like what a loop makes unhindered.
		if given > 200_000 {
			t.Errorf("%s: %d records of 1 kB made for a client that took 1 MB", format, given)
		}
	}
}

func TestExplain(t *testing.T) {
	db := &fake{onExplain: func(q engine.Query) (engine.Plan, error) {
		return engine.Plan{Dataset: q.Dataset, Table: q.Table, ETag: `"e"`, From: q.From, To: q.To}, nil
	}}
	h := start(t, db, Options{})
	got := h.get("/v1/explain?dataset_id=u&table_name=t&from=1&to=2&format=ocf").ok(t)
	var plan map[string]any
	if err := json.Unmarshal(got.body, &plan); err != nil {
		t.Fatal(err)
	}
	if plan["dataset_id"] != "u" || plan["from"] != 1.0 || plan["to"] != 2.0 || fmt.Sprint(plan["blocks"], plan["ranges"], plan["chunks"]) != "[] [] []" {
		t.Errorf("plan %s", got.body)
	}
}
