package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestBodyArrives sends bodies in every framing, whole and not. What is not whole must not be
// taken for a shorter body.
func TestBodyArrives(t *testing.T) {
	db := &fake{}
	h := start(t, db, Options{MaxBodyBytes: 1 << 20})
	const head = "POST /v1/ingest?dataset_id=u&table=t HTTP/1.1\r\nHost: localhost\r\n" + ndjsonType + "\r\n"
	large := strings.Repeat("{\"a\":1}\n", 20_000)
	chunks := func(s string) string {
		return fmt.Sprintf("%x\r\n%s\r\n%x;ext=1\r\n%s\r\n0\r\nX-Trailer: 1\r\n\r\n", len(s)/2, s[:len(s)/2], len(s)-len(s)/2, s[len(s)/2:])
	}
	packed := gzipped(large)
	for _, r := range []struct {
		name, text string
		status     int
		accepted   int
	}{
		{"length", "Content-Length: 6\r\n\r\n{}\n{}\n", 200, 2},
		{"large", "Content-Length: " + itoa(len(large)) + "\r\n\r\n" + large, 200, 20_000},
		{"chunks", "Transfer-Encoding: chunked\r\n\r\n" + chunks("{}\n{}\n"), 200, 2},
		{"large chunks", "Transfer-Encoding: chunked\r\n\r\n" + chunks(large), 200, 20_000},
		{"packed", "Content-Encoding: gzip\r\nContent-Length: " + itoa(len(packed)) + "\r\n\r\n" + packed, 200, 20_000},
		{"packed chunks", "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(packed), 200, 20_000},
		{"length, ends early", "Content-Length: 60000\r\n\r\n{}\n{}\n", 400, 0},
		{"large, ends early", "Content-Length: 500000\r\n\r\n" + large, 400, 0},
		{"chunks, end early", "Transfer-Encoding: chunked\r\n\r\n6\r\n{}\n{}\n\r\n", 400, 0},
		{"chunk ends early", "Transfer-Encoding: chunked\r\n\r\n60\r\n{}\n{}\n", 400, 0},
		{"chunks, end early behind many", "Transfer-Encoding: chunked\r\n\r\n" + strings.TrimSuffix(chunks(large), "0\r\nX-Trailer: 1\r\n\r\n"), 400, 0},
		{"chunks, end in the trailer", "Transfer-Encoding: chunked\r\n\r\n" + strings.TrimSuffix(chunks(large), "1\r\n\r\n"), 400, 0},
		{"chunks without trailer", "Transfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n", 200, 1},
		{"packed, ends early", "Content-Encoding: gzip\r\nContent-Length: " + itoa(len(packed)+1) + "\r\n\r\n" + packed, 400, 0},
		{"chunks past the limit", "Transfer-Encoding: chunked\r\n\r\n" + chunks(strings.Repeat("{}\n", 500_000)), 413, 0},
		{"packed nothing past the limit", "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(strings.Repeat(gzipped(""), 60_000)), 413, 0},
		{"length past the limit", "Content-Length: 99999999\r\n\r\n" + large, 413, 0},
	} {
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		answered := make(chan reply, 1)
		br := bufio.NewReader(c)
		go func() {
			resp, err := http.ReadResponse(br, &http.Request{Method: "POST"})
			if err != nil {
				answered <- reply{err: err}
				return
			}
			body, err := io.ReadAll(resp.Body)
			answered <- reply{resp, body, err}
		}()
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, head+r.text)
		_ = c.(*net.TCPConn).CloseWrite()
		got := <-answered
		if got.err != nil {
			t.Fatalf("%s: %v", r.name, got.err)
		}
		if got.StatusCode != r.status || r.accepted > 0 && !strings.Contains(string(got.body), fmt.Sprintf(`"accepted":%d,`, r.accepted)) {
			t.Errorf("%s: status %d, %s", r.name, got.StatusCode, got.body)
		}
		c.Close()
	}
	if n := len(db.requests); n != 7 {
		t.Errorf("%d requests got to the engine", n)
	}

	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	for range 2 {
		if got := exchange(t, c, br, "POST", head+"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"); got.StatusCode != 100 {
			t.Fatalf("Expect: status %d", got.StatusCode)
		}
		if got := exchange(t, c, br, "POST", "{}\n"); got.StatusCode != 200 {
			t.Fatalf("Expect, then the body: status %d, %s", got.StatusCode, got.body)
		}
	}
}

// TestRoom: large bodies wait for each other; small ones do not; none keeps its share.
func TestRoom(t *testing.T) {
	const limit = 1 << 20
	const total = bodiesRoom * (limit + 1)
	h := start(t, &fake{}, Options{MaxBodyBytes: limit})
	const target = "/v1/ingest?dataset_id=u&table=t"
	large := strings.Repeat("{\"a\":1}\n", 50_000)
	if !h.s.room.TryAcquire(total) {
		t.Fatal("the room is not free")
	}
	h.do("POST", target, ndjsonType, "{}\n").ok(t)
	answered := make(chan reply, 1)
	go func() { answered <- h.do("POST", target, ndjsonType, large) }()
	h.do("POST", target, ndjsonType, "{}\n").ok(t)
	select {
	case got := <-answered:
		t.Errorf("taken in without room: %d", got.StatusCode)
	default:
	}
	h.s.room.Release(total)
	(<-answered).ok(t)

	if !h.s.room.TryAcquire(total - 200<<10) {
		t.Fatal("a share was not given back")
	}
	got := h.do("POST", target, ndjsonType+"\nContent-Encoding: gzip", gzipped(large))
	if p := got.problem(t); p.Code != "backpressure" || got.Header.Get("Retry-After") != "1" {
		t.Errorf("a body that unpacks to more than there is room for: %+v", p)
	}
	h.s.room.Release(total - 200<<10)
	h.do("POST", target, ndjsonType+"\nContent-Encoding: gzip", gzipped(large)).ok(t)
	if !h.s.room.TryAcquire(total) {
		t.Error("a share was not given back")
	}
}
