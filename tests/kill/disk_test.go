package kill

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a file system of its own, and skips the test where that is not allowed.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("firn-test", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a file system of a small size cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// ballast fills a disk but for some bytes.
func ballast(t *testing.T, disk string, leave uint64) (path string) {
	t.Helper()
	path = filepath.Join(disk, "ballast")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st syscall.Statfs_t
	page := make([]byte, 64<<10)
	for {
		if err := syscall.Statfs(disk, &st); err != nil {
			t.Fatal(err)
		}
		free := st.Bavail * uint64(st.Bsize)
		if free <= leave {
			return path
		}
		_, err := f.Write(page[:min(free-leave, uint64(len(page)))])
		if errors.Is(err, syscall.ENOSPC) {
			return path
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// until sends batches until one has the status.
func (o *oracle) until(t *testing.T, p *process, status int, next func() *batch) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		switch got := o.send(t, p, next()); {
		case got == status:
			return
		case got == 0:
			t.Fatalf("the daemon is gone\n%s", p.errors.text())
		case got != http.StatusOK: // what it waits for takes a moment
			time.Sleep(10 * time.Millisecond)
		}
		if time.Now().After(deadline) {
			t.Fatalf("no batch was answered %d in %v\n%s", status, patience, p.errors.text())
		}
	}
}

// untilReady asks until the daemon says that it takes records.
func (p *process) untilReady(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		status, answer, err := p.do("GET", "/readyz", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if status == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready in %v: %s\n%s", patience, answer, p.errors.text())
		}
	}
}

// TestFullDisk fills the disk. The daemon refuses records, reads go on, it starts on a full disk, and
// takes records again when there is room, without being told.
func TestFullDisk(t *testing.T) {
	for _, row := range []struct {
		name  string
		flags []string
	}{
		{"everything moves", small},
		{"the log alone", append(calm[:len(calm):len(calm)], "--segment-size", "256KiB")},
		{"memory tables", append(small[:len(small):len(small)], "--segment-size", "16MiB", "--archive-schedule", "off")},
	} {
		t.Run(row.name, func(t *testing.T) { testFullDisk(t, row.flags) })
	}
}

func testFullDisk(t *testing.T, flags []string) {
	disk := smallDisk(t, "96m")
	dir := filepath.Join(disk, "data")
	r := newRand(t)
	o := newOracle()
	next := func() *batch { return o.generate(r) }
	p := start(t, dir, flags...)
	for round := range 2 {
		for range 40 {
			if status := o.send(t, p, next()); status != 200 {
				t.Fatalf("ingest: %d", status)
			}
		}
		if round > 0 {
			p.want(t, 200, "POST", "/v1/archive", "", "")
			for range 10 {
				o.send(t, p, next())
			}
		}
		path := ballast(t, disk, uint64(r.IntN(600<<10)))
		o.until(t, p, http.StatusInsufficientStorage, next)
		p.want(t, 503, "GET", "/readyz", "", "")
		o.compare(t, "full", p)
		status, answer, err := p.do("POST", "/v1/archive", nil, nil)
		if err != nil || status != http.StatusOK && status != http.StatusInsufficientStorage && status != http.StatusServiceUnavailable {
			t.Errorf("archive on a full disk: %d %s, %v", status, answer, err)
		}
		o.compare(t, "full, after an archive", p)
		p.kill()
		ballast(t, disk, 0)
		p = start(t, dir, flags...)
		o.compare(t, "full, killed", p)
		o.until(t, p, http.StatusInsufficientStorage, next)
		p.refused(t, http.StatusInsufficientStorage, "disk_full")
		if code := p.terminate(t); code != 0 {
			t.Errorf("exit code %d\n%s", code, p.errors.text())
		}
		p = start(t, dir, flags...)
		o.compare(t, "full, stopped", p)
		if t.Failed() {
			t.Fatal(p.errors.text())
		}

		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		p.untilReady(t) // also when nobody sends records before it is
		o.until(t, p, http.StatusOK, next)
		o.check(t, "with room again", p)
		for range 40 {
			o.send(t, p, next())
		}
		p.want(t, 200, "POST", "/v1/archive", "", "")
		o.check(t, "with room again, archived", p)
		p.kill()
		p = start(t, dir, flags...)
		o.check(t, "with room again, killed", p)
		if t.Failed() {
			t.Fatal(p.errors.text())
		}
	}
	if code := p.terminate(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.errors.text())
	}
}
