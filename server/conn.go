package server

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Bounds of a lingering close: enough for a client that sends a body slightly past the limit to
// finish and read the answer, and little for one that never stops.
const (
	lingerBytes = 16 << 20
	lingerTime  = 2 * time.Second
)

// connections knows the listeners and the connections of a server, so that Shutdown finds all of
// them: a listener from the moment Serve was called, and a connection until it is closed.
type connections struct {
	mu        sync.Mutex
	stopped   bool
	listeners []*listener
	open      map[*conn]struct{}
	gone      chan struct{} // made by stop; closed when the last connection is
}

// listen takes a listener on; false after stop.
func (cs *connections) listen(ln net.Listener) (net.Listener, bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.stopped {
		return nil, false
	}
	l := &listener{Listener: ln, all: cs}
	cs.listeners = append(cs.listeners, l)
	return l, true
}

// stop closes the listeners and takes no more connections. The channel is closed when the last
// one is gone.
func (cs *connections) stop() <-chan struct{} {
	cs.mu.Lock()
	if !cs.stopped {
		cs.stopped = true
		cs.gone = make(chan struct{})
		if len(cs.open) == 0 {
			close(cs.gone)
		}
	}
	listeners, gone := cs.listeners, cs.gone
	cs.mu.Unlock()
	for _, l := range listeners {
		_ = l.Close() // reported by Serve's own Close, which returns the same error
	}
	return gone
}

// add takes a connection on; false after stop.
func (cs *connections) add(c *conn) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.stopped {
		return false
	}
	if cs.open == nil {
		cs.open = make(map[*conn]struct{})
	}
	cs.open[c] = struct{}{}
	return true
}

func (cs *connections) remove(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if _, ok := cs.open[c]; !ok {
		return
	}
	delete(cs.open, c)
	if cs.stopped && len(cs.open) == 0 {
		close(cs.gone)
	}
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

// listener wraps what it accepts. Close may be called again and says the same.
type listener struct {
	net.Listener
	all  *connections
	once sync.Once
	err  error
}

func (l *listener) Close() error {
	l.once.Do(func() { l.err = l.Listener.Close() })
	return l.err
}

func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, all: l.all}
	if !l.all.add(c) {
		_ = nc.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

// conn is a client's connection.
type conn struct {
	net.Conn
	all    *connections
	linger atomic.Bool // set when an answer was given before the request was read
	ended  atomic.Bool // the client has said that it sends no more, and all of it was read
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		c.ended.Store(true)
	}
	return n, err
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
	err := c.Conn.Close()
	c.all.remove(c)
	return err
}

// lingerOn says that the request may not have been read whole when its answer is sent.
func lingerOn(ctx *fasthttp.RequestCtx) {
	if c, ok := ctx.Conn().(*conn); ok {
		c.linger.Store(true)
	}
}
