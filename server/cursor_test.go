package server

import (
	"net/url"
	"strings"
	"testing"

	"github.com/firndb/firn/engine"
)

// TestForeignCursor: a cursor goes on with its own query only, and the refusal can be told from
// others.
func TestForeignCursor(t *testing.T) {
	h, _ := serveEngine(t, engine.Options{})
	h.do("POST", "/v1/ingest?dataset_id=u&table=t", ndjsonType, "{}\n{}\n{}\n").ok(t)
	first, _ := h.fetch(readTarget+"&format=ndjson&limit=1", "")
	cursor := first.Trailer.Get("Firn-Next-Cursor")
	for target, code := range map[string]string{
		readTarget + "&limit=2&cursor=" + url.QueryEscape(cursor):                    "",
		readTarget + "&limit=1&order=desc&cursor=" + url.QueryEscape(cursor):         "bad_cursor",
		readTarget + "&limit=1&from=5&cursor=" + url.QueryEscape(cursor):             "bad_cursor",
		"/v1/read?dataset_id=v&table=t&limit=1&cursor=" + url.QueryEscape(cursor):    "bad_cursor",
		"/v1/explain?dataset_id=v&table=t&limit=1&cursor=" + url.QueryEscape(cursor): "bad_cursor",
		readTarget + "&cursor=junk":                                                  "bad_cursor",
		"/v1/read?dataset_id=v%07&table=t&cursor=" + url.QueryEscape(cursor):         "bad_request",
	} {
		got := h.get(target)
		if code == "" {
			if got.ok(t); !strings.Contains(string(got.body), `"record_count":2,`) {
				t.Errorf("%s: %s", target, got.body)
			}
			continue
		}
		if p := got.problem(t); p.Status != 400 || p.Code != code {
			t.Errorf("%s: %+v", target, p)
		}
	}
}
