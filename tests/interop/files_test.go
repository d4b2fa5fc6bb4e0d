package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firndb/firn/engine"
	"github.com/firndb/firn/tests/harness"
	"github.com/twmb/avro/ocf"
)

// sample is a file with the records that must come out of it.
type sample struct {
	name   string
	path   string
	table  string
	want   []string       // in this order; nil for block files
	serial map[int]string // of block files: the records that may come, by member n
}

// step is the time between two records: 400 of them are over four days.
const (
	step  = 15 * time.Minute
	start = 1_709_150_400_000 // 2024-02-28 20:00 UTC
)

func at(n int) int64 { return start + int64(n)*step.Milliseconds() }

// plain gives a record of the table's first schema version.
func plain(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"timestamp":%d,"n":%d,"on":%t,"score":%v,"name":"Zoë 😀 \"%d\" \\ \u2028","tags":["a","b%d"]`,
		at(n), n, n%2 == 0, float64(n)*0.1, n, n)
	fmt.Fprintf(&b, `,"pos":{"x":%d,"y":-2.5e-7,"deep":{"on":true,"list":[]}},"id.orig_h":"10.0.0.%d","Name":null,"none":null,"empty":{}`, -n, n%256)
	switch n % 3 {
	case 0:
		b.WriteString(`,"note":null`)
	case 1:
		b.WriteString(`,"note":"nul\u0000tail"`)
	}
	return b.String() + "}"
}

// wide gives a record that needs much that plain does not.
func wide(n int) string {
	b := strings.TrimSuffix(plain(n), "}")
	switch n % 4 {
	case 0:
		b = strings.Replace(b, `"on":true`, `"on":"yes"`, 1)
		b += `,"late":{"list":[{"a":1},{"b":null},{},null]},"dataset_id":"u1","table":"another"`
	case 1:
		b = strings.Replace(b, `"score":`, `"score":9007199254740993,"was":`, 1)
		b += `,"mixed":[null,1,2.5,"x",[1,[true]],{"k":1},123456789012345678901234567890],"table":"mixed"`
	case 2:
		b = strings.Replace(b, fmt.Sprintf(`"timestamp":%d`, at(n)), `"timestamp":"`+time.UnixMilli(at(n)).UTC().Format(time.RFC3339)+`"`, 1)
		b += `,"mixed":{"json":["no Json"],"k":2},"big":1e400,"small":-0.0`
	case 3:
		b += `,"mixed":0.1234567890123456789,"dataset_id":7,"_firn":1,"_rest":2,"@timestamp":3,"TAGS":[[],[[1]]]`
		for k := 0; k < 300 && n%8 == 3; k++ { // more keys than a record type has as fields
			b += fmt.Sprintf(`,"k%d":%d`, k, n)
		}
	}
	return b + "}"
}

// hostile gives a record for whose keys no schema has room.
func hostile(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"timestamp":%d,"n":%d`, at(n), n)
	for i := range 6 {
		fmt.Fprintf(&b, `,"o%d":{"x":[1.50,null]`, i)
		for j := range 200 {
			fmt.Fprintf(&b, `,"%s%d":%d`, strings.Repeat("é", 490), j, n)
		}
		b.WriteString("}")
	}
	return b.String() + "}"
}

// ages are records of the earliest and the latest times there are.
var ages = []string{
	`{"timestamp":-62135596800000,"n":1}`,
	`{"timestamp":-62135596799999,"n":2}`,
	`{"timestamp":-1,"n":3}`,
	`{"timestamp":0,"n":4}`,
	`{"timestamp":253402300799999,"n":5}`,
}

func span(make func(int) string, from, to int) []string {
	var out []string
	for n := from; n < to; n++ {
		out = append(out, make(n))
	}
	return out
}

// bench is a daemon that collects samples.
type bench struct {
	*harness.Daemon
	out     string
	samples []sample
}

func (b *bench) ingest(t *testing.T, table, dataset string, records []string) {
	t.Helper()
	b.Post(t, strings.Replace(harness.ReadPath(table, dataset), "/v1/read", "/v1/ingest", 1), "application/x-ndjson", []byte(strings.Join(records, "\n")), http.StatusOK)
}

// answer keeps what a read gives as a sample.
func (b *bench) answer(t *testing.T, name, table string, want []string, more ...string) []byte {
	t.Helper()
	body := b.Get(t, harness.ReadPath(table, "u1", append([]string{"format", "ocf"}, more...)...))
	path := filepath.Join(b.out, strings.ReplaceAll(name, " ", "-")+".avro")
	if err := os.WriteFile(path, body, 0o666); err != nil {
		t.Fatal(err)
	}
	b.samples = append(b.samples, sample{name: name, path: path, table: table, want: want})
	return body
}

// odd is a table whose name is no Avro name, no file name and no plain text.
const odd = "Ζeus/.. %40 1"

// collect makes all samples of a codec.
func collect(t *testing.T, codec string) []sample {
	var o engine.Options
	o.Manual = true
	o.Block.Codec, o.Block.TargetBytes = codec, 2<<10
	b := &bench{Daemon: harness.Start(t, t.TempDir(), o), out: t.TempDir()}
	archive := func() { b.Post(t, "/v1/archive", "", nil, http.StatusOK) }

	for from := 0; from < 150; from += 50 {
		b.ingest(t, "mixed", "u1", span(plain, from, from+50))
		b.ingest(t, "mixed", "u2", span(plain, 1000+from, 1000+from+50))
		archive()
	}
	spliced := b.answer(t, "several files", "mixed", span(plain, 0, 150))
	b.holdsBlocks(t, "mixed", spliced)
	b.ingest(t, "mixed", "u1", span(plain, 150, 200))
	b.answer(t, "several files and hot records", "mixed", span(plain, 0, 200))
	b.ingest(t, "mixed", "u1", span(wide, 200, 250))
	b.answer(t, "files narrower than hot records", "mixed", append(span(plain, 0, 200), span(wide, 200, 250)...))
	archive()
	b.ingest(t, "mixed", "u1", span(wide, 250, 300))
	archive()
	all := append(span(plain, 0, 200), span(wide, 200, 300)...)
	b.holdsBlocks(t, "mixed", b.answer(t, "widened in between", "mixed", all), at(250))
	b.ingest(t, "mixed", "u1", span(wide, 300, 320))
	all = append(all, span(wide, 300, 320)...)
	b.answer(t, "widened and hot records", "mixed", all)
	b.answer(t, "cut", "mixed", all[37:302], "from", fmt.Sprint(at(37)), "to", fmt.Sprint(at(301)))
	b.answer(t, "cut within one version", "mixed", all[253:288], "from", fmt.Sprint(at(253)), "to", fmt.Sprint(at(287)))
	b.answer(t, "limited", "mixed", all[:261], "limit", "261")
	down := make([]string, len(all))
	for i, rec := range all {
		down[len(all)-1-i] = rec
	}
	b.answer(t, "downwards", "mixed", down, "order", "desc")
	b.answer(t, "nothing between", "mixed", nil, "from", "0", "to", "1")
	b.answer(t, "nothing at all", "nowhere", nil)

	b.ingest(t, odd, "u1", span(wide, 0, 40))
	b.ingest(t, "hostile", "u1", span(hostile, 0, 3))
	b.ingest(t, "ages", "u1", ages)
	archive()
	b.answer(t, "first and last times", "ages", ages)
	b.answer(t, "a table of an odd name", odd, span(wide, 0, 40))
	b.ingest(t, "hostile", "u1", span(hostile, 3, 5))
	b.answer(t, "fallback schema and hot records", "hostile", span(hostile, 0, 5))
	b.blockFiles(t)
	return b.samples
}

// holdsBlocks checks that an answer is made of the blocks as they lie in the files: all that begin
// at or behind a time.
func (b *bench) holdsBlocks(t *testing.T, table string, answer []byte, from ...int64) {
	t.Helper()
	query := []string{}
	if len(from) > 0 {
		query = append(query, "from", fmt.Sprint(from[0]))
	}
	var plan struct {
		Blocks []struct {
			File           string
			Offset, Length int64
		}
	}
	explained := b.Get(t, strings.Replace(harness.ReadPath(table, "u1", query...), "/v1/read", "/v1/explain", 1))
	if err := json.Unmarshal(explained, &plan); err != nil || len(plan.Blocks) < 5 {
		t.Fatalf("the plan is %s (%v)", explained, err)
	}
	for _, block := range plan.Blocks {
		file, err := os.ReadFile(filepath.Join(b.Dir, "store", filepath.FromSlash(block.File)))
		if err != nil {
			t.Fatal(err)
		}
		// The sync marker that ends the block is the same in both files, too.
		if !bytes.Contains(answer, file[block.Offset:block.Offset+block.Length]) {
			t.Fatalf("the answer does not hold the block of %s at %d", block.File, block.Offset)
		}
	}
}

// blockFiles adds all block files of the store to the samples.
func (b *bench) blockFiles(t *testing.T) {
	t.Helper()
	var list struct {
		Files []struct{ Path, Table string }
	}
	if err := json.Unmarshal(b.Get(t, "/v1/files"), &list); err != nil {
		t.Fatal(err)
	}
	mixed := make(map[int]string)
	for n := range 150 {
		mixed[n], mixed[1000+n] = plain(n), plain(1000+n)
	}
	for n := 150; n < 300; n++ {
		mixed[n] = plain(n)
		if n >= 200 {
			mixed[n] = wide(n)
		}
	}
	for n := 300; n < 320; n++ {
		mixed[n] = wide(n)
	}
	serials := map[string]map[int]string{"mixed": mixed, odd: {}, "hostile": {}, "ages": {}}
	for n := range 40 {
		serials[odd][n] = wide(n)
	}
	for n := range 3 {
		serials["hostile"][n] = hostile(n)
	}
	for i, rec := range ages {
		serials["ages"][i+1] = rec
	}
	for _, f := range list.Files {
		b.samples = append(b.samples, sample{
			name: f.Path, table: f.Table, serial: serials[f.Table],
			path: filepath.Join(b.Dir, "store", filepath.FromSlash(f.Path)),
		})
	}
	if len(list.Files) < 12 {
		t.Fatalf("only %d block files", len(list.Files))
	}
}

// metaOf reads the header of a file with a reader that knows every codec.
func metaOf(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := ocf.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	defer r.Close()
	return r.Metadata()
}

// check compares what a reader gave of a sample.
func (r *reader) check(t *testing.T, s *sample, records []any, seen map[string]int) {
	t.Helper()
	meta := metaOf(t, s.path)
	if got := string(meta["firn.table"]); got != s.table {
		t.Errorf("%s: the header's table is %q, want %q", s.name, got, s.table)
	}
	if s.serial == nil && len(records) != len(s.want) {
		t.Errorf("%s: %s gives %d records, want %d", s.name, r.name, len(records), len(s.want))
		return
	}
	l, err := parseLayout(meta["avro.schema"], r.wrapped)
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	for i, v := range records {
		got, err := l.record(v)
		if err != nil {
			t.Errorf("%s: %s: record %d: %v", s.name, r.name, i, err)
			return
		}
		want := ""
		if s.serial == nil {
			want = s.want[i]
		} else {
			var n struct{ N int }
			if err := json.Unmarshal(got, &n); err != nil {
				t.Fatal(err)
			}
			want = s.serial[n.N]
			seen[fmt.Sprintf("%s %d", s.table, n.N)]++
		}
		if r.untilNUL {
			want = strings.ReplaceAll(want, `\u0000tail`, "")
		}
		if diff := harness.EqualJSON(got, []byte(want)); diff != "" {
			t.Errorf("%s: %s: record %d: %s", s.name, r.name, i, diff)
			return
		}
	}
}

// TestReaders holds every reader against every codec.
func TestReaders(t *testing.T) {
	cells := make(map[string]map[string]string)
	for _, codec := range codecs {
		t.Run(codec, func(t *testing.T) {
			samples := collect(t, codec)
			var paths []string
			byPath := make(map[string]*sample)
			for i := range samples {
				paths = append(paths, samples[i].path)
				byPath[samples[i].path] = &samples[i]
				if got := string(metaOf(t, samples[i].path)["avro.codec"]); got != codec && len(samples[i].want) > 0 {
					t.Fatalf("%s: codec %q", samples[i].name, got)
				}
			}
			for _, r := range readers {
				t.Run(r.name, func(t *testing.T) {
					if cells[r.name] == nil {
						cells[r.name] = make(map[string]string)
					}
					cells[r.name][codec] = "not tried"
					r.need(t)
					cells[r.name][codec] = r.cell(t, codec, paths, byPath)
				})
			}
		})
	}
	t.Logf("\n%s", table(cells))
}

// cell reads all samples of a codec and says what came of it.
func (r *reader) cell(t *testing.T, codec string, paths []string, byPath map[string]*sample) string {
	read, refused := 0, 0
	seen := make(map[string]int)
	err := r.all(paths, func(path string, records []any, err error) {
		s := byPath[path]
		switch {
		case errors.Is(err, errCodec) && !r.codecs[codec]:
			refused++
		case err != nil:
			t.Errorf("%s: %v", s.name, err)
		default:
			read++
			r.check(t, s, records, seen)
		}
	})
	if err != nil {
		t.Error(err)
	}
	if read+refused != len(paths) {
		t.Errorf("%d of %d files were read, %d refused", read, len(paths), refused)
	}
	if refused == len(paths) {
		return "no"
	}
	if !r.codecs[codec] {
		t.Errorf("%s now reads %s: change what is expected, and docs/formats.md", r.name, codec)
	}
	for key, n := range seen {
		if n != 1 {
			t.Errorf("record %s stands in %d block files", key, n)
		}
	}
	if want := 2*150 + 170 + 40 + 3 + len(ages); len(seen) != want {
		t.Errorf("the block files hold %d records, want %d", len(seen), want)
	}
	if t.Failed() {
		return "FAILS"
	}
	return "yes"
}

// need skips where the reader is not installed; but where it must be, it fails.
func (r *reader) need(t *testing.T) {
	t.Helper()
	why := r.missing()
	switch {
	case why == "":
	case os.Getenv("CI") != "":
		t.Fatalf("%s is not here: %s", r.name, why)
	default:
		fmt.Fprintf(os.Stderr, "interop: NOT TRIED: %s: %s\n", r.name, why)
		t.Skipf("%s is not here: %s", r.name, why)
	}
}

// table draws the cells as docs/formats.md has them.
func table(cells map[string]map[string]string) string {
	var b strings.Builder
	b.WriteString("| reader | " + strings.Join(codecs, " | ") + " |\n|---|" + strings.Repeat("---|", len(codecs)) + "\n")
	for _, r := range readers {
		b.WriteString("| " + r.name + " |")
		for _, codec := range codecs {
			b.WriteString(" " + cells[r.name][codec] + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// headerLength is where the first block of a file begins: behind the sync marker, which also ends
// the file, and which the header has once.
func headerLength(t *testing.T, path string) int64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return int64(bytes.Index(b, b[len(b)-16:]) + 16)
}
