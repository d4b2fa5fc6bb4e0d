package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	d := serveFolder(t, t.TempDir(), "--archive-schedule", "off")
	target := []string{"--addr", d.addr, "--table", "t", "--dataset", "d"}
	firnIn(t, 0, numbered(0, 300), append([]string{"ingest"}, target...)...)
	firn(t, 0, "archive", "--addr", d.addr)
	firnIn(t, 0, numbered(300, 300), append([]string{"ingest"}, target...)...)
	read := func(args ...string) result {
		t.Helper()
		return firn(t, 0, append(append([]string{"read"}, target...), args...)...)
	}
	// Cold records may come back with their members in another order.
	numbers := func(r result) (n []int) {
		t.Helper()
		for line := range strings.Lines(r.out) {
			var rec struct{ N int }
			if err := json.Unmarshal([]byte(line), &rec); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			n = append(n, rec.N)
		}
		return n
	}
	expect := func(what string, r result, from, step, count int) {
		t.Helper()
		got := numbers(r)
		if len(got) != count {
			t.Fatalf("%s: %d records, want %d", what, len(got), count)
		}
		for i, n := range got {
			if n != from+i*step {
				t.Fatalf("%s: record %d is number %d, want %d", what, i, n, from+i*step)
			}
		}
	}
	contains(t, "explain", firn(t, 0, append([]string{"explain"}, target...)...).out, "hot   300 records in memory", "cold  300 records in 1 blocks of 1 files", "store 1 requests", "t/date=2026-01-01/")
	var plan struct{ Cold struct{ Records int } }
	if err := json.Unmarshal([]byte(firn(t, 0, append([]string{"explain", "--json"}, target...)...).out), &plan); err != nil || plan.Cold.Records != 300 {
		t.Errorf("explain --json: %d cold records, %v", plan.Cold.Records, err)
	}

	expect("all", read(), 0, 1, 600)
	expect("a range", read("--from", "2026-01-01T00:04:50Z", "--to", "1767225909999"), 290, 1, 20)
	expect("descending", read("--order", "desc"), 599, -1, 600)

	page := read("--limit", "290")
	expect("a page", page, 0, 1, 290)
	_, cursor, ok := strings.Cut(page.errOut, "more with --cursor ")
	if !ok {
		t.Fatalf("no cursor in %q", page.errOut)
	}
	expect("the page after it", read("--cursor", strings.TrimSpace(cursor)), 290, 1, 310)

	raw := make(map[string]json.RawMessage)
	if err := json.Unmarshal([]byte(read("--json").out), &raw); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"dataset_id": `"d"`, "table_name": `"t"`, "record_count": "600", "hot_count": "300", "cold_count": "300"} {
		if string(raw[name]) != want {
			t.Errorf("--json: %s is %s, want %s", name, raw[name], want)
		}
	}

	for _, c := range []struct {
		part string
		args []string
	}{
		{"from", []string{"--from", "yesterday"}},
		{"from", []string{"--from", "2", "--to", "1"}},
		{"order", []string{"--order", "random"}},
		{"cursor", []string{"--cursor", "AAAA"}},
		{"format", []string{"--format", "xml"}},
	} {
		r := firn(t, 1, append(append([]string{"read"}, target...), c.args...)...)
		contains(t, "the message", r.errOut, "(400 ", c.part)
		if r.out != "" {
			t.Errorf("read %v printed %q", c.args, r.out)
		}
	}
}
