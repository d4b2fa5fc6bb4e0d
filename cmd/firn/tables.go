package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/firndb/firn/engine"
)

func newTables(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use:   "tables",
		Short: "List the tables; show, set and schema for one of them",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q: show, set or schema", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return listTables(c, s) },
	}
	s.addClient(c.Flags())

	show := &cobra.Command{
		Use: "show TABLE", Short: "Describe one table", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			return s.with(c.Context(), func(cl *client) error {
				var t json.RawMessage
				if err := cl.get(c.Context(), "/v1/tables/"+url.PathEscape(args[0]), &t); err != nil {
					return err
				}
				return printTable(s, t)
			})
		},
	}
	s.addClient(show.Flags())

	var set engine.TableSettings
	change := &cobra.Command{
		Use: "set TABLE", Short: "Change settings of a table", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if set == (engine.TableSettings{}) {
				return usagef("nothing to set: --table-codec, --partition or --time-field")
			}
			body, err := json.Marshal(set)
			if err != nil {
				return err
			}
			return s.with(c.Context(), func(cl *client) error {
				var t json.RawMessage
				header := http.Header{"Content-Type": {"application/json"}}
				if err := cl.call(c.Context(), "PUT", "/v1/tables/"+url.PathEscape(args[0]), header, body, &t); err != nil {
					return err
				}
				return printTable(s, t)
			})
		},
	}
	change.Flags().StringVar(&set.Codec, "table-codec", "", "deflate, zstandard, snappy or null; for files written from now on")
	change.Flags().StringVar(&set.Partition, "partition", "", "day or month")
	change.Flags().StringVar(&set.TimeField, "time-field", "", "member that holds a record's time")
	s.addClient(change.Flags())

	schema := &cobra.Command{
		Use: "schema TABLE", Short: "Print the Avro schema of a table", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			return s.with(c.Context(), func(cl *client) error {
				path := "/v1/tables/" + url.PathEscape(args[0]) + "/schema"
				if s.json {
					return cl.printRaw(c.Context(), path)
				}
				var a struct {
					Schema json.RawMessage `json:"schema"`
				}
				if err := cl.get(c.Context(), path, &a); err != nil {
					return err
				}
				out, err := json.MarshalIndent(a.Schema, "", "  ")
				if err != nil {
					return err
				}
				fmt.Println(string(out))
				return nil
			})
		},
	}
	s.addClient(schema.Flags())
	c.AddCommand(show, change, schema)
	return c
}

func listTables(c *cobra.Command, s *settings) error {
	return s.with(c.Context(), func(cl *client) error {
		if s.json {
			return cl.printRaw(c.Context(), "/v1/tables")
		}
		var a struct {
			Tables []engine.TableInfo `json:"tables"`
		}
		if err := cl.get(c.Context(), "/v1/tables", &a); err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "table\taccepted\thot\tcold\tfiles\tcold bytes\tcodec\t")
		for _, t := range a.Tables {
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\t%s\t\n", t.Name, t.Accepted, t.HotRecords, t.ColdRecords, t.Files, sizeText(t.ColdBytes), t.Settings.Codec)
		}
		return w.Flush()
	})
}

func printTable(s *settings, raw json.RawMessage) error {
	if s.json {
		_, err := os.Stdout.Write(append(raw, '\n'))
		return err
	}
	var t engine.TableInfo
	if err := json.Unmarshal(raw, &t); err != nil {
		return err
	}
	fmt.Printf("table       %s\ncodec       %s\npartition   %s\ntime field  %s\naccepted    %d records\nhot         %d records, %s\ncold        %d records, %s in %d files\nlost        %d records\nschema      version %d\n",
		t.Name, t.Settings.Codec, t.Settings.Partition, t.Settings.TimeField, t.Accepted,
		t.HotRecords, sizeText(t.HotBytes), t.ColdRecords, sizeText(t.ColdBytes), t.Files, t.Lost, t.SchemaVersion)
	return nil
}
