package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSettingsChange changes codec and partition of a table between archives, across restarts: what
// was written stays readable, in order, and what is written follows the setting.
func TestSettingsChange(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir, func(o *Options) { o.Block.TargetBytes = 1 << 10 })
	const day = int64(24 * time.Hour / time.Millisecond)
	begin := time.Date(2024, 1, 30, 23, 0, 0, 0, time.UTC).UnixMilli()
	q := Query{Table: "a", Dataset: "u"}
	var want strings.Builder
	serial := 0
	for i, set := range []TableSettings{
		{Codec: "zstandard"}, {Partition: "month"}, {Codec: "null"}, {Codec: "snappy", Partition: "day"}, {Codec: "deflate", Partition: "month"},
	} {
		if _, err := db.SetTable(context.Background(), "a", set); err != nil {
			t.Fatal(err)
		}
		for d := range int64(4) { // 30 and 31 January, 1 and 2 February
			for range 20 {
				serial++
				r := fmt.Sprintf(`{"timestamp":%d,"serial":%d,"pad":"%s"}`, begin+d*day+int64(i)*1000, serial, strings.Repeat("p", 50))
				ingest(t, db, q.Table, q.Dataset, r)
				ingest(t, db, q.Table, "other", r)
			}
		}
		files := archive(t, db).Files
		info, err := db.Table(context.Background(), "a")
		if err != nil || set.Codec != "" && info.Settings.Codec != set.Codec || set.Partition != "" && info.Settings.Partition != set.Partition {
			t.Errorf("settings %+v, %v, want %+v", info.Settings, err, set)
		}
		if want := map[string]int{"day": 4, "month": 2}[info.Settings.Partition]; files != want {
			t.Errorf("%d files by %s, want %d", files, info.Settings.Partition, want)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openTest(t, dir, func(o *Options) { o.Block.TargetBytes = 1 << 10 })
	}
	defer func() { db.Close() }()
	for d := range 4 {
		for i := range 5 {
			for n := range 20 {
				fmt.Fprintf(&want, "%d\n", i*80+d*20+n+1)
			}
		}
	}
	serials := func(q Query) string {
		var b strings.Builder
		for r, err := range db.Read(context.Background(), q) {
			var at, n int
			if err == nil {
				_, err = fmt.Sscanf(string(r.JSON), `{"timestamp":%d,"serial":%d,`, &at, &n)
			}
			if err != nil || !r.Cold {
				t.Fatalf("%s: %v", r.JSON, err)
			}
			fmt.Fprintln(&b, n)
		}
		return b.String()
	}
	for _, dataset := range []string{"u", "other"} {
		if got := serials(Query{Table: "a", Dataset: dataset}); got != want.String() {
			t.Errorf("%s reads\n%swant\n%s", dataset, got, want.String())
		}
	}
	// One day, of files by day and files by month.
	lines := strings.SplitAfter(want.String(), "\n")
	oneDay := Query{Table: "a", Dataset: "u", From: begin + day, To: begin + day + 10_000}
	if got := serials(oneDay); got != strings.Join(lines[100:200], "") {
		t.Errorf("one day reads\n%s", got)
	}
	paths := make(map[string]bool)
	for f, err := range db.Files(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		paths[f.Path[:strings.LastIndexByte(f.Path, '/')]] = true
	}
	for _, folder := range []string{"a/date=2024-01-30", "a/date=2024-02-02", "a/month=2024-01", "a/month=2024-02"} {
		if !paths[folder] {
			t.Errorf("no file in %s: %v", folder, paths)
		}
	}
}

// TestTimes takes a record's time from where it is said to be, and gives one where none is.
func TestTimes(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_123)
	db := openTest(t, t.TempDir(), func(o *Options) { o.now = func() time.Time { return now } })
	defer db.Close()
	if _, err := db.SetTable(context.Background(), "timed", TableSettings{TimeField: "at"}); err != nil {
		t.Fatal(err)
	}
	batch := func(b Batch, records ...string) error {
		for _, r := range records {
			b.Records = append(b.Records, []byte(r))
		}
		_, err := db.Ingest(context.Background(), b)
		return err
	}
	// With a table field each record's table says which member times it.
	mixed := Batch{Dataset: "u", TableField: "kind"}
	if err := batch(mixed, `{"kind":"timed","at":5,"timestamp":7}`, `{"kind":"plain","at":6,"timestamp":8}`, `{"kind":"plain"}`,
		`{"kind":"timed","at":"1970-01-01T00:00:01+00:00"}`, `{"kind":"plain","timestamp":"1969-12-31T23:59:59.9999Z"}`); err != nil {
		t.Fatal(err)
	}
	for record, b := range map[string]Batch{
		`{"kind":"timed","timestamp":7}`:            mixed,
		`{"kind":"timed","at":null}`:                mixed,
		`{"kind":"plain","timestamp":null}`:         mixed,
		`{"kind":"plain","timestamp":1.5}`:          mixed,
		`{"kind":"plain","timestamp":1e400}`:        mixed,
		`{"kind":"plain","timestamp":"2024-01-01"}`: mixed,
		`{"kind":5}`:                    mixed,
		`{"kind":""}`:                   mixed,
		`{"x":1}`:                       mixed,
		`{"timestamp":253402300800000}`: {Dataset: "u", Table: "plain"},
		`{"timestamp":-62135596800001}`: {Dataset: "u", Table: "plain"},
		`{"timestamp":5}`:               {Dataset: "u", Table: "timed"},
		`{"timestamp":5,"b":[}`:         {Dataset: "u", Table: "plain"},
		`{"timestamp":6}`:               {Dataset: "u", Table: "plain", TimeField: "when"},
		`{"timestamp":6,"d":1}`:         {DatasetField: "d", Table: "plain"},
	} {
		var refused *RecordError
		if err := batch(b, `{"kind":"plain","timestamp":1,"at":1,"when":1,"d":"u"}`, record); !errors.As(err, &refused) || refused.Index != 1 {
			t.Errorf("%s in %+v: %v", record, b, err)
		}
	}
	for _, tier := range []string{"hot", "cold"} {
		for table, want := range map[string]string{
			"timed": tier + " 5 {\"kind\":\"timed\",\"at\":5,\"timestamp\":7}\n" + tier + " 1000 {\"kind\":\"timed\",\"at\":\"1970-01-01T00:00:01+00:00\"}\n",
			"plain": tier + " -1 {\"kind\":\"plain\",\"timestamp\":\"1969-12-31T23:59:59.9999Z\"}\n" + tier + " 8 {\"kind\":\"plain\",\"at\":6,\"timestamp\":8}\n" +
				tier + " 1700000000123 {\"timestamp\":1700000000123,\"kind\":\"plain\"}\n",
		} {
			if got := readAll(t, db, Query{Table: table, Dataset: "u"}); sortMembers(got) != sortMembers(want) {
				t.Errorf("%s reads\n%swant\n%s", table, got, want)
			}
		}
		archive(t, db)
	}
}

// sortMembers brings the members of flat records into one order: a record may come back with another.
func sortMembers(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if a := strings.IndexByte(line, '{'); a >= 0 {
			members := strings.Split(strings.Trim(line[a:], "{}"), ",")
			slices.Sort(members)
			lines[i] = line[:a] + strings.Join(members, ",")
		}
	}
	return strings.Join(lines, "\n")
}

// TestHugeRecords takes the largest records there may be, with and without a timestamp of their own,
// some of the kind that grow most, through both tiers.
func TestHugeRecords(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	db := openTest(t, t.TempDir(), nil)
	defer db.Close()
	const most = 8 << 20
	fill := func(head, body, tail string) string {
		n := (most - len(head) - len(tail)) / len(body)
		return head + strings.Repeat(body, n-1) + strings.TrimSuffix(body, ",") + tail
	}
	kinds := []string{
		fill(`{"timestamp":1,"a":[`, `{},`, `]}`),
		fill(`{"timestamp":2,"a":[`, `1,`, `]}`),
		fill(`{"timestamp":3,"a":"`, `\u0000`, `"}`),
		fill(`{"a":[`, `[],`, `]}`),
		fill(`{"timestamp":5,"a":[`, `null,"",`, `]}`),
	}
	for i, r := range kinds {
		dataset := fmt.Sprint("u", i)
		ingest(t, db, "a", dataset, r, `{"timestamp":9}`)
	}
	if _, err := db.Ingest(context.Background(), Batch{Table: "a", Dataset: "u", Records: [][]byte{[]byte(strings.Repeat(" ", most-1) + "{}")}}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a byte more: %v", err)
	}
	for _, tier := range []string{"hot", "cold"} {
		for i, want := range kinds {
			q := Query{Table: "a", Dataset: fmt.Sprint("u", i)}
			n := 0
			for r, err := range db.Read(context.Background(), q) {
				if err != nil || r.Cold != (tier == "cold") {
					t.Fatalf("%s: kind %d, cold %v: %v", tier, i, r.Cold, err)
				}
				if len(r.JSON) > 100 && len(r.JSON) < len(want) {
					t.Errorf("%s: kind %d has %d bytes, want %d", tier, i, len(r.JSON), len(want))
				}
				n++
			}
			if n != 2 {
				t.Errorf("%s: kind %d gives %d records", tier, i, n)
			}
			rows, err := db.Query(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			if err := rows.WriteOCF(context.Background(), &file); err != nil || countOCF(t, file.Bytes()) != 2 {
				t.Errorf("%s: kind %d as an Avro file: %v", tier, i, err)
			}
			rows.Close()
		}
		archive(t, db)
	}
}
