package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// targetFlags say whose records they are.
type targetFlags struct {
	dataset, table, datasetField, tableField, timeField string
	records, bytes                                      int
}

func (t *targetFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&t.dataset, "dataset", "", "dataset of all records")
	f.StringVar(&t.table, "table", "", "table of all records")
	f.StringVar(&t.datasetField, "dataset-field", "", "member of each record that names its dataset, instead of --dataset")
	f.StringVar(&t.tableField, "table-field", "", "member of each record that names its table, instead of --table")
	f.StringVar(&t.timeField, "time-field", "", "member that holds a record's time")
	f.IntVar(&t.records, "batch-records", 1000, "most records in one batch")
	f.IntVar(&t.bytes, "batch-bytes", 8<<20, "bytes past which a batch ends")
}

// path is where the records go.
func (t *targetFlags) path() (string, error) {
	switch {
	case (t.dataset == "") == (t.datasetField == ""):
		return "", usagef("give one of --dataset and --dataset-field")
	case (t.table == "") == (t.tableField == ""):
		return "", usagef("give one of --table and --table-field")
	case t.records < 1 || t.bytes < 1:
		return "", usagef("--batch-records and --batch-bytes must be positive")
	}
	v := make(url.Values)
	for name, value := range map[string]string{
		"dataset_id": t.dataset, "table": t.table, "dataset_field": t.datasetField, "table_field": t.tableField, "time_field": t.timeField,
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return "/v1/ingest?" + v.Encode(), nil
}

// ack is the answer to an ingest.
type ack struct {
	Accepted  int  `json:"accepted"`
	Duplicate bool `json:"duplicate"`
}

const sendPatience = 5 * time.Minute // how long one batch is tried again before giving up

// send posts a batch under a key until it is acknowledged or refused. What may have been kept, and
// what was only put off, is sent again: the key makes that safe.
func (c *client) send(ctx context.Context, path, key string, body []byte) (a ack, err error) {
	header := http.Header{"Content-Type": {"application/x-ndjson"}, "Idempotency-Key": {key}}
	deadline := time.Now().Add(sendPatience)
	pause := 100 * time.Millisecond
	told := false
	for {
		err = c.call(ctx, "POST", path, header, body, &a)
		var p *problem
		// A daemon that was there may come back; one that never was is not waited for.
		final := err == nil || ctx.Err() != nil || time.Now().After(deadline) || errors.Is(err, errNoDaemon) && !c.reached
		if errors.As(err, &p) {
			again := p.Status == http.StatusTooManyRequests || p.Code == "backpressure" || p.Code == "shutting_down" || p.Code == "outcome_unknown" || p.Status == http.StatusInsufficientStorage
			final = final || !again
		}
		if final {
			return a, err
		}
		if !told {
			told = true
			fmt.Fprintf(os.Stderr, "firn: %v; trying again for %v\n", err, sendPatience)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return a, ctx.Err()
		}
		pause = min(2*pause, 5*time.Second)
	}
}

func newIngest(s *settings) *cobra.Command {
	var t targetFlags
	c := &cobra.Command{
		Use:   "ingest [FILE…]",
		Short: "Send records from NDJSON files (.gz and .zst too) or the standard input",
		Long: "Send records, a JSON object a line, in batches; each is on disk when it is acknowledged. Batches go\n" +
			"one after the other, so records keep their order. A batch that is refused ends the command: what was\n" +
			"acknowledged before it stays. To be able to go on after that, use firn import.",
		RunE: func(c *cobra.Command, files []string) error {
			path, err := t.path()
			if err != nil {
				return err
			}
			if len(files) == 0 {
				files = []string{"-"}
			}
			return s.with(c.Context(), func(cl *client) error {
				p := newProgress("ingest", totalSize(files))
				defer p.finish()
				run := rand.Text()
				var total, batches int
				for _, file := range files {
					n, err := ingestFile(c.Context(), cl, &t, path, run, &batches, file, p)
					total += n
					if err != nil {
						return fmt.Errorf("%s: %w; %d records were acknowledged before", file, err, total)
					}
				}
				p.finish()
				return s.printResult(map[string]int{"accepted": total}, "%d records acknowledged", total)
			})
		},
	}
	t.add(c)
	s.addClient(c.Flags())
	return c
}

func ingestFile(ctx context.Context, cl *client, t *targetFlags, path, run string, batches *int, file string, p *progress) (total int, err error) {
	src, err := openSource(file)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, src.close()) }()
	var b batch
	var seen int64
	for !b.done {
		if err := src.cut(&b, t.records, t.bytes, 0); err != nil {
			return total, err
		}
		if b.records == 0 {
			break
		}
		*batches++
		a, err := cl.send(ctx, path, run+"-"+strconv.Itoa(*batches), b.body)
		if err != nil {
			return total, fmt.Errorf("batch behind record %d: %w", total, err)
		}
		total += a.Accepted
		p.add(src.read.n-seen, int64(a.Accepted))
		seen = src.read.n
	}
	return total, nil
}

// totalSize adds up files, -1 when one of them has no size.
func totalSize(files []string) (n int64) {
	for _, f := range files {
		info, err := os.Stat(f)
		if f == "-" || err != nil {
			return -1
		}
		n += info.Size()
	}
	return n
}

// printResult prints one line for people, or an object for programs.
func (s *settings) printResult(v any, format string, args ...any) error {
	if s.json {
		return json.NewEncoder(os.Stdout).Encode(v)
	}
	_, err := fmt.Printf(format+"\n", args...)
	return err
}
