package main

import (
	"encoding/json"
	"testing"
)

func TestTablesAndStats(t *testing.T) {
	d := serveFolder(t, t.TempDir(), "--archive-schedule", "off")
	firnIn(t, 0, numbered(0, 20), "ingest", "--addr", d.addr, "--table", "a", "--dataset", "x")
	contains(t, "set", firn(t, 0, "tables", "set", "a", "--addr", d.addr, "--table-codec", "zstandard", "--partition", "month").out, "zstandard", "month")
	firn(t, 0, "archive", "--addr", d.addr)
	firnIn(t, 0, numbered(20, 5), "ingest", "--addr", d.addr, "--table", "a", "--dataset", "x")
	firnIn(t, 0, numbered(0, 7), "ingest", "--addr", d.addr, "--table", "b/c", "--dataset", "y")

	contains(t, "show", firn(t, 0, "tables", "show", "a", "--addr", d.addr).out, "accepted    25 records", "hot         5 records", "cold        20 records")
	contains(t, "show of a name with a slash", firn(t, 0, "tables", "show", "b/c", "--addr", d.addr, "--json").out, `"b/c"`)
	contains(t, "no such table", firn(t, 1, "tables", "show", "none", "--addr", d.addr).errOut, "(404 not_found)")
	contains(t, "no such codec", firn(t, 1, "tables", "set", "a", "--addr", d.addr, "--table-codec", "lzo").errOut, "lzo")

	var schema struct {
		Type   string
		Fields []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(firn(t, 0, "tables", "schema", "a", "--addr", d.addr).out), &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Type != "record" || len(schema.Fields) != 3 {
		t.Errorf("schema: %+v", schema)
	}

	type row struct {
		Table string
		Hot   int `json:"hot_count"`
		Cold  int `json:"cold_count"`
	}
	var hotCold struct{ Rows []row }
	if err := json.Unmarshal([]byte(firn(t, 0, "stats", "hot-cold", "--addr", d.addr, "--json").out), &hotCold); err != nil {
		t.Fatal(err)
	}
	if len(hotCold.Rows) != 2 || hotCold.Rows[0] != (row{"a", 5, 20}) || hotCold.Rows[1] != (row{"b/c", 7, 0}) {
		t.Errorf("hot-cold: %+v", hotCold.Rows)
	}
	contains(t, "stats hot-cold", firn(t, 0, "stats", "hot-cold", "--addr", d.addr).out, "b/c", "2026-01-01T00:00:24.000Z")
	contains(t, "stats archive", firn(t, 0, "stats", "archive", "--addr", d.addr).out, "a/month=2026-01/")
	contains(t, "stats stale", firn(t, 0, "stats", "stale", "--addr", d.addr).out, "0  in all")
	contains(t, "stats stale of everything", firn(t, 0, "stats", "stale", "--addr", d.addr, "--older-than", "0s").out, "12  in all")
}

func TestDoctorFindsNothing(t *testing.T) {
	data := t.TempDir()
	firnIn(t, 0, numbered(0, 20), "ingest", "--data", data, "--table", "t", "--dataset", "d")
	contains(t, "doctor", firn(t, 0, "doctor", "--accept-loss", "--data", data).out, "not damaged")
	if got := firn(t, 0, "read", "--data", data, "--table", "t", "--dataset", "d").out; got != numbered(0, 20) {
		t.Errorf("afterwards other records are read: %q", got)
	}
	d := serveFolder(t, data)
	contains(t, "doctor beside a daemon", firn(t, 1, "doctor", "--accept-loss", "--data", data).errOut, "in use")
	d.kill()
}
