package bench

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

var (
	recordsFlag     = flag.Int("records", 1_000_000, "records that BenchmarkEndToEnd sends")
	codecFlag       = flag.String("codec", "zstandard", "codec of the block files of BenchmarkEndToEnd")
	connectionsFlag = flag.Int("connections", 4, "keep-alive connections of BenchmarkEndToEnd")
	pauseFlag       = flag.Duration("pause", 0, "time that each connection of BenchmarkEndToEnd waits between batches")
	programFlag     = flag.String("program", "", "programs to measure, paths separated by commas, instead of building one")
)

// BenchmarkEndToEnd is the way of records from the socket into block files.
func BenchmarkEndToEnd(b *testing.B) {
	programs := strings.Split(*programFlag, ",")
	if *programFlag == "" {
		programs = []string{build(b)}
	}
	for _, program := range programs {
		b.Run(fmt.Sprintf("program=%s/codec=%s/sync=always/batch=%d", filepath.Base(program), *codecFlag, batchRecords), func(b *testing.B) {
			for range b.N {
				r := run(b, program, config{records: *recordsFlag, codec: *codecFlag, connections: *connectionsFlag, pause: *pauseFlag})
				r.report(b)
			}
		})
	}
	b.Run(fmt.Sprintf("baseline=bbolt/sync=always/transaction=%d", batchRecords), func(b *testing.B) {
		for range b.N {
			baseline(b, *recordsFlag)
		}
	})
}

type config struct {
	records     int
	codec       string
	connections int
	pause       time.Duration
}

// result is what one run showed.
type result struct {
	records   int
	bytes     int64 // of the records as they were sent, without line ends
	ingest    usage
	archive   usage
	total     usage // of the process, start and end included
	staged    bool  // the system tells what a process used so far
	sending   time.Duration
	archiving time.Duration
	acks      []time.Duration // ascending
	hotBytes  int64           // the generation's file
	archived  struct {
		Records int   `json:"records"`
		Files   int   `json:"files"`
		Raw     int64 `json:"raw_bytes"`
		File    int64 `json:"file_bytes"`
	}
}

// run sends the records to a daemon of its own, archives them, and stops it.
func run(tb testing.TB, program string, c config) result {
	tb.Helper()
	ctx := context.Background()
	d := start(tb, program, c.codec)
	client := &fasthttp.HostClient{Addr: d.addr, MaxConns: c.connections, ReadTimeout: time.Minute}
	defer client.CloseIdleConnections()
	before, staged := usageOf(d.cmd.Process.Pid)
	r := result{records: c.records, staged: staged}

	began := time.Now()
	r.acks, r.bytes = send(tb, client, c)
	r.sending = time.Since(began)
	hot, _ := d.settle(ctx)
	r.ingest = hot.since(before)
	r.hotBytes = d.fileBytes("hot", ".bolt")

	began = time.Now()
	answer := post(tb, client, "/v1/archive", "", nil)
	r.archiving = time.Since(began)
	if err := json.Unmarshal(answer, &r.archived); err != nil {
		tb.Fatalf("%v in %q", err, answer)
	}
	if r.archived.Records != c.records {
		tb.Fatalf("%d of %d records were archived: %s", r.archived.Records, c.records, answer)
	}
	if cold, ok := usageOf(d.cmd.Process.Pid); ok {
		r.archive = cold.since(hot)
	}
	r.total = d.stop()
	return r
}

// send ingests all batches and gives how long each took to be acknowledged, ascending.
func send(tb testing.TB, client *fasthttp.HostClient, c config) (acks []time.Duration, bytes int64) {
	tb.Helper()
	batches := (c.records + batchRecords - 1) / batchRecords
	acks = make([]time.Duration, batches)
	var next, sent atomic.Int64
	var wg sync.WaitGroup
	for range c.connections {
		wg.Go(func() {
			var body []byte
			for !tb.Failed() {
				n := int(next.Add(1)) - 1
				if n >= batches {
					return
				}
				records := min(batchRecords, c.records-n*batchRecords)
				var dataset string
				body, dataset = appendBatch(body[:0], n, records)
				began := time.Now()
				answer := post(tb, client, "/v1/ingest?table="+table+"&dataset_id="+dataset, "application/x-ndjson", body)
				acks[n] = time.Since(began)
				if want := fmt.Sprintf("{\"accepted\":%d,\"duplicate\":false}\n", records); string(answer) != want {
					tb.Errorf("batch %d: %q", n, answer)
				}
				sent.Add(int64(len(body) - records))
				time.Sleep(c.pause)
			}
		})
	}
	wg.Wait()
	if tb.Failed() {
		tb.FailNow()
	}
	slices.Sort(acks)
	return acks, sent.Load()
}

// post gives the body of an answer with status 200, nil after any other, which is an error.
func post(tb testing.TB, client *fasthttp.HostClient, target, contentType string, body []byte) []byte {
	req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(res)
	req.SetRequestURI("http://" + client.Addr + target)
	req.Header.SetMethod("POST")
	if contentType != "" {
		req.Header.SetContentType(contentType)
	}
	req.SetBodyRaw(body)
	if err := client.Do(req, res); err != nil {
		tb.Errorf("POST %s: %v", target, err)
		return nil
	}
	if res.StatusCode() != 200 {
		tb.Errorf("POST %s: %d %s", target, res.StatusCode(), res.Body())
		return nil
	}
	return slices.Clone(res.Body())
}

// at gives the latency that a share of the batches did not pass.
func (r *result) at(share float64) time.Duration {
	return r.acks[min(int(share*float64(len(r.acks))), len(r.acks)-1)]
}

// perMillion gives seconds per million records.
func (r *result) perMillion(d time.Duration) float64 {
	return d.Seconds() * 1e6 / float64(r.records)
}

func (r *result) report(b *testing.B) {
	milli := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	share := func(n int64) float64 { return float64(n) / float64(r.bytes) }
	b.ReportMetric(0, "ns/op") // waiting for rest is in it
	b.ReportMetric(float64(r.bytes)/float64(r.records), "B/record")
	b.ReportMetric(r.perMillion(r.total.cpu()), "cpu-s/Mrec")
	b.ReportMetric(milli(r.at(0.5)), "ack-p50-ms")
	b.ReportMetric(milli(r.at(0.99)), "ack-p99-ms")
	b.ReportMetric(milli(r.at(0.999)), "ack-p99.9-ms")
	b.ReportMetric(share(r.archived.File), "block-B/B")
	b.ReportMetric(share(r.hotBytes), "hot-B/B")
	b.Logf("%d records of %.0f bytes in %v (%.0f a second), archived in %v into %d files",
		r.records, float64(r.bytes)/float64(r.records), r.sending.Round(time.Millisecond),
		float64(r.records)/r.sending.Seconds(), r.archiving.Round(time.Millisecond), r.archived.Files)
	if !r.staged {
		return
	}
	b.ReportMetric(r.perMillion(r.ingest.cpu()), "ingest-cpu-s/Mrec")
	b.ReportMetric(r.perMillion(r.archive.cpu()), "archive-cpu-s/Mrec")
	b.ReportMetric(share(r.ingest.written), "ingest-written-B/B")
	b.ReportMetric(share(r.archive.written), "archive-written-B/B")
	b.ReportMetric(float64(r.archive.peak)/(1<<20), "peak-MiB")
	for _, s := range []struct {
		name string
		u    usage
	}{{"ingest", r.ingest}, {"archive", r.archive}, {"process", r.total}} {
		b.Logf("%-8s user %.2f s, sys %.2f s, together %.2f s per million records",
			s.name, r.perMillion(s.u.user), r.perMillion(s.u.sys), r.perMillion(s.u.cpu()))
	}
}

// TestEndToEnd sees that what is measured happens: a small run gets every record acknowledged and
// archived, and its figures are there.
func TestEndToEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the daemon")
	}
	r := run(t, build(t), config{records: 2500, codec: "zstandard", connections: 2})
	switch {
	case len(r.acks) != 3 || r.acks[0] <= 0:
		t.Errorf("acknowledgements took %v", r.acks)
	case r.archived.Raw != r.bytes || r.archived.File <= 0 || r.archived.File >= r.bytes:
		t.Errorf("%d bytes sent, %+v", r.bytes, r.archived)
	case r.total.cpu() <= 0:
		t.Errorf("the daemon used %v", r.total)
	case r.staged && (r.ingest.written < r.bytes || r.archive.written < r.archived.File || r.archive.peak < 1<<20):
		t.Errorf("ingest %+v, archive %+v", r.ingest, r.archive)
	}
}
