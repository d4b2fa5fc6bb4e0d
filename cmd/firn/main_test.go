package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// binary is the program as users run it, built once for all tests.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "firn-cmd-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "firn")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// command is a firn process that takes no settings from the environment of the tests.
func command(dir string, args ...string) *exec.Cmd {
	c := exec.Command(binary, args...)
	c.Dir = dir
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "FIRN_") {
			c.Env = append(c.Env, kv)
		}
	}
	return c
}

// result is what a process left behind.
type result struct {
	code        int
	out, errOut string
}

// finish runs a process to its end.
func finish(t *testing.T, c *exec.Cmd) result {
	t.Helper()
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", c.Args, err)
	}
	return result{c.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// firn runs a command line in a folder of its own and expects an exit code.
func firn(t *testing.T, code int, args ...string) result {
	t.Helper()
	return firnIn(t, code, "", args...)
}

// firnIn does so with something on the standard input.
func firnIn(t *testing.T, code int, stdin string, args ...string) result {
	t.Helper()
	c := command(t.TempDir(), args...)
	c.Stdin = strings.NewReader(stdin)
	r := finish(t, c)
	if r.code != code {
		t.Fatalf("firn %s: exit code %d, want %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), r.code, code, r.out, r.errOut)
	}
	return r
}

// daemon is a process that serves a data folder.
type daemon struct {
	addr string // http://host:port
	line string // what it said when it started
	cmd  *exec.Cmd
	errs bytes.Buffer
}

// serveFolder starts a daemon and waits until it answers. It is killed when the test ends.
func serveFolder(t *testing.T, data string, args ...string) *daemon {
	t.Helper()
	d := &daemon{cmd: command(t.TempDir(), append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, args...)...)}
	d.start(t)
	return d
}

func (d *daemon) start(t *testing.T) {
	t.Helper()
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stderr = &d.errs
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.kill() })
	d.line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("serve ended: %v\n%s", d.cmd.Wait(), d.errs.String())
	}
	_, rest, ok := strings.Cut(d.line, "firn serves ")
	if !ok {
		t.Fatalf("serve said %q", d.line)
	}
	d.addr, _, _ = strings.Cut(rest, " ")
}

// kill ends the process as kill -9 does, and waits until it is gone.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill() // it may have ended before
	_ = d.cmd.Wait()
}

// term asks the process to end and gives its exit code.
func (d *daemon) term(t *testing.T) int {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = d.cmd.Wait() // the code tells
	return d.cmd.ProcessState.ExitCode()
}

// numbered is n records {"n":i,"timestamp":…}, a line each, beginning with number from.
func numbered(from, n int) string {
	var b strings.Builder
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&b, "{\"n\":%d,\"timestamp\":%d}\n", i, 1_767_225_600_000+int64(i)*1000)
	}
	return b.String()
}

// write makes a file in a folder of the test.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s has no %q:\n%s", what, p, text)
		}
	}
}

func TestHelpAndWrongUse(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"help"}, {"serve", "--help"}, {"stats", "stale", "--help"}} {
		if r := firn(t, 0, args...); !strings.Contains(r.out, "Usage:") || r.errOut != "" {
			t.Errorf("firn %v printed %q and %q", args, r.out, r.errOut)
		}
	}
	for _, c := range []struct {
		names string // what the message must name
		args  []string
	}{
		{"nonsense", []string{"nonsense"}},
		{"--nonsense", []string{"serve", "--nonsense"}},
		{"--sync", []string{"serve", "--sync", "sometimes"}},
		{"--sync-interval", []string{"serve", "--sync", "interval", "--sync-interval", "0s"}},
		{"hot-limit", []string{"serve", "--hot-limit", "much"}},
		{"--log-level", []string{"serve", "--log-level", "loud"}},
		{"serve", []string{"serve", "again"}},
		{"--dataset", []string{"ingest", "--table", "t"}},
		{"--table", []string{"ingest", "--dataset", "d"}},
		{"--batch-records", []string{"ingest", "--dataset", "d", "--table", "t", "--batch-records", "0"}},
		{"files", []string{"import", "--dataset", "d", "--table", "t"}},
		{"--table and --dataset", []string{"read", "--table", "t"}},
		{"--limit", []string{"read", "--table", "t", "--dataset", "d", "--limit", "-1"}},
		{"exclude", []string{"archive", "--addr", "127.0.0.1:1", "--data", "x"}},
		{"--addr", []string{"archive", "--addr", "ftp:///x"}},
		{"which", []string{"stats"}},
		{"all", []string{"stats", "all"}},
		{"drop", []string{"tables", "drop"}},
		{"show", []string{"tables", "show"}},
		{"nothing to set", []string{"tables", "set", "t"}},
		{"--accept-loss", []string{"doctor", "--data", "x"}},
		{"--data", []string{"doctor", "--accept-loss"}},
		{"missing.yaml", []string{"version", "--config", "missing.yaml"}},
	} {
		r := firn(t, 2, c.args...)
		contains(t, fmt.Sprintf("the message of firn %v", c.args), r.errOut, "firn: ", c.names)
		if r.out != "" {
			t.Errorf("firn %v printed %q on the standard output", c.args, r.out)
		}
	}
}

func TestVersion(t *testing.T) {
	contains(t, "version", firn(t, 0, "version").out, "firn ", "go1.")
	contains(t, "version --json", firn(t, 0, "version", "--json").out, `"version":"`, `"go":"go1.`, `"os":"`, `"arch":"`)
}
