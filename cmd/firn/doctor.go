package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"

	"github.com/spf13/cobra"

	"github.com/firndb/firn/engine"
)

func newDoctor(s *settings) *cobra.Command {
	var accept bool
	c := &cobra.Command{
		Use:   "doctor --accept-loss --data DIR",
		Short: "Let a data folder whose log is damaged write again",
		Long: "Name what the damaged parts of the log held, put it down as lost in the ledger, set the damaged\n" +
			"parts aside, and let the folder write again. No daemon may run on the folder.",
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if !accept || !s.given["data"] {
				return usagef("doctor needs --accept-loss and --data")
			}
			o, err := s.engineOptions()
			if err != nil {
				return err
			}
			report, err := engine.AcceptLoss(c.Context(), s.data, o)
			if err != nil {
				return err
			}
			if s.json {
				return json.NewEncoder(os.Stdout).Encode(report)
			}
			if len(report.Ranges) == 0 {
				fmt.Println("the log is not damaged; nothing was changed")
				return nil
			}
			for _, r := range report.Ranges {
				fmt.Printf("%s: %d bytes at %d: %s", r.File, r.Bytes, r.Offset, r.Reason)
				if r.LastSeq >= r.FirstSeq {
					fmt.Printf("; sequence numbers %d to %d", r.FirstSeq, r.LastSeq)
				}
				fmt.Println()
			}
			tables := make([]string, 0, len(report.Lost))
			for t := range report.Lost {
				tables = append(tables, t)
			}
			sort.Strings(tables)
			for _, t := range tables {
				fmt.Printf("lost: %d records of table %q\n", report.Lost[t], t)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&accept, "accept-loss", false, "put the loss down and go on")
	s.addClient(c.Flags())
	return c
}
