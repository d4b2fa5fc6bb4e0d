package kill

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "firn-kill-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "firn")
	build := exec.Command("go", "build", "-o", binary, "./cmd/firn")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// patience is how long anything may take before the test gives up on it.
const patience = time.Minute

// process is a running daemon.
type process struct {
	url    string
	client *http.Client
	cmd    *exec.Cmd
	errors *output
	ended  chan struct{} // closed when it is gone and state is known
}

// output keeps what a process says while it still says more.
type output struct {
	sync.Mutex
	bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.Lock()
	defer o.Unlock()
	return o.Buffer.Write(p)
}

func (o *output) text() string {
	o.Lock()
	defer o.Unlock()
	return o.String()
}

// launch starts a daemon on a folder and does not wait for it. ready gets its address, or is closed
// without one when the process ended first.
func launch(t testing.TB, dir string, flags ...string) (p *process, ready chan string) {
	t.Helper()
	p = &process{errors: new(output), ended: make(chan struct{})}
	p.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}, Timeout: patience}
	p.cmd = exec.Command(binary, append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0"}, flags...)...)
	p.cmd.Stderr = p.errors
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready = make(chan string, 1)
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if rest, ok := strings.CutPrefix(lines.Text(), "firn serves "); ok {
				at, _, _ := strings.Cut(rest, " ")
				ready <- at
			}
		}
		close(ready)
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() { p.kill() })
	return p, ready
}

// start starts a daemon on a folder and waits until it answers.
func start(t testing.TB, dir string, flags ...string) *process {
	t.Helper()
	p, ready := launch(t, dir, flags...)
	select {
	case at, ok := <-ready:
		if !ok {
			<-p.ended
			t.Fatalf("the daemon does not start: %v\n%s", p.cmd.ProcessState, p.errors.text())
		}
		p.url = at
	case <-time.After(patience):
		t.Fatalf("the daemon does not start in %v\n%s", patience, p.errors.text())
	}
	return p
}

// kill ends the process as a power switch does and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
	p.client.CloseIdleConnections()
}

// terminate asks the process to end and returns its exit code.
func (p *process) terminate(t testing.TB) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("the daemon does not stop in %v\n%s", patience, p.errors.text())
	}
	p.client.CloseIdleConnections()
	return p.cmd.ProcessState.ExitCode()
}

// do sends a request. The error is one of the connection: nobody knows what became of it.
func (p *process) do(method, path string, header http.Header, body []byte) (int, []byte, error) {
	req, err := http.NewRequest(method, p.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	b, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return 0, nil, err
	}
	return resp.StatusCode, b, nil
}

// want sends a request and demands a status.
func (p *process) want(t testing.TB, status int, method, path, contentType, body string) []byte {
	t.Helper()
	got, answer, err := p.do(method, path, http.Header{"Content-Type": {contentType}}, []byte(body))
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", method, path, err, p.errors.text())
	}
	if got != status {
		t.Fatalf("%s %s: %d %s, want %d", method, path, got, answer, status)
	}
	return answer
}

func (p *process) get(t testing.TB, path string) []byte {
	t.Helper()
	return p.want(t, 200, "GET", path, "", "")
}

const ndjson = "application/x-ndjson"

// ingest sends lines and demands that they are kept.
func (p *process) ingest(t testing.TB, table, dataset, lines string) {
	t.Helper()
	p.want(t, 200, "POST", "/v1/ingest?"+url.Values{"table": {table}, "dataset_id": {dataset}}.Encode(), ndjson, lines)
}

// read gives the records of a dataset, a line each.
func (p *process) read(t testing.TB, table, dataset string) []string {
	t.Helper()
	return split(p.get(t, readPath(table, dataset)))
}

func readPath(table, dataset string) string {
	return "/v1/read?" + url.Values{"table": {table}, "dataset_id": {dataset}, "format": {"ndjson"}}.Encode()
}

func split(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

// counts is a row of the ledger.
type counts struct {
	Table    string
	Accepted int
	Hot      int `json:"hot_count"`
	Cold     int `json:"cold_count"`
	Lost     int
}

// ledger demands that every table's books balance, and returns them.
func (p *process) ledger(t testing.TB) map[string]counts {
	t.Helper()
	var a struct{ Tables []counts }
	if err := json.Unmarshal(p.get(t, "/v1/tables"), &a); err != nil {
		t.Fatal(err)
	}
	books := make(map[string]counts)
	for _, c := range a.Tables {
		books[c.Table] = c
		if c.Accepted != c.Hot+c.Cold+c.Lost {
			t.Errorf("ledger of %s: %d accepted, %d hot, %d cold, %d lost", c.Table, c.Accepted, c.Hot, c.Cold, c.Lost)
		}
	}
	return books
}

// problem is a refusal as it goes to the client.
type problem struct {
	Status       int
	Code, Detail string
}

// refused sends lines and demands a refusal.
func (p *process) refused(t testing.TB, status int, code string) problem {
	t.Helper()
	var a problem
	b := p.want(t, status, "POST", "/v1/ingest?table=t&dataset_id=d", ndjson, `{"timestamp":1,"refused":true}`)
	if err := json.Unmarshal(b, &a); err != nil || a.Code != code || a.Status != status {
		t.Fatalf("refused with %s, want code %s", b, code)
	}
	return a
}
