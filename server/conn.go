package server

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a lingering close: enough for a client that sends a body slightly past the limit to
// finish and read the answer, and little for one that never stops.
const (
	lingerBytes = 16 << 20
	lingerTime  = 2 * time.Second
)

// connections hands out connections that Shutdown can break and that can close gently.
type connections struct {
	mu   sync.Mutex
	open map[*conn]struct{}
}

func (cs *connections) listen(ln net.Listener) net.Listener {
	return &listener{Listener: ln, all: cs}
}

// breakAll closes what is open, whatever is under way.
func (cs *connections) breakAll() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.open {
		c.linger.Store(false)
		_ = c.Conn.Close() // the worker that owns it finds out by itself
	}
}

type listener struct {
	net.Listener
	all *connections
}

func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, all: l.all}
	l.all.mu.Lock()
	if l.all.open == nil {
		l.all.open = make(map[*conn]struct{})
	}
	l.all.open[c] = struct{}{}
	l.all.mu.Unlock()
	return c, nil
}

// conn is a client's connection.
type conn struct {
	net.Conn
	all    *connections
	linger atomic.Bool // set when an answer was given before the request was read
}

// Close ends the connection. Where the client may still be sending, closing at once would make
// the kernel answer its bytes with a reset, which also throws away the answer it has not read
// yet. So the sending side is closed first and what arrives is dropped for a while.
func (c *conn) Close() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Swap(false) {
		if half.CloseWrite() == nil && c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
		}
	}
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}
