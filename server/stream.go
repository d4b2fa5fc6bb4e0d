package server

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// chunkBytes is how much of an answer is made before it is sent. Smaller costs more system
	// calls; larger makes the first byte wait and every slow client hold more.
	chunkBytes = 64 << 10

	// maxBuffered bounds an answer to an HTTP/1.0 client, which can only be told where a long
	// answer ends by its length, so it has to be made whole first.
	maxBuffered = 8 << 20
)

// content is an answer made bit by bit.
type content interface {
	// fill appends the next piece to dst, about chunkBytes of it, and says whether there is
	// more. After an error it is not called again.
	fill(dst []byte) (out []byte, more bool, err error)

	// finish adds what is known only at the end of the answer. It is called once, after the
	// last fill.
	finish(h *fasthttp.ResponseHeader)

	// close gives everything back. It is called once, whatever happened.
	close()
}

// send makes c the answer. The first piece is made here: an error in it is returned and becomes
// a problem answer. A short answer is whole then; what remains of a longer one is made while
// it is sent, so a slow client slows the making.
func (s *Server) send(ctx *fasthttp.RequestCtx, c content) error {
	st := &stream{content: c, conn: ctx.Conn(), header: &ctx.Response.Header, log: s.log, buf: takeBuffer()}
	var err error
	st.buf, st.more, err = c.fill(st.buf)
	if !ctx.Request.Header.IsHTTP11() {
		for err == nil && st.more && len(st.buf) <= maxBuffered {
			st.buf, st.more, err = c.fill(st.buf)
		}
		if err == nil && st.more {
			err = refuse(codeHTTPVersion, "the answer is larger than %d bytes, too large for HTTP/1.0", maxBuffered)
		}
	}
	if err != nil {
		_ = st.Close()
		return err
	}
	if st.more {
		ctx.Response.SetBodyStream(st, -1)
		return nil
	}
	c.finish(st.header)
	ctx.SetBody(st.buf)
	return st.Close()
}

// sendSized is send for a content whose length is known.
func (s *Server) sendSized(ctx *fasthttp.RequestCtx, c content, size int) error {
	st := &stream{content: c, conn: ctx.Conn(), header: &ctx.Response.Header, log: s.log, buf: takeBuffer()}
	var err error
	if st.buf, st.more, err = c.fill(st.buf); err != nil {
		_ = st.Close()
		return err
	}
	ctx.Response.SetBodyStream(st, size)
	return nil
}

// stream sends a content. fasthttp calls WriteTo on the goroutine of the connection once the
// header is on its way, and Close in every case.
type stream struct {
	content
	conn   net.Conn
	header *fasthttp.ResponseHeader
	log    *slog.Logger
	buf    []byte // made and not sent
	more   bool   // content has more
	closed bool
}

// SupportsBodyWriteTo tells fasthttp that WriteTo gives the bytes that Read would.
func (st *stream) SupportsBodyWriteTo() bool { return true }

// WriteTo sends what is left. An error makes fasthttp break the connection without the end of
// the chunked body, so the client knows that the answer is not whole.
func (st *stream) WriteTo(w io.Writer) (sent int64, err error) {
	defer func() {
		if r := recover(); r != nil {
			st.log.Error("answer panicked", "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("server: panic while an answer was made: %v", r)
		}
	}()
	for {
		for piece := st.buf; len(piece) > 0; {
			n := min(len(piece), chunkBytes)
			// The deadline is for a client that takes nothing, not for a long answer.
			if err := st.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
				return sent, err
			}
			n, err := w.Write(piece[:n])
			sent += int64(n)
			if err != nil {
				return sent, err
			}
			piece = piece[n:]
		}
		st.buf = st.buf[:0]
		if !st.more {
			st.finish(st.header)
			return sent, nil
		}
		if err := st.refill(); err != nil {
			return sent, err
		}
	}
}

// Read is WriteTo for callers that ask for bytes.
func (st *stream) Read(p []byte) (int, error) {
	for len(st.buf) == 0 {
		if !st.more {
			return 0, io.EOF
		}
		if err := st.refill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, st.buf)
	st.buf = st.buf[:copy(st.buf, st.buf[n:])]
	return n, nil
}

func (st *stream) refill() (err error) {
	st.buf, st.more, err = st.fill(st.buf[:0])
	if err != nil {
		st.more = false
		st.log.Warn("answer broken off", "error", err)
	}
	return err
}

// Close gives back what the content holds.
func (st *stream) Close() error {
	if !st.closed {
		st.closed = true
		st.close()
		giveBuffer(st.buf)
		st.buf = nil
	}
	return nil
}

var buffers sync.Pool // of *[]byte

func takeBuffer() []byte {
	if b, ok := buffers.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 0, chunkBytes+chunkBytes/4)
}

func giveBuffer(b []byte) {
	if cap(b) >= chunkBytes && cap(b) <= keepBytes {
		b = b[:0]
		buffers.Put(&b)
	}
}
