package main

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// readFlags are the parameters of a read.
type readFlags struct {
	table, dataset, from, to, order, cursor string
	limit                                   int
	partial                                 bool
}

func (r *readFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&r.table, "table", "", "table to read (required)")
	f.StringVar(&r.dataset, "dataset", "", "dataset to read (required)")
	f.StringVar(&r.from, "from", "", "first time, inclusive: ms since 1970 or RFC 3339")
	f.StringVar(&r.to, "to", "", "last time, inclusive")
	f.StringVar(&r.order, "order", "", "asc (default) or desc")
	f.StringVar(&r.cursor, "cursor", "", "go on where an earlier read ended")
	f.IntVar(&r.limit, "limit", 0, "at most so many records; 0: all")
	f.BoolVar(&r.partial, "partial", false, "leave out what is damaged or away, and say so, instead of failing")
}

func (r *readFlags) query() (url.Values, error) {
	if r.table == "" || r.dataset == "" {
		return nil, usagef("--table and --dataset are needed")
	}
	if r.limit < 0 {
		return nil, usagef("--limit is %d, must not be negative", r.limit)
	}
	v := url.Values{"table_name": {r.table}, "dataset_id": {r.dataset}}
	for name, value := range map[string]string{"from": r.from, "to": r.to, "order": r.order, "cursor": r.cursor} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if r.limit > 0 {
		v.Set("limit", strconv.Itoa(r.limit))
	}
	if r.partial {
		v.Set("partial", "allow")
	}
	return v, nil
}

func newRead(s *settings) *cobra.Command {
	var r readFlags
	var format string
	c := &cobra.Command{
		Use:   "read --table T --dataset D",
		Short: "Print the records of one dataset in order of time",
		Args:  exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			v, err := r.query()
			if err != nil {
				return err
			}
			if s.json && !c.Flags().Changed("format") {
				format = "json"
			}
			v.Set("format", format)
			return s.with(c.Context(), func(cl *client) error {
				resp, err := cl.do(c.Context(), "GET", "/v1/read?"+v.Encode(), nil, nil)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
					return fmt.Errorf("the answer broke off: %w", err)
				}
				if missing := resp.Trailer.Get("Firn-Missing"); missing != "" {
					fmt.Fprintf(os.Stderr, "firn: missing: %s\n", missing)
				}
				if next := resp.Trailer.Get("Firn-Next-Cursor"); next != "" {
					fmt.Fprintf(os.Stderr, "firn: more with --cursor %s\n", next)
				}
				return nil
			})
		},
	}
	r.add(c)
	c.Flags().StringVar(&format, "format", "ndjson", "ndjson, json or ocf (an Avro file)")
	s.addClient(c.Flags())
	return c
}

func newExplain(s *settings) *cobra.Command {
	var r readFlags
	c := &cobra.Command{
		Use:   "explain --table T --dataset D",
		Short: "Print how a read would be answered: hot chunks, block references, ranges, bytes",
		Args:  exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			v, err := r.query()
			if err != nil {
				return err
			}
			return s.with(c.Context(), func(cl *client) error {
				path := "/v1/explain?" + v.Encode()
				if s.json {
					return cl.printRaw(c.Context(), path)
				}
				var p plan
				if err := cl.get(c.Context(), path, &p); err != nil {
					return err
				}
				p.print(os.Stdout)
				return nil
			})
		},
	}
	r.add(c)
	s.addClient(c.Flags())
	return c
}

// plan is what /v1/explain answers, as far as it is shown to people.
type plan struct {
	Hot struct {
		Memory  int    `json:"memory_records"`
		Chunks  int    `json:"chunks"`
		Records uint64 `json:"chunk_records"`
		Bytes   int64  `json:"stored_bytes"`
	} `json:"hot"`
	Cold struct {
		Files    int    `json:"files"`
		Blocks   int    `json:"blocks"`
		Records  uint64 `json:"records"`
		Cached   int    `json:"cached_blocks"`
		Requests int    `json:"store_requests"`
		Bytes    int64  `json:"store_bytes"`
		Whole    int64  `json:"whole_file_bytes"`
	} `json:"cold"`
	Ranges []struct {
		File   string `json:"file"`
		Offset int64  `json:"offset"`
		Length int64  `json:"length"`
		Blocks int    `json:"blocks"`
	} `json:"ranges"`
}

func (p *plan) print(w io.Writer) {
	fmt.Fprintf(w, "hot   %d records in memory, %d in %d chunks (%s)\n", p.Hot.Memory, p.Hot.Records, p.Hot.Chunks, sizeText(p.Hot.Bytes))
	fmt.Fprintf(w, "cold  %d records in %d blocks of %d files; %d blocks cached\n", p.Cold.Records, p.Cold.Blocks, p.Cold.Files, p.Cold.Cached)
	fmt.Fprintf(w, "store %d requests, %s", p.Cold.Requests, sizeText(p.Cold.Bytes))
	if p.Cold.Whole > 0 {
		fmt.Fprintf(w, " of %s the files have (%.2f %%)", sizeText(p.Cold.Whole), 100*float64(p.Cold.Bytes)/float64(p.Cold.Whole))
	}
	fmt.Fprintln(w)
	const most = 20
	for i, r := range p.Ranges {
		if i == most {
			fmt.Fprintf(w, "      and %d more ranges\n", len(p.Ranges)-most)
			break
		}
		fmt.Fprintf(w, "      bytes=%d-%d %s, %d blocks\n", r.Offset, r.Offset+r.Length-1, strings.TrimSpace(r.File), r.Blocks)
	}
}
