package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/firndb/firn/engine"
	"github.com/valyala/fasthttp"
)

// benchRecord has 250 bytes, as a log record may.
var benchRecord = func() string {
	r := `{"timestamp":1700000000123,"level":"info","service":"matchmaking","host":"node-17.eu","trace":"4bf92f3577b34da6a3ce929d0e0e4736","duration_ms":12.5,"ok":true,"message":"`
	return r + strings.Repeat("x", 250-len(r)-2) + `"}`
}()

func benchIngest(b *testing.B, target, contentType, body string) {
	db := &fake{onIngest: func(r engine.Request) (engine.Ack, error) {
		return engine.Ack{Accepted: len(r.Batches[0].Records)}, nil
	}}
	s, err := newServer(db, Options{})
	if err != nil {
		b.Fatal(err)
	}
	handle := s.Handler()
	var ctx fasthttp.RequestCtx
	var req fasthttp.Request
	req.SetRequestURI(target)
	req.Header.SetHost("localhost")
	req.Header.SetMethod("POST")
	req.Header.SetContentType(contentType)
	req.SetBodyString(body)
	ctx.Init(&req, nil, nil)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		handle(&ctx)
		if ctx.Response.StatusCode() != 200 {
			b.Fatal(ctx.Response.String())
		}
	}
}

// BenchmarkIngest is what the server adds to an ingest call.
func BenchmarkIngest(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("format=ndjson/records=%d", n), func(b *testing.B) {
			benchIngest(b, "/v1/ingest?dataset_id=u&table=t", "application/x-ndjson", strings.Repeat(benchRecord+"\n", n))
		})
		b.Run(fmt.Sprintf("format=json/records=%d", n), func(b *testing.B) {
			benchIngest(b, "/v1/ingest", "application/json", `{"dataset_id":"u","table":"t","records":[`+
				strings.Repeat(benchRecord+",", n-1)+benchRecord+"]}")
		})
	}
}

// benchRows gives one record again and again.
type benchRows struct {
	fakeRows
	left int
	json []byte
}

func (r *benchRows) Next() bool {
	r.left--
	return r.left >= 0
}
func (r *benchRows) Record() engine.Record { return engine.Record{JSON: r.json} }
func (r *benchRows) Err() error            { return nil }

// BenchmarkFill is what the server adds to each record of a read.
func BenchmarkFill(b *testing.B) {
	for _, f := range []format{formatJSON, formatNDJSON} {
		b.Run("format="+string(f), func(b *testing.B) {
			buf := make([]byte, 0, 2*chunkBytes)
			b.SetBytes(chunkBytes)
			b.ReportAllocs()
			r := &benchRows{left: 1 << 60, json: []byte(benchRecord)}
			rc := rowsContent{rows: r, http11: true}
			var c content = &jsonContent{rowsContent: rc}
			if f == formatNDJSON {
				c = &ndjsonContent{rowsContent: rc}
			}
			for b.Loop() {
				if _, more, err := c.fill(buf[:0]); !more || err != nil {
					b.Fatal(more, err)
				}
			}
		})
	}
}
