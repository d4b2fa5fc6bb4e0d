package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func newArchive(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use:   "archive",
		Short: "Archive everything hot now, and wait until it is cold",
		Args:  exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			return s.with(c.Context(), func(cl *client) error {
				var raw json.RawMessage
				if err := cl.call(c.Context(), "POST", "/v1/archive", nil, nil, &raw); err != nil {
					return err
				}
				if s.json {
					_, err := os.Stdout.Write(append(raw, '\n'))
					return err
				}
				var r struct {
					Records  uint64 `json:"records"`
					Files    int    `json:"files"`
					RawBytes int64  `json:"raw_bytes"`
					Bytes    int64  `json:"file_bytes"`
					Duration int64  `json:"duration_ms"`
				}
				if err := json.Unmarshal(raw, &r); err != nil {
					return err
				}
				fmt.Printf("archived %d records into %d files: %s of JSON became %s in %v\n",
					r.Records, r.Files, sizeText(r.RawBytes), sizeText(r.Bytes), time.Duration(r.Duration)*time.Millisecond)
				return nil
			})
		},
	}
	s.addClient(c.Flags())
	return c
}
