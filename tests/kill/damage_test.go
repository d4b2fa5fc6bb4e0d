package kill

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firndb/firn/wal"
)

// calm are settings under which records stay in the log alone until somebody acts.
var calm = []string{"--memory", "64MiB", "--memory-age", "1h", "--archive-schedule", "off", "--log-level", "warn"}

// hasty are settings under which records leave the log at once.
var hasty = []string{"--memory", "1KiB", "--memory-age", "10ms", "--archive-schedule", "off", "--log-level", "warn"}

// firn runs a command to its end.
func firn(t testing.TB, args ...string) (string, int) {
	t.Helper()
	out, err := exec.Command(binary, args...).CombinedOutput()
	if exit, ok := err.(*exec.ExitError); ok {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out), 0
}

// spoil changes the byte in the middle of a text that stands once in the log's files, and says where.
func spoil(t testing.TB, dir, text string) (name string, offset int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*"))
	if err != nil {
		t.Fatal(err)
	}
	offset = -1
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte(text)); n > 1 || n == 1 && offset >= 0 {
			t.Fatalf("%q stands in the log more than once", text)
		} else if n == 1 {
			name, offset = f, int64(bytes.Index(b, []byte(text))+len(text)/2)
		}
	}
	if offset < 0 {
		t.Fatalf("%q is not in the log", text)
	}
	change(t, name, offset, func(b byte) byte { return b ^ 0x10 })
	return filepath.Base(name), offset
}

func change(t testing.TB, name string, offset int64, f func(byte) byte) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var b [1]byte
	if _, err := file.ReadAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
	b[0] = f(b[0])
	if _, err := file.WriteAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
}

// fed are batches in the log: three records each, the n-th batch of dataset d or e, of table t or u.
func feed(t testing.TB, p *process, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		var lines strings.Builder
		for i := range 3 {
			fmt.Fprintf(&lines, `{"timestamp":%d,"batch":"batch-%d","i":%d}`+"\n", 1000*n+i, n, i)
		}
		p.ingest(t, []string{"t", "u"}[n%2], []string{"d", "e"}[n/2%2], lines.String())
	}
}

// expect demands that exactly these batches are there.
func expect(t testing.TB, when string, p *process, to int, without ...int) {
	t.Helper()
	for _, table := range []string{"t", "u"} {
		for _, dataset := range []string{"d", "e"} {
			var want []string
		batches:
			for n := range to {
				if table != []string{"t", "u"}[n%2] || dataset != []string{"d", "e"}[n/2%2] {
					continue
				}
				for _, w := range without {
					if w == n {
						continue batches
					}
				}
				for i := range 3 {
					want = append(want, fmt.Sprintf(`{"timestamp":%d,"batch":"batch-%d","i":%d}`, 1000*n+i, n, i))
				}
			}
			if got := p.read(t, table, dataset); strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%s: %s/%s reads\n%s\nwant\n%s", when, table, dataset, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

// TestDamage changes bytes of acknowledged batches in the log. The daemon starts, reads what is left,
// takes nothing and says where the damage is; accepting the loss names it, and then it writes again.
func TestDamage(t *testing.T) {
	rows := []struct {
		name   string
		ending func(t testing.TB, p *process)
		lost   []int // batches
	}{
		{"middle, after a kill", func(_ testing.TB, p *process) { p.kill() }, []int{3}},
		{"two places, after a kill", func(_ testing.TB, p *process) { p.kill() }, []int{2, 5}},
		{"neighbours, after a kill", func(_ testing.TB, p *process) { p.kill() }, []int{4, 5, 6}},
		{"first, after a stop", stop, []int{0}},
		{"last, after a stop", stop, []int{9}},
		{"first and last, after a stop", stop, []int{0, 9}},
		{"one table, after a stop", stop, []int{1, 3, 5, 7, 9}},
		{"all, after a stop", stop, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) { testDamage(t, r.ending, r.lost, calm) })
		t.Run(r.name+", hasty", func(t *testing.T) { testDamage(t, r.ending, r.lost, hasty) })
	}
}

func stop(t testing.TB, p *process) {
	if code := p.terminate(t); code != 0 {
		t.Fatalf("exit code %d\n%s", code, p.errors.text())
	}
}

func testDamage(t *testing.T, ending func(testing.TB, *process), lost []int, flags []string) {
	t.Parallel()
	dir := t.TempDir()
	const batches = 10
	p := start(t, dir, calm...)
	feed(t, p, 0, batches)
	ending(t, p)
	lostOf := make(map[string]int)
	type place struct {
		name   string
		offset int64
	}
	var places []place
	for _, n := range lost {
		name, offset := spoil(t, dir, fmt.Sprintf(`"batch-%d","i":1`, n))
		places = append(places, place{name, offset})
		lostOf[[]string{"t", "u"}[n%2]] += 3
	}

	// It stays as it is however often it starts and ends.
	for range 2 {
		p = start(t, dir, flags...)
		a := p.refused(t, 503, "read_only")
		if !strings.Contains(a.Detail, places[0].name) || !strings.Contains(a.Detail, "at offset ") || !strings.Contains(a.Detail, "doctor") {
			t.Errorf("the refusal does not say where the damage is, %v: %s", places, a.Detail)
		}
		ready := p.want(t, 503, "GET", "/readyz", "", "")
		if !strings.Contains(string(ready), places[0].name) {
			t.Errorf("/readyz says %s", ready)
		}
		expect(t, "damaged", p, batches, lost...)
		if b := p.want(t, 503, "POST", "/v1/archive", "", ""); !strings.Contains(string(b), `"read_only"`) {
			t.Errorf("archive of a damaged log: %s", b)
		}
		p.want(t, 200, "GET", "/v1/tables", "", "")
		p.want(t, 200, "GET", "/v1/stats/hot-cold", "", "")
		if out, code := firn(t, "doctor", "--accept-loss", "--data", dir); code != 1 {
			t.Errorf("doctor beside a daemon: exit code %d, %s", code, out)
		}
		stop(t, p)
	}

	out, code := firn(t, "doctor", "--accept-loss", "--data", dir)
	if code != 0 {
		t.Fatalf("doctor: exit code %d, %s", code, out)
	}
	for table, n := range lostOf {
		if want := fmt.Sprintf("lost: %d records of table %q", n, table); !strings.Contains(out, want) {
			t.Errorf("doctor does not say %q:\n%s", want, out)
		}
	}
	for _, at := range places {
		if !strings.Contains(out, at.name) {
			t.Errorf("doctor does not name %v:\n%s", at, out)
		}
	}
	if out, code := firn(t, "doctor", "--accept-loss", "--data", dir); code != 0 || !strings.Contains(out, "not damaged") {
		t.Errorf("doctor once more: exit code %d, %s", code, out)
	}

	books := func(when string, accepted int) {
		t.Helper()
		total := 0
		for table, c := range p.ledger(t) {
			if c.Lost != lostOf[table] {
				t.Errorf("%s: %s has lost %d records, want %d", when, table, c.Lost, lostOf[table])
			}
			total += c.Accepted
		}
		if total != accepted {
			t.Errorf("%s: %d records accepted, want %d", when, total, accepted)
		}
	}
	p = start(t, dir, flags...)
	p.want(t, 200, "GET", "/readyz", "", "")
	books("accepted", 3*batches)
	if &flags[0] == &hasty[0] {
		p.want(t, 200, "POST", "/v1/archive", "", "")
		expect(t, "archived at once", p, batches, lost...)
		books("archived at once", 3*batches)
		p.kill()
		p = start(t, dir, flags...)
		expect(t, "archived at once, killed", p, batches, lost...)
		books("archived at once, killed", 3*batches)
	}
	feed(t, p, batches, batches+4)
	expect(t, "accepted", p, batches+4, lost...)
	books("accepted, with more", 3*(batches+4))
	p.kill()
	p = start(t, dir, flags...)
	expect(t, "accepted, killed", p, batches+4, lost...)
	books("accepted, killed", 3*(batches+4))
	p.want(t, 200, "POST", "/v1/archive", "", "")
	expect(t, "archived", p, batches+4, lost...)
	books("archived", 3*(batches+4))
	feed(t, p, batches+4, batches+8)
	p.kill()
	p = start(t, dir, flags...)
	expect(t, "archived, killed", p, batches+8, lost...)
	books("archived, killed", 3*(batches+8))
	p.want(t, 200, "POST", "/v1/archive", "", "")
	books("archived twice", 3*(batches+8))
	stop(t, p)
}

// end says where the last frame of a log ends, reading a copy of it.
func end(t testing.TB, dir string) (path string, offset int64) {
	t.Helper()
	copied := t.TempDir()
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, filepath.Base(f)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var last wal.Position
	log, recovery, err := wal.Open(copied, wal.Options{MaxFrameBytes: 1 << 30}, func(f wal.Frame) error {
		last = f.End
		return nil
	})
	if err != nil || len(recovery.Damage) > 0 {
		t.Fatalf("the log is not whole: %v, %v", recovery, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, fmt.Sprintf("%08x.wal", uint32(last>>32))) {
			path = f
		}
	}
	if path == "" {
		t.Fatalf("no file holds position %v of %v", last, files)
	}
	return path, int64(last & 0xffffffff)
}

// TestTornTail makes the end of the log look like what a power cut leaves of a group that was being
// written. It is cut off, and nothing else.
func TestTornTail(t *testing.T) {
	garbage := bytes.Repeat([]byte{0xa5, 0x00, 0x17, 0xff, 0x3c}, 20_000)
	write := func(t *testing.T, path string, offset int64, b []byte) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(b, offset); err != nil {
			t.Fatal(err)
		}
	}
	truncate := func(t *testing.T, path string, size int64) {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	}
	// A stop leaves a closing frame at the end, of which nobody was told either.
	rows := []struct {
		name   string
		ending func(testing.TB, *process)
		tear   func(t *testing.T, path string, end int64)
	}{
		{"garbage of some bytes", kill, func(t *testing.T, path string, end int64) { write(t, path, end, garbage[:17]) }},
		{"garbage of many pages", kill, func(t *testing.T, path string, end int64) { write(t, path, end, garbage) }},
		{"garbage behind a hole", kill, func(t *testing.T, path string, end int64) { write(t, path, end+8192, garbage) }},
		{"garbage past the end of the file", kill, func(t *testing.T, path string, end int64) {
			truncate(t, path, end)
			write(t, path, end, garbage[:4097])
		}},
		{"nothing behind the end", kill, func(t *testing.T, path string, end int64) { truncate(t, path, end) }},
		{"closing frame cut short", stop, func(t *testing.T, path string, end int64) { truncate(t, path, end-5) }},
		{"closing frame changed", stop, func(t *testing.T, path string, end int64) {
			change(t, path, end-9, func(b byte) byte { return b ^ 0x40 })
		}},
		{"closing frame gone", stop, func(t *testing.T, path string, end int64) { write(t, path, end-48, make([]byte, 48)) }},
		{"closing frame changed, garbage", stop, func(t *testing.T, path string, end int64) { write(t, path, end-9, garbage) }},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := start(t, dir, calm...)
			feed(t, p, 0, 5)
			r.ending(t, p)
			path, at := end(t, dir)
			r.tear(t, path, at)
			for n := 5; n < 20; n += 5 {
				p = start(t, dir, calm...)
				p.want(t, 200, "GET", "/readyz", "", "")
				expect(t, "after the tear", p, n)
				for table, c := range p.ledger(t) {
					if c.Lost != 0 {
						t.Errorf("%s has lost %d records", table, c.Lost)
					}
				}
				feed(t, p, n, n+5)
				p.kill()
			}
			if out, code := firn(t, "doctor", "--accept-loss", "--data", dir); code != 0 || !strings.Contains(out, "not damaged") {
				t.Errorf("doctor: exit code %d, %s", code, out)
			}
		})
	}
}

func kill(_ testing.TB, p *process) { p.kill() }
