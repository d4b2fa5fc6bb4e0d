package bench

import (
	"context"
	"fmt"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/firndb/firn/engine"
	"github.com/firndb/firn/server"
)

// request is an ingest request that can be answered again and again without a socket.
type request struct {
	handle fasthttp.RequestHandler
	ctx    fasthttp.RequestCtx
	body   []byte
}

func newRequest(tb testing.TB, records int) *request {
	tb.Helper()
	db, err := engine.Open(context.Background(), tb.TempDir(), engine.Options{
		Archive: engine.ArchiveOptions{Schedule: "off"},
		Hot:     engine.HotOptions{MemoryBytes: 1 << 30}, // applying is not part of a request
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	s, err := server.New(db, server.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	r := &request{handle: s.Handler()}
	var dataset string
	r.body, dataset = appendBatch(nil, 0, records)
	var req fasthttp.Request
	req.SetRequestURI("/v1/ingest?table=" + table + "&dataset_id=" + dataset)
	req.Header.SetHost("localhost")
	req.Header.SetMethod("POST")
	req.Header.SetContentType("application/x-ndjson")
	req.Header.SetContentLength(len(r.body))
	req.SetBodyRaw(r.body)
	r.ctx.Init(&req, nil, nil)
	return r
}

func (r *request) send(tb testing.TB) {
	r.ctx.Response.Reset()
	r.handle(&r.ctx)
	if r.ctx.Response.StatusCode() != 200 {
		tb.Fatal(r.ctx.Response.String())
	}
}

// BenchmarkHandler is one request through server and engine to the acknowledgement.
func BenchmarkHandler(b *testing.B) {
	for _, records := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("sync=always/records=%d", records), func(b *testing.B) {
			r := newRequest(b, records)
			b.SetBytes(int64(len(r.body)))
			b.ReportAllocs()
			for b.Loop() {
				r.send(b)
			}
		})
	}
}

// TestAllocations holds the way from the body to the acknowledgement to what is allocated a
// request, not a record: a batch takes its copy, its times and its ends, whatever it holds.
func TestAllocations(t *testing.T) {
	count := func(records int) float64 {
		r := newRequest(t, records)
		return testing.AllocsPerRun(50, func() { r.send(t) })
	}
	few, many := count(500), count(8500)
	t.Logf("%.0f allocations for 500 records, %.0f for 8,500", few, many)
	if many-few > 80 {
		t.Errorf("%.0f allocations for 500 records, but %.0f for 8,500: more than one for a hundred records", few, many)
	}
}
