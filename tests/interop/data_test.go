package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/firndb/firn/engine"
	"github.com/firndb/firn/tests/harness"
)

type series struct{ table, dataset string }

type record struct {
	ms   int64
	line []byte
}

// load sends lines of the real data sets, at most so many of each file (0: all), archives them, and
// gives the records of each series in the order in which they must lie in its block files.
func load(t *testing.T, d *harness.Daemon, most int) map[series][]record {
	root := harness.Data(t)
	want := make(map[series][]record)
	for _, part := range []string{"battle", "battle-rows", "logs", "events"} {
		files, err := filepath.Glob(filepath.Join(root, part, "*.ndjson.gz"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files (%v)", part, err)
		}
		for _, file := range files {
			lines := harness.Lines(t, file)
			if most > 0 {
				lines = lines[:min(most, len(lines))]
			}
			for chunk := range slices.Chunk(lines, 1000) {
				d.Post(t, "/v1/ingest?dataset_field=dataset_id&table_field=table", "application/x-ndjson", bytes.Join(chunk, []byte("\n")), 200)
			}
			for _, line := range lines {
				s, r := parse(t, line)
				want[s] = append(want[s], r)
			}
		}
	}
	d.Post(t, "/v1/archive", "", nil, 200)
	for _, records := range want {
		slices.SortStableFunc(records, func(a, b record) int { return int(min(max(a.ms-b.ms, -1), 1)) })
	}
	return want
}

// parse takes the three members that every line begins with.
func parse(t *testing.T, line []byte) (series, record) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	member := func(name string) string {
		for _, want := range []any{name, nil} {
			tok, err := d.Token()
			if err != nil || want != nil && tok != want {
				t.Fatalf("%.100s: %v, want %v (%v)", line, tok, want, err)
			}
			if want == nil {
				return fmt.Sprint(tok)
			}
		}
		return ""
	}
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	ms, err := strconv.ParseInt(member("timestamp"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	dataset := member("dataset_id")
	return series{member("table"), dataset}, record{ms, line}
}

// blockFiles gives path and table of all block files, in the order of their records: every table's
// day by day.
func blockFiles(t *testing.T, d *harness.Daemon) (paths []string, tables map[string]string) {
	var list struct {
		Files []struct{ Path, Table string }
	}
	if err := json.Unmarshal(d.Get(t, "/v1/files"), &list); err != nil {
		t.Fatal(err)
	}
	tables = make(map[string]string)
	for _, f := range list.Files {
		path := filepath.Join(d.Dir, "store", filepath.FromSlash(f.Path))
		paths = append(paths, path)
		tables[path] = f.Table
	}
	slices.Sort(paths)
	return paths, tables
}

// walk holds the records of files against those that were sent, as they come.
type walk struct {
	t      *testing.T
	want   map[series][]record
	tables map[string]string
	at     map[series]int
	table  string
	path   string
	failed int
}

func newWalk(t *testing.T, want map[series][]record, tables map[string]string) *walk {
	return &walk{t: t, want: want, tables: tables, at: make(map[series]int)}
}

func (w *walk) file(path string) { w.path, w.table = path, w.tables[path] }

// next gives the record that must come, and checks dataset and time.
func (w *walk) next(dataset string, ms int64) []byte {
	s := series{w.table, dataset}
	i := w.at[s]
	w.at[s]++
	if i >= len(w.want[s]) || w.want[s][i].ms != ms {
		w.fail("record %d of %v has time %d", i, s, ms)
		return nil
	}
	return w.want[s][i].line
}

func (w *walk) fail(format string, args ...any) {
	if w.failed++; w.failed < 5 {
		w.t.Errorf("%s: %s", w.path, fmt.Sprintf(format, args...))
	}
}

func (w *walk) end() {
	n := 0
	for s, records := range w.want {
		if w.at[s] != len(records) {
			w.fail("%d records of %v, want %d", w.at[s], s, len(records))
		}
		n += len(records)
	}
	w.t.Logf("%d records of %d series in %d files", n, len(w.want), len(w.tables))
}

// TestData opens every block file that the real data sets give: all of them with deflate, the
// beginning of each file of theirs with the other codecs.
func TestData(t *testing.T) {
	for _, codec := range codecs {
		t.Run(codec, func(t *testing.T) {
			var o engine.Options
			o.Manual = true
			o.Block.Codec = codec
			d := harness.Start(t, t.TempDir(), o)
			most := 40
			if codec == "deflate" && !testing.Short() {
				most = 0
			}
			want := load(t, d, most)
			paths, tables := blockFiles(t, d)
			for _, r := range readers {
				if !r.codecs[codec] {
					continue
				}
				t.Run(r.name, func(t *testing.T) {
					r.need(t)
					w := newWalk(t, want, tables)
					r.data(w, paths)
					w.end()
				})
			}
		})
	}
}

// data reads files: goavro whole records, the others dataset and time of each.
func (r *reader) data(w *walk, paths []string) {
	headOf := func(v any) error {
		dataset, ms, err := head(v)
		if err == nil {
			w.next(dataset, ms)
		}
		return err
	}
	var err error
	switch r.name {
	case "Python (avro)":
		err = headsPython(paths, w.file, func(dataset string, ms int64) { w.next(dataset, ms) })
	case "Avro C tools (avrocat)":
		for _, path := range paths {
			w.file(path)
			if err := headsAvrocat(path, func(dataset string, ms int64) { w.next(dataset, ms) }); err != nil {
				w.fail("%v", err)
			}
		}
	case "Go (linkedin/goavro)":
		for _, path := range paths {
			w.file(path)
			l, err := parseLayout(metaOf(w.t, path)["avro.schema"], r.wrapped)
			if err != nil {
				w.fail("%v", err)
				continue
			}
			err = r.read(path, func(v any) error {
				dataset, ms, err := head(v)
				if err != nil {
					return err
				}
				want := w.next(dataset, ms)
				got, err := l.record(v)
				if err == nil && want != nil {
					if diff := harness.EqualJSON(got, want); diff != "" {
						w.fail("%s", diff)
					}
				}
				return err
			})
			if err != nil {
				w.fail("%v", err)
			}
		}
	default:
		for _, path := range paths {
			w.file(path)
			if err := r.read(path, headOf); err != nil {
				w.fail("%v", err)
			}
		}
	}
	if err != nil {
		w.fail("%v", err)
	}
}

// headsAvrocat takes dataset and time from the beginning of each line that avrocat prints, which is
// quicker than parsing the lines.
func headsAvrocat(path string, record func(string, int64)) error {
	out, err := exec.Command("avrocat", path).Output()
	if err != nil {
		return err
	}
	for _, line := range harness.SplitLines(out) {
		rest, ok := strings.CutPrefix(string(line[:min(len(line), 600)]), `{"dataset_id": `)
		quoted, rest, ok2 := strings.Cut(rest, `, "timestamp": `)
		number, _, ok3 := strings.Cut(rest, ",")
		dataset, err := strconv.Unquote(quoted)
		if !ok || !ok2 || !ok3 || err != nil {
			return fmt.Errorf("%.100s", line)
		}
		ms, err := strconv.ParseInt(strings.TrimSuffix(number, "}"), 10, 64)
		if err != nil {
			return err
		}
		record(dataset, ms)
	}
	return nil
}

// TestSidecars opens the sidecars, which are Avro files, too: their rows must add up to what their
// headers say.
func TestSidecars(t *testing.T) {
	d := harness.Start(t, t.TempDir(), engine.Options{Manual: true, Block: engine.BlockOptions{TargetBytes: 1 << 10, Codec: "zstandard"}})
	b := &bench{Daemon: d}
	for n := 0; n < 400; n += 100 {
		b.ingest(t, "mixed", "u1", span(wide, n, n+100))
		b.ingest(t, "mixed", "Zoë", span(plain, n, n+100))
		b.Post(t, "/v1/archive", "", nil, 200)
	}
	paths, _ := blockFiles(t, d)
	type sum struct{ records, length, rows int64 }
	want := make(map[string]sum)
	var sidecars []string
	for _, path := range paths {
		path = strings.TrimSuffix(path, ".avro") + ".idx"
		meta := metaOf(t, path)
		number := func(key string) int64 {
			n, err := strconv.ParseInt(string(meta[key]), 10, 64)
			if err != nil {
				t.Fatalf("%s: %s: %v", path, key, err)
			}
			return n
		}
		header := headerLength(t, strings.TrimSuffix(path, ".idx")+".avro")
		want[path] = sum{number("firn.records"), number("firn.size") - header, number("firn.blocks")}
		sidecars = append(sidecars, path)
	}
	for _, r := range readers {
		t.Run(r.name, func(t *testing.T) {
			r.need(t)
			n := 0
			err := r.all(sidecars, func(path string, records []any, err error) {
				if err != nil {
					t.Errorf("%s: %v", path, err)
				}
				n++
				got := sum{rows: int64(len(records))}
				for _, v := range records {
					row := v.(map[string]any)
					got.records += whole(t, row["records"])
					got.length += whole(t, row["length"])
				}
				if got != want[path] {
					t.Errorf("%s: %+v, want %+v", path, got, want[path])
				}
			})
			if err != nil || n != len(sidecars) || n < 8 {
				t.Errorf("%d of %d sidecars: %v", n, len(sidecars), err)
			}
		})
	}
}

func whole(t *testing.T, v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			t.Error(err)
		}
		return n
	}
	t.Errorf("a number is %T", v)
	return 0
}
