package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/firndb/firn/engine"
)

func TestGuard(t *testing.T) {
	db := &fake{ready: engine.Readiness{Ready: true}, onArchive: func(context.Context) (engine.ArchiveReport, error) { return engine.ArchiveReport{}, nil }}
	h := start(t, db, Options{Listen: "192.168.7.7:8787", Hosts: []string{"Firn.Example", "other.example:8443"}})
	for host, ok := range map[string]bool{
		"localhost": true, "localhost:1": true, "LocalHost:8787": true, "localhost.": true, "127.0.0.1": true, "127.9.8.7:80": true,
		"[::1]": true, "[::1]:8787": true, "[0:0:0:0:0:0:0:1]": true, "[::ffff:127.0.0.1]": true,
		"firn.example": true, "FIRN.example:99": true, "other.example:8443": true, "192.168.7.7:8787": true,
		"other.example": false, "other.example:1": false, "evil.example": false, "evil.example:8787": false, "192.168.7.8": false,
		"localhost.evil.example": false, "127.0.0.1.evil.example": false, "firn.example.evil": false, "[::2]": false,
		"127.1": false, "2130706433": false, "0.0.0.0": false,
	} {
		got := h.do("GET", "/healthz", "Host: "+host, "")
		if ok != (got.StatusCode == 200) {
			t.Errorf("Host %q: status %d", host, got.StatusCode)
		}
		if !ok {
			if p := got.problem(t); p.Code != "forbidden_host" || p.Status != 403 {
				t.Errorf("Host %q: %+v", host, p)
			}
		}
	}
	for origin, ok := range map[string]bool{
		"http://localhost:8787": true, "HTTP://localhost:8787": false, "https://localhost:8787": true, "http://LOCALHOST:8787": true,
		"http://localhost": false, "http://localhost:1": false, "http://evil.example": false, "null": false, "": false,
		"http://localhost:8787.evil.example": false, "file://": false, "http://localhost:8787\nOrigin: http://evil.example": false,
	} {
		got := h.do("POST", "/v1/archive", "Host: localhost:8787\nOrigin: "+origin, "")
		if ok != (got.StatusCode == 200) {
			t.Errorf("Origin %q: status %d", origin, got.StatusCode)
		}
		if !ok {
			if p := got.problem(t); p.Code != "forbidden_origin" || p.Status != 403 {
				t.Errorf("Origin %q: %+v", origin, p)
			}
		}
		if get := h.do("GET", "/healthz", "Host: localhost:8787\nOrigin: "+origin, ""); get.StatusCode != 200 || get.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("GET with Origin %q: status %d, %v", origin, get.StatusCode, get.Header)
		}
	}
	// Absolute form, as proxies send it.
	if got := h.do("GET", "http://localhost:1/healthz?", "", ""); got.StatusCode != 200 {
		t.Errorf("absolute form: %d", got.StatusCode)
	}
	if got := h.do("GET", "http://evil.example/healthz", "Host: localhost", ""); got.StatusCode != 403 {
		t.Errorf("absolute form of another host: %d", got.StatusCode)
	}
	if got := h.raw("GET", "GET /healthz HTTP/1.1\r\n\r\n"); got.StatusCode/100 != 4 {
		t.Errorf("HTTP/1.1 without Host: %d", got.StatusCode)
	}
}

// TestSmuggling: what follows a body that was refused is not taken for a request.
func TestSmuggling(t *testing.T) {
	db := &fake{ready: engine.Readiness{Ready: true}}
	archived := 0
	db.onArchive = func(context.Context) (engine.ArchiveReport, error) { archived++; return engine.ArchiveReport{}, nil }
	h := start(t, db, Options{MaxBodyBytes: 4 << 10})
	smuggled := "POST /v1/archive HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
	pad := strings.Repeat("x", 8<<10)
	for name, text := range map[string]string{
		"refused by type":   "POST /v1/ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + itoa(len(smuggled)) + "\r\n\r\n" + smuggled,
		"refused by size":   "POST /v1/ingest HTTP/1.1\r\nHost: localhost\r\n" + ndjsonType + "\r\nContent-Length: " + itoa(len(pad+smuggled)) + "\r\n\r\n" + pad + smuggled,
		"chunked, by size":  "POST /v1/ingest HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2000\r\n" + pad + "\r\n" + fmt.Sprintf("%x\r\n", len(smuggled)) + smuggled + "\r\n0\r\n\r\n",
		"GET with a body":   "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + itoa(len(smuggled)) + "\r\n\r\n" + smuggled,
		"length and chunks": "POST /v1/ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"chunks and length": "POST /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\ncOntent-length : 5\r\n\r\n0\r\n\r\n" + smuggled,
		"two lengths":       "POST /v1/ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: " + itoa(len(smuggled)) + "\r\n\r\n" + smuggled,
		"broken chunk":      "POST /v1/ingest HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + smuggled,
	} {
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, text)
		_ = c.(*net.TCPConn).CloseWrite()
		answers, err := io.ReadAll(c)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := strings.Count(string(answers), "HTTP/1.1 "); n != 1 || archived != 0 {
			t.Errorf("%s: %d answers, archived %d times:\n%s", name, n, archived, answers)
		}
		c.Close()
	}
}

// TestLargeBodyIsAnswered: a client that sends first and reads later still gets its 413.
func TestLargeBodyIsAnswered(t *testing.T) {
	h := start(t, &fake{}, Options{MaxBodyBytes: 64 << 10})
	body := strings.Repeat("{\"a\":1}\n", 1<<20) // 8 MiB
	for range 5 {
		got := h.do("POST", "/v1/ingest?dataset_id=u&table=t", ndjsonType, body)
		if p := got.problem(t); p.Status != 413 || p.Code != "too_large" {
			t.Errorf("%+v", p)
		}
		resp, err := http.Post("http://"+h.addr+"/v1/ingest?dataset_id=u&table=t", "application/x-ndjson", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 413 {
			t.Errorf("status %d", resp.StatusCode)
		}
		resp.Body.Close()
	}
}

// TestKeepAlive sends several requests on one connection, refusals and streams among them.
func TestKeepAlive(t *testing.T) {
	db := &fake{ready: engine.Readiness{Ready: true}}
	h := start(t, db, Options{})
	db.onQuery = giving(fakeRows{n: 50_000})
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	for range 3 {
		for target, status := range map[string]int{"/healthz": 200, readTarget: 200, readTarget + "&limit=x": 400, "/nothing": 404} {
			got := exchange(t, c, br, "GET", "GET "+target+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
			if got.StatusCode != status || got.err != nil || got.Close {
				t.Fatalf("%s: status %d, %v, close %v", target, got.StatusCode, got.err, got.Close)
			}
		}
	}
}

func TestPanic(t *testing.T) {
	db := &fake{onIngest: func(engine.Request) (engine.Ack, error) { panic("a defect") }}
	h := start(t, db, Options{})
	if p := h.do("POST", "/v1/ingest?dataset_id=u&table=t", ndjsonType, "{}").problem(t); p.Code != "internal" || strings.Contains(p.Detail, "defect") {
		t.Errorf("%+v", p)
	}
	h.stop()
	if !strings.Contains(h.log.String(), "a defect") || !strings.Contains(h.log.String(), "server_test.go") {
		t.Errorf("log: %s", h.log)
	}
}

// TestShutdown: a request under way is finished, its connection then closed; no new one is taken.
func TestShutdown(t *testing.T) {
	began, finish := make(chan struct{}), make(chan struct{})
	db := &fake{onArchive: func(ctx context.Context) (engine.ArchiveReport, error) {
		close(began)
		<-finish
		return engine.ArchiveReport{Records: 5}, ctx.Err()
	}}
	h := start(t, db, Options{})
	answer := make(chan reply, 1)
	go func() { answer <- h.do("POST", "/v1/archive", "", "") }()
	<-began
	done := make(chan error, 1)
	go func() { done <- h.s.Shutdown(context.Background()) }()
	if err := <-h.served; err != nil { // the listener is closed while the request is under way
		t.Errorf("Serve: %v", err)
	}
	if c, err := net.Dial("tcp", h.addr); err == nil {
		c.Close()
		t.Error("connections are still accepted")
	}
	select {
	case err := <-done:
		t.Errorf("Shutdown did not wait: %v", err)
	default:
	}
	close(finish)
	if got := <-answer; got.StatusCode != 200 || !strings.Contains(string(got.body), `"records":5`) {
		t.Errorf("status %d, %s", got.StatusCode, got.body)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.s.Serve(ln); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
	if err := h.s.Shutdown(context.Background()); err != nil {
		t.Errorf("a second Shutdown: %v", err)
	}
	h.down = true
}

// TestShutdownBreaks: what does not end in time is broken, also a read whose client takes nothing.
func TestShutdownBreaks(t *testing.T) {
	closed, began := make(chan struct{}), make(chan struct{})
	db := &fake{
		onArchive: func(ctx context.Context) (engine.ArchiveReport, error) {
			close(began)
			<-ctx.Done()
			return engine.ArchiveReport{}, ctx.Err()
		},
		onQuery: giving(fakeRows{n: 1 << 40, closed: closed}),
	}
	s, err := newServer(db, Options{Logger: slog.New(slog.DiscardHandler), ShutdownGrace: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	base := "http://" + ln.Addr().String()
	reading, err := http.Get(base + readTarget) // and nothing is taken
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Body.Close()
	archiving := make(chan error, 1)
	go func() {
		resp, err := http.Post(base+"/v1/archive", "", nil)
		if err == nil {
			resp.Body.Close()
		}
		archiving <- err
	}()
	<-began
	if err := s.Shutdown(context.Background()); err == nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	<-closed
	<-archiving
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	if n := len(s.conns.open); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

func TestOptions(t *testing.T) {
	if _, err := newServer(&fake{}, Options{}); err != nil {
		t.Error(err)
	}
	_, err := newServer(&fake{}, Options{MaxBodyBytes: 5, MaxRecordBytes: -1, Listen: "here", Hosts: []string{"a b"}, ShutdownGrace: -1})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"MaxBodyBytes", "MaxRecordBytes", "Listen", "Hosts", "ShutdownGrace"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}
