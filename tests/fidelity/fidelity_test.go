// Package fidelity takes the data sets of others through the daemon and back: every record, hot and
// cold, equal as a JSON value, in order, of the right dataset.
package fidelity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/firndb/firn/engine"
	"github.com/firndb/firn/tests/harness"
)

// total is how many records the four parts have, by the data sets' own README.
const total = 198_578

type series struct{ table, dataset string }

type record struct {
	time int64
	json []byte
}

// load sends every file over HTTP, in file order, and returns what must come back.
func load(t *testing.T, d *harness.Daemon, root string) map[series][]record {
	want := make(map[series][]record)
	n := 0
	for _, part := range []string{"battle", "battle-rows", "logs", "events"} {
		files, err := filepath.Glob(filepath.Join(root, part, "*.ndjson.gz"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files (%v)", part, err)
		}
		slices.Sort(files)
		for _, file := range files {
			lines := harness.Lines(t, file)
			n += len(lines)
			for len(lines) > 0 {
				var body []byte
				k := 0
				for k < len(lines) && k < 1000 && len(body) < 8<<20 {
					body = append(append(body, lines[k]...), '\n')
					k++
				}
				answer := d.Post(t, "/v1/ingest?dataset_field=dataset_id&table_field=table", "application/x-ndjson", body, 200)
				var ack struct{ Accepted int }
				if err := json.Unmarshal(answer, &ack); err != nil || ack.Accepted != k {
					t.Fatalf("%s: %s, want %d accepted", file, answer, k)
				}
				for _, line := range lines[:k] {
					var own struct {
						Timestamp int64  `json:"timestamp"`
						Dataset   string `json:"dataset_id"`
						Table     string `json:"table"`
					}
					if err := json.Unmarshal(line, &own); err != nil {
						t.Fatalf("%s: %v", file, err)
					}
					// encoding/json ignores case: BGL's Timestamp would win over timestamp.
					own.Timestamp = timestampOf(t, line)
					s := series{own.Table, own.Dataset}
					want[s] = append(want[s], record{own.Timestamp, line})
				}
				lines = lines[k:]
			}
		}
	}
	if n != total {
		t.Fatalf("the data sets have %d records, their README says %d", n, total)
	}
	for s := range want {
		slices.SortStableFunc(want[s], func(a, b record) int {
			switch {
			case a.time < b.time:
				return -1
			case a.time > b.time:
				return 1
			}
			return 0
		})
	}
	return want
}

// timestampOf reads the member every line begins with.
func timestampOf(t *testing.T, line []byte) (ms int64) {
	if _, err := fmt.Sscanf(string(line[:min(len(line), 40)]), `{"timestamp":%d,`, &ms); err != nil {
		t.Fatalf("%.60s: %v", line, err)
	}
	return ms
}

func check(t *testing.T, d *harness.Daemon, want map[series][]record, format string) {
	t.Helper()
	type job struct {
		s    series
		want []record
	}
	jobs := make(chan job)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for j := range jobs {
				compare(t, d, j.s, j.want, format)
			}
		})
	}
	for s, records := range want {
		jobs <- job{s, records}
	}
	close(jobs)
	wg.Wait()
}

func compare(t *testing.T, d *harness.Daemon, s series, want []record, format string) {
	body := d.Get(t, harness.ReadPath(s.table, s.dataset, "format", format))
	var got [][]byte
	if format == "json" {
		var answer struct {
			Dataset string            `json:"dataset_id"`
			Table   string            `json:"table_name"`
			Records []json.RawMessage `json:"records"`
			Count   int               `json:"record_count"`
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Errorf("%v: %v", s, err)
			return
		}
		if answer.Dataset != s.dataset || answer.Table != s.table || answer.Count != len(want) {
			t.Errorf("%v: answer says %q %q %d", s, answer.Dataset, answer.Table, answer.Count)
		}
		for _, r := range answer.Records {
			got = append(got, r)
		}
	} else {
		got = harness.SplitLines(body)
	}
	if len(got) != len(want) {
		t.Errorf("%v: %d records, want %d", s, len(got), len(want))
		return
	}
	for i := range got {
		if diff := harness.EqualJSON(got[i], want[i].json); diff != "" {
			t.Errorf("%s: %s", harness.Name(s.table, s.dataset, i), diff)
			return
		}
	}
}

func TestDataSetsOfOthers(t *testing.T) {
	root := harness.Data(t)
	if testing.Short() {
		t.Skip("takes all the data sets through every stage")
	}
	for _, run := range []struct {
		name   string
		format string
		change func(*engine.Options)
	}{
		{"deflate", "json", func(o *engine.Options) {}},
		{"zstandard without caches", "ndjson", func(o *engine.Options) {
			o.Block.Codec = "zstandard"
			o.Cache.ReferenceBytes, o.Cache.BlockBytes, o.Cache.RawBytes = -1, -1, -1
		}},
	} {
		t.Run(run.name, func(t *testing.T) {
			var o engine.Options
			o.Archive.Schedule = "off"
			run.change(&o)
			d := harness.Start(t, t.TempDir(), o)
			want := load(t, d, root)
			check(t, d, want, run.format) // memory and generation
			d.Restart(t)
			d.Post(t, "/v1/archive", "", nil, 200)
			check(t, d, want, run.format) // cold
			d.Restart(t)
			check(t, d, want, run.format)
			checkStatistics(t, d, want)
		})
	}
}

// checkStatistics compares the statistics with what was sent.
func checkStatistics(t *testing.T, d *harness.Daemon, want map[series][]record) {
	t.Helper()
	var hotCold struct {
		Rows []struct {
			Table   string `json:"table"`
			Dataset string `json:"dataset_id"`
			Hot     int    `json:"hot_count"`
			Cold    int    `json:"cold_count"`
			Oldest  int64  `json:"oldest"`
			Newest  int64  `json:"newest"`
		}
	}
	if err := json.Unmarshal(d.Get(t, "/v1/stats/hot-cold"), &hotCold); err != nil {
		t.Fatal(err)
	}
	if len(hotCold.Rows) != len(want) {
		t.Errorf("hot-cold has %d rows, want %d", len(hotCold.Rows), len(want))
	}
	for _, r := range hotCold.Rows {
		w := want[series{r.Table, r.Dataset}]
		if len(w) == 0 || r.Hot != 0 || r.Cold != len(w) || r.Oldest != w[0].time || r.Newest != w[len(w)-1].time {
			t.Errorf("hot-cold row %+v, want %d cold records", r, len(w))
		}
	}
	var files struct {
		Rows []struct {
			Table   string  `json:"table"`
			Records int     `json:"records"`
			Raw     int64   `json:"raw_bytes"`
			File    int64   `json:"file_bytes"`
			Ratio   float64 `json:"compression_ratio"`
		}
	}
	if err := json.Unmarshal(d.Get(t, "/v1/stats/archive"), &files); err != nil {
		t.Fatal(err)
	}
	records := make(map[string]int)
	bytesOf := make(map[string]int64)
	last := -1.0
	for _, r := range files.Rows {
		records[r.Table] += r.Records
		bytesOf[r.Table] += r.Raw
		if last >= 0 && r.Ratio > last {
			t.Errorf("ratios do not descend at %+v", r)
		}
		if last = r.Ratio; r.Ratio != float64(r.Raw)/float64(r.File) {
			t.Errorf("ratio of %+v", r)
		}
	}
	for s, w := range want {
		records[s.table] -= len(w)
		for _, r := range w {
			bytesOf[s.table] -= int64(len(bytes.TrimSpace(r.json)))
		}
	}
	for table, n := range records {
		if n != 0 || bytesOf[table] != 0 {
			t.Errorf("archive statistics of %q are off by %d records and %d bytes", table, n, bytesOf[table])
		}
	}
	var stale struct{ Count int }
	if err := json.Unmarshal(d.Get(t, "/v1/stats/stale?older_than=0s"), &stale); err != nil || stale.Count != 0 {
		t.Errorf("stale: %+v, %v", stale, err)
	}
}
