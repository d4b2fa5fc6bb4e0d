package main

import (
	"fmt"
	"net/url"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func newStats(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use:   "stats hot-cold|archive|stale",
		Short: "Print statistics: records by tier, compression by file, records that wait too long",
	}
	var older string
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("unknown statistics %q: hot-cold, archive or stale", args[0])
		}
		return usagef("which statistics? hot-cold, archive or stale")
	}
	sub := func(name, short string, run func(*client, *cobra.Command, *tabwriter.Writer) error) *cobra.Command {
		sc := &cobra.Command{
			Use: name, Short: short, Args: exactly(0),
			RunE: func(c *cobra.Command, _ []string) error {
				return s.with(c.Context(), func(cl *client) error {
					if s.json {
						path := "/v1/stats/" + name
						if older != "" {
							path += "?older_than=" + url.QueryEscape(older)
						}
						return cl.printRaw(c.Context(), path)
					}
					w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', tabwriter.AlignRight)
					if err := run(cl, c, w); err != nil {
						return err
					}
					return w.Flush()
				})
			},
		}
		s.addClient(sc.Flags())
		c.AddCommand(sc)
		return sc
	}
	sub("hot-cold", "Records and bytes of each dataset, by tier", func(cl *client, c *cobra.Command, w *tabwriter.Writer) error {
		var a struct {
			Rows []struct {
				Table     string `json:"table"`
				Dataset   string `json:"dataset_id"`
				Hot       uint64 `json:"hot_count"`
				Cold      uint64 `json:"cold_count"`
				HotBytes  int64  `json:"hot_bytes"`
				ColdBytes int64  `json:"cold_bytes"`
				Oldest    int64  `json:"oldest"`
				Newest    int64  `json:"newest"`
			} `json:"rows"`
		}
		if err := cl.get(c.Context(), "/v1/stats/hot-cold", &a); err != nil {
			return err
		}
		fmt.Fprintln(w, "table\tdataset\thot\tcold\thot bytes\tcold bytes\toldest\tnewest\t")
		for _, r := range a.Rows {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t\n", r.Table, r.Dataset, r.Hot, r.Cold, sizeText(r.HotBytes), sizeText(r.ColdBytes), timeText(r.Oldest), timeText(r.Newest))
		}
		return nil
	})
	sub("archive", "Compression of each block file", func(cl *client, c *cobra.Command, w *tabwriter.Writer) error {
		var a struct {
			Rows []struct {
				Path    string  `json:"path"`
				Records uint64  `json:"records"`
				Raw     int64   `json:"raw_bytes"`
				File    int64   `json:"file_bytes"`
				Ratio   float64 `json:"compression_ratio"`
			} `json:"rows"`
		}
		if err := cl.get(c.Context(), "/v1/stats/archive", &a); err != nil {
			return err
		}
		fmt.Fprintln(w, "records\tJSON\tfile\tratio\tpath\t")
		for _, r := range a.Rows {
			fmt.Fprintf(w, "%d\t%s\t%s\t%.2f\t%s\t\n", r.Records, sizeText(r.Raw), sizeText(r.File), r.Ratio, r.Path)
		}
		return nil
	})
	stale := sub("stale", "Hot records that should have been archived", func(cl *client, c *cobra.Command, w *tabwriter.Writer) error {
		path := "/v1/stats/stale"
		if older != "" {
			path += "?older_than=" + url.QueryEscape(older)
		}
		var a struct {
			Count uint64 `json:"count"`
			Rows  []struct {
				Table   string `json:"table"`
				Dataset string `json:"dataset_id"`
				Count   uint64 `json:"count"`
			} `json:"rows"`
		}
		if err := cl.get(c.Context(), path, &a); err != nil {
			return err
		}
		fmt.Fprintln(w, "records\ttable\tdataset\t")
		for _, r := range a.Rows {
			fmt.Fprintf(w, "%d\t%s\t%s\t\n", r.Count, r.Table, r.Dataset)
		}
		fmt.Fprintf(w, "%d\tin all\t\t\n", a.Count)
		return nil
	})
	stale.Flags().StringVar(&older, "older-than", "", "accepted longer ago than this (default 2h)")
	return c
}

func timeText(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
