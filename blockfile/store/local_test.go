package store

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// recording replaces the fsync of folders by one that notes the folder, as a
// path below root's parent, and fails where told to.
type recording struct {
	base   string
	synced []string
	fail   string // a folder whose fsync fails
}

var errDisk = errors.New("input/output error")

func (r *recording) sync(dir string) error {
	rel, err := filepath.Rel(r.base, dir)
	if err != nil {
		return err
	}
	r.synced = append(r.synced, rel)
	if rel == r.fail {
		return errDisk
	}
	return syncDir(dir)
}

func openRecording(t *testing.T) (*Local, *recording) {
	t.Helper()
	base := t.TempDir()
	l, err := OpenLocal(filepath.Join(base, "store"))
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{base: base}
	l.syncDir = r.sync
	return l, r
}

func (r *recording) want(t *testing.T, what string, want ...string) {
	t.Helper()
	if !slices.Equal(r.synced, want) {
		t.Errorf("%s synced folders\n%q, want\n%q", what, r.synced, want)
	}
	r.synced = nil
}

// Which folders are synced when: a lost fsync shows here as a difference.
func TestLocalSyncsFolders(t *testing.T) {
	l, r := openRecording(t)
	put := func(key string) error { return l.PutIfAbsent(t.Context(), key, []byte("x")) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(put("t/d1/a"))
	r.want(t, "first object", ".", "store", "store/t", "store/t/d1")
	must(put("t/d1/b"))
	r.want(t, "second in the folder", "store/t/d1")
	must(put("t/d2/a"))
	r.want(t, "second folder", "store/t", "store/t/d2")
	if err := put("t/d2/a"); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	r.want(t, "taken key", "store/t/d2")
	must(l.Delete(t.Context(), "t/d1/a"))
	r.want(t, "delete", "store/t/d1")
	must(l.Delete(t.Context(), "t/d1/a"))
	r.want(t, "delete of the absent")
	must(l.Delete(t.Context(), "t/d1/b"))
	r.want(t, "delete of the last", "store/t/d1")
	must(put("t/d1/a"))
	r.want(t, "folder made again", "store/t", "store/t/d1")

	// A folder that an earlier process made may not be durable yet.
	second, err := OpenLocal(l.Root())
	must(err)
	second.syncDir = r.sync
	must(second.PutIfAbsent(t.Context(), "t/d1/z", nil))
	r.want(t, "first object of a new process", "store", "store/t", "store/t/d1")
	if _, err := l.Get(t.Context(), "t/d1/z", 10); err != nil {
		t.Fatal(err)
	}
	r.want(t, "reading")
}

func TestLocalRefusesWritesAfterFailedSync(t *testing.T) {
	for _, failing := range []string{"store", "store/t", "store/t/d"} {
		l, r := openRecording(t)
		if err := l.PutIfAbsent(t.Context(), "other/a", []byte("kept")); err != nil {
			t.Fatal(err)
		}
		r.fail = failing
		err := l.PutIfAbsent(t.Context(), "t/d/a", []byte("x"))
		if !errors.Is(err, errDisk) || errors.Is(err, ErrExists) {
			t.Fatalf("put with failing sync of %s: %v", failing, err)
		}
		r.fail = ""
		for what, err := range map[string]error{
			"put again":    l.PutIfAbsent(t.Context(), "t/d/a", []byte("x")),
			"put another":  l.PutIfAbsent(t.Context(), "other/b", []byte("x")),
			"delete":       l.Delete(t.Context(), "other/a"),
			"create error": func() error { _, err := l.Create(t.Context(), "u"); return err }(),
		} {
			if !errors.Is(err, errDisk) {
				t.Errorf("after failing sync of %s: %s: %v", failing, what, err)
			}
		}
		if b, err := l.Get(t.Context(), "other/a", 10); err != nil || string(b) != "kept" {
			t.Errorf("read after failed sync: %q, %v", b, err)
		}
		anew, err := OpenLocal(l.Root())
		if err != nil {
			t.Fatal(err)
		}
		if err := anew.PutIfAbsent(t.Context(), "other/b", nil); err != nil {
			t.Errorf("after opening anew: %v", err)
		}
	}
}

func TestLocalFailedDeleteSync(t *testing.T) {
	l, r := openRecording(t)
	if err := l.PutIfAbsent(t.Context(), "t/a", nil); err != nil {
		t.Fatal(err)
	}
	r.fail = "store/t"
	if err := l.Delete(t.Context(), "t/a"); !errors.Is(err, errDisk) {
		t.Fatalf("Delete with a failing sync: %v", err)
	}
	if err := l.Delete(t.Context(), "t/a"); !errors.Is(err, errDisk) {
		t.Fatalf("Delete after a failed sync: %v", err)
	}
}

func TestLocalLeavesNoTemporaries(t *testing.T) {
	l, r := openRecording(t)
	count := func() int {
		entries, err := os.ReadDir(l.temporaries())
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	if err := l.PutIfAbsent(t.Context(), "t/a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := l.PutIfAbsent(t.Context(), "t/a", []byte("x")); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	u, err := l.Create(t.Context(), "t/b")
	if err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 1 {
		t.Fatalf("%d temporaries with one upload open", n)
	}
	u.Abort()
	r.fail = "store/t"
	if err := l.PutIfAbsent(t.Context(), "t/c", []byte("x")); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d temporaries left", n)
	}
}

func TestOpenLocalRemovesLeftovers(t *testing.T) {
	l, _ := openRecording(t)
	u, err := l.Create(t.Context(), "t/alive")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write([]byte("alive")); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(l.temporaries(), "DEAD")
	if err := os.WriteFile(dead, []byte("left behind"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLocal(l.Root()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("leftover of a dead process: %v", err)
	}
	if err := u.Commit(t.Context()); err != nil {
		t.Errorf("upload of a living process: %v", err)
	}
	if b, err := l.Get(t.Context(), "t/alive", 10); err != nil || string(b) != "alive" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestLocalReadersLeaveNoTrace(t *testing.T) {
	root := filepath.Join(t.TempDir(), "store")
	l, err := OpenLocal(root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Get(t.Context(), "a/b", 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	if err := l.List(t.Context(), "", "", func(string, int64) error { return errors.New("listed") }); err != nil {
		t.Errorf("List: %v", err)
	}
	if err := l.Delete(t.Context(), "a/b"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	l.Close()
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}
}

func TestOpenLocalRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{"", file, filepath.Join(file, "below")} {
		if l, err := OpenLocal(root); err == nil {
			t.Errorf("OpenLocal(%q) = %v", root, l.Root())
		}
	}
}

// What is in the folder but not written by firn is listed, so that it can be
// reported, and links are never followed out of the root by a listing.
func TestLocalForeignFiles(t *testing.T) {
	l, _ := openRecording(t)
	if err := l.PutIfAbsent(t.Context(), "t/a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README", "t/.hidden", ".DS_Store"} {
		if err := os.WriteFile(filepath.Join(l.Root(), name), []byte("foreign"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(l.Root(), filepath.Join(l.Root(), "t", "loop")); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := l.List(t.Context(), "", "", func(key string, _ int64) error { got = append(got, key); return nil })
	if want := []string{".DS_Store", "README", "t/.hidden", "t/a"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("listed %q, %v; want %q", got, err, want)
	}
	if err := l.Delete(t.Context(), "t/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(l.Root(), "t", ".hidden")); err != nil {
		t.Errorf("foreign file gone: %v", err)
	}
}

func TestLocalFilesOpenElsewhere(t *testing.T) {
	l, _ := openRecording(t)
	if err := l.PutIfAbsent(t.Context(), "t/date=2024-05-01/f.avro", []byte("plain")); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(l.Root(), "t", "date=2024-05-01", "f.avro"))
	if err != nil || string(b) != "plain" {
		t.Errorf("%q, %v", b, err)
	}
}

// The file grows or shrinks under an upload: the commit must not pass.
func TestLocalCommitChecksLength(t *testing.T) {
	l, _ := openRecording(t)
	u, err := l.Create(t.Context(), "t/a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write([]byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(u.(*localUpload).file.Name(), 4); err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(t.Context()); err == nil {
		t.Error("a shortened file was committed")
	}
	if _, err := l.Size(t.Context(), "t/a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Size: %v", err)
	}
}

func TestLocalMakesFoldersAgainThatOthersRemoved(t *testing.T) {
	l, _ := openRecording(t)
	if err := l.PutIfAbsent(t.Context(), "t/d/a", nil); err != nil {
		t.Fatal(err)
	}
	other, err := OpenLocal(l.Root())
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Delete(t.Context(), "t/d/a"); err != nil {
		t.Fatal(err)
	}
	if err := l.PutIfAbsent(t.Context(), "t/d/b", nil); err != nil {
		t.Errorf("put into a folder that another process removed: %v", err)
	}
}

func TestEscapeSegment(t *testing.T) {
	for name, want := range map[string]string{
		"battle": "battle", "": "%", ".": "%2E", "..": "%2E.", "...": "%2E..", "_firn": "%5Ffirn", "a_b": "a_b",
		"a/b": "a%2Fb", "date=1": "date%3D1", "a b": "a%20b", "%41": "%2541", "é": "%C3%A9", "A-b.c~d": "A-b.c~d",
		"\x00": "%00", `\`: "%5C", "*": "%2A", ".firn-tmp": "%2Efirn-tmp",
	} {
		if got := EscapeSegment(name); got != want {
			t.Errorf("EscapeSegment(%q) = %q, want %q", name, got, want)
		}
		if err := CheckKey(want); err != nil {
			t.Errorf("%q: %v", want, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "_firn", "a/b", "%41", "%2e", "%2", "%%", "%2G", "a%2", "a=b", "é", "a\x00", "b%", "%2F%"} {
		if got, err := UnescapeSegment(bad); err == nil {
			t.Errorf("UnescapeSegment(%q) = %q, want an error", bad, got)
		}
	}
}

func FuzzSegment(f *testing.F) {
	for _, s := range []string{"", "a", ".", "_x", "%41", "é", "a%2Fb", "%2E.", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		esc := EscapeSegment(s)
		if len(s) <= 85 {
			if err := CheckKey(esc); err != nil {
				t.Fatalf("%q escapes to %q: %v", s, esc, err)
			}
		}
		if strings.ContainsAny(esc, "/=\\ ") {
			t.Fatalf("%q escapes to %q", s, esc)
		}
		if back, err := UnescapeSegment(esc); err != nil || back != s {
			t.Fatalf("%q, escaped %q, comes back as %q, %v", s, esc, back, err)
		}
		if name, err := UnescapeSegment(s); err == nil && EscapeSegment(name) != s {
			t.Fatalf("%q is accepted but is not canonical", s)
		}
	})
}

func TestCounting(t *testing.T) {
	c := NewCounting(NewMemory())
	ctx := t.Context()
	u, err := c.Create(ctx, "up")
	if err != nil {
		t.Fatal(err)
	}
	u.Write(bytes.Repeat([]byte{1}, 100))
	u.Commit(ctx)
	u.Abort()
	c.PutIfAbsent(ctx, "put", make([]byte, 10))
	c.PutIfAbsent(ctx, "put", make([]byte, 10))
	c.Get(ctx, "put", 100)
	c.Get(ctx, "none", 100)
	c.ReadRange(ctx, "up", 50, make([]byte, 25))
	c.ReadRange(ctx, "up", 99, make([]byte, 2))
	c.Size(ctx, "up")
	c.List(ctx, "", "", func(string, int64) error { return nil })
	c.Delete(ctx, "up")
	want := Counts{
		Creates: 1, Commits: 1, Aborts: 1, Puts: 2, Gets: 2, RangeReads: 2, Sizes: 1, Lists: 1, Deletes: 1,
		ReadBytes: 35, WrittenBytes: 110, FailedReads: 2, FailedWrites: 1,
	}
	if got := c.Counts(); got != want {
		t.Errorf("counts %+v\n  want %+v", got, want)
	}
	if got := c.Counts().Requests(); got != 10 {
		t.Errorf("%d requests, want 10", got)
	}
}

func BenchmarkLocalReadRange(b *testing.B) {
	l, err := OpenLocal(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	if err := l.PutIfAbsent(b.Context(), "t/d/f", make([]byte, 8<<20)); err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 20_000)
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	for i := 0; b.Loop(); i++ {
		if err := l.ReadRange(b.Context(), "t/d/f", int64(i%300)*25_000, p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLocalPut(b *testing.B) {
	l, err := OpenLocal(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 20_000)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if err := l.PutIfAbsent(b.Context(), "t/d/f", data); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := l.Delete(b.Context(), "t/d/f"); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
