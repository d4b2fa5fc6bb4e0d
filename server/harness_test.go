package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// harness is a server on a port of its own, shut down with the test.
type harness struct {
	t      *testing.T
	s      *Server
	addr   string
	served chan error
	log    *bytes.Buffer // read it after stop
	down   bool
}

func start(t *testing.T, db database, o Options) *harness {
	t.Helper()
	h := &harness{t: t, served: make(chan error, 1), log: new(bytes.Buffer)}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(h.log, nil))
	}
	s, err := newServer(db, o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.s, h.addr = s, ln.Addr().String()
	go func() { h.served <- s.Serve(ln) }()
	t.Cleanup(func() { h.stop() })
	return h
}

// stop shuts the server down and fails the test when that does not go well.
func (h *harness) stop() {
	h.t.Helper()
	if h.down {
		return
	}
	h.down = true
	if err := h.s.Shutdown(context.Background()); err != nil {
		h.t.Errorf("Shutdown: %v", err)
	}
	if err := <-h.served; err != nil {
		h.t.Errorf("Serve: %v", err)
	}
}

// reply is an answer read whole.
type reply struct {
	*http.Response
	body []byte
	err  error // of reading the body
}

// problem gives the code and detail of a problem answer.
func (r reply) problem(t *testing.T) problemBody {
	t.Helper()
	if got := r.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("status %d, Content-Type %q, body %.200q: no problem answer", r.StatusCode, got, r.body)
	}
	var p problemBody
	if err := json.Unmarshal(r.body, &p); err != nil {
		t.Fatalf("problem answer %q: %v", r.body, err)
	}
	if p.Status != r.StatusCode || p.Type != "about:blank" || p.Title != http.StatusText(r.StatusCode) || p.Detail == "" {
		t.Errorf("problem answer %s with status %d", r.body, r.StatusCode)
	}
	return p
}

// raw sends bytes as they are on a connection of their own, then reads an answer. method says
// how the answer is framed.
func (h *harness) raw(method, text string) reply {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	return exchange(h.t, c, bufio.NewReader(c), method, text)
}

func exchange(t *testing.T, c net.Conn, br *bufio.Reader, method, text string) reply {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Logf("writing the request: %v", err) // the answer may still be there
	}
	resp, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer to %.100q: %v", text, err)
	}
	body, err := io.ReadAll(resp.Body)
	return reply{resp, body, err}
}

// do sends a request with the header lines and body given.
func (h *harness) do(method, target, headers, body string) reply {
	h.t.Helper()
	var b strings.Builder
	b.WriteString(method + " " + target + " HTTP/1.1\r\n")
	if !strings.Contains(headers, "Host:") {
		b.WriteString("Host: " + h.addr + "\r\n")
	}
	if headers != "" {
		b.WriteString(strings.ReplaceAll(strings.TrimSpace(headers), "\n", "\r\n") + "\r\n")
	}
	if body != "" || method == "POST" || method == "PUT" {
		b.WriteString("Content-Length: " + itoa(len(body)) + "\r\n")
	}
	b.WriteString("\r\n" + body)
	return h.raw(method, b.String())
}

func (h *harness) get(target string) reply { h.t.Helper(); return h.do("GET", target, "", "") }

// ok fails the test unless the answer is whole and 200.
func (r reply) ok(t *testing.T) reply {
	t.Helper()
	if r.StatusCode != 200 || r.err != nil {
		t.Fatalf("status %d, %v, body %.300q", r.StatusCode, r.err, r.body)
	}
	return r
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}
