package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// daemon is a running firn serve.
type daemon struct {
	tb     testing.TB
	cmd    *exec.Cmd
	data   string
	addr   string
	stderr bytes.Buffer
	done   bool
}

// build makes the program from the working tree and gives its path.
func build(tb testing.TB) string {
	tb.Helper()
	program := filepath.Join(tb.TempDir(), "firn")
	out, err := exec.Command("go", "build", "-o", program, "../cmd/firn").CombinedOutput()
	if err != nil {
		tb.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// start runs the program on a folder and a port of its own.
func start(tb testing.TB, program, codec string) *daemon {
	tb.Helper()
	d := &daemon{tb: tb, data: filepath.Join(tb.TempDir(), "data")}
	d.cmd = exec.Command(program, "serve", "--data", d.data, "--listen", "127.0.0.1:0", "--codec", codec,
		"--archive-schedule", "off", "--memory-age", memoryAge.String(), "--log-level", "warn")
	d.cmd.Stderr = &d.stderr
	for _, kv := range os.Environ() { // settings of whoever runs this are not part of it
		if !strings.HasPrefix(kv, "FIRN_") {
			d.cmd.Env = append(d.cmd.Env, kv)
		}
	}
	stdout, err := d.cmd.StdoutPipe()
	if err == nil {
		err = d.cmd.Start()
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(d.kill)
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	_, rest, ok := strings.Cut(line, "http://")
	if d.addr, _, _ = strings.Cut(rest, " "); !ok || d.addr == "" {
		d.kill()
		tb.Fatalf("the daemon did not start: %q\n%s", line, d.stderr.String())
	}
	return d
}

// kill ends a daemon that stop has not ended.
func (d *daemon) kill() {
	if !d.done {
		d.done = true
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait()
	}
}

// stop ends the daemon as an operator does and gives what it used in its life.
func (d *daemon) stop() usage {
	d.tb.Helper()
	d.done = true
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.tb.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		d.tb.Fatalf("the daemon ended with %v\n%s", err, d.stderr.String())
	}
	return usage{user: d.cmd.ProcessState.UserTime(), sys: d.cmd.ProcessState.SystemTime()}
}

// usage is what a process has used since it began. What /proc does not tell is zero.
type usage struct {
	user, sys time.Duration
	written   int64 // bytes of all write calls
	peak      int64 // resident bytes, at most
}

func (u usage) cpu() time.Duration { return u.user + u.sys }

func (u usage) since(before usage) usage {
	return usage{u.user - before.user, u.sys - before.sys, u.written - before.written, u.peak}
}

// usageOf reads what a process has used. It gives false where there is no /proc.
func usageOf(pid int) (u usage, ok bool) {
	proc := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(proc + "stat")
	if err != nil {
		return usage{}, false
	}
	// Fields are counted behind the name, which may hold anything; times are in hundredths.
	_, rest, _ := strings.Cut(string(stat), ") ")
	if f := strings.Fields(rest); len(f) > 13 {
		u.user, u.sys = ticks(f[11]), ticks(f[12])
	}
	u.written = procNumber(proc+"io", "wchar:")
	u.peak = procNumber(proc+"status", "VmHWM:") << 10
	return u, true
}

func ticks(s string) time.Duration {
	n, _ := strconv.ParseInt(s, 10, 64)
	return time.Duration(n) * 10 * time.Millisecond
}

// procNumber finds the line that begins with a name and gives its number.
func procNumber(file, name string) int64 {
	text, _ := os.ReadFile(file)
	_, rest, _ := strings.Cut(string(text), name)
	if f := strings.Fields(rest); len(f) > 0 {
		n, _ := strconv.ParseInt(f[0], 10, 64)
		return n
	}
	return 0
}

const (
	memoryAge = 2 * time.Second        // when the daemon applies a memory table that is not full
	settled   = 5 * time.Second        // longer than the age and the time between two looks at it
	idleUse   = 30 * time.Millisecond  // what an idle daemon uses at most meanwhile
	settleFor = 2 * time.Minute        // then it is not idle but at a loss
	lookEvery = 250 * time.Millisecond // at its processor time
)

// settle waits until the daemon has nothing more to do and gives what it used by then.
func (d *daemon) settle(ctx context.Context) (usage, bool) {
	u, ok := usageOf(d.cmd.Process.Pid)
	if !ok {
		return u, false
	}
	ctx, cancel := context.WithTimeout(ctx, settleFor)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for last, since := u.cpu(), time.Now(); time.Since(since) < settled; {
		select {
		case <-ctx.Done():
			d.tb.Fatal("the daemon does not come to rest")
		case <-tick.C:
		}
		if u, ok = usageOf(d.cmd.Process.Pid); u.cpu()-last > idleUse {
			last, since = u.cpu(), time.Now()
		}
	}
	return u, ok
}

// fileBytes adds up the sizes of the files under a folder of the data folder that end in a suffix.
func (d *daemon) fileBytes(folder, suffix string) (n int64) {
	d.tb.Helper()
	err := filepath.WalkDir(filepath.Join(d.data, folder), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		info, err := e.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		d.tb.Fatal(err)
	}
	return n
}
